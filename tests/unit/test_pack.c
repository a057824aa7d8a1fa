// test_pack.c: packing loses nothing, keeps order and bounds; guide equals the guide's loop, best-fit equals a plain search.
#include "core/rng.h"
#include "pack/pack.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t draw(uint64_t nth, uint64_t bound)
{
    return mill_draw_below(mill_draw(7, MILL_DRAW_INSPECT, (mill_key){1, 2}, nth), bound);
}

static mill_packing pack(const uint32_t *lengths, uint64_t count, mill_pack_options options)
{
    mill_packing packing;
    mill_error err = {0};
    mill_status status = mill_pack_rows(lengths, count, &options, &packing, &err);
    cr_assert_eq(status, MILL_OK, "%s", err.message);
    return packing;
}

static uint64_t sample_tokens(const mill_packing *p, size_t s)
{
    uint64_t tokens = 0;
    for (uint64_t i = p->sample_parts[s]; i < p->sample_parts[s + 1]; i++)
        tokens += p->parts[i].count;
    return tokens;
}

static void check_totals(const mill_packing *p, const uint32_t *lengths, uint64_t count)
{
    uint64_t given = 0, packed = 0;
    for (uint64_t i = 0; i < count; i++)
        given += lengths[i];
    cr_assert_eq(p->sample_parts[0], 0);
    cr_assert_eq(p->sample_parts[p->sample_count], p->part_count);
    for (size_t s = 0; s < p->sample_count; s++) {
        cr_assert_lt(p->sample_parts[s], p->sample_parts[s + 1], "no sample is empty");
        packed += sample_tokens(p, s);
    }
    cr_assert_eq(packed, p->tokens);
    cr_assert_eq(p->tokens + p->dropped_tokens - p->repeated_tokens, given, "every token is accounted for");
}

// Every row stands whole in exactly one sample, ascending within a sample.
static void check_whole_rows(const mill_packing *p, const uint32_t *lengths, uint64_t count, uint64_t limit)
{
    uint8_t *seen = calloc(count + 1, 1);
    for (size_t s = 0; s < p->sample_count; s++) {
        cr_assert_leq(sample_tokens(p, s), limit);
        for (uint64_t i = p->sample_parts[s]; i < p->sample_parts[s + 1]; i++) {
            mill_part part = p->parts[i];
            cr_assert_lt(part.row, count);
            cr_assert_eq(part.begin, 0);
            cr_assert_eq(part.count, lengths[part.row]);
            cr_assert_eq(seen[part.row]++, 0, "row %lu twice", part.row);
            cr_assert(i == p->sample_parts[s] || p->parts[i - 1].row < part.row, "rows in arrival order");
        }
    }
    cr_assert_eq(p->part_count, count, "no row is lost");
    free(seen);
}

static uint32_t *random_lengths(uint64_t count, uint32_t longest, uint64_t salt)
{
    uint32_t *lengths = malloc((count + 1) * sizeof *lengths);
    for (uint64_t i = 0; i < count; i++)
        lengths[i] = 1 + (uint32_t)draw(salt * 1000003 + i, longest);
    return lengths;
}

// ---- guide ----

// The loop of the source guide, written down once more: parts go to (block number) by row.
static size_t plain_guide(const uint32_t *lengths, uint64_t count, uint32_t length, size_t *block_of)
{
    size_t blocks = 0;
    uint64_t block = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (block + lengths[i] <= length) {
            block += lengths[i];
        } else {
            if (block != 0)
                blocks++;
            block = lengths[i];
        }
        block_of[i] = blocks;
    }
    return block != 0 ? blocks + 1 : blocks;
}

