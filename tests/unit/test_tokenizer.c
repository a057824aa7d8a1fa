// test_tokenizer.c: what the tokenizer promises by itself: order and threads never show, long pieces stay fast and equal to
// the definition, files survive a round trip, bad files and failing memory end in a status. Equality with the package is
// tests/agree/agree_tokenizers.py.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/rng.h"
#include "tokenizer/bpe_known.h"
#include "tokenizer/bpe_merge.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/nfc.h"
#include "tokenizer/words.h"

static mill_error err;
static const char *const specials[] = {"<|endoftext|>", "<|pad|>", "<|endoftext|>", "ab"};

static const char *const texts[] = {
    "def f(x):\n    return x + 1\n",
    "for (int i = 0; i < 10; i++) {\n\tsum += i;\n}\n",
    "it's abababab aaaa aaa",
    "a_word_that_is_longer_than_sixteen_bytes = a_word_that_is_longer_than_sixteen_bytes + 1",
    "caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87\n\n\n",
};
#define TEXTS (sizeof texts / sizeof texts[0])

static void count_text(mill_word_counts *counts, const char *text)
{
    cr_assert_eq(mill_word_counts_add(counts, (const uint8_t *)text, strlen(text), &err), MILL_OK);
}

static mill_word_counts *open_counts(void)
{
    mill_word_counts *counts;
    cr_assert_eq(mill_word_counts_open(MILL_PRETOK_GPT2, &counts, &err), MILL_OK);
    return counts;
}

static mill_tokenizer *train(const mill_word_counts *counts, uint32_t vocab, bool full)
{
    mill_train_options options = {.vocab_size = vocab, .min_frequency = 1, .full_alphabet = full, .specials = specials,
                                  .special_count = 4};
    mill_tokenizer *tokenizer;
    cr_assert_eq(mill_tokenizer_train(counts, &options, NULL, NULL, &tokenizer, &err), MILL_OK, "%s", err.message);
    return tokenizer;
}

static mill_tokenizer *small_tokenizer(bool full)
{
    mill_word_counts *counts = open_counts();
    for (size_t i = 0; i < TEXTS; i++)
        count_text(counts, texts[i]);
    mill_tokenizer *tokenizer = train(counts, 400, full);
    mill_word_counts_close(counts);
    return tokenizer;
}

static mill_buf json_of(const mill_tokenizer *tokenizer)
{
    mill_buf json = {0};
    cr_assert_eq(mill_tokenizer_write_json(tokenizer, true, &json, &err), MILL_OK);
    return json;
}

static mill_ids encode(const mill_tokenizer *tokenizer, const void *text, size_t bytes, bool control)
{
    mill_encoder *encoder;
    mill_ids ids = {0};
    cr_assert_eq(mill_encoder_open(tokenizer, &encoder, &err), MILL_OK);
    cr_assert_eq(mill_encoder_encode(encoder, text, bytes, control, &ids, &err), MILL_OK, "%s", err.message);
    mill_encoder_close(encoder);
    return ids;
}

static void expect_same_training(const mill_word_counts *one, const mill_word_counts *other)
{
    mill_tokenizer *a = train(one, 350, false), *b = train(other, 350, false);
    mill_buf x = json_of(a), y = json_of(b);
    cr_assert_eq(x.bytes, y.bytes);
    cr_expect_arr_eq(x.data, y.data, x.bytes);
    mill_buf_free(&x);
    mill_buf_free(&y);
    mill_tokenizer_close(a);
    mill_tokenizer_close(b);
}

Test(tokenizer, order_of_texts_and_handles_never_shows)
{
    mill_word_counts *one = open_counts(), *two = open_counts(), *three = open_counts();
    for (size_t i = 0; i < 2000; i++)
        count_text(one, texts[i % TEXTS]);
    for (size_t i = 2000; i-- > 0;)
        count_text(i % 3 == 0 ? two : three, texts[i % TEXTS]);
    cr_assert_eq(mill_word_counts_merge(three, two, &err), MILL_OK);
    cr_expect_eq(mill_word_counts_unique(one), mill_word_counts_unique(three));
    cr_expect_eq(mill_word_counts_total(one), mill_word_counts_total(three));
    expect_same_training(one, three);
    mill_word_counts_close(one);
    mill_word_counts_close(two);
    mill_word_counts_close(three);
}

