// dedup_lsh.c: near duplicates from band keys. A group is a set of at least two records that share one
// band's key and the scope; most records are in none and stay without further work.
//
// Policy first is by definition sequential: in order, a record is dropped if an earlier kept record shares
// a group, else it is kept and "inserts" itself into its groups. A group therefore has at most one kept
// member, and one number a group replaces the whole index: collect (record, group) for every band, sort by
// record, scan once.
// Policy cluster is union-find over the groups of all bands, then one survivor a component.
#include "dedup/dedup_group.h"

#include <string.h>

#define NOBODY UINT32_MAX

typedef struct pair {
    uint32_t record;
    uint32_t group;
} pair;

typedef struct pairs {
    pair *items;
    size_t count, capacity;
    uint64_t groups; // numbered so far, over all bands
} pairs;

typedef mill_status (*band_fn)(void *context, const mill_grouping *grouping, mill_error *err);

// Calls visit with the groups of each band in turn; only one band's keys are in memory.
static mill_status each_band(const mill_dedup_view *view, uint32_t bands, mill_dedup_keys_fn keys,
                             void *keys_context, const uint64_t *kept_by, band_fn visit,
                             void *visit_context, mill_error *err)
{
    mill_grouping grouping = {0};
    mill_status status = MILL_OK;
    mill_key *band_keys = mill_realloc_array(NULL, view->count, sizeof *band_keys);
    if (band_keys == NULL)
        return mill_fail_nomem(err, "near deduplication");
    for (uint32_t band = 0; band < bands; band++) {
        MILL_TRY_GOTO(keys(keys_context, band, band_keys, err));
        MILL_TRY_GOTO(mill_grouping_run(&grouping, view, band_keys, kept_by, err));
        MILL_TRY_GOTO(visit(visit_context, &grouping, err));
    }
cleanup:
    mill_grouping_free(&grouping);
    mill_free(band_keys);
    return status;
}

// ---- policy first ----

static mill_status collect_pairs(void *context, const mill_grouping *grouping, mill_error *err)
{
    pairs *all = context;
    if (all->groups + grouping->group_count > UINT32_MAX)
        return mill_fail(err, MILL_RESOURCE,
                         "near deduplication: more than %u groups; use fewer bands or inputs",
                         UINT32_MAX);
    uint32_t base = (uint32_t)all->groups;
    MILL_TRY(MILL_GROW(all->items, all->capacity, all->count + grouping->count, err));
    for (size_t i = 0; i < grouping->count; i++)
        all->items[all->count++] = (pair){grouping->members[i].record, base + grouping->members[i].group};
    all->groups += grouping->group_count;
    return MILL_OK;
}

// The scan. starts and groups: record i is in groups[starts[i] .. starts[i + 1]]; kept_in: kept member of
// each group.
static void decide_first(uint64_t count, const uint64_t *starts, const uint32_t *groups,
                         uint32_t *kept_in, uint64_t *kept_by)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t keeper = NOBODY;
        for (uint64_t at = starts[i]; at < starts[i + 1]; at++)
            if (kept_in[groups[at]] < keeper)
                keeper = kept_in[groups[at]];
        if (keeper != NOBODY) {
            kept_by[i] = keeper;
            continue;
        }
        for (uint64_t at = starts[i]; at < starts[i + 1]; at++)
            kept_in[groups[at]] = (uint32_t)i;
    }
}

