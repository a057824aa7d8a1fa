// test_encode.c: rows of ids: none exceeds the context, each restores its text, together they are the documents; content never
// becomes a control token; guide rows are the guide's.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "rows_check.h"

static const char *const specials[] = {"<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
                                       "<|lang_python|>", "<|lang_c|>", "<|fim_span_0|>", "<|fim_span_1|>", "<|fim_span_2|>",
                                       "<|fim_span_3|>", "<|fim_span_end|>"};
enum { SPECIALS = sizeof specials / sizeof specials[0] };

static mill_language_table *languages;
static mill_tokenizer *tokenizer;
static mill_batch batch;
static mill_rows rows;

static mill_tokenizer *train(const char *const *texts, size_t count, uint32_t vocab, uint32_t special_count, bool full_alphabet)
{
    mill_word_counts *words = NULL;
    mill_tokenizer *out = NULL;
    mill_error err;
    cr_assert_eq(mill_word_counts_open(MILL_PRETOK_GPT2, &words, &err), MILL_OK);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(mill_word_counts_add(words, (const uint8_t *)texts[i], strlen(texts[i]), &err), MILL_OK);
    mill_train_options options = {.vocab_size = vocab, .min_frequency = 1, .full_alphabet = full_alphabet, .specials = specials,
                                  .special_count = special_count};
    cr_assert_eq(mill_tokenizer_train(words, &options, NULL, NULL, &out, &err), MILL_OK, "%s", err.message);
    mill_word_counts_close(words);
    return out;
}

static void set_up(void)
{
    static const char *const texts[] = {
        "def main(argument):\n    return argument + 1\n\nclass Thing:\n    def method(self):\n        return self.value\n",
        "int main(void)\n{\n    for (int i = 0; i < 100; i++)\n        printf(\"%d\\n\", i);\n    return 0;\n}\n",
        "\xc3\xa9t\xc3\xa9 \xc3\xa9t\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87 \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x98\x80"};
    mill_error err;
    cr_assert_eq(mill_language_table_create(&languages, &err), MILL_OK);
    tokenizer = train(texts, 3, 256 + SPECIALS + 120, SPECIALS, true);
    mill_batch_init(&batch);
}

static void tear_down(void)
{
    mill_rows_free(&rows);
    mill_batch_free(&batch);
    mill_tokenizer_close(tokenizer);
    mill_language_table_destroy(languages);
}

static mill_encode_options plain_options(uint32_t context)
{
    return (mill_encode_options){.language_tag = true, .end_token = true, .context = context, .min_chunk = 1,
                                 .end_text = "<|endoftext|>", .fim_prefix = "<|fim_prefix|>", .fim_middle = "<|fim_middle|>",
                                 .fim_suffix = "<|fim_suffix|>", .language_format = "<|lang_%s|>"};
}

static mill_encode_options guide_options(uint32_t context, uint32_t min_chunk)
{
    mill_encode_options options = plain_options(context);
    options.parse_specials = options.guide_chunks = true;
    options.min_chunk = min_chunk;
    return options;
}

static mill_fim_options fim_options(mill_fim_cut cut, uint32_t rate)
{
    return (mill_fim_options){.rate_permille = rate, .spm_permille = 500, .cut = cut, .min_chars = 2, .block_lines_max = 40,
                              .seed = 4};
}

static void add(const char *language, const void *text, size_t bytes)
{
    mill_record record = {.text = text, .text_bytes = bytes, .repo = "", .path = "", .licence = "", .stars = MILL_STARS_MISSING,
                          .record = batch.count + 1,
                          .language = mill_language_intern(languages, language, strlen(language))};
    mill_error err;
    cr_assert_eq(mill_batch_append(&batch, &record, &err), MILL_OK);
}

static void add_text(const char *language, const char *text)
{
    add(language, text, strlen(text));
}

static uint64_t state = 88172645463325252u;
static uint32_t draw(uint32_t bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) * bound >> 32);
}

