// gpu_words.c: the tokenizer's operations on devices. An operation takes as many texts as a slot holds and tells how many; what
// fits none, and what a failing device leaves undone, is the caller's.
#include <stdlib.h>
#include <string.h>

#include "backend/gpu_backend.h"
#include "core/unicode.h"

enum {
    HEADER = MILL_GPU_HEADER,
    COLLIDED_MOST = 4096 // pieces of collisions that are listed; with more the caller does the portion
};

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

// Slots of the word table: a power of two, one for each 8 to 16 bytes of text, half of which may be used. In 8 MiB of code one
// byte in 100 begins a word that was not there before.
static uint32_t slot_count(const mill_gpu_shape *shape)
{
    uint32_t slots = 1;
    while ((size_t)slots * 2 <= shape->text_bytes / 8)
        slots *= 2;
    return slots;
}

// Arrays of the word table, and the pieces' places.
static mill_gpu_dictionary take_table(mill_gpu_room *room, const mill_gpu_shape *shape, mill_gpu_pieces *pieces)
{
    uint32_t slots = slot_count(shape);
    pieces->places = mill_gpu_room_take(room, ((size_t)pieces->capacity + 1) * 4);
    mill_gpu_dictionary table = {.mask = slots - 1, .words_most = slots / 2};
    table.slots = mill_gpu_room_take(room, slots * sizeof *table.slots);
    table.slot_of = mill_gpu_room_take(room, (size_t)pieces->capacity * 4);
    return table;
}

size_t mill_gpu_words_scratch(const mill_gpu_shape *shape)
{
    mill_gpu_room room = {0}, other = {0};
    mill_gpu_encoder encoder;
    mill_gpu_pieces pieces = take_pieces(&room, shape->text_bytes, pieces_most(shape, shape->text_bytes));
    (void)take_table(&room, shape, &pieces);
    const size_t total = mill_gpu_encode_bytes(shape);
    pieces = take_pieces(&other, total, pieces_most(shape, total));
    const mill_gpu_dictionary table = take_table(&other, shape, &pieces);
    mill_gpu_encode_lay(&other, total, table.words_most, &encoder);
    return room.bytes > other.bytes ? room.bytes : other.bytes;
}

