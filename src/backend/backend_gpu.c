// backend_gpu.c: the batch operations on graphics processors. A view is cut into pieces that fit a slot; what
// fits none, and every piece whose device fails, is done by the processor's backend, with the same result.
#include <string.h>

#include "backend/gpu_device.h"
#include "core/unicode.h"

typedef struct gpu_backend {
    mill_backend base;
    mill_gpus *gpus;
    mill_backend *cpu;
} gpu_backend;

static void gpu_close(mill_backend *base)
{
    gpu_backend *self = (gpu_backend *)base;
    if (self != NULL && self->cpu != NULL)
        self->cpu->ops->close(self->cpu);
    mill_free(self);
}

static mill_status gpu_open(const mill_backend_ops *ops, mill_backend **out, mill_error *err)
{
    gpu_backend *self = mill_alloc_zero(1, sizeof *self);
    *out = NULL;
    if (self == NULL)
        return mill_fail_nomem(err, "opening the GPU backend");
    self->base.ops = ops;
    self->gpus = (mill_gpus *)(uintptr_t)ops; // ops is the first member of the devices
    mill_status status = mill_backend_cpu.open(&mill_backend_cpu, &self->cpu, err);
    if (status != MILL_OK) {
        gpu_close(&self->base);
        return status;
    }
    *out = &self->base;
    return MILL_OK;
}

// ---- pieces
// ---------------------------------------------------------------------------------------------------------------------

static size_t align(size_t at)
{
    return (at + 255) & ~(size_t)255;
}

// Texts [first, *last) that fit a slot, with out_bytes of results each; false: not even one does.
static bool next_piece(const mill_gpu_shape *shape, const mill_text_view *in, uint32_t first,
                       size_t out_bytes, uint32_t *last)
{
    uint32_t end = first;
    while (end < in->count && end - first < shape->count &&
           in->offsets[end + 1] - in->offsets[first] <= shape->text_bytes &&
           (end - first + 1) * out_bytes <= shape->out_capacity)
        end++;
    *last = end;
    return end > first;
}

// Copies the texts to the slot: bytes, zeros, offsets.
static void load_texts(mill_gpu_slot *slot, const mill_text_view *in, uint32_t first, uint32_t last)
{
    uint64_t begin = in->offsets[first], total = in->offsets[last] - begin;
    size_t at = align((size_t)total + 16);
    uint32_t *offsets = (uint32_t *)(void *)(slot->pinned_in + at), longest = 0;
    if (total != 0)
        memcpy(slot->pinned_in, in->bytes + begin, total);
    memset(slot->pinned_in + total, 0, at - total);
    for (uint32_t i = first; i <= last; i++) {
        offsets[i - first] = (uint32_t)(in->offsets[i] - begin);
        if (i > first && offsets[i - first] - offsets[i - first - 1] > longest)
            longest = offsets[i - first] - offsets[i - first - 1];
    }
    slot->in_bytes = align(at + 4 * ((size_t)(last - first) + 1));
    slot->texts = (mill_gpu_texts){.bytes = slot->in,
                                   .offsets = (const uint32_t *)(const void *)(slot->in + at),
                                   .count = last - first,
                                   .total = (uint32_t)total,
                                   .longest = longest};
}

// Adds an array of parameters behind what the slot holds; returns where it will stand on the device.
static const void *add_parameters(mill_gpu_slot *slot, const void *values, size_t bytes)
{
    const uint8_t *place = slot->in + slot->in_bytes;
    memcpy(slot->pinned_in + slot->in_bytes, values, bytes);
    slot->in_bytes = align(slot->in_bytes + bytes);
    return place;
}

// ---- text statistics
// ------------------------------------------------------------------------------------------------------------

static int launch_text_stats(const mill_gpu_api *api, mill_gpu_slot *slot, void *stream, const char **what)
{
    *what = "text statistics";
    return api->text_stats(&slot->texts, slot->device->unicode, MILL_UNICODE_INDEX_COUNT, MILL_UNICODE_SHIFT,
                           slot->unicode_rank, (mill_gpu_text_stat *)(void *)slot->out, stream);
}

static bool text_stats_piece(gpu_backend *self, const mill_text_view *in, uint32_t unicode, uint32_t first,
                             uint32_t last, mill_text_stat *out)
{
    mill_gpu_slot *slot = mill_gpu_slot_take(self->gpus);
    if (slot == NULL)
        return false;
    load_texts(slot, in, first, last);
    slot->out_bytes = (last - first) * sizeof(mill_gpu_text_stat);
    slot->unicode_rank = mill_alnum_rank(unicode);
    slot->launch = launch_text_stats;
    bool good = mill_gpu_slot_run(slot);
    const mill_gpu_text_stat *found = (const mill_gpu_text_stat *)(const void *)slot->pinned_out;
    for (uint32_t i = first; good && i < last; i++)
        out[i] = (mill_text_stat){.chars = found[i - first].chars,
                                  .lines = 1 + (uint64_t)found[i - first].newlines,
                                  .alnum_or_space = found[i - first].text};
    mill_gpu_slot_give(slot);
    return good;
}

