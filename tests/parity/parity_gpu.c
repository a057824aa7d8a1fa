// parity_gpu.c: the operations on devices equal the plain ones, bit for bit: random and hostile text, sizes
// at the borders of lanes, tiles and pieces, many and few texts, several workers at once. Runs the kernels on
// the emulator, or with "cuda" as the argument on a card. SIMT_SEED chooses the emulator's schedule. --large:
// texts above the pieces that a warp or block takes.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu.h"
#include "dedup/minhash.h"
#include "draw_text.h"
#include "filter/lines.h"
#include "filter/markers.h"

enum { TEXT_MAX = 3 << 20, WORKERS = 4 };

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

static mill_text_view view_of(const texts *t)
{
    return (mill_text_view){t->bytes, t->offsets, t->count};
}

// Words of every length about SHA-1's borders, repeated words, every kind of blank: mixture 8; else as
// draw_text.h.
static void fill_words(uint8_t *out, size_t bytes)
{
    static const char *const blanks[] = {" ",
                                         "\n",
                                         "\t",
                                         "\v",
                                         "\f",
                                         "\r",
                                         "\x1c",
                                         "\x1f",
                                         "\xc2\x85",
                                         "\xc2\xa0",
                                         "\xe1\x9a\x80",
                                         "\xe2\x80\x80",
                                         "\xe2\x80\x8a",
                                         "\xe2\x80\xa8",
                                         "\xe2\x80\xaf",
                                         "\xe2\x81\x9f",
                                         "\xe3\x80\x80",
                                         "\xe2\x80\x8b",
                                         "\xc2\x84",
                                         "\xe3\x80\x81"};
    size_t at = 0;
    while (at < bytes) {
        size_t length = next() % 8 == 0 ? next() % 200 : next() % 9;
        for (size_t i = 0; i < length && at < bytes; i++)
            out[at++] = (uint8_t)('a' + next() % (length < 3 ? 2 : 26));
        const char *blank = blanks[next() % (sizeof blanks / sizeof *blanks)];
        size_t wide = strlen(blank);
        if (wide > bytes - at) {
            blank = " ";
            wide = at < bytes;
        }
        memcpy(out + at, blank, wide);
        at += wide;
    }
}

static void add_text(texts *t, size_t bytes, int mixture)
{
    uint64_t at = t->offsets[t->count];
    if (bytes > TEXT_MAX - at)
        bytes = TEXT_MAX - at;
    if (mixture == 8)
        fill_words(t->bytes + at, bytes);
    else
        fill(t->bytes + at, bytes, mixture);
    t->offsets[++t->count] = at + bytes;
}

static int compare(const mill_backend_ops *ops, const texts *t, const char *what)
{
    mill_backend *ref = NULL, *gpu = NULL;
    mill_error err;
    mill_text_view view = view_of(t);
    int bad = 0;
    if (mill_backend_ref.open(&mill_backend_ref, &ref, &err) != MILL_OK ||
        ops->open(ops, &gpu, &err) != MILL_OK)
        exit(1);
    static const uint32_t versions[] = {140, 160};
    for (size_t v = 0; v < 2; v++) {
        mill_text_stat *a = calloc(t->count + 1, sizeof *a), *b = calloc(t->count + 1, sizeof *b);
        memset(b, 0xa5, (t->count + 1) * sizeof *b);
        if (ref->ops->text_stats(ref, &view, versions[v], a, &err) != MILL_OK ||
            gpu->ops->text_stats(gpu, &view, versions[v], b, &err) != MILL_OK)
            bad++;
        for (uint32_t i = 0; i < t->count; i++)
            bad += a[i].chars != b[i].chars || a[i].lines != b[i].lines ||
                   a[i].alnum_or_space != b[i].alnum_or_space;
        bad += b[t->count].chars != 0xa5a5a5a5a5a5a5a5u;
        free(a);
        free(b);
    }
    if (bad != 0)
        printf("text statistics: %s: %d differences\n", what, bad);
    for (int scheme = 0; scheme < 2; scheme++) {
        static const uint32_t sizes[] = {128, 2, 129, 256, 40};
        uint32_t permutations = sizes[next() % 5];
        mill_minhash_params params;
        if (mill_minhash_params_init(&params, (mill_minhash_scheme)scheme, permutations,
                                     1 + (uint32_t)(next() % 9), &err) != MILL_OK)
            exit(1);
        size_t values = (size_t)t->count * permutations;
        uint32_t *a = calloc(values + 1, sizeof *a), *b = calloc(values + 1, sizeof *b);
        b[values] = 0xa5a5a5a5u;
        if (ref->ops->minhash(ref, &view, &params, a, &err) != MILL_OK ||
            gpu->ops->minhash(gpu, &view, &params, b, &err) != MILL_OK)
            bad++;
        if (memcmp(a, b, values * sizeof *a) != 0 || b[values] != 0xa5a5a5a5u) {
            printf("MinHash: %s, scheme %d, %u permutations: differ\n", what, scheme, permutations);
            bad++;
        }
        free(a);
        free(b);
        mill_minhash_params_free(&params);
    }
    ref->ops->close(ref);
    gpu->ops->close(gpu);
    return bad;
}

