// source_lines.c: cutting a decompressed stream into blocks of whole lines. Serial, so it does as little as
// it can: read into the block, cut at the last '\n', keep the rest for the next block, count lines.
//
// Where a block ends depends on the bytes and on block_bytes alone: reads are repeated until they are full,
// so how the stream delivers does not show. Lines over the limit are dropped while they are read; those that
// happen to lie whole in a block are left to the parser, which says the same of them.
#include <string.h>

#include "source/source_internal.h"

enum { EXTEND_BYTES = 64 << 10, SKIP_BYTES = 256 << 10 };

static mill_status read_full(mill_source *source, mill_block *block, size_t bytes, mill_error *err)
{
    MILL_TRY(mill_buf_reserve(&block->bytes, bytes, err));
    size_t want = block->bytes.bytes + bytes;
    while (block->bytes.bytes < want) {
        size_t got = 0;
        uint8_t *to = block->bytes.data + block->bytes.bytes;
        MILL_TRY(mill_stream_read(source->stream, to, want - block->bytes.bytes, &got, err));
        block->bytes.bytes += got;
        if (got == 0) {
            source->stream_ended = true;
            break;
        }
    }
    return MILL_OK;
}

mill_status mill_lines_open(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    MILL_TRY(mill_stream_open(source->fs, MILL_FS_CWD, entry->path, &source->stream, err));
    source->line = 1;
    source->offset = 0;
    source->stream_ended = source->has_bom = false;
    mill_buf_clear(&source->tail);
    mill_block head = {0};
    mill_status status = read_full(source, &head, 3, err);
    if (status == MILL_OK && head.bytes.bytes == 3 && memcmp(head.bytes.data, "\xef\xbb\xbf", 3) == 0) {
        source->has_bom = true;
        source->offset = 3;
    } else if (status == MILL_OK) {
        status = mill_buf_append(&source->tail, head.bytes.data, head.bytes.bytes, err);
    }
    mill_buf_free(&head.bytes);
    if (status != MILL_OK) {
        mill_stream_close(source->stream, NULL);
        source->stream = NULL;
    }
    return status;
}

mill_status mill_lines_close(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    mill_status status = mill_stream_digest(source->stream, entry->info.sha256, err);
    mill_status closed = mill_stream_close(source->stream, status == MILL_OK ? err : NULL);
    source->stream = NULL;
    return status != MILL_OK ? status : closed;
}

// Makes a piece of the lines in [begin, end) of the block, as many as the block may still hold; *taken gets
// their bytes.
static mill_status take_lines(mill_source *source, mill_source_entry *entry, mill_block *block, size_t begin,
                              size_t end, size_t *taken, mill_error *err)
{
    const uint8_t *data = block->bytes.data;
    uint64_t lines = 0, records = 0;
    uint64_t records_left = MILL_BLOCK_RECORDS_MAX - source->block_records;
    size_t at = begin;
    while (at < end && records < records_left) {
        const uint8_t *newline = memchr(data + at, '\n', end - at);
        size_t length = newline != NULL ? (size_t)(newline - data) - at : end - at;
        // Lines are told apart by their first byte; only one that begins with a blank is looked through.
        bool blank = length == 0 || (data[at] <= ' ' && length <= source->options.record_bytes_max &&
                                     mill_line_is_blank(data + at, length));
        records += !blank;
        lines++;
        at += length + (newline != NULL);
    }
    *taken = at - begin;
    if (at == begin)
        return MILL_OK;
    mill_block_piece piece = {.input = (uint32_t)source->current,
                              .first_record = source->line,
                              .offset = source->offset,
                              .begin = begin,
                              .bytes = at - begin};
    MILL_TRY(mill_block_add_piece(block, &piece, err));
    source->line += lines;
    source->offset += at - begin;
    source->block_records += (uint32_t)records;
    entry->info.records += records;
    return MILL_OK;
}

static mill_status add_reader_row(mill_source *source, mill_source_entry *entry, mill_block *block,
                                  uint64_t length, mill_quarantine_reason reason, mill_error *err)
{
    mill_quarantined row = {.input = (uint32_t)source->current,
                            .record = source->line,
                            .offset = source->offset,
                            .length = length,
                            .reason = reason};
    source->block_records++;
    entry->info.records++;
    if (reason == MILL_QUARANTINE_DAMAGED_STREAM)
        return mill_quarantine_add(&block->quarantine, &row, NULL, err, "%s",
                                   mill_stream_damage(source->stream));
    return mill_quarantine_add(&block->quarantine, &row, NULL, err, "longer than %llu bytes",
                               (unsigned long long)source->options.record_bytes_max);
}

