// source_jsonl.c: one JSON object a line -> one record. Reads what Python's json reads, and tells why where
// it cannot.
//
// The fast path is one yyjson parse. Only a line that it refuses is looked at again: for bytes that are no
// UTF-8, for nesting, for lone surrogate escapes (valid for Python, not for yyjson), and only then it is bad
// JSON.
#include <string.h>

#include "core/utf8.h"
#include "source/notebook.h"
#include "source/source_internal.h"

enum { DEPTH_MAX = 512, POOL_BYTES_MIN = 1 << 20 };

typedef struct line_sink { // where the records of one piece go
    mill_parser *parser;
    mill_batch *batch;
    mill_quarantine *quarantine;
    mill_parse_counts *counts; // of this input
    mill_quarantined row;      // input, record, offset, length of the line at hand
    mill_error *err;
} line_sink;

#define QUARANTINE(sink, why, ...) \
    ((sink)->counts->read++, (sink)->counts->quarantined++, (sink)->row.reason = (why), \
     mill_quarantine_add((sink)->quarantine, &(sink)->row, NULL, (sink)->err, __VA_ARGS__))

// yyjson asks for a copy of the text and one value of 16 bytes for each 6 bytes of it, whatever it then
// needs.
static size_t pool_bytes_for(uint64_t line_bytes)
{
    return (size_t)(line_bytes + (line_bytes / 6 + 64) * 16 + 4096);
}

static mill_status ensure_pool(mill_json_pool *pool, size_t bytes, mill_error *err)
{
    if (bytes <= pool->capacity)
        return MILL_OK;
    if (bytes < POOL_BYTES_MIN)
        bytes = POOL_BYTES_MIN;
    mill_free(pool->bytes);
    pool->capacity = 0;
    pool->bytes = mill_alloc(bytes);
    if (pool->bytes == NULL)
        return mill_fail_nomem(err, "parsing a record");
    pool->capacity = bytes;
    return MILL_OK;
}

mill_status mill_json_pool_parse(mill_json_pool *pool, const uint8_t *text, size_t bytes,
                                 uint64_t record_bytes_max, yyjson_doc **doc, yyjson_read_err *why,
                                 mill_error *err)
{
    const yyjson_read_flag flags = YYJSON_READ_ALLOW_INF_AND_NAN | YYJSON_READ_BIGNUM_AS_RAW;
    char *in = (char *)(uintptr_t)text; // only read: YYJSON_READ_INSITU is not set
    size_t need = pool_bytes_for(bytes);
    for (int round = 0;; round++) {
        MILL_TRY(ensure_pool(pool, need, err));
        yyjson_alc alc;
        yyjson_alc_pool_init(&alc, pool->bytes, pool->capacity);
        *doc = yyjson_read_opts(in, bytes, flags, &alc, why);
        if (*doc != NULL || why->code != YYJSON_READ_ERROR_MEMORY_ALLOCATION || round == 1)
            return MILL_OK;
        // Many small values: once more with all that yyjson could ask for, up to what the longest record may
        // take.
        size_t most = pool_bytes_for(record_bytes_max);
        need = yyjson_read_max_memory_usage(bytes, flags);
        need = need > most ? most : need;
        if (need <= pool->capacity)
            return MILL_OK;
    }
}

static mill_status parse_json(mill_parser *parser, const uint8_t *text, size_t bytes, yyjson_doc **doc,
                              yyjson_read_err *why, mill_error *err)
{
    return mill_json_pool_parse(&parser->pool, text, bytes, parser->source->options.record_bytes_max, doc, why, err);
}

// True if arrays and objects are nested deeper than DEPTH_MAX. Any bytes may come; brackets in strings do not
// count.
bool mill_json_is_too_deep(const uint8_t *text, size_t bytes)
{
    int64_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > DEPTH_MAX)
                return true;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return false;
}

// The value of \uHHHH at text, or -1.
static int32_t escape_value(const uint8_t *text, size_t bytes)
{
    if (bytes < 6 || text[0] != '\\' || text[1] != 'u')
        return -1;
    int32_t value = 0;
    for (size_t i = 2; i < 6; i++) {
        uint8_t c = text[i], low = (uint8_t)(c | 0x20);
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if (low >= 'a' && low <= 'f')
            value = value * 16 + (low - 'a' + 10);
        else
            return -1;
    }
    return value;
}

