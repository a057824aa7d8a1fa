// minhash.c: the parameters, bands and keys of MinHash-LSH, equal to datasketch's.
#include "dedup/minhash.h"

#include "core/rng.h"
#include "shared/minhash_math.h"

#include <math.h>
#include <string.h>

#define HALF_NODES 12 // of the 24-point Gauss-Legendre rule, which is symmetric
#define INTERVALS 8

// Uniform in [0, range] as numpy's legacy generator draws it: take bits under the smallest covering mask
// until one fits. Ranges above 32 bits take two outputs, the first one on top.
static uint64_t draw_masked(mill_mt19937 *mt, uint64_t range)
{
    bool wide = range > UINT32_MAX;
    uint64_t mask = UINT64_MAX >> __builtin_clzll(range);
    for (;;) {
        uint64_t bits = mill_mt19937_u32(mt);
        if (wide)
            bits = bits << 32 | mill_mt19937_u32(mt);
        bits &= mask;
        if (bits <= range)
            return bits;
    }
}

static void draw_affine32(mill_mt19937 *mt, uint32_t num_perm, uint64_t *a, uint64_t *b)
{
    for (uint32_t k = 0; k < num_perm; k++)
        a[k] = 2 * draw_masked(mt, INT32_MAX) + 1;
    for (uint32_t k = 0; k < num_perm; k++)
        b[k] = draw_masked(mt, UINT32_MAX);
}

static void draw_legacy(mill_mt19937 *mt, uint32_t num_perm, uint64_t *a, uint64_t *b)
{
    for (uint32_t k = 0; k < num_perm; k++) {
        a[k] = 1 + draw_masked(mt, MILL_MERSENNE61 - 2); // [1, prime)
        b[k] = draw_masked(mt, MILL_MERSENNE61 - 1);     // [0, prime)
    }
}

mill_status mill_minhash_params_init(mill_minhash_params *params, mill_minhash_scheme scheme,
                                     uint32_t num_perm, uint32_t seed, mill_error *err)
{
    memset(params, 0, sizeof *params);
    if (num_perm < 2 || num_perm > MILL_MINHASH_PERM_MAX)
        return mill_fail(err, MILL_RECIPE, "number of MinHash permutations is %u, must be 2 to %u",
                         num_perm, MILL_MINHASH_PERM_MAX);
    size_t wide_bytes = num_perm * sizeof(uint64_t), narrow_bytes = num_perm * sizeof(uint32_t);
    uint64_t *a = mill_alloc(2 * wide_bytes + 2 * narrow_bytes); // one block: a, b, a32, b32
    if (a == NULL)
        return mill_fail_nomem(err, "drawing MinHash permutations");
    uint64_t *b = a + num_perm;
    uint32_t *a32 = (uint32_t *)(b + num_perm), *b32 = a32 + num_perm;
    mill_mt19937 mt;
    mill_mt19937_seed_numpy(&mt, seed);
    if (scheme == MILL_MINHASH_AFFINE32)
        draw_affine32(&mt, num_perm, a, b);
    else
        draw_legacy(&mt, num_perm, a, b);
    for (uint32_t k = 0; k < num_perm; k++) {
        a32[k] = (uint32_t)a[k];
        b32[k] = (uint32_t)b[k];
    }
    *params = (mill_minhash_params){scheme, num_perm, a, b, a32, b32};
    return MILL_OK;
}

void mill_minhash_params_free(mill_minhash_params *params)
{
    union {
        const uint64_t *constant;
        uint64_t *owned;
    } block = {params->a};
    mill_free(block.owned);
    memset(params, 0, sizeof *params);
}

// Positive roots of the Legendre polynomial of degree 24 and their weights, by Newton's method from the
// usual cosine guess.
static void gauss_legendre(double node[HALF_NODES], double weight[HALF_NODES])
{
    const int degree = 2 * HALF_NODES;
    for (int i = 0; i < HALF_NODES; i++) {
        double x = cos(3.14159265358979323846 * (i + 0.75) / (degree + 0.5)), slope = 1.0;
        for (int step = 0; step < 10; step++) {
            double before = 1.0, value = x; // degrees 0 and 1
            for (int n = 2; n <= degree; n++) {
                double next = ((2 * n - 1) * x * value - (n - 1) * before) / n;
                before = value;
                value = next;
            }
            slope = degree * (x * value - before) / (x * x - 1.0);
            x -= value / slope;
        }
        node[i] = x;
        weight[i] = 2.0 / ((1.0 - x * x) * slope * slope);
    }
}

static double power(double x, uint32_t n)
{
    double result = 1.0;
    for (; n != 0; n >>= 1, x *= x)
        if (n & 1)
            result *= x;
    return result;
}

// Integral over [from, to] of the chance that texts of similarity s share no band: (1 - s^rows)^bands.
static double missed_area(double from, double to, uint32_t bands, uint32_t rows, const double *node,
                          const double *weight)
{
    double sum = 0.0, half = (to - from) / (2 * INTERVALS);
    for (int part = 0; part < INTERVALS; part++) {
        double middle = from + half * (2 * part + 1);
        for (int i = 0; i < HALF_NODES; i++) {
            sum += weight[i] * (power(1.0 - power(middle - half * node[i], rows), bands) +
                                power(1.0 - power(middle + half * node[i], rows), bands));
        }
    }
    return sum * half;
}

mill_status mill_lsh_optimal(uint32_t threshold_permyriad, uint32_t num_perm, uint32_t *bands,
                             uint32_t *rows, mill_error *err)
{
    if (threshold_permyriad > 10000)
        return mill_fail(err, MILL_RECIPE, "similarity threshold %u/10000 is above 1",
                         threshold_permyriad);
    if (num_perm < 2 || num_perm > MILL_MINHASH_PERM_MAX)
        return mill_fail(err, MILL_RECIPE, "number of MinHash permutations is %u, must be 2 to %u",
                         num_perm, MILL_MINHASH_PERM_MAX);
    double node[HALF_NODES], weight[HALF_NODES], best = INFINITY;
    double threshold = threshold_permyriad / 10000.0;
    gauss_legendre(node, weight);
    for (uint32_t b = 1; b <= num_perm; b++) {
        for (uint32_t r = 1; r <= num_perm / b; r++) {
            double false_positive = threshold - missed_area(0.0, threshold, b, r, node, weight);
            double false_negative = missed_area(threshold, 1.0, b, r, node, weight);
            double error = 0.5 * false_positive + 0.5 * false_negative;
            if (error < best) { // the first of equals wins
                best = error;
                *bands = b;
                *rows = r;
            }
        }
    }
    if (*bands < 2)
        return mill_fail(
            err, MILL_RECIPE,
            "similarity threshold %u/10000 is too high for %u permutations: one band is left; "
            "lower it or give bands and rows",
            threshold_permyriad, num_perm);
    return MILL_OK;
}

void mill_lsh_band_keys(const uint32_t *signature, uint32_t bands, uint32_t rows, mill_key *keys)
{
    for (uint32_t band = 0; band < bands; band++)
        keys[band] = mill_hash128(signature + (size_t)band * rows, rows * sizeof *signature);
}

uint32_t mill_minhash_similarity(const uint32_t *a, const uint32_t *b, uint32_t num_perm)
{
    uint32_t equal = 0;
    for (uint32_t k = 0; k < num_perm; k++)
        equal += a[k] == b[k];
    return (uint32_t)((uint64_t)equal * 10000 / num_perm);
}
