// source_parquet.c: which columns a record is made of, rows into records, and row groups into blocks.
//
// Rows are numbered from 1 through the file by the row counts of the footer. Where a group breaks off, its missing rows are
// counted as quarantined, under one line that names the first and how many; the groups behind it are read.
#include "source/source_parquet.h"

#include <stdio.h>
#include <string.h>

#include "core/utf8.h"
#include "core/parquet_load.h"

#define GROUP_BYTES_MAX ((uint64_t)256 << 20) // of values, for a group that one thread decodes at once
#define PAGE_BYTES_MAX ((uint64_t)1 << 30)    // a page that needs more is damage
#define DECODED_SLACK ((uint64_t)16 << 20)
#define NO_TEXT UINT64_MAX

typedef struct row_head { // one row; as stored in a block, its texts follow
    uint64_t record;
    int64_t stars;
    uint64_t bytes[MILL_FIELDS_ALL]; // NO_TEXT: null; the place of the stars is not used
} row_head;

typedef struct file_row {
    row_head head;
    const char *text[MILL_FIELDS_ALL];
} file_row;

struct mill_parquet_input {
    const mill_parquet_api *api;
    const mill_fs *fs;
    int file;
    char *path;
    mill_error io; // what pread failed with
    mill_parquet_file *handle;
    uint32_t input;
    uint32_t leaves[MILL_COLUMNS_MAX], leaf_count;
    uint8_t fields[MILL_COLUMNS_MAX]; // of the leaves
    char damage[MILL_PARQUET_WHY];    // not empty: the footer cannot be read
    // where the reader is
    uint32_t group;
    uint64_t first;              // record number of the group's first row
    mill_parquet_cursor *cursor; // of a group that the reader decodes
    uint64_t row;                // of that group, from 0
    mill_stream *stream;         // of the raw file, for its digest and to see whether it changes
};

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

static bool is_below(const char *path, const char *name)
{
    size_t bytes = strlen(name);
    return strncmp(path, name, bytes) == 0 && path[bytes] == '.';
}

// The leaf of a column by its name or dotted path; a name that holds one leaf only (a list) means that one. -1: there is none,
// -2: several.
static int64_t find_leaf(const mill_parquet_input *p, const char *name)
{
    int64_t below = -1;
    mill_parquet_kind kind;
    int is_list;
    for (uint32_t i = 0; i < p->api->leaf_count(p->handle); i++) {
        const char *path = p->api->leaf(p->handle, i, &kind, &is_list);
        if (strcmp(path, name) == 0)
            return i;
        if (is_below(path, name))
            below = below == -1 ? (int64_t)i : -2;
    }
    return below;
}

// Parts of a conversation have columns of their own; lists of messages do not come this way.
static bool has_conversation(const bool *has)
{
    return (has[MILL_FIELD_INSTRUCTION] && has[MILL_FIELD_OUTPUT]) ||
           (has[MILL_FIELD_PROMPT] && has[MILL_FIELD_COMPLETION]);
}

static mill_status refuse_no_content(const mill_source *source, const mill_parquet_input *p, bool lists,
                                     mill_error *err)
{
    if (lists)
        return mill_fail(err, MILL_INPUT,
                         "%s: lists of messages are not read from Parquet; export the data set as JSON lines",
                         p->path);
    mill_buf names = {0};
    mill_parquet_kind kind;
    int is_list;
    mill_status status = MILL_OK;
    for (uint32_t i = 0; status == MILL_OK && i < p->api->leaf_count(p->handle) && names.bytes < 300; i++)
        status = mill_buf_printf(&names, err, "%s%s", i != 0 ? ", " : "", p->api->leaf(p->handle, i, &kind, &is_list));
    const char *wanted = source->options.field[MILL_FIELD_CONTENT];
    if (status == MILL_OK)
        status = mill_fail(err, MILL_INPUT, "%s: no column %s; it has %.*s; name the one with the text: --field content=COLUMN",
                           p->path, wanted != NULL ? wanted : "that holds content", (int)names.bytes, (const char *)names.data);
    mill_buf_free(&names);
    return status;
}

