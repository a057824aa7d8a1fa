// test_dedup.c: SHA-1, permutation parameters, LSH parameters, and both policies against a brute-force
// sequential pass.
#include "backend/sha1.h"
#include "core/rng.h"
#include "dedup/dedup.h"
#include "dedup/minhash.h"

#include <criterion/criterion.h>
#include <openssl/sha.h>
#include <string.h>

// ---- SHA-1 ----

static void check_sha1(mill_sha1_fn sha1, const char *name)
{
    static uint8_t text[1024];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 151 + (i >> 3));
    for (size_t bytes = 0; bytes <= sizeof text; bytes++) {
        uint8_t expected[20];
        uint32_t digest[5];
        SHA1(text, bytes, expected);
        sha1(text, bytes, digest);
        for (int i = 0; i < 5; i++) {
            uint32_t word;
            memcpy(&word, expected + 4 * i, 4);
            cr_assert_eq(__builtin_bswap32(word), digest[i], "%s, %zu bytes, word %d", name, bytes, i);
        }
    }
}

Test(sha1, equals_libcrypto_for_every_length_to_1024)
{
    check_sha1(mill_sha1_portable, "portable");
    check_sha1(mill_sha1_select(), "selected");
}

// ---- parameters: values printed by datasketch 2.0.0 ----

Test(minhash_params, equal_datasketch_with_seed_1_and_128_permutations)
{
    mill_minhash_params p;
    cr_assert_eq(mill_minhash_params_init(&p, MILL_MINHASH_AFFINE32, 128, 1, NULL), MILL_OK);
    cr_assert(p.a32[0] == 3582191691u && p.a32[1] == 4270784983u && p.b32[0] == 214548472u &&
              p.b32[1] == 3287733501u);
    cr_assert(p.a[0] == p.a32[0] && p.b[127] == p.b32[127]);
    mill_minhash_params_free(&p);
    cr_assert_eq(mill_minhash_params_init(&p, MILL_MINHASH_LEGACY, 128, 1, NULL), MILL_OK);
    cr_assert(p.a[0] == 775169054918279404u && p.a[1] == 2109959069025162u);
    cr_assert(p.b[0] == 1758426461858698312u && p.b[1] == 965365488286768773u);
    mill_minhash_params_free(&p);
    mill_minhash_params_free(&p); // harmless
}

Test(minhash_params, refuse_a_number_of_permutations_out_of_range)
{
    mill_minhash_params p;
    mill_error err;
    cr_assert_eq(mill_minhash_params_init(&p, MILL_MINHASH_AFFINE32, 0, 1, &err), MILL_RECIPE);
    cr_assert_eq(mill_minhash_params_init(&p, MILL_MINHASH_AFFINE32, MILL_MINHASH_PERM_MAX + 1, 1, &err),
                 MILL_RECIPE);
    mill_minhash_params_free(&p);
}

Test(lsh_optimal, equals_datasketch_for_128_permutations)
{
    static const uint32_t rows_of[][3] = {{5000, 25, 5}, {5500, 21, 6},  {6000, 18, 7}, {6500, 16, 8},
                                          {7000, 14, 9}, {7500, 11, 11}, {8000, 9, 13}, {8500, 8, 16},
                                          {9000, 5, 25}, {9500, 3, 42}};
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++) {
        uint32_t bands = 0, rows = 0;
        cr_assert_eq(mill_lsh_optimal(rows_of[i][0], 128, &bands, &rows, NULL), MILL_OK);
        cr_assert(bands == rows_of[i][1] && rows == rows_of[i][2], "%u: %u x %u", rows_of[i][0], bands,
                  rows);
    }
}

Test(lsh_optimal, refuses_a_threshold_that_leaves_one_band)
{
    uint32_t bands, rows;
    mill_error err;
    cr_assert_eq(mill_lsh_optimal(10000, 128, &bands, &rows, &err), MILL_RECIPE);
    cr_assert_eq(mill_lsh_optimal(10001, 128, &bands, &rows, &err), MILL_RECIPE);
    cr_assert_eq(mill_lsh_optimal(8500, 1, &bands, &rows, &err), MILL_RECIPE);
}

Test(lsh_band_keys, differ_exactly_where_the_rows_differ)
{
    uint32_t a[12], b[12];
    mill_key ka[4], kb[4];
    for (uint32_t i = 0; i < 12; i++)
        a[i] = b[i] = i * 77;
    b[5]++; // band 1 of 4 x 3
    mill_lsh_band_keys(a, 4, 3, ka);
    mill_lsh_band_keys(b, 4, 3, kb);
    for (int band = 0; band < 4; band++)
        cr_assert_eq(mill_key_equal(ka[band], kb[band]), band != 1);
    cr_assert_eq(mill_minhash_similarity(a, b, 12), 11 * 10000 / 12);
    cr_assert_eq(mill_minhash_similarity(a, a, 12), 10000);
}

