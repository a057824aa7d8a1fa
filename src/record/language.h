// language.h: the canonical names of programming languages, and what shardmill knows of each.
// A language is a small id into a table: the built-in names first, then names met in the data (sanitised to
// [a-z0-9][a-z0-9+#_.-]{0,31}, else "other"), in order of arrival. Ids never leave the process; orders use the names.
#ifndef MILL_RECORD_LANGUAGE_H
#define MILL_RECORD_LANGUAGE_H

#include "core/status.h"
#include "shared/comment_start.h"

typedef uint16_t mill_language_id;
#define MILL_LANGUAGE_OTHER 0 // "other" is always entry 0

typedef enum mill_block_style { MILL_BLOCKS_NONE, MILL_BLOCKS_INDENT, MILL_BLOCKS_BRACES } mill_block_style;

typedef struct mill_language {
    const char *name;             // canonical: lower case, as in file names and <|lang_NAME|>
    const char *const *aliases;   // other spellings, lower case, NULL-terminated ("c++", "shell", ...)
    const char *const *extensions;// without dot, case-sensitive, NULL-terminated, the first owner of an extension wins
    const char *const *filenames; // whole names: "Makefile", ...
    uint16_t comments;            // mill_comment_style bits: prefixes that make a line a comment
    uint8_t blocks;               // mill_block_style: how to find blocks without a grammar
    uint8_t data_type;            // mill_data_type (batch.h) that the language suggests: docs for markdown, rst, ...
} mill_language;

typedef struct mill_language_table mill_language_table;

mill_status mill_language_table_create(mill_language_table **out, mill_error *err) MILL_MUST_CHECK;
void mill_language_table_destroy(mill_language_table *table); // NULL is fine
// Id of a name or alias as data spells it (any case, surrounding blanks ignored); unknown well-formed names are added, the
// rest (and an empty name, and whatever comes after 4096 names) is MILL_LANGUAGE_OTHER. Thread-safe.
mill_language_id mill_language_intern(mill_language_table *table, const char *name, size_t bytes);
// MILL_NOMEM if a name could not be added for lack of memory: what was interned until then must not be used.
mill_status mill_language_check(mill_language_table *table, mill_error *err) MILL_MUST_CHECK;
// Id by path: whole file name, then the longest extension; MILL_LANGUAGE_OTHER if unknown.
mill_language_id mill_language_from_path(const mill_language_table *table, const char *path, size_t bytes);
// Traits of an id; names added from data get a neutral entry. The pointer stays valid as long as the table. Thread-safe.
const mill_language *mill_language_get(const mill_language_table *table, mill_language_id id);
uint32_t mill_language_count(const mill_language_table *table);
// Id of an existing canonical name or alias, or -1. Does not add.
int mill_language_find(const mill_language_table *table, const char *name);

#endif