// Which leaf fills which field, in the order in which they are asked.
static mill_status map_columns(const mill_source *source, mill_parquet_input *p, mill_error *err)
{
    bool has[MILL_FIELDS_ALL] = {false}, lists = false;
    for (uint32_t i = 0; i < source->columns.count; i++) {
        const mill_column *column = &source->columns.columns[i];
        int64_t leaf = find_leaf(p, column->name);
        bool named = column->field < MILL_FIELD_COUNT && source->options.field[column->field] != NULL;
        if (leaf == -2 && named)
            return mill_fail(err, MILL_INPUT, "%s: column %s has several parts; name one by its dotted path", p->path,
                             column->name);
        if (leaf == -1 && named)
            return mill_fail(err, MILL_INPUT, "%s: no column %s for %s", p->path, column->name,
                             mill_field_names[column->field]);
        lists = lists || (column->field == MILL_FIELD_MESSAGES && leaf != -1);
        if (leaf < 0 || column->field == MILL_FIELD_MESSAGES)
            continue;
        mill_parquet_kind kind;
        int is_list;
        const char *path = p->api->leaf(p->handle, (uint32_t)leaf, &kind, &is_list);
        if (kind == MILL_PARQUET_NOTHING)
            continue; // every value is null
        bool stars = column->field == MILL_FIELD_STARS;
        bool good = stars ? kind != MILL_PARQUET_OTHER && !is_list
                          : kind == MILL_PARQUET_TEXT && (!is_list || column->field == MILL_FIELD_LICENCE);
        if (!good && (named || column->field == MILL_FIELD_CONTENT))
            return mill_fail(err, MILL_INPUT, "%s: column %s cannot be %s: %s; name another: --field %s=COLUMN", p->path, path,
                             mill_field_names[column->field], is_list ? "it is a list" : "its type does not fit",
                             mill_field_names[column->field]);
        if (!good)
            continue;
        has[column->field] = true;
        p->leaves[p->leaf_count] = (uint32_t)leaf;
        p->fields[p->leaf_count++] = column->field;
    }
    return has[MILL_FIELD_CONTENT] || has_conversation(has) ? MILL_OK
                                                            : refuse_no_content(source, p, lists, err);
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
        MILL_TRY_GOTO(map_columns(source, p, err));
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

// ---- rows

static int64_t stars_of(const mill_parquet_value *value)
{
    switch (value->type) {
    case MILL_PARQUET_BYTES: return mill_stars_text(value->text, value->bytes);
    case MILL_PARQUET_REAL: return mill_stars_real(value->real);
    case MILL_PARQUET_INTEGER: return value->integer >= 0 ? value->integer : MILL_STARS_MISSING;
    case MILL_PARQUET_UNSIGNED: return value->integer >= 0 ? value->integer : INT64_MAX;
    case MILL_PARQUET_NUMBERS:
    case MILL_PARQUET_NULL: break;
    }
    return MILL_STARS_MISSING;
}

// The first column of a field that is not null fills it.
static void take_values(const mill_parquet_input *p, const mill_parquet_value *values, uint64_t record, file_row *out)
{
    bool has_stars = false;
    *out = (file_row){.head = {.record = record, .stars = MILL_STARS_MISSING}};
    for (size_t i = 0; i < MILL_FIELDS_ALL; i++)
        out->head.bytes[i] = NO_TEXT;
    for (uint32_t i = 0; i < p->leaf_count; i++) {
        uint8_t field = p->fields[i];
        if (values[i].type == MILL_PARQUET_NULL)
            continue;
        if (field == MILL_FIELD_STARS) {
            out->head.stars = has_stars ? out->head.stars : stars_of(&values[i]);
            has_stars = true;
        } else if (out->head.bytes[field] == NO_TEXT) {
            out->text[field] = values[i].text;
            out->head.bytes[field] = values[i].bytes;
        }
    }
}

static uint64_t text_bytes(const row_head *head)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < MILL_FIELDS_ALL; i++)
        sum += head->bytes[i] != NO_TEXT ? head->bytes[i] : 0;
    return sum;
}

typedef struct row_sink { // where the records of one piece go
    mill_parser *parser;
    const mill_block_piece *piece;
    mill_batch *batch;
    mill_quarantine *quarantine;
    mill_parse_counts *counts; // of this input
    mill_error *err;
} row_sink;

static mill_status add_row(row_sink *sink, const mill_quarantined *at, mill_quarantine_reason reason, const char *what)
{
    mill_quarantined row = *at;
    row.reason = reason;
    sink->counts->read++;
    sink->counts->quarantined++;
    return mill_quarantine_add(sink->quarantine, &row, NULL, sink->err, "%s", what);
}

// True if all texts are UTF-8; else what names the first bad byte.
static bool texts_valid(const file_row *r, char *what, size_t room)
{
    for (size_t i = 0; i < MILL_FIELDS_ALL; i++) {
        size_t bad = 0;
        if (r->head.bytes[i] == NO_TEXT || mill_utf8_valid((const uint8_t *)r->text[i], r->head.bytes[i], &bad))
            continue;
        snprintf(what, room, "%s: byte 0x%02x at byte %zu",
                 i < MILL_FIELD_COUNT ? mill_field_names[i] : "extension", (uint8_t)r->text[i][bad], bad);
        return false;
    }
    return true;
}

static uint32_t field_text(const file_row *r, mill_field field, const char **text)
{
    bool there = r->head.bytes[field] != NO_TEXT && r->head.bytes[field] != 0;
    *text = there ? r->text[field] : "";
    return there ? (uint32_t)r->head.bytes[field] : 0; // records are shorter than 4 GiB
}

