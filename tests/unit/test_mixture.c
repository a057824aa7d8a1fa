// test_mixture.c: shares are met as the rule says, whatever the order of the documents; bad tables are refused by name.
#include "pack/mixture.h"
#include "record/batch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct run {
    mill_mixture_doc *docs;
    uint32_t *epochs;
    mill_share_report *reports;
    size_t report_count;
    uint64_t count;
} run;

static mill_key key_of(uint64_t i)
{
    return mill_hash128(&i, sizeof i);
}

static run make_docs(uint64_t count, uint64_t tokens_max)
{
    static const char *const languages[] = {"python", "c", "cpp", "rust", "brainfuck", "c++"};
    run r = {.docs = calloc(count + 1, sizeof(mill_mixture_doc)), .epochs = calloc(count + 1, sizeof(uint32_t)), .count = count};
    for (uint64_t i = 0; i < count; i++) {
        uint64_t bits = mill_draw(9, MILL_DRAW_INSPECT, key_of(i), 0);
        r.docs[i] = (mill_mixture_doc){.key = key_of(i), .tokens = 1 + mill_draw_below(bits, tokens_max),
                                       .language = languages[bits % 6], .type = (uint8_t)(bits / 6 % MILL_TYPE_COUNT),
                                       .tier = (uint8_t)(bits / 64 % 3)};
    }
    return r;
}

static void free_run(run *r)
{
    mill_free(r->reports);
    free(r->docs);
    free(r->epochs);
}

static mill_mixture_options full_options(uint64_t target)
{
    return (mill_mixture_options){.enabled = true, .target_tokens = target, .epochs_max = 1, .seed = 42,
                                  .languages = {{"python", 5000}, {"c+cpp", 3333}, {"other", 1667}}, .language_count = 3,
                                  .types = {{"source", 7000}, {"docs+qa", 1501}, {"other", 1499}}, .type_count = 3,
                                  .tiers = {{"high", 4000}, {"mid", 3500}, {"low", 2500}}, .tier_count = 3};
}

static void select_docs(run *r, const mill_mixture_options *options)
{
    mill_error err = {0};
    mill_free(r->reports);
    mill_status status = mill_mixture_select(r->docs, r->count, options, r->epochs, &r->reports, &r->report_count, &err);
    cr_assert_eq(status, MILL_OK, "%s", err.message);
}

Test(mixture, without_a_target_or_switched_off_everything_is_selected_once)
{
    run r = make_docs(50, 10);
    mill_mixture_options options = full_options(0);
    select_docs(&r, &options);
    for (uint64_t i = 0; i < r.count; i++)
        cr_assert_eq(r.epochs[i], 1);
    options = full_options(5);
    options.enabled = false;
    select_docs(&r, &options);
    for (uint64_t i = 0; i < r.count; i++)
        cr_assert_eq(r.epochs[i], 1);
    cr_assert_eq(r.report_count, 0);
    free_run(&r);
}

Test(mixture, wanted_tokens_of_the_cells_add_up_exactly_to_the_target)
{
    run r = make_docs(10, 10);
    const uint64_t targets[] = {1, 2, 26, 27, 999, 1000003, UINT64_C(123456789012345), UINT64_MAX};
    for (size_t t = 0; t < sizeof targets / sizeof targets[0]; t++) {
        mill_mixture_options options = full_options(targets[t]);
        select_docs(&r, &options);
        uint64_t sum = 0;
        for (size_t i = 0; i < 27; i++)
            sum += r.reports[i].wanted_tokens;
        cr_assert_eq(sum, targets[t]);
        if (targets[t] == 1000003) // 1000003 * 0.5 * 0.7 * 0.4 = 140000.42
            cr_assert_eq(r.reports[0].wanted_tokens, 140000);
        cr_assert_str_eq(r.reports[0].name, "language=python type=source tier=high");
        cr_assert_str_eq(r.reports[1].name, "language=python type=source tier=mid");
        cr_assert_str_eq(r.reports[26].name, "language=other type=other tier=low");
    }
    free_run(&r);
}

// ---- one cell against the rule read aloud ----

static const mill_mixture_doc *sorting;
static uint64_t sorting_epoch;

static int by_rank(const void *a, const void *b)
{
    uint64_t i = *(const uint64_t *)a, j = *(const uint64_t *)b;
    uint64_t x = mill_draw(42, MILL_DRAW_MIXTURE, sorting[i].key, sorting_epoch);
    uint64_t y = mill_draw(42, MILL_DRAW_MIXTURE, sorting[j].key, sorting_epoch);
    if (x != y)
        return x < y ? -1 : 1;
    int keys = mill_key_compare(sorting[i].key, sorting[j].key);
    return keys != 0 ? keys : i < j ? -1 : i > j;
}

