// gpu_bench.c: how long the kernels of a device take on 64 MiB of text, and the copies: median of 20 after a
// warm-up; then rounds of merges, kernel by kernel, and whole trainings on all devices.
//   gpu_bench [cuda|simt] [MEBIBYTES] [FILE]     FILE: text to use; else words are made up
#include "gpu_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/unicode.h"
#include "dedup/minhash.h"

enum { REPEATS = 20, DOCUMENT = 8192, PERMUTATIONS = 128, VOCABULARY = 1 << 15 };

void bench_check(const bench *b, int code, const char *what)
{
    if (code == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, b->api->error_text(code));
    exit(1);
}

void *bench_take(const bench *b, size_t bytes)
{
    void *memory;
    bench_check(b, b->api->memory_take(&memory, bytes != 0 ? bytes : 1), "taking device memory");
    bench_check(b, b->api->fill(memory, 0, bytes, b->stream), "clearing");
    return memory;
}

void *bench_send(const bench *b, const void *values, size_t bytes)
{
    void *memory = bench_take(b, bytes);
    bench_check(b, b->api->copy_in(memory, values, bytes, b->stream), "copying in");
    bench_check(b, b->api->stream_finish(b->stream), "copying in");
    return memory;
}

void bench_receive(const bench *b, void *values, const void *from, size_t bytes)
{
    bench_check(b, b->api->copy_out(values, from, bytes, b->stream), "copying out");
    bench_check(b, b->api->stream_finish(b->stream), "copying out");
}

double bench_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double time_steps(const bench *b, const char *name, bench_step before, bench_step step, void *context,
                         int times)
{
    if (before != NULL)
        bench_check(b, before(context), name);
    bench_check(b, b->api->stream_finish(b->stream), name);
    double from = bench_now();
    for (int i = 0; i < times; i++)
        bench_check(b, step(context), name);
    bench_check(b, b->api->stream_finish(b->stream), name);
    return (bench_now() - from) / times;
}

double bench_measure(const bench *b, const char *name, bench_step before, bench_step step, void *context)
{
    double seconds[REPEATS];
    const int repeats = b->emulated ? 2 : REPEATS;
    int times = 1;
    (void)time_steps(b, name, before, step, context, 1); // warm
    double once = time_steps(b, name, before, step, context, 1);
    while (before == NULL && times < 64 && once * times < 2e-3)
        times *= 2;
    for (int i = 0; i < repeats; i++)
        seconds[i] = time_steps(b, name, before, step, context, times);
    qsort(seconds, (size_t)repeats, sizeof *seconds, by_value);
    double median = (seconds[repeats / 2] + seconds[repeats / 2 - 1]) / 2;
    printf("%-34s %9.3f ms %9.1f GB/s\n", name, 1e3 * median, 1e-9 * (double)b->bytes / median);
    return median;
}

// ---- text

static uint64_t draw(uint64_t *state)
{
    return (*state = *state * 6364136223846793005u + 1442695040888963407u) >> 11;
}

// Words of a vocabulary, short and frequent ones most often, one in thirty a new one; signs between, indented
// lines: about as many pieces, words and new words as code has.
static void make_text(uint8_t *out, size_t bytes)
{
    static const char *const signs[] = {" ",  " ",       " = ",        "(", ")",   ".",
                                        ", ", ":\n    ", "\n        ", "_", "[0]", "\n\n"};
    uint64_t state = 1;
    for (size_t i = 0; i < bytes;) {
        uint64_t number = draw(&state) % VOCABULARY;
        for (int k = 0; k < 3; k++) {
            uint64_t other = draw(&state) % VOCABULARY;
            number = other < number ? other : number;
        }
        uint64_t word = draw(&state) % 30 == 0 ? draw(&state) : number,
                 shape = word * 0x9e3779b97f4a7c15u >> 20;
        size_t length = 1 + shape % (word < 200 ? 6 : 13);
        for (size_t k = 0; k < length && i < bytes; k++, shape = shape * 29 + word)
            out[i++] = (uint8_t)('a' + (shape >> 7) % 26);
        const char *sign = signs[draw(&state) % (sizeof signs / sizeof *signs)];
        for (size_t k = 0; sign[k] != '\0' && i < bytes; k++)
            out[i++] = (uint8_t)sign[k];
    }
}