static bool is_conversation(const row_head *head)
{
    return head->bytes[MILL_FIELD_INSTRUCTION] != NO_TEXT ||
           (head->bytes[MILL_FIELD_PROMPT] != NO_TEXT && head->bytes[MILL_FIELD_COMPLETION] != NO_TEXT);
}

// The parser's turns; their texts are copied, as normal forms are made in place and a column's values may be
// shared by rows.
static mill_status take_conversation(row_sink *sink, const file_row *r, mill_shape_problem *problem)
{
    static const uint8_t fields[2][3] = {{MILL_FIELD_INSTRUCTION, MILL_FIELD_OUTPUT, MILL_FIELD_INPUT},
                                         {MILL_FIELD_PROMPT, MILL_FIELD_COMPLETION, MILL_FIELD_INPUT}};
    mill_parser *parser = sink->parser;
    const bool instruction = r->head.bytes[MILL_FIELD_INSTRUCTION] != NO_TEXT;
    const uint8_t *field = fields[!instruction];
    const uint8_t *copy[3];
    uint64_t bytes[3];
    mill_buf_clear(&parser->post);
    MILL_TRY(mill_buf_reserve(&parser->post, text_bytes(&r->head) + 1, sink->err));
    for (size_t i = 0; i < 3; i++) {
        const bool there = r->head.bytes[field[i]] != NO_TEXT && (instruction || i < 2);
        bytes[i] = there ? r->head.bytes[field[i]] : 0;
        copy[i] = parser->post.data + parser->post.bytes;
        MILL_TRY(mill_buf_append(&parser->post, r->text[field[i]], bytes[i], sink->err));
    }
    if (r->head.bytes[field[1]] == NO_TEXT) {
        problem->reason = MILL_QUARANTINE_BAD_TURNS;
        snprintf(problem->detail, sizeof problem->detail, "%s is missing", mill_field_names[field[1]]);
    }
    MILL_TRY(MILL_GROW(parser->turns, parser->turn_capacity, 2, sink->err));
    parser->turns[0] = (mill_turn){.role = instruction ? MILL_CHAT_INSTRUCTION : MILL_CHAT_PROMPT,
                                   .text = copy[0],
                                   .bytes = bytes[0],
                                   .input = copy[2],
                                   .input_bytes = bytes[2]};
    parser->turns[1] = (mill_turn){
        .role = instruction ? MILL_CHAT_OUTPUT : MILL_CHAT_COMPLETION, .text = copy[1], .bytes = bytes[1]};
    parser->turn_count = 2;
    return MILL_OK;
}

