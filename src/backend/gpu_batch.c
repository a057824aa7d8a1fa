// gpu_batch.c: filling a slot: which texts of a view fit, copying them, laying out arrays.
#include <string.h>

#include "backend/gpu_backend.h"

bool mill_gpu_next_piece(const mill_gpu_shape *shape, const mill_text_view *in, uint32_t first, size_t out_bytes,
                         uint32_t *last)
{
    uint32_t end = first;
    while (end < in->count && end - first < shape->count &&
           in->offsets[end + 1] - in->offsets[first] <= shape->text_bytes &&
           (end - first + 1) * out_bytes <= shape->out_capacity)
        end++;
    *last = end;
    return end > first;
}

void mill_gpu_load_texts(mill_gpu_slot *slot, const mill_text_view *in, uint32_t first, uint32_t last)
{
    uint64_t begin = in->offsets[first], total = in->offsets[last] - begin;
    size_t at = mill_gpu_align((size_t)total + 16);
    uint32_t *offsets = (uint32_t *)(void *)(slot->pinned_in + at), longest = 0;
    if (total != 0)
        memcpy(slot->pinned_in, in->bytes + begin, total);
    memset(slot->pinned_in + total, 0, at - total);
    for (uint32_t i = first; i <= last; i++) {
        offsets[i - first] = (uint32_t)(in->offsets[i] - begin);
        if (i > first && offsets[i - first] - offsets[i - first - 1] > longest)
            longest = offsets[i - first] - offsets[i - first - 1];
    }
    slot->in_bytes = mill_gpu_align(at + 4 * ((size_t)(last - first) + 1));
    slot->texts = (mill_gpu_texts){.bytes = slot->in,
                                   .offsets = (const uint32_t *)(const void *)(slot->in + at),
                                   .count = last - first,
                                   .total = (uint32_t)total,
                                   .longest = longest};
}

const void *mill_gpu_add_parameters(mill_gpu_slot *slot, const void *values, size_t bytes)
{
    const uint8_t *place = slot->in + slot->in_bytes;
    memcpy(slot->pinned_in + slot->in_bytes, values, bytes);
    slot->in_bytes = mill_gpu_align(slot->in_bytes + bytes);
    return place;
}

void *mill_gpu_room_take(mill_gpu_room *room, size_t bytes)
{
    uint8_t *at = room->memory != NULL ? room->memory + room->bytes : NULL;
    room->bytes += mill_gpu_align(bytes);
    return at;
}
