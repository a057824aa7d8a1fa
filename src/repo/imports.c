// imports.c: which scanner reads which language, and what they share.
#include "repo/imports.h"

#include "repo/imports_internal.h"

void mill_imports_clear(mill_imports *imports)
{
    mill_buf_clear(&imports->names);
    imports->count = 0;
}

void mill_imports_free(mill_imports *imports)
{
    mill_buf_free(&imports->names);
    mill_free(imports->items);
    *imports = (mill_imports){0};
}

mill_word mill_scan_word(mill_scan *s)
{
    const uint64_t begin = s->at;
    while (s->at < s->end && mill_is_word_byte(s->text[s->at]))
        s->at++;
    return (mill_word){s->text + begin, s->at - begin};
}

static void skip_blanks(mill_scan *s)
{
    while (s->at < s->end && (s->text[s->at] == ' ' || s->text[s->at] == '\t' || s->text[s->at] == '\r' ||
                              s->text[s->at] == '\n'))
        s->at++;
}

bool mill_scan_dotted(mill_scan *s, char name[MILL_IMPORT_NAME_MAX + 1], bool *star)
{
    size_t bytes = 0;
    bool fits = true;
    *star = false;
    for (;;) {
        const mill_word word = mill_scan_word(s);
        if (word.bytes == 0)
            break;
        fits = fits && bytes + word.bytes + 1 <= MILL_IMPORT_NAME_MAX;
        if (fits) {
            if (bytes != 0)
                name[bytes++] = '.';
            memcpy(name + bytes, word.text, word.bytes);
            bytes += word.bytes;
        }
        const uint64_t behind = s->at;
        skip_blanks(s);
        if (mill_scan_peek(s, 0) != '.') {
            s->at = behind;
            break;
        }
        s->at++;
        skip_blanks(s);
        if (mill_scan_peek(s, 0) == '*') {
            s->at++;
            *star = true;
            break;
        }
    }
    name[bytes] = '\0';
    return fits && bytes != 0;
}

void mill_scan_add(mill_scan *s, mill_import_kind kind, uint8_t level, const void *name, uint64_t bytes)
{
    mill_imports *out = s->out;
    if (s->status != MILL_OK || bytes > MILL_IMPORT_NAME_MAX || out->count >= MILL_IMPORTS_MAX)
        return;
    const uint32_t offset = (uint32_t)out->names.bytes;
    s->status = MILL_GROW(out->items, out->capacity, out->count + 1, s->err);
    if (s->status == MILL_OK)
        s->status = mill_buf_append(&out->names, name, bytes, s->err);
    if (s->status == MILL_OK)
        out->items[out->count++] =
            (mill_import){.offset = offset, .bytes = (uint8_t)bytes, .kind = (uint8_t)kind, .level = level};
}

mill_status mill_imports_scan(const char *language, const uint8_t *text, uint64_t bytes, mill_imports *out,
                              mill_error *err)
{
    static const struct {
        const char *language;
        mill_braces braces;
    } known[] = {{"javascript", MILL_BRACES_SCRIPT},
                 {"typescript", MILL_BRACES_SCRIPT},
                 {"java", MILL_BRACES_JAVA},
                 {"c", MILL_BRACES_C},
                 {"cpp", MILL_BRACES_C},
                 {"csharp", MILL_BRACES_CSHARP},
                 {"go", MILL_BRACES_GO}};
    mill_scan s = {.text = text, .end = bytes, .out = out, .err = err};
    if (strcmp(language, "python") == 0)
        mill_scan_python(&s);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(language, known[i].language) == 0)
            mill_scan_braces(&s, known[i].braces);
    return s.status;
}