// Any of the handles may have most of a part's words, one may be missing; the sum is that of one handle, the others are empty.
Test(tokenizer, sums_of_handles_are_those_of_one)
{
    for (uint32_t threads = 1; threads < 4; threads++) {
        mill_word_counts *one = open_counts(), *sum = open_counts(), *others[3] = {open_counts(), NULL, open_counts()};
        char text[64];
        for (uint32_t i = 0; i < 3000; i++) {
            snprintf(text, sizeof text, i % 2 == 0 ? "%c%c%c" : "abcdefghijklmnopqrst%c%c%c", 'a' + i % 26, 'a' + i / 26 % 26,
                     'a' + i / 676);
            count_text(one, text);
            count_text(i % 7 == 0 ? sum : others[i % 3 == 0 ? 0 : 2], text);
            count_text(one, "often");
            count_text(others[2], "often");
        }
        cr_assert_eq(mill_word_counts_sum(sum, others, 3, threads, &err), MILL_OK);
        cr_expect_eq(mill_word_counts_unique(sum), mill_word_counts_unique(one));
        cr_expect_eq(mill_word_counts_total(sum), mill_word_counts_total(one));
        cr_expect_eq(mill_word_counts_unique(others[0]) + mill_word_counts_unique(others[2]), 0);
        cr_expect_eq(mill_word_counts_total(others[2]), 0);
        expect_same_training(one, sum);
        mill_word_counts_close(one);
        mill_word_counts_close(sum);
        mill_word_counts_close(others[0]);
        mill_word_counts_close(others[2]);
    }
}

Test(tokenizer, counts_every_word_and_keeps_its_bytes)
{
    mill_word_counts *counts = open_counts();
    char text[64];
    for (uint32_t i = 0; i < 30000; i++) { // grows the table; half of the words do not fit a key
        snprintf(text, sizeof text, i % 2 == 0 ? "%c%c%c%c" : "abcdefghijklmnopqrst%c%c%c%c", 'a' + i % 26, 'a' + i / 26 % 26,
                 'a' + i / 676 % 26, 'a' + i / 17576);
        count_text(counts, text);
        count_text(counts, text);
    }
    cr_expect_eq(mill_word_counts_unique(counts), 30000);
    cr_expect_eq(mill_word_counts_total(counts), 60000);
    uint64_t seen = 0, positions = 0, words = 0;
    for (size_t part = 0; part < MILL_WORD_PARTS; part++) {
        size_t at = 0;
        mill_word word;
        while (mill_word_counts_next(counts, part, &at, &word)) {
            cr_expect_eq(word.count, 2);
            cr_expect(word.bytes == 4 || (word.bytes == 24 && memcmp(word.text, "abcdefghij", 10) == 0));
            seen++;
        }
        positions += mill_word_counts_facts(counts, part)->positions;
        words += mill_word_counts_facts(counts, part)->words;
    }
    cr_expect_eq(seen, 30000);
    cr_expect_eq(words, 30000);
    cr_expect_eq(positions, 15000 * 5 + 15000 * 25);
    mill_word_counts_close(counts);
}

Test(tokenizer, ids_follow_specials_alphabet_merges)
{
    mill_tokenizer *tokenizer = small_tokenizer(true);
    uint32_t bytes;
    cr_expect_eq(mill_tokenizer_special(tokenizer, "<|pad|>"), 1);
    cr_expect_eq(mill_tokenizer_special(tokenizer, "ab"), 2); // the duplicate before it has no id of its own
    cr_expect_eq(mill_tokenizer_special(tokenizer, "absent"), -1);
    cr_expect(mill_tokenizer_is_special(tokenizer, 2) && !mill_tokenizer_is_special(tokenizer, 3));
    cr_expect_eq(*mill_tokenizer_bytes(tokenizer, 3, &bytes), '!');
    cr_expect_eq(bytes, 1);
    cr_expect_null(mill_tokenizer_bytes(tokenizer, mill_tokenizer_vocab_size(tokenizer), &bytes));
    // One merge makes "ab" again and uses the special token's id, so there is one merge more than new ids.
    cr_expect_eq(mill_tokenizer_merge_count(tokenizer), mill_tokenizer_vocab_size(tokenizer) - 3 - 256 + 1);
    mill_tokenizer_close(tokenizer);
}

