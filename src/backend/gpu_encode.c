// gpu_encode.c: ids of texts on devices. The tokenizer's tables are brought to a device once, by its own thread when the first
// batch asks for them: their size is known only when there is a tokenizer, so this is the one memory that is not taken at the
// start.
#include <string.h>

#include "backend/gpu_backend.h"

size_t mill_gpu_encode_bytes(const mill_gpu_shape *shape)
{
    return shape->text_bytes / 2; // a narrow id for each byte would fit the results, and so do wide ones of real text
}

void mill_gpu_encode_lay(mill_gpu_room *room, size_t total, uint32_t words_most, mill_gpu_encoder *encoder)
{
    encoder->new_words = mill_gpu_room_take(room, (size_t)words_most * 4);
    encoder->long_words = mill_gpu_room_take(room, MILL_GPU_LONGS_MAX(total) * sizeof *encoder->long_words);
    encoder->symbols = mill_gpu_room_take(room, total * 4);
}

// Where the arrays of the tables stand, in the order of mill_bpe_tables.
typedef struct table_layout {
    size_t byte_ids, byte_pairs, pairs, merges, bytes;
} table_layout;

static table_layout lay_tables(const mill_bpe_tables *t)
{
    table_layout at = {0};
    at.byte_pairs = mill_gpu_align(256 * sizeof *t->byte_ids);
    at.pairs = at.byte_pairs + mill_gpu_align(65536 * sizeof *t->byte_pairs);
    at.merges = at.pairs + mill_gpu_align(t->pair_count * sizeof *t->pairs);
    at.bytes = at.merges + mill_gpu_align(t->merge_count * sizeof *t->merges + 1);
    return at;
}

// The device's thread: takes memory for these tables and gives the old tables' back.
static int change_tables(const mill_gpu_api *api, mill_gpu_device *device, size_t bytes)
{
    void *memory = NULL, *host = NULL;
    int code = 0;
    if (device->tables != NULL || device->pinned_tables != NULL)
        code = api->device_finish(); // batches may be reading the old ones
    if (code == 0 && device->tables != NULL)
        code = api->memory_give(device->tables);
    if (code != 0)
        return code;
    device->tables = NULL;
    if (device->pinned_tables != NULL)
        code = api->pinned_give(device->pinned_tables);
    if (code != 0)
        return code;
    device->pinned_tables = NULL;
    code = api->pinned_take(&host, bytes);
    if (code == 0) {
        device->pinned_tables = host;
        code = api->memory_take(&memory, bytes);
    }
    device->tables = memory;
    return code;
}

// Brings the device these tables in place of others. The copy's source is the device's own: the tokenizer may be gone before a
// failing device has done what was queued.
static int bring_tables(const mill_gpu_api *api, mill_gpu_device *device, const mill_bpe_tables *t, void *stream)
{
    const table_layout at = lay_tables(t);
    int code = change_tables(api, device, at.bytes);
    if (code != 0)
        return code;
    memset(device->pinned_tables, 0, at.bytes);
    memcpy(device->pinned_tables + at.byte_ids, t->byte_ids, 256 * sizeof *t->byte_ids);
    memcpy(device->pinned_tables + at.byte_pairs, t->byte_pairs, 65536 * sizeof *t->byte_pairs);
    memcpy(device->pinned_tables + at.pairs, t->pairs, t->pair_count * sizeof *t->pairs);
    if (t->merge_count != 0)
        memcpy(device->pinned_tables + at.merges, t->merges, t->merge_count * sizeof *t->merges);
    device->tables_key = t->key;
    return api->copy_in(device->tables, device->pinned_tables, at.bytes, stream);
}

static int launch_encode(const mill_gpu_api *api, mill_gpu_slot *slot, void *stream, const char **what)
{
    mill_gpu_device *device = slot->device;
    mill_gpu_encoder *encoder = &slot->encoder;
    int code = 0;
    *what = "bringing the tokenizer's tables";
    if (device->tables == NULL || device->tables_key != slot->tables->key)
        code = bring_tables(api, device, slot->tables, stream);
    if (code != 0)
        return code;
    const table_layout at = lay_tables(slot->tables);
    encoder->byte_ids = (const uint32_t *)(const void *)(device->tables + at.byte_ids);
    encoder->byte_pairs = (const uint32_t *)(const void *)(device->tables + at.byte_pairs);
    encoder->pairs = device->tables + at.pairs;
    encoder->pair_mask = (uint32_t)(slot->tables->pair_count - 1);
    encoder->merges = device->tables + at.merges;
    code = mill_gpu_words_launch(api, slot, stream, what);
    if (code != 0)
        return code;
    *what = "encoding";
    return api->encode(&slot->texts, &slot->pieces, &slot->table, encoder, stream);
}

