// parity_gpu_words.c: the tokenizer's operations on devices equal the plain ones: pieces of GPT-2's pattern, the
// words among them, also where hashes meet, and their ids. Random and hostile
// text, sizes at the borders of threads, bitmaps and blocks. Runs the kernels on the emulator, or with "cuda" as the argument on
// a card. SIMT_SEED chooses the emulator's schedule. --large: texts of 64 KiB, and more than a slot holds;
// --tiny: few, which is what the thread sanitizer gets.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu.h"
#include "draw_text.h"
#include "mill_gpu.h"
#include "tokenizer/bpe_ahead.h"
#include "tokenizer/bpe_merge.h"
#include "tokenizer/pretok.h"

enum { TEXT_MAX = 3 << 20, TEXTS_MAX = 40000 };

static void hear(void *context, mill_log_level level, const char *line)
{
    (void)context;
    if (level <= MILL_LOG_WARNING)
        printf("%s\n", line);
}

typedef struct texts {
    uint8_t *bytes;
    uint64_t *offsets;
    uint32_t count;
} texts;

// Characters at the borders of the rules: contractions, white space of all widths, digits of several scripts, marks.
static const uint32_t interesting[] = {
    '\'',  '\'',   's',  't',   'r',   'e',     'v',     'm',     'l',    'd',  'S',  'L',  'E',    ' ',    ' ',
    ' ',   '\n',   '\n', '\r',  '\t',  0x0b,    '0',     '7',     '.',    '=',  0x85, 0xa0, 0x2003, 0x3000, 0x1680,
    0x17f, 0x212a, 0xe9, 0x301, 0x663, 0x11de3, 0x16ff5, 0x1f600, 0x4e2d, 0xb2, 0x1c, 0x7f, 0,      0xfeff,
};

// Exactly `bytes` bytes of the first `kinds` of them.
static void fill_interesting(uint8_t *out, size_t bytes, size_t kinds)
{
    for (size_t i = 0; i < bytes;) {
        uint8_t code[4];
        size_t length = mill_utf8_encode(interesting[next() % kinds], code);
        if (length > bytes - i) {
            code[0] = '\'';
            length = 1;
        }
        memcpy(out + i, code, length);
        i += length;
    }
}

// Words of a small vocabulary, as code repeats them.
static void fill_code(uint8_t *out, size_t bytes)
{
    static const char *const words[] = {"    ", " = ", "return", "self", ".", "(", ")", ":\n", "\n\n", " if", " it's", "0x1f", "é",
                                        "naïve", " they'll", "\t", "==========", "-- ", "名前", "x", "xy", "xyz", "\"", "','"};
    for (size_t at = 0; at < bytes;) {
        const char *word = words[next() % (sizeof words / sizeof *words)];
        size_t length = strlen(word);
        if (length > bytes - at) {
            word = "x";
            length = 1;
        }
        memcpy(out + at, word, length);
        at += length;
    }
}

static void add_text(texts *t, size_t bytes, int mixture)
{
    uint64_t at = t->offsets[t->count];
    if (bytes > TEXT_MAX - at)
        bytes = TEXT_MAX - at;
    if (mixture == 8)
        fill_interesting(t->bytes + at, bytes, 14);
    else if (mixture == 9)
        fill_interesting(t->bytes + at, bytes, sizeof interesting / sizeof *interesting);
    else if (mixture == 10)
        fill_interesting(t->bytes + at, bytes, 4);
    else if (mixture == 11)
        fill_code(t->bytes + at, bytes);
    else
        fill(t->bytes + at, bytes, mixture);
    t->offsets[++t->count] = at + bytes;
}
enum { MIXTURES = 12 };

typedef struct totals {
    uint64_t by_device, by_caller; // texts
} totals;

static mill_text_view rest(const texts *t, uint32_t first)
{
    return (mill_text_view){t->bytes, t->offsets + first, t->count - first};
}

// ---- pieces

