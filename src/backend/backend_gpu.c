// backend_gpu.c: the batch operations on graphics processors. A view is cut into pieces that fit a slot; what
// fits none, and every piece whose device fails, is done by the processor's backend, with the same result.
#include <string.h>

#include "backend/gpu_backend.h"
#include "backend/gpu_train.h"
#include "core/unicode.h"

static void gpu_close(mill_backend *base)
{
    mill_gpu_backend *self = (mill_gpu_backend *)base;
    if (self != NULL && self->cpu != NULL)
        self->cpu->ops->close(self->cpu);
    mill_free(self);
}

static mill_status gpu_open(const mill_backend_ops *ops, mill_backend **out, mill_error *err)
{
    mill_gpu_backend *self = mill_alloc_zero(1, sizeof *self);
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

// ---- text statistics

static int launch_text_stats(const mill_gpu_api *api, mill_gpu_slot *slot, void *stream, const char **what)
{
    *what = "text statistics";
    return api->text_stats(&slot->texts, slot->device->unicode, MILL_UNICODE_INDEX_COUNT, MILL_UNICODE_SHIFT,
                           slot->unicode_rank, (mill_gpu_text_stat *)(void *)slot->out, stream);
}

static bool text_stats_piece(mill_gpu_backend *self, const mill_text_view *in, uint32_t unicode, uint32_t first,
                             uint32_t last, mill_text_stat *out)
{
    mill_gpu_slot *slot = mill_gpu_slot_take(self->gpus);
    if (slot == NULL)
        return false;
    mill_gpu_load_texts(slot, in, first, last);
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
    mill_gpu_backend *self = (mill_gpu_backend *)base;
    if (!mill_unicode_known(unicode))
        return mill_fail(err, MILL_USAGE, "no character tables of Unicode version %u", unicode);
    for (uint32_t first = 0, last; first < in->count; first = last) {
        if (mill_gpu_next_piece(&self->gpus->shape, in, first, sizeof(mill_gpu_text_stat), &last) &&
            text_stats_piece(self, in, unicode, first, last, out))
            continue;
        last = last == first ? first + 1 : last;
        const mill_text_view piece = {in->bytes, in->offsets + first, last - first};
        MILL_TRY(self->cpu->ops->text_stats(self->cpu, &piece, unicode, out + first, err));
    }
    return MILL_OK;
}

// ---- MinHash

// Lays the arrays of the word search out over the slot's scratch.
static mill_gpu_words words_in(const mill_gpu_slot *slot)
{
    size_t bitmap = mill_gpu_align((((size_t)slot->texts.total + 31) / 32 + 1) * 4);
    size_t words = mill_gpu_align(MILL_GPU_WORDS_MAX((size_t)slot->texts.total, slot->texts.count) * 4);
    uint8_t *at = slot->scratch;
    mill_gpu_words to = {0};
    uint32_t **const arrays[] = {&to.blanks, &to.breaks, &to.ranks, &to.sums,
                                 &to.places, &to.hashes, &to.counts};
    const size_t bytes[] = {bitmap, bitmap, bitmap, mill_gpu_align((slot->texts.total / 32768 + 2) * 4),
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

static bool minhash_piece(mill_gpu_backend *self, const mill_text_view *in, const mill_minhash_params *params,
                          uint32_t first, uint32_t last, uint32_t *out)
{
    size_t row = (size_t)params->num_perm * sizeof *out;
    mill_gpu_slot *slot = mill_gpu_slot_take(self->gpus);
    if (slot == NULL)
        return false;
    mill_gpu_load_texts(slot, in, first, last);
    slot->minhash =
        (mill_gpu_minhash){.legacy = params->scheme == MILL_MINHASH_LEGACY, .permutations = params->num_perm};
    if (slot->minhash.legacy) {
        slot->minhash.a = mill_gpu_add_parameters(slot, params->a, params->num_perm * sizeof *params->a);
        slot->minhash.b = mill_gpu_add_parameters(slot, params->b, params->num_perm * sizeof *params->b);
    } else {
        slot->minhash.a32 = mill_gpu_add_parameters(slot, params->a32, params->num_perm * sizeof *params->a32);
        slot->minhash.b32 = mill_gpu_add_parameters(slot, params->b32, params->num_perm * sizeof *params->b32);
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
    mill_gpu_backend *self = (mill_gpu_backend *)base;
    for (uint32_t first = 0, last; first < in->count; first = last) {
        if (mill_gpu_next_piece(&self->gpus->shape, in, first, params->num_perm * sizeof *out, &last) &&
            params->num_perm <= PERMUTATIONS_MAX && minhash_piece(self, in, params, first, last, out))
            continue;
        last = last == first ? first + 1 : last;
        const mill_text_view piece = {in->bytes, in->offsets + first, last - first};
        MILL_TRY(
            self->cpu->ops->minhash(self->cpu, &piece, params, out + (size_t)first * params->num_perm, err));
    }
    return MILL_OK;
}

// ---- learning merges

static mill_status gpu_train(mill_backend *base, const mill_train_job *job, mill_train_result *out,
                             mill_error *err)
{
    return mill_gpu_train(((mill_gpu_backend *)base)->gpus, job, out, err);
}

extern const mill_backend_ops mill_backend_gpu;
const mill_backend_ops mill_backend_gpu = {
    // the name comes from the library of kernels
    .open = gpu_open,
    .text_stats = gpu_text_stats,
    .minhash = gpu_minhash,
    .text_scan = mill_gpu_backend_text_scan,
    .pretok = mill_gpu_backend_pretok,
    .count_words = mill_gpu_backend_count_words,
    .encode = mill_gpu_backend_encode,
    .train = gpu_train,
    .close = gpu_close,
};