Test(pack, guide_mode_equals_the_guides_loop_also_with_oversized_rows)
{
    for (uint64_t trial = 0; trial < 300; trial++) {
        uint64_t count = draw(trial, 60);
        uint32_t *lengths = random_lengths(count, 1 + (uint32_t)draw(900 + trial, 30), trial);
        size_t *block_of = malloc((count + 1) * sizeof *block_of);
        size_t blocks = plain_guide(lengths, count, 16, block_of);
        mill_packing p = pack(lengths, count, (mill_pack_options){.mode = MILL_PACK_GUIDE, .seq_len = 16, .keep_single = true});
        check_totals(&p, lengths, count);
        check_whole_rows(&p, lengths, count, 31);
        cr_assert_eq(p.sample_count, blocks);
        for (size_t s = 0; s < p.sample_count; s++) {
            for (uint64_t i = p.sample_parts[s]; i < p.sample_parts[s + 1]; i++)
                cr_assert_eq(block_of[p.parts[i].row], s);
        }
        mill_packing_free(&p);
        free(block_of);
        free(lengths);
    }
}

Test(pack, guide_mode_declares_the_lost_single_block_unless_it_is_kept)
{
    const uint32_t lengths[] = {3, 4, 5};
    mill_packing p = pack(lengths, 3, (mill_pack_options){.mode = MILL_PACK_GUIDE, .seq_len = 12});
    cr_assert_eq(p.sample_count, 0);
    cr_assert_eq(p.part_count, 0);
    cr_assert_eq(p.dropped_tokens, 12);
    check_totals(&p, lengths, 3);
    mill_packing_free(&p);
    p = pack(lengths, 3, (mill_pack_options){.mode = MILL_PACK_GUIDE, .seq_len = 12, .keep_single = true});
    cr_assert_eq(p.sample_count, 1);
    cr_assert_eq(p.dropped_tokens, 0);
    mill_packing_free(&p);
    p = pack(lengths, 3, (mill_pack_options){.mode = MILL_PACK_GUIDE, .seq_len = 11}); // flushed once: nothing is lost
    cr_assert_eq(p.sample_count, 2);
    cr_assert_eq(p.dropped_tokens, 0);
    mill_packing_free(&p);
}

// ---- concat ----

// The samples spell the windows of the stream, token by token.
static void check_windows(const mill_packing *p, const uint32_t *lengths, uint64_t count, uint32_t seq_len, uint32_t extra)
{
    uint64_t total = 0, *starts = malloc((count + 1) * sizeof *starts);
    for (uint64_t i = 0; i < count; i++) {
        starts[i] = total;
        total += lengths[i];
    }
    for (size_t s = 0; s < p->sample_count; s++) {
        uint64_t at = (uint64_t)s * seq_len;
        for (uint64_t i = p->sample_parts[s]; i < p->sample_parts[s + 1]; i++) {
            mill_part part = p->parts[i];
            cr_assert_leq((uint64_t)part.begin + part.count, lengths[part.row]);
            cr_assert_gt(part.count, 0);
            cr_assert_eq(starts[part.row] + part.begin, at, "sample %zu", s);
            at += part.count;
        }
        uint64_t window_end = ((uint64_t)s + 1) * seq_len + extra;
        cr_assert_eq(at, window_end < total ? window_end : total);
    }
    uint64_t samples = total == 0 ? 0 : total <= seq_len + extra ? 1 : (total - extra + seq_len - 1) / seq_len;
    cr_assert_eq(p->sample_count, samples, "no sample that only repeats");
    cr_assert_eq(p->repeated_tokens, samples == 0 ? 0 : (samples - 1) * extra);
    free(starts);
}

Test(pack, concat_samples_are_windows_of_the_stream_and_the_tail_is_kept)
{
    for (uint64_t trial = 0; trial < 600; trial++) {
        uint64_t count = draw(trial, 40);
        uint32_t *lengths = random_lengths(count, 1 + (uint32_t)draw(5000 + trial, 50), trial);
        uint32_t seq_len = 1 + (uint32_t)draw(7000 + trial, 20), extra = trial % 2;
        mill_packing p = pack(lengths, count, (mill_pack_options){.mode = MILL_PACK_CONCAT, .seq_len = seq_len, .extra = extra});
        check_totals(&p, lengths, count);
        check_windows(&p, lengths, count, seq_len, extra);
        mill_packing_free(&p);
        free(lengths);
    }
}

// ---- best-fit ----

typedef struct plain_sample {
    uint64_t room, since; // since: when it got this room
    bool closed;
} plain_sample;

