// gpu_bench.c: how long the kernels of a device take on 64 MiB of text, and the copies: median of 20 after a
// warm-up.
//   gpu_bench [cuda|simt] [MEBIBYTES] [FILE]     FILE: text to use; else words are made up
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/gpu_device.h"
#include "core/unicode.h"
#include "dedup/minhash.h"

enum { REPEATS = 20, DOCUMENT = 8192, PERMUTATIONS = 128 };

typedef struct bench {
    const mill_gpu_api *api;
    void *stream;
    uint8_t *host, *host_out;
    size_t bytes;
    mill_gpu_texts texts;
    mill_gpu_words words;
    mill_gpu_minhash affine, legacy;
    mill_gpu_patterns patterns;
    uint8_t *device_text, *unicode;
    uint32_t *signatures, *comments, *found, *traits;
    mill_gpu_text_stat *stats;
} bench;

static void check(const bench *b, int code, const char *what)
{
    if (code == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, b->api->error_text(code));
    exit(1);
}

static void *take(const bench *b, size_t bytes)
{
    void *memory;
    check(b, b->api->memory_take(&memory, bytes), "taking device memory");
    return memory;
}

static void *send(const bench *b, const void *values, size_t bytes)
{
    void *memory = take(b, bytes);
    check(b, b->api->copy_in(memory, values, bytes, b->stream), "copying in");
    check(b, b->api->stream_finish(b->stream), "copying in");
    return memory;
}

// Words of 1 to 17 letters, lines of about ten words.
static void make_text(uint8_t *out, size_t bytes)
{
    uint64_t state = 1;
    for (size_t i = 0; i < bytes;) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t length = 1 + (state >> 33) % 17;
        for (size_t k = 0; k < length && i < bytes; k++)
            out[i++] = (uint8_t)('a' + (state >> (5 * (k % 9) + 7)) % 26);
        if (i < bytes)
            out[i++] = (state >> 60) == 0 ? '\n' : ' ';
    }
}