// ---- policies against brute force ----

#define RECORDS_MAX 200
#define BANDS_MAX 8

typedef struct instance {
    mill_dedup_view view;
    uint32_t bands;
    mill_key content[RECORDS_MAX], keys[BANDS_MAX][RECORDS_MAX];
    uint32_t scope[RECORDS_MAX];
    int64_t stars[RECORDS_MAX];
    uint64_t bytes[RECORDS_MAX];
    uint64_t kept_by[RECORDS_MAX]; // on entry
    uint32_t bands_asked;
} instance;

static uint64_t draw(uint64_t *state, uint64_t bound)
{
    *state += 1;
    return mill_draw_below(mill_draw(*state, MILL_DRAW_TEST, (mill_key){1, 2}, 0), bound);
}

static void make_instance(instance *t, uint64_t seed)
{
    uint64_t s = seed << 32;
    uint64_t choices[] = {2, 5, 20, 60, 300};
    t->view = (mill_dedup_view){draw(&s, RECORDS_MAX + 1), t->content, t->scope, t->stars, t->bytes};
    t->bands = 1 + (uint32_t)draw(&s, BANDS_MAX);
    t->bands_asked = 0;
    uint64_t keys = choices[draw(&s, 5)], scopes = 1 + draw(&s, 3), out_of_100 = draw(&s, 3) * 20;
    for (uint64_t i = 0; i < t->view.count; i++) {
        // Half of the instances have keys that differ in one of their halves only.
        t->content[i] = draw(&s, 2) ? (mill_key){draw(&s, keys), 0} : (mill_key){0, draw(&s, keys)};
        for (uint32_t b = 0; b < t->bands; b++)
            t->keys[b][i] = (mill_key){draw(&s, keys), draw(&s, 2)};
        t->scope[i] = (uint32_t)draw(&s, scopes);
        t->stars[i] = (int64_t)draw(&s, 4) - 1;
        t->bytes[i] = draw(&s, 4);
        t->kept_by[i] = i > 0 && draw(&s, 100) < out_of_100 ? draw(&s, i) : MILL_DEDUP_NONE;
    }
}

static mill_status give_keys(void *context, uint32_t band, mill_key *keys, mill_error *err)
{
    instance *t = context;
    (void)err;
    cr_assert_eq(band, t->bands_asked);
    t->bands_asked++;
    memcpy(keys, t->keys[band], t->view.count * sizeof *keys);
    return MILL_OK;
}

static bool share_band(const instance *t, uint64_t i, uint64_t j)
{
    for (uint32_t b = 0; b < t->bands; b++)
        if (t->scope[i] == t->scope[j] && mill_key_equal(t->keys[b][i], t->keys[b][j]))
            return true;
    return false;
}

static void brute_first(const instance *t, uint64_t *kept_by)
{
    for (uint64_t i = 0; i < t->view.count; i++) {
        for (uint64_t j = 0; j < i && t->kept_by[i] == MILL_DEDUP_NONE && kept_by[i] == MILL_DEDUP_NONE;
             j++)
            if (t->kept_by[j] == MILL_DEDUP_NONE && kept_by[j] == MILL_DEDUP_NONE && share_band(t, i, j))
                kept_by[i] = j;
    }
}

static void brute_cluster(const instance *t, mill_dedup_survivor rule, uint64_t *kept_by)
{
    uint64_t label[RECORDS_MAX];
    for (uint64_t i = 0; i < t->view.count; i++)
        label[i] = i;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint64_t i = 0; i < t->view.count; i++)
            for (uint64_t j = 0; j < i; j++)
                if (t->kept_by[i] == MILL_DEDUP_NONE && t->kept_by[j] == MILL_DEDUP_NONE &&
                    label[i] != label[j] && share_band(t, i, j)) {
                    label[i] = label[j] = label[i] < label[j] ? label[i] : label[j];
                    changed = true;
                }
    }
    for (uint64_t i = 0; i < t->view.count; i++) {
        uint64_t best = i;
        for (uint64_t j = 0; j < t->view.count; j++) {
            if (label[j] != label[i] || t->kept_by[j] != MILL_DEDUP_NONE ||
                t->kept_by[i] != MILL_DEDUP_NONE)
                continue;
            int64_t jv = rule == MILL_SURVIVOR_STARS    ? t->stars[j]
                         : rule == MILL_SURVIVOR_LENGTH ? (int64_t)t->bytes[j]
                                                        : 0;
            int64_t bv = rule == MILL_SURVIVOR_STARS    ? t->stars[best]
                         : rule == MILL_SURVIVOR_LENGTH ? (int64_t)t->bytes[best]
                                                        : 0;
            if (jv > bv || (jv == bv && j < best))
                best = j;
        }
        if (best != i)
            kept_by[i] = best;
    }
}