static const char *const autogen[] = {"auto-generated", "do not edit", "generated by", "ab", NULL};
static const char *const tests[] = {"def test_", "it(", "describe(", "@Test", "b", "\xc3\xa9", NULL};

// Plants markers, their near misses and comment starts in a text, also at its ends.
static void plant(texts *t, uint32_t i)
{
    static const char *const seeds[] = {"AUTO-Generated",
                                        "Do Not Edit",
                                        "generated b",
                                        "def test_x",
                                        " it(",
                                        ".it(",
                                        "\xc3\xa9it(",
                                        "_describe(",
                                        "(describe(",
                                        "@test",
                                        "@Test",
                                        "\n  # x",
                                        "\n\xe2\x80\x83//",
                                        "\n\t/* x",
                                        "\n * x",
                                        "\n*x",
                                        "\n-- x",
                                        "\n<!-- x",
                                        "\n\"x",
                                        "\n!x",
                                        "\n;",
                                        "\n%",
                                        "\xe2\x84\xaa",
                                        "\xc4\xb0",
                                        "\n \x1c\x0b# y",
                                        "\r\n#"};
    uint64_t begin = t->offsets[i], bytes = t->offsets[i + 1] - begin;
    for (uint64_t k = 0; k < 1 + bytes / 100; k++) {
        const char *text = seeds[next() % (sizeof seeds / sizeof *seeds)];
        size_t length = strlen(text);
        uint64_t at = next() % 4 == 0                     ? 0
                      : next() % 3 == 0 && bytes > length ? bytes - length
                                                          : next() % (bytes + 1);
        while (at > 0 && at < bytes && (t->bytes[begin + at] & 0xc0) == 0x80)
            at--; // between characters
        uint64_t end = at + length;
        while (end < bytes && (t->bytes[begin + end] & 0xc0) == 0x80)
            end++;
        if (end > bytes)
            continue;
        memset(t->bytes + begin + at, ' ', end - at);
        memcpy(t->bytes + begin + at, text, length);
    }
}

