// grammar_tables.h: a grammar with a wider parse table; for grammar.c.
#ifndef MILL_CORE_GRAMMAR_TABLES_H
#define MILL_CORE_GRAMMAR_TABLES_H

#include "core/alloc.h"

struct TSLanguage; // of tree-sitter

// A grammar that is the same but for its parse table: one row of all symbols for every state, so that an action is one read away.
// As generated, most states keep lists that are searched: a fifth of the time of parsing. NULL: no memory, or the table would be
// too large to be worth its misses. The caller frees it with mill_free; it borrows from `language`.
struct TSLanguage *mill_grammar_widen(const struct TSLanguage *language);

#endif