static void add_hostile(uint32_t parts_max)
{
    static const char *const parts[] = {"\n", "\n    ", "\r\n", "{", "}", "return ", "argument", "<|fim_middle|>", "<|endoftext|>",
                                        "<|lang_c|>", "<|fim_span_0|>", "<|fim", "\xc3\xa9", "\xe4\xb8\xad\xe6\x96\x87",
                                        "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\xcc\x81", "\t\t", "                ", "0123",
                                        "def f(self):\n", "x"};
    static char text[1 << 17];
    static const char *const names[] = {"python", "c", "rust", "markdown"};
    size_t bytes = 0;
    for (uint32_t i = draw(parts_max); i > 0; i--) {
        const char *part = parts[draw(sizeof parts / sizeof parts[0])];
        for (uint32_t n = draw(8) == 0 ? draw(30) : 1; n > 0; n--) {
            memcpy(text + bytes, part, strlen(part));
            bytes += strlen(part);
        }
    }
    add(names[draw(4)], text, bytes);
}

static void encode(const mill_encode_options *options, const mill_fim_options *fim, const mill_tokenizer *with,
                   const mill_line_cut *cuts)
{
    mill_encode *handle = NULL;
    mill_error err;
    mill_rows_clear(&rows);
    cr_assert_eq(mill_encode_open(options, fim, with, languages, &handle, &err), MILL_OK, "%s", err.message);
    cr_assert_eq(mill_encode_batch(handle, &batch, NULL, cuts, &rows, &err), MILL_OK, "%s", err.message);
    mill_encode_close(handle);
}

static void check(const mill_encode_options *options, const mill_tokenizer *with)
{
    rows_check c = {.options = options, .tokenizer = with, .languages = languages, .batch = &batch, .rows = &rows};
    cr_assert(rows_check_all(&c), "%s", c.message);
    mill_buf_free(&c.text);
}

static void expect_ids(size_t row, const char *const *tokens)
{
    const uint32_t *ids = rows.ids.data + rows.rows[row].first_token;
    size_t i = 0;
    for (; tokens[i] != NULL; i++) {
        uint32_t bytes = 0;
        cr_assert_lt(i, rows.rows[row].tokens);
        const uint8_t *text = mill_tokenizer_bytes(tokenizer, ids[i], &bytes);
        cr_assert(bytes == strlen(tokens[i]) && memcmp(text, tokens[i], bytes) == 0, "token %zu is %.*s", i, (int)bytes, text);
    }
    cr_assert_eq(i, rows.rows[row].tokens);
}

TestSuite(encode, .init = set_up, .fini = tear_down);

Test(encode, rows_of_hostile_documents_fit_restore_and_cover_for_every_cut_and_context)
{
    static const uint32_t contexts[] = {0, 32, 33, 40, 64, 128, 1000};
    for (int i = 0; i < 60; i++)
        add_hostile(i % 3 == 0 ? 2000 : i % 3 == 1 ? 120 : 12);
    add_text("python", "");
    add_text("c", "x");
    for (int cut = 0; cut < MILL_FIM_GUIDE; cut++) {
        for (size_t i = 0; i < sizeof contexts / sizeof contexts[0]; i++) {
            mill_encode_options options = plain_options(contexts[i]);
            mill_fim_options fim = fim_options((mill_fim_cut)cut, 700);
            encode(&options, &fim, tokenizer, NULL);
            check(&options, tokenizer);
            cr_assert_gt(rows.transformed, 20u);
            cr_assert_eq(rows.dropped_rows, 0u);
            cr_assert_eq(rows.encoded_tokens, rows.ids.count);
        }
    }
}

Test(encode, rows_fit_without_tags_end_or_fim)
{
    for (int i = 0; i < 60; i++)
        add_hostile(i % 2 == 0 ? 1500 : 30);
    for (int variant = 0; variant < 4; variant++) {
        mill_encode_options options = plain_options(48);
        options.language_tag = variant & 1;
        options.end_token = variant & 2;
        encode(&options, NULL, tokenizer, NULL);
        check(&options, tokenizer);
        cr_assert_eq(rows.transformed, 0u);
        mill_fim_options fim = fim_options(MILL_FIM_CHAR, 1000);
        encode(&options, &fim, tokenizer, NULL);
        check(&options, tokenizer);
    }
}