static void read_text(bench *b, const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t got = file != NULL ? fread(b->host, 1, b->bytes, file) : 0;
    if (file != NULL)
        fclose(file);
    if (got == 0) {
        fprintf(stderr, "%s: nothing to read\n", path);
        exit(1);
    }
    for (size_t i = got; i < b->bytes; i++) // a short file again and again
        b->host[i] = b->host[i - got];
}

// ---- kernels on texts

typedef struct parts {
    const bench *b;
    mill_gpu_words words;
    mill_gpu_minhash affine, legacy;
    mill_gpu_patterns patterns;
    uint32_t *signatures, *comments, *found, *traits;
    mill_gpu_text_stat *stats;
} parts;

static int step_copy_in(void *context)
{
    const bench *b = ((parts *)context)->b;
    return b->api->copy_in(b->device_text, b->host, b->bytes, b->stream);
}

static int step_copy_out(void *context)
{
    const bench *b = ((parts *)context)->b;
    return b->api->copy_out(b->host_out, b->device_text, b->bytes, b->stream);
}

static int step_text_stats(void *context)
{
    parts *p = context;
    const bench *b = p->b;
    return b->api->text_stats(&b->texts, b->unicode, MILL_UNICODE_INDEX_COUNT, MILL_UNICODE_SHIFT,
                              mill_alnum_rank(160), p->stats, b->stream);
}

static int step_text_scan(void *context)
{
    parts *p = context;
    const bench *b = p->b;
    return b->api->text_scan(&b->texts, b->unicode, MILL_UNICODE_INDEX_COUNT, MILL_UNICODE_SHIFT,
                             &p->patterns, p->traits, p->comments, p->found, b->stream);
}

static int step_words(void *context)
{
    parts *p = context;
    return p->b->api->words(&p->b->texts, &p->words, p->b->stream);
}

static int step_affine(void *context)
{
    parts *p = context;
    return p->b->api->minhash(&p->b->texts, &p->words, &p->affine, p->signatures, p->b->stream);
}

static int step_legacy(void *context)
{
    parts *p = context;
    return p->b->api->minhash(&p->b->texts, &p->words, &p->legacy, p->signatures, p->b->stream);
}

static void prepare_minhash(parts *p)
{
    const bench *b = p->b;
    mill_minhash_params params;
    mill_error err;
    for (int scheme = 0; scheme < 2; scheme++) {
        if (mill_minhash_params_init(&params, (mill_minhash_scheme)scheme, PERMUTATIONS, 1, &err) != MILL_OK)
            exit(1);
        mill_gpu_minhash *to = scheme == MILL_MINHASH_LEGACY ? &p->legacy : &p->affine;
        *to = (mill_gpu_minhash){.legacy = scheme == MILL_MINHASH_LEGACY, .permutations = PERMUTATIONS};
        to->a = bench_send(b, params.a, PERMUTATIONS * 8);
        to->b = bench_send(b, params.b, PERMUTATIONS * 8);
        to->a32 = bench_send(b, params.a32, PERMUTATIONS * 4);
        to->b32 = bench_send(b, params.b32, PERMUTATIONS * 4);
        mill_minhash_params_free(&params);
    }
}