static bool same_pieces(const texts *t, uint32_t first, uint32_t last, const mill_stretches *found)
{
    uint32_t *ends = malloc((size_t)(t->offsets[last] - t->offsets[first] + 1) * sizeof *ends);
    size_t at = 0;
    bool same = ends != NULL;
    for (uint32_t i = first; same && i < last; i++) {
        uint64_t begin = t->offsets[i];
        size_t count = mill_pretok_split_ref(MILL_PRETOK_GPT2, t->bytes + begin, t->offsets[i + 1] - begin, ends);
        uint32_t from = 0;
        for (size_t k = 0; same && k < count; k++, at++) {
            same = at < found->count && found->rows[at].at == begin + from && found->rows[at].bytes == ends[k] - from &&
                   found->rows[at].count == 1;
            from = ends[k];
        }
    }
    free(ends);
    return same && at == found->count;
}

static int compare_pieces(mill_backend *gpu, const texts *t, const char *what, totals *sum)
{
    mill_stretches found = {0};
    mill_error err;
    int bad = 0;
    for (uint32_t first = 0; first < t->count;) {
        const mill_text_view view = rest(t, first);
        mill_portion portion;
        found.count = 0;
        if (gpu->ops->pretok(gpu, &view, &portion, &found, &err) != MILL_OK)
            exit(1);
        if (portion.done && !same_pieces(t, first, first + portion.texts, &found)) {
            printf("pieces: %s: texts %u to %u differ\n", what, first, first + portion.texts - 1);
            bad++;
        }
        *(portion.done ? &sum->by_device : &sum->by_caller) += portion.texts;
        first += portion.texts;
    }
    mill_free(found.rows);
    return bad;
}

// ---- words

static int by_bytes(const void *left, const void *right, void *context)
{
    const mill_stretch *a = left, *b = right;
    const uint8_t *bytes = context;
    int order = a->bytes != b->bytes ? (a->bytes < b->bytes ? -1 : 1) : memcmp(bytes + a->at, bytes + b->at, a->bytes);
    return order != 0 ? order : a->at < b->at ? -1 : a->at > b->at;
}

static int by_place(const void *left, const void *right)
{
    const mill_stretch *a = left, *b = right;
    return a->at < b->at ? -1 : a->at > b->at;
}

// The words of texts [first, last) in the order of their first places.
static void plain_words(const texts *t, uint32_t first, uint32_t last, mill_stretches *out)
{
    uint32_t *ends = malloc((size_t)(t->offsets[last] - t->offsets[first] + 1) * sizeof *ends);
    size_t kept = 0;
    out->count = 0;
    for (uint32_t i = first; i < last; i++) {
        uint64_t begin = t->offsets[i];
        size_t count = mill_pretok_split_ref(MILL_PRETOK_GPT2, t->bytes + begin, t->offsets[i + 1] - begin, ends);
        uint32_t from = 0;
        if (MILL_GROW(out->rows, out->capacity, out->count + count, NULL) != MILL_OK)
            exit(1);
        for (size_t k = 0; k < count; from = ends[k++])
            out->rows[out->count++] = (mill_stretch){begin + from, ends[k] - from, 1};
    }
    free(ends);
    if (out->count == 0)
        return;
    qsort_r(out->rows, out->count, sizeof *out->rows, by_bytes, t->bytes);
    for (size_t i = 1; i < out->count; i++) {
        mill_stretch *last_one = &out->rows[kept], *row = &out->rows[i];
        if (row->bytes == last_one->bytes && memcmp(t->bytes + row->at, t->bytes + last_one->at, row->bytes) == 0)
            last_one->count++;
        else
            out->rows[++kept] = *row;
    }
    out->count = kept + 1;
    qsort(out->rows, out->count, sizeof *out->rows, by_place);
}

static bool same_words(const mill_stretches *a, const mill_stretches *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = a->rows[i].at == b->rows[i].at && a->rows[i].bytes == b->rows[i].bytes && a->rows[i].count == b->rows[i].count;
    return same;
}

