// filter.c: runs the rule table (filter_rules.c) over batches.
#include "filter/filter.h"

#include <stdio.h>
#include <string.h>

#include "core/unicode.h"
#include "filter/rules.h"

static bool processor_has_avx2(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") != 0;
#else
    return false;
#endif
}

mill_status mill_filter_open(const mill_filter_options *options, const mill_language_table *languages,
                             const mill_backend_ops *backend, mill_filter **out, mill_error *err)
{
    static const char *const word_languages[3] = {"javascript", "typescript", "ruby"};
    *out = NULL;
    if (!mill_unicode_known(options->unicode))
        return mill_fail(err, MILL_RECIPE,
                         "no isalnum table for Unicode %u.%u; there are 14.0, 15.0, 15.1 and 16.0",
                         options->unicode / 10, options->unicode % 10);
    mill_filter *filter = mill_alloc_zero(1, sizeof *filter);
    if (filter == NULL)
        return mill_fail_nomem(err, "the filter");
    filter->options = *options;
    filter->languages = languages;
    filter->vector = strcmp(backend->name, "ref") != 0 && processor_has_avx2();
    for (size_t i = 0; i < sizeof word_languages / sizeof *word_languages; i++)
        filter->word_languages[i] = mill_language_find(languages, word_languages[i]);
    mill_status status =
        mill_markers_init(options->autogen_markers, options->test_markers, options->test_words,
                          options->autogen_window, &filter->markers, err);
    if (status == MILL_OK)
        status = backend->open(backend, &filter->backend, err);
    if (status == MILL_OK)
        status = mill_filter_scan_open(filter, err);
    if (status != MILL_OK) {
        mill_filter_close(filter);
        return status;
    }
    *out = filter;
    return MILL_OK;
}

void mill_filter_close(mill_filter *filter)
{
    if (filter == NULL)
        return;
    if (filter->backend != NULL)
        filter->backend->ops->close(filter->backend);
    mill_filter_scan_close(filter);
    mill_markers_free(&filter->markers);
    mill_buf_free(&filter->scratch);
    mill_free(filter->stats);
    mill_free(filter);
}

static mill_status judge(mill_filter *filter, mill_batch *batch, uint32_t i, mill_error *err)
{
    mill_subject subject = mill_subject_of(batch, i, filter->stats[i]);
    const bool is_chat = (batch->flags[i] & MILL_FLAG_CHAT) != 0;
    for (size_t r = 0; r < MILL_RULE_COUNT; r++) {
        bool passed;
        if (mill_rules[r].of_files && is_chat)
            continue;
        MILL_TRY(mill_rules[r].judge(filter, &subject, &passed, err));
        if (!passed) {
            batch->verdict[i] = (uint16_t)mill_rules[r].reason;
            break;
        }
    }
    if (subject.searched && subject.hits.test)
        batch->flags[i] |= MILL_FLAG_TEST;
    return MILL_OK;
}

// The choice of languages is the user's and no judgement of quality: it holds where the filters are off, too.
static void keep_languages(const mill_filter *filter, mill_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        if (batch->verdict[i] == MILL_KEPT && !mill_language_wanted(filter, batch->language[i]))
            batch->verdict[i] = MILL_REASON_LANGUAGE;
}

mill_status mill_filter_batch(mill_filter *filter, mill_batch *batch, mill_error *err)
{
    if (batch->count == 0)
        return MILL_OK;
    if (!filter->options.enabled) {
        keep_languages(filter, batch);
        return MILL_OK;
    }
    MILL_TRY(MILL_GROW(filter->stats, filter->stats_capacity, batch->count, err));
    mill_text_view view = mill_batch_view(batch);
    MILL_TRY(filter->backend->ops->text_stats(filter->backend, &view, filter->options.unicode, filter->stats,
                                              err));
    MILL_TRY(mill_filter_scan_batch(filter, batch, err));
    for (uint32_t i = 0; i < batch->count; i++)
        if (batch->verdict[i] == MILL_KEPT)
            MILL_TRY(judge(filter, batch, i, err));
    return MILL_OK;
}

mill_status mill_filter_explain(mill_filter *filter, const mill_batch *batch, uint32_t i,
                                mill_rule_result results[MILL_RULES_MAX], uint32_t *count, mill_error *err)
{
    MILL_ASSERT(i < batch->count);
    _Static_assert(MILL_RULE_COUNT <= MILL_RULES_MAX, "explain has a row for every rule");
    mill_text_view view = {batch->text.data, batch->text_offset + i, 1};
    mill_text_stat stat;
    *count = 0;
    if (!filter->options.enabled)
        return MILL_OK;
    MILL_TRY(filter->backend->ops->text_stats(filter->backend, &view, filter->options.unicode, &stat, err));
    mill_subject subject = mill_subject_of(batch, i, stat);
    for (size_t r = 0; r < MILL_RULE_COUNT; r++) {
        mill_rule_result *row = &results[(*count)++];
        *row = (mill_rule_result){.rule = mill_reason_name(mill_rules[r].reason), .limit = "none", .passed = true};
        if (mill_rules[r].of_files && (batch->flags[i] & MILL_FLAG_CHAT) != 0) {
            snprintf(row->measured, sizeof row->measured, "not asked of a conversation");
            continue;
        }
        MILL_TRY(
            mill_rules[r].describe(filter, &subject, row, err)); // also completes what judge needs to know
        MILL_TRY(mill_rules[r].judge(filter, &subject, &row->passed, err));
    }
    return MILL_OK;
}
