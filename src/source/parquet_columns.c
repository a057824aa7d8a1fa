// parquet_columns.c: which columns of a Parquet file a record is made of, and what is refused at once.
#include "source/parquet_internal.h"

enum { PARTS = -2, NONE = -1 };

typedef struct found_columns {
    bool field[MILL_FIELDS_ALL]; // which fields have a column
    bool notebook;               // the content is a struct that is a notebook
} found_columns;

static mill_parquet_leaf leaf_at(const mill_parquet_input *p, uint32_t i)
{
    return p->api->leaf(p->handle, i);
}

static const char *below(const char *path, const char *name)
{
    size_t bytes = strlen(name);
    return strncmp(path, name, bytes) == 0 && path[bytes] == '.' ? path + bytes + 1 : NULL;
}

// Licences may be lists of structs of one member, or such a list in a struct (see mill_licence_value).
static bool is_wrapping(const char *path)
{
    static const char *const words[] = {"list", "item", "element"};
    while (*path != '\0') {
        size_t bytes = strcspn(path, "."), i = 0;
        while (i < 3 && (strlen(words[i]) != bytes || memcmp(words[i], path, bytes) != 0))
            i++;
        if (i == 3)
            return false;
        path += bytes + (path[bytes] == '.');
    }
    return true;
}

// The leaf of a column by its name or dotted path; a column whose own name has dots comes first, as in JSON.
// NONE: there is no such column; PARTS: it is a struct.
static int64_t find_leaf(const mill_parquet_input *p, const char *name)
{
    int64_t found = NONE, path = NONE;
    for (uint32_t i = 0; i < p->api->leaf_count(p->handle); i++) {
        const mill_parquet_leaf leaf = leaf_at(p, i);
        const char *rest = below(leaf.name, name);
        if (strcmp(leaf.name, name) == 0 && strcmp(leaf.column, name) == 0)
            return i;
        if (strcmp(leaf.name, name) == 0)
            path = path == NONE ? (int64_t)i : path;
        if (rest != NULL)
            found = found == NONE && is_wrapping(rest) ? (int64_t)i : PARTS;
    }
    return path != NONE ? path : found;
}

static bool has_column(const mill_parquet_input *p, const char *name)
{
    for (uint32_t i = 0; i < p->api->leaf_count(p->handle); i++) {
        const mill_parquet_leaf leaf = leaf_at(p, i);
        if (strcmp(leaf.column, name) == 0 && leaf.kind != MILL_PARQUET_OTHER)
            return true;
    }
    return false;
}

static bool is_notebook(const mill_parquet_input *p, const char *name)
{
    static const char *const members[] = {"cells", "worksheets", "nbformat"};
    for (uint32_t i = 0; i < p->api->leaf_count(p->handle); i++) {
        const mill_parquet_leaf leaf = leaf_at(p, i);
        const char *rest = below(leaf.name, name);
        for (size_t k = 0; rest != NULL && k < sizeof members / sizeof members[0]; k++)
            if (strcmp(rest, members[k]) == 0 || below(rest, members[k]) != NULL)
                return true;
    }
    return false;
}

static mill_status append_names(const mill_parquet_input *p, mill_buf *out, mill_error *err)
{
    for (uint32_t i = 0; i < p->api->leaf_count(p->handle) && out->bytes < 300; i++) {
        const mill_parquet_leaf leaf = leaf_at(p, i);
        MILL_TRY(mill_buf_printf(out, err, "%s%s", i != 0 ? ", " : "",
                                 *leaf.name != '\0' ? leaf.name : leaf.path));
    }
    return MILL_OK;
}

static mill_status refuse_no_content(const mill_source *source, const mill_parquet_input *p, mill_error *err)
{
    mill_buf names = {0};
    const char *wanted = source->options.field[MILL_FIELD_CONTENT];
    mill_status status = append_names(p, &names, err);
    if (status == MILL_OK)
        status = mill_fail(
            err, MILL_INPUT,
            "%s: no column %s; it has %.*s; name the one with the text: --field content=COLUMN", p->path,
            wanted != NULL ? wanted : "that holds content", (int)names.bytes, (const char *)names.data);
    mill_buf_free(&names);
    return status;
}

static mill_status refuse_type(const mill_parquet_input *p, const mill_column *column,
                               const mill_parquet_leaf *leaf, mill_error *err)
{
    const char *field = mill_field_names[column->field];
    return mill_fail(err, MILL_INPUT, "%s: column %s cannot be %s: %s; name another: --field %s=COLUMN",
                     p->path, leaf->name, field, leaf->is_list ? "it is a list" : "its type does not fit",
                     field);
}

