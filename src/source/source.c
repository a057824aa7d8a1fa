// source.c: opening a source, pulling blocks from its inputs in order, and parsing them.
#include "source/source.h"

#include <stdlib.h>
#include <string.h>

#include "source/source_internal.h"
#include "source/source_parquet.h"

static mill_status copy_options(mill_source *source, const mill_source_options *options, mill_error *err)
{
    source->options = *options;
    if (options->qa.site != NULL) {
        source->qa_site = mill_strdup(options->qa.site);
        if (source->qa_site == NULL)
            return mill_fail_nomem(err, "the options of a source");
        source->options.qa.site = source->qa_site;
    }
    MILL_TRY(mill_chat_template_open(&options->chat, &source->chat, err));
    source->options.chat = (mill_chat_options){0}; // compiled; the strings are the caller's
    source->options.shape.encoding = NULL;
    if (options->shape.encoding != NULL) {
        source->encoding = mill_strdup(options->shape.encoding);
        if (source->encoding == NULL)
            return mill_fail_nomem(err, "the options of a source");
        source->options.shape.encoding = source->encoding;
    }
    for (size_t i = 0; i < MILL_FIELD_COUNT; i++) {
        if (options->field[i] == NULL)
            continue;
        source->strings[i] = mill_strdup(options->field[i]);
        if (source->strings[i] == NULL)
            return mill_fail_nomem(err, "the options of a source");
        source->options.field[i] = source->strings[i];
    }
    const char *format = options->format;
    source->options.format = NULL;
    static const char *const formats[] = {"auto", "jsonl", "parquet", "tree", "text", "notebook", "stackexchange"};
    for (size_t i = 0; format != NULL && i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(format, formats[i]) == 0)
            source->options.format = formats[i];
    if (format != NULL && source->options.format == NULL)
        return mill_fail(err, MILL_USAGE,
                         "unknown input format \"%s\": use auto, jsonl, parquet, tree, text, notebook or stackexchange", format);
    if (options->block_bytes == 0 || options->record_bytes_max == 0 || options->block_bytes > UINT32_MAX ||
        options->record_bytes_max > UINT32_MAX)
        return mill_fail(err, MILL_USAGE, "block and record sizes must lie between 1 byte and 4 GiB");
    if (options->type >= MILL_TYPE_COUNT)
        return mill_fail(err, MILL_USAGE, "unknown data type");
    mill_status status = mill_columns_resolve(&source->options, &source->columns, err);
    source->options.preset = NULL; // resolved; the string is the caller's
    return status;
}

mill_status mill_source_open(const mill_fs *fs, const char *const *arguments, size_t count,
                             const mill_source_options *options, mill_language_table *languages,
                             mill_source **out, mill_error *err)
{
    *out = NULL;
    mill_source *source = mill_alloc_zero(1, sizeof *source);
    if (source == NULL)
        return mill_fail_nomem(err, "a source");
    source->fs = fs;
    source->languages = languages;
    mill_status status = copy_options(source, options, err);
    if (status == MILL_OK)
        status = mill_source_resolve(source, arguments, count, err);
    if (status != MILL_OK) {
        mill_source_close(source);
        return status;
    }
    *out = source;
    return MILL_OK;
}

size_t mill_source_input_count(const mill_source *source)
{
    return source->count;
}

const mill_input_info *mill_source_input(const mill_source *source, size_t index)
{
    MILL_ASSERT(index < source->count);
    return &source->entries[index].info;
}

void mill_source_tree_file(const mill_source *source, size_t input, uint64_t index, const char **path, uint64_t *bytes)
{
    MILL_ASSERT(input < source->count && source->entries[input].tree != NULL && index < source->entries[input].tree->count);
    *path = mill_tree_path(source->entries[input].tree, (size_t)index);
    *bytes = source->entries[input].tree->files[index].bytes;
}

