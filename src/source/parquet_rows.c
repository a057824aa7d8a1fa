// parquet_rows.c: one row of a Parquet file -> records.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/utf8.h"
#include "source/parquet_internal.h"

uint64_t mill_row_bytes(const mill_row_head *head)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < MILL_FIELDS_ALL; i++)
        sum += head->bytes[i] != MILL_NO_TEXT ? head->bytes[i] : 0;
    return sum;
}

// ---- rows whose fields have leaves of their own

static int64_t stars_of(const mill_parquet_value *value)
{
    switch (value->type) {
    case MILL_PARQUET_BYTES: return mill_stars_text(value->text, value->bytes);
    case MILL_PARQUET_REAL: return mill_stars_real(value->real);
    case MILL_PARQUET_INTEGER: return value->integer >= 0 ? value->integer : MILL_STARS_MISSING;
    case MILL_PARQUET_UNSIGNED: return value->integer >= 0 ? value->integer : INT64_MAX;
    case MILL_PARQUET_TRUTH:
    case MILL_PARQUET_NUMBERS:
    case MILL_PARQUET_NULL: break;
    }
    return MILL_STARS_MISSING;
}

// The first column of a field that is not null fills it.
static void take_values(const mill_parquet_input *p, const mill_parquet_value *values, mill_file_row *out)
{
    bool has_stars = false;
    for (uint32_t i = 0; i < p->leaf_count; i++) {
        uint8_t field = p->fields[i];
        if (values[i].type == MILL_PARQUET_NULL)
            continue;
        if (field == MILL_FIELD_STARS) {
            out->head.stars = has_stars ? out->head.stars : stars_of(&values[i]);
            has_stars = true;
        } else if (out->head.bytes[field] == MILL_NO_TEXT) {
            out->text[field] = values[i].text;
            out->head.bytes[field] = values[i].bytes;
        }
    }
    out->head.length = mill_row_bytes(&out->head);
}

// ---- rows as JSON

typedef struct json_row {
    mill_parquet_input *p;
    const char *column; // that is being written
    uint32_t depth;
    uint64_t length, most;
    bool is_full; // the row is longer than `most`: nothing is written any more
} json_row;

static int put(json_row *r, const char *text, size_t bytes)
{
    mill_buf *json = &r->p->json;
    r->is_full = r->is_full || json->bytes + bytes > r->most;
    return !r->is_full && mill_buf_append(json, text, bytes, NULL) != MILL_OK;
}

// A comma before all that is not the first in its list or struct and does not stand behind its key: which of
// these it is shows in the last byte, as no value ends with one of them.
static int separate(json_row *r)
{
    const mill_buf *json = &r->p->json;
    const uint8_t last = json->bytes != 0 ? json->data[json->bytes - 1] : '{';
    return last == '{' || last == '[' || last == ':' ? 0 : put(r, ",", 1);
}

// Bytes of the text as a JSON string: memory is spent on no more than the limit, and there are bytes that
// take six.
static uint64_t json_bytes(const uint8_t *text, size_t bytes)
{
    uint64_t sum = bytes + 2;
    for (size_t i = 0; i < bytes; i++) {
        const uint8_t c = text[i];
        const bool is_short = c == '"' || c == '\\' || (c >= '\b' && c <= '\r' && c != '\v');
        sum += is_short ? 1 : c < 0x20 || c == 0x7f ? 5 : 0;
    }
    return sum;
}

static int put_text(json_row *r, const char *text, size_t bytes)
{
    const uint8_t *data = (const uint8_t *)(text != NULL ? text : "");
    size_t bad = 0;
    if (r->p->problem[0] == '\0' && !mill_utf8_valid(data, bytes, &bad))
        snprintf(r->p->problem, sizeof r->p->problem, "%.80s: byte 0x%02x at byte %zu", r->column, data[bad],
                 bad);
    r->is_full = r->is_full || r->p->json.bytes + json_bytes(data, bytes) > r->most;
    return !r->is_full && mill_buf_append_json(&r->p->json, data, bytes, NULL) != MILL_OK;
}

