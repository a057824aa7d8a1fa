// pack_internal.h: what the packing modes share: checks already done, and the growing result.
#ifndef MILL_PACK_PACK_INTERNAL_H
#define MILL_PACK_PACK_INTERNAL_H

#include "pack/pack.h"

// One mode; lengths are >= 1 and, where the mode asks for it, at most seq_len + extra. out is empty but has sample_parts[0].
mill_status mill_pack_guide(const uint32_t *lengths, uint64_t count, const mill_pack_options *options, mill_packing *out,
                            mill_error *err) MILL_MUST_CHECK;
mill_status mill_pack_concat(const uint32_t *lengths, uint64_t count, const mill_pack_options *options, mill_packing *out,
                             mill_error *err) MILL_MUST_CHECK;
mill_status mill_pack_best_fit(const uint32_t *lengths, uint64_t count, const mill_pack_options *options, mill_packing *out,
                               mill_error *err) MILL_MUST_CHECK;

// Appends a part to the sample that is being filled.
static inline mill_status mill_packing_add(mill_packing *packing, mill_part part, mill_error *err)
{
    if (packing->part_count == packing->part_capacity)
        MILL_TRY(MILL_GROW(packing->parts, packing->part_capacity, packing->part_count + 1, err));
    packing->parts[packing->part_count++] = part;
    packing->tokens += part.count;
    return MILL_OK;
}

// Ends the sample that is being filled; the next part starts another one.
static inline mill_status mill_packing_end_sample(mill_packing *packing, mill_error *err)
{
    if (packing->sample_count + 1 >= packing->sample_capacity)
        MILL_TRY(MILL_GROW(packing->sample_parts, packing->sample_capacity, packing->sample_count + 2, err));
    packing->sample_parts[++packing->sample_count] = packing->part_count;
    return MILL_OK;
}

#endif