static int compare_scan(const mill_backend_ops *ops, texts *t, const char *what)
{
    mill_backend *gpu = NULL;
    mill_error err;
    mill_markers markers;
    mill_buf scratch = {0};
    mill_pattern patterns[16];
    int bad = 0;
    if (ops->open(ops, &gpu, &err) != MILL_OK ||
        mill_markers_init(autogen, tests, true, next() % 2 ? 0 : 40, &markers, &err) != MILL_OK)
        exit(1);
    for (uint32_t i = 0; i < markers.count; i++)
        patterns[i] = (mill_pattern){markers.marker[i].text, markers.marker[i].bytes,
                                     markers.marker[i].kind == MILL_MARKER_AUTOGEN, markers.marker[i].word};
    uint32_t *comments = calloc(t->count + 1, sizeof *comments);
    bool *words = calloc(t->count + 1, sizeof *words);
    mill_text_scan *out = calloc(t->count + 1, sizeof *out);
    for (uint32_t i = 0; i < t->count; i++) {
        plant(t, i);
        comments[i] = (uint32_t)(next() % 512);
        words[i] = next() % 2;
    }
    mill_text_view whole = view_of(t);
    for (uint32_t first = 0; first < t->count;) {
        const mill_text_view rest = {whole.bytes, whole.offsets + first, whole.count - first};
        const mill_scan_request request = {patterns, markers.count, markers.autogen_window, comments + first,
                                           words + first};
        mill_portion portion;
        if (gpu->ops->text_scan(gpu, &rest, &request, &portion, out + first, &err) != MILL_OK)
            exit(1);
        for (uint32_t i = first; portion.done && i < first + portion.texts; i++) {
            const uint8_t *text = t->bytes + t->offsets[i];
            uint64_t bytes = t->offsets[i + 1] - t->offsets[i];
            mill_marker_hits hits;
            bool folds =
                memmem(text, bytes, "\xe2\x84\xaa", 3) != NULL || memmem(text, bytes, "\xc4\xb0", 2) != NULL;
            if (mill_markers_find(&markers, text, bytes, words[i], false, &scratch, &hits, &err) != MILL_OK)
                exit(1);
            bool autogen_found = (out[i].found & MILL_FOUND_FOLDED) != 0,
                 test_found = (out[i].found & MILL_FOUND_EXACT) != 0;
            bad += out[i].comment_lines != mill_comment_lines(text, bytes, comments[i]);
            bad += folds != ((out[i].found & MILL_FOUND_WIDE_FOLD) != 0);
            bad += !(folds && markers.folds) &&
                   (autogen_found != hits.autogen || (!hits.autogen && test_found != hits.test));
        }
        first += portion.texts;
    }
    if (bad != 0)
        printf("comments and patterns: %s: %d differences\n", what, bad);
    gpu->ops->close(gpu);
    mill_markers_free(&markers);
    mill_buf_free(&scratch);
    free(comments);
    free(words);
    free(out);
    return bad;
}

// Legacy's borders: x mod 2^61 at and around the prime, brought about by the parameters.
static int legacy_borders(const mill_backend_ops *ops)
{
    mill_backend *ref = NULL, *gpu = NULL;
    mill_error err;
    int bad = 0;
    if (mill_backend_ref.open(&mill_backend_ref, &ref, &err) != MILL_OK ||
        ops->open(ops, &gpu, &err) != MILL_OK)
        exit(1);
    for (uint64_t step = 0; step < 32; step++) {
        uint64_t a[8], b[8], offsets[2] = {0, 9};
        uint32_t a32[8] = {0}, b32[8] = {0}, from_ref[8], from_gpu[8];
        for (uint64_t k = 0; k < 8; k++) {
            a[k] = step < 16 ? 0 : UINT64_C(1) << (8 * k); // a = 0: the value depends on b alone
            b[k] = (k << 61) + ((UINT64_C(1) << 61) - 9) + step % 16;
        }
        mill_text_view view = {(const uint8_t *)"a b c d e", offsets, 1};
        mill_minhash_params params = {MILL_MINHASH_LEGACY, 8, a, b, a32, b32};
        bad += ref->ops->minhash(ref, &view, &params, from_ref, &err) != MILL_OK ||
               gpu->ops->minhash(gpu, &view, &params, from_gpu, &err) != MILL_OK ||
               memcmp(from_ref, from_gpu, sizeof from_ref) != 0;
    }
    if (bad != 0)
        printf("MinHash: legacy borders differ: %d\n", bad);
    ref->ops->close(ref);
    gpu->ops->close(gpu);
    return bad;
}

// A word a text, of every length about the borders of SHA-1's blocks and of its end mark, at every alignment.
static void add_words(texts *t)
{
    t->count = 0;
    for (size_t length = 1; length <= 200; length += length % 64 == 8 ? 40 : length == 130 ? 60 : 1) {
        for (size_t blanks = 0; blanks < 4; blanks++) {
            uint64_t at = t->offsets[t->count];
            memset(t->bytes + at, ' ', blanks);
            for (size_t i = 0; i < length; i++)
                t->bytes[at + blanks + i] = (uint8_t)(0x21 + next() % 0x5e);
            t->offsets[++t->count] = at + blanks + length;
        }
    }
}

