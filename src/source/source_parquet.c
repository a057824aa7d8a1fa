// source_parquet.c: Parquet files: opening them, row groups into blocks, and blocks into rows.
//
// Rows are numbered from 1 through the file by the row counts of the footer. Where a group breaks off, its
// missing rows are counted as quarantined, under one line that names the first and how many; the groups
// behind it are read.
#include <stdio.h>
#include <string.h>

#include "source/parquet_internal.h"

#define GROUP_BYTES_MAX ((uint64_t)256 << 20) // of values, for a group that one thread decodes at once
#define PAGE_BYTES_MAX ((uint64_t)1 << 30)    // a page that needs more is damage
#define DECODED_SLACK ((uint64_t)16 << 20)

bool mill_has_parquet_suffix(const char *path)
{
    size_t bytes = strlen(path);
    return bytes >= 8 && memcmp(path + bytes - 8, ".parquet", 8) == 0;
}

// ---- opening

static int64_t read_at(void *self, void *data, uint64_t bytes, uint64_t offset)
{
    mill_parquet_input *p = self;
    return mill_fs_pread_all(p->fs, p->file, p->path, data, bytes, offset, &p->io) == MILL_OK ? (int64_t)bytes : -1;
}

static void *allocate(size_t bytes)
{
    return mill_alloc(bytes);
}

static void release(void *pointer)
{
    mill_free(pointer);
}

void mill_parquet_drop(mill_parquet_input *p)
{
    if (p == NULL)
        return;
    if (p->api != NULL) {
        p->api->close_cursor(p->cursor);
        p->api->close(p->handle);
    }
    if (p->stream != NULL)
        mill_stream_close(p->stream, NULL);
    mill_status ignored = p->file >= 0 ? mill_fs_close(p->fs, p->file, p->path, NULL) : MILL_OK;
    (void)ignored; // only read from
    mill_free(p->leaves);
    mill_buf_free(&p->json);
    mill_free(p->path);
    mill_free(p);
}

// A result that is no fault of the file's contents.
static mill_status host_failure(const mill_parquet_input *p, mill_parquet_result result, mill_error *err)
{
    if (result == MILL_PARQUET_NO_MEMORY)
        return mill_fail_nomem(err, "reading Parquet");
    if (result != MILL_PARQUET_IO)
        return MILL_OK;
    if (err != NULL)
        *err = p->io;
    return p->io.status;
}

// An input whose footer is damaged is opened too: handle is NULL, damage tells why.
static mill_status open_input(const mill_source *source, const char *path, uint32_t input, mill_parquet_input **out,
                              mill_error *err)
{
    *out = NULL;
    const mill_parquet_api *api;
    mill_error reason = {0};
    mill_status status = mill_parquet_load(&api, &reason);
    if (status != MILL_OK)
        return mill_fail(err, status, "%s: %s", path, reason.message);
    mill_parquet_input *p = mill_alloc_zero(1, sizeof *p);
    if (p == NULL)
        return mill_fail_nomem(err, "reading Parquet");
    *p = (mill_parquet_input){.api = api, .fs = source->fs, .file = -1, .input = input, .first = 1, .path = mill_strdup(path)};
    mill_file_info info;
    if (p->path == NULL)
        MILL_TRY_GOTO(mill_fail_nomem(err, "reading Parquet"));
    MILL_TRY_GOTO(mill_fs_open(p->fs, MILL_FS_CWD, path, MILL_OPEN_READ, &p->file, err));
    int result = p->fs->ops->info_open(p->fs->self, p->file, &info);
    if (result < 0)
        MILL_TRY_GOTO(mill_fail_errno(err, -result, "%s", path));
    const mill_parquet_host host = {.self = p,
                                    .pread = read_at,
                                    .allocate = allocate,
                                    .release = release,
                                    .file_bytes = info.bytes,
                                    .allocation_max = PAGE_BYTES_MAX};
    mill_parquet_result opened = api->open(&host, &p->handle, p->damage);
    MILL_TRY_GOTO(host_failure(p, opened, err));
    if (opened == MILL_PARQUET_OK)
        MILL_TRY_GOTO(mill_parquet_columns(source, p, err));
    *out = p;
    return MILL_OK;
cleanup:
    mill_parquet_drop(p);
    return status;
}