void mill_source_close(mill_source *source)
{
    if (source == NULL)
        return;
    if (source->stream != NULL)
        mill_stream_close(source->stream, NULL);
    mill_sha256_destroy(source->tree_sha256);
    mill_parquet_drop(source->parquet);
    mill_buf_free(&source->tail);
    for (size_t i = 0; i < source->count; i++) {
        mill_free(source->entries[i].name);
        mill_free(source->entries[i].path);
        mill_free(source->entries[i].repo);
        mill_tree_free(source->entries[i].tree);
    }
    mill_free(source->entries);
    for (size_t i = 0; i < MILL_FIELD_COUNT; i++)
        mill_free(source->strings[i]);
    mill_free(source->encoding);
    mill_free(source->qa_site);
    mill_chat_template_close(source->chat);
    mill_posts_close(source);
    mill_archive_drop(source);
    mill_free(source);
}

// ---- blocks

static void clear_block(mill_block *block)
{
    mill_buf_clear(&block->bytes);
    mill_buf_clear(&block->paths);
    block->piece_count = 0;
    block->planned = 0;
    block->count_count = 0;
    mill_quarantine_clear(&block->quarantine);
}

void mill_block_free(mill_block *block)
{
    mill_buf_free(&block->bytes);
    mill_buf_free(&block->paths);
    mill_free(block->pieces);
    mill_free(block->counts);
    mill_quarantine_free(&block->quarantine);
    *block = (mill_block){0};
}

mill_status mill_block_add_piece(mill_block *block, const mill_block_piece *piece, mill_error *err)
{
    MILL_TRY(MILL_GROW(block->pieces, block->piece_capacity, block->piece_count + 1, err));
    block->pieces[block->piece_count++] = *piece;
    return MILL_OK;
}

void mill_source_set_work(mill_source *source, const mill_source_work *work)
{
    source->work = *work;
}

static mill_status read_stream(void *self, void *data, size_t bytes, size_t *got, mill_error *err)
{
    return mill_stream_read(self, data, bytes, got, err);
}

static const char *stream_damage(void *self)
{
    return mill_stream_damage(self);
}

static mill_status open_posts(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    MILL_TRY(mill_stream_open(source->fs, MILL_FS_CWD, entry->path, &source->stream, err));
    const mill_posts_feed feed = {source->stream, read_stream, stream_damage};
    return mill_posts_open(source, &feed, err);
}

static mill_status open_input(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    if (entry->tree != NULL)
        MILL_TRY(mill_tree_open(source, entry, err));
    else if (entry->info.is_archive)
        MILL_TRY(mill_archive_open(source, entry, err));
    else if (entry->info.is_posts)
        MILL_TRY(open_posts(source, entry, err));
    else
        MILL_TRY(entry->info.is_parquet ? mill_parquet_open(source, entry, err) : mill_lines_open(source, entry, err));
    source->is_open = true;
    return MILL_OK;
}

static mill_status fill_block(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended, mill_error *err)
{
    if (entry->tree != NULL)
        return mill_tree_fill(source, entry, block, ended, err);
    if (entry->info.is_archive)
        return mill_archive_fill(source, entry, block, ended, err);
    if (entry->info.is_posts)
        return mill_posts_fill(source, entry, block, ended, err);
    return entry->info.is_parquet ? mill_parquet_fill(source, entry, block, ended, err)
                                  : mill_lines_fill(source, entry, block, ended, err);
}

static mill_status close_input(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    source->is_open = false;
    source->current++;
    mill_posts_close(source);
    if (entry->tree != NULL)
        mill_tree_close(source, entry);
    else if (entry->info.is_archive)
        MILL_TRY(mill_archive_close(source, entry, err));
    else if (entry->info.is_parquet)
        MILL_TRY(mill_parquet_close(source, entry, err));
    else
        MILL_TRY(mill_lines_close(source, entry, err));
    entry->info.done = true;
    return MILL_OK;
}

// The first blocks are smaller, so that all workers have something to do soon.
static uint64_t bytes_of_block(uint64_t most, uint64_t unit)
{
    enum { SMALL_BLOCKS = 4, LEAST_BYTES = 512 << 10 };
    const uint64_t least = most < LEAST_BYTES ? most : LEAST_BYTES;
    const uint64_t bytes = unit < SMALL_BLOCKS ? most >> (SMALL_BLOCKS - unit) : most;
    return bytes < least ? least : bytes;
}

