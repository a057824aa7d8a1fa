// filter_rules.c: the rules. Each compares one measurement with one limit, in integers; the draws compare
// doubles exactly as CPython would.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "filter/lines.h"
#include "filter/markers_internal.h"
#include "filter/rules.h"

mill_subject mill_subject_of(const mill_batch *batch, uint32_t i, mill_text_stat stat)
{
    mill_subject subject = {.batch = batch, .i = i, .stat = stat};
    subject.text = mill_batch_text(batch, i, &subject.bytes);
    return subject;
}

__attribute__((format(printf, 2, 3))) static void print(char out[96], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out, 96, format, args); // cut at the end: a row is for reading
    va_end(args);
}

// "0.5" for 500; three digits where needed.
static void print_limit(char out[96], const char *relation, uint32_t permille)
{
    int digits = permille % 1000 == 0 ? 0 : permille % 100 == 0 ? 1 : permille % 10 == 0 ? 2 : 3;
    uint32_t rest = permille % 1000 / (digits == 1 ? 100 : digits == 2 ? 10 : 1);
    if (digits == 0)
        print(out, "%s %u", relation, permille / 1000);
    else
        print(out, "%s %u.%0*u", relation, permille / 1000, digits, rest);
}

// "0.317 (1234 of 3890 lines)"; the fraction is cut, not rounded, so that it never crosses the limit.
static void print_share(char out[96], uint64_t part, uint64_t whole, const char *unit)
{
    uint64_t permille = whole == 0 ? 0 : part * 1000 / whole;
    print(out, "%llu.%03llu (%llu of %llu %s)", (unsigned long long)(permille / 1000),
          (unsigned long long)(permille % 1000), (unsigned long long)part, (unsigned long long)whole, unit);
}

static void print_count(char out[96], const char *relation, uint64_t count, const char *unit)
{
    print(out, "%s%llu %s", relation, (unsigned long long)count, unit);
}

// --- language, licence

bool mill_language_wanted(const mill_filter *f, mill_language_id id)
{
    return f->options.languages == NULL || (id < f->options.languages_count && f->options.languages[id]);
}

static mill_status judge_language(mill_filter *f, mill_subject *s, bool *passed, mill_error *err)
{
    (void)err;
    *passed = mill_language_wanted(f, s->batch->language[s->i]);
    return MILL_OK;
}

static mill_status describe_language(mill_filter *f, mill_subject *s, mill_rule_result *row, mill_error *err)
{
    (void)err;
    print(row->measured, "%s", mill_language_get(f->languages, s->batch->language[s->i])->name);
    print(row->limit, "%s", f->options.languages == NULL ? "any" : "one of the chosen languages");
    return MILL_OK;
}

static bool licence_allowed(const mill_filter *f, const char *name, size_t bytes)
{
    for (const char *const *allowed = f->options.licences; *allowed != NULL; allowed++) {
        size_t i = 0;
        while (i < bytes && (*allowed)[i] != '\0' &&
               mill_ascii_lower((uint8_t)name[i]) == (uint8_t)(*allowed)[i])
            i++;
        if (i == bytes && (*allowed)[i] == '\0')
            return true;
    }
    return false;
}

// Every licence of the list (separated by ',' or ';') must be allowed: a text under two licences needs both.
static mill_status judge_licence(mill_filter *f, mill_subject *s, bool *passed, mill_error *err)
{
    (void)err;
    mill_span span = s->batch->licence[s->i];
    *passed = f->options.licences[0] == NULL;
    if (*passed)
        return MILL_OK;
    const char *at = span.bytes == 0 ? "" : mill_batch_meta(s->batch, span), *end = at + span.bytes;
    while (at < end) {
        const char *stop = at;
        while (stop < end && *stop != ',' && *stop != ';')
            stop++;
        const char *first = at, *last = stop;
        while (first < last && *first == ' ')
            first++;
        while (first < last && last[-1] == ' ')
            last--;
        if (first < last) {
            *passed = licence_allowed(f, first, (size_t)(last - first));
            if (!*passed)
                return MILL_OK;
        }
        at = stop + (stop < end);
    }
    return MILL_OK;
}