mill_status mill_parquet_check(mill_source *source, const mill_source_entry *entry, mill_error *err)
{
    mill_parquet_input *p;
    char magic[4] = "";
    size_t got = 0;
    MILL_TRY(open_input(source, entry->path, 0, &p, err));
    mill_status status = mill_fs_read(p->fs, p->file, p->path, magic, sizeof magic, &got, err);
    if (status == MILL_OK && got == 4 && memcmp(magic, "PARE", 4) == 0)
        status = mill_fail(err, MILL_INPUT, "%s: encrypted Parquet cannot be read; decrypt it first", entry->path);
    else if (status == MILL_OK && (got != 4 || memcmp(magic, "PAR1", 4) != 0))
        status = mill_fail(err, MILL_INPUT, "%s: no Parquet file (they begin with PAR1)", entry->path);
    mill_parquet_drop(p);
    return status;
}

// ---- the reader

mill_status mill_parquet_open(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    mill_parquet_input *p;
    MILL_TRY(open_input(source, entry->path, (uint32_t)source->current, &p, err));
    source->parquet = p;
    return mill_stream_open(source->fs, MILL_FS_CWD, entry->path, &p->stream, err);
}

mill_status mill_parquet_close(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    mill_parquet_input *p = source->parquet;
    mill_status status = mill_stream_digest(p->stream, entry->info.sha256, err);
    mill_status closed = mill_stream_close(p->stream, status == MILL_OK ? err : NULL);
    p->stream = NULL;
    mill_parquet_drop(p);
    source->parquet = NULL;
    return status != MILL_OK ? status : closed;
}

// Most bytes that the group's values decode to, UINT64_MAX if nobody knows. A damaged group is left to whoever decodes it.
static mill_status group_bound(mill_parquet_input *p, uint64_t *bound, mill_error *err)
{
    char why[MILL_PARQUET_WHY];
    *bound = 0;
    for (uint32_t i = 0; i < p->leaf_count; i++) {
        uint64_t bytes = 0;
        if (p->api->leaf(p->handle, p->leaves[i]).kind == MILL_PARQUET_TEXT)
            MILL_TRY(host_failure(p, p->api->decoded_max(p->handle, p->group, p->leaves[i], &bytes, why), err));
        if (__builtin_add_overflow(*bound, bytes, bound))
            *bound = UINT64_MAX;
    }
    return MILL_OK;
}

static void next_group(mill_parquet_input *p)
{
    p->first += p->api->group_rows(p->handle, p->group);
    p->group++;
    p->row = 0;
}

static uint64_t encoded_bytes(const mill_parquet_input *p, uint32_t group)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->leaf_count; i++)
        sum += p->api->chunk_bytes(p->handle, group, p->leaves[i]);
    return sum;
}

// The group as one piece that the parsing thread decodes.
static mill_status add_group(mill_source *source, mill_source_entry *entry, mill_block *block, uint64_t bound, mill_error *err)
{
    mill_parquet_input *p = source->parquet;
    uint64_t rows = p->api->group_rows(p->handle, p->group), planned = encoded_bytes(p, p->group);
    const mill_block_piece piece = {.input = p->input,
                                    .first_record = p->first,
                                    .records = rows,
                                    .offset = p->first,
                                    .group = p->group,
                                    .decoded_max = bound};
    MILL_TRY(mill_block_add_piece(block, &piece, err));
    block->planned += planned < bound ? planned : bound;
    source->block_records += (uint32_t)rows;
    entry->info.records += rows;
    next_group(p);
    return MILL_OK;
}

