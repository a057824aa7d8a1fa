// names.c: percent-coding, glob patterns, safe file names.
#include "fetch/names.h"

#include <stdio.h>
#include <string.h>

#include "core/hash.h"
#include "core/utf8.h"

enum { COMPONENT_BYTES_MAX = 200, COMPONENT_BYTES_KEPT = 160 };

static const char hex_digits[] = "0123456789ABCDEF";

static bool is_plain(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static mill_status append_code(mill_buf *out, uint8_t c, mill_error *err)
{
    const char code[3] = {'%', hex_digits[c >> 4], hex_digits[c & 15]};
    return mill_buf_append(out, code, 3, err);
}

mill_status mill_url_encode(mill_buf *out, const char *text, size_t bytes, const char *also, mill_error *err)
{
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = (uint8_t)text[i];
        if (is_plain(c) || (c != 0 && strchr(also, c) != NULL))
            MILL_TRY(mill_buf_append(out, &c, 1, err));
        else
            MILL_TRY(append_code(out, c, err));
    }
    return MILL_OK;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

mill_status mill_url_decode(mill_buf *out, const char *text, size_t bytes, bool plus, mill_error *err)
{
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c == '%' && bytes - i > 2 && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
            c = (uint8_t)(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        MILL_TRY(mill_buf_append(out, &c, 1, err));
    }
    return MILL_OK;
}

// ---- patterns: all places of the pattern that the text read so far may stand at

typedef enum glob_kind {
    GLOB_BYTE,
    GLOB_ANY,
    GLOB_SET,
    GLOB_STAR,
    GLOB_DEEP,
    GLOB_LEVELS,
    GLOB_INSIDE,
    GLOB_END
} glob_kind;

typedef struct glob_token {
    glob_kind kind;
    uint8_t byte;
    uint16_t set, set_bytes; // of the pattern: what stands between the brackets
} glob_token;

bool mill_glob_is_pattern(const char *pattern)
{
    return strpbrk(pattern, "*?[") != NULL;
}

size_t mill_glob_directory(const char *pattern)
{
    size_t end = strcspn(pattern, "*?[");
    while (end != 0 && pattern[end] != '/')
        end--;
    return end;
}

// "[...]" at `at`: its length with both brackets, 0 if it is never closed. A ']' that comes first belongs to
// the set.
static size_t set_length(const char *pattern, size_t at)
{
    size_t i = at + 1;
    if (pattern[i] == '!' || pattern[i] == '^')
        i++;
    if (pattern[i] == ']')
        i++;
    while (pattern[i] != '\0' && pattern[i] != ']')
        i++;
    return pattern[i] == ']' ? i + 1 - at : 0;
}

static size_t read_tokens(const char *pattern, glob_token *tokens)
{
    size_t count = 0;
    for (size_t i = 0; pattern[i] != '\0';) {
        size_t set = pattern[i] == '[' ? set_length(pattern, i) : 0;
        bool deep = pattern[i] == '*' && pattern[i + 1] == '*';
        if (set != 0) {
            tokens[count++] =
                (glob_token){.kind = GLOB_SET, .set = (uint16_t)(i + 1), .set_bytes = (uint16_t)(set - 2)};
            i += set;
        } else if (deep && pattern[i + 2] == '/' && (i == 0 || pattern[i - 1] == '/')) {
            tokens[count++] = (glob_token){.kind = GLOB_LEVELS};
            tokens[count++] = (glob_token){.kind = GLOB_INSIDE};
            i += 3;
        } else if (deep) {
            tokens[count++] = (glob_token){.kind = GLOB_DEEP};
            i += 2;
        } else {
            glob_kind kind = pattern[i] == '*' ? GLOB_STAR : pattern[i] == '?' ? GLOB_ANY : GLOB_BYTE;
            tokens[count++] = (glob_token){.kind = kind, .byte = (uint8_t)pattern[i]};
            i++;
        }
    }
    tokens[count].kind = GLOB_END;
    return count;
}

static bool set_holds(const char *set, size_t bytes, uint8_t c)
{
    bool negated = bytes != 0 && (set[0] == '!' || set[0] == '^'), found = false;
    for (size_t i = negated; i < bytes; i++) {
        uint8_t low = (uint8_t)set[i], high = low;
        if (i + 2 < bytes && set[i + 1] == '-') {
            high = (uint8_t)set[i + 2];
            i += 2;
        }
        found |= low <= c && c <= high;
    }
    return found != negated && c != '/';
}

// Adds a place, and those that can be reached from it without reading.
static void add_place(const glob_token *tokens, bool *places, size_t at)
{
    while (!places[at]) { // else what follows it was added, too
        places[at] = true;
        glob_kind kind = tokens[at].kind;
        if (kind == GLOB_LEVELS)
            at += 2;
        else if (kind == GLOB_STAR || kind == GLOB_DEEP)
            at++;
        else
            return;
    }
}

static void step(const char *pattern, const glob_token *tokens, size_t at, uint8_t c, bool *next)
{
    const glob_token *t = &tokens[at];
    switch (t->kind) {
    case GLOB_BYTE:
        if (c == t->byte)
            add_place(tokens, next, at + 1);
        break;
    case GLOB_ANY:
        if (c != '/')
            add_place(tokens, next, at + 1);
        break;
    case GLOB_SET:
        if (set_holds(pattern + t->set, t->set_bytes, c))
            add_place(tokens, next, at + 1);
        break;
    case GLOB_STAR:
        if (c != '/')
            add_place(tokens, next, at);
        break;
    case GLOB_DEEP: add_place(tokens, next, at); break;
    case GLOB_LEVELS:
        if (c != '/')
            add_place(tokens, next, at + 1);
        break;
    case GLOB_INSIDE: add_place(tokens, next, c == '/' ? at - 1 : at); break;
    case GLOB_END: break;
    }
}

bool mill_glob_match(const char *pattern, const char *text)
{
    glob_token tokens[MILL_GLOB_BYTES_MAX + 2];
    bool sets[2][MILL_GLOB_BYTES_MAX + 2];
    if (strlen(pattern) > MILL_GLOB_BYTES_MAX)
        return false;
    size_t count = read_tokens(pattern, tokens);
    bool *places = sets[0], *next = sets[1];
    memset(places, 0, count + 1);
    add_place(tokens, places, 0);
    for (; *text != '\0'; text++) {
        bool any = false;
        memset(next, 0, count + 1);
        for (size_t i = 0; i < count; i++) {
            if (places[i]) {
                step(pattern, tokens, i, (uint8_t)*text, next);
                any = true;
            }
        }
        if (!any)
            return false;
        bool *swap = places;
        places = next;
        next = swap;
    }
    return places[count];
}

// ---- file names

// Length of the character at text that may stand in a file name as it is; 0 if it must be coded.
static size_t safe_character(const uint8_t *text, size_t bytes)
{
    size_t length = mill_utf8_sequence(text, bytes);
    if (length == 0)
        return 0;
    uint32_t c = mill_utf8_decode(text, &length);
    if (c < 0x80)
        return c >= 0x20 && c != 0x7f && strchr("%\\\"<>|:*?", (int)c) == NULL ? 1 : 0;
    // C1 controls, and characters that change direction or break lines: a name must look like what it is.
    bool hidden = c < 0xa0 || c == 0x61c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
                  (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
    return hidden ? 0 : length;
}

static mill_status append_component(mill_buf *out, const char *text, size_t bytes, mill_error *err)
{
    const uint8_t *in = (const uint8_t *)text;
    const size_t start = out->bytes;
    if (bytes == 0)
        return mill_buf_append_text(out, "%2F", err);
    bool dots = (bytes == 1 && text[0] == '.') || (bytes == 2 && text[0] == '.' && text[1] == '.');
    for (size_t i = 0; i < bytes;) {
        size_t length =
            dots || (start == 0 && i == 0 && text[0] == '.') ? 0 : safe_character(in + i, bytes - i);
        MILL_TRY(length != 0 ? mill_buf_append(out, in + i, length, err) : append_code(out, in[i], err));
        i += length != 0 ? length : 1;
    }
    if (out->bytes - start <= COMPONENT_BYTES_MAX)
        return MILL_OK;
    mill_key key = mill_hash128(text, bytes);
    size_t keep = COMPONENT_BYTES_KEPT, bad = 0;
    if (!mill_utf8_valid(out->data + start, keep, &bad))
        keep = bad; // not within a character
    out->bytes = start + keep;
    return mill_buf_printf(out, err, "%%~%016llx%016llx", (unsigned long long)key.high,
                           (unsigned long long)key.low);
}

mill_status mill_local_path(mill_buf *out, const char *text, size_t bytes, mill_error *err)
{
    for (size_t at = 0;;) {
        const char *slash = memchr(text + at, '/', bytes - at);
        size_t length = slash != NULL ? (size_t)(slash - text) - at : bytes - at;
        if (out->bytes != 0)
            MILL_TRY(mill_buf_append(out, "/", 1, err));
        MILL_TRY(append_component(out, text + at, length, err));
        at += length + 1;
        if (slash == NULL)
            return MILL_OK;
    }
}
