// notebook.c: the JSON of a notebook -> a script. nbformat 4 has cells; 2 and 3 have worksheets of cells,
// with "input" for code. A text is a string or a list of strings, in every version.
#include "source/notebook.h"

#include <string.h>

#include "core/utf8.h"

typedef struct script { // what is being written
    const mill_shape_options *options;
    const mill_language *traits;
    bool is_python, bare_lines;
    const char *prefix;
    mill_buf *out, cell;
    size_t begin; // of the script in out
    mill_error *err;
} script;

const char *mill_comment_prefix(const mill_language *language)
{
    static const struct {
        uint16_t style;
        const char *prefix;
    } styles[] = {{MILL_COMMENT_HASH, "#"},       {MILL_COMMENT_SLASHES, "//"}, {MILL_COMMENT_DASHES, "--"},
                  {MILL_COMMENT_SEMICOLON, ";;"}, {MILL_COMMENT_PERCENT, "%"},  {MILL_COMMENT_BANG, "!"},
                  {MILL_COMMENT_QUOTE, "\""}};
    // Languages that know several (PHP, "other") read the first.
    for (size_t i = 0; i < sizeof styles / sizeof styles[0]; i++)
        if ((language->comments & styles[i].style) != 0)
            return styles[i].prefix;
    return "#";
}

mill_status mill_append_comment(const char *text, size_t bytes, const char *prefix, mill_buf *out,
                                mill_error *err)
{
    for (size_t at = 0; at < bytes;) {
        const char *newline = memchr(text + at, '\n', bytes - at);
        size_t length = newline != NULL ? (size_t)(newline - text) - at : bytes - at, shown = length;
        while (shown > 0 && (text[at + shown - 1] == '\r' || text[at + shown - 1] == ' '))
            shown--;
        MILL_TRY(mill_buf_append_text(out, prefix, err));
        if (shown != 0)
            MILL_TRY(mill_buf_append(out, " ", 1, err));
        MILL_TRY(mill_buf_append(out, text + at, shown, err));
        MILL_TRY(mill_buf_append(out, "\n", 1, err));
        at += length + (newline != NULL);
    }
    return MILL_OK;
}

// A string, or the strings of a list, one after the other; everything else is no text. Lines of nbformat 2
// have no newline.
static mill_status join_text(script *s, yyjson_val *value)
{
    mill_buf *out = &s->cell;
    mill_error *err = s->err;
    size_t begin = out->bytes;
    if (yyjson_is_str(value))
        return mill_buf_append(out, yyjson_get_str(value), yyjson_get_len(value), err);
    if (!yyjson_is_arr(value))
        return MILL_OK;
    yyjson_arr_iter iter = yyjson_arr_iter_with(value);
    for (yyjson_val *item = yyjson_arr_iter_next(&iter); item != NULL; item = yyjson_arr_iter_next(&iter))
        if (yyjson_is_str(item)) {
            if (s->bare_lines && out->bytes != begin)
                MILL_TRY(mill_buf_append(out, "\n", 1, err));
            MILL_TRY(mill_buf_append(out, yyjson_get_str(item), yyjson_get_len(item), err));
        }
    return MILL_OK;
}

// Empty lines at both ends go.
static void trim(const mill_buf *text, const char **begin, size_t *bytes)
{
    const char *data = (const char *)text->data;
    size_t from = 0, to = text->bytes;
    for (size_t i = 0; i < to && strchr(" \t\r\n\f", data[i]) != NULL && data[i] != '\0'; i++)
        if (data[i] == '\n')
            from = i + 1;
    while (to > from && strchr(" \t\r\n\f", data[to - 1]) != NULL && data[to - 1] != '\0')
        to--;
    *begin = data + from;
    *bytes = to - from;
}

static mill_status separate(script *s)
{
    return s->out->bytes != s->begin ? mill_buf_append(s->out, "\n", 1, s->err) : MILL_OK;
}

static mill_status add_comment_cell(script *s, yyjson_val *source, int64_t level)
{
    const char *text;
    size_t bytes;
    mill_buf_clear(&s->cell);
    for (int64_t i = 0; i < level && i < 6; i++)
        MILL_TRY(mill_buf_append_text(&s->cell, i + 1 == level || i == 5 ? "# " : "#", s->err));
    MILL_TRY(join_text(s, source));
    trim(&s->cell, &text, &bytes);
    if (bytes == 0)
        return MILL_OK;
    MILL_TRY(separate(s));
    return mill_append_comment(text, bytes, s->prefix, s->out, s->err);
}

