// batch.c: appending records to columns, and dropping the rejected ones.
#include "record/batch.h"

const char *const mill_data_type_names[MILL_TYPE_COUNT] = {"source", "docs", "qa", "notebook", "contest"};

void mill_batch_init(mill_batch *batch)
{
    *batch = (mill_batch){0};
}

void mill_batch_clear(mill_batch *batch)
{
    batch->count = 0;
    mill_buf_clear(&batch->text);
    mill_buf_clear(&batch->meta);
}

void mill_batch_free(mill_batch *batch)
{
    mill_buf_free(&batch->text);
    mill_buf_free(&batch->meta);
    void *columns[] = {batch->text_offset, batch->language, batch->type,     batch->stars,        batch->repo,
                       batch->path,        batch->licence,  batch->pieces,   batch->input,        batch->record,
                       batch->key_low,     batch->key_high, batch->content_low, batch->content_high, batch->verdict,
                       batch->flags};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        mill_free(columns[i]);
    mill_batch_init(batch);
}

// Grows one column to `rows` entries; a failure leaves the old one in place.
static bool grow_column(void **column, size_t rows, size_t size)
{
    void *grown = mill_realloc_array(*column, rows, size);
    if (grown == NULL)
        return false;
    *column = grown;
    return true;
}

#define GROW(column, rows) grow_column((void **)&batch->column, (rows), sizeof *batch->column)

mill_status mill_batch_reserve(mill_batch *batch, uint32_t rows, mill_error *err)
{
    if (rows <= batch->capacity && batch->text_offset != NULL)
        return MILL_OK;
    uint32_t wanted = batch->capacity < 256 ? 256 : batch->capacity;
    while (wanted < rows) {
        if (wanted > UINT32_MAX / 2)
            return mill_fail_nomem(err, "a batch with too many records");
        wanted *= 2;
    }
    if (!(GROW(text_offset, (size_t)wanted + 1) && GROW(language, wanted) && GROW(type, wanted) &&
          GROW(stars, wanted) && GROW(repo, wanted) && GROW(path, wanted) && GROW(licence, wanted) &&
          GROW(pieces, wanted) &&
          GROW(input, wanted) && GROW(record, wanted) && GROW(key_low, wanted) && GROW(key_high, wanted) &&
          GROW(content_low, wanted) && GROW(content_high, wanted) && GROW(verdict, wanted) && GROW(flags, wanted)))
        return mill_fail_nomem(err, "the columns of a batch");
    batch->capacity = wanted;
    batch->text_offset[batch->count] = batch->text.bytes;
    return MILL_OK;
}

static mill_status append_meta(mill_batch *batch, const char *text, uint32_t bytes, mill_span *span, mill_error *err)
{
    if (batch->meta.bytes + bytes > UINT32_MAX)
        return mill_fail_nomem(err, "more than 4 GiB of repository and path names in one batch");
    *span = (mill_span){(uint32_t)batch->meta.bytes, bytes};
    return mill_buf_append(&batch->meta, text, bytes, err);
}

static mill_status append_pieces(mill_batch *batch, const mill_record *record, mill_span *span, mill_error *err)
{
    const uint64_t bytes = record->piece_count * (uint64_t)sizeof *record->pieces;
    if (batch->meta.bytes + bytes > UINT32_MAX)
        return mill_fail_nomem(err, "more than 4 GiB of turns in one batch");
    *span = (mill_span){(uint32_t)batch->meta.bytes, (uint32_t)bytes};
    return mill_buf_append(&batch->meta, record->pieces, bytes, err);
}

// Of the text; of a conversation also of who says what: a text that merely looks like one has another key.
static mill_key content_key(const mill_record *record)
{
    mill_key text = mill_hash128(record->text, record->text_bytes);
    if (record->piece_count == 0)
        return text;
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, &text, sizeof text);
    XXH3_128bits_update(&state, record->pieces, record->piece_count * sizeof *record->pieces);
    XXH128_hash_t h = XXH3_128bits_digest(&state);
    return (mill_key){h.low64, h.high64};
}