// Merges that join the end of one character with the start of the next leave no token boundary to cut at.
Test(encode, a_vocabulary_that_straddles_characters_is_cut_between_code_points)
{
    char lines[2048];
    size_t at = 0;
    // All letters: second bytes A9 after varied leads, before lead C3 with varied tails, so that the pair A9 C3 wins.
    static const char leads[] = "\xc4\xc5\xc6\xc7\xc8\xc9\xce\xd0";
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 16; j++) {
            lines[at++] = leads[i];
            lines[at++] = (char)0xa9;
            lines[at++] = (char)0xc3;
            lines[at++] = (char)(0xa0 + j);
            lines[at++] = '\n';
        }
    }
    lines[at] = '\0';
    const char *texts[] = {lines};
    mill_tokenizer *straddling = train(texts, 1, 256 + SPECIALS + 1, SPECIALS, true);
    char text[4001];
    for (int i = 0; i < 2000; i++)
        memcpy(text + 2 * i, "\xc3\xa9", 3);
    add_text("python", text);
    memcpy(text + 1000, " ab = 1; ", 9);
    text[1009] = ' ';
    add_text("c", text);
    for (uint32_t context = 32; context < 100; context += 7) {
        for (int cut = 0; cut < MILL_FIM_GUIDE; cut++) {
            mill_encode_options options = plain_options(context);
            mill_fim_options fim = fim_options((mill_fim_cut)cut, 500);
            encode(&options, &fim, straddling, NULL);
            check(&options, straddling);
        }
    }
    mill_ids ids = {0};
    mill_encoder *encoder = NULL;
    mill_error err;
    cr_assert_eq(mill_encoder_open(straddling, &encoder, &err), MILL_OK);
    cr_assert_eq(mill_encoder_encode(encoder, (const uint8_t *)"\xc3\xa9\xc3\xa9", 4, false, &ids, &err), MILL_OK);
    cr_assert_eq(ids.count, 3u, "the vocabulary does not straddle characters: the test proves nothing");
    mill_ids_free(&ids);
    mill_encoder_close(encoder);
    mill_tokenizer_close(straddling);
}

Test(encode, sentinels_spelled_in_content_stay_text)
{
    add_text("python", "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>c<|endoftext|><|lang_c|>");
    mill_encode_options options = plain_options(0);
    encode(&options, NULL, tokenizer, NULL);
    check(&options, tokenizer);
    cr_assert_eq(rows.count, 1u);
    uint32_t controls = 0;
    for (size_t i = 0; i < rows.ids.count; i++)
        controls += mill_tokenizer_is_special(tokenizer, rows.ids.data[i]);
    cr_assert_eq(controls, 2u, "tag and end only");
}

Test(encode, layouts_are_those_of_the_header)
{
    add_text("c", "x");
    add_text("markdown", "");
    add_text("python", "");
    mill_encode_options options = plain_options(0);
    encode(&options, NULL, tokenizer, NULL);
    expect_ids(0, (const char *const[]){"<|lang_c|>", "x", "<|endoftext|>", NULL});
    expect_ids(1, (const char *const[]){"<|endoftext|>", NULL});
    expect_ids(2, (const char *const[]){"<|lang_python|>", "<|endoftext|>", NULL});
    mill_batch_clear(&batch);
    add_text("c", "qzj");
    // Enough seeds show every cut of three letters in both orders.
    bool seen_psm = false, seen_spm = false;
    for (uint64_t seed = 0; seed < 200; seed++) {
        mill_fim_options fim = fim_options(MILL_FIM_CHAR, 1000);
        fim.seed = seed;
        encode(&options, &fim, tokenizer, NULL);
        check(&options, tokenizer);
        const mill_row *row = &rows.rows[0];
        if (row->cut_begin != 1 || row->cut_end != 2)
            continue;
        if (row->mode == MILL_FIM_PSM) {
            seen_psm = true;
            expect_ids(0, (const char *const[]){"<|lang_c|>", "<|fim_prefix|>", "q", "<|fim_suffix|>", "j", "<|fim_middle|>", "z",
                                                "<|endoftext|>", NULL});
        } else {
            seen_spm = true;
            expect_ids(0, (const char *const[]){"<|lang_c|>", "<|fim_prefix|>", "<|fim_suffix|>", "j", "<|fim_middle|>", "q", "z",
                                                "<|endoftext|>", NULL});
        }
    }
    cr_assert(seen_psm && seen_spm);
}