static mill_status store_row(mill_block *block, const mill_file_row *r, uint64_t record_bytes_max,
                             mill_error *err)
{
    MILL_TRY(mill_buf_append(&block->bytes, &r->head, sizeof r->head, err));
    if (mill_row_bytes(&r->head) > record_bytes_max)
        return MILL_OK; // the parser only tells that it is too long
    for (size_t i = 0; i < MILL_FIELDS_ALL; i++) {
        if (r->head.bytes[i] != MILL_NO_TEXT && r->head.bytes[i] != 0)
            MILL_TRY(mill_buf_append(&block->bytes, r->text[i], r->head.bytes[i], err));
    }
    return MILL_OK;
}

// What broke off in a group that the reader decodes: a piece tells the parser of the rows from p->row on.
static mill_status lose_rest(mill_source *source, mill_source_entry *entry, mill_block *block, uint64_t lost, const char *why,
                             mill_error *err)
{
    mill_parquet_input *p = source->parquet;
    const mill_block_piece piece = {.input = p->input,
                                    .first_record = p->first + p->row,
                                    .records = lost,
                                    .group = p->group,
                                    .is_lost = true,
                                    .path = (uint32_t)block->paths.bytes};
    MILL_TRY(mill_buf_append(&block->paths, why, strlen(why) + 1, err));
    MILL_TRY(mill_block_add_piece(block, &piece, err));
    entry->info.records += lost;
    p->api->close_cursor(p->cursor);
    p->cursor = NULL;
    next_group(p);
    return MILL_OK;
}

// Rows of the group that the reader decodes, until the block is full or the group ends.
static mill_status decode_rows(mill_source *source, mill_source_entry *entry, mill_block *block, mill_error *err)
{
    mill_parquet_input *p = source->parquet;
    uint64_t rows = p->api->group_rows(p->handle, p->group);
    char why[MILL_PARQUET_WHY] = "";
    mill_parquet_result result = MILL_PARQUET_OK;
    if (p->cursor == NULL)
        result = p->api->cursor(p->handle, p->group, p->leaves, p->leaf_count, &p->cursor, why);
    mill_block_piece piece = {.input = p->input, .first_record = p->first + p->row, .begin = block->bytes.bytes};
    while (result == MILL_PARQUET_OK && block->bytes.bytes < source->block_bytes &&
           source->block_records < MILL_BLOCK_RECORDS_MAX) {
        mill_file_row r;
        result =
            mill_parquet_next(p, p->cursor, p->first + p->row, source->options.record_bytes_max, &r, why);
        if (result != MILL_PARQUET_OK)
            break;
        MILL_TRY(store_row(block, &r, source->options.record_bytes_max, err));
        p->row++;
        piece.records++;
        source->block_records++;
        entry->info.records++;
    }
    piece.bytes = block->bytes.bytes - piece.begin;
    if (piece.records != 0)
        MILL_TRY(mill_block_add_piece(block, &piece, err));
    MILL_TRY(host_failure(p, result, err));
    if (result == MILL_PARQUET_DAMAGED)
        return lose_rest(source, entry, block, rows - p->row, why, err);
    if (result == MILL_PARQUET_END) {
        p->api->close_cursor(p->cursor);
        p->cursor = NULL;
        next_group(p);
    }
    return MILL_OK;
}

mill_status mill_parquet_fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended, mill_error *err)
{
    mill_parquet_input *p = source->parquet;
    *ended = false;
    if (p->handle == NULL) {
        const mill_quarantined row = {.input = p->input, .record = 1, .reason = MILL_QUARANTINE_DAMAGED_STREAM};
        *ended = true;
        entry->info.records++;
        return mill_quarantine_add(&block->quarantine, &row, NULL, err, "the footer cannot be read: %.120s", p->damage);
    }
    while (p->group < p->api->group_count(p->handle)) {
        uint64_t rows = p->api->group_rows(p->handle, p->group), bound = UINT64_MAX;
        if (block->bytes.bytes + block->planned >= source->block_bytes ||
            source->block_records >= MILL_BLOCK_RECORDS_MAX)
            return MILL_OK;
        if (rows == 0) {
            next_group(p);
            continue;
        }
        if (p->cursor == NULL && rows <= MILL_BLOCK_RECORDS_MAX)
            MILL_TRY(group_bound(p, &bound, err));
        uint64_t most = source->options.group_bytes_max != 0 ? source->options.group_bytes_max : GROUP_BYTES_MAX;
        if (bound > most)
            MILL_TRY(decode_rows(source, entry, block, err));
        else if (source->block_records + rows > MILL_BLOCK_RECORDS_MAX)
            return MILL_OK;
        else
            MILL_TRY(add_group(source, entry, block, bound, err));
    }
    *ended = true;
    return MILL_OK;
}