uint64_t mill_json_replace_surrogates(uint8_t *text, size_t bytes)
{
    uint64_t replaced = 0;
    for (size_t i = 0; i < bytes;) {
        const uint8_t *found = memchr(text + i, '\\', bytes - i);
        if (found == NULL)
            break;
        i = (size_t)(found - text);
        int32_t value = escape_value(text + i, bytes - i);
        if (value < 0xd800 || value > 0xdfff) {
            i += value < 0 ? 2 : 6; // \\ and \" are skipped whole
            continue;
        }
        int32_t next = value < 0xdc00 ? escape_value(text + i + 6, bytes - i - 6) : -1;
        if (next >= 0xdc00 && next <= 0xdfff) {
            i += 12;
            continue;
        }
        memcpy(text + i + 2, "fffd", 4);
        replaced++;
        i += 6;
    }
    return replaced;
}

mill_status mill_json_text_parse(mill_json_pool *pool, mill_buf *replaced, const uint8_t *text, size_t bytes,
                                 uint64_t record_bytes_max, mill_parse_counts *counts, yyjson_doc **doc,
                                 yyjson_read_err *why, mill_error *err)
{
    MILL_TRY(mill_json_pool_parse(pool, text, bytes, record_bytes_max, doc, why, err));
    if (*doc != NULL || memmem(text, bytes, "\\u", 2) == NULL)
        return MILL_OK;
    mill_buf_clear(replaced);
    MILL_TRY(mill_buf_append(replaced, text, bytes, err));
    const uint64_t count = mill_json_replace_surrogates(replaced->data, bytes);
    if (count != 0)
        MILL_TRY(mill_json_pool_parse(pool, replaced->data, bytes, record_bytes_max, doc, why, err));
    counts->replaced_surrogates += *doc != NULL ? count : 0;
    return MILL_OK;
}

// A line that yyjson refused. *doc is set if it can be read after all.
static mill_status parse_again(line_sink *sink, const uint8_t *text, size_t bytes, yyjson_read_err why,
                               yyjson_doc **doc)
{
    mill_parser *parser = sink->parser;
    size_t bad = 0;
    if (!mill_utf8_valid(text, bytes, &bad))
        return QUARANTINE(sink, MILL_QUARANTINE_BAD_UTF8, "byte 0x%02x at byte %zu of the line", text[bad],
                          bad);
    if (mill_json_is_too_deep(text, bytes))
        return QUARANTINE(sink, MILL_QUARANTINE_TOO_DEEP, "nested deeper than %d", DEPTH_MAX);
    uint64_t replaced = 0;
    if (memmem(text, bytes, "\\u", 2) != NULL) {
        mill_buf_clear(&parser->line);
        MILL_TRY(mill_buf_append(&parser->line, text, bytes, sink->err));
        replaced = mill_json_replace_surrogates(parser->line.data, bytes);
        if (replaced != 0)
            MILL_TRY(parse_json(parser, parser->line.data, bytes, doc, &why, sink->err));
    }
    if (*doc == NULL)
        return QUARANTINE(sink, MILL_QUARANTINE_BAD_JSON, "%s at byte %zu of the line", why.msg, why.pos);
    const mill_source *source = parser->source;
    if (source->options.bad_unicode == MILL_UNICODE_ERROR)
        return mill_fail(sink->err, MILL_INPUT,
                         "%s: record %llu holds a lone surrogate escape; repair it, or have such escapes "
                         "replaced or dropped",
                         source->entries[sink->row.input].name, (unsigned long long)sink->row.record);
    if (source->options.bad_unicode == MILL_UNICODE_DROP) {
        *doc = NULL;
        return QUARANTINE(sink, MILL_QUARANTINE_LONE_SURROGATE, "%llu lone surrogate escapes",
                          (unsigned long long)replaced);
    }
    sink->counts->replaced_surrogates += replaced;
    return MILL_OK;
}

// A string field into text and bytes; absent is "". False if it is something else.
static bool string_field(yyjson_val *value, const char **text, uint32_t *bytes)
{
    *text = "";
    *bytes = 0;
    if (value == NULL)
        return true;
    if (!yyjson_is_str(value) || yyjson_get_len(value) > UINT32_MAX)
        return false;
    *text = yyjson_get_str(value);
    *bytes = (uint32_t)yyjson_get_len(value);
    return true;
}

mill_language_id mill_record_language(const mill_source *source, const mill_record *record, const char *name, uint32_t bytes,
                                      const char *extension, size_t extension_bytes)
{
    if (bytes != 0 && source->options.type_given && source->options.type == MILL_TYPE_CONTEST)
        return mill_judge_language(source->languages, name, bytes);
    if (bytes != 0)
        return mill_language_intern(source->languages, name, bytes);
    if (record->path_bytes != 0)
        return mill_language_from_path(source->languages, record->path, record->path_bytes);
    char path[32] = "x.";
    if (extension_bytes == 0 || extension_bytes > sizeof path - 2)
        return MILL_LANGUAGE_OTHER;
    memcpy(path + 2, extension, extension_bytes);
    return mill_language_from_path(source->languages, path, extension_bytes + 2);
}