Test(encode, token_cuts_keep_the_ids_of_the_whole_document)
{
    add_text("c", "int main(void)\n{\n    for (int i = 0; i < 100; i++)\n        printf(\"%d\\n\", i);\n}\n");
    mill_encode_options options = plain_options(0);
    options.language_tag = options.end_token = false;
    encode(&options, NULL, tokenizer, NULL);
    mill_ids plain = rows.ids;
    rows.ids = (mill_ids){0};
    for (uint64_t seed = 0; seed < 50; seed++) {
        mill_fim_options fim = fim_options(MILL_FIM_TOKEN, 1000);
        fim.seed = seed;
        fim.spm_permille = 0;
        encode(&options, &fim, tokenizer, NULL);
        check(&options, tokenizer);
        cr_assert_eq(rows.ids.count, plain.count + 3);
        const uint32_t *ids = rows.ids.data + 1; // prefix, then SUF suffix MID middle
        size_t prefix = 0;
        while (ids[prefix] == plain.data[prefix] && prefix < plain.count)
            prefix++;
        cr_assert_eq(ids[prefix], (uint32_t)mill_tokenizer_special(tokenizer, "<|fim_suffix|>"));
        size_t suffix = 0;
        while (ids[prefix + 1 + suffix] != (uint32_t)mill_tokenizer_special(tokenizer, "<|fim_middle|>"))
            suffix++;
        cr_assert_arr_eq(ids + prefix + 1, plain.data + plain.count - suffix, suffix * sizeof *ids);
    }
    mill_ids_free(&plain);
}

Test(encode, the_language_tag_is_left_out_where_the_tokenizer_has_none)
{
    add_text("rust", "fn");
    add_text("python", "fn");
    mill_encode_options options = plain_options(64);
    encode(&options, NULL, tokenizer, NULL);
    cr_assert_eq(rows.rows[1].tokens, rows.rows[0].tokens + 1);
    cr_assert_not(mill_tokenizer_is_special(tokenizer, rows.ids.data[0]));
}

Test(encode, rows_below_min_chunk_are_dropped_and_counted)
{
    for (int i = 0; i < 40; i++)
        add_hostile(300);
    mill_encode_options options = plain_options(64);
    encode(&options, NULL, tokenizer, NULL);
    uint64_t short_rows = 0, short_tokens = 0, all = rows.ids.count;
    size_t count = rows.count;
    for (size_t i = 0; i < rows.count; i++) {
        short_rows += rows.rows[i].tokens < 50;
        short_tokens += rows.rows[i].tokens < 50 ? rows.rows[i].tokens : 0;
    }
    cr_assert_gt(short_rows, 5u);
    options.min_chunk = 50;
    encode(&options, NULL, tokenizer, NULL);
    cr_assert_eq(rows.dropped_rows, short_rows);
    cr_assert_eq(rows.dropped_tokens, short_tokens);
    cr_assert_eq(rows.encoded_tokens, all);
    cr_assert_eq(rows.ids.count, all - short_tokens);
    cr_assert_eq(rows.count, count - short_rows);
    uint64_t at = 0;
    for (size_t i = 0; i < rows.count; at += rows.rows[i++].tokens)
        cr_assert(rows.rows[i].first_token == at && rows.rows[i].tokens >= 50);
}