Test(tokenizer, byte_level_alphabet_is_one_to_one)
{
    bool used[512] = {false};
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t c = mill_byte_level_char((uint8_t)byte);
        cr_assert(c < 512 && !used[c]);
        used[c] = true;
        cr_expect_eq(mill_byte_level_byte(c), (int)byte);
    }
    for (uint32_t c = 0; c < 0x400; c++)
        cr_expect_eq(mill_byte_level_byte(c) >= 0, c < 512 && used[c]);
    cr_expect_eq(mill_byte_level_char(' '), 0x120);
    cr_expect_eq(mill_byte_level_char(0xad), 0x143);
}

Test(tokenizer, merging_equals_its_definition)
{
    mill_tokenizer *tokenizer = small_tokenizer(false); // some bytes have no id
    mill_merge_scratch scratch = {0};
    static const char letters[] = "ab rets=wodi\n1Z";
    for (uint64_t round = 0; round < 3000; round++) {
        uint8_t piece[300];
        size_t bytes = 1 + mill_draw(1, MILL_DRAW_TEST, (mill_key){0, 0}, round) % (round % 4 == 0 ? 299 : 60);
        for (size_t i = 0; i < bytes; i++)
            piece[i] = (uint8_t)letters[mill_draw(2, MILL_DRAW_TEST, (mill_key){round, 0}, i) % (round % 2 == 0 ? 2 : 15)];
        mill_ids a = {0}, b = {0};
        cr_assert_eq(mill_bpe_merge(tokenizer, &scratch, piece, bytes, &a, &err), MILL_OK);
        cr_assert_eq(mill_bpe_merge_ref(tokenizer, piece, bytes, &b, &err), MILL_OK);
        cr_assert_eq(a.count, b.count);
        cr_assert(a.count == 0 || memcmp(a.data, b.data, a.count * sizeof *a.data) == 0);
        mill_ids_free(&a);
        mill_ids_free(&b);
    }
    mill_merge_scratch_free(&scratch);
    mill_tokenizer_close(tokenizer);
}

Test(tokenizer, a_short_key_is_the_bytes_and_zeros_whatever_follows)
{
    for (uint32_t bytes = 0; bytes <= MILL_WORD_SHORT; bytes++) {
        for (uint64_t round = 0; round < 100; round++) {
            uint8_t text[3 * MILL_WORD_SHORT], wanted[MILL_WORD_SHORT] = {0}, got[MILL_WORD_SHORT];
            for (size_t i = 0; i < sizeof text; i++)
                text[i] = (uint8_t)(mill_draw(8, MILL_DRAW_TEST, (mill_key){bytes, round}, i) % 4 * 85); // 0 and 255, too
            memcpy(wanted, text + 1, bytes);
            const mill_word_key far = mill_word_key_of(text, 1, 1 + bytes, sizeof text);
            const mill_word_key near = mill_word_key_of(text, 1, 1 + bytes, 1 + bytes);
            memcpy(got, &far.low, 8);
            memcpy(got + 8, &far.high, 8);
            cr_assert_arr_eq(got, wanted, sizeof wanted, "%u bytes", bytes);
            cr_assert(near.low == far.low && near.high == far.high && near.hash == far.hash);
            cr_assert(near.bytes == bytes && far.bytes == bytes);
        }
    }
}

