// shard_read.c: reading shards and the docs sidecar back.
#include "pipeline/shard_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

#define STEP_BYTES (256u << 10)
#define LINE_MAX_BYTES (512u << 20) // a sample of 2^24 tokens of a large vocabulary takes less

// ---- lines ----------------------------------------------------------------------------------------------

mill_status mill_line_reader_open(const mill_finished *finished, const char *path, mill_line_reader *out,
                                  mill_error *err)
{
    *out = (mill_line_reader){.finished = finished};
    snprintf(out->path, sizeof out->path, "%s", path);
    mill_file_info info;
    MILL_TRY(mill_finished_info(finished, path, &info, err));
    if (info.kind != MILL_FILE_REGULAR) // a pipe would keep us waiting
        return mill_fail(err, MILL_VERIFY, "%s/%s: is no regular file", finished->path, path);
    mill_status status = mill_stream_open(finished->fs, finished->dir, path, &out->stream, err);
    if (status != MILL_OK)
        mill_line_reader_close(out);
    return status;
}

void mill_line_reader_close(mill_line_reader *reader)
{
    (void)mill_stream_close(reader->stream, NULL);
    mill_buf_free(&reader->data);
    reader->stream = NULL;
}

mill_status mill_line_reader_fail(const mill_line_reader *reader, mill_error *err, const char *format, ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return mill_fail(err, MILL_VERIFY, "%s/%s: line %llu: %s", reader->finished->path, reader->path,
                     (unsigned long long)reader->number, what);
}

static mill_status read_more(mill_line_reader *r, mill_error *err)
{
    if (r->at != 0) {
        memmove(r->data.data, r->data.data + r->at, r->data.bytes - r->at);
        r->data.bytes -= r->at;
        r->at = 0;
    }
    if (r->data.bytes > LINE_MAX_BYTES)
        return mill_line_reader_fail(r, err, "the next line is longer than %u bytes", LINE_MAX_BYTES);
    // Doubling, so that a long line is searched and moved a bounded number of times.
    size_t step = r->data.bytes > STEP_BYTES ? r->data.bytes : STEP_BYTES, got;
    MILL_TRY(mill_buf_reserve(&r->data, step, err));
    MILL_TRY(mill_stream_read(r->stream, r->data.data + r->data.bytes, step, &got, err));
    r->data.bytes += got;
    if (got != 0)
        return MILL_OK;
    r->ended = true;
    const char *damage = mill_stream_damage(r->stream);
    if (damage != NULL)
        return mill_line_reader_fail(r, err, "%s", damage);
    if (r->data.bytes != 0)
        return mill_line_reader_fail(r, err, "the text behind it does not end with a newline");
    return MILL_OK;
}

mill_status mill_line_reader_next(mill_line_reader *r, const uint8_t **line, size_t *bytes, mill_error *err)
{
    *line = NULL;
    *bytes = 0;
    size_t searched = r->at;
    while (!r->ended || r->at != r->data.bytes) {
        const uint8_t *end =
            searched < r->data.bytes ? memchr(r->data.data + searched, '\n', r->data.bytes - searched) : NULL;
        if (end != NULL) {
            *line = r->data.data + r->at;
            *bytes = (size_t)(end + 1 - *line);
            r->at += *bytes;
            r->number++;
            return MILL_OK;
        }
        searched = r->data.bytes - r->at;
        MILL_TRY(read_more(r, err));
    }
    return MILL_OK;
}

// ---- samples --------------------------------------------------------------------------------------------

typedef struct cursor { // in one line; the newline at its end stops every loop
    const uint8_t *at, *end;
} cursor;

// Takes `text`, and one blank behind it if there is one (json.dumps writes it behind ':' and ',').
static bool take(cursor *c, const char *text)
{
    size_t bytes = strlen(text);
    if ((size_t)(c->end - c->at) <= bytes || memcmp(c->at, text, bytes) != 0)
        return false;
    c->at += bytes;
    if (*c->at == ' ')
        c->at++;
    return true;
}

// A number as it is written here: no sign, no leading zero, below 2^32.
static bool take_number(cursor *c, uint32_t *out)
{
    uint64_t value = 0;
    const uint8_t *begin = c->at;
    while (*c->at >= '0' && *c->at <= '9') {
        value = value * 10 + (uint64_t)(*c->at++ - '0');
        if (value > UINT32_MAX)
            return false;
    }
    *out = (uint32_t)value;
    return c->at != begin && (*begin != '0' || c->at == begin + 1);
}