static int compare_words(mill_backend *gpu, const texts *t, uint64_t tag_mask, const char *what, totals *sum)
{
    mill_stretches found = {0}, wanted = {0};
    mill_error err;
    int bad = 0;
    for (uint32_t first = 0; first < t->count;) {
        const mill_text_view view = rest(t, first);
        mill_portion portion;
        found.count = 0;
        if (gpu->ops->count_words(gpu, &view, tag_mask, &portion, &found, &err) != MILL_OK)
            exit(1);
        plain_words(t, first, first + portion.texts, &wanted);
        if (portion.done && !same_words(&found, &wanted)) {
            printf("words: %s, tags %llx: texts %u to %u differ\n", what, (unsigned long long)tag_mask, first,
                   first + portion.texts - 1);
            bad++;
        }
        *(portion.done ? &sum->by_device : &sum->by_caller) += portion.texts;
        first += portion.texts;
    }
    mill_free(found.rows);
    mill_free(wanted.rows);
    return bad;
}

// ---- ids

typedef struct tokenizers {
    mill_tokenizer *whole, *partial; // of all bytes, of those that its text has
    mill_tokenizer *shuffled;        // whole's merges in another order: a later one may come before those that make its parts
} tokenizers;
static tokenizers have;

static mill_tokenizer *train(const texts *t, bool full_alphabet)
{
    mill_word_counts *counts;
    mill_tokenizer *tokenizer;
    mill_error err;
    const mill_text_view view = {t->bytes, t->offsets, t->count};
    static const char *const specials[] = {"<|endoftext|>", "self"};
    const mill_train_options options = {.vocab_size = 900, .min_frequency = 2, .full_alphabet = full_alphabet,
                                        .specials = specials, .special_count = 2};
    if (mill_word_counts_open(MILL_PRETOK_GPT2, &counts, &err) != MILL_OK ||
        mill_word_counts_add_texts(counts, NULL, &view, &err) != MILL_OK ||
        mill_tokenizer_train(counts, &options, NULL, NULL, &tokenizer, &err) != MILL_OK)
        exit(1);
    mill_word_counts_close(counts);
    return tokenizer;
}

// The same tokenizer with its merges in disorder. They stand in the file one behind the other, four lines each.
static mill_tokenizer *shuffle(const mill_tokenizer *tokenizer)
{
    static const char head[] = "\"merges\": [\n";
    mill_buf json = {0}, out = {0};
    mill_tokenizer *shuffled;
    mill_error err;
    const char *blocks[2000], *at, *end;
    size_t count = 0;
    if (mill_tokenizer_write_json(tokenizer, true, &json, &err) != MILL_OK || mill_buf_append(&json, "", 1, &err) != MILL_OK)
        exit(1);
    at = strstr((const char *)json.data, head) + sizeof head - 1;
    end = strstr(at, "\n    ]");
    if (mill_buf_append(&out, json.data, (size_t)(at - (const char *)json.data), &err) != MILL_OK)
        exit(1);
    for (const char *block = at; block != NULL && block < end && count < 2000; count++) {
        blocks[count] = block;
        block = strstr(block, "      ],\n");
        block = block != NULL && block < end ? block + 9 : NULL;
    }
    for (size_t i = count; i > 1; i--) {
        size_t k = next() % i;
        const char *other = blocks[i - 1];
        blocks[i - 1] = blocks[k];
        blocks[k] = other;
    }
    for (size_t i = 0; i < count; i++)
        if (mill_buf_append(&out, blocks[i], (size_t)(strstr(blocks[i], "      ]") + 7 - blocks[i]), &err) != MILL_OK ||
            mill_buf_append_text(&out, i + 1 < count ? ",\n" : "", &err) != MILL_OK)
            exit(1);
    if (mill_buf_append_text(&out, end, &err) != MILL_OK ||
        mill_tokenizer_parse(out.data, out.bytes, "shuffled", &shuffled, &err) != MILL_OK) {
        printf("%s\n", err.message);
        exit(1);
    }
    mill_buf_free(&json);
    mill_buf_free(&out);
    return shuffled;
}