// Word `number` of 1 .. 300 bytes of few letters; a third of its letters repeat the one before.
static size_t make_word(uint64_t number, uint8_t word[300])
{
    const size_t bytes = 1 + mill_draw(5, MILL_DRAW_TEST, (mill_key){number, 0}, 0) % (number % 3 == 0 ? 300 : 40);
    const uint64_t letters = 1 + mill_draw(6, MILL_DRAW_TEST, (mill_key){number, 0}, 0) % 8;
    for (size_t k = 0; k < bytes; k++) {
        const uint64_t bits = mill_draw(7, MILL_DRAW_TEST, (mill_key){number, 0}, k);
        word[k] = (uint8_t)(k != 0 && bits % 3 == 0 ? word[k - 1] : 'a' + bits / 3 % letters);
    }
    return bytes;
}

Test(tokenizer, long_words_of_the_training_are_known_and_no_others)
{
    enum { TRAINED = 2000, ALL = 3000 };
    mill_word_counts *counts = open_counts();
    uint8_t word[300];
    for (uint64_t i = 0; i < TRAINED; i++)
        cr_assert_eq(mill_word_counts_add(counts, word, make_word(i, word), &err), MILL_OK);
    for (uint32_t threads = 0; threads < 4; threads++) {
        const mill_train_options options = {.vocab_size = 600, .min_frequency = 2, .threads = threads, .keep_words = true};
        mill_tokenizer *tokenizer;
        uint32_t found = 0, longs = 0;
        cr_assert_eq(mill_tokenizer_train(counts, &options, NULL, NULL, &tokenizer, &err), MILL_OK, "%s", err.message);
        cr_assert_not_null(tokenizer->known);
        mill_encoder *encoder;
        cr_assert_eq(mill_encoder_open(tokenizer, &encoder, &err), MILL_OK);
        for (uint64_t i = 0; i < ALL; i++) {
            const size_t bytes = make_word(i, word);
            const mill_word_key key = mill_word_key_of(word, 0, bytes, sizeof word);
            uint32_t count = 0;
            const uint32_t *ids = mill_known_find(tokenizer->known, tokenizer, word, &key, &count);
            const bool is_long = bytes > MILL_WORD_SHORT && bytes <= MILL_KNOWN_MAX;
            cr_assert(ids != NULL || !is_long || i >= TRAINED, "word %llu of %zu bytes", (unsigned long long)i, bytes);
            cr_assert(ids == NULL || is_long);
            found += i >= TRAINED && ids != NULL;
            longs += i >= TRAINED && is_long;
            mill_ids wanted = {0}, encoded = {0};
            cr_assert_eq(mill_encoder_encode(encoder, word, bytes, false, &encoded, &err), MILL_OK);
            cr_assert_eq(mill_bpe_merge_ref(tokenizer, word, bytes, &wanted, &err), MILL_OK);
            cr_assert(encoded.count == wanted.count && memcmp(encoded.data, wanted.data, wanted.count * sizeof *wanted.data) == 0);
            cr_assert(ids == NULL || (count == wanted.count && memcmp(ids, wanted.data, count * sizeof *ids) == 0));
            mill_ids_free(&wanted);
            mill_ids_free(&encoded);
        }
        mill_encoder_close(encoder);
        cr_assert(longs > 300 && found < longs / 4, "%u of %u new words are known", found, longs); // of one letter, some are old
        mill_tokenizer_close(tokenizer);
    }
    mill_word_counts_close(counts);
}

Test(tokenizer, a_long_piece_is_not_quadratic, .timeout = 60)
{
    static uint8_t text[1000000];
    memset(text, 'a', sizeof text);
    mill_word_counts *counts = open_counts();
    cr_assert_eq(mill_word_counts_add(counts, text, sizeof text, &err), MILL_OK);
    mill_tokenizer *tokenizer = train(counts, 300, true);
    mill_ids ids = encode(tokenizer, text, sizeof text, true);
    size_t bytes = 0;
    for (size_t i = 0; i < ids.count; i++) {
        uint32_t length;
        mill_tokenizer_bytes(tokenizer, ids.data[i], &length);
        bytes += length;
    }
    cr_expect_eq(bytes, sizeof text);
    cr_expect_lt(ids.count, 100);
    mill_ids_free(&ids);
    mill_tokenizer_close(tokenizer);
    mill_word_counts_close(counts);
}

