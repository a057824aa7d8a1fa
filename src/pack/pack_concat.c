// pack_concat.c: all rows as one stream, cut every seq_len tokens into samples of seq_len + extra.
#include "pack/pack_internal.h"

// Tokens [at, length) of row i go into the open sample of `fill` tokens and into as many new ones as they need.
static mill_status place_row(uint64_t row, uint32_t length, const mill_pack_options *options, uint64_t *fill,
                             mill_packing *out, mill_error *err)
{
    const uint64_t limit = (uint64_t)options->seq_len + options->extra;
    uint32_t at = 0;
    while (at < length) {
        uint32_t begin = at;
        if (*fill == limit) { // closed only now that another token follows: no sample merely repeats one
            MILL_TRY(mill_packing_end_sample(out, err));
            *fill = 0;
            if (options->extra == 1) {
                // The new sample starts with the last token once more: of this row, or of the one before.
                if (at > 0) {
                    begin = at - 1;
                } else {
                    mill_part last = out->parts[out->part_count - 1];
                    mill_part again = {.row = last.row, .begin = last.begin + last.count - 1, .count = 1};
                    MILL_TRY(mill_packing_add(out, again, err));
                    *fill = 1;
                }
                out->repeated_tokens++;
            }
        }
        uint64_t room = limit - *fill;
        uint32_t take = length - begin < room ? length - begin : (uint32_t)room;
        MILL_TRY(mill_packing_add(out, (mill_part){.row = row, .begin = begin, .count = take}, err));
        *fill += take;
        at = begin + take;
    }
    return MILL_OK;
}

mill_status mill_pack_concat(const uint32_t *lengths, uint64_t count, const mill_pack_options *options, mill_packing *out,
                             mill_error *err)
{
    uint64_t fill = 0;
    for (uint64_t i = 0; i < count; i++)
        MILL_TRY(place_row(i, lengths[i], options, &fill, out, err));
    return fill == 0 ? MILL_OK : mill_packing_end_sample(out, err);
}
