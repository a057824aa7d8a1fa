// fim.c: the plan of one piece: transform or not, which order, where to cut. Every decision is a counter draw of (seed, record
// key, piece), so it is the same on any thread, rank or order of calls.
#include "fim/fim.h"

#include "core/alloc.h"
#include "core/grammar.h"
#include "core/utf8.h"
#include "fim/fim_internal.h"

const char *const mill_fim_cut_names[MILL_FIM_CUT_COUNT] = {"char",  "line",  "token", "block", "line-completion",
                                                            "multi", "guide"};

struct mill_fim {
    mill_fim_options options;
    const mill_language_table *languages;
    mill_block_list blocks;
    mill_grammar *grammar; // cut block only
};

mill_status mill_fim_open(const mill_fim_options *options, const mill_language_table *languages, mill_fim **out, mill_error *err)
{
    if (options->rate_permille > 1000 || options->spm_permille > 1000)
        return mill_fail(err, MILL_RECIPE, "fim.rate and fim.spm_rate must be between 0 and 1");
    if ((unsigned)options->cut >= MILL_FIM_CUT_COUNT)
        return mill_fail(err, MILL_RECIPE, "fim.cut: no such kind of cut");
    mill_fim *fim = mill_alloc_zero(1, sizeof *fim);
    if (fim == NULL)
        return mill_fail_nomem(err, "fill-in-the-middle handle");
    fim->options = *options;
    fim->languages = languages;
    fim->blocks.lines_max = options->block_lines_max;
    mill_status status = options->cut == MILL_FIM_BLOCK ? mill_grammar_open(&fim->grammar, err) : MILL_OK;
    if (status != MILL_OK) {
        mill_fim_close(fim);
        return status;
    }
    *out = fim;
    return MILL_OK;
}

void mill_fim_close(mill_fim *fim)
{
    if (fim == NULL)
        return;
    mill_grammar_close(fim->grammar);
    mill_block_list_free(&fim->blocks);
    mill_free(fim);
}

bool mill_fim_drawn(const mill_fim *fim, mill_key key, uint32_t piece)
{
    mill_fim_draws draws = {fim->options.seed, key, piece};
    return mill_fim_word(&draws, MILL_FIM_WORD_TRANSFORM, 1000) < fim->options.rate_permille;
}

static bool on_code_points(const mill_cut_text *in, mill_cut_span span)
{
    return span.begin <= span.end && span.end <= in->bytes && (in->text[span.begin] & 0xc0) != 0x80 &&
           (span.end == in->bytes || (in->text[span.end] & 0xc0) != 0x80);
}

// Blocks of the language's grammar; none if this build has no such grammar or it gives up.
static mill_status blocks_by_grammar(mill_fim *fim, const char *language, const mill_cut_text *in, mill_error *err)
{
    mill_block_list *list = &fim->blocks;
    mill_grammar_outcome outcome;
    if (in->bytes == 0 || !mill_grammar_known(language))
        return MILL_OK;
    MILL_TRY(mill_grammar_parse(fim->grammar, language, in->text, in->bytes, mill_grammar_work_max(in->bytes), &outcome,
                                err));
    if (outcome != MILL_GRAMMAR_PARSED)
        return MILL_OK;
    const mill_grammar_span *spans;
    size_t count;
    MILL_TRY(mill_grammar_blocks(fim->grammar, fim->options.block_lines_max, &spans, &count, err));
    MILL_TRY(MILL_GROW(list->spans, list->capacity, count, err));
    for (size_t i = 0; i < count; i++) {
        const mill_cut_span span = {spans[i].begin, spans[i].end};
        if (span.begin < in->bytes && on_code_points(in, span))
            list->spans[list->count++] = span;
    }
    return MILL_OK;
}