mill_status mill_source_sample_parquet(const mill_source *source, size_t input, uint64_t budget, mill_block *block,
                                       uint64_t *taken, uint64_t *total, mill_error *err)
{
    mill_parquet_input *p;
    *taken = *total = 0;
    mill_buf_clear(&block->bytes);
    block->piece_count = 0;
    MILL_TRY(open_input(source, source->entries[input].path, (uint32_t)input, &p, err));
    uint32_t groups = p->handle != NULL ? p->api->group_count(p->handle) : 0;
    for (uint32_t g = 0; g < groups; g++)
        *total += encoded_bytes(p, g);
    uint64_t mean = groups != 0 ? *total / groups + 1 : 1;
    uint64_t want = budget / mean + 1 < groups ? budget / mean + 1 : groups;
    mill_status status = MILL_OK;
    for (uint32_t g = 0, n = 0; g < groups && status == MILL_OK; g++) {
        uint64_t rows = p->api->group_rows(p->handle, g), bytes = encoded_bytes(p, g), part = rows;
        if (rows != 0 && n < want && g == (uint32_t)((uint64_t)n * groups / want)) {
            if (bytes > budget) // the first rows of a large group
                part = (uint64_t)((double)rows * (double)budget / (double)bytes) + 1;
            const mill_block_piece piece = {.input = (uint32_t)input,
                                            .first_record = p->first,
                                            .records = part < rows ? part : rows,
                                            .offset = p->first,
                                            .group = g,
                                            .decoded_max = UINT64_MAX};
            status = mill_block_add_piece(block, &piece, err);
            *taken += (uint64_t)((double)bytes * (double)piece.records / (double)rows);
        }
        n += n < want && g >= (uint32_t)((uint64_t)n * groups / want);
        p->first += rows;
    }
    mill_parquet_drop(p);
    return status;
}

// ---- parsing

// One line for all rows from `record` to the end of the piece; each counts.
static mill_status add_lost(mill_row_sink *sink, uint64_t record, const char *why)
{
    const mill_block_piece *piece = sink->piece;
    uint64_t end = piece->first_record + piece->records, lost = end > record ? end - record : 0;
    const mill_quarantined row = {.input = piece->input,
                                  .record = record,
                                  .reason = MILL_QUARANTINE_DAMAGED_STREAM,
                                  .further = lost != 0 ? lost - 1 : 0,
                                  .no_record = lost == 0};
    sink->counts->read += lost;
    sink->counts->quarantined += lost;
    return mill_quarantine_add(sink->quarantine, &row, NULL, sink->err, "%llu rows of row group %u are lost: %.100s",
                               (unsigned long long)lost, piece->group, why);
}

static mill_status parse_stored(mill_row_sink *sink, const mill_block *block)
{
    const mill_block_piece *piece = sink->piece;
    const uint8_t *at = block->bytes.data + piece->begin, *end = at + piece->bytes;
    uint64_t most = sink->parser->source->options.record_bytes_max;
    while (at < end) {
        mill_file_row r;
        memcpy(&r.head, at, sizeof r.head);
        at += sizeof r.head;
        bool stored = mill_row_bytes(&r.head) <= most;
        for (size_t i = 0; i < MILL_FIELDS_ALL; i++) {
            bool there = stored && r.head.bytes[i] != MILL_NO_TEXT;
            r.text[i] = there ? (const char *)at : NULL;
            at += there ? r.head.bytes[i] : 0;
        }
        if (r.head.record - piece->first_record < piece->records)
            MILL_TRY(mill_parquet_take(sink, &r));
    }
    return MILL_OK;
}