static uint64_t plain_cell(const run *r, uint64_t wanted, uint32_t epochs_max, uint32_t *epochs)
{
    uint64_t *order = malloc((r->count + 1) * sizeof *order), taken = 0;
    memset(epochs, 0, r->count * sizeof *epochs);
    sorting = r->docs;
    bool done = wanted == 0;
    for (uint32_t e = 0; e < epochs_max && !done; e++) {
        sorting_epoch = e;
        for (uint64_t i = 0; i < r->count; i++)
            order[i] = i;
        qsort(order, r->count, sizeof *order, by_rank);
        for (uint64_t i = 0; i < r->count && !done; i++) {
            uint64_t tokens = r->docs[order[i]].tokens, over = taken + tokens > wanted ? taken + tokens - wanted : 0;
            if (over < wanted - taken) { // nearer with it than without
                taken += tokens;
                epochs[order[i]]++;
            }
            done = over > 0 || taken >= wanted;
        }
    }
    free(order);
    return taken;
}

Test(mixture, a_cell_takes_documents_as_the_plain_rule_does_over_several_epochs)
{
    run r = make_docs(120, 90);
    for (uint64_t i = 40; i < 60; i++)
        r.docs[i].key = r.docs[i - 40].key; // equal keys: by index
    uint32_t *expected = calloc(r.count, sizeof *expected);
    for (uint64_t wanted = 1; wanted < 25000; wanted += 37) {
        uint32_t epochs_max = 1 + (uint32_t)(wanted % 4);
        mill_mixture_options options = {.enabled = true, .target_tokens = wanted, .epochs_max = epochs_max, .seed = 42};
        select_docs(&r, &options);
        uint64_t taken = plain_cell(&r, wanted, epochs_max, expected), documents = 0;
        cr_assert_eq(r.report_count, 1);
        cr_assert_str_eq(r.reports[0].name, "all");
        cr_assert_eq(r.reports[0].selected_tokens, taken, "wanted %lu", wanted);
        cr_assert_eq(memcmp(expected, r.epochs, r.count * sizeof *expected), 0, "wanted %lu", wanted);
        for (uint64_t i = 0; i < r.count; i++)
            documents += expected[i] != 0;
        cr_assert_eq(r.reports[0].documents, documents);
    }
    free(expected);
    free_run(&r);
}

Test(mixture, the_selection_is_independent_of_the_order_of_documents)
{
    run r = make_docs(3000, 500), back = make_docs(3000, 500);
    mill_mixture_options options = full_options(200000);
    options.epochs_max = 3;
    for (uint64_t i = 0; i < r.count; i++)
        back.docs[r.count - 1 - i] = r.docs[i];
    select_docs(&r, &options);
    select_docs(&back, &options);
    for (uint64_t i = 0; i < r.count; i++)
        cr_assert_eq(r.epochs[i], back.epochs[r.count - 1 - i]);
    cr_assert_eq(r.report_count, back.report_count);
    for (size_t i = 0; i < r.report_count; i++)
        cr_assert_eq(r.reports[i].selected_tokens, back.reports[i].selected_tokens);
    free_run(&r);
    free_run(&back);
}

Test(mixture, large_cells_come_within_half_a_document_of_their_share)
{
    run r = make_docs(60000, 100);
    mill_mixture_options options = full_options(300000);
    options.types[0] = (mill_share){"source", 2000}; // as many as there are, so that no cell runs out
    options.types[1] = (mill_share){"docs+qa", 4000};
    options.types[2] = (mill_share){"other", 4000};
    select_docs(&r, &options);
    for (size_t i = 0; i < r.report_count; i++) {
        const mill_share_report *report = &r.reports[i];
        cr_assert_gt(report->available_tokens, report->wanted_tokens, "%s", report->name);
        int64_t off = (int64_t)(report->selected_tokens - report->wanted_tokens);
        cr_assert_leq(llabs(off), 50, "%s is off by %ld", report->name, off);
    }
    free_run(&r);
}

Test(mixture, a_short_cell_stays_short_and_is_not_spread_over_others)
{
    mill_mixture_doc docs[] = {{.key = {1, 0}, .tokens = 10, .language = "c"}, {.key = {2, 0}, .tokens = 60, .language = "rust"},
                               {.key = {3, 0}, .tokens = 60, .language = "rust"}, {.key = {4, 0}, .tokens = 5, .language = "go"}};
    mill_mixture_options options = {.enabled = true, .target_tokens = 100, .epochs_max = 1, .seed = 1,
                                    .languages = {{"c", 5000}, {"rust", 5000}}, .language_count = 2};
    run r = {.docs = docs, .epochs = calloc(4, sizeof(uint32_t)), .count = 4};
    select_docs(&r, &options);
    cr_assert_eq(r.epochs[0], 1);
    cr_assert_eq(r.epochs[1] + r.epochs[2], 1); // 60 is nearer to 50 than 0
    cr_assert_eq(r.epochs[3], 0);               // no share names it and there is no "other"
    cr_assert_eq(r.report_count, 3);
    cr_assert_eq(r.reports[0].wanted_tokens, 50);
    cr_assert_eq(r.reports[0].selected_tokens, 10);
    cr_assert_eq(r.reports[1].selected_tokens, 60);
    cr_assert_str_eq(r.reports[2].name, "outside");
    cr_assert_eq(r.reports[2].available_tokens, 5);
    options.epochs_max = 1000000000;
    docs[0].tokens = 1;
    select_docs(&r, &options);
    cr_assert_eq(r.epochs[0], 50);
    docs[0].tokens = 0; // an empty cell of many epochs neither hangs nor divides by zero
    select_docs(&r, &options);
    cr_assert_eq(r.epochs[0], 1);
    mill_free(r.reports);
    free(r.epochs);
}