static mill_status add_code_cell(script *s, yyjson_val *source)
{
    const char *text;
    size_t bytes;
    mill_buf_clear(&s->cell);
    MILL_TRY(join_text(s, source));
    trim(&s->cell, &text, &bytes);
    if (bytes == 0)
        return MILL_OK;
    size_t before = s->out->bytes;
    MILL_TRY(separate(s));
    size_t begin = s->out->bytes;
    if (s->is_python) {
        MILL_TRY(mill_notebook_code(text, bytes, s->options->magics, s->out, s->err));
        if (s->out->bytes == begin)
            s->out->bytes = before; // every line was dropped
        return MILL_OK;
    }
    MILL_TRY(mill_buf_append(s->out, text, bytes, s->err));
    return mill_buf_append(s->out, "\n", 1, s->err);
}

// ---- outputs

// The first `chars` code points of the text.
static size_t cut_chars(const char *text, size_t bytes, uint64_t chars)
{
    size_t at = 0;
    for (uint64_t n = 0; at < bytes && n < chars; n++)
        for (at++; at < bytes && ((uint8_t)text[at] & 0xc0) == 0x80;)
            at++;
    return at;
}

static mill_status add_output_text(script *s)
{
    const char *text;
    size_t bytes;
    trim(&s->cell, &text, &bytes);
    if (bytes == 0)
        return MILL_OK;
    size_t shown = cut_chars(text, bytes, s->options->output_chars);
    MILL_TRY(separate(s));
    MILL_TRY(mill_buf_printf(s->out, s->err, "%s Output:\n", s->prefix));
    MILL_TRY(mill_append_comment(text, shown, s->prefix, s->out, s->err));
    return shown < bytes ? mill_buf_printf(s->out, s->err, "%s ...\n", s->prefix) : MILL_OK;
}

static bool is_type(yyjson_val *value, const char *name)
{
    return yyjson_is_str(value) && yyjson_equals_str(value, name);
}

static mill_status add_output(script *s, yyjson_val *output)
{
    yyjson_val *type = yyjson_obj_get(output, "output_type"), *data = yyjson_obj_get(output, "data");
    mill_buf_clear(&s->cell);
    if (is_type(type, "error") || is_type(type, "pyerr")) {
        MILL_TRY(join_text(s, yyjson_obj_get(output, "ename")));
        MILL_TRY(mill_buf_append_text(&s->cell, ": ", s->err));
        MILL_TRY(join_text(s, yyjson_obj_get(output, "evalue")));
    } else if (yyjson_is_obj(data)) {
        MILL_TRY(join_text(s, yyjson_obj_get(data, "text/plain")));
    } else {
        MILL_TRY(join_text(s, yyjson_obj_get(output, "text")));
    }
    return add_output_text(s);
}

static mill_status add_outputs(script *s, yyjson_val *outputs)
{
    if (!s->options->keep_outputs || !yyjson_is_arr(outputs))
        return MILL_OK;
    yyjson_arr_iter iter = yyjson_arr_iter_with(outputs);
    for (yyjson_val *output = yyjson_arr_iter_next(&iter); output != NULL;
         output = yyjson_arr_iter_next(&iter))
        if (yyjson_is_obj(output))
            MILL_TRY(add_output(s, output));
    return MILL_OK;
}

// ---- cells

static mill_status add_cell(script *s, yyjson_val *cell)
{
    yyjson_val *type = yyjson_obj_get(cell, "cell_type"), *source = yyjson_obj_get(cell, "source");
    if (is_type(type, "code")) {
        yyjson_val *input = yyjson_obj_get(cell, "input");
        MILL_TRY(add_code_cell(s, source != NULL ? source : input));
        return add_outputs(s, yyjson_obj_get(cell, "outputs"));
    }
    if (is_type(type, "heading")) {
        int64_t level = yyjson_get_sint(yyjson_obj_get(cell, "level"));
        return add_comment_cell(s, source, level > 0 ? level : 1);
    }
    return add_comment_cell(s, source, 0); // markdown, raw, html, and what later formats add
}

