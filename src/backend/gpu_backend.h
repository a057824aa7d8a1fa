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
mill_status mill_gpu_backend_encode(mill_backend *base, const mill_text_view *in, const mill_encode_job *job,
                                    mill_portion *portion, mill_ids *out, uint64_t *ends, mill_error *err);
size_t mill_gpu_words_scratch(const mill_gpu_shape *shape); // that these operations need

// What gpu_encode.c takes of gpu_words.c.
enum { MILL_GPU_HEADER = 256 }; // bytes of counts before the results of an operation
// Takes a slot and loads what fits of the view's texts: at most text_bytes and `most` texts. NULL: the portion is the caller's.
mill_gpu_slot *mill_gpu_words_load(mill_gpu_backend *self, const mill_text_view *in, size_t text_bytes, uint32_t most,
                                   mill_portion *portion);
// Lays out the arrays of pieces and of the word table for what is loaded; collided: offset of that list in the results.
mill_gpu_room mill_gpu_words_lay(mill_gpu_slot *slot, uint64_t tag_mask, size_t collided, uint32_t collided_most);
int mill_gpu_words_launch(const mill_gpu_api *api, mill_gpu_slot *slot, void *stream, const char **what); // up to the table
// Runs what is laid out and reads the counts; false: the device failed, or something did not fit.
bool mill_gpu_words_run(mill_gpu_slot *slot, mill_gpu_launch launch, mill_gpu_found *found);
// Most bytes of text that one call of encode takes, and the scratch that it then needs.
size_t mill_gpu_encode_bytes(const mill_gpu_shape *shape);
void mill_gpu_encode_lay(mill_gpu_room *room, size_t total, uint32_t words_most, mill_gpu_encoder *encoder);

#endif