typedef struct merger {
    const mill_tokenizer *tokenizer;
    uint64_t pieces;
} merger;

static mill_status merge_piece(void *context, const uint8_t *piece, size_t bytes, mill_ids *out, mill_error *err)
{
    merger *m = context;
    m->pieces++;
    return mill_bpe_merge_ref(m->tokenizer, piece, bytes, out, err);
}

// The ids of texts by the definition. Returns the pieces that are too long for a device.
static uint64_t plain_ids(const mill_tokenizer *tokenizer, const texts *t, uint32_t first, uint32_t last, mill_ids *out,
                          uint64_t *ends)
{
    uint32_t *cuts = malloc((size_t)(t->offsets[last] - t->offsets[first] + 1) * sizeof *cuts);
    uint64_t long_pieces = 0;
    out->count = 0;
    for (uint32_t i = first; i < last; i++) {
        const uint8_t *text = t->bytes + t->offsets[i];
        size_t count = mill_pretok_split_ref(MILL_PRETOK_GPT2, text, t->offsets[i + 1] - t->offsets[i], cuts);
        uint32_t from = 0;
        for (size_t k = 0; k < count; from = cuts[k++]) {
            long_pieces += cuts[k] - from > MILL_GPU_LONG_BYTES;
            if (mill_bpe_merge_ref(tokenizer, text + from, cuts[k] - from, out, NULL) != MILL_OK)
                exit(1);
        }
        ends[i - first] = out->count;
    }
    free(cuts);
    return long_pieces;
}

static int compare_ids(mill_backend *gpu, const mill_tokenizer *tokenizer, const texts *t, uint64_t tag_mask, bool wide,
                       const char *what, totals *sum)
{
    mill_ids found = {0}, wanted = {0};
    uint64_t *ends = malloc(2 * (t->count + 1) * sizeof *ends), *wanted_ends = ends + t->count + 1;
    mill_ahead ahead = {0};
    mill_error err;
    int bad = 0;
    if (!mill_ahead_open(&ahead, tokenizer, gpu))
        exit(1);
    if (wide)
        ahead.tables.id_end = 70000;
    merger m = {tokenizer, 0};
    const mill_encode_job job = {&ahead.tables, tag_mask, merge_piece, &m};
    for (uint32_t first = 0; first < t->count;) {
        const mill_text_view view = rest(t, first);
        mill_portion portion;
        found.count = 0;
        m.pieces = 0;
        if (gpu->ops->encode(gpu, &view, &job, &portion, &found, ends, &err) != MILL_OK)
            exit(1);
        if (portion.done) {
            uint64_t long_pieces = plain_ids(tokenizer, t, first, first + portion.texts, &wanted, wanted_ends);
            if (tag_mask == UINT64_MAX && m.pieces != long_pieces) {
                printf("ids: %s: %llu pieces were left to the caller, not %llu\n", what, (unsigned long long)m.pieces,
                       (unsigned long long)long_pieces);
                bad++;
            }
            if (found.count != wanted.count || memcmp(ends, wanted_ends, portion.texts * sizeof *ends) != 0 ||
                (found.count != 0 && memcmp(found.data, wanted.data, found.count * sizeof *found.data) != 0)) {
                printf("ids: %s, tags %llx, %s: texts %u to %u differ\n", what, (unsigned long long)tag_mask,
                       wide ? "wide" : "narrow", first, first + portion.texts - 1);
                bad++;
            }
        }
        *(portion.done ? &sum->by_device : &sum->by_caller) += portion.texts;
        first += portion.texts;
    }
    mill_ahead_free(&ahead);
    mill_free(found.data);
    mill_free(wanted.data);
    free(ends);
    return bad;
}