// A number of the kind that it is in the file: 2.0 stays 2.0.
static int put_real(json_row *r, double value)
{
    char digits[40];
    if (isnan(value))
        return put(r, "NaN", 3);
    if (isinf(value))
        return value < 0 ? put(r, "-Infinity", 9) : put(r, "Infinity", 8);
    int bytes = snprintf(digits, sizeof digits, "%.17g", value);
    if (strpbrk(digits, ".e") == NULL)
        bytes = snprintf(digits, sizeof digits, "%.17g.0", value);
    return put(r, digits, (size_t)bytes);
}

static int put_integer(json_row *r, const mill_parquet_value *value)
{
    char digits[32];
    const int bytes = value->type == MILL_PARQUET_UNSIGNED
                          ? snprintf(digits, sizeof digits, "%" PRIu64, (uint64_t)value->integer)
                          : snprintf(digits, sizeof digits, "%" PRId64, value->integer);
    return put(r, digits, (size_t)bytes);
}

static int open_value(void *self, int is_list)
{
    json_row *r = self;
    r->depth++;
    return separate(r) != 0 || put(r, is_list ? "[" : "{", 1) != 0;
}

static int close_value(void *self, int is_list)
{
    json_row *r = self;
    r->depth--;
    return put(r, is_list ? "]" : "}", 1);
}

static int write_key(void *self, const char *name)
{
    json_row *r = self;
    if (r->depth == 1)
        r->column = name;
    return separate(r) != 0 || put_text(r, name, strlen(name)) != 0 || put(r, ":", 1) != 0;
}

static int write_value(void *self, const mill_parquet_value *value)
{
    json_row *r = self;
    if (separate(r) != 0)
        return 1;
    switch (value->type) {
    case MILL_PARQUET_BYTES: r->length += value->bytes; return put_text(r, value->text, value->bytes);
    case MILL_PARQUET_INTEGER:
    case MILL_PARQUET_UNSIGNED: return put_integer(r, value);
    case MILL_PARQUET_REAL: return put_real(r, value->real);
    case MILL_PARQUET_TRUTH: return value->integer != 0 ? put(r, "true", 4) : put(r, "false", 5);
    case MILL_PARQUET_NUMBERS:
    case MILL_PARQUET_NULL: break;
    }
    return put(r, "null", 4);
}

static mill_parquet_result next_tree(mill_parquet_input *p, mill_parquet_cursor *cursor, uint64_t most,
                                     mill_file_row *out, char *why)
{
    json_row r = {.p = p, .column = "", .most = most};
    const mill_parquet_visitor visitor = {&r, open_value, close_value, write_key, write_value};
    mill_buf_clear(&p->json);
    p->problem[0] = '\0';
    mill_parquet_result result = p->api->visit(cursor, &visitor, why);
    out->head.is_tree = 1;
    out->head.length = r.length;
    out->text[MILL_ROW_JSON] = (const char *)p->json.data;
    out->head.bytes[MILL_ROW_JSON] = r.is_full ? most + 1 : p->json.bytes;
    if (p->problem[0] != '\0') {
        out->text[MILL_ROW_PROBLEM] = p->problem;
        out->head.bytes[MILL_ROW_PROBLEM] = strlen(p->problem);
    }
    return result;
}

mill_parquet_result mill_parquet_next(mill_parquet_input *p, mill_parquet_cursor *cursor, uint64_t record,
                                      uint64_t most, mill_file_row *out, char *why)
{
    mill_parquet_value values[MILL_COLUMNS_MAX];
    *out = (mill_file_row){.head = {.record = record, .stars = MILL_STARS_MISSING}};
    for (size_t i = 0; i < MILL_FIELDS_ALL; i++)
        out->head.bytes[i] = MILL_NO_TEXT;
    if (p->is_tree)
        return next_tree(p, cursor, most, out, why);
    mill_parquet_result result = p->api->row(cursor, values, why);
    if (result == MILL_PARQUET_OK)
        take_values(p, values, out);
    return result;
}

// ---- records

static mill_status add_problem(mill_row_sink *sink, const mill_quarantined *at, mill_quarantine_reason reason,
                               const char *what)
{
    mill_quarantined row = *at;
    row.reason = reason;
    sink->counts->read++;
    sink->counts->quarantined++;
    return mill_quarantine_add(sink->quarantine, &row, NULL, sink->err, "%s", what);
}