static mill_status describe_licence(mill_filter *f, mill_subject *s, mill_rule_result *row, mill_error *err)
{
    (void)err;
    mill_span span = s->batch->licence[s->i];
    if (span.bytes == 0)
        print(row->measured, "none");
    else
        print(row->measured, "%.*s", (int)(span.bytes < 90 ? span.bytes : 90),
              mill_batch_meta(s->batch, span));
    print(row->limit, "%s", f->options.licences[0] == NULL ? "any" : "all of them in the recipe's list");
    return MILL_OK;
}

// --- size and shape

static bool may_be_short(const mill_filter *f, const mill_subject *s)
{
    return (f->options.short_types >> s->batch->type[s->i] & 1) != 0;
}

static mill_status judge_min_chars(mill_filter *f, mill_subject *s, bool *passed, mill_error *err)
{
    (void)err;
    *passed = s->stat.chars >= f->options.min_chars || may_be_short(f, s);
    return MILL_OK;
}

static mill_status describe_min_chars(mill_filter *f, mill_subject *s, mill_rule_result *row, mill_error *err)
{
    (void)err;
    print_count(row->measured, "", s->stat.chars, "characters");
    print_count(row->limit, ">= ", f->options.min_chars, "characters");
    return MILL_OK;
}

static mill_status judge_max_chars(mill_filter *f, mill_subject *s, bool *passed, mill_error *err)
{
    (void)err;
    *passed = s->stat.chars <= f->options.max_chars;
    return MILL_OK;
}

static mill_status describe_max_chars(mill_filter *f, mill_subject *s, mill_rule_result *row, mill_error *err)
{
    (void)err;
    print_count(row->measured, "", s->stat.chars, "characters");
    print_count(row->limit, "<= ", f->options.max_chars, "characters");
    return MILL_OK;
}

static mill_status judge_min_lines(mill_filter *f, mill_subject *s, bool *passed, mill_error *err)
{
    (void)err;
    *passed = s->stat.lines >= f->options.min_lines || may_be_short(f, s);
    return MILL_OK;
}

static mill_status describe_min_lines(mill_filter *f, mill_subject *s, mill_rule_result *row, mill_error *err)
{
    (void)err;
    print_count(row->measured, "", s->stat.lines, "lines");
    print_count(row->limit, ">= ", f->options.min_lines, "lines");
    return MILL_OK;
}

// chars / lines > limit, without a product that could overflow.
static mill_status judge_line_length(mill_filter *f, mill_subject *s, bool *passed, mill_error *err)
{
    (void)err;
    uint64_t mean = s->stat.chars / s->stat.lines, rest = s->stat.chars % s->stat.lines;
    *passed = mean < f->options.max_mean_line || (mean == f->options.max_mean_line && rest == 0);
    return MILL_OK;
}

static mill_status describe_line_length(mill_filter *f, mill_subject *s, mill_rule_result *row,
                                        mill_error *err)
{
    (void)err;
    uint64_t rest = s->stat.chars % s->stat.lines;
    print(row->measured, "%llu.%llu (%llu characters on %llu lines)",
          (unsigned long long)(s->stat.chars / s->stat.lines),
          (unsigned long long)(rest * 10 / s->stat.lines), (unsigned long long)s->stat.chars,
          (unsigned long long)s->stat.lines);
    print_count(row->limit, "<= ", f->options.max_mean_line, "characters a line");
    return MILL_OK;
}

static mill_status judge_alnum_ratio(mill_filter *f, mill_subject *s, bool *passed, mill_error *err)
{
    (void)err;
    *passed = 1000 * s->stat.alnum_or_space >= f->options.min_alnum_permille * s->stat.chars;
    return MILL_OK;
}

static mill_status describe_alnum_ratio(mill_filter *f, mill_subject *s, mill_rule_result *row,
                                        mill_error *err)
{
    (void)err;
    print_share(row->measured, s->stat.alnum_or_space, s->stat.chars, "characters");
    print_limit(row->limit, ">=", f->options.min_alnum_permille);
    return MILL_OK;
}

// --- content