static mill_status gpu_text_stats(mill_backend *base, const mill_text_view *in, uint32_t unicode,
                                  mill_text_stat *out, mill_error *err)
{
    gpu_backend *self = (gpu_backend *)base;
    if (!mill_unicode_known(unicode))
        return mill_fail(err, MILL_USAGE, "no character tables of Unicode version %u", unicode);
    for (uint32_t first = 0, last; first < in->count; first = last) {
        if (next_piece(&self->gpus->shape, in, first, sizeof(mill_gpu_text_stat), &last) &&
            text_stats_piece(self, in, unicode, first, last, out))
            continue;
        last = last == first ? first + 1 : last;
        const mill_text_view piece = {in->bytes, in->offsets + first, last - first};
        MILL_TRY(self->cpu->ops->text_stats(self->cpu, &piece, unicode, out + first, err));
    }
    return MILL_OK;
}

// ---- MinHash
// --------------------------------------------------------------------------------------------------------------------

// Lays the arrays of the word search out over the slot's scratch.
static mill_gpu_words words_in(const mill_gpu_slot *slot)
{
    size_t bitmap = align((((size_t)slot->texts.total + 31) / 32 + 1) * 4);
    size_t words = align(MILL_GPU_WORDS_MAX((size_t)slot->texts.total, slot->texts.count) * 4);
    uint8_t *at = slot->scratch;
    mill_gpu_words to = {0};
    uint32_t **const arrays[] = {&to.blanks, &to.breaks, &to.ranks, &to.sums,
                                 &to.places, &to.hashes, &to.counts};
    const size_t bytes[] = {bitmap, bitmap, bitmap, align((slot->texts.total / 32768 + 2) * 4),
                            words,  words,  256};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i] = (uint32_t *)(void *)at;
        at += bytes[i];
    }
    MILL_ASSERT((size_t)(at - slot->scratch) <= slot->device->gpus->shape.scratch_capacity);
    return to;
}

static int launch_minhash(const mill_gpu_api *api, mill_gpu_slot *slot, void *stream, const char **what)
{
    const mill_gpu_words words = words_in(slot);
    *what = "word search";
    int code = api->words(&slot->texts, &words, stream);
    if (code != 0)
        return code;
    *what = "MinHash";
    return api->minhash(&slot->texts, &words, &slot->minhash, (uint32_t *)(void *)slot->out, stream);
}

static bool minhash_piece(gpu_backend *self, const mill_text_view *in, const mill_minhash_params *params,
                          uint32_t first, uint32_t last, uint32_t *out)
{
    size_t row = (size_t)params->num_perm * sizeof *out;
    mill_gpu_slot *slot = mill_gpu_slot_take(self->gpus);
    if (slot == NULL)
        return false;
    load_texts(slot, in, first, last);
    slot->minhash =
        (mill_gpu_minhash){.legacy = params->scheme == MILL_MINHASH_LEGACY, .permutations = params->num_perm};
    if (slot->minhash.legacy) {
        slot->minhash.a = add_parameters(slot, params->a, params->num_perm * sizeof *params->a);
        slot->minhash.b = add_parameters(slot, params->b, params->num_perm * sizeof *params->b);
    } else {
        slot->minhash.a32 = add_parameters(slot, params->a32, params->num_perm * sizeof *params->a32);
        slot->minhash.b32 = add_parameters(slot, params->b32, params->num_perm * sizeof *params->b32);
    }
    slot->out_bytes = (last - first) * row;
    slot->launch = launch_minhash;
    bool good = mill_gpu_slot_run(slot);
    if (good)
        memcpy(out + (size_t)first * params->num_perm, slot->pinned_out, slot->out_bytes);
    mill_gpu_slot_give(slot);
    return good;
}

static mill_status gpu_minhash(mill_backend *base, const mill_text_view *in,
                               const mill_minhash_params *params, uint32_t *out, mill_error *err)
{
    enum { PERMUTATIONS_MAX = 256 }; // whose parameters fit a slot
    gpu_backend *self = (gpu_backend *)base;
    for (uint32_t first = 0, last; first < in->count; first = last) {
        if (next_piece(&self->gpus->shape, in, first, params->num_perm * sizeof *out, &last) &&
            params->num_perm <= PERMUTATIONS_MAX && minhash_piece(self, in, params, first, last, out))
            continue;
        last = last == first ? first + 1 : last;
        const mill_text_view piece = {in->bytes, in->offsets + first, last - first};
        MILL_TRY(
            self->cpu->ops->minhash(self->cpu, &piece, params, out + (size_t)first * params->num_perm, err));
    }
    return MILL_OK;
}

extern const mill_backend_ops mill_backend_gpu;
const mill_backend_ops mill_backend_gpu = {
    // the name comes from the library of kernels
    .open = gpu_open,
    .text_stats = gpu_text_stats,
    .minhash = gpu_minhash,
    .close = gpu_close,
};