// The encoder with a backend, foreseeing most texts, against one without; now and then it is asked for something else.
static int compare_encoders(mill_backend *gpu, const mill_tokenizer *tokenizer, const texts *t, const char *what)
{
    mill_encoder *plain, *ahead;
    mill_ids a = {0}, b = {0};
    mill_error err;
    int bad = 0;
    size_t *marks = malloc((t->count + 1) * sizeof *marks);
    if (mill_encoder_open(tokenizer, &plain, &err) != MILL_OK || mill_encoder_open(tokenizer, &ahead, &err) != MILL_OK ||
        !mill_encoder_use(ahead, gpu))
        exit(1);
    for (int round = 0; round < 2; round++) {
        mill_encoder_forget(ahead);
        for (uint32_t i = 0; i < t->count; i++) {
            marks[i] = mill_encoder_foreseen(ahead);
            if (i % 7 != 6 && mill_encoder_foresee(ahead, t->bytes + t->offsets[i], t->offsets[i + 1] - t->offsets[i], round != 0,
                                                   &err) != MILL_OK)
                exit(1);
        }
        if (mill_encoder_prepare(ahead, &err) != MILL_OK)
            exit(1);
        for (uint32_t i = 0; i < t->count; i++) {
            const uint8_t *text = t->bytes + t->offsets[i];
            size_t bytes = t->offsets[i + 1] - t->offsets[i];
            bytes -= i % 5 == 4 && bytes != 0 && text[bytes - 1] < 0x80;
            mill_encoder_turn_to(ahead, marks[i]);
            a.count = b.count = 0;
            if (mill_encoder_encode(plain, text, bytes, round != 0, &a, &err) != MILL_OK ||
                mill_encoder_encode(ahead, text, bytes, round != 0, &b, &err) != MILL_OK)
                exit(1);
            bad += a.count != b.count || (a.count != 0 && memcmp(a.data, b.data, a.count * sizeof *a.data) != 0);
        }
    }
    if (bad != 0)
        printf("encoders: %s: %d texts differ\n", what, bad);
    mill_encoder_close(plain);
    mill_encoder_close(ahead);
    mill_ids_free(&a);
    mill_ids_free(&b);
    free(marks);
    return bad;
}

static int compare(const mill_backend_ops *ops, const texts *t, const char *what, totals *sum)
{
    mill_backend *gpu = NULL;
    mill_error err;
    if (ops->open(ops, &gpu, &err) != MILL_OK)
        exit(1);
    int bad = compare_pieces(gpu, t, what, sum);
    bad += compare_words(gpu, t, UINT64_MAX, what, sum);
    bad += compare_words(gpu, t, 0xff0000000000fff, what, sum);
    bad += compare_ids(gpu, have.whole, t, UINT64_MAX, false, what, sum);
    bad += compare_ids(gpu, have.partial, t, UINT64_MAX, true, what, sum);
    bad += compare_ids(gpu, have.shuffled, t, UINT64_MAX, false, what, sum);
    bad += compare_encoders(gpu, have.whole, t, what);
    if (t->offsets[t->count] < 100000) { // every word meets others
        bad += compare_ids(gpu, have.whole, t, 0x3, false, what, sum);
        bad += compare_ids(gpu, have.partial, t, 0, true, what, sum);
        bad += compare_words(gpu, t, 0x7, what, sum);
        bad += compare_words(gpu, t, 0, what, sum);
    }
    gpu->ops->close(gpu);
    return bad;
}

