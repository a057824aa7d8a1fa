// source_shape.c: what becomes of a text before it is a record, by the recipe: notebooks -> scripts, HTML
// pages -> Markdown, front matter, newlines, BOM, NUL. Every change is counted.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "source/notebook.h"
#include "source/source_internal.h"

__attribute__((format(printf, 3, 4))) static void
refuse(mill_shape_problem *problem, mill_quarantine_reason reason, const char *format, ...)
{
    va_list args;
    problem->reason = reason;
    va_start(args, format);
    vsnprintf(problem->detail, sizeof problem->detail, format, args);
    va_end(args);
}

static bool ends_with(const mill_record *record, const char *suffix)
{
    size_t bytes = strlen(suffix);
    return record->path_bytes >= bytes &&
           memcmp(record->path + record->path_bytes - bytes, suffix, bytes) == 0;
}

static bool has_bom(const mill_record *record)
{
    return record->text_bytes >= 3 && memcmp(record->text, "\xef\xbb\xbf", 3) == 0;
}

// ---- notebooks

static bool is_notebook(const mill_parser *parser, bool from_file, const mill_record *record)
{
    const mill_source *source = parser->source;
    mill_notebooks wanted = source->options.shape.notebooks;
    if (wanted == MILL_NOTEBOOKS_KEEP || (wanted == MILL_NOTEBOOKS_FILES && !from_file))
        return false;
    bool named =
        strcmp(mill_language_get(source->languages, record->language)->name, "jupyter-notebook") == 0 ||
        ends_with(record, ".ipynb") || mill_source_format_is(source, "notebook");
    size_t at = has_bom(record) ? 3 : 0;
    while (at < record->text_bytes && strchr(" \t\r\n", record->text[at]) != NULL && record->text[at] != '\0')
        at++;
    // A file of that name is one; a data set may hold scripts that were notebooks.
    return named && at < record->text_bytes && (from_file || record->text[at] == '{');
}

mill_status mill_shape_notebook(mill_parser *parser, yyjson_val *root, bool parsed, mill_record *record,
                                mill_parse_counts *counts, mill_shape_problem *problem, mill_error *err)
{
    const mill_source *source = parser->source;
    const char *why = NULL;
    mill_language_id language = MILL_LANGUAGE_OTHER;
    mill_buf_clear(&parser->shaped);
    if (parsed)
        MILL_TRY(mill_notebook_convert_parsed(root, &source->options.shape, source->languages,
                                              &parser->shaped, &language, err));
    else
        MILL_TRY(mill_notebook_convert(root, &source->options.shape, source->languages, &parser->shaped,
                                       &language, &why, err));
    if (why != NULL) {
        refuse(problem, MILL_QUARANTINE_BAD_NOTEBOOK, "%s", why);
        return MILL_OK;
    }
    record->text = parser->shaped.data != NULL ? parser->shaped.data : (const uint8_t *)"";
    record->text_bytes = parser->shaped.bytes;
    record->language = language;
    if (!source->options.type_given)
        record->type = MILL_TYPE_NOTEBOOK;
    counts->notebooks++;
    return MILL_OK;
}

static mill_status shape_notebook(mill_parser *parser, mill_record *record, mill_parse_counts *counts,
                                  mill_shape_problem *problem, mill_error *err)
{
    const mill_source_options *options = &parser->source->options;
    size_t skip = has_bom(record) ? 3 : 0, bytes = record->text_bytes - skip;
    const uint8_t *text = record->text + skip;
    yyjson_doc *doc = NULL;
    yyjson_read_err why;
    MILL_TRY(mill_json_text_parse(&parser->inner, &parser->inner_text, text, bytes, options->record_bytes_max,
                                  counts, &doc, &why, err));
    if (doc == NULL) {
        refuse(problem, MILL_QUARANTINE_BAD_JSON, "notebook: %s at byte %zu", why.msg, why.pos);
        return MILL_OK;
    }
    return mill_shape_notebook(parser, yyjson_doc_get_root(doc), false, record, counts, problem, err);
}

// ---- pages

static bool is_page(const mill_parser *parser, const mill_record *record)
{
    const mill_source *source = parser->source;
    mill_html_pages wanted = source->options.shape.pages;
    if (wanted == MILL_PAGES_KEEP || (wanted == MILL_PAGES_DOCS && record->type != MILL_TYPE_DOCS))
        return false;
    return strcmp(mill_language_get(source->languages, record->language)->name, "html") == 0;
}

static mill_status shape_page(mill_parser *parser, mill_record *record, mill_parse_counts *counts,
                              mill_shape_problem *problem, mill_error *err)
{
    const char *why;
    if (parser->html == NULL)
        MILL_TRY(mill_html_open(parser->source->languages, &parser->html, err));
    MILL_TRY(mill_html_read(parser->html, record->text, record->text_bytes, MILL_HTML_PAGE, &parser->page,
                            &why, err));
    if (why != NULL) {
        refuse(problem, MILL_QUARANTINE_BAD_HTML, "%s", why);
        return MILL_OK;
    }
    record->text = parser->page.text.data != NULL ? parser->page.text.data : (const uint8_t *)"";
    record->text_bytes = parser->page.text.bytes;
    int markdown = mill_language_find(parser->source->languages, "markdown");
    record->language = markdown < 0 ? MILL_LANGUAGE_OTHER : (mill_language_id)markdown;
    counts->pages++;
    return MILL_OK;
}