static void compare(const instance *t, const uint64_t *expected, const uint64_t *got, const char *what,
                    uint64_t seed)
{
    for (uint64_t i = 0; i < t->view.count; i++)
        cr_assert_eq(expected[i], got[i], "%s, instance %llu, record %llu: %llu, expected %llu", what,
                     (unsigned long long)seed, (unsigned long long)i, (unsigned long long)got[i],
                     (unsigned long long)expected[i]);
}

Test(dedup, near_first_equals_the_sequential_pass)
{
    static instance t;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        uint64_t expected[RECORDS_MAX], got[RECORDS_MAX];
        make_instance(&t, seed);
        memcpy(expected, t.kept_by, sizeof expected);
        memcpy(got, t.kept_by, sizeof got);
        brute_first(&t, expected);
        cr_assert_eq(mill_dedup_near(&t.view, t.bands, MILL_DEDUP_FIRST, MILL_SURVIVOR_FIRST, give_keys,
                                     &t, got, NULL),
                     MILL_OK);
        cr_assert_eq(t.bands_asked, t.bands);
        compare(&t, expected, got, "first", seed);
    }
}

Test(dedup, near_cluster_equals_connected_components_with_every_survivor_rule)
{
    static instance t;
    for (uint64_t seed = 0; seed < 1500; seed++) {
        uint64_t expected[RECORDS_MAX], got[RECORDS_MAX];
        mill_dedup_survivor rule = (mill_dedup_survivor)(seed % 3);
        make_instance(&t, seed);
        memcpy(expected, t.kept_by, sizeof expected);
        memcpy(got, t.kept_by, sizeof got);
        brute_cluster(&t, rule, expected);
        cr_assert_eq(
            mill_dedup_near(&t.view, t.bands, MILL_DEDUP_CLUSTER, rule, give_keys, &t, got, NULL),
            MILL_OK);
        compare(&t, expected, got, "cluster", seed);
    }
}

Test(dedup, exact_keeps_the_first_of_each_scope_and_ignores_records_already_out)
{
    static instance t;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        uint64_t expected[RECORDS_MAX], got[RECORDS_MAX];
        make_instance(&t, seed);
        memcpy(expected, t.kept_by, sizeof expected);
        memcpy(got, t.kept_by, sizeof got);
        for (uint64_t i = 0; i < t.view.count; i++)
            for (uint64_t j = 0; j < i && expected[i] == MILL_DEDUP_NONE; j++)
                if (t.kept_by[j] == MILL_DEDUP_NONE && expected[j] == MILL_DEDUP_NONE &&
                    t.scope[i] == t.scope[j] && mill_key_equal(t.content[i], t.content[j]))
                    expected[i] = j;
        cr_assert_eq(mill_dedup_exact(&t.view, got, NULL), MILL_OK);
        compare(&t, expected, got, "exact", seed);
    }
}

// Many partitions at once, with a known answer: record i has the content of record i % distinct.
Test(dedup, exact_is_right_over_many_partitions)
{
    enum { COUNT = 200000, DISTINCT = 70001 };
    mill_key *content = mill_realloc_array(NULL, COUNT, sizeof *content);
    uint32_t *scope = mill_alloc_zero(COUNT, sizeof *scope);
    uint64_t *kept_by = mill_realloc_array(NULL, COUNT, sizeof *kept_by);
    cr_assert(content != NULL && scope != NULL && kept_by != NULL);
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t value = i % DISTINCT;
        content[i] = mill_hash128(&value, sizeof value);
        kept_by[i] = MILL_DEDUP_NONE;
    }
    mill_dedup_view view = {COUNT, content, scope, NULL, NULL};
    cr_assert_eq(mill_dedup_exact(&view, kept_by, NULL), MILL_OK);
    for (uint64_t i = 0; i < COUNT; i++)
        cr_assert_eq(kept_by[i], i < DISTINCT ? MILL_DEDUP_NONE : i % DISTINCT);
    mill_free(content);
    mill_free(scope);
    mill_free(kept_by);
}

Test(dedup, failing_allocations_are_errors)
{
    static instance t;
    for (mill_dedup_policy policy = MILL_DEDUP_FIRST; policy <= MILL_DEDUP_CLUSTER; policy++) {
        for (uint64_t n = 0; n < 100; n++) {
            uint64_t got[RECORDS_MAX];
            make_instance(&t, 77);
            memcpy(got, t.kept_by, sizeof got);
            mill_alloc_fail_after(n);
            mill_status status =
                mill_dedup_near(&t.view, t.bands, policy, MILL_SURVIVOR_FIRST, give_keys, &t, got, NULL);
            mill_alloc_fail_after(UINT64_MAX);
            cr_assert(status == MILL_NOMEM || (status == MILL_OK && n > 5), "allocation %llu",
                      (unsigned long long)n);
            if (status == MILL_OK)
                break;
            cr_assert_lt(n, 90);
        }
    }
}
