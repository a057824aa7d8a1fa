// syntax.h: does a text parse? By tree-sitter (share of bytes under ERROR and MISSING nodes against a limit by language), or by
// real python3 workers (ast.parse, python only), or not at all. The same grammars serve FIM's block cuts.
#ifndef MILL_FILTER_SYNTAX_H
#define MILL_FILTER_SYNTAX_H

#include "record/batch.h"

typedef enum mill_syntax_mode { MILL_SYNTAX_OFF, MILL_SYNTAX_TREE_SITTER, MILL_SYNTAX_CPYTHON } mill_syntax_mode;

typedef struct mill_syntax_options {
    mill_syntax_mode mode;
    // tree-sitter: limit by language name in permille of the text's bytes; -1: no verdict for that language
    struct mill_syntax_limit {
        const char *language;
        int32_t permille;
    } limits[48];
    size_t limit_count;
    uint64_t timeout_ms; // cpython: no verdict (pass, counted) for a text whose answer takes longer; 0 = 60000. tree-sitter is
                         // bounded by counted work instead (core/grammar.h), so that no clock decides
    const char *python;  // cpython: interpreter, NULL = "python3"
} mill_syntax_options;

typedef struct mill_syntax mill_syntax; // one worker's handle: parsers, or a python3 child process

mill_status mill_syntax_open(const mill_syntax_options *options, const mill_language_table *languages, mill_syntax **out,
                             mill_error *err) MILL_MUST_CHECK;
void mill_syntax_close(mill_syntax *syntax);

typedef struct mill_syntax_result {
    bool judged;          // false: no grammar (or mode off): passes
    bool passed;
    uint64_t error_bytes; // tree-sitter: bytes under ERROR nodes (MISSING counts 1)
    int32_t limit_permille;
} mill_syntax_result;
mill_status mill_syntax_check(mill_syntax *syntax, mill_language_id language, const uint8_t *text, uint64_t bytes,
                              mill_syntax_result *out, mill_error *err) MILL_MUST_CHECK;

// True if this build has a grammar for the language.
bool mill_syntax_has_grammar(const char *language);
// "tree-sitter 0.26.1: bash c cpp ..." or why it is absent; for `devices`.
const char *mill_syntax_description(void);

#endif