// True if all texts are UTF-8; else what names the first bad byte.
static bool texts_valid(const mill_file_row *row, char *what, size_t room)
{
    for (size_t i = 0; i < MILL_FIELDS_ALL; i++) {
        size_t bad = 0;
        if (row->head.bytes[i] == MILL_NO_TEXT ||
            mill_utf8_valid((const uint8_t *)row->text[i], row->head.bytes[i], &bad))
            continue;
        snprintf(what, room, "%s: byte 0x%02x at byte %zu",
                 i < MILL_FIELD_COUNT ? mill_field_names[i] : "extension", (uint8_t)row->text[i][bad], bad);
        return false;
    }
    return true;
}

static uint32_t field_text(const mill_file_row *row, mill_field field, const char **text)
{
    bool there = row->head.bytes[field] != MILL_NO_TEXT && row->head.bytes[field] != 0;
    *text = there ? row->text[field] : "";
    return there ? (uint32_t)row->head.bytes[field] : 0; // records are shorter than 4 GiB
}

static mill_status take_tree(mill_row_sink *sink, const mill_quarantined *at, const mill_file_row *row)
{
    char what[160];
    if (row->head.bytes[MILL_ROW_PROBLEM] == MILL_NO_TEXT)
        return mill_json_take(sink->parser, at, (const uint8_t *)row->text[MILL_ROW_JSON],
                              row->head.bytes[MILL_ROW_JSON], sink->batch, sink->quarantine, sink->counts,
                              sink->err);
    snprintf(what, sizeof what, "%.*s", (int)row->head.bytes[MILL_ROW_PROBLEM], row->text[MILL_ROW_PROBLEM]);
    return add_problem(sink, at, MILL_QUARANTINE_BAD_UTF8, what);
}

static mill_status take_file(mill_row_sink *sink, const mill_quarantined *at, const mill_file_row *row)
{
    const mill_source *source = sink->parser->source;
    const mill_row_head *head = &row->head;
    char what[96];
    if (head->bytes[MILL_FIELD_CONTENT] == MILL_NO_TEXT)
        return add_problem(sink, at, MILL_QUARANTINE_NO_CONTENT, "content is null");
    if (!texts_valid(row, what, sizeof what))
        return add_problem(sink, at, MILL_QUARANTINE_BAD_UTF8, what);
    const bool empty = head->bytes[MILL_FIELD_CONTENT] == 0;
    mill_record record = {.text = (const uint8_t *)(empty ? "" : row->text[MILL_FIELD_CONTENT]),
                          .text_bytes = head->bytes[MILL_FIELD_CONTENT],
                          .stars = head->stars,
                          .input = sink->piece->input,
                          .record = head->record};
    const char *language, *extension;
    uint32_t language_bytes = field_text(row, MILL_FIELD_LANGUAGE, &language);
    uint32_t extension_bytes = field_text(row, (mill_field)MILL_FIELD_EXT, &extension);
    record.repo_bytes = field_text(row, MILL_FIELD_REPO, &record.repo);
    record.path_bytes = field_text(row, MILL_FIELD_PATH, &record.path);
    record.licence_bytes = field_text(row, MILL_FIELD_LICENCE, &record.licence);
    if (source->options.strip_metadata_head)
        mill_record_strip_head(&record, sink->counts);
    record.language =
        mill_record_language(source, &record, language, language_bytes, extension, extension_bytes);
    record.type = mill_record_type(source, record.language);
    mill_shape_problem problem = {.detail = ""};
    MILL_TRY(mill_shape_record(sink->parser, false, &record, sink->counts, &problem, sink->err));
    if (problem.removed) {
        sink->counts->read++;
        return MILL_OK;
    }
    if (problem.detail[0] != '\0')
        return add_problem(sink, at, problem.reason, problem.detail);
    sink->counts->missing_stars += record.stars == MILL_STARS_MISSING;
    sink->counts->read++;
    return mill_batch_append(sink->batch, &record, sink->err);
}

mill_status mill_parquet_take(mill_row_sink *sink, const mill_file_row *row)
{
    const uint64_t most = sink->parser->source->options.record_bytes_max;
    const mill_quarantined at = {
        .input = sink->piece->input, .record = row->head.record, .length = row->head.length};
    char what[96];
    if (mill_row_bytes(&row->head) <= most)
        return row->head.is_tree != 0 ? take_tree(sink, &at, row) : take_file(sink, &at, row);
    snprintf(what, sizeof what, "longer than %llu bytes", (unsigned long long)most);
    return add_problem(sink, &at, MILL_QUARANTINE_TOO_LONG, what);
}