mill_gpu_slot *mill_gpu_words_load(mill_gpu_backend *self, const mill_text_view *in, size_t text_bytes, uint32_t most,
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
    mill_gpu_slot *slot = mill_gpu_words_load(self, in, (shape->out_capacity - HEADER) / 4 - 1, shape->count, portion);
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

// ---- words

// Where the parts of count_words' results stand: the header, the rows, the collisions.
static size_t collided_at(const mill_gpu_shape *shape)
{
    return shape->out_capacity / 256 * 256 - COLLIDED_MOST * sizeof(mill_gpu_row);
}

int mill_gpu_words_launch(const mill_gpu_api *api, mill_gpu_slot *slot, void *stream, const char **what)
{
    int code = launch_pretok(api, slot, stream, what);
    if (code != 0)
        return code;
    *what = "word table";
    return api->word_table(&slot->texts, &slot->pieces, &slot->table, stream);
}

static int launch_count_words(const mill_gpu_api *api, mill_gpu_slot *slot, void *stream, const char **what)
{
    int code = mill_gpu_words_launch(api, slot, stream, what);
    if (code != 0)
        return code;
    *what = "listing words";
    return api->list_words(&slot->texts, &slot->pieces, &slot->table, (mill_gpu_row *)(void *)(slot->out + HEADER), stream);
}

mill_gpu_room mill_gpu_words_lay(mill_gpu_slot *slot, uint64_t tag_mask, size_t collided, uint32_t collided_most)
{
    const mill_gpu_shape *shape = &slot->device->gpus->shape;
    mill_gpu_room room = {slot->scratch, 0};
    slot->pieces = take_pieces(&room, slot->texts.total, pieces_most(shape, slot->texts.total));
    slot->table = take_table(&room, shape, &slot->pieces);
    slot->table.tag_mask = tag_mask;
    slot->table.found = (mill_gpu_found *)(void *)slot->out;
    slot->table.collided = (mill_gpu_row *)(void *)(slot->out + collided);
    slot->table.collided_most = collided_most;
    slot->pieces.count = &slot->table.found->pieces;
    return room;
}

bool mill_gpu_words_run(mill_gpu_slot *slot, mill_gpu_launch launch, mill_gpu_found *found)
{
    slot->launch = launch;
    slot->out_bytes = HEADER;
    if (!mill_gpu_slot_run(slot))
        return false;
    memcpy(found, slot->pinned_out, sizeof *found);
    return found->pieces <= slot->pieces.capacity && found->full == 0;
}

static int compare_rows(const void *left, const void *right, void *context)
{
    const mill_gpu_row *a = left, *b = right;
    const uint8_t *text = context;
    int order = a->bytes != b->bytes ? (a->bytes < b->bytes ? -1 : 1) : memcmp(text + a->at, text + b->at, a->bytes);
    return order != 0 ? order : a->at < b->at ? -1 : a->at > b->at;
}

static int compare_places(const void *left, const void *right)
{
    const mill_stretch *a = left, *b = right;
    return a->at < b->at ? -1 : a->at > b->at;
}

// Counts the words of pieces that met another word of their tag: none of them has a row of its own. text: of the portion.
static void append_collided(mill_gpu_row *rows, uint32_t count, uint8_t *text, uint64_t base, mill_stretches *out)
{
    qsort_r(rows, count, sizeof *rows, compare_rows, text);
    for (uint32_t i = 0; i < count; i++) {
        const mill_gpu_row *row = &rows[i], *before = i != 0 ? row - 1 : NULL;
        if (before != NULL && before->bytes == row->bytes && memcmp(text + before->at, text + row->at, row->bytes) == 0)
            out->rows[out->count - 1].count++;
        else
            out->rows[out->count++] = (mill_stretch){base + row->at, row->bytes, 1};
    }
}

static mill_status append_words(mill_gpu_slot *slot, const mill_gpu_found *found, const mill_text_view *in,
                                mill_stretches *out, mill_error *err)
{
    const mill_gpu_row *rows = (const mill_gpu_row *)(const void *)(slot->pinned_out + HEADER);
    const uint64_t base = in->offsets[0];
    const size_t first = out->count;
    MILL_TRY(MILL_GROW(out->rows, out->capacity, out->count + found->words + found->collisions, err));
    for (uint32_t i = 0; i < found->words; i++)
        out->rows[out->count++] = (mill_stretch){base + rows[i].at, rows[i].bytes, rows[i].count};
    if (found->collisions == 0)
        return MILL_OK;
    append_collided((mill_gpu_row *)(void *)(slot->pinned_out + collided_at(&slot->device->gpus->shape)), found->collisions,
                    slot->pinned_in, base, out);
    qsort(out->rows + first, out->count - first, sizeof *out->rows, compare_places);
    return MILL_OK;
}

mill_status mill_gpu_backend_count_words(mill_backend *base, const mill_text_view *in, uint64_t tag_mask,
                                         mill_portion *portion, mill_stretches *out, mill_error *err)
{
    mill_gpu_backend *self = (mill_gpu_backend *)base;
    const mill_gpu_shape *shape = &self->gpus->shape;
    mill_gpu_slot *slot = mill_gpu_words_load(self, in, shape->text_bytes, shape->count, portion);
    mill_gpu_found found;
    mill_status status = MILL_OK;
    if (slot == NULL)
        return MILL_OK;
    MILL_ASSERT(HEADER + slot_count(shape) / 2 * sizeof(mill_gpu_row) <= collided_at(shape));
    (void)mill_gpu_words_lay(slot, tag_mask, collided_at(shape), COLLIDED_MOST);
    if (mill_gpu_words_run(slot, launch_count_words, &found) && found.collisions <= COLLIDED_MOST) {
        const size_t rows = HEADER + found.words * sizeof(mill_gpu_row);
        const size_t collided = collided_at(shape) + found.collisions * sizeof(mill_gpu_row);
        portion->done = mill_gpu_slot_fetch(slot, found.collisions != 0 ? collided : rows);
    }
    if (portion->done)
        status = append_words(slot, &found, in, out, err);
    mill_gpu_slot_give(slot);
    return status;
}