mill_status mill_source_next(mill_source *source, mill_block *block, bool *end, mill_error *err)
{
    clear_block(block);
    source->block_records = 0;
    source->block_bytes = bytes_of_block(source->options.block_bytes, source->unit);
    while (source->current < source->count && block->bytes.bytes + block->planned < source->block_bytes &&
           source->block_records < MILL_BLOCK_RECORDS_MAX) {
        mill_source_entry *entry = &source->entries[source->current];
        if (!source->is_open)
            MILL_TRY(open_input(source, entry, err));
        bool ended = false;
        MILL_TRY(fill_block(source, entry, block, &ended, err));
        if (!ended)
            break;
        MILL_TRY(close_input(source, entry, err));
    }
    *end = block->piece_count == 0 && block->quarantine.count == 0 && block->count_count == 0;
    if (!*end)
        block->unit = source->unit++;
    return MILL_OK;
}

// ---- parsing

mill_status mill_parser_open(const mill_source *source, mill_parser **out, mill_error *err)
{
    mill_parser *parser = mill_alloc_zero(1, sizeof *parser);
    *out = parser;
    if (parser == NULL)
        return mill_fail_nomem(err, "a parser");
    parser->source = source;
    return MILL_OK;
}

void mill_parser_close(mill_parser *parser)
{
    if (parser == NULL)
        return;
    mill_free(parser->pool.bytes);
    mill_free(parser->inner.bytes);
    mill_free(parser->listed.bytes);
    mill_parquet_drop(parser->parquet);
    mill_buf_free(&parser->line);
    mill_buf_free(&parser->inner_text);
    mill_buf_free(&parser->shaped);
    mill_buf_free(&parser->decoded);
    mill_buf *texts[] = {&parser->blob, &parser->post, &parser->meta, &parser->prose, &parser->inputs, &parser->answer_text};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        mill_buf_free(texts[i]);
    mill_html_close(parser->html);
    mill_html_result_free(&parser->page);
    mill_free(parser->turns);
    mill_chat_text_free(&parser->chat);
    mill_buf_free(&parser->licence);
    mill_buf_free(&parser->path);
    mill_free(parser);
}

static int compare_rows(const void *a, const void *b)
{
    const mill_quarantined *left = a, *right = b;
    if (left->input != right->input)
        return left->input < right->input ? -1 : 1;
    return (left->record > right->record) - (left->record < right->record);
}

mill_status mill_source_parse(mill_parser *parser, const mill_block *block, mill_batch *batch,
                              mill_quarantine *quarantine, mill_parse_counts *counts, mill_error *err)
{
    const mill_source *source = parser->source;
    size_t first_row = quarantine->count;
    MILL_TRY(mill_buf_reserve(&batch->text, block->bytes.bytes, err));
    for (size_t i = 0; i < block->piece_count; i++) {
        const mill_block_piece *piece = &block->pieces[i];
        mill_parse_counts *own = &counts[piece->input];
        const mill_input_info *info = &source->entries[piece->input].info;
        bool posts = info->is_posts || (info->is_archive && piece->path == MILL_POSTS_PIECE);
        if (info->is_tree || (info->is_archive && !posts))
            MILL_TRY(mill_tree_parse(parser, block, piece, batch, quarantine, own, err));
        else if (posts)
            MILL_TRY(mill_posts_parse(parser, block, piece, batch, quarantine, own, err));
        else
            MILL_TRY(info->is_parquet ? mill_parquet_parse(parser, block, piece, batch, quarantine, own, err)
                                      : mill_lines_parse(parser, block, piece, batch, quarantine, own, err));
    }
    for (size_t i = 0; i < block->count_count; i++) {
        mill_parse_counts *own = &counts[block->counts[i].input];
        own->read += block->counts[i].count;
        own->rejected[block->counts[i].reason] += block->counts[i].count;
    }
    for (size_t i = 0; i < block->quarantine.count; i++) {
        const mill_quarantined *row = &block->quarantine.rows[i];
        counts[row->input].read++;
        counts[row->input].quarantined++;
        MILL_TRY(mill_quarantine_add(quarantine, row, row->path, err, "%s", row->detail));
    }
    if (quarantine->count > first_row) // no two rows have the same input and record
        qsort(quarantine->rows + first_row, quarantine->count - first_row, sizeof *quarantine->rows,
              compare_rows);
    return MILL_OK;
}