uint32_t mill_filter_comment_styles(const mill_filter *f, const mill_batch *batch, uint32_t i)
{
    uint32_t styles = MILL_COMMENT_HASH | MILL_COMMENT_SLASHES;
    if (f->options.comment_by_language)
        styles = mill_language_get(f->languages, batch->language[i])->comments;
    // Block comments are mostly documentation: a quarter of the Java files of our corpus is more than half Javadoc.
    return f->options.comment_blocks ? styles : styles & ~(uint32_t)MILL_COMMENT_STAR;
}

static uint64_t comment_lines(mill_filter *f, mill_subject *s)
{
    if (!s->counted) {
        uint32_t styles = mill_filter_comment_styles(f, s->batch, s->i);
        if (styles != 0)
            s->comment_lines =
                (f->vector ? mill_comment_lines_avx2 : mill_comment_lines)(s->text, s->bytes, styles);
        s->counted = true;
    }
    return s->comment_lines;
}

static mill_status judge_comment_ratio(mill_filter *f, mill_subject *s, bool *passed, mill_error *err)
{
    (void)err;
    *passed = f->options.max_comment_permille >= 1000 ||
              1000 * comment_lines(f, s) <= f->options.max_comment_permille * s->stat.lines;
    return MILL_OK;
}

static mill_status describe_comment_ratio(mill_filter *f, mill_subject *s, mill_rule_result *row,
                                          mill_error *err)
{
    (void)err;
    print_share(row->measured, comment_lines(f, s), s->stat.lines, "lines");
    print_limit(row->limit, "<=", f->options.max_comment_permille);
    return MILL_OK;
}

bool mill_filter_words_count(const mill_filter *f, const mill_batch *batch, uint32_t i)
{
    int id = batch->language[i];
    return id == f->word_languages[0] || id == f->word_languages[1] || id == f->word_languages[2];
}

static mill_status search(mill_filter *f, mill_subject *s, mill_error *err)
{
    if (s->searched)
        return MILL_OK;
    s->searched = true;
    return mill_markers_find(&f->markers, s->text, s->bytes, mill_filter_words_count(f, s->batch, s->i), f->vector, &f->scratch,
                             &s->hits, err);
}

static mill_status judge_autogen(mill_filter *f, mill_subject *s, bool *passed, mill_error *err)
{
    MILL_TRY(search(f, s, err));
    *passed = !s->hits.autogen;
    return MILL_OK;
}

// Names the marker, and notes what both kinds of marker say, since a scan stops at the first of its findings.
static mill_status describe_markers(mill_filter *f, mill_subject *s, mill_marker_kind kind, char out[96],
                                    mill_error *err)
{
    const mill_marker *first;
    MILL_TRY(mill_markers_first(&f->markers, kind, s->text, s->bytes, mill_filter_words_count(f, s->batch, s->i), &f->scratch,
                                &first, err));
    if (kind == MILL_MARKER_TEST)
        s->hits.test = first != NULL;
    if (first != NULL)
        print(out, "has \"%.60s\"", first->text);
    else
        print(out, "no marker");
    return MILL_OK;
}

static mill_status describe_autogen(mill_filter *f, mill_subject *s, mill_rule_result *row, mill_error *err)
{
    print(row->limit, "no marker");
    return describe_markers(f, s, MILL_MARKER_AUTOGEN, row->measured, err);
}

// --- draws

// CPython's `u < rate` with a rate of three decimals: the quotient is the double nearest to the decimal.
static double rate_of(uint32_t permille)
{
    return (double)permille / 1000.0;
}

static uint64_t draw(const mill_filter *f, const mill_subject *s, mill_purpose purpose)
{
    return mill_draw(f->options.seed, purpose, mill_batch_key(s->batch, s->i), 0);
}

static mill_status judge_test(mill_filter *f, mill_subject *s, bool *passed, mill_error *err)
{
    MILL_TRY(search(f, s, err));
    *passed = !s->hits.test || f->options.rng == MILL_RNG_PYTHON ||
              !(mill_draw_unit(draw(f, s, MILL_DRAW_TEST)) > rate_of(f->options.test_keep_permille));
    return MILL_OK;
}