// The rule read aloud: the open sample with the least room that fits, the one that has had this room longest.
static size_t plain_best_fit(const uint32_t *lengths, uint64_t count, uint32_t limit, uint64_t open_max, size_t *sample_of)
{
    plain_sample *samples = calloc(count + 1, sizeof *samples);
    size_t opened = 0;
    for (uint64_t i = 0; i < count; i++) {
        size_t best = SIZE_MAX, fullest = SIZE_MAX, open = 0;
        for (size_t s = 0; s < opened; s++) {
            plain_sample *c = &samples[s];
            if (c->closed || c->room == 0)
                continue;
            open++;
            if (fullest == SIZE_MAX || c->room < samples[fullest].room ||
                (c->room == samples[fullest].room && c->since < samples[fullest].since))
                fullest = s;
            if (c->room >= lengths[i] && (best == SIZE_MAX || c->room < samples[best].room ||
                                          (c->room == samples[best].room && c->since < samples[best].since)))
                best = s;
        }
        if (best == SIZE_MAX) {
            if (open_max != 0 && open == open_max)
                samples[fullest].closed = true;
            best = opened++;
            samples[best].room = limit;
        }
        samples[best].room -= lengths[i];
        samples[best].since = i;
        sample_of[i] = best;
    }
    free(samples);
    return opened;
}

Test(pack, best_fit_equals_a_plain_search_with_and_without_open_max)
{
    for (uint64_t trial = 0; trial < 400; trial++) {
        uint64_t count = draw(trial, 200);
        uint32_t limit = trial % 3 == 0 ? 70 : trial % 3 == 1 ? 4097 : 9;
        uint64_t open_max = trial % 4 == 0 ? 0 : 1 + draw(4000 + trial, 8);
        uint32_t *lengths = random_lengths(count, limit, trial);
        size_t *sample_of = malloc((count + 1) * sizeof *sample_of);
        size_t samples = plain_best_fit(lengths, count, limit, open_max, sample_of);
        mill_packing p = pack(lengths, count, (mill_pack_options){.mode = MILL_PACK_BEST_FIT, .seq_len = limit - 1, .extra = 1,
                                                                  .open_max = open_max});
        check_totals(&p, lengths, count);
        check_whole_rows(&p, lengths, count, limit);
        cr_assert_eq(p.sample_count, samples);
        for (size_t s = 0; s < p.sample_count; s++) {
            for (uint64_t i = p.sample_parts[s]; i < p.sample_parts[s + 1]; i++)
                cr_assert_eq(sample_of[p.parts[i].row], s);
        }
        mill_packing_free(&p);
        free(sample_of);
        free(lengths);
    }
}

// Lengths of code documents are about lognormal; longer than the context they are cut before packing.
static uint32_t lognormal_length(uint64_t i)
{
    double a = mill_draw_unit(mill_draw(3, MILL_DRAW_INSPECT, (mill_key){5, 6}, 2 * i));
    double b = mill_draw_unit(mill_draw(3, MILL_DRAW_INSPECT, (mill_key){5, 6}, 2 * i + 1));
    double normal = sqrt(-2 * log(1 - a)) * cos(2 * 3.14159265358979 * b);
    double length = exp(6.3 + 1.2 * normal);
    return length < 1 ? 1 : length > 4096 ? 4096 : (uint32_t)length;
}

Test(pack, best_fit_fills_99_percent_of_lognormal_samples)
{
    const uint64_t count = 1000000;
    uint32_t *lengths = malloc(count * sizeof *lengths);
    for (uint64_t i = 0; i < count; i++)
        lengths[i] = lognormal_length(i);
    for (uint64_t open_max = 0; open_max <= 1000; open_max = open_max == 0 ? 10 : open_max * 10) {
        clock_t start = clock();
        mill_packing p =
            pack(lengths, count, (mill_pack_options){.mode = MILL_PACK_BEST_FIT, .seq_len = 4096, .open_max = open_max});
        double filled = (double)p.tokens / ((double)p.sample_count * 4096);
        printf("best-fit, open_max %lu: %zu samples, %.3f %% filled, %.0f ms a million rows\n", open_max, p.sample_count,
               100 * filled, 1000.0 * (double)(clock() - start) / CLOCKS_PER_SEC);
        cr_assert_gt(filled, open_max == 10 ? 0.95 : 0.99);
        mill_packing_free(&p);
    }
    mill_packing p = pack(lengths, count, (mill_pack_options){.mode = MILL_PACK_GUIDE, .seq_len = 4096});
    printf("guide: %.3f %% filled\n", 100.0 * (double)p.tokens / ((double)p.sample_count * 4096));
    mill_packing_free(&p);
    free(lengths);
}