// Content, repo and path are joined with their lengths, so that no two different triples give the same bytes.
static mill_key record_key(mill_key content, const mill_record *record)
{
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    uint64_t head[4] = {content.low, content.high, record->repo_bytes, record->path_bytes};
    XXH3_128bits_update(&state, head, sizeof head);
    if (record->repo_bytes != 0)
        XXH3_128bits_update(&state, record->repo, record->repo_bytes);
    if (record->path_bytes != 0)
        XXH3_128bits_update(&state, record->path, record->path_bytes);
    XXH128_hash_t h = XXH3_128bits_digest(&state);
    return (mill_key){h.low64, h.high64};
}

mill_status mill_batch_append(mill_batch *batch, const mill_record *record, mill_error *err)
{
    uint32_t i = batch->count;
    MILL_TRY(mill_batch_reserve(batch, i + 1, err));
    batch->text_offset[0] = 0;
    MILL_TRY(append_meta(batch, record->repo, record->repo_bytes, &batch->repo[i], err));
    MILL_TRY(append_meta(batch, record->path, record->path_bytes, &batch->path[i], err));
    MILL_TRY(append_meta(batch, record->licence, record->licence_bytes, &batch->licence[i], err));
    MILL_TRY(append_pieces(batch, record, &batch->pieces[i], err));
    MILL_TRY(mill_buf_append(&batch->text, record->text, record->text_bytes, err));
    mill_key content = content_key(record);
    mill_key key = record_key(content, record);
    batch->text_offset[i + 1] = batch->text.bytes;
    batch->language[i] = record->language;
    batch->type[i] = record->type;
    batch->stars[i] = record->stars;
    batch->input[i] = record->input;
    batch->record[i] = record->record;
    batch->content_low[i] = content.low;
    batch->content_high[i] = content.high;
    batch->key_low[i] = key.low;
    batch->key_high[i] = key.high;
    batch->verdict[i] = MILL_KEPT;
    batch->flags[i] = (uint16_t)(record->flags | (record->piece_count != 0 ? MILL_FLAG_CHAT : 0));
    batch->count++;
    return MILL_OK;
}

static void move_row(mill_batch *batch, uint32_t to, uint32_t from)
{
    batch->language[to] = batch->language[from];
    batch->type[to] = batch->type[from];
    batch->stars[to] = batch->stars[from];
    batch->repo[to] = batch->repo[from];
    batch->path[to] = batch->path[from];
    batch->licence[to] = batch->licence[from];
    batch->pieces[to] = batch->pieces[from];
    batch->input[to] = batch->input[from];
    batch->record[to] = batch->record[from];
    batch->key_low[to] = batch->key_low[from];
    batch->key_high[to] = batch->key_high[from];
    batch->content_low[to] = batch->content_low[from];
    batch->content_high[to] = batch->content_high[from];
    batch->verdict[to] = batch->verdict[from];
    batch->flags[to] = batch->flags[from];
}

// Moves a meta string down; spans were appended in row order, so the target never lies behind the source.
static void compact_span(mill_batch *batch, mill_span *span, uint32_t *used)
{
    memmove(batch->meta.data + *used, batch->meta.data + span->offset, span->bytes);
    span->offset = *used;
    *used += span->bytes;
}

void mill_batch_compact(mill_batch *batch)
{
    uint32_t kept = 0, meta_used = 0;
    uint64_t text_used = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->verdict[i] != MILL_KEPT)
            continue;
        uint64_t begin = batch->text_offset[i], bytes = batch->text_offset[i + 1] - begin;
        if (text_used != begin)
            memmove(batch->text.data + text_used, batch->text.data + begin, bytes);
        if (kept != i)
            move_row(batch, kept, i);
        if (batch->meta.bytes != 0) {
            compact_span(batch, &batch->repo[kept], &meta_used);
            compact_span(batch, &batch->path[kept], &meta_used);
            compact_span(batch, &batch->licence[kept], &meta_used);
            compact_span(batch, &batch->pieces[kept], &meta_used);
        }
        // Safe: entry kept + 1 is not behind entry i + 1, which was read above.
        batch->text_offset[kept] = text_used;
        text_used += bytes;
        kept++;
    }
    if (batch->text_offset != NULL)
        batch->text_offset[kept] = text_used;
    batch->text.bytes = text_used;
    batch->meta.bytes = meta_used;
    batch->count = kept;
}