// StarCoderData puts name, path and stars before some files; they are no part of the program.
void mill_record_strip_head(mill_record *record, mill_parse_counts *counts)
{
    mill_metadata_head head = mill_metadata_head_find(record->text, record->text_bytes);
    if (head.bytes == 0)
        return;
    record->text += head.bytes;
    record->text_bytes -= head.bytes;
    counts->stripped_heads++;
    if (record->repo_bytes == 0 && head.repo_bytes <= UINT32_MAX) {
        record->repo = head.repo != NULL ? head.repo : "";
        record->repo_bytes = (uint32_t)head.repo_bytes;
    }
    if (record->path_bytes == 0 && head.path_bytes <= UINT32_MAX) {
        record->path = head.path != NULL ? head.path : "";
        record->path_bytes = (uint32_t)head.path_bytes;
    }
}

static mill_status read_licence(line_sink *sink, yyjson_val *value, mill_record *record, bool *good)
{
    mill_buf *licence = &sink->parser->licence;
    *good = true;
    record->licence = "";
    if (value == NULL)
        return MILL_OK;
    MILL_TRY(mill_licence_value(value, licence, good, sink->err));
    *good = *good && licence->bytes <= UINT32_MAX;
    if (*good && licence->bytes != 0) {
        record->licence = (const char *)licence->data;
        record->licence_bytes = (uint32_t)licence->bytes;
    }
    return MILL_OK;
}

static mill_status append_object(line_sink *sink, yyjson_val *root)
{
    const mill_source *source = sink->parser->source;
    yyjson_val *fields[MILL_FIELDS_ALL];
    mill_columns_pick(&source->columns, root, fields);
    yyjson_val *content = fields[MILL_FIELD_CONTENT];
    bool whole = source->options.shape.notebooks == MILL_NOTEBOOKS_SCRIPT;
    bool parsed = whole && mill_notebook_is_parsed(root);
    // A line may be a notebook itself, hold one as an object, or one in parsed form.
    yyjson_val *notebook = parsed                                               ? root
                           : !whole                                             ? NULL
                           : yyjson_is_obj(content) && mill_notebook_is(content) ? content
                           : content == NULL && mill_notebook_is(root)           ? root
                                                                                 : NULL;
    bool chat = content == NULL && notebook == NULL && mill_chat_is(fields);
    bool task = content == NULL && notebook == NULL && !chat && mill_contest_is(root);
    if (content == NULL && notebook == NULL && !chat && !task)
        return QUARANTINE(sink, MILL_QUARANTINE_NO_CONTENT, "no column that holds content");
    if (notebook == NULL && !chat && !task && !yyjson_is_str(content))
        return QUARANTINE(sink, MILL_QUARANTINE_CONTENT_TYPE, "content is of type %s",
                          yyjson_get_type_desc(content));
    mill_record record = {.text = (const uint8_t *)yyjson_get_str(content), // NULL and 0 if content is no string
                          .text_bytes = yyjson_get_len(content),
                          .input = sink->row.input,
                          .record = sink->row.record};
    const char *language;
    uint32_t language_bytes;
    bool licence_good = true;
    mill_field wrong = MILL_FIELD_COUNT;
    if (!string_field(fields[MILL_FIELD_LANGUAGE], &language, &language_bytes))
        wrong = MILL_FIELD_LANGUAGE;
    if (!string_field(fields[MILL_FIELD_REPO], &record.repo, &record.repo_bytes))
        wrong = MILL_FIELD_REPO;
    if (!string_field(fields[MILL_FIELD_PATH], &record.path, &record.path_bytes))
        wrong = MILL_FIELD_PATH;
    MILL_TRY(read_licence(sink, fields[MILL_FIELD_LICENCE], &record, &licence_good));
    if (!licence_good)
        wrong = MILL_FIELD_LICENCE;
    if (wrong != MILL_FIELD_COUNT)
        return QUARANTINE(sink, MILL_QUARANTINE_FIELD_TYPE, "%s is of type %s", mill_field_names[wrong],
                          yyjson_get_type_desc(fields[wrong]));
    mill_shape_problem problem = {.detail = ""};
    if (task) { // the sets whose solutions tell no language are Python's
        const bool told = language_bytes != 0;
        record.language =
            mill_judge_language(source->languages, told ? language : "python", told ? language_bytes : 6);
        MILL_TRY(mill_contest_append(sink->parser, root, &record, sink->batch, sink->quarantine, sink->counts,
                                     &problem, sink->err));
        return problem.detail[0] == '\0' ? MILL_OK : QUARANTINE(sink, problem.reason, "%s", problem.detail);
    }
    record.stars =
        fields[MILL_FIELD_STARS] != NULL ? mill_stars_value(fields[MILL_FIELD_STARS]) : MILL_STARS_MISSING;
    if (source->options.strip_metadata_head && notebook == NULL && !chat)
        mill_record_strip_head(&record, sink->counts);
    yyjson_val *extension = fields[MILL_FIELD_EXT];
    bool has_extension = extension != NULL && yyjson_is_str(extension);
    const char *extension_text = has_extension ? yyjson_get_str(extension) : "";
    record.language = mill_record_language(source, &record, language, language_bytes, extension_text, strlen(extension_text));
    record.type = mill_record_type(source, record.language);
    if (yyjson_is_true(yyjson_obj_get(root, "prose"))) // how records tell that a stage has written
        record.flags |= MILL_FLAG_PROSE;
    if (chat) {
        MILL_TRY(mill_chat_read(sink->parser, fields, &problem, sink->err));
        MILL_TRY(mill_chat_record(sink->parser, &record, sink->counts, &problem, sink->err));
    }
    if (notebook != NULL)
        MILL_TRY(mill_shape_notebook(sink->parser, notebook, parsed, &record, sink->counts, &problem, sink->err));
    if (problem.detail[0] == '\0' && !chat)
        MILL_TRY(mill_shape_record(sink->parser, false, &record, sink->counts, &problem, sink->err));
    if (problem.removed) {
        sink->counts->read++;
        return MILL_OK;
    }
    if (problem.detail[0] != '\0')
        return QUARANTINE(sink, problem.reason, "%s", problem.detail);
    sink->counts->missing_stars += record.stars == MILL_STARS_MISSING;
    sink->counts->read++;
    return mill_batch_append(sink->batch, &record, sink->err);
}