static int step(bench *b, int which)
{
    const mill_gpu_api *api = b->api;
    switch (which) {
    case 0: return api->copy_in(b->device_text, b->host, b->bytes, b->stream);
    case 1: return api->copy_out(b->host_out, b->device_text, b->bytes, b->stream);
    case 2:
        return api->text_stats(&b->texts, b->unicode, MILL_UNICODE_INDEX_COUNT, MILL_UNICODE_SHIFT,
                               mill_alnum_rank(160), b->stats, b->stream);
    case 3:
        return api->text_scan(&b->texts, b->unicode, MILL_UNICODE_INDEX_COUNT, MILL_UNICODE_SHIFT,
                              &b->patterns, b->traits, b->comments, b->found, b->stream);
    case 4: return api->words(&b->texts, &b->words, b->stream);
    case 5: return api->minhash(&b->texts, &b->words, &b->affine, b->signatures, b->stream);
    default: return api->minhash(&b->texts, &b->words, &b->legacy, b->signatures, b->stream);
    }
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(bench *b, int which, const char *name)
{
    double seconds[REPEATS];
    check(b, step(b, which), name);
    check(b, b->api->stream_finish(b->stream), name);
    for (int i = 0; i < REPEATS; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        check(b, step(b, which), name);
        check(b, b->api->stream_finish(b->stream), name);
        clock_gettime(CLOCK_MONOTONIC, &to);
        seconds[i] = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    }
    qsort(seconds, REPEATS, sizeof *seconds, by_value);
    double median = (seconds[REPEATS / 2] + seconds[REPEATS / 2 - 1]) / 2;
    printf("%-34s %9.3f ms %9.1f GB/s\n", name, 1e3 * median, 1e-9 * (double)b->bytes / median);
}

static void prepare(bench *b)
{
    size_t count = b->bytes / DOCUMENT, bitmap = (b->bytes / 32 + 2) * 4;
    size_t most = MILL_GPU_WORDS_MAX(b->bytes, count) * 4;
    uint32_t *offsets = malloc((count + 1) * sizeof *offsets), *traits = malloc(count * sizeof *traits);
    uint32_t heads[257] = {0}; // one pattern, "generated"
    const mill_gpu_pattern pattern = {0, 9, MILL_GPU_PATTERN_FOLD};
    mill_minhash_params params;
    mill_error err;
    if (offsets == NULL || traits == NULL)
        exit(1);
    for (size_t i = 0; i <= count; i++)
        offsets[i] = (uint32_t)(i * DOCUMENT);
    for (size_t i = 0; i < count; i++)
        traits[i] = 3;
    for (int c = 0; c < 257; c++)
        heads[c] = c > 'g';
    b->device_text = take(b, b->bytes + 16);
    check(b, b->api->fill(b->device_text, 0, b->bytes + 16, b->stream), "clearing");
    b->texts = (mill_gpu_texts){b->device_text, send(b, offsets, (count + 1) * sizeof *offsets),
                                (uint32_t)count, (uint32_t)b->bytes, DOCUMENT};
    b->words = (mill_gpu_words){.blanks = take(b, bitmap),
                                .breaks = take(b, bitmap),
                                .ranks = take(b, bitmap),
                                .sums = take(b, (b->bytes / 1024 + 2) * 4),
                                .places = take(b, most),
                                .hashes = take(b, most),
                                .counts = take(b, 256)};
    b->unicode = take(b, MILL_UNICODE_INDEX_COUNT + MILL_UNICODE_BLOCK_BYTES);
    check(b, b->api->copy_in(b->unicode, mill_unicode_index, MILL_UNICODE_INDEX_COUNT, b->stream),
          "copying tables");
    check(b,
          b->api->copy_in(b->unicode + MILL_UNICODE_INDEX_COUNT, mill_unicode_blocks,
                          MILL_UNICODE_BLOCK_BYTES, b->stream),
          "copying tables");
    b->stats = take(b, count * sizeof *b->stats);
    b->signatures = take(b, count * PERMUTATIONS * 4);
    b->comments = take(b, count * 4);
    b->found = take(b, count * 4);
    b->traits = send(b, traits, count * 4);
    b->patterns = (mill_gpu_patterns){send(b, "generated", 9), send(b, &pattern, sizeof pattern),
                                      send(b, heads, sizeof heads), 0};
    for (int scheme = 0; scheme < 2; scheme++) {
        if (mill_minhash_params_init(&params, (mill_minhash_scheme)scheme, PERMUTATIONS, 1, &err) != MILL_OK)
            exit(1);
        mill_gpu_minhash *to = scheme == MILL_MINHASH_LEGACY ? &b->legacy : &b->affine;
        *to = (mill_gpu_minhash){.legacy = scheme == MILL_MINHASH_LEGACY, .permutations = PERMUTATIONS};
        to->a = send(b, params.a, PERMUTATIONS * 8);
        to->b = send(b, params.b, PERMUTATIONS * 8);
        to->a32 = send(b, params.a32, PERMUTATIONS * 4);
        to->b32 = send(b, params.b32, PERMUTATIONS * 4);
        mill_minhash_params_free(&params);
    }
    free(offsets);
    free(traits);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"copy in",
                                        "copy out",
                                        "text statistics",
                                        "comments and patterns",
                                        "words and SHA-1",
                                        "MinHash affine32, 128 permutations",
                                        "MinHash legacy, 128 permutations"};
    char why[256];
    bench b = {.bytes = (size_t)(argc > 2 ? atoi(argv[2]) : 64) << 20};
    void *pinned = NULL, *pinned_out = NULL;
    int count = 0;
    b.api = mill_gpu_find(argc > 1 ? argv[1] : "cuda", why, sizeof why);
    if (b.api == NULL || b.api->device_count(&count) != 0 || count == 0) {
        printf("no device: %s\n", b.api == NULL ? why : "none found");
        return 77;
    }
    check(&b, b.api->device_use(0), "choosing the device");
    check(&b, b.api->stream_open(&b.stream), "making a stream");
    check(&b, b.api->pinned_take(&pinned, b.bytes), "taking pinned memory");
    check(&b, b.api->pinned_take(&pinned_out, b.bytes), "taking pinned memory");
    b.host = pinned;
    b.host_out = pinned_out;
    make_text(b.host, b.bytes);
    if (argc > 3) {
        FILE *file = fopen(argv[3], "rb");
        size_t got = file != NULL ? fread(b.host, 1, b.bytes, file) : 0;
        for (size_t i = got; got != 0 && i < b.bytes; i++) // a short file again and again
            b.host[i] = b.host[i - got];
        if (file != NULL)
            fclose(file);
    }
    prepare(&b);
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        measure(&b, i, names[i]);
    return 0;
}