static bool is_good(const mill_column *column, const mill_parquet_leaf *leaf)
{
    if (column->field == MILL_FIELD_STARS)
        return (leaf->kind == MILL_PARQUET_TEXT || leaf->kind == MILL_PARQUET_NUMBER) && !leaf->is_list;
    return leaf->kind == MILL_PARQUET_TEXT && (!leaf->is_list || column->field == MILL_FIELD_LICENCE);
}

// The leaves that fill fields, in the order in which they are asked.
static mill_status map_fields(const mill_source *source, mill_parquet_input *p, found_columns *has,
                              mill_error *err)
{
    const bool scripts = source->options.shape.notebooks == MILL_NOTEBOOKS_SCRIPT;
    for (uint32_t i = 0; i < source->columns.count; i++) {
        const mill_column *column = &source->columns.columns[i];
        const int64_t found = find_leaf(p, column->name);
        const bool named = column->field < MILL_FIELD_COUNT && source->options.field[column->field] != NULL;
        if (found == NONE && named)
            return mill_fail(err, MILL_INPUT, "%s: no column %s for %s", p->path, column->name,
                             mill_field_names[column->field]);
        if (column->field == MILL_FIELD_MESSAGES) {
            has->field[MILL_FIELD_MESSAGES] = has->field[MILL_FIELD_MESSAGES] || found != NONE;
            continue;
        }
        if (found == PARTS && column->field == MILL_FIELD_CONTENT && scripts &&
            is_notebook(p, column->name)) {
            has->notebook = true;
            continue;
        }
        if (found == PARTS && named)
            return mill_fail(err, MILL_INPUT, "%s: column %s has several parts; name one by its dotted path",
                             p->path, column->name);
        if (found < 0)
            continue;
        const mill_parquet_leaf leaf = leaf_at(p, (uint32_t)found);
        if (leaf.kind == MILL_PARQUET_NOTHING)
            continue; // every value is null
        if (!is_good(column, &leaf) && (named || column->field == MILL_FIELD_CONTENT))
            return refuse_type(p, column, &leaf, err);
        if (!is_good(column, &leaf))
            continue;
        has->field[column->field] = true;
        p->leaves[p->leaf_count] = (uint32_t)found;
        p->fields[p->leaf_count++] = column->field;
    }
    return MILL_OK;
}

// True if rows of this file may be something else than a file with its text in one column.
static bool has_forms(const mill_source *source, const mill_parquet_input *p, const found_columns *has)
{
    const bool *field = has->field;
    const bool chat = field[MILL_FIELD_MESSAGES] ||
                      (field[MILL_FIELD_INSTRUCTION] && field[MILL_FIELD_OUTPUT]) ||
                      (field[MILL_FIELD_PROMPT] && field[MILL_FIELD_COMPLETION]);
    const bool notebook = has_column(p, "cells") || has_column(p, "worksheets") ||
                          has_column(p, "nbformat") || (has_column(p, "markdown") && has_column(p, "code"));
    return chat || has->notebook || has_column(p, "solutions") ||
           (notebook && source->options.shape.notebooks == MILL_NOTEBOOKS_SCRIPT);
}

static bool is_wanted(const mill_source *source, const mill_parquet_leaf *leaf)
{
    for (uint32_t i = 0; i < source->columns.count; i++) {
        const char *name = source->columns.columns[i].name;
        if (strcmp(leaf->name, name) == 0 || below(leaf->name, name) != NULL)
            return true;
    }
    return mill_is_form_column(leaf->column);
}

static void choose_trees(const mill_source *source, mill_parquet_input *p)
{
    p->is_tree = true;
    p->leaf_count = 0;
    for (uint32_t i = 0; i < p->api->leaf_count(p->handle); i++) {
        const mill_parquet_leaf leaf = leaf_at(p, i);
        if (leaf.kind != MILL_PARQUET_OTHER && is_wanted(source, &leaf))
            p->leaves[p->leaf_count++] = i;
    }
}

mill_status mill_parquet_columns(const mill_source *source, mill_parquet_input *p, mill_error *err)
{
    found_columns has = {.notebook = false};
    p->leaves =
        mill_realloc_array(NULL, (size_t)p->api->leaf_count(p->handle) + MILL_COLUMNS_MAX, sizeof *p->leaves);
    if (p->leaves == NULL)
        return mill_fail_nomem(err, "reading Parquet");
    MILL_TRY(map_fields(source, p, &has, err));
    if (has_forms(source, p, &has))
        choose_trees(source, p);
    else if (!has.field[MILL_FIELD_CONTENT])
        return refuse_no_content(source, p, err);
    return MILL_OK;
}