static mill_status parse_line(line_sink *sink, const uint8_t *text, size_t bytes)
{
    uint64_t most = sink->parser->source->options.record_bytes_max;
    if (bytes > most)
        return QUARANTINE(sink, MILL_QUARANTINE_TOO_LONG, "longer than %llu bytes", (unsigned long long)most);
    if (bytes == 0 || (text[0] <= ' ' && mill_line_is_blank(text, bytes)))
        return MILL_OK;
    yyjson_doc *doc = NULL;
    yyjson_read_err why;
    MILL_TRY(parse_json(sink->parser, text, bytes, &doc, &why, sink->err));
    if (doc == NULL) {
        MILL_TRY(parse_again(sink, text, bytes, why, &doc));
        if (doc == NULL)
            return MILL_OK; // quarantined
    }
    // A document of few values cannot be deep, so that the text is seldom looked through for this.
    if (yyjson_doc_get_val_count(doc) > DEPTH_MAX && mill_json_is_too_deep(text, bytes))
        return QUARANTINE(sink, MILL_QUARANTINE_TOO_DEEP, "nested deeper than %d", DEPTH_MAX);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(root))
        return QUARANTINE(sink, MILL_QUARANTINE_NOT_OBJECT, "the line is of type %s",
                          yyjson_get_type_desc(root));
    return append_object(sink, root);
}

mill_status mill_json_take(mill_parser *parser, const mill_quarantined *at, const uint8_t *text, size_t bytes,
                           mill_batch *batch, mill_quarantine *quarantine, mill_parse_counts *counts,
                           mill_error *err)
{
    line_sink sink = {
        .parser = parser, .batch = batch, .quarantine = quarantine, .counts = counts, .row = *at, .err = err};
    return parse_line(&sink, text, bytes);
}

mill_status mill_lines_parse(mill_parser *parser, const mill_block *block, const mill_block_piece *piece,
                             mill_batch *batch, mill_quarantine *quarantine, mill_parse_counts *counts,
                             mill_error *err)
{
    line_sink sink = {
        .parser = parser, .batch = batch, .quarantine = quarantine, .counts = counts, .err = err};
    if (piece->bytes == 0) { // how the reader tells of a byte order mark
        counts->stripped_bom++;
        return MILL_OK;
    }
    const uint8_t *text = block->bytes.data + piece->begin;
    uint64_t number = piece->first_record;
    for (size_t at = 0; at < piece->bytes; number++) {
        const uint8_t *newline = memchr(text + at, '\n', piece->bytes - at);
        size_t bytes = newline != NULL ? (size_t)(newline - text) - at : piece->bytes - at;
        sink.row = (mill_quarantined){
            .input = piece->input, .record = number, .offset = piece->offset + at, .length = bytes};
        MILL_TRY(parse_line(&sink, text + at, bytes));
        at += bytes + (newline != NULL);
    }
    return MILL_OK;
}