static mill_status take_list(cursor *c, uint32_t **list, size_t *capacity, size_t *count, bool *good,
                             mill_error *err)
{
    *count = 0;
    *good = take(c, "[");
    if (!*good || *c->at == ']') {
        c->at += *good;
        return MILL_OK;
    }
    do {
        MILL_TRY(MILL_GROW(*list, *capacity, *count + 1, err));
        *good = take_number(c, &(*list)[*count]);
        ++*count;
    } while (*good && take(c, ","));
    *good = *good && *c->at == ']';
    c->at += *good;
    return MILL_OK;
}

// As many 0 and 1 as there are ids.
static mill_status take_mask(cursor *c, mill_read_sample *s, bool *good, mill_error *err)
{
    MILL_TRY(MILL_GROW(s->mask, s->mask_capacity, s->count + 1, err));
    *good = take(c, "[");
    for (size_t i = 0; *good && i < s->count; i++) {
        *good = (i == 0 || take(c, ",")) && (*c->at == '0' || *c->at == '1');
        if (*good)
            s->mask[i] = (uint8_t)(*c->at++ - '0');
    }
    *good = *good && *c->at == ']';
    c->at += *good;
    return MILL_OK;
}

mill_status mill_read_sample_parse(const mill_line_reader *reader, const uint8_t *line, size_t bytes,
                                   bool row, mill_read_sample *out, mill_error *err)
{
    static const char broken[] = "is no sample as shardmill writes them";
    cursor c = {line, line + bytes};
    uint32_t length = 0;
    size_t positions = 0;
    bool good = take(&c, "{\"input_ids\":");
    mill_read_sample_clear(out);
    if (good)
        MILL_TRY(take_list(&c, &out->ids, &out->capacity, &out->count, &good, err));
    good = good && take(&c, ",") && take(&c, "\"length\":") && take_number(&c, &length);
    if (good && !row && (take(&c, ",\"cu_seqlens\":") || take(&c, ", \"cu_seqlens\":"))) {
        out->has_bounds = true;
        MILL_TRY(take_list(&c, &out->bounds, &out->bound_capacity, &out->bound_count, &good, err));
    }
    if (good && !row && (take(&c, ",\"position_ids\":") || take(&c, ", \"position_ids\":"))) {
        out->has_positions = true;
        MILL_TRY(take_list(&c, &out->positions, &out->position_capacity, &positions, &good, err));
    }
    if (good && !row && (take(&c, ",\"loss_mask\":") || take(&c, ", \"loss_mask\":"))) {
        out->has_mask = true;
        MILL_TRY(take_mask(&c, out, &good, err));
    }
    if (good && row) // its other members are text
        good = bytes >= 2 && line[bytes - 2] == '}';
    else
        good = good && c.end - c.at == 2 && c.at[0] == '}';
    if (!good)
        return mill_line_reader_fail(reader, err, "%s", broken);
    if (length != out->count)
        return mill_line_reader_fail(reader, err, "length is %u but there are %zu ids", length, out->count);
    if (out->has_positions && positions != out->count)
        return mill_line_reader_fail(reader, err, "there are %zu position_ids but %zu ids", positions, out->count);
    if (!mill_read_sample_bounds_are_good(out))
        return mill_line_reader_fail(reader, err, "cu_seqlens does not rise from 0 to length");
    return MILL_OK;
}

// ---- JSON lines -----------------------------------------------------------------------------------------

typedef struct json_memory { // tells a failed allocation from bad JSON
    bool failed;
} json_memory;

static void *json_alloc(void *context, size_t bytes)
{
    void *memory = mill_alloc(bytes);
    if (memory == NULL)
        ((json_memory *)context)->failed = true;
    return memory;
}

static void *json_realloc(void *context, void *old, size_t old_bytes, size_t bytes)
{
    (void)old_bytes;
    void *memory = mill_realloc(old, bytes);
    if (memory == NULL)
        ((json_memory *)context)->failed = true;
    return memory;
}

static void json_free(void *context, void *memory)
{
    (void)context;
    mill_free(memory);
}

typedef struct json_line { // what the caller holds: the document must find its allocator when it is freed
    json_memory memory;
    yyjson_alc allocator;
    yyjson_doc *doc;
} json_line;