Test(tokenizer, control_tokens_only_on_request)
{
    mill_tokenizer *tokenizer = small_tokenizer(true);
    static const char text[] = "x<|endoftext|><|pad|<|pad|>y";
    mill_ids with = encode(tokenizer, text, sizeof text - 1, true), without = encode(tokenizer, text, sizeof text - 1, false);
    size_t controls = 0;
    for (size_t i = 0; i < with.count; i++)
        controls += mill_tokenizer_is_special(tokenizer, with.data[i]);
    cr_expect_eq(controls, 2);
    for (size_t i = 0; i < without.count; i++)
        cr_expect_not(mill_tokenizer_is_special(tokenizer, without.data[i]));
    mill_ids_free(&with);
    mill_ids_free(&without);
    mill_tokenizer_close(tokenizer);
}

Test(tokenizer, caches_never_change_ids)
{
    mill_tokenizer *tokenizer = small_tokenizer(true);
    mill_encoder *encoder;
    cr_assert_eq(mill_encoder_open(tokenizer, &encoder, &err), MILL_OK);
    for (uint32_t i = 0; i < 60000; i++) { // enough long words to empty the cold cache
        char text[64];
        int bytes = snprintf(text, sizeof text, "w%c%c%c%cxqzjkvxqzjkvxqzj %c%c", 'a' + i % 26, 'a' + i / 26 % 26,
                             'a' + i / 676 % 26, 'a' + i / 17576, 'a' + i % 7, 'a' + i % 11);
        mill_ids ids = {0};
        cr_assert_eq(mill_encoder_encode(encoder, (const uint8_t *)text, (size_t)bytes, false, &ids, &err), MILL_OK);
        if (i % 500 == 0) {
            mill_ids fresh = encode(tokenizer, text, (size_t)bytes, false);
            cr_assert(fresh.count == ids.count && memcmp(fresh.data, ids.data, ids.count * sizeof *ids.data) == 0);
            mill_ids_free(&fresh);
        }
        mill_ids_free(&ids);
    }
    mill_encoder_close(encoder);
    mill_tokenizer_close(tokenizer);
}

Test(tokenizer, its_file_is_read_back_and_written_the_same)
{
    mill_tokenizer *tokenizer = small_tokenizer(true), *again;
    mill_buf json = json_of(tokenizer);
    cr_assert_eq(mill_tokenizer_parse(json.data, json.bytes, "x.json", &again, &err), MILL_OK, "%s", err.message);
    mill_buf second = json_of(again);
    cr_assert_eq(json.bytes, second.bytes);
    cr_expect_arr_eq(json.data, second.data, json.bytes);
    mill_buf_free(&json);
    mill_buf_free(&second);
    mill_tokenizer_close(tokenizer);
    mill_tokenizer_close(again);
}

Test(tokenizer, damaged_files_are_refused_or_harmless)
{
    mill_tokenizer *tokenizer = small_tokenizer(false);
    mill_buf json = json_of(tokenizer);
    mill_tokenizer_close(tokenizer);
    for (size_t cut = 0; cut < json.bytes; cut += 1 + cut / 16) {
        cr_assert_eq(mill_tokenizer_parse(json.data, cut, "x.json", &tokenizer, &err), MILL_INPUT);
        cr_assert_null(tokenizer);
    }
    for (uint64_t round = 0; round < 600; round++) {
        size_t at = mill_draw(3, MILL_DRAW_TEST, (mill_key){0, 0}, round) % json.bytes;
        uint8_t old = json.data[at];
        json.data[at] = (uint8_t)mill_draw(4, MILL_DRAW_TEST, (mill_key){0, 0}, round);
        if (mill_tokenizer_parse(json.data, json.bytes, "x.json", &tokenizer, &err) == MILL_OK) {
            mill_ids ids = encode(tokenizer, "ab <|pad|> it's", 15, true);
            mill_ids_free(&ids);
            mill_tokenizer_close(tokenizer);
        }
        json.data[at] = old;
    }
    mill_buf_free(&json);
}