// One piece of exactly `bytes` bytes, if its kind has letters of one byte.
static void fill_piece(uint8_t *out, size_t bytes, int kind)
{
    static const char *const words[] = {"return", "self", "x", "xy", "xyz", "if", "na", "they"};
    static const char *const wide[] = {"\xc3\xa9", "\xe5\x90\x8d", "\xe5\x89\x8d", "q", "x", "\xd0\x96"};
    for (size_t at = 0; at < bytes;) {
        const char *word = kind == 0   ? "="
                           : kind == 1 ? "x"
                           : kind == 2 ? words[next() % 8]
                           : kind == 3 ? wide[next() % 6] // of which some tokenizers lack bytes
                           : kind == 4 ? "\xd0\x96"
                                       : words[2 + next() % 3];
        size_t length = strlen(word) <= bytes - at ? strlen(word) : 0;
        memcpy(out + at, length != 0 ? word : "x", length != 0 ? length : 1);
        at += length != 0 ? length : 1;
    }
}

// Words at the borders of what a thread, a warp and the host merge.
static int long_words(const mill_backend_ops *ops, texts *t, totals *sum)
{
    static const size_t sizes[] = {63, 64, 65, 66, 95, 96, 97, 127, 128, 129, 300, 4095, 4096, 4097};
    enum { SIZES = sizeof sizes / sizeof *sizes, KINDS = 6 };
    mill_backend *gpu = NULL;
    mill_error err;
    if (ops->open(ops, &gpu, &err) != MILL_OK)
        exit(1);
    t->count = 0;
    for (size_t s = 0; s < SIZES; s++) {
        const int chosen = (int)(next() % KINDS); // the longest take their time, here and in the definition
        for (int kind = 0; kind < KINDS; kind++) {
            uint64_t at = t->offsets[t->count];
            if (sizes[s] > 1000 && kind != chosen)
                continue;
            t->bytes[at] = '\n';
            fill_piece(t->bytes + at + 1, sizes[s], kind);
            t->bytes[at + 1 + sizes[s]] = '\n';
            fill_piece(t->bytes + at + 2 + sizes[s], 70 + next() % 30, 2);
            t->offsets[++t->count] = at + 2 + sizes[s] + 70;
        }
    }
    uint64_t by_caller = sum->by_caller;
    int bad = compare_ids(gpu, have.whole, t, UINT64_MAX, false, "long words", sum);
    bad += compare_ids(gpu, have.partial, t, UINT64_MAX, true, "long words", sum);
    bad += compare_ids(gpu, have.shuffled, t, UINT64_MAX, false, "long words, merges in disorder", sum);
    bad += sum->by_caller != by_caller;
    bad += compare_ids(gpu, have.partial, t, 0x3, false, "long words that meet", sum);
    gpu->ops->close(gpu);
    return bad;
}

static int small(const mill_backend_ops *ops, texts *t, totals *sum)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 34, 63, 64, 65, 127, 128, 129, 1023, 1025, 5000};
    int bad = 0;
    char what[64];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        t->count = 0;
        for (int mixture = 0; mixture < MIXTURES; mixture++)
            add_text(t, sizes[s], mixture);
        snprintf(what, sizeof what, "texts of %zu bytes", sizes[s]);
        bad += compare(ops, t, what, sum);
    }
    for (int round = 0; round < 5; round++) {
        t->count = 0;
        for (int i = 0; i < 400; i++)
            add_text(t, next() % 4 == 0 ? 0 : next() % 60, (int)(next() % MIXTURES));
        bad += compare(ops, t, "400 short texts", sum);
    }
    return bad + long_words(ops, t, sum);
}

// A few of them: what the thread sanitizer can do in a minute.
static int tiny(const mill_backend_ops *ops, texts *t, totals *sum)
{
    static const size_t sizes[] = {0, 33, 129, 1500};
    t->count = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int mixture = 8; mixture < MIXTURES; mixture++)
            add_text(t, sizes[s], mixture);
    for (int kind = 0; kind < 4; kind++) {
        fill_piece(t->bytes + t->offsets[t->count], 65 + 100 * (size_t)kind, kind);
        t->offsets[t->count + 1] = t->offsets[t->count] + 65 + 100 * (size_t)kind;
        t->count++;
    }
    return compare(ops, t, "a few texts", sum);
}