static mill_status add_cells(script *s, yyjson_val *cells)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(cells);
    for (yyjson_val *cell = yyjson_arr_iter_next(&iter); cell != NULL; cell = yyjson_arr_iter_next(&iter))
        if (yyjson_is_obj(cell))
            MILL_TRY(add_cell(s, cell));
    return MILL_OK;
}

static mill_status add_worksheets(script *s, yyjson_val *worksheets)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(worksheets);
    for (yyjson_val *sheet = yyjson_arr_iter_next(&iter); sheet != NULL;
         sheet = yyjson_arr_iter_next(&iter)) {
        yyjson_val *cells = yyjson_is_obj(sheet) ? yyjson_obj_get(sheet, "cells") : NULL;
        if (yyjson_is_arr(cells))
            MILL_TRY(add_cells(s, cells));
    }
    return MILL_OK;
}

// ---- language

// A name as kernels and metadata spell it: "python3", "ir", "julia-1.6", "xcpp17", "ipython".
static int find_language(const mill_language_table *languages, const char *name)
{
    static const char *const others[][2] = {{"ipython", "python"},
                                            {"ir", "r"},
                                            {"xcpp", "cpp"},
                                            {"iruby", "ruby"},
                                            {"ijavascript", "javascript"},
                                            {"ihaskell", "haskell"},
                                            {"gophernotes", "go"},
                                            {"evcxr", "rust"},
                                            {"spylon-kernel", "scala"}};
    char word[64];
    size_t bytes = strlen(name);
    if (bytes == 0 || bytes >= sizeof word)
        return -1;
    for (size_t i = 0; i <= bytes; i++)
        word[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
    int id = mill_language_find(languages, word);
    while (id < 0 && bytes > 1 && strchr("0123456789.-_", word[bytes - 1]) != NULL)
        word[--bytes] = '\0';
    for (size_t i = 0; id < 0 && i < sizeof others / sizeof others[0]; i++)
        if (strcmp(word, others[i][0]) == 0)
            id = mill_language_find(languages, others[i][1]);
    return id >= 0 ? id : mill_language_find(languages, word);
}

static const char *text_of(yyjson_val *object, const char *key)
{
    yyjson_val *value = yyjson_is_obj(object) ? yyjson_obj_get(object, key) : NULL;
    return yyjson_is_str(value) ? yyjson_get_str(value) : "";
}

static const char *first_cell_language(yyjson_val *root)
{
    yyjson_val *sheet = yyjson_arr_get_first(yyjson_obj_get(root, "worksheets"));
    yyjson_val *cells = yyjson_is_obj(sheet) ? yyjson_obj_get(sheet, "cells") : NULL;
    yyjson_arr_iter iter = yyjson_arr_iter_with(cells);
    for (yyjson_val *cell = yyjson_arr_iter_next(&iter); cell != NULL; cell = yyjson_arr_iter_next(&iter))
        if (*text_of(cell, "language") != '\0')
            return text_of(cell, "language");
    return "";
}

static mill_language_id language_of(yyjson_val *root, const mill_language_table *languages)
{
    yyjson_val *metadata = yyjson_obj_get(root, "metadata");
    yyjson_val *info = yyjson_is_obj(metadata) ? yyjson_obj_get(metadata, "language_info") : NULL;
    yyjson_val *kernel = yyjson_is_obj(metadata) ? yyjson_obj_get(metadata, "kernelspec") : NULL;
    const char *names[] = {text_of(info, "name"), text_of(kernel, "language"), text_of(kernel, "name"),
                           first_cell_language(root)};
    bool told = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int id = find_language(languages, names[i]);
        if (id >= 0)
            return (mill_language_id)id;
        told = told || *names[i] != '\0';
    }
    int python = mill_language_find(languages, "python");
    return told || python < 0 ? MILL_LANGUAGE_OTHER : (mill_language_id)python;
}

static script begin_script(const mill_shape_options *options, mill_language_table *languages,
                           mill_language_id language, mill_buf *out, mill_error *err)
{
    script s = {.options = options, .out = out, .begin = out->bytes, .err = err};
    s.traits = mill_language_get(languages, language);
    s.is_python = strcmp(s.traits->name, "python") == 0;
    s.prefix = mill_comment_prefix(s.traits);
    return s;
}

bool mill_notebook_is(yyjson_val *root)
{
    return yyjson_is_obj(root) && (yyjson_is_arr(yyjson_obj_get(root, "cells")) ||
                                   yyjson_is_arr(yyjson_obj_get(root, "worksheets")) ||
                                   yyjson_is_num(yyjson_obj_get(root, "nbformat")));
}

