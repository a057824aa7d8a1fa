// dedup_exact.c: records with the same content: the first of each scope stays.
#include "dedup/dedup_group.h"

mill_status mill_dedup_exact(const mill_dedup_view *view, uint64_t *kept_by, mill_error *err)
{
    mill_grouping grouping = {0};
    mill_status status = mill_grouping_run(&grouping, view, view->content, kept_by, err);
    for (size_t i = 0; status == MILL_OK && i < grouping.count; i++) {
        const mill_group_member *member = &grouping.members[i];
        if (member->record != member->first)
            kept_by[member->record] = member->first;
    }
    mill_grouping_free(&grouping);
    return status;
}