Test(encode, rows_do_not_depend_on_what_was_encoded_before)
{
    for (int i = 0; i < 30; i++)
        add_hostile(i % 2 == 0 ? 400 : 40);
    mill_encode_options options = plain_options(100);
    mill_fim_options fim = fim_options(MILL_FIM_CHAR, 500);
    encode(&options, &fim, tokenizer, NULL);
    mill_rows all = rows;
    rows = (mill_rows){0};
    mill_encode *handle = NULL;
    mill_error err;
    cr_assert_eq(mill_encode_open(&options, &fim, tokenizer, languages, &handle, &err), MILL_OK);
    for (uint32_t record = batch.count; record-- > 0;) {
        bool keep[64] = {false};
        keep[record] = true;
        mill_rows_clear(&rows);
        cr_assert_eq(mill_encode_batch(handle, &batch, keep, NULL, &rows, &err), MILL_OK);
        size_t first = 0;
        while (all.rows[first].record != record)
            first++;
        for (size_t i = 0; i < rows.count; i++) {
            cr_assert_eq(rows.rows[i].tokens, all.rows[first + i].tokens);
            cr_assert_arr_eq(rows.ids.data + rows.rows[i].first_token, all.ids.data + all.rows[first + i].first_token,
                             rows.rows[i].tokens * sizeof(uint32_t));
        }
    }
    mill_encode_close(handle);
    mill_rows_free(&all);
}

Test(encode, guide_rows_are_chunks_of_one_string_with_specials_parsed)
{
    add_text("python", "a\nb\nc<|fim_middle|>\nd");
    mill_line_cut cut = {1, 3};
    mill_encode_options options = guide_options(0, 1);
    mill_fim_options fim = fim_options(MILL_FIM_GUIDE, 500);
    encode(&options, &fim, tokenizer, &cut);
    expect_ids(0, (const char *const[]){"<|lang_python|>", "<|fim_prefix|>", "a", "<|fim_suffix|>", "d", "<|fim_middle|>", "b",
                                        "\n", "c", "<|fim_middle|>", "<|endoftext|>", NULL});
    cr_assert_eq(rows.transformed, 1u);
    mill_ids whole = rows.ids;
    rows.ids = (mill_ids){0};
    options = guide_options(4, 4);
    encode(&options, &fim, tokenizer, &cut);
    cr_assert_eq(rows.count, 2u);
    cr_assert_eq(rows.dropped_rows, 1u);
    cr_assert_eq(rows.dropped_tokens, 3u);
    cr_assert_eq(rows.encoded_tokens, 11u);
    cr_assert_arr_eq(rows.ids.data, whole.data, 8 * sizeof(uint32_t));
    mill_ids_free(&whole);
    cut = (mill_line_cut){0, 0};
    encode(&options, &fim, tokenizer, &cut);
    cr_assert_eq(rows.transformed, 0u);
    mill_error err;
    mill_buf text = {0};
    mill_fim_mode mode;
    cr_assert(mill_encode_is_lossy(&options));
    cr_assert_eq(mill_encode_restore(&options, tokenizer, rows.ids.data, rows.ids.count, &text, &mode, &err), MILL_OK);
    mill_buf_free(&text);
}

Test(encode, open_names_the_missing_control_token)
{
    const char *texts[] = {"abc"};
    mill_tokenizer *bare = train(texts, 1, 258, 1, true), *partial = train(texts, 1, 40, SPECIALS, false);
    mill_encode_options options = plain_options(64);
    mill_fim_options fim = fim_options(MILL_FIM_CHAR, 500);
    mill_encode *handle = NULL;
    mill_error err;
    cr_assert_eq(mill_encode_open(&options, &fim, bare, languages, &handle, &err), MILL_INPUT);
    cr_assert_not_null(strstr(err.message, "<|fim_prefix|>"), "%s", err.message);
    fim.cut = MILL_FIM_MULTI;
    cr_assert_eq(mill_encode_open(&options, &fim, bare, languages, &handle, &err), MILL_INPUT);
    cr_assert_not_null(strstr(err.message, "<|fim_span_0|>"), "%s", err.message);
    fim.rate_permille = 0;
    cr_assert_eq(mill_encode_open(&options, &fim, bare, languages, &handle, &err), MILL_OK);
    mill_encode_close(handle);
    options.end_text = "</s>";
    cr_assert_eq(mill_encode_open(&options, &fim, bare, languages, &handle, &err), MILL_INPUT);
    cr_assert_not_null(strstr(err.message, "</s>"), "%s", err.message);
    options = plain_options(64);
    cr_assert_eq(mill_encode_open(&options, NULL, partial, languages, &handle, &err), MILL_INPUT, "bytes would be lost");
    options = plain_options(8);
    cr_assert_eq(mill_encode_open(&options, NULL, tokenizer, languages, &handle, &err), MILL_RECIPE);
    mill_tokenizer_close(bare);
    mill_tokenizer_close(partial);
}

