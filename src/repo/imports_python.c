// imports_python.c: "import a.b as c, d" and "from ..a import (b, c)", at the beginning of a statement,
// outside of strings.
#include "repo/imports_internal.h"

// Behind a string that begins at the scanner's place; its prefix letters stand before it and do not matter.
static void skip_string(mill_scan *s)
{
    const uint8_t quote = s->text[s->at];
    const bool triple = mill_scan_peek(s, 1) == quote && mill_scan_peek(s, 2) == quote;
    s->at += triple ? 3 : 1;
    while (s->at < s->end) {
        const uint8_t c = s->text[s->at];
        if (c == '\\') {
            s->at += s->end - s->at > 1 ? 2 : 1;
        } else if (!triple && (c == quote || c == '\n')) {
            s->at++;
            return;
        } else if (triple && c == quote && mill_scan_peek(s, 1) == quote && mill_scan_peek(s, 2) == quote) {
            s->at += 3;
            return;
        } else {
            s->at++;
        }
    }
}

static void skip_line(mill_scan *s)
{
    const uint8_t *newline = memchr(s->text + s->at, '\n', s->end - s->at);
    s->at = newline != NULL ? (uint64_t)(newline - s->text) : s->end;
}

// Blanks, and lines that are continued; inside of parentheses newlines and comments too.
static void skip_blanks(mill_scan *s, bool inside)
{
    while (s->at < s->end) {
        const uint8_t c = s->text[s->at];
        if (c == ' ' || c == '\t' || c == '\f' || (inside && (c == '\n' || c == '\r')))
            s->at++;
        else if (c == '\\' && mill_scan_peek(s, 1) == '\n')
            s->at += 2;
        else if (c == '\\' && mill_scan_peek(s, 1) == '\r' && mill_scan_peek(s, 2) == '\n')
            s->at += 3;
        else if (inside && c == '#')
            skip_line(s);
        else
            return;
    }
}

static void skip_alias(mill_scan *s, bool inside)
{
    skip_blanks(s, inside);
    const uint64_t before = s->at;
    if (!mill_word_is(mill_scan_word(s), "as")) {
        s->at = before;
        return;
    }
    skip_blanks(s, inside);
    (void)mill_scan_word(s);
    skip_blanks(s, inside);
}

// Words joined by dots, on one logical line.
static size_t dotted(mill_scan *s, char name[MILL_IMPORT_NAME_MAX + 1])
{
    size_t bytes = 0;
    bool fits = true;
    for (;;) {
        skip_blanks(s, false);
        const mill_word word = mill_scan_word(s);
        fits = fits && bytes + word.bytes + 1 <= MILL_IMPORT_NAME_MAX;
        if (word.bytes == 0 || !fits)
            return 0;
        memcpy(name + bytes, word.text, word.bytes);
        bytes += word.bytes;
        const uint64_t behind = s->at;
        skip_blanks(s, false);
        if (mill_scan_peek(s, 0) != '.') {
            s->at = behind;
            return bytes;
        }
        s->at++;
        name[bytes++] = '.';
    }
}

static void scan_import(mill_scan *s)
{
    char name[MILL_IMPORT_NAME_MAX + 1];
    do {
        const size_t bytes = dotted(s, name);
        if (bytes == 0)
            return;
        mill_scan_add(s, MILL_IMPORT_MODULE, 0, name, bytes);
        skip_alias(s, false);
    } while (mill_scan_peek(s, 0) == ',' && s->at++ < s->end);
}

// "M.a" for each name: a may be a module of package M, or something in module M.
static void add_names(mill_scan *s, uint32_t level, char *name, size_t module)
{
    const uint8_t dots = (uint8_t)(level < 255 ? level : 255);
    skip_blanks(s, false);
    const bool inside = mill_scan_peek(s, 0) == '(';
    s->at += inside;
    skip_blanks(s, inside);
    if (mill_scan_peek(s, 0) == '*') {
        mill_scan_add(s, MILL_IMPORT_MODULE, dots, name, module);
        s->at++;
        return;
    }
    for (;;) {
        skip_blanks(s, inside);
        const mill_word word = mill_scan_word(s);
        if (word.bytes == 0)
            return;
        const size_t point = module != 0;
        if (module + point + word.bytes <= MILL_IMPORT_NAME_MAX) {
            name[module] = '.';
            memcpy(name + module + point, word.text, word.bytes);
            mill_scan_add(s, MILL_IMPORT_MODULE, dots, name, module + point + word.bytes);
        }
        skip_alias(s, inside);
        if (mill_scan_peek(s, 0) != ',')
            return;
        s->at++;
    }
}

static void scan_from(mill_scan *s)
{
    char name[MILL_IMPORT_NAME_MAX + 1];
    uint32_t level = 0;
    for (skip_blanks(s, false); mill_scan_peek(s, 0) == '.'; skip_blanks(s, false)) {
        s->at++;
        level++;
    }
    size_t module = 0;
    const uint64_t before = s->at;
    if (level == 0 || !mill_word_is(mill_scan_word(s), "import")) { // "from . import a" names no module
        s->at = before;
        module = dotted(s, name);
        if (module == 0)
            return;
        skip_blanks(s, false);
        if (!mill_word_is(mill_scan_word(s), "import"))
            return;
    }
    add_names(s, level, name, module);
}

void mill_scan_python(mill_scan *s)
{
    bool start = true; // of a statement
    while (s->at < s->end && s->status == MILL_OK) {
        const uint8_t c = s->text[s->at];
        if (mill_is_word_byte(c)) {
            const mill_word word = mill_scan_word(s);
            if (start && mill_word_is(word, "import"))
                scan_import(s);
            else if (start && mill_word_is(word, "from"))
                scan_from(s);
            start = false;
            continue;
        }
        if (c == '\'' || c == '"') {
            skip_string(s);
            start = s->text[s->at - 1] == '\n'; // it was not closed
        } else if (c == '#') {
            skip_line(s);
        } else {
            // A colon begins what stands on the line of an "if" or "try".
            start = c == '\n' || c == ';' || c == ':' ||
                    (start && (c == ' ' || c == '\t' || c == '\r' || c == '\f'));
            s->at++;
        }
    }
}