// A block by the language's grammar, else by its habits, else a line cut.
static mill_status cut_block(mill_fim *fim, mill_language_id language, const mill_cut_text *in, const mill_fim_draws *draws,
                             mill_fim_plan *out, bool *cut, mill_error *err)
{
    mill_block_list *list = &fim->blocks;
    const mill_language *traits = fim->languages != NULL ? mill_language_get(fim->languages, language) : NULL;
    list->count = 0;
    if (traits != NULL)
        MILL_TRY(blocks_by_grammar(fim, traits->name, in, err));
    if (list->count == 0 && traits != NULL && traits->blocks == MILL_BLOCKS_INDENT)
        MILL_TRY(mill_blocks_by_indent(list, in->text, in->bytes, err));
    else if (list->count == 0 && traits != NULL && traits->blocks == MILL_BLOCKS_BRACES)
        MILL_TRY(mill_blocks_by_braces(list, in->text, in->bytes, err));
    if (list->count == 0) {
        *cut = mill_cut_line(in, draws, out);
        return MILL_OK;
    }
    mill_cut_span span = list->spans[mill_fim_word(draws, MILL_FIM_WORD_CUT, list->count)];
    out->span_count = 1;
    out->begin[0] = span.begin;
    out->end[0] = span.end;
    *cut = true;
    return MILL_OK;
}

// Whether it has fewer than `chars` code points, each of which takes one to four bytes.
static bool is_short(const uint8_t *text, uint64_t bytes, uint64_t chars)
{
    return bytes < chars || (bytes / 4 < chars && mill_utf8_count(text, bytes) < chars);
}

mill_status mill_fim_plan_piece(mill_fim *fim, mill_key key, uint32_t piece, mill_language_id language, const uint8_t *text,
                                uint64_t bytes, const uint32_t *token_ends, size_t token_count, mill_fim_plan *out,
                                mill_error *err)
{
    *out = (mill_fim_plan){.mode = MILL_FIM_NONE};
    const mill_fim_options *options = &fim->options;
    if (!mill_fim_drawn(fim, key, piece) || is_short(text, bytes, options->min_chars))
        return MILL_OK;
    mill_fim_draws draws = {options->seed, key, piece};
    mill_cut_text in = {text, bytes, token_ends, token_count};
    bool spm = mill_fim_word(&draws, MILL_FIM_WORD_SPM, 1000) < options->spm_permille;
    mill_fim_mode mode = spm ? MILL_FIM_SPM : MILL_FIM_PSM;
    bool cut = false;
    switch (options->cut) {
    case MILL_FIM_CHAR: cut = mill_cut_char(&in, &draws, out); break;
    case MILL_FIM_LINE: cut = mill_cut_line(&in, &draws, out); break;
    case MILL_FIM_TOKEN: cut = mill_cut_token(&in, &draws, out); break;
    case MILL_FIM_BLOCK: MILL_TRY(cut_block(fim, language, &in, &draws, out, &cut, err)); break;
    case MILL_FIM_LINE_COMPLETION: cut = mill_cut_line_completion(&in, &draws, out); break;
    case MILL_FIM_MULTI:
        cut = mill_cut_multi(&in, &draws, out);
        mode = MILL_FIM_SPANS;
        break;
    case MILL_FIM_GUIDE:
        cut = mill_cut_guide(&in, &draws, out);
        mode = MILL_FIM_PSM;
        break;
    case MILL_FIM_CUT_COUNT: break;
    }
    if (cut)
        out->mode = mode;
    return MILL_OK;
}

void mill_fim_draw_python(const mill_fim_options *options, mill_mt19937 *mt, uint64_t lines, mill_fim_mode *mode,
                          uint64_t *first, uint64_t *second)
{
    *mode = MILL_FIM_NONE;
    *first = *second = 0;
    // The division is the correctly rounded double that Python reads from "0.5" or "0.137".
    if (mill_mt19937_random(mt) > (double)options->rate_permille / 1000.0 || lines < 3)
        return;
    *first = mill_mt19937_randint(mt, 1, lines - 2);
    *second = mill_mt19937_randint(mt, *first + 1, lines - 1);
    *mode = MILL_FIM_PSM;
}

void mill_fim_plan_lines(const uint8_t *text, uint64_t bytes, uint64_t first, uint64_t second, mill_fim_plan *out)
{
    *out = (mill_fim_plan){.mode = MILL_FIM_NONE};
    if (first == 0)
        return;
    MILL_ASSERT(first < second && second <= mill_cut_count_newlines(text, bytes));
    // The newlines at begin - 1 and at end - 1 belong to no part: the guide joins its lines without them.
    out->mode = MILL_FIM_PSM;
    out->guide = true;
    out->span_count = 1;
    out->begin[0] = mill_cut_line_start(text, bytes, first);
    out->end[0] = out->begin[0] + mill_cut_line_start(text + out->begin[0], bytes - out->begin[0], second - first);
}