static mill_status take_row(row_sink *sink, const file_row *r)
{
    const mill_source *source = sink->parser->source;
    const row_head *head = &r->head;
    uint64_t bytes = text_bytes(head);
    char what[96];
    const mill_quarantined at = {.input = sink->piece->input, .record = head->record, .length = bytes};
    if (bytes > source->options.record_bytes_max) {
        snprintf(what, sizeof what, "longer than %llu bytes", (unsigned long long)source->options.record_bytes_max);
        return add_row(sink, &at, MILL_QUARANTINE_TOO_LONG, what);
    }
    const bool chat = head->bytes[MILL_FIELD_CONTENT] == NO_TEXT && is_conversation(head);
    if (head->bytes[MILL_FIELD_CONTENT] == NO_TEXT && !chat)
        return add_row(sink, &at, MILL_QUARANTINE_NO_CONTENT, "content is null");
    if (!texts_valid(r, what, sizeof what))
        return add_row(sink, &at, MILL_QUARANTINE_BAD_UTF8, what);
    const bool empty = chat || head->bytes[MILL_FIELD_CONTENT] == 0;
    mill_record record = {.text = (const uint8_t *)(empty ? "" : r->text[MILL_FIELD_CONTENT]),
                          .text_bytes = empty ? 0 : head->bytes[MILL_FIELD_CONTENT],
                          .stars = head->stars,
                          .input = sink->piece->input,
                          .record = head->record};
    const char *language, *extension;
    uint32_t language_bytes = field_text(r, MILL_FIELD_LANGUAGE, &language);
    uint32_t extension_bytes = field_text(r, (mill_field)MILL_FIELD_EXT, &extension);
    record.repo_bytes = field_text(r, MILL_FIELD_REPO, &record.repo);
    record.path_bytes = field_text(r, MILL_FIELD_PATH, &record.path);
    record.licence_bytes = field_text(r, MILL_FIELD_LICENCE, &record.licence);
    if (source->options.strip_metadata_head && !chat)
        mill_record_strip_head(&record, sink->counts);
    record.language = mill_record_language(source, &record, language, language_bytes, extension, extension_bytes);
    record.type = mill_record_type(source, record.language);
    mill_shape_problem problem = {.detail = ""};
    if (chat)
        MILL_TRY(take_conversation(sink, r, &problem));
    if (chat)
        MILL_TRY(mill_chat_record(sink->parser, &record, sink->counts, &problem, sink->err));
    else
        MILL_TRY(mill_shape_record(sink->parser, false, &record, sink->counts, &problem, sink->err));
    if (problem.removed) {
        sink->counts->read++;
        return MILL_OK;
    }
    if (problem.detail[0] != '\0')
        return add_row(sink, &at, problem.reason, problem.detail);
    sink->counts->missing_stars += record.stars == MILL_STARS_MISSING;
    sink->counts->read++;
    return mill_batch_append(sink->batch, &record, sink->err);
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
        mill_parquet_kind kind;
        int is_list;
        p->api->leaf(p->handle, p->leaves[i], &kind, &is_list);
        if (kind == MILL_PARQUET_TEXT)
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

static mill_status store_row(mill_block *block, const file_row *r, uint64_t record_bytes_max, mill_error *err)
{
    MILL_TRY(mill_buf_append(&block->bytes, &r->head, sizeof r->head, err));
    if (text_bytes(&r->head) > record_bytes_max)
        return MILL_OK; // the parser only tells that it is too long
    for (size_t i = 0; i < MILL_FIELDS_ALL; i++) {
        if (r->head.bytes[i] != NO_TEXT && r->head.bytes[i] != 0)
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
    while (result == MILL_PARQUET_OK && block->bytes.bytes < source->options.block_bytes &&
           source->block_records < MILL_BLOCK_RECORDS_MAX) {
        mill_parquet_value values[MILL_COLUMNS_MAX];
        result = p->api->row(p->cursor, values, why);
        if (result != MILL_PARQUET_OK)
            break;
        file_row r;
        take_values(p, values, p->first + p->row, &r);
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
        if (block->bytes.bytes + block->planned >= source->options.block_bytes ||
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
static mill_status add_lost(row_sink *sink, uint64_t record, const char *why)
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

static mill_status parse_stored(row_sink *sink, const mill_block *block)
{
    const mill_block_piece *piece = sink->piece;
    const uint8_t *at = block->bytes.data + piece->begin, *end = at + piece->bytes;
    uint64_t most = sink->parser->source->options.record_bytes_max;
    while (at < end) {
        file_row r;
        memcpy(&r.head, at, sizeof r.head);
        at += sizeof r.head;
        bool stored = text_bytes(&r.head) <= most;
        for (size_t i = 0; i < MILL_FIELDS_ALL; i++) {
            bool there = stored && r.head.bytes[i] != NO_TEXT;
            r.text[i] = there ? (const char *)at : NULL;
            at += there ? r.head.bytes[i] : 0;
        }
        if (r.head.record - piece->first_record < piece->records)
            MILL_TRY(take_row(sink, &r));
    }
    return MILL_OK;
}

// The input of a piece, opened again only when it is another than before.
static mill_status parser_input(row_sink *sink, mill_parquet_input **out)
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
static mill_parquet_result take_rows(row_sink *sink, mill_parquet_input *p, mill_parquet_cursor *cursor, uint64_t *next,
                                     char *why, mill_status *status)
{
    const mill_block_piece *piece = sink->piece;
    uint64_t decoded = 0, last = piece->first_record + piece->records;
    uint64_t group_end = piece->offset + p->api->group_rows(p->handle, piece->group);
    for (;; (*next)++) {
        mill_parquet_value values[MILL_COLUMNS_MAX];
        file_row r;
        mill_parquet_result result = p->api->row(cursor, values, why);
        if (result != MILL_PARQUET_OK)
            return result;
        take_values(p, values, *next, &r);
        decoded += text_bytes(&r.head);
        if (decoded / 2 > piece->decoded_max && decoded > DECODED_SLACK) {
            snprintf(why, MILL_PARQUET_WHY, "its values are longer than the footer or the pages tell");
            return MILL_PARQUET_DAMAGED;
        }
        if (*next - piece->first_record < piece->records)
            *status = take_row(sink, &r);
        // A piece may be a part of its group: what comes behind it is not looked at.
        if (*status != MILL_OK || (*next + 1 == last && last != group_end))
            return MILL_PARQUET_END;
    }
}

static mill_status parse_group(row_sink *sink)
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
    row_sink sink = {.parser = parser, .piece = piece, .batch = batch, .quarantine = quarantine, .counts = counts, .err = err};
    if (piece->is_lost)
        return add_lost(&sink, piece->first_record, (const char *)block->paths.data + piece->path);
    return piece->bytes != 0 ? parse_stored(&sink, block) : parse_group(&sink);
}