// ---- results

typedef struct results {
    const mill_encode_job *job;
    const uint8_t *text;      // of the portion
    const uint32_t *begins;   // texts + 1
    const uint16_t *narrow;   // one of these two is NULL
    const uint32_t *wide;
} results;

// Value i of the results, and of a marked piece at value i its place and length; *next: the value behind.
static uint32_t value_at(const results *r, uint32_t i)
{
    return r->narrow != NULL ? r->narrow[i] : r->wide[i];
}

static mill_status append_marked(const results *r, uint32_t i, uint32_t *next, mill_ids *out, mill_error *err)
{
    uint32_t at, bytes;
    if (r->narrow != NULL) {
        at = r->narrow[i + 1] | (uint32_t)r->narrow[i + 2] << 16;
        bytes = r->narrow[i + 3] | (uint32_t)r->narrow[i + 4] << 16;
        *next = i + 5;
    } else {
        at = r->wide[i + 1];
        bytes = r->wide[i + 2];
        *next = i + 3;
    }
    return r->job->encode_piece(r->job->context, r->text + at, bytes, out, err);
}

static mill_status append_text(const results *r, uint32_t text, mill_ids *out, mill_error *err)
{
    const uint32_t mark = r->narrow != NULL ? UINT16_MAX : UINT32_MAX, end = r->begins[text + 1];
    MILL_TRY(MILL_GROW(out->data, out->capacity, out->count + (end - r->begins[text]), err));
    for (uint32_t i = r->begins[text]; i < end;) {
        const uint32_t id = value_at(r, i);
        if (id != mark) {
            out->data[out->count++] = id;
            i++;
            continue;
        }
        MILL_TRY(append_marked(r, i, &i, out, err));
        MILL_TRY(MILL_GROW(out->data, out->capacity, out->count + (end - i), err));
    }
    return MILL_OK;
}

mill_status mill_gpu_backend_encode(mill_backend *base, const mill_text_view *in, const mill_encode_job *job,
                                    mill_portion *portion, mill_ids *out, uint64_t *ends, mill_error *err)
{
    mill_gpu_backend *self = (mill_gpu_backend *)base;
    const mill_gpu_shape *shape = &self->gpus->shape;
    mill_gpu_slot *slot = mill_gpu_words_load(self, in, mill_gpu_encode_bytes(shape), shape->count, portion);
    mill_gpu_found found;
    mill_status status = MILL_OK;
    if (slot == NULL)
        return MILL_OK;
    const size_t first_id = MILL_GPU_HEADER + mill_gpu_align(((size_t)slot->texts.count + 1) * 4);
    mill_gpu_room room = mill_gpu_words_lay(slot, job->tag_mask, 0, 0);
    slot->encoder = (mill_gpu_encoder){.narrow = job->tables->id_end <= UINT16_MAX};
    const size_t id_bytes = slot->encoder.narrow ? sizeof(uint16_t) : sizeof(uint32_t);
    mill_gpu_encode_lay(&room, slot->texts.total, slot->table.words_most, &slot->encoder);
    MILL_ASSERT(room.bytes <= shape->scratch_capacity && first_id < shape->out_capacity);
    slot->encoder.id_begins = (uint32_t *)(void *)(slot->out + MILL_GPU_HEADER);
    slot->encoder.ids = slot->out + first_id;
    slot->encoder.ids_most = (uint32_t)((shape->out_capacity - first_id) / id_bytes);
    slot->tables = job->tables;
    if (mill_gpu_words_run(slot, launch_encode, &found) && found.ids <= slot->encoder.ids_most)
        portion->done = mill_gpu_slot_fetch(slot, first_id + found.ids * id_bytes);
    const void *ids = slot->pinned_out + first_id;
    const results r = {.job = job,
                       .text = in->bytes + in->offsets[0],
                       .begins = (const uint32_t *)(const void *)(slot->pinned_out + MILL_GPU_HEADER),
                       .narrow = slot->encoder.narrow ? ids : NULL,
                       .wide = slot->encoder.narrow ? NULL : ids};
    for (uint32_t i = 0; portion->done && status == MILL_OK && i < portion->texts; i++) {
        status = append_text(&r, i, out, err);
        ends[i] = out->count;
    }
    mill_gpu_slot_give(slot);
    return status;
}