static int small(const mill_backend_ops *ops, texts *t)
{
    static const size_t sizes[] = {0,  1,  2,   3,   15,  16,  17,  31,  32,   33,  63,
                                   64, 65, 127, 128, 129, 255, 256, 257, 1023, 1025};
    int bad = 0;
    char what[64];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        t->count = 0;
        for (int mixture = 0; mixture < 9; mixture++)
            add_text(t, sizes[s], mixture);
        snprintf(what, sizeof what, "nine texts of %zu bytes", sizes[s]);
        bad += compare(ops, t, what);
        bad += compare_scan(ops, t, what);
    }
    for (int round = 0; round < 3; round++) {
        t->count = 0;
        for (int i = 0; i < 150; i++)
            add_text(t, next() % 4 == 0 ? 0 : next() % 120, (int)(next() % 9));
        bad += compare(ops, t, "150 short texts");
        bad += compare_scan(ops, t, "150 short texts");
    }
    add_words(t);
    bad += compare(ops, t, "words of all lengths");
    t->count = 0;
    return bad + compare(ops, t, "no text") + legacy_borders(ops);
}

static int large(const mill_backend_ops *ops, texts *t)
{
    static const size_t sizes[] = {65535, 65536, 65537, 140000};
    int bad = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        t->count = 0;
        add_text(t, sizes[s], 8);
        add_text(t, 7, 0);
        add_text(t, sizes[s] / 3, 6);
        bad += compare(ops, t, "long texts");
        bad += compare_scan(ops, t, "long texts");
    }
    t->count = 0;
    for (uint64_t i = t->offsets[0] = 0; i < 300000; i += 2) // 150,000 words: three pieces of MinHash
        memcpy(t->bytes + i, next() % 2 ? "a " : "b ", 2);
    t->offsets[++t->count] = 300000;
    bad += compare(ops, t, "150,000 words");
    t->count = 0;
    add_text(t, 900000, 6); // two slots
    add_text(t, 900000, 0);
    add_text(t, (1u << 20) + 1, 0); // fits no slot: the processor's
    return bad + compare(ops, t, "more than a slot");
}

typedef struct job {
    const mill_backend_ops *ops;
    const texts *t;
    int bad;
} job;

static void *work(void *context)
{
    job *j = context;
    mill_backend *ref = NULL, *gpu = NULL;
    mill_error err;
    mill_text_view view = view_of(j->t);
    mill_text_stat *a = calloc(j->t->count, sizeof *a), *b = calloc(j->t->count, sizeof *b);
    if (mill_backend_ref.open(&mill_backend_ref, &ref, &err) != MILL_OK ||
        j->ops->open(j->ops, &gpu, &err) != MILL_OK)
        exit(1);
    for (int round = 0; round < 3; round++) {
        j->bad += ref->ops->text_stats(ref, &view, 160, a, &err) != MILL_OK ||
                  gpu->ops->text_stats(gpu, &view, 160, b, &err) != MILL_OK;
        for (uint32_t i = 0; i < j->t->count; i++)
            j->bad += a[i].chars != b[i].chars || a[i].alnum_or_space != b[i].alnum_or_space;
    }
    ref->ops->close(ref);
    gpu->ops->close(gpu);
    free(a);
    free(b);
    return NULL;
}

// Several workers share the devices.
static int together(const mill_backend_ops *ops, texts *t)
{
    pthread_t threads[WORKERS];
    job jobs[WORKERS];
    int bad = 0;
    t->count = 0;
    for (int i = 0; i < 60; i++)
        add_text(t, next() % 300, (int)(next() % 9));
    for (int i = 0; i < WORKERS; i++) {
        jobs[i] = (job){ops, t, 0};
        if (pthread_create(&threads[i], NULL, work, &jobs[i]) != 0)
            exit(1);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        bad += jobs[i].bad;
    }
    if (bad != 0)
        printf("several workers: %d differences\n", bad);
    return bad;
}

int main(int argc, char **argv)
{
    const char *device = "simt";
    bool with_large = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--large") == 0)
            with_large = true;
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
    texts t = {malloc(TEXT_MAX + 16), calloc(4096, sizeof(uint64_t)), 0};
    if (t.bytes == NULL || t.offsets == NULL)
        return 1;
    const mill_backend_ops *ops = mill_gpus_backend(gpus);
    int bad = with_large ? large(ops, &t) : small(ops, &t) + together(ops, &t);
    uint64_t batches = 0;
    for (size_t i = 0; i < mill_gpus_count(gpus); i++) {
        bad += mill_gpus_use(gpus, i).failed;
        batches += mill_gpus_use(gpus, i).batches;
    }
    mill_gpus_close(gpus);
    free(t.bytes);
    free(t.offsets);
    printf("gpu parity on %s: %llu batches, %d differences\n", device, (unsigned long long)batches, bad);
    return bad != 0 || batches == 0;
}
