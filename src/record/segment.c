// segment.c: batches on disk.
//
//   "MILLSEG1" | u32 version | u32 count | u64 unit | u64 columns_raw | u64 columns_packed | u64 text_raw |
//   u64 text_packed | packed columns | packed text | XXH3-128 of all before
//
// Version 3 packs by zstd, version 4 stores the bytes as they are: a reader takes both. (1 and 2 had no
// conversations.) The columns block holds: u32 number of language names, each u8 length + bytes; then every
// column in the order of mill_batch, languages as u16 places in that name list; then the meta buffer.
// Integers are little-endian.
#include "record/segment.h"

#include <string.h>
#include <zstd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "segments are written as the host's integers; a big-endian host needs byte swaps here"
#endif

#define HEADER_BYTES 56
enum { PACKED = 3, STORED = 4 }; // versions
static const char magic[8] = {'M', 'I', 'L', 'L', 'S', 'E', 'G', '1'};

typedef struct segment_header {
    char magic[8];
    uint32_t version, count;
    uint64_t unit, columns_raw, columns_packed, text_raw, text_packed;
} segment_header;
_Static_assert(sizeof(segment_header) == HEADER_BYTES, "the header is written as it lies in memory");

// Fills places[id] for the languages of the batch, in order of first use, and appends their names.
static mill_status append_languages(const mill_batch *batch, const mill_language_table *languages, uint16_t *places,
                                    mill_buf *out, mill_error *err)
{
    uint32_t ids = mill_language_count(languages), used = 0;
    memset(places, 0xff, ids * sizeof *places);
    size_t count_at = out->bytes;
    MILL_TRY(mill_buf_append(out, &used, sizeof used, err));
    for (uint32_t i = 0; i < batch->count; i++) {
        mill_language_id id = batch->language[i];
        if (places[id] != UINT16_MAX)
            continue;
        places[id] = (uint16_t)used++;
        const char *name = mill_language_get(languages, id)->name;
        uint8_t length = (uint8_t)strlen(name);
        MILL_TRY(mill_buf_append(out, &length, 1, err));
        MILL_TRY(mill_buf_append(out, name, length, err));
    }
    memcpy(out->data + count_at, &used, sizeof used);
    return MILL_OK;
}

#define APPEND(column, rows) MILL_TRY(mill_buf_append(out, batch->column, (rows) * sizeof *batch->column, err))

static mill_status append_columns(const mill_batch *batch, const uint16_t *places, mill_buf *out, mill_error *err)
{
    size_t n = batch->count;
    uint64_t zero = 0;
    if (n != 0)
        APPEND(text_offset, n + 1);
    else
        MILL_TRY(mill_buf_append(out, &zero, sizeof zero, err));
    for (size_t i = 0; i < n; i++)
        MILL_TRY(mill_buf_append(out, &places[batch->language[i]], sizeof *places, err));
    APPEND(type, n);
    APPEND(stars, n);
    APPEND(repo, n);
    APPEND(path, n);
    APPEND(licence, n);
    APPEND(pieces, n);
    APPEND(input, n);
    APPEND(record, n);
    APPEND(key_low, n);
    APPEND(key_high, n);
    APPEND(content_low, n);
    APPEND(content_high, n);
    APPEND(verdict, n);
    APPEND(flags, n);
    return mill_buf_append(out, batch->meta.data, batch->meta.bytes, err);
}

static mill_status append_packed(const void *data, size_t bytes, int level, mill_buf *out, uint64_t *packed, mill_error *err)
{
    if (level == 0) {
        *packed = bytes;
        return mill_buf_append(out, data, bytes, err);
    }
    MILL_TRY(mill_buf_reserve(out, ZSTD_compressBound(bytes), err));
    size_t got = ZSTD_compress(out->data + out->bytes, out->capacity - out->bytes, data, bytes, level);
    if (ZSTD_isError(got))
        return mill_fail(err, MILL_NOMEM, "zstd could not compress a segment: %s", ZSTD_getErrorName(got));
    *packed = got;
    out->bytes += got;
    return MILL_OK;
}

