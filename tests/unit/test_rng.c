// test_rng.c: the twisters against numbers of CPython and numpy, and the counter draws. Each expectation stands below the
// line of Python that printed it.
#include "core/rng.h"

#include <criterion/criterion.h>
#include <string.h>

static bool same(double a, double b) // in every bit
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static mill_mt19937 python(uint64_t seed)
{
    mill_mt19937 mt;
    mill_mt19937_seed_python(&mt, seed);
    return mt;
}

static void expect_randint(uint64_t seed, uint64_t low, uint64_t high, const uint64_t *wanted, size_t count)
{
    mill_mt19937 mt = python(seed);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(mill_mt19937_randint(&mt, low, high), wanted[i], "draw %zu", i);
}

Test(rng, random_equals_cpython)
{
    // r = random.Random(42); [r.random().hex() for _ in range(4)]
    static const double wanted[] = {0x1.4762f307200c5p-1, 0x1.99c6b5eeb2060p-6, 0x1.19a1491f589dcp-2, 0x1.c922b623b8c1cp-3};
    mill_mt19937 mt = python(42);
    for (int i = 0; i < 4; i++)
        cr_assert(same(mill_mt19937_random(&mt), wanted[i]));
}

Test(rng, randint_equals_cpython_in_every_width)
{
    // r = random.Random(0); [r.randint(1, 6) for _ in range(12)]
    expect_randint(0, 1, 6, (const uint64_t[]){4, 4, 1, 3, 5, 4, 4, 3, 4, 3, 5, 2}, 12);
    // r = random.Random(2**40 + 7); [r.randint(0, 10**6) for _ in range(6)]
    expect_randint((1ull << 40) + 7, 0, 1000000, (const uint64_t[]){643515, 783626, 854501, 983493, 990916, 670589}, 6);
    // r = random.Random(7); [r.randint(0, 2**40) for _ in range(4)]
    expect_randint(7, 0, 1ull << 40, (const uint64_t[]){868231286071, 105874957392, 208460025899, 470330855157}, 4);
    // r = random.Random(9); [r.randint(0, 2**64 - 1) for _ in range(4)]
    expect_randint(9, 0, UINT64_MAX, (const uint64_t[]){11311824479506114158u, 2555601105289669628u, 12481870810729348949u,
                                                        9274692319059935286u}, 4);
}

Test(rng, a_long_stream_stays_equal_to_cpython)
{
    // r = random.Random(5000); [r.random() for _ in range(100000)]; r.random().hex(), r.randint(5, 5), r.randint(0, 2**32-1)
    mill_mt19937 mt = python(5000);
    for (int i = 0; i < 100000; i++)
        (void)mill_mt19937_random(&mt);
    cr_assert(same(mill_mt19937_random(&mt), 0x1.55863e11bc6f0p-2));
    cr_assert_eq(mill_mt19937_randint(&mt, 5, 5), 5);
    cr_assert_eq(mill_mt19937_randint(&mt, 0, UINT32_MAX), 3046047241u);
}

Test(rng, words_equal_numpy_RandomState)
{
    // g = numpy.random.RandomState(SEED); [int(g.randint(0, 2**32, dtype="uint32")) for _ in range(5)]
    static const uint32_t one[] = {1791095845u, 4282876139u, 3093770124u, 4005303368u, 491263u};
    static const uint32_t last[] = {419326371u, 479346978u, 3918654476u};
    mill_mt19937 mt;
    mill_mt19937_seed_numpy(&mt, 1);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(mill_mt19937_u32(&mt), one[i]);
    for (int i = 5; i < 1000; i++)
        (void)mill_mt19937_u32(&mt);
    cr_assert_eq(mill_mt19937_u32(&mt), 375733240u); // after g.randint(0, 2**32, size=1000, dtype="uint32")
    mill_mt19937_seed_numpy(&mt, UINT32_MAX);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(mill_mt19937_u32(&mt), last[i]);
}

Test(rng, draws_depend_on_every_argument)
{
    mill_key key = {1, 2}, other = {2, 1};
    uint64_t base = mill_draw(5, MILL_DRAW_FIM, key, 0);
    cr_assert_eq(base, mill_draw(5, MILL_DRAW_FIM, key, 0));
    cr_assert_neq(base, mill_draw(6, MILL_DRAW_FIM, key, 0));
    cr_assert_neq(base, mill_draw(5, MILL_DRAW_TEST, key, 0));
    cr_assert_neq(base, mill_draw(5, MILL_DRAW_FIM, other, 0));
    cr_assert_neq(base, mill_draw(5, MILL_DRAW_FIM, key, 1));
}

// The output bytes of every seeded run rest on these values.
Test(rng, draws_are_frozen)
{
    cr_assert_eq(mill_draw(0, MILL_DRAW_TEST, (mill_key){0, 0}, 0), 2319651275181844610u);
    cr_assert_eq(mill_draw(42, MILL_DRAW_ORDER, (mill_key){1, 2}, 3), 5631053304371030288u);
}

Test(rng, bounded_draws_reach_both_ends_and_never_the_bound)
{
    cr_assert_eq(mill_draw_below(0, 10), 0);
    cr_assert_eq(mill_draw_below(UINT64_MAX, 10), 9);
    cr_assert_eq(mill_draw_below(UINT64_MAX, 1), 0);
    cr_assert_eq(mill_draw_below(UINT64_MAX, UINT64_MAX), UINT64_MAX - 1);
    cr_assert(mill_draw_unit(UINT64_MAX) < 1.0 && same(mill_draw_unit(0), 0.0));
}