Test(mixture, whole_names_win_over_parts_and_c_plus_plus_is_one_name)
{
    mill_mixture_doc docs[] = {{.key = {1, 0}, .tokens = 8, .language = "c"}, {.key = {2, 0}, .tokens = 8, .language = "c++"},
                               {.key = {3, 0}, .tokens = 8, .language = NULL}};
    mill_mixture_options options = {.enabled = true, .target_tokens = 24, .epochs_max = 1,
                                    .languages = {{"c++", 3333}, {"c+go", 3333}, {"other", 3334}}, .language_count = 3};
    run r = {.docs = docs, .epochs = calloc(3, sizeof(uint32_t)), .count = 3};
    select_docs(&r, &options);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(r.reports[i].available_tokens, 8);
        cr_assert_eq(r.epochs[i], 1);
    }
    mill_free(r.reports);
    free(r.epochs);
}

static void refuse(mill_mixture_options options, const char *in_message)
{
    run r = make_docs(3, 10);
    mill_error err = {0};
    options.enabled = true;
    options.target_tokens = 100;
    cr_assert_eq(mill_mixture_select(r.docs, 3, &options, r.epochs, &r.reports, &r.report_count, &err), MILL_RECIPE);
    cr_assert_not_null(strstr(err.message, in_message), "\"%s\" lacks \"%s\"", err.message, in_message);
    cr_assert_null(r.reports);
    free_run(&r);
}

Test(mixture, bad_tables_are_refused_and_named)
{
    refuse((mill_mixture_options){.epochs_max = 1, .languages = {{"c", 5000}, {"go", 4999}}, .language_count = 2},
           "language shares add up to 9999");
    refuse((mill_mixture_options){.epochs_max = 1, .tiers = {{"high", UINT32_MAX}, {"low", UINT32_MAX}}, .tier_count = 2},
           "8589934590");
    refuse((mill_mixture_options){.epochs_max = 1, .types = {{"sauce", 10000}}, .type_count = 1}, "no type called \"sauce\"");
    refuse((mill_mixture_options){.epochs_max = 1, .languages = {{"c+go", 5000}, {"go", 5000}}, .language_count = 2},
           "\"go\" stands in two");
    refuse((mill_mixture_options){.epochs_max = 1, .languages = {{NULL, 10000}}, .language_count = 1}, "no name");
    refuse((mill_mixture_options){.epochs_max = 1, .tier_count = 5}, "more than 4 tier");
    refuse((mill_mixture_options){.epochs_max = 0}, "epochs_max");
}

Test(mixture, token_counts_near_2_to_64_do_not_overflow)
{
    mill_mixture_doc docs[] = {{.key = {1, 0}, .tokens = UINT64_MAX, .language = "c"},
                               {.key = {2, 0}, .tokens = UINT64_MAX, .language = "c"}};
    mill_mixture_options options = {.enabled = true, .target_tokens = UINT64_MAX, .epochs_max = 7};
    run r = {.docs = docs, .epochs = calloc(2, sizeof(uint32_t)), .count = 2};
    select_docs(&r, &options);
    cr_assert_eq(r.epochs[0] + r.epochs[1], 1);
    cr_assert_eq(r.reports[0].available_tokens, UINT64_MAX);
    mill_free(r.reports);
    free(r.epochs);
}

Test(mixture, each_failing_allocation_is_reported_and_leaks_nothing)
{
    run r = make_docs(100, 10);
    mill_mixture_options options = full_options(100);
    for (uint64_t n = 0;; n++) {
        mill_error err = {0};
        mill_alloc_fail_after(n);
        mill_status status = mill_mixture_select(r.docs, r.count, &options, r.epochs, &r.reports, &r.report_count, &err);
        mill_alloc_fail_after(UINT64_MAX);
        if (status == MILL_OK)
            break;
        cr_assert_eq(status, MILL_NOMEM);
        cr_assert_null(r.reports);
        cr_assert_lt(n, 100);
    }
    free_run(&r);
}
