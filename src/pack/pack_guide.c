// pack_guide.c: the guide's greedy packing: rows join the one open block while they fit, else the block is written and the row
// opens the next. Rows are never split; one that is longer than a block is written whole.
#include "pack/pack_internal.h"

mill_status mill_pack_guide(const uint32_t *lengths, uint64_t count, const mill_pack_options *options, mill_packing *out,
                            mill_error *err)
{
    const uint64_t limit = (uint64_t)options->seq_len + options->extra;
    uint64_t block = 0; // tokens in the open block
    for (uint64_t i = 0; i < count; i++) {
        if (block + lengths[i] > limit && block != 0) {
            MILL_TRY(mill_packing_end_sample(out, err));
            block = 0;
        }
        MILL_TRY(mill_packing_add(out, (mill_part){.row = i, .begin = 0, .count = lengths[i]}, err));
        block += lengths[i];
    }
    if (block == 0)
        return MILL_OK;
    if (out->sample_count == 0 && !options->keep_single) {
        // The guide opens its first file when it flushes; a run that never did has nowhere to put its only block.
        out->part_count = 0;
        out->tokens = 0;
        out->dropped_tokens = block;
        return MILL_OK;
    }
    return mill_packing_end_sample(out, err);
}
