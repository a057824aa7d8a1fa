// source_encoding.c: files that are text in another encoding than UTF-8, by iconv: a byte order mark, a
// declaration in the first kilobyte (coding: and fileencoding=, charset=, encoding="..."), or the recipe's
// fallback tells which.
#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/utf8.h"
#include "source/source_internal.h"

enum { HEAD_BYTES = 1024, NAME_BYTES = 40 };

static const struct {
    const char *mark;
    size_t bytes;
    const char *name;
} marks[] = {{"\xff\xfe\0\0", 4, "UTF-32LE"},
             {"\0\0\xfe\xff", 4, "UTF-32BE"},
             {"\xff\xfe", 2, "UTF-16LE"},
             {"\xfe\xff", 2, "UTF-16BE"}};

static int find_mark(const uint8_t *text, size_t bytes)
{
    for (int i = 0; i < 4; i++)
        if (bytes >= marks[i].bytes && memcmp(text, marks[i].mark, marks[i].bytes) == 0)
            return i;
    return -1;
}

bool mill_has_wide_bom(const uint8_t *text, size_t bytes)
{
    return find_mark(text, bytes) >= 0;
}

static bool is_name_char(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' || c == '_' ||
           c == '.';
}

// The name behind a key and what may stand between them, in the head of the text.
static bool find_name(const char *head, size_t bytes, const char *key, const char *between,
                      char name[NAME_BYTES])
{
    size_t length = strlen(key);
    for (size_t i = 0; i + length < bytes; i++) {
        if (strncasecmp(head + i, key, length) != 0)
            continue;
        size_t at = i + length, begin = at, n = 0;
        while (at < bytes && head[at] != '\0' && strchr(between, head[at]) != NULL)
            at++;
        while (at > begin && at + n < bytes && n + 1 < NAME_BYTES && is_name_char(head[at + n])) {
            name[n] = head[at + n];
            n++;
        }
        name[n] = '\0';
        if (n > 1)
            return true;
    }
    return false;
}

static bool find_declaration(const uint8_t *text, size_t bytes, char name[NAME_BYTES])
{
    const char *head = (const char *)text;
    size_t length = bytes < HEAD_BYTES ? bytes : HEAD_BYTES, lines = 0, two_lines = 0;
    while (two_lines < length && lines < 2)
        lines += head[two_lines++] == '\n';
    return find_name(head, two_lines, "coding", ":= ", name) ||
           find_name(head, two_lines, "encoding", "=\"' ", name) ||
           find_name(head, length, "charset", "=\"' ", name);
}

// Names that iconv spells otherwise.
static const char *usual_name(char name[NAME_BYTES])
{
    static const char *const names[][2] = {{"latin-1", "ISO-8859-1"},     {"latin_1", "ISO-8859-1"},
                                           {"iso-latin-1", "ISO-8859-1"}, {"x-sjis", "SJIS"},
                                           {"windows-31j", "CP932"},      {"iso_8859_1", "ISO-8859-1"},
                                           {"iso-latin-2", "ISO-8859-2"}, {"cp-1252", "CP1252"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(name, names[i][0]) == 0)
            return names[i][1];
    return name;
}

static iconv_t open_converter(char name[NAME_BYTES])
{
    iconv_t converter = iconv_open("UTF-8", usual_name(name));
    if (converter != (iconv_t)-1)
        return converter;
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '_' ? '-' : *c;
    return iconv_open("UTF-8", name);
}

// *good: every byte was read. parser->decoded holds the text.
static mill_status convert(mill_parser *parser, char name[NAME_BYTES], const uint8_t *text, size_t bytes,
                           bool *good, mill_error *err)
{
    mill_buf *out = &parser->decoded;
    *good = false;
    mill_buf_clear(out);
    iconv_t converter = open_converter(name);
    if (converter == (iconv_t)-1)
        return errno == ENOMEM ? mill_fail_nomem(err, "converting a file") : MILL_OK;
    char *from = (char *)(uintptr_t)text; // iconv only reads it
    size_t left = bytes;
    mill_status status = MILL_OK;
    for (;;) {
        status = mill_buf_reserve(out, left + left / 2 + 64, err);
        if (status != MILL_OK)
            break;
        char *to = (char *)out->data + out->bytes;
        size_t room = out->capacity - out->bytes;
        size_t result = iconv(converter, &from, &left, &to, &room);
        out->bytes = out->capacity - room;
        if (result == (size_t)-1 && errno == E2BIG)
            continue;
        *good = result != (size_t)-1 && left == 0;
        break;
    }
    iconv_close(converter);
    size_t bad;
    *good = *good && mill_utf8_valid(out->data, out->bytes, &bad);
    return status;
}

static void refuse(mill_shape_problem *problem, const uint8_t *text, size_t bad, const char *name)
{
    problem->reason = MILL_QUARANTINE_BAD_ENCODING;
    if (*name != '\0')
        snprintf(problem->detail, sizeof problem->detail, "neither UTF-8 (byte 0x%02x at byte %zu) nor %s",
                 text[bad], bad, name);
    else
        snprintf(problem->detail, sizeof problem->detail, "not UTF-8: byte 0x%02x at byte %zu", text[bad],
                 bad);
}

mill_status mill_decode_file(mill_parser *parser, const char *path, const uint8_t **text, size_t *bytes,
                             mill_parse_counts *counts, mill_shape_problem *problem, mill_error *err)
{
    (void)path;
    const mill_shape_options *shape = &parser->source->options.shape;
    char name[NAME_BYTES] = "";
    size_t bad = 0, skip = 0;
    int mark = find_mark(*text, *bytes);
    problem->detail[0] = '\0';
    if (mill_utf8_valid(*text, *bytes, &bad))
        return MILL_OK;
    if (shape->declared_encodings && mark >= 0) {
        snprintf(name, sizeof name, "%s", marks[mark].name);
        skip = marks[mark].bytes;
    } else if (!shape->declared_encodings || !find_declaration(*text, *bytes, name)) {
        snprintf(name, sizeof name, "%s", shape->encoding != NULL ? shape->encoding : "");
    }
    bool good = false;
    if (*name != '\0')
        MILL_TRY(convert(parser, name, *text + skip, *bytes - skip, &good, err));
    if (!good && *name != '\0' && shape->encoding != NULL && *shape->encoding != '\0' &&
        strcmp(name, shape->encoding) != 0) {
        snprintf(name, sizeof name, "%s", shape->encoding); // what the file declares is wrong
        skip = 0;
        MILL_TRY(convert(parser, name, *text, *bytes, &good, err));
    }
    if (!good) {
        refuse(problem, *text, bad, name);
        return MILL_OK;
    }
    *text = parser->decoded.data;
    *bytes = parser->decoded.bytes;
    counts->encodings++;
    return MILL_OK;
}