Test(encode, rows_whose_sentinels_do_not_fit_together_are_refused)
{
    static const char *const broken[][8] = {
        {"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"},
        {"<|fim_prefix|>", "<|fim_suffix|>"},
        {"<|fim_suffix|>", "<|fim_prefix|>", "<|fim_middle|>"},
        {"<|fim_span_0|>", "<|fim_span_0|>", "<|fim_span_end|>"},
        {"<|fim_span_0|>", "<|fim_span_1|>", "<|fim_span_0|>", "<|fim_span_end|>", "<|fim_span_1|>"},
        {"<|endoftext|>", "<|fim_prefix|>"},
        {"<|lang_c|>", "<|lang_c|>"},
    };
    mill_encode_options options = plain_options(64);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        uint32_t ids[8];
        size_t count = 0;
        mill_buf text = {0};
        mill_fim_mode mode;
        mill_error err;
        for (; count < 8 && broken[i][count] != NULL; count++)
            ids[count] = (uint32_t)mill_tokenizer_special(tokenizer, broken[i][count]);
        cr_assert_eq(mill_encode_restore(&options, tokenizer, ids, count, &text, &mode, &err), MILL_VERIFY, "case %zu", i);
        mill_buf_free(&text);
    }
    uint32_t beyond = mill_tokenizer_vocab_size(tokenizer);
    mill_buf text = {0};
    mill_fim_mode mode;
    mill_error err;
    cr_assert_eq(mill_encode_restore(&options, tokenizer, &beyond, 1, &text, &mode, &err), MILL_VERIFY);
    mill_buf_free(&text);
}

Test(encode, running_out_of_memory_anywhere_is_an_error_and_leaks_nothing)
{
    for (int i = 0; i < 6; i++)
        add_hostile(i % 2 == 0 ? 400 : 40);
    mill_encode_options options = plain_options(64);
    mill_fim_options fim = fim_options(MILL_FIM_TOKEN, 700);
    bool finished = false;
    for (uint64_t allowed = 0; !finished; allowed++) {
        mill_encode *handle = NULL;
        mill_error err;
        mill_rows mine = {0};
        mill_alloc_fail_after(allowed);
        mill_status status = mill_encode_open(&options, &fim, tokenizer, languages, &handle, &err);
        if (status == MILL_OK)
            status = mill_encode_batch(handle, &batch, NULL, NULL, &mine, &err);
        mill_alloc_fail_after(UINT64_MAX);
        cr_assert(status == MILL_OK || status == MILL_NOMEM, "%d", status);
        finished = status == MILL_OK;
        mill_encode_close(handle);
        mill_rows_free(&mine);
    }
}

Test(encode, presets_spell_the_published_names)
{
    const mill_token_preset *deepseek = mill_token_preset_find("deepseek");
    cr_assert_not_null(deepseek);
    cr_assert_str_eq(deepseek->fim_prefix, "<｜fim▁begin｜>");
    cr_assert_str_eq(deepseek->fim_suffix, "<｜fim▁hole｜>");
    cr_assert_str_eq(deepseek->fim_middle, "<｜fim▁end｜>");
    cr_assert_str_eq(mill_token_preset_find("starcoder")->fim_pad, "<fim_pad>");
    cr_assert_str_eq(mill_token_preset_find("qwen")->fim_pad, "<|fim_pad|>");
    cr_assert_str_eq(mill_token_preset_find("guide")->end, "<|endoftext|>");
    cr_assert_null(mill_token_preset_find("guide")->fim_pad);
    cr_assert_null(mill_token_preset_find("no such"));
}
