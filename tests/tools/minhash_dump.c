// minhash_dump.c: what the product makes of texts, for tests/agree/agree_datasketch.py.
//   minhash_dump perms SCHEME N SEED               a and b, one pair a line
//   minhash_dump params N PERMYRIAD...             bands and rows, one pair a line
//   minhash_dump sign BACKEND SCHEME N < texts     signatures, N little-endian u32 each
//   minhash_dump dedup SCHEME PERMYRIAD < texts    one byte a text: 1 kept, 0 dropped by policy first;
//                                                  timings on stderr
// texts: each after its length as a little-endian u64.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/backend.h"
#include "dedup/dedup.h"
#include "dedup/minhash.h"

#define CHECK(expression) \
    do { \
        if ((expression) != MILL_OK) { \
            fprintf(stderr, "minhash_dump: %s\n", err.message); \
            exit(1); \
        } \
    } while (0)

static mill_error err;

static mill_minhash_scheme scheme_of(const char *name)
{
    return strcmp(name, "legacy") == 0 ? MILL_MINHASH_LEGACY : MILL_MINHASH_AFFINE32;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static mill_text_view read_texts(void)
{
    mill_buf text = {0};
    uint64_t *offsets = NULL, length;
    size_t capacity = 0;
    uint32_t count = 0;
    CHECK(MILL_GROW(offsets, capacity, 1, &err));
    offsets[0] = 0;
    while (fread(&length, 8, 1, stdin) == 1) {
        CHECK(mill_buf_reserve(&text, length + 1, &err));
        if (fread(text.data + text.bytes, 1, length, stdin) != length)
            exit(1);
        text.bytes += length;
        CHECK(MILL_GROW(offsets, capacity, (size_t)count + 2, &err));
        offsets[++count] = text.bytes;
    }
    return (mill_text_view){text.data, offsets, count};
}

static uint32_t *sign(const char *backend_name, const mill_text_view *view,
                      const mill_minhash_params *params)
{
    const mill_backend_ops *ops = mill_backend_find(backend_name);
    mill_backend *backend;
    uint32_t *out = malloc(((size_t)view->count * params->num_perm + 1) * sizeof *out);
    if (ops == NULL || out == NULL)
        exit(1);
    CHECK(ops->open(ops, &backend, &err));
    CHECK(ops->minhash(backend, view, params, out, &err));
    ops->close(backend);
    return out;
}

typedef struct signatures {
    const uint32_t *values;
    uint64_t count;
    uint32_t num_perm, bands, rows;
} signatures;

static mill_status give_keys(void *context, uint32_t band, mill_key *keys, mill_error *unused)
{
    const signatures *s = context;
    (void)unused;
    for (uint64_t i = 0; i < s->count; i++)
        mill_lsh_band_keys(s->values + i * s->num_perm + (size_t)band * s->rows, 1, s->rows, keys + i);
    return MILL_OK;
}

static int dedup(mill_minhash_scheme scheme, uint32_t permyriad)
{
    mill_text_view texts = read_texts();
    mill_minhash_params params;
    signatures s = {NULL, texts.count, 128, 0, 0};
    CHECK(mill_minhash_params_init(&params, scheme, 128, 1, &err));
    CHECK(mill_lsh_optimal(permyriad, 128, &s.bands, &s.rows, &err));
    double start = seconds();
    s.values = sign("cpu", &texts, &params);
    double signed_at = seconds();
    uint64_t *kept_by = malloc((texts.count + 1) * sizeof *kept_by);
    uint64_t *exact_by = malloc((texts.count + 1) * sizeof *exact_by);
    mill_key *content = malloc((texts.count + 1) * sizeof *content);
    uint32_t *scope = calloc(texts.count + 1, sizeof *scope);
    if (kept_by == NULL || exact_by == NULL || content == NULL || scope == NULL)
        return 1;
    for (uint32_t i = 0; i < texts.count; i++) {
        kept_by[i] = exact_by[i] = MILL_DEDUP_NONE;
        content[i] =
            mill_hash128(texts.bytes + texts.offsets[i], texts.offsets[i + 1] - texts.offsets[i]);
    }
    mill_dedup_view view = {texts.count, content, scope, NULL, NULL};
    double hashed_at = seconds();
    CHECK(mill_dedup_exact(&view, exact_by, &err));
    double exact_at = seconds();
    // From the same start as the package, which knows no exact stage; a copy shares every band, so the
    // result is equal.
    CHECK(mill_dedup_near(&view, s.bands, MILL_DEDUP_FIRST, MILL_SURVIVOR_FIRST, give_keys, &s, kept_by,
                          &err));
    double near_at = seconds();
    CHECK(mill_dedup_near(&view, s.bands, MILL_DEDUP_FIRST, MILL_SURVIVOR_FIRST, give_keys, &s, exact_by,
                          &err));
    uint64_t differences = 0;
    for (uint32_t i = 0; i < texts.count; i++) {
        differences += (kept_by[i] == MILL_DEDUP_NONE) != (exact_by[i] == MILL_DEDUP_NONE);
        putchar(kept_by[i] == MILL_DEDUP_NONE);
    }
    fprintf(stderr, "sign %.3f s (%.1f MB/s), exact %.4f s, near %.4f s\n", signed_at - start,
            (double)texts.offsets[texts.count] / 1e6 / (signed_at - start), exact_at - hashed_at,
            near_at - exact_at);
    if (differences != 0)
        fprintf(stderr, "minhash_dump: an exact stage before changes %llu verdicts\n",
                (unsigned long long)differences);
    return differences != 0;
}

int main(int argc, char **argv)
{
    mill_minhash_params params;
    if (argc >= 5 && strcmp(argv[1], "perms") == 0) {
        CHECK(mill_minhash_params_init(&params, scheme_of(argv[2]), (uint32_t)atoi(argv[3]),
                                       (uint32_t)atoi(argv[4]), &err));
        for (uint32_t k = 0; k < params.num_perm; k++)
            printf("%llu %llu\n", (unsigned long long)params.a[k], (unsigned long long)params.b[k]);
        return 0;
    }
    if (argc >= 3 && strcmp(argv[1], "params") == 0) {
        for (int i = 3; i < argc; i++) {
            uint32_t bands, rows;
            CHECK(
                mill_lsh_optimal((uint32_t)atoi(argv[i]), (uint32_t)atoi(argv[2]), &bands, &rows, &err));
            printf("%u %u\n", bands, rows);
        }
        return 0;
    }
    if (argc >= 5 && strcmp(argv[1], "sign") == 0) {
        CHECK(mill_minhash_params_init(&params, scheme_of(argv[3]), (uint32_t)atoi(argv[4]), 1, &err));
        mill_text_view texts = read_texts();
        uint32_t *out = sign(argv[2], &texts, &params);
        return fwrite(out, params.num_perm * sizeof *out, texts.count, stdout) != texts.count;
    }
    if (argc >= 4 && strcmp(argv[1], "dedup") == 0)
        return dedup(scheme_of(argv[2]), (uint32_t)atoi(argv[3]));
    fprintf(stderr, "minhash_dump: see the head of its source\n");
    return 2;
}