// Reads past the over-long line whose first bytes are the block's from `line` on. What was read behind it is
// the block's new end. *lost gets its length if the stream breaks inside it.
static mill_status skip_line(mill_source *source, mill_source_entry *entry, mill_block *block, size_t line,
                             uint64_t *lost, mill_error *err)
{
    uint64_t length = block->bytes.bytes - line;
    const uint8_t *newline = NULL;
    while (newline == NULL && !source->stream_ended) {
        block->bytes.bytes = line;
        MILL_TRY(read_full(source, block, SKIP_BYTES, err));
        size_t got = block->bytes.bytes - line;
        newline = got != 0 ? memchr(block->bytes.data + line, '\n', got) : NULL;
        length += newline != NULL ? (size_t)(newline - block->bytes.data) - line : got;
    }
    size_t rest = 0;
    if (newline != NULL) {
        size_t after = (size_t)(newline - block->bytes.data) + 1;
        rest = block->bytes.bytes - after;
        memmove(block->bytes.data + line, block->bytes.data + after, rest);
    }
    block->bytes.bytes = line + rest;
    if (newline == NULL && mill_stream_damage(source->stream) != NULL) {
        *lost = length;
        return MILL_OK;
    }
    MILL_TRY(add_reader_row(source, entry, block, length, MILL_QUARANTINE_TOO_LONG, err));
    source->line++;
    source->offset += length + (newline != NULL);
    return MILL_OK;
}

// Everything from `from` on waits for the next block.
static mill_status stash(mill_source *source, mill_block *block, size_t from, mill_error *err)
{
    mill_buf_clear(&source->tail);
    MILL_TRY(mill_buf_append(&source->tail, block->bytes.data + from, block->bytes.bytes - from, err));
    block->bytes.bytes = from;
    return MILL_OK;
}

// Delivers the lines in [begin, line); then, at the stream's end, what is left.
static mill_status finish_fill(mill_source *source, mill_source_entry *entry, mill_block *block, size_t begin,
                               size_t line, uint64_t lost, bool *ended, mill_error *err)
{
    bool at_end = source->stream_ended;
    bool damaged = at_end && mill_stream_damage(source->stream) != NULL;
    if (at_end && !damaged)
        line = block->bytes.bytes; // a last line without '\n' is a record
    size_t taken = 0;
    MILL_TRY(take_lines(source, entry, block, begin, line, &taken, err));
    if (begin + taken < line || !at_end) {
        *ended = false;
        return stash(source, block, begin + taken, err);
    }
    *ended = true;
    if (!damaged)
        return MILL_OK;
    lost += block->bytes.bytes - line; // the start of a line whose end is not readable
    block->bytes.bytes = line;
    return add_reader_row(source, entry, block, lost, MILL_QUARANTINE_DAMAGED_STREAM, err);
}

mill_status mill_lines_fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                            mill_error *err)
{
    size_t begin = block->bytes.bytes; // of the piece
    uint64_t block_bytes = source->block_bytes, lost = 0;
    if (source->has_bom) { // an empty piece tells the parser
        mill_block_piece piece = {
            .input = (uint32_t)source->current, .first_record = 1, .offset = 3, .begin = begin};
        MILL_TRY(mill_block_add_piece(block, &piece, err));
        source->has_bom = false;
    }
    MILL_TRY(mill_buf_append(&block->bytes, source->tail.data, source->tail.bytes, err));
    mill_buf_clear(&source->tail);
    size_t line = begin; // where the unfinished line begins
    size_t seen = begin; // '\n' was looked for up to here
    for (;;) {
        size_t used = block->bytes.bytes;
        const uint8_t *newline = used > seen ? memrchr(block->bytes.data + seen, '\n', used - seen) : NULL;
        if (newline != NULL)
            line = (size_t)(newline - block->bytes.data) + 1;
        seen = used;
        if ((used >= block_bytes && line > begin) || source->stream_ended)
            break;
        if (used - line > source->options.record_bytes_max) {
            size_t taken = 0;
            MILL_TRY(take_lines(source, entry, block, begin, line, &taken, err));
            if (begin + taken < line || source->block_records >= MILL_BLOCK_RECORDS_MAX) {
                *ended = false;
                return stash(source, block, begin + taken, err);
            }
            MILL_TRY(skip_line(source, entry, block, line, &lost, err));
            begin = seen = line;
            continue;
        }
        MILL_TRY(read_full(source, block, used < block_bytes ? block_bytes - used : EXTEND_BYTES, err));
    }
    return finish_fill(source, entry, block, begin, line, lost, ended, err);
}