// ---- normal forms

// The text as bytes that may be changed: in parser->shaped, where converted texts lie already.
static mill_status own_text(mill_parser *parser, mill_record *record, uint8_t **text, mill_error *err)
{
    if (record->text != parser->shaped.data) {
        mill_buf_clear(&parser->shaped);
        MILL_TRY(mill_buf_append(&parser->shaped, record->text, record->text_bytes, err));
        record->text = parser->shaped.data;
    }
    *text = parser->shaped.data;
    return MILL_OK;
}

static mill_status unify_newlines(mill_parser *parser, mill_record *record, mill_parse_counts *counts,
                                  mill_error *err)
{
    uint8_t *text;
    if (record->text_bytes == 0 || memchr(record->text, '\r', record->text_bytes) == NULL)
        return MILL_OK;
    MILL_TRY(own_text(parser, record, &text, err));
    uint64_t to = 0;
    for (uint64_t i = 0; i < record->text_bytes; i++) {
        if (text[i] == '\r' && i + 1 < record->text_bytes && text[i + 1] == '\n')
            continue;
        text[to++] = text[i] == '\r' ? '\n' : text[i];
    }
    record->text_bytes = to;
    counts->newlines++;
    return MILL_OK;
}

static mill_status treat_nul(mill_parser *parser, mill_record *record, mill_parse_counts *counts,
                             mill_shape_problem *problem, mill_error *err)
{
    uint8_t *text;
    mill_nul wanted = parser->source->options.shape.nul;
    if (wanted == MILL_NUL_KEEP || record->text_bytes == 0 ||
        memchr(record->text, '\0', record->text_bytes) == NULL)
        return MILL_OK;
    if (wanted == MILL_NUL_QUARANTINE) {
        refuse(problem, MILL_QUARANTINE_BINARY, "U+0000 in the text");
        return MILL_OK;
    }
    MILL_TRY(own_text(parser, record, &text, err));
    uint64_t to = 0;
    for (uint64_t i = 0; i < record->text_bytes; i++)
        if (text[i] != '\0')
            text[to++] = text[i];
    record->text_bytes = to;
    counts->nul++;
    return MILL_OK;
}

void mill_shape_turn(const mill_parser *parser, const uint8_t **text, uint64_t *bytes, mill_shape_changes *changes,
                     mill_shape_problem *problem)
{
    const mill_shape_options *shape = &parser->source->options.shape;
    if (*bytes == 0)
        return;
    if (shape->strip_bom && *bytes >= 3 && memcmp(*text, "\xef\xbb\xbf", 3) == 0) {
        *text += 3;
        *bytes -= 3;
        changes->bom = true;
    }
    const bool lines = shape->newlines && memchr(*text, '\r', *bytes) != NULL;
    const bool nul = shape->nul != MILL_NUL_KEEP && memchr(*text, '\0', *bytes) != NULL;
    if (nul && shape->nul == MILL_NUL_QUARANTINE)
        refuse(problem, MILL_QUARANTINE_BINARY, "U+0000 in a turn");
    if ((!lines && !nul) || problem->detail[0] != '\0')
        return;
    changes->newlines |= lines;
    changes->nul |= nul;
    uint8_t *own = (uint8_t *)(uintptr_t)*text; // the parser's memory
    uint64_t to = 0;
    for (uint64_t i = 0; i < *bytes; i++) {
        if ((lines && own[i] == '\r' && i + 1 < *bytes && own[i + 1] == '\n') || (nul && own[i] == '\0'))
            continue;
        own[to++] = lines && own[i] == '\r' ? '\n' : own[i];
    }
    *bytes = to;
}

mill_status mill_shape_record(mill_parser *parser, bool from_file, mill_record *record,
                              mill_parse_counts *counts, mill_shape_problem *problem, mill_error *err)
{
    const mill_shape_options *shape = &parser->source->options.shape;
    const mill_removal *removal = parser->source->options.removal;
    problem->detail[0] = '\0';
    problem->removed = false;
    if (removal != NULL)
        MILL_TRY(mill_removal_hit(removal, record->repo, record->repo_bytes, record->path, record->path_bytes, record->text,
                                  record->text_bytes, &parser->blob, &problem->removed, err));
    if (problem->removed) {
        counts->rejected[MILL_REASON_REMOVED]++;
        return MILL_OK;
    }
    if (is_notebook(parser, from_file, record))
        MILL_TRY(shape_notebook(parser, record, counts, problem, err));
    else if (is_page(parser, record))
        MILL_TRY(shape_page(parser, record, counts, problem, err));
    if (problem->detail[0] != '\0')
        return MILL_OK;
    if (shape->strip_bom && has_bom(record)) {
        record->text += 3;
        record->text_bytes -= 3;
        counts->text_bom++;
    }
    if (shape->newlines)
        MILL_TRY(unify_newlines(parser, record, counts, err));
    return treat_nul(parser, record, counts, problem, err);
}
