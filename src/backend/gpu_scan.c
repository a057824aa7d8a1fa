// gpu_scan.c: the search for comment lines and patterns on devices.
#include <string.h>

#include "backend/gpu_backend.h"
#include "core/unicode_tables.h"

enum { PATTERNS_MAX = 64, PATTERN_BYTES_MAX = 16384 }; // what the room for parameters holds

static uint32_t first_byte(const mill_pattern *pattern)
{
    uint32_t c = (uint8_t)pattern->text[0];
    return c >= 'A' && c <= 'Z' ? c | 0x20u : c;
}

// Sorts the patterns by first byte and adds them to what the slot holds.
static void add_patterns(mill_gpu_slot *slot, const mill_scan_request *request)
{
    uint32_t heads[257] = {0}, next[256], used = 0;
    mill_gpu_pattern list[PATTERNS_MAX];
    uint8_t bytes[PATTERN_BYTES_MAX];
    for (uint32_t i = 0; i < request->count; i++)
        heads[first_byte(&request->patterns[i]) + 1]++;
    for (uint32_t c = 0; c < 256; c++) {
        next[c] = heads[c];
        heads[c + 1] += heads[c];
    }
    for (uint32_t i = 0; i < request->count; i++) {
        const mill_pattern *pattern = &request->patterns[i];
        list[next[first_byte(pattern)]++] =
            (mill_gpu_pattern){.offset = used,
                               .bytes = pattern->bytes,
                               .flags = (pattern->fold ? MILL_GPU_PATTERN_FOLD : 0) |
                                        (pattern->word ? MILL_GPU_PATTERN_WORD : 0)};
        memcpy(bytes + used, pattern->text, pattern->bytes);
        used += pattern->bytes;
    }
    slot->patterns =
        (mill_gpu_patterns){.bytes = mill_gpu_add_parameters(slot, bytes, used + 1),
                            .list = mill_gpu_add_parameters(slot, list, (request->count + 1) * sizeof *list),
                            .heads = mill_gpu_add_parameters(slot, heads, sizeof heads),
                            .window = request->window};
}

// Adds a word for each text.
static void add_traits(mill_gpu_slot *slot, const mill_scan_request *request)
{
    uint32_t *to = (uint32_t *)(void *)(slot->pinned_in + slot->in_bytes);
    slot->traits = (const uint32_t *)(const void *)(slot->in + slot->in_bytes);
    for (uint32_t i = 0; i < slot->texts.count; i++)
        to[i] =
            (request->comments[i] & MILL_GPU_TRAIT_COMMENTS) | (request->words[i] ? MILL_GPU_TRAIT_WORDS : 0);
    slot->in_bytes = mill_gpu_align(slot->in_bytes + 4 * (size_t)slot->texts.count);
}

static int launch_text_scan(const mill_gpu_api *api, mill_gpu_slot *slot, void *stream, const char **what)
{
    uint32_t *out = (uint32_t *)(void *)slot->out;
    *what = "search for comments and patterns";
    return api->text_scan(&slot->texts, slot->device->unicode, MILL_UNICODE_INDEX_COUNT, MILL_UNICODE_SHIFT,
                          &slot->patterns, slot->traits, out, out + slot->texts.count, stream);
}

static bool fits(const mill_scan_request *request)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < request->count; i++)
        bytes += request->patterns[i].bytes;
    return request->count < PATTERNS_MAX && bytes < PATTERN_BYTES_MAX;
}

mill_status mill_gpu_backend_text_scan(mill_backend *base, const mill_text_view *in,
                                       const mill_scan_request *request, mill_portion *portion,
                                       mill_text_scan *out, mill_error *err)
{
    mill_gpu_backend *self = (mill_gpu_backend *)base;
    uint32_t last;
    (void)err;
    *portion = (mill_portion){.texts = 1};
    if (!fits(request) || !mill_gpu_next_piece(&self->gpus->shape, in, 0, 2 * sizeof(uint32_t), &last))
        return MILL_OK;
    mill_gpu_slot *slot = mill_gpu_slot_take(self->gpus);
    if (slot == NULL)
        return MILL_OK;
    portion->texts = last;
    mill_gpu_load_texts(slot, in, 0, last);
    add_patterns(slot, request);
    add_traits(slot, request);
    slot->out_bytes = 2 * sizeof(uint32_t) * (size_t)last;
    slot->launch = launch_text_scan;
    portion->done = mill_gpu_slot_run(slot);
    const uint32_t *results = (const uint32_t *)(const void *)slot->pinned_out;
    for (uint32_t i = 0; portion->done && i < last; i++)
        out[i] = (mill_text_scan){.comment_lines = results[i], .found = results[last + i]};
    mill_gpu_slot_give(slot);
    return MILL_OK;
}
