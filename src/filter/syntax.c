// syntax.c: the verdict behind syntax.h. A parse that takes too long is stopped after an amount of work that grows with the text
// (mill_grammar_work_max), so that the verdict does not depend on the machine. Only an interpreter that does not
// answer is given up by the clock, after a time that no text is known to need.
#include "filter/syntax.h"

#include <string.h>

#include "core/grammar.h"
#include "filter/syntax_python.h"

enum { NO_VERDICT = -1, PYTHON_TIMEOUT_MS = 60000 };

struct mill_syntax {
    mill_syntax_mode mode;
    const mill_language_table *languages;
    int32_t *limits; // permille by language id, NO_VERDICT
    size_t limit_count;
    mill_grammar *grammar;
    mill_python *python;
    int python_language; // id of "python", -1 if the table has none
};

bool mill_syntax_has_grammar(const char *language)
{
    return mill_grammar_known(language);
}

const char *mill_syntax_description(void)
{
    return mill_grammar_description();
}

static mill_status resolve_limits(mill_syntax *self, const mill_syntax_options *options, mill_error *err)
{
    self->limit_count = mill_language_count(self->languages);
    self->limits = mill_alloc_zero(self->limit_count, sizeof *self->limits);
    if (self->limits == NULL)
        return mill_fail_nomem(err, "opening the syntax check");
    for (size_t i = 0; i < self->limit_count; i++)
        self->limits[i] = NO_VERDICT;
    for (size_t i = 0; i < options->limit_count; i++) {
        const int id = mill_language_find(self->languages, options->limits[i].language);
        if (id >= 0 && (size_t)id < self->limit_count)
            self->limits[id] = options->limits[i].permille;
    }
    return MILL_OK;
}

mill_status mill_syntax_open(const mill_syntax_options *options, const mill_language_table *languages, mill_syntax **out,
                             mill_error *err)
{
    *out = NULL;
    mill_syntax *self = mill_alloc_zero(1, sizeof *self);
    if (self == NULL)
        return mill_fail_nomem(err, "opening the syntax check");
    self->mode = options->mode;
    self->languages = languages;
    self->python_language = mill_language_find(languages, "python");
    mill_status status = resolve_limits(self, options, err);
    if (status == MILL_OK && self->mode == MILL_SYNTAX_TREE_SITTER)
        status = mill_grammar_open(&self->grammar, err);
    if (status == MILL_OK && self->mode == MILL_SYNTAX_CPYTHON)
        status = mill_python_open(options->python, options->timeout_ms != 0 ? options->timeout_ms : PYTHON_TIMEOUT_MS,
                                  &self->python, err);
    if (status != MILL_OK) {
        mill_syntax_close(self);
        return status;
    }
    *out = self;
    return MILL_OK;
}

void mill_syntax_close(mill_syntax *self)
{
    if (self == NULL)
        return;
    mill_grammar_close(self->grammar);
    mill_python_close(self->python);
    mill_free(self->limits);
    mill_free(self);
}

static mill_status check_grammar(mill_syntax *self, mill_language_id language, const uint8_t *text, uint64_t bytes,
                                 mill_syntax_result *out, mill_error *err)
{
    out->limit_permille = language < self->limit_count ? self->limits[language] : NO_VERDICT;
    if (out->limit_permille < 0)
        return MILL_OK;
    mill_grammar_outcome outcome;
    MILL_TRY(mill_grammar_parse(self->grammar, mill_language_get(self->languages, language)->name, text, bytes,
                                mill_grammar_work_max(bytes), &outcome, err));
    if (outcome != MILL_GRAMMAR_PARSED)
        return MILL_OK;
    out->judged = true;
    out->error_bytes = mill_grammar_error_bytes(self->grammar);
    out->passed = out->error_bytes * 1000 <= (uint64_t)out->limit_permille * bytes;
    return MILL_OK;
}

static mill_status check_python(mill_syntax *self, const uint8_t *text, uint64_t bytes, mill_syntax_result *out, mill_error *err)
{
    mill_python_answer answer;
    MILL_TRY(mill_python_check(self->python, text, bytes, &answer, err));
    out->judged = answer != MILL_PYTHON_TIMEOUT;
    out->passed = answer != MILL_PYTHON_REFUSED;
    return MILL_OK;
}

mill_status mill_syntax_check(mill_syntax *self, mill_language_id language, const uint8_t *text, uint64_t bytes,
                              mill_syntax_result *out, mill_error *err)
{
    *out = (mill_syntax_result){.passed = true, .limit_permille = NO_VERDICT};
    if (self->mode == MILL_SYNTAX_TREE_SITTER)
        return check_grammar(self, language, text, bytes, out, err);
    if (self->mode == MILL_SYNTAX_CPYTHON && language == self->python_language)
        return check_python(self, text, bytes, out, err);
    return MILL_OK;
}
