// notebook_code.c: the code of a notebook's cell as plain Python: what only IPython reads is found as IPython
// finds it, at the start of a statement. A line that begins with % inside brackets or strings is Python.
#include <string.h>

#include "source/notebook.h"

typedef struct line_state { // where a line of Python begins
    int64_t depth;          // open brackets
    char quote;             // of the string that is open, or 0
    bool triple, continued; // the line before ended with a backslash
} line_state;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f';
}

static size_t skip_blanks(const char *line, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && is_blank(line[i]))
        i++;
    return i;
}

static void scan_string(line_state *s, const char *line, size_t bytes, size_t *at)
{
    size_t i = *at;
    while (i < bytes) {
        if (line[i] == '\\') {
            i += 2;
            continue;
        }
        if (line[i] == s->quote &&
            (!s->triple || (i + 2 < bytes && line[i + 1] == s->quote && line[i + 2] == s->quote))) {
            i += s->triple ? 3 : 1;
            s->quote = 0;
            break;
        }
        i++;
    }
    *at = i < bytes ? i : bytes;
}

static void scan_line(line_state *s, const char *line, size_t bytes)
{
    size_t end = bytes;
    while (end > 0 && line[end - 1] == '\r')
        end--;
    s->continued = false;
    for (size_t i = 0; i < end;) {
        char c = line[i];
        if (s->quote != 0) {
            scan_string(s, line, end, &i);
            continue;
        }
        if (c == '#')
            return;
        if (c == '"' || c == '\'') {
            s->triple = i + 2 < end && line[i + 1] == c && line[i + 2] == c;
            s->quote = c;
            i += s->triple ? 3 : 1;
            continue;
        }
        s->depth += (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
        if (s->depth < 0)
            s->depth = 0;
        i++;
    }
    s->continued = end > 0 && line[end - 1] == '\\';
    if (s->quote != 0 && !s->triple && !s->continued)
        s->quote = 0; // an error of Python; the next line begins anew
}

// x = !ls, a, b = %sql ...
static bool assigns_magic(const char *line, size_t bytes)
{
    size_t i = 0;
    for (; i < bytes && line[i] != '='; i++)
        if (!(is_blank(line[i]) || line[i] == '_' || line[i] == ',' || line[i] == '.' ||
              (line[i] >= '0' && line[i] <= '9') || ((line[i] | 0x20) >= 'a' && (line[i] | 0x20) <= 'z')))
            return false;
    if (i == 0 || i == bytes)
        return false;
    i++;
    i += skip_blanks(line + i, bytes - i);
    return i + 1 < bytes && (line[i] == '!' || line[i] == '%') && line[i + 1] != '=';
}

static bool asks_for_help(const char *line, size_t bytes)
{
    while (bytes > 0 && is_blank(line[bytes - 1]))
        bytes--;
    return bytes > 1 && line[bytes - 1] == '?' && memchr(line, '#', bytes) == NULL &&
           memchr(line, '"', bytes) == NULL && memchr(line, '\'', bytes) == NULL;
}

static bool is_magic(const char *line, size_t bytes)
{
    size_t i = skip_blanks(line, bytes);
    if (i == bytes)
        return false;
    return line[i] == '%' || line[i] == '!' || line[i] == '?' || assigns_magic(line + i, bytes - i) ||
           asks_for_help(line + i, bytes - i);
}

// Cell magics whose cell is Python all the same.
static bool keeps_python(const char *name, size_t bytes)
{
    static const char *const names[] = {"time",  "timeit",  "capture", "prun",    "memit", "mprun",
                                        "lprun", "debug",   "python",  "python3", "px",    "snakeviz",
                                        "heat",  "scalene", "local",   "notify"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == bytes && memcmp(names[i], name, bytes) == 0)
            return true;
    return false;
}

// True if the cell is in another language: it begins with %%bash, %%html, ...
static bool is_foreign_cell(const char *code, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && (is_blank(code[i]) || code[i] == '\n'))
        i++;
    if (bytes - i < 3 || code[i] != '%' || code[i + 1] != '%')
        return false;
    size_t begin = i += 2;
    while (i < bytes && !is_blank(code[i]) && code[i] != '\n')
        i++;
    return !keeps_python(code + begin, i - begin);
}

static mill_status append_magic(const char *line, size_t bytes, mill_magics magics, bool inner, mill_buf *out,
                                mill_error *err)
{
    size_t indent = skip_blanks(line, bytes);
    // An indented command may be all that its block holds.
    bool stands_in = indent != 0 && indent < bytes && !inner;
    if (magics == MILL_MAGICS_DROP && !stands_in)
        return MILL_OK;
    if (magics == MILL_MAGICS_KEEP) {
        MILL_TRY(mill_buf_append(out, line, bytes, err));
        return mill_buf_append(out, "\n", 1, err);
    }
    MILL_TRY(mill_buf_append(out, line, indent, err));
    if (stands_in)
        MILL_TRY(mill_buf_append_text(out, magics == MILL_MAGICS_DROP ? "pass" : "pass  ", err));
    if (magics != MILL_MAGICS_DROP) {
        MILL_TRY(mill_buf_append_text(out, indent < bytes ? "# " : "#", err));
        MILL_TRY(mill_buf_append(out, line + indent, bytes - indent, err));
    }
    return mill_buf_append(out, "\n", 1, err);
}

mill_status mill_notebook_code(const char *code, size_t bytes, mill_magics magics, mill_buf *out,
                               mill_error *err)
{
    line_state state = {0};
    bool foreign = is_foreign_cell(code, bytes), in_magic = foreign;
    for (size_t at = 0; at < bytes;) {
        const char *line = code + at, *newline = memchr(line, '\n', bytes - at);
        size_t length = newline != NULL ? (size_t)(newline - line) : bytes - at;
        at += length + (newline != NULL);
        bool starts = state.depth == 0 && state.quote == 0 && !state.continued;
        if (in_magic || (starts && is_magic(line, length))) {
            MILL_TRY(append_magic(line, length, magics, in_magic, out, err));
            size_t end = length;
            while (end > 0 && line[end - 1] == '\r')
                end--;
            in_magic = foreign || (end > 0 && line[end - 1] == '\\');
            continue;
        }
        scan_line(&state, line, length);
        MILL_TRY(mill_buf_append(out, line, length, err));
        MILL_TRY(mill_buf_append(out, "\n", 1, err));
    }
    return MILL_OK;
}
