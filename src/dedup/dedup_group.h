// dedup_group.h: which records have the same key: the step that exact and near deduplication share.
#ifndef MILL_DEDUP_DEDUP_GROUP_H
#define MILL_DEDUP_DEDUP_GROUP_H

#include "core/alloc.h"
#include "dedup/dedup.h"

// One member of a group of at least two records with equal key and scope.
typedef struct mill_group_member {
    uint32_t record;
    uint32_t first; // smallest record of the group
    uint32_t group; // 0, 1, ...
} mill_group_member;

typedef struct mill_grouping {  // zero-initialised is empty; holds the scratch of repeated calls
    mill_group_member *members; // result: each group's members in ascending order, groups interleaved
    size_t count, members_capacity;
    uint32_t group_count;
    void *entries; // scratch
    uint32_t *slots;
    size_t slots_capacity;
} mill_grouping;

#define MILL_DEDUP_RECORDS_MAX (UINT32_MAX - 1)

// Groups the records of the view with kept_by[i] == MILL_DEDUP_NONE by keys[i] and scope[i]. view->count is
// at most MILL_DEDUP_RECORDS_MAX (else MILL_RESOURCE). Linear time; 24 bytes of scratch a record.
mill_status mill_grouping_run(mill_grouping *grouping, const mill_dedup_view *view, const mill_key *keys,
                              const uint64_t *kept_by, mill_error *err) MILL_MUST_CHECK;
void mill_grouping_free(mill_grouping *grouping);

#endif
