// gpu_words.c: the tokenizer's operations on devices. An operation takes as many texts as a slot holds and tells how many; what
// fits none, and what a failing device leaves undone, is the caller's.
#include <string.h>

#include "backend/gpu_backend.h"
#include "core/unicode.h"

enum { HEADER = 256 }; // bytes of counts before the results of an operation

// Most pieces that arrays have room for: short texts may be nothing but pieces of one byte, long ones hold fewer.
static uint32_t pieces_most(const mill_gpu_shape *shape, size_t total)
{
    return (uint32_t)(total < shape->text_bytes / 2 ? total : shape->text_bytes / 2);
}

// Arrays of the pre-tokenizer; places may stand elsewhere.
static mill_gpu_pieces take_pieces(mill_gpu_room *room, size_t total, uint32_t capacity)
{
    mill_gpu_pieces pieces = {.capacity = capacity};
    uint32_t **const bitmaps[] = {&pieces.letters, &pieces.numbers, &pieces.spaces,
                                  &pieces.breaks,  &pieces.begins,  &pieces.ranks};
    for (size_t i = 0; i < sizeof bitmaps / sizeof *bitmaps; i++)
        *bitmaps[i] = mill_gpu_room_take(room, (total + 31) / 32 * 4);
    pieces.sums = mill_gpu_room_take(room, (total / 1024 + 2) * 4);
    return pieces;
}

size_t mill_gpu_words_scratch(const mill_gpu_shape *shape, size_t total)
{
    mill_gpu_room room = {0};
    (void)take_pieces(&room, total, pieces_most(shape, total));
    return room.bytes;
}

// Takes a slot and loads what fits of the view's texts: at most text_bytes and `most` texts. NULL: the portion is the caller's.
static mill_gpu_slot *load(mill_gpu_backend *self, const mill_text_view *in, size_t text_bytes, uint32_t most,
                           mill_portion *portion)
{
    uint32_t end = 0;
    while (end < in->count && end < most && in->offsets[end + 1] - in->offsets[0] <= text_bytes)
        end++;
    *portion = (mill_portion){.texts = end != 0 ? end : 1};
    mill_gpu_slot *slot = end != 0 ? mill_gpu_slot_take(self->gpus) : NULL;
    if (slot != NULL)
        mill_gpu_load_texts(slot, in, 0, end);
    return slot;
}

// ---- pieces

static int launch_pretok(const mill_gpu_api *api, mill_gpu_slot *slot, void *stream, const char **what)
{
    *what = "pre-tokenization";
    return api->pretok(&slot->texts, slot->device->unicode, MILL_UNICODE_INDEX_COUNT, MILL_UNICODE_SHIFT,
                       &slot->pieces, stream);
}

static mill_status append_pieces(const mill_gpu_slot *slot, uint64_t base, mill_stretches *out, mill_error *err)
{
    const uint32_t count = *(const uint32_t *)(const void *)slot->pinned_out;
    const uint32_t *places = (const uint32_t *)(const void *)(slot->pinned_out + HEADER);
    MILL_TRY(MILL_GROW(out->rows, out->capacity, out->count + count, err));
    for (uint32_t i = 0; i < count; i++)
        out->rows[out->count++] =
            (mill_stretch){.at = base + places[i], .bytes = places[i + 1] - places[i], .count = 1};
    return MILL_OK;
}

mill_status mill_gpu_backend_pretok(mill_backend *base, const mill_text_view *in, mill_portion *portion,
                                    mill_stretches *out, mill_error *err)
{
    mill_gpu_backend *self = (mill_gpu_backend *)base;
    const mill_gpu_shape *shape = &self->gpus->shape;
    mill_gpu_slot *slot = load(self, in, (shape->out_capacity - HEADER) / 4 - 1, shape->count, portion);
    mill_status status = MILL_OK;
    if (slot == NULL)
        return MILL_OK;
    mill_gpu_room room = {slot->scratch, 0};
    slot->pieces = take_pieces(&room, slot->texts.total, slot->texts.total);
    slot->pieces.count = (uint32_t *)(void *)slot->out;
    slot->pieces.places = (uint32_t *)(void *)(slot->out + HEADER);
    slot->launch = launch_pretok;
    slot->out_bytes = HEADER;
    portion->done = mill_gpu_slot_run(slot);
    if (portion->done) {
        const uint32_t count = *(const uint32_t *)(const void *)slot->pinned_out;
        MILL_ASSERT(count <= slot->pieces.capacity);
        portion->done = mill_gpu_slot_fetch(slot, HEADER + 4 * ((size_t)count + 1));
    }
    if (portion->done)
        status = append_pieces(slot, in->offsets[0], out, err);
    mill_gpu_slot_give(slot);
    return status;
}
