// gpu_backend.h: the handle of the GPU backend, and how its operations fill a slot with texts.
#ifndef MILL_BACKEND_GPU_BACKEND_H
#define MILL_BACKEND_GPU_BACKEND_H

#include "backend/gpu_device.h"

typedef struct mill_gpu_backend {
    mill_backend base;
    mill_gpus *gpus;
    mill_backend *cpu;
} mill_gpu_backend;

// ---- gpu_batch.c

static inline size_t mill_gpu_align(size_t at)
{
    return (at + 255) & ~(size_t)255;
}

// Texts [first, *last) that fit a slot, with out_bytes of results each; false: not even one does.
bool mill_gpu_next_piece(const mill_gpu_shape *shape, const mill_text_view *in, uint32_t first, size_t out_bytes,
                         uint32_t *last);
// Copies the texts to the slot: bytes, zeros, offsets.
void mill_gpu_load_texts(mill_gpu_slot *slot, const mill_text_view *in, uint32_t first, uint32_t last);
// Adds an array of parameters behind what the slot holds; returns where it will stand on the device.
const void *mill_gpu_add_parameters(mill_gpu_slot *slot, const void *values, size_t bytes);

// Arrays are laid out one behind the other; without memory only the room that they need is counted.
typedef struct mill_gpu_room {
    uint8_t *memory;
    size_t bytes;
} mill_gpu_room;
void *mill_gpu_room_take(mill_gpu_room *room, size_t bytes);

// ---- gpu_scan.c: what the filters look for (backend.h)

mill_status mill_gpu_backend_text_scan(mill_backend *base, const mill_text_view *in, const mill_scan_request *request,
                                       mill_portion *portion, mill_text_scan *out, mill_error *err);

// ---- gpu_words.c: operations of the tokenizer (backend.h)

mill_status mill_gpu_backend_pretok(mill_backend *base, const mill_text_view *in, mill_portion *portion,
                                    mill_stretches *out, mill_error *err);
mill_status mill_gpu_backend_count_words(mill_backend *base, const mill_text_view *in, uint64_t tag_mask,
                                         mill_portion *portion, mill_stretches *out, mill_error *err);
size_t mill_gpu_words_scratch(const mill_gpu_shape *shape); // that these operations need

#endif