// Every character between neighbours of each class, many to a text.
static int all_characters(const mill_backend_ops *ops, texts *t, totals *sum)
{
    static const char *const around[] = {"", "a", "1", " ", "\n", "=", "'"};
    int bad = 0;
    t->count = 0;
    uint64_t at = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if ((c >= 0xd800 && c < 0xe000) || (c >= 0x20000 && next() % 64 != 0))
            continue;
        const char *before = around[c % 7], *behind = around[next() % 7];
        memcpy(t->bytes + at, before, strlen(before));
        at += strlen(before);
        for (uint64_t twice = next() % 2; twice < 2; twice++)
            at += mill_utf8_encode(c, t->bytes + at);
        memcpy(t->bytes + at, behind, strlen(behind));
        at += strlen(behind);
        if (c % 50 == 0)
            t->offsets[++t->count] = at;
        if (at > TEXT_MAX - 64 || t->count == TEXTS_MAX - 2)
            break;
    }
    t->offsets[++t->count] = at;
    bad += compare(ops, t, "all characters", sum);
    return bad;
}

static int large(const mill_backend_ops *ops, texts *t, totals *sum)
{
    static const size_t sizes[] = {65535, 65536, 65537};
    int bad = all_characters(ops, t, sum);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        t->count = 0;
        add_text(t, sizes[s], 9);
        add_text(t, sizes[s], 11);
        add_text(t, sizes[s], 6);
        bad += compare(ops, t, "texts of 64 KiB", sum);
    }
    t->count = 0;
    add_text(t, 700000, 11);
    add_text(t, 700000, 6);
    add_text(t, 7, 8);
    add_text(t, (1u << 20) + 1, 11); // fits no slot
    add_text(t, 70, 8);
    return bad + compare(ops, t, "more than a slot", sum);
}

int main(int argc, char **argv)
{
    const char *device = "simt";
#ifdef __SANITIZE_THREAD__
    bool with_few = true;
#else
    bool with_few = false;
#endif
    bool with_large = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--large") == 0)
            with_large = true;
        else if (strcmp(argv[i], "--tiny") == 0)
            with_few = true;
        else
            device = argv[i];
    }
    const char *schedule = getenv("SIMT_SEED");
    seed = 1 + (schedule != NULL ? strtoull(schedule, NULL, 10) : 0);
    const mill_log log = {MILL_LOG_WARNING, hear, NULL};
    mill_gpus *gpus;
    mill_error err;
    if (mill_gpus_open(device, 1 << 20, &log, &gpus, &err) != MILL_OK) {
        printf("%s\n", err.message);
        return strcmp(device, "simt") == 0 ? 1 : 77;
    }
    texts t = {malloc(TEXT_MAX + 16), calloc(TEXTS_MAX, sizeof(uint64_t)), 0};
    if (t.bytes == NULL || t.offsets == NULL)
        return 1;
    totals sum = {0};
    add_text(&t, 30000, 11);
    have.partial = train(&t, false);
    add_text(&t, 5000, 5);
    have.whole = train(&t, true);
    have.shuffled = shuffle(have.whole);
    const mill_backend_ops *ops = mill_gpus_backend(gpus);
    int bad = with_large ? large(ops, &t, &sum) : with_few ? tiny(ops, &t, &sum) : small(ops, &t, &sum);
    for (size_t i = 0; i < mill_gpus_count(gpus); i++)
        bad += mill_gpus_use(gpus, i).failed;
    mill_gpus_close(gpus);
    mill_tokenizer_close(have.whole);
    mill_tokenizer_close(have.partial);
    mill_tokenizer_close(have.shuffled);
    free(t.bytes);
    free(t.offsets);
    printf("words on %s: %llu texts by devices, %llu by the caller, %d differences\n", device,
           (unsigned long long)sum.by_device, (unsigned long long)sum.by_caller, bad);
    return bad != 0 || sum.by_device == 0;
}