mill_status mill_segment_encode(const mill_batch *batch, const mill_language_table *languages, int level, mill_buf *out,
                                mill_error *err)
{
    mill_buf columns = {0};
    uint16_t *places = mill_alloc(mill_language_count(languages) * sizeof *places);
    mill_status status = MILL_OK;
    if (places == NULL) {
        status = mill_fail_nomem(err, "writing a segment");
        goto cleanup;
    }
    MILL_TRY_GOTO(append_languages(batch, languages, places, &columns, err));
    MILL_TRY_GOTO(append_columns(batch, places, &columns, err));
    segment_header header = {.version = level == 0 ? STORED : PACKED,
                             .count = batch->count,
                             .unit = batch->unit,
                             .columns_raw = columns.bytes,
                             .text_raw = batch->text.bytes};
    memcpy(header.magic, magic, sizeof magic);
    mill_buf_clear(out);
    const size_t packed_max = level == 0 ? columns.bytes + batch->text.bytes
                                         : ZSTD_compressBound(columns.bytes) + ZSTD_compressBound(batch->text.bytes);
    MILL_TRY_GOTO(mill_buf_reserve(out, sizeof header + packed_max + sizeof(mill_key), err));
    MILL_TRY_GOTO(mill_buf_append(out, &header, sizeof header, err));
    MILL_TRY_GOTO(append_packed(columns.data, columns.bytes, level, out, &header.columns_packed, err));
    MILL_TRY_GOTO(append_packed(batch->text.data, batch->text.bytes, level, out, &header.text_packed, err));
    memcpy(out->data, &header, sizeof header);
    mill_key sum = mill_hash128(out->data, out->bytes);
    MILL_TRY_GOTO(mill_buf_append(out, &sum, sizeof sum, err));
cleanup:
    mill_free(places);
    mill_buf_free(&columns);
    return status;
}

// Reads from a decoded columns block with bounds.
typedef struct reader {
    const uint8_t *data;
    size_t bytes, at;
} reader;

static bool take(reader *in, void *out, size_t bytes)
{
    if (bytes > in->bytes - in->at)
        return false;
    if (bytes != 0)
        memcpy(out, in->data + in->at, bytes);
    in->at += bytes;
    return true;
}

static bool read_languages(reader *in, mill_language_table *languages, mill_language_id *ids, uint32_t *count)
{
    if (!take(in, count, sizeof *count) || *count > UINT16_MAX)
        return false;
    for (uint32_t i = 0; i < *count; i++) {
        uint8_t length;
        char name[256];
        if (!take(in, &length, 1) || !take(in, name, length))
            return false;
        ids[i] = mill_language_intern(languages, name, length);
    }
    return true;
}

#define TAKE(column, rows) take(&in, batch->column, (rows) * sizeof *batch->column)

static bool spans_fit(const mill_span *spans, uint32_t count, size_t meta_bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        if ((uint64_t)spans[i].offset + spans[i].bytes > meta_bytes)
            return false;
    }
    return true;
}

// Pieces cover the text of their record; others have none.
static bool pieces_fit(const mill_batch *batch, uint32_t count, size_t meta_bytes)
{
    if (!spans_fit(batch->pieces, count, meta_bytes))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const bool is_chat = (batch->flags[i] & MILL_FLAG_CHAT) != 0;
        if (batch->pieces[i].bytes % sizeof(mill_chat_piece) != 0 || is_chat != (batch->pieces[i].bytes != 0))
            return false;
        uint64_t covered = 0;
        for (uint32_t k = 0; k < mill_batch_piece_count(batch, i); k++) {
            const mill_chat_piece piece = mill_batch_piece(batch, i, k);
            covered += piece.bytes;
            if (piece.role >= MILL_CHAT_ROLE_COUNT || piece.control > 1 || piece.learned > 1)
                return false;
        }
        if (is_chat && covered != batch->text_offset[i + 1] - batch->text_offset[i])
            return false;
    }
    return true;
}