mill_status mill_notebook_convert(yyjson_val *root, const mill_shape_options *options,
                                  mill_language_table *languages, mill_buf *out, mill_language_id *language,
                                  const char **problem, mill_error *err)
{
    *problem = mill_notebook_is(root) ? NULL : "no notebook: neither cells nor worksheets";
    if (*problem != NULL)
        return MILL_OK;
    *language = language_of(root, languages);
    script s = begin_script(options, languages, *language, out, err);
    yyjson_val *format = yyjson_obj_get(root, "nbformat");
    s.bare_lines = yyjson_is_uint(format) && yyjson_get_uint(format) <= 2;
    yyjson_val *cells = yyjson_obj_get(root, "cells"), *worksheets = yyjson_obj_get(root, "worksheets");
    mill_status status = MILL_OK;
    if (yyjson_is_arr(cells))
        status = add_cells(&s, cells);
    else if (yyjson_is_arr(worksheets))
        status = add_worksheets(&s, worksheets);
    mill_buf_free(&s.cell);
    return status;
}

// ---- parsed forms

bool mill_notebook_is_parsed(yyjson_val *object)
{
    bool pair =
        yyjson_is_str(yyjson_obj_get(object, "markdown")) && yyjson_is_str(yyjson_obj_get(object, "code"));
    return pair || (yyjson_is_arr(yyjson_obj_get(object, "cells")) &&
                    yyjson_is_arr(yyjson_obj_get(object, "cell_types")));
}

// The first text output of a cell; where there was none, these sets say so in words.
static mill_status add_parsed_output(script *s, yyjson_val *output)
{
    if (!s->options->keep_outputs || is_type(output, "_____no_output_____"))
        return MILL_OK;
    mill_buf_clear(&s->cell);
    MILL_TRY(join_text(s, output));
    return add_output_text(s);
}

// cells[i] is a group of [source, output] of cells of the type cell_types[i] (or one such pair, or a bare
// text).
static mill_status add_group(script *s, yyjson_val *type, yyjson_val *group)
{
    yyjson_val *first = yyjson_arr_get_first(group);
    bool nested = yyjson_is_arr(first);
    yyjson_arr_iter iter = yyjson_arr_iter_with(group);
    yyjson_val *cell = nested ? yyjson_arr_iter_next(&iter) : group;
    while (cell != NULL) {
        yyjson_val *source = yyjson_is_arr(cell) ? yyjson_arr_get_first(cell) : cell;
        MILL_TRY(is_type(type, "code") ? add_code_cell(s, source) : add_comment_cell(s, source, 0));
        if (is_type(type, "code") && yyjson_is_arr(cell))
            MILL_TRY(add_parsed_output(s, yyjson_arr_get(cell, 1)));
        cell = nested ? yyjson_arr_iter_next(&iter) : NULL;
    }
    return MILL_OK;
}

mill_status mill_notebook_convert_parsed(yyjson_val *object, const mill_shape_options *options,
                                         mill_language_table *languages, mill_buf *out,
                                         mill_language_id *language, mill_error *err)
{
    int python = mill_language_find(languages, "python");
    *language =
        python < 0 ? MILL_LANGUAGE_OTHER : (mill_language_id)python; // what these sets were chosen for
    script s = begin_script(options, languages, *language, out, err);
    mill_status status = MILL_OK;
    yyjson_val *markdown = yyjson_obj_get(object, "markdown"), *types = yyjson_obj_get(object, "cell_types");
    if (yyjson_is_str(markdown)) {
        status = add_comment_cell(&s, markdown, 0);
        if (status == MILL_OK)
            status = add_code_cell(&s, yyjson_obj_get(object, "code"));
        if (status == MILL_OK)
            status = add_parsed_output(&s, yyjson_obj_get(object, "output"));
    } else {
        yyjson_arr_iter type = yyjson_arr_iter_with(types),
                        cell = yyjson_arr_iter_with(yyjson_obj_get(object, "cells"));
        for (;;) {
            yyjson_val *name = yyjson_arr_iter_next(&type), *group = yyjson_arr_iter_next(&cell);
            if (status != MILL_OK || name == NULL || group == NULL)
                break;
            status = add_group(&s, name, group);
        }
    }
    mill_buf_free(&s.cell);
    return status;
}