void *mill_json_line_parse(const uint8_t *line, size_t bytes, bool *nomem)
{
    json_line *json = mill_alloc_zero(1, sizeof *json);
    *nomem = json == NULL;
    if (json == NULL)
        return NULL;
    json->allocator = (yyjson_alc){json_alloc, json_realloc, json_free, &json->memory};
    // Without the flag for reading in place yyjson copies first and leaves the text alone.
    json->doc = yyjson_read_opts((char *)(uintptr_t)line, bytes, YYJSON_READ_NOFLAG, &json->allocator, NULL);
    *nomem = json->memory.failed;
    if (json->doc != NULL)
        return json;
    mill_free(json);
    return NULL;
}

void mill_json_line_free(void *json)
{
    if (json == NULL)
        return;
    yyjson_doc_free(((json_line *)json)->doc);
    mill_free(json);
}

void *mill_json_line_root(void *json)
{
    return yyjson_doc_get_root(((json_line *)json)->doc);
}

// ---- docs -----------------------------------------------------------------------------------------------

static bool get_number(yyjson_val *root, const char *name, uint64_t most, uint64_t *out)
{
    yyjson_val *value = yyjson_obj_get(root, name);
    *out = yyjson_get_uint(value);
    return yyjson_is_uint(value) && *out <= most;
}

static bool get_u32(yyjson_val *root, const char *name, uint32_t *out)
{
    uint64_t value;
    bool good = get_number(root, name, UINT32_MAX, &value);
    *out = (uint32_t)value;
    return good;
}

static bool get_text(yyjson_val *root, const char *name, const char **text, size_t *bytes)
{
    yyjson_val *value = yyjson_obj_get(root, name);
    *text = yyjson_get_str(value);
    *bytes = yyjson_get_len(value);
    return yyjson_is_str(value);
}

static bool parse_doc(yyjson_val *root, mill_doc_line *line)
{
    size_t mode_bytes;
    yyjson_val *last = yyjson_obj_get(root, "last");
    line->last = yyjson_get_bool(last);
    line->doc_begin = MILL_NO_PLACE;
    if (yyjson_obj_get(root, "doc_begin") != NULL && !get_number(root, "doc_begin", MILL_NO_PLACE - 1, &line->doc_begin))
        return false;
    return yyjson_is_bool(last) && get_number(root, "sample", UINT64_MAX, &line->sample) &&
           get_u32(root, "begin", &line->begin) && get_u32(root, "tokens", &line->tokens) &&
           get_text(root, "file", &line->file, &line->file_bytes) &&
           get_number(root, "record", UINT64_MAX, &line->record) &&
           get_text(root, "repo", &line->repo, &line->repo_bytes) &&
           get_text(root, "path", &line->path, &line->path_bytes) &&
           get_text(root, "licence", &line->licence, &line->licence_bytes) &&
           get_text(root, "language", &line->language, &line->language_bytes) &&
           get_u32(root, "piece", &line->piece) &&
           get_number(root, "text_begin", UINT64_MAX, &line->text_begin) &&
           get_number(root, "text_end", UINT64_MAX, &line->text_end) &&
           get_text(root, "mode", &line->mode, &mode_bytes) &&
           get_number(root, "cut_begin", UINT64_MAX, &line->cut_begin) &&
           get_number(root, "cut_end", UINT64_MAX, &line->cut_end) &&
           get_u32(root, "row_begin", &line->row_begin);
}

mill_status mill_doc_reader_next(mill_doc_reader *r, mill_error *err)
{
    const uint8_t *line;
    size_t bytes;
    bool nomem;
    mill_json_line_free(r->json);
    r->json = NULL;
    r->has_line = false;
    MILL_TRY(mill_line_reader_next(&r->lines, &line, &bytes, err));
    if (line == NULL)
        return MILL_OK;
    r->json = mill_json_line_parse(line, bytes, &nomem);
    if (nomem)
        return mill_fail_nomem(err, "reading the docs sidecar");
    if (r->json == NULL || !parse_doc(mill_json_line_root(r->json), &r->line))
        return mill_line_reader_fail(&r->lines, err,
                                     "is no line of the docs sidecar as shardmill writes them");
    r->has_line = true;
    return MILL_OK;
}

mill_status mill_doc_reader_open(const mill_finished *finished, const char *path, mill_doc_reader *out,
                                 mill_error *err)
{
    *out = (mill_doc_reader){0};
    MILL_TRY(mill_line_reader_open(finished, path, &out->lines, err));
    return mill_doc_reader_next(out, err);
}

void mill_doc_reader_close(mill_doc_reader *reader)
{
    mill_line_reader_close(&reader->lines);
    mill_json_line_free(reader->json);
    reader->json = NULL;
}
