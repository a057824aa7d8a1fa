// syntax_verdicts.c: test driver. Reads documents from standard input, each "LANGUAGE BYTES\n" and then its text, and prints a
// line for each: judged, passed, bytes in error, the parser's work, nanoseconds. Usage: syntax_verdicts tree-sitter|cpython
// [PYTHON]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/grammar.h"
#include "filter/syntax.h"

static int fail(const mill_error *err)
{
    fprintf(stderr, "syntax_verdicts: %s\n", err->message);
    return 1;
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int main(int argc, char **argv)
{
    const bool by_grammar = argc < 2 || strcmp(argv[1], "tree-sitter") == 0;
    mill_error err = {0};
    mill_language_table *languages;
    mill_syntax *syntax;
    mill_grammar *grammar;
    const mill_syntax_options options = {.mode = MILL_SYNTAX_CPYTHON, .python = argc > 2 ? argv[2] : NULL};
    if (mill_language_table_create(&languages, &err) != MILL_OK ||
        mill_syntax_open(&options, languages, &syntax, &err) != MILL_OK || mill_grammar_open(&grammar, &err) != MILL_OK)
        return fail(&err);

    char language[64];
    unsigned long long bytes;
    mill_buf text = {0};
    while (scanf("%63s %llu", language, &bytes) == 2 && getchar() == '\n') {
        mill_buf_clear(&text);
        if (mill_buf_reserve(&text, bytes + 1, &err) != MILL_OK)
            return fail(&err);
        if (fread(text.data, 1, bytes, stdin) != bytes)
            return 1;
        mill_syntax_result result = {.passed = true};
        uint64_t work = 0;
        const uint64_t start = now();
        if (by_grammar) {
            mill_grammar_outcome outcome;
            if (mill_grammar_parse(grammar, language, text.data, bytes, mill_grammar_work_max(bytes), &outcome, &err) != MILL_OK)
                return fail(&err);
            result.judged = outcome == MILL_GRAMMAR_PARSED;
            result.error_bytes = mill_grammar_error_bytes(grammar);
            result.passed = result.error_bytes == 0;
            work = mill_grammar_work(grammar);
        } else {
            const int id = mill_language_find(languages, language);
            if (mill_syntax_check(syntax, id < 0 ? 0 : (mill_language_id)id, text.data, bytes, &result, &err) != MILL_OK)
                return fail(&err);
        }
        printf("%d %d %llu %llu %llu\n", result.judged, result.passed, (unsigned long long)result.error_bytes,
               (unsigned long long)work, (unsigned long long)(now() - start));
    }
    mill_buf_free(&text);
    mill_grammar_close(grammar);
    mill_syntax_close(syntax);
    mill_language_table_destroy(languages);
    return 0;
}
