// grammar.h: parsing program text with the compiled-in tree-sitter grammars: how much of it does not parse, and where its
// blocks are. In a build without tree-sitter every language is MILL_GRAMMAR_NONE.
#ifndef MILL_CORE_GRAMMAR_H
#define MILL_CORE_GRAMMAR_H

#include "core/alloc.h"

typedef struct mill_grammar mill_grammar; // one worker's parser and its latest tree

typedef enum mill_grammar_outcome {
    MILL_GRAMMAR_PARSED,  // there is a tree (with or without errors)
    MILL_GRAMMAR_NONE,    // no grammar for this language
    MILL_GRAMMAR_GAVE_UP, // too long or too much work
} mill_grammar_outcome;

#define MILL_GRAMMAR_BYTES_MAX (UINT64_C(16) << 20) // longer texts are given up at once: a tree takes many times its text
#define MILL_GRAMMAR_BLOCKS_MAX 4096                // blocks of one text; later ones are left out

// Work that is allowed for a text, in units of the parser's allocations (grammar.c).
static inline uint64_t mill_grammar_work_max(uint64_t bytes)
{
    return 200000 + 8 * bytes;
}

typedef struct mill_grammar_span { // bytes [begin, end)
    uint32_t begin, end;
} mill_grammar_span;

// True if this build has a grammar for the canonical language name.
bool mill_grammar_known(const char *language);
// "tree-sitter 0.26.1: bash c cpp ...", or why there is none.
const char *mill_grammar_description(void);

mill_status mill_grammar_open(mill_grammar **out, mill_error *err) MILL_MUST_CHECK;
void mill_grammar_close(mill_grammar *grammar); // NULL is fine

// Parses text and keeps the tree until the next parse or close; text is borrowed as long. work_max: where it gives up; counted
// in what the parser does, not by a clock, so that the outcome is the same on every machine. typescript is tried as tsx too when it
// has errors, c as cpp when more than a hundredth is in error; the reading with fewer bytes in error is kept.
mill_status mill_grammar_parse(mill_grammar *grammar, const char *language, const uint8_t *text, uint64_t bytes,
                               uint64_t work_max, mill_grammar_outcome *out, mill_error *err) MILL_MUST_CHECK;
// Of the latest tree: bytes under topmost ERROR nodes (an empty one counts 1) plus 1 for each MISSING token, at most the
// length of the text but at least 1 if there is any error. 0 without a tree.
uint64_t mill_grammar_error_bytes(const mill_grammar *grammar);
// Of the latest parse: its work (of the second one if two grammars were tried).
uint64_t mill_grammar_work(const mill_grammar *grammar);
// Of the latest tree: functions, classes, branches, loops and the statements between their braces, of 2..lines_max lines, that
// begin on a line of their own. A span runs from its first to its last byte, without the indentation before it. Sorted by
// begin, then end; distinct; at most MILL_GRAMMAR_BLOCKS_MAX; valid until the next call. None without a tree.
mill_status mill_grammar_blocks(mill_grammar *grammar, uint32_t lines_max, const mill_grammar_span **out, size_t *count,
                                mill_error *err) MILL_MUST_CHECK;

#endif