// The input of a piece, opened again only when it is another than before.
static mill_status parser_input(mill_row_sink *sink, mill_parquet_input **out)
{
    mill_parser *parser = sink->parser;
    uint32_t input = sink->piece->input;
    if (parser->parquet == NULL || parser->parquet->input != input) {
        mill_parquet_drop(parser->parquet);
        parser->parquet = NULL;
        MILL_TRY(open_input(parser->source, parser->source->entries[input].path, input, &parser->parquet, sink->err));
    }
    *out = parser->parquet;
    if (parser->parquet->handle != NULL && sink->piece->group < parser->parquet->api->group_count(parser->parquet->handle))
        return MILL_OK;
    return mill_fail(sink->err, MILL_INPUT, "%s: changed while it was read; run again when it is at rest",
                     parser->parquet->path);
}

// Rows into records up to the end of the piece; *next is the record that would have come next.
static mill_parquet_result take_rows(mill_row_sink *sink, mill_parquet_input *p, mill_parquet_cursor *cursor,
                                     uint64_t *next, char *why, mill_status *status)
{
    const mill_block_piece *piece = sink->piece;
    uint64_t decoded = 0, last = piece->first_record + piece->records;
    uint64_t group_end = piece->offset + p->api->group_rows(p->handle, piece->group);
    for (;; (*next)++) {
        mill_file_row r;
        mill_parquet_result result =
            mill_parquet_next(p, cursor, *next, sink->parser->source->options.record_bytes_max, &r, why);
        if (result != MILL_PARQUET_OK)
            return result;
        decoded += r.head.length;
        if (decoded / 2 > piece->decoded_max && decoded > DECODED_SLACK) {
            snprintf(why, MILL_PARQUET_WHY, "its values are longer than the footer or the pages tell");
            return MILL_PARQUET_DAMAGED;
        }
        if (*next - piece->first_record < piece->records)
            *status = mill_parquet_take(sink, &r);
        // A piece may be a part of its group: what comes behind it is not looked at.
        if (*status != MILL_OK || (*next + 1 == last && last != group_end))
            return MILL_PARQUET_END;
    }
}

static mill_status parse_group(mill_row_sink *sink)
{
    const mill_block_piece *piece = sink->piece;
    mill_parquet_input *p;
    mill_parquet_cursor *cursor = NULL;
    char why[MILL_PARQUET_WHY] = "";
    MILL_TRY(parser_input(sink, &p));
    mill_status status = MILL_OK;
    uint64_t next = piece->offset;
    mill_parquet_result result = p->api->cursor(p->handle, piece->group, p->leaves, p->leaf_count, &cursor, why);
    if (result == MILL_PARQUET_OK)
        result = take_rows(sink, p, cursor, &next, why, &status);
    p->api->close_cursor(cursor);
    MILL_TRY(status);
    MILL_TRY(host_failure(p, result, sink->err));
    if (result != MILL_PARQUET_DAMAGED)
        return MILL_OK;
    return add_lost(sink, next > piece->first_record ? next : piece->first_record, why);
}

mill_status mill_parquet_parse(mill_parser *parser, const mill_block *block, const mill_block_piece *piece, mill_batch *batch,
                               mill_quarantine *quarantine, mill_parse_counts *counts, mill_error *err)
{
    mill_row_sink sink = {.parser = parser,
                          .piece = piece,
                          .batch = batch,
                          .quarantine = quarantine,
                          .counts = counts,
                          .err = err};
    if (piece->is_lost)
        return add_lost(&sink, piece->first_record, (const char *)block->paths.data + piece->path);
    return piece->bytes != 0 ? parse_stored(&sink, block) : parse_group(&sink);
}
