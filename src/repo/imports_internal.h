// imports_internal.h: what the import scanners share: a place in the text, and how they tell what they found.
#ifndef MILL_REPO_IMPORTS_INTERNAL_H
#define MILL_REPO_IMPORTS_INTERNAL_H

#include <string.h>

#include "repo/imports.h"

typedef struct mill_scan {
    const uint8_t *text;
    uint64_t at, end;
    mill_imports *out;
    mill_error *err;
    mill_status status; // the first failure; scanners go on to the end of the statement
} mill_scan;

typedef struct mill_word { // a stretch of the text
    const uint8_t *text;
    uint64_t bytes;
} mill_word;

static inline bool mill_is_word_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || c >= 0x80;
}

static inline uint8_t mill_scan_peek(const mill_scan *s, uint64_t ahead)
{
    return s->end - s->at > ahead ? s->text[s->at + ahead] : 0;
}

static inline bool mill_word_is(mill_word word, const char *text)
{
    return word.bytes == strlen(text) && memcmp(word.text, text, word.bytes) == 0;
}

// The word that begins at the scanner's place; empty if none does. The place moves behind it.
mill_word mill_scan_word(mill_scan *s);
// Words joined by dots, blanks around the dots allowed, as one name without blanks in `name` (at most 255
// bytes and a NUL); false if there is none, or it is longer. A '*' may end it: it is left out, and *star is
// set.
bool mill_scan_dotted(mill_scan *s, char name[MILL_IMPORT_NAME_MAX + 1], bool *star);
void mill_scan_add(mill_scan *s, mill_import_kind kind, uint8_t level, const void *name, uint64_t bytes);

void mill_scan_python(mill_scan *s);
// One scanner for the languages with C's comments; kind of language by its name.
typedef enum mill_braces {
    MILL_BRACES_SCRIPT,
    MILL_BRACES_JAVA,
    MILL_BRACES_C,
    MILL_BRACES_CSHARP,
    MILL_BRACES_GO
} mill_braces;
void mill_scan_braces(mill_scan *s, mill_braces language);

#endif