static void bench_texts(const bench *b)
{
    size_t count = b->texts.count, bitmap = (b->bytes / 32 + 2) * 4,
           most = MILL_GPU_WORDS_MAX(b->bytes, count) * 4;
    uint32_t *traits = malloc(count * sizeof *traits), heads[257]; // one pattern, "generated"
    const mill_gpu_pattern pattern = {0, 9, MILL_GPU_PATTERN_FOLD};
    if (traits == NULL)
        exit(1);
    for (size_t i = 0; i < count; i++)
        traits[i] = 3;
    for (int c = 0; c < 257; c++)
        heads[c] = c > 'g';
    parts p = {.b = b,
               .words = {.blanks = bench_take(b, bitmap),
                         .breaks = bench_take(b, bitmap),
                         .ranks = bench_take(b, bitmap),
                         .sums = bench_take(b, (b->bytes / 1024 + 2) * 4),
                         .places = bench_take(b, most),
                         .hashes = bench_take(b, most),
                         .counts = bench_take(b, 256)},
               .stats = bench_take(b, count * sizeof *p.stats),
               .signatures = bench_take(b, count * PERMUTATIONS * 4),
               .comments = bench_take(b, count * 4),
               .found = bench_take(b, count * 4),
               .traits = bench_send(b, traits, count * 4),
               .patterns = {bench_send(b, "generated", 9), bench_send(b, &pattern, sizeof pattern),
                            bench_send(b, heads, sizeof heads), 0}};
    prepare_minhash(&p);
    static const struct {
        const char *name;
        bench_step step;
    } steps[] = {{"copy in", step_copy_in},
                 {"copy out", step_copy_out},
                 {"text statistics", step_text_stats},
                 {"comments and patterns", step_text_scan},
                 {"words and SHA-1", step_words},
                 {"MinHash affine32, 128 permutations", step_affine},
                 {"MinHash legacy, 128 permutations", step_legacy}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        (void)bench_measure(b, steps[i].name, NULL, steps[i].step, &p);
    free(traits);
}

static void prepare(bench *b)
{
    size_t count = b->bytes / DOCUMENT;
    uint32_t *offsets = malloc((count + 1) * sizeof *offsets);
    if (offsets == NULL)
        exit(1);
    for (size_t i = 0; i <= count; i++)
        offsets[i] = (uint32_t)(i * DOCUMENT);
    b->device_text = bench_take(b, b->bytes + 16);
    b->texts = (mill_gpu_texts){b->device_text, bench_send(b, offsets, (count + 1) * sizeof *offsets),
                                (uint32_t)count, (uint32_t)b->bytes, DOCUMENT};
    b->unicode = bench_take(b, MILL_UNICODE_INDEX_COUNT + MILL_UNICODE_BLOCK_BYTES);
    bench_check(b, b->api->copy_in(b->unicode, mill_unicode_index, MILL_UNICODE_INDEX_COUNT, b->stream),
                "copying tables");
    bench_check(b,
                b->api->copy_in(b->unicode + MILL_UNICODE_INDEX_COUNT, mill_unicode_blocks,
                                MILL_UNICODE_BLOCK_BYTES, b->stream),
                "copying tables");
    free(offsets);
}

int main(int argc, char **argv)
{
    char why[256];
    bench b = {.kind = argc > 1 ? argv[1] : "cuda", .bytes = (size_t)(argc > 2 ? atoi(argv[2]) : 64) << 20};
    void *pinned = NULL, *pinned_out = NULL;
    int count = 0;
    b.emulated = strcmp(b.kind, "simt") == 0;
    b.api = mill_gpu_find(b.kind, why, sizeof why);
    if (b.api == NULL || b.api->device_count(&count) != 0 || count == 0) {
        printf("no device: %s\n", b.api == NULL ? why : "none found");
        return 77;
    }
    bench_check(&b, b.api->device_use(0), "choosing the device");
    bench_check(&b, b.api->stream_open(&b.stream), "making a stream");
    bench_check(&b, b.api->pinned_take(&pinned, b.bytes), "taking pinned memory");
    bench_check(&b, b.api->pinned_take(&pinned_out, b.bytes), "taking pinned memory");
    b.host = pinned;
    b.host_out = pinned_out;
    if (argc > 3)
        read_text(&b, argv[3]);
    else
        make_text(b.host, b.bytes);
    prepare(&b);
    bench_texts(&b);
    bench_words(&b);
    bench_training(&b);
    return 0;
}