static bool read_columns(reader in, const segment_header *header, mill_language_table *languages, mill_batch *batch,
                         mill_language_id *ids)
{
    size_t n = header->count;
    uint32_t language_count;
    if (!read_languages(&in, languages, ids, &language_count) || !TAKE(text_offset, n + 1))
        return false;
    for (size_t i = 0; i < n; i++) {
        uint16_t place;
        if (!take(&in, &place, sizeof place) || place >= language_count)
            return false;
        batch->language[i] = ids[place];
    }
    if (!(TAKE(type, n) && TAKE(stars, n) && TAKE(repo, n) && TAKE(path, n) && TAKE(licence, n) &&
          TAKE(pieces, n) && TAKE(input, n) && TAKE(record, n) && TAKE(key_low, n) && TAKE(key_high, n) &&
          TAKE(content_low, n) && TAKE(content_high, n) && TAKE(verdict, n) && TAKE(flags, n)))
        return false;
    size_t meta_bytes = in.bytes - in.at;
    if (!take(&in, batch->meta.data, meta_bytes))
        return false;
    batch->meta.bytes = meta_bytes;
    for (size_t i = 0; i < n; i++) {
        if (batch->text_offset[i] > batch->text_offset[i + 1] || batch->type[i] >= MILL_TYPE_COUNT)
            return false;
    }
    return batch->text_offset[0] == 0 && batch->text_offset[n] == header->text_raw &&
           spans_fit(batch->repo, header->count, meta_bytes) &&
           spans_fit(batch->path, header->count, meta_bytes) &&
           spans_fit(batch->licence, header->count, meta_bytes) &&
           pieces_fit(batch, header->count, meta_bytes);
}

static bool unpack(uint32_t version, const uint8_t *data, size_t packed, mill_buf *out, size_t raw)
{
    if (version == STORED) {
        if (packed != raw)
            return false;
        if (raw != 0)
            memcpy(out->data, data, raw);
        out->bytes = raw;
        return true;
    }
    size_t got = ZSTD_decompress(out->data, raw, data, packed);
    out->bytes = raw;
    return !ZSTD_isError(got) && got == raw;
}

mill_status mill_segment_decode(const uint8_t *data, size_t bytes, const char *name, mill_language_table *languages,
                                mill_batch *batch, mill_error *err)
{
    segment_header header;
    mill_key sum;
    if (bytes < HEADER_BYTES + sizeof sum)
        return mill_fail(err, MILL_VERIFY, "%s: a segment of %zu bytes is too short", name, bytes);
    memcpy(&header, data, sizeof header);
    memcpy(&sum, data + bytes - sizeof sum, sizeof sum);
    if (memcmp(header.magic, magic, sizeof magic) != 0 || (header.version != PACKED && header.version != STORED))
        return mill_fail(err, MILL_VERIFY, "%s: not a segment of version %d or %d", name, PACKED, STORED);
    if (!mill_key_equal(sum, mill_hash128(data, bytes - sizeof sum)))
        return mill_fail(err, MILL_VERIFY, "%s: checksum differs, the file is damaged", name);
    size_t body = bytes - HEADER_BYTES - sizeof sum;
    if (header.columns_packed > body || header.text_packed != body - header.columns_packed)
        return mill_fail(err, MILL_VERIFY, "%s: block sizes do not add up", name);

    mill_buf columns = {0};
    mill_language_id *ids = mill_alloc((UINT16_MAX + 1u) * sizeof *ids);
    mill_status status = MILL_OK;
    mill_batch_clear(batch);
    if (ids == NULL) {
        status = mill_fail_nomem(err, "reading a segment");
        goto cleanup;
    }
    MILL_TRY_GOTO(mill_batch_reserve(batch, header.count == 0 ? 1 : header.count, err));
    MILL_TRY_GOTO(mill_buf_reserve(&batch->text, header.text_raw, err));
    MILL_TRY_GOTO(mill_buf_reserve(&columns, header.columns_raw, err));
    MILL_TRY_GOTO(mill_buf_reserve(&batch->meta, header.columns_raw, err)); // the metadata are the rest of the columns
    const uint8_t *packed = data + HEADER_BYTES;
    if (!unpack(header.version, packed, header.columns_packed, &columns, header.columns_raw) ||
        !unpack(header.version, packed + header.columns_packed, header.text_packed, &batch->text, header.text_raw) ||
        !read_columns((reader){columns.data, columns.bytes, 0}, &header, languages, batch, ids)) {
        status = mill_fail(err, MILL_VERIFY, "%s: contents do not fit the header", name);
        goto cleanup;
    }
    MILL_TRY_GOTO(mill_language_check(languages, err));
    batch->count = header.count;
    batch->unit = header.unit;
cleanup:
    mill_free(ids);
    mill_buf_free(&columns);
    return status;
}