// Appends the first six decimals of a draw.
static void print_draw(char out[96], const mill_filter *f, const mill_subject *s, mill_purpose purpose)
{
    size_t used = strlen(out);
    if (f->options.rng == MILL_RNG_PYTHON)
        snprintf(out + used, 96 - used, ", drawn in document order");
    else
        snprintf(out + used, 96 - used, ", drew 0.%06llu",
                 (unsigned long long)((draw(f, s, purpose) >> 32) * 1000000 >> 32));
}

static mill_status describe_test(mill_filter *f, mill_subject *s, mill_rule_result *row, mill_error *err)
{
    MILL_TRY(describe_markers(f, s, MILL_MARKER_TEST, row->measured, err));
    if (s->hits.test)
        print_draw(row->measured, f, s, MILL_DRAW_TEST);
    print_limit(row->limit, "no test, or draw <=", f->options.test_keep_permille);
    return MILL_OK;
}

// The share with which a star tier is kept, in permille; 1000 = always, without a draw.
static uint32_t star_permille(const mill_filter_options *options, int64_t stars)
{
    if (!options->star_sampling || (stars == MILL_STARS_MISSING && options->stars_missing_keep))
        return 1000;
    if (stars == MILL_STARS_MISSING)
        stars = 0;
    if (stars > options->stars_high)
        return 1000;
    return stars > options->stars_mid ? options->stars_mid_permille : options->stars_low_permille;
}

static mill_status judge_stars(mill_filter *f, mill_subject *s, bool *passed, mill_error *err)
{
    (void)err;
    uint32_t permille = star_permille(&f->options, s->batch->stars[s->i]);
    *passed = permille >= 1000 || f->options.rng == MILL_RNG_PYTHON ||
              mill_draw_unit(draw(f, s, MILL_DRAW_STARS)) < rate_of(permille);
    return MILL_OK;
}

static mill_status describe_stars(mill_filter *f, mill_subject *s, mill_rule_result *row, mill_error *err)
{
    (void)err;
    int64_t stars = s->batch->stars[s->i];
    uint32_t permille = star_permille(&f->options, stars);
    if (stars == MILL_STARS_MISSING)
        print(row->measured, "no star count");
    else
        print(row->measured, "%lld stars", (long long)stars);
    if (permille >= 1000) {
        print(row->limit, "any draw");
        return MILL_OK;
    }
    print_draw(row->measured, f, s, MILL_DRAW_STARS);
    print_limit(row->limit, "draw <", permille);
    return MILL_OK;
}

const mill_rule mill_rules[MILL_RULE_COUNT] = {
    {MILL_REASON_LANGUAGE, false, judge_language, describe_language},
    {MILL_REASON_LICENCE, false, judge_licence, describe_licence},
    {MILL_REASON_MIN_CHARS, true, judge_min_chars, describe_min_chars},
    {MILL_REASON_MAX_CHARS, false, judge_max_chars, describe_max_chars},
    {MILL_REASON_MIN_LINES, true, judge_min_lines, describe_min_lines},
    {MILL_REASON_LINE_LENGTH, true, judge_line_length, describe_line_length},
    {MILL_REASON_ALNUM_RATIO, true, judge_alnum_ratio, describe_alnum_ratio},
    {MILL_REASON_COMMENT_RATIO, true, judge_comment_ratio, describe_comment_ratio},
    {MILL_REASON_AUTOGEN, true, judge_autogen, describe_autogen},
    {MILL_REASON_TEST, true, judge_test, describe_test},
    {MILL_REASON_STARS, true, judge_stars, describe_stars},
};

mill_reason mill_filter_draw_python(const mill_filter_options *options, mill_mt19937 *mt, bool is_test,
                                    int64_t stars)
{
    if (is_test && mill_mt19937_random(mt) > rate_of(options->test_keep_permille))
        return MILL_REASON_TEST;
    uint32_t permille = star_permille(options, stars);
    // The guide draws for every tier but the highest; a tier that is kept always by its rate (1.0) still
    // draws.
    bool draws = options->star_sampling && !(stars == MILL_STARS_MISSING && options->stars_missing_keep) &&
                 stars <= options->stars_high;
    if (draws && !(mill_mt19937_random(mt) < rate_of(permille)))
        return MILL_REASON_STARS;
    return MILL_KEPT;
}