static mill_status sort_and_decide(uint64_t count, const pairs *all, uint64_t *kept_by, mill_error *err)
{
    mill_status status = MILL_OK;
    uint64_t *starts = mill_alloc_zero(count + 2, sizeof *starts);
    uint32_t *groups = mill_realloc_array(NULL, all->count, sizeof *groups);
    uint32_t *kept_in = mill_realloc_array(NULL, all->groups, sizeof *kept_in);
    if (starts == NULL || groups == NULL || kept_in == NULL) {
        status = mill_fail_nomem(err, "near deduplication");
        goto cleanup;
    }
    for (size_t i = 0; i < all->count; i++)
        starts[all->items[i].record + (size_t)2]++;
    for (uint64_t i = 2; i < count + 2; i++)
        starts[i] += starts[i - 1];
    for (size_t i = 0; i < all->count;
         i++) // moves starts[record + 1] from the record's first place to its end
        groups[starts[all->items[i].record + (size_t)1]++] = all->items[i].group;
    memset(kept_in, 0xff, all->groups * sizeof *kept_in); // NOBODY
    decide_first(count, starts, groups, kept_in, kept_by);
cleanup:
    mill_free(starts);
    mill_free(groups);
    mill_free(kept_in);
    return status;
}

// ---- policy cluster ----

static uint32_t find_root(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

static mill_status join_groups(void *context, const mill_grouping *grouping, mill_error *err)
{
    uint32_t *parent = context;
    (void)err;
    for (size_t i = 0; i < grouping->count; i++) {
        uint32_t a = find_root(parent, grouping->members[i].first);
        uint32_t b = find_root(parent, grouping->members[i].record);
        parent[a > b ? a : b] = a > b ? b : a; // the smallest record is the root
    }
    return MILL_OK;
}

// Does record `a` stay rather than the earlier record `b`?
static bool survives(const mill_dedup_view *view, mill_dedup_survivor rule, uint64_t a, uint64_t b)
{
    switch (rule) {
    case MILL_SURVIVOR_STARS: return view->stars[a] > view->stars[b];
    case MILL_SURVIVOR_LENGTH: return view->bytes[a] > view->bytes[b];
    case MILL_SURVIVOR_FIRST: break;
    }
    return false;
}

static mill_status dedup_cluster(const mill_dedup_view *view, uint32_t bands, mill_dedup_survivor rule,
                                 mill_dedup_keys_fn keys, void *context, uint64_t *kept_by,
                                 mill_error *err)
{
    mill_status status = MILL_OK;
    uint32_t count = (uint32_t)view->count;
    uint32_t *parent = mill_realloc_array(NULL, count, sizeof *parent);
    uint32_t *survivor = mill_realloc_array(NULL, count, sizeof *survivor); // of a root's component
    if (parent == NULL || survivor == NULL) {
        status = mill_fail_nomem(err, "near deduplication");
        goto cleanup;
    }
    for (uint32_t i = 0; i < count; i++)
        parent[i] = survivor[i] = i;
    MILL_TRY_GOTO(each_band(view, bands, keys, context, kept_by, join_groups, parent, err));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t root = find_root(parent, i);
        if (survives(view, rule, i, survivor[root]))
            survivor[root] = i;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t stays = survivor[find_root(parent, i)];
        if (stays != i) // a record that was out before is in no group, hence its own survivor
            kept_by[i] = stays;
    }
cleanup:
    mill_free(parent);
    mill_free(survivor);
    return status;
}

mill_status mill_dedup_near(const mill_dedup_view *view, uint32_t bands, mill_dedup_policy policy,
                            mill_dedup_survivor survivor, mill_dedup_keys_fn keys, void *context,
                            uint64_t *kept_by, mill_error *err)
{
    if (view->count > MILL_DEDUP_RECORDS_MAX)
        return mill_fail(err, MILL_RESOURCE, "deduplication of %llu records: at most %u are possible",
                         (unsigned long long)view->count, MILL_DEDUP_RECORDS_MAX);
    if (policy == MILL_DEDUP_CLUSTER)
        return dedup_cluster(view, bands, survivor, keys, context, kept_by, err);
    pairs all = {0};
    mill_status status = each_band(view, bands, keys, context, kept_by, collect_pairs, &all, err);
    if (status == MILL_OK)
        status = sort_and_decide(view->count, &all, kept_by, err);
    mill_free(all.items);
    return status;
}