// ---- refusals ----

Test(pack, impossible_options_and_rows_are_refused_and_leave_nothing_behind)
{
    const uint32_t lengths[] = {5, 9}, empty_row[] = {4, 0};
    const struct {
        const uint32_t *lengths;
        mill_pack_options options;
        mill_status status;
    } cases[] = {
        {lengths, {.mode = MILL_PACK_BEST_FIT, .seq_len = 8}, MILL_INPUT},
        {lengths, {.mode = MILL_PACK_BEST_FIT, .seq_len = 0}, MILL_RECIPE},
        {lengths, {.mode = MILL_PACK_CONCAT, .seq_len = 8, .extra = 2}, MILL_RECIPE},
        {lengths, {.mode = MILL_PACK_CONCAT, .seq_len = UINT32_MAX, .extra = 1}, MILL_RECIPE},
        {lengths, {.mode = MILL_PACK_BEST_FIT, .seq_len = MILL_PACK_BEST_FIT_MAX, .extra = 1}, MILL_RECIPE},
        {lengths, {.mode = MILL_PACK_MODE_COUNT, .seq_len = 8}, MILL_INTERNAL},
        {empty_row, {.mode = MILL_PACK_CONCAT, .seq_len = 8}, MILL_INTERNAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mill_packing p;
        mill_error err = {0};
        cr_assert_eq(mill_pack_rows(cases[i].lengths, 2, &cases[i].options, &p, &err), cases[i].status, "case %zu", i);
        cr_assert_null(p.parts);
        cr_assert_neq(err.message[0], '\0');
    }
}

Test(pack, rows_of_4g_tokens_do_not_overflow)
{
    const uint32_t lengths[] = {UINT32_MAX, UINT32_MAX, 7};
    mill_packing p = pack(lengths, 3, (mill_pack_options){.mode = MILL_PACK_CONCAT, .seq_len = UINT32_MAX - 1, .extra = 1});
    check_totals(&p, lengths, 3);
    check_windows(&p, lengths, 3, UINT32_MAX - 1, 1);
    mill_packing_free(&p);
    p = pack(lengths, 3, (mill_pack_options){.mode = MILL_PACK_GUIDE, .seq_len = UINT32_MAX});
    check_totals(&p, lengths, 3);
    cr_assert_eq(p.sample_count, 3);
    mill_packing_free(&p);
}

Test(pack, no_rows_make_no_samples_in_any_mode)
{
    for (mill_pack_mode mode = 0; mode < MILL_PACK_MODE_COUNT; mode++) {
        mill_packing p = pack(NULL, 0, (mill_pack_options){.mode = mode, .seq_len = 8, .keep_single = true});
        cr_assert_eq(p.sample_count, 0);
        cr_assert_eq(p.sample_parts[0], 0);
        mill_packing_free(&p);
    }
}

Test(pack, each_failing_allocation_is_reported_and_leaks_nothing)
{
    uint32_t *lengths = random_lengths(300, 50, 1);
    for (mill_pack_mode mode = 0; mode < MILL_PACK_MODE_COUNT; mode++) {
        mill_pack_options options = {.mode = mode, .seq_len = 50, .extra = 0};
        for (uint64_t n = 0;; n++) {
            mill_packing p;
            mill_error err = {0};
            mill_alloc_fail_after(n);
            mill_status status = mill_pack_rows(lengths, 300, &options, &p, &err);
            mill_alloc_fail_after(UINT64_MAX);
            mill_packing_free(&p);
            if (status == MILL_OK)
                break;
            cr_assert_eq(status, MILL_NOMEM);
            cr_assert_lt(n, 1000);
        }
    }
    free(lengths);
}