static int stop_now(void *context, uint32_t done, uint32_t wanted)
{
    (void)done;
    (void)wanted;
    ++*(int *)context;
    return 1;
}

Test(tokenizer, training_stops_when_asked)
{
    mill_word_counts *counts = open_counts();
    count_text(counts, texts[0]);
    mill_train_options options = {.vocab_size = 400, .full_alphabet = true};
    mill_tokenizer *tokenizer;
    int calls = 0;
    cr_expect_eq(mill_tokenizer_train(counts, &options, stop_now, &calls, &tokenizer, &err), MILL_STOPPED);
    cr_expect(strstr(err.message, "run the same command again") != NULL, "%s", err.message);
    cr_expect_eq(calls, 1);
    cr_expect_null(tokenizer);
    mill_word_counts_close(counts);
}

Test(tokenizer, composes_and_orders_marks)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"e\xcc\x81", "\xc3\xa9"},                                  // e + acute
        {"a\xcc\x81\xcc\xa3z", "\xe1\xba\xa1\xcc\x81z"},            // the dot below comes first
        {"\xe1\x84\x80\xe1\x85\xa1", "\xea\xb0\x80"},               // Hangul
        {"\xe2\x84\xab", "\xc3\x85"},                               // Angstrom sign
        {"a\xe0\xa2\x98\xcc\xa3", "a\xe0\xa2\x98\xcc\xa3"},         // U+0898 came after the package's tables
        {"plain", "plain"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mill_buf out = {0};
        cr_assert_eq(mill_nfc((const uint8_t *)cases[i].text, strlen(cases[i].text), &out, &err), MILL_OK);
        cr_expect(out.bytes == strlen(cases[i].wanted) && memcmp(out.data, cases[i].wanted, out.bytes) == 0, "case %zu", i);
        mill_buf_free(&out);
    }
}

// Everything once, so that every allocation can fail in turn.
static mill_status all_steps(void)
{
    mill_word_counts *counts = NULL;
    mill_tokenizer *trained = NULL, *parsed = NULL;
    mill_encoder *encoder = NULL;
    mill_buf json = {0};
    mill_ids ids = {0};
    mill_train_options options = {.vocab_size = 330, .full_alphabet = true, .specials = specials, .special_count = 2,
                                  .keep_words = true};
    mill_status status;
    MILL_TRY_GOTO(mill_word_counts_open(MILL_PRETOK_GPT2, &counts, &err));
    for (size_t i = 0; i < TEXTS; i++)
        MILL_TRY_GOTO(mill_word_counts_add(counts, (const uint8_t *)texts[i], strlen(texts[i]), &err));
    MILL_TRY_GOTO(mill_tokenizer_train(counts, &options, NULL, NULL, &trained, &err));
    MILL_TRY_GOTO(mill_tokenizer_write_json(trained, true, &json, &err));
    MILL_TRY_GOTO(mill_tokenizer_parse(json.data, json.bytes, "x.json", &parsed, &err));
    parsed->nfc = true;
    MILL_TRY_GOTO(mill_encoder_open(parsed, &encoder, &err));
    for (size_t i = 0; i < TEXTS; i++)
        MILL_TRY_GOTO(mill_encoder_encode(encoder, (const uint8_t *)texts[i], strlen(texts[i]), true, &ids, &err));
cleanup:
    mill_word_counts_close(counts);
    mill_tokenizer_close(trained);
    mill_tokenizer_close(parsed);
    mill_encoder_close(encoder);
    mill_buf_free(&json);
    mill_ids_free(&ids);
    return status;
}

Test(tokenizer, every_failing_allocation_is_reported, .timeout = 120)
{
    uint64_t before = mill_alloc_count();
    cr_assert_eq(all_steps(), MILL_OK, "%s", err.message);
    uint64_t allocations = mill_alloc_count() - before;
    for (uint64_t i = 0; i < allocations; i += 1 + i / 64) {
        mill_alloc_fail_after(i);
        cr_expect_eq(all_steps(), MILL_NOMEM, "allocation %llu", (unsigned long long)i);
        mill_alloc_fail_after(UINT64_MAX);
    }
}
