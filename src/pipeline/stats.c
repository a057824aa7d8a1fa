// stats.c: mill_stats: the metrics of a finished run, as tables or as one JSON document.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "pipeline/finished.h"

#define NAME_WIDTH 22
#define COUNT_WIDTH 18
#define TIMINGS ".shardmill/timings.json"
#define TIMINGS_MAX (1u << 20)

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0.0;
}

// ---- tables ---------------------------------------------------------------------------------------------

static mill_status append_name(mill_buf *out, const char *name, int indent, mill_error *err)
{
    size_t begin = out->bytes;
    MILL_TRY(mill_buf_printf(out, err, "%*s", indent, ""));
    MILL_TRY(mill_append_escaped(out, name, strlen(name), false, err));
    size_t used = out->bytes - begin;
    return mill_buf_printf(out, err, "%*s", used < NAME_WIDTH ? (int)(NAME_WIDTH - used) : 1, "");
}

// "  name      12,345   6.7 %": the share of a whole, left out when there is none.
static mill_status append_row(mill_buf *out, const char *name, int indent, uint64_t value, uint64_t whole,
                              mill_error *err)
{
    MILL_TRY(append_name(out, name, indent, err));
    MILL_TRY(mill_append_grouped(out, value, COUNT_WIDTH, err));
    if (whole != 0)
        MILL_TRY(mill_buf_printf(out, err, "  %6.2f %%", 100.0 * (double)value / (double)whole));
    return mill_buf_append_text(out, "\n", err);
}

static mill_status append_funnel(mill_buf *out, const cJSON *metrics, mill_error *err)
{
    const cJSON *funnel = cJSON_GetObjectItemCaseSensitive(metrics, "funnel"), *reason;
    const cJSON *rejected = cJSON_GetObjectItemCaseSensitive(funnel, "rejected");
    const cJSON *duplicate = cJSON_GetObjectItemCaseSensitive(funnel, "duplicate");
    const uint64_t read = mill_finished_number(funnel, "read");
    MILL_TRY(mill_buf_append_text(out, "records\n", err));
    MILL_TRY(append_row(out, "read", 2, read, read, err));
    cJSON_ArrayForEach(reason, rejected)
    {
        char name[64];
        snprintf(name, sizeof name, "- %.40s", reason->string != NULL ? reason->string : "");
        MILL_TRY(append_row(out, name, 2, mill_finished_number(rejected, reason->string), read, err));
    }
    MILL_TRY(append_row(out, "- exact duplicates", 2, mill_finished_number(duplicate, "exact"), read, err));
    MILL_TRY(append_row(out, "- near duplicates", 2, mill_finished_number(duplicate, "near"), read, err));
    MILL_TRY(append_row(out, "- unselected", 2, mill_finished_number(funnel, "unselected"), read, err));
    MILL_TRY(append_row(out, "- quarantined", 2, mill_finished_number(funnel, "quarantined"), read, err));
    return append_row(out, "= kept", 2, mill_finished_number(funnel, "kept"), read, err);
}

static mill_status append_rate(mill_buf *out, const char *name, double rate, mill_error *err)
{
    MILL_TRY(append_name(out, name, 2, err));
    return mill_buf_printf(out, err, "%*.2f %%\n", COUNT_WIDTH - 2, 100.0 * rate);
}

static mill_status append_metrics(mill_buf *out, const cJSON *metrics, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "\nmetrics\n", err));
    MILL_TRY(append_row(out, "samples", 2, mill_finished_number(metrics, "total_samples"), 0, err));
    MILL_TRY(append_row(out, "tokens", 2, mill_finished_number(metrics, "total_tokens"), 0, err));
    MILL_TRY(append_name(out, "tokens a sample", 2, err));
    MILL_TRY(mill_buf_printf(out, err, "%*.1f\n", COUNT_WIDTH, number_of(metrics, "avg_sequence_length")));
    MILL_TRY(append_rate(out, "filter pass rate", number_of(metrics, "filter_pass_rate"), err));
    MILL_TRY(append_rate(out, "deduplication rate", number_of(metrics, "deduplication_rate"), err));
    return append_rate(out, "FIM transform rate", number_of(metrics, "fim_transform_rate"), err);
}

static mill_status append_tokens(mill_buf *out, const cJSON *metrics, mill_error *err)
{
    static const struct {
        const char *key, *name;
    } rows[] = {{"encoded", "encoded"},
                {"repeated_epochs", "+ more epochs"},
                {"repeated_borders", "+ repeated borders"},
                {"dropped_short_rows", "- short rows"},
                {"dropped_by_packing", "- left by packing"},
                {"unselected", "- unselected"},
                {"in_samples", "= in samples"}};
    const cJSON *tokens = cJSON_GetObjectItemCaseSensitive(metrics, "tokens");
    uint64_t encoded = mill_finished_number(tokens, "encoded");
    MILL_TRY(mill_buf_append_text(out, "\ntokens\n", err));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        MILL_TRY(append_row(out, rows[i].name, 2, mill_finished_number(tokens, rows[i].key), encoded, err));
    return append_rate(out, "packing efficiency", number_of(tokens, "packing_efficiency"), err);
}

static uint64_t tokens_of(const cJSON *language)
{
    return mill_finished_number(language, "tokens");
}

// Most tokens first, then by name.
static int compare_languages(const void *a, const void *b)
{
    const cJSON *x = *(const cJSON *const *)a, *y = *(const cJSON *const *)b;
    if (tokens_of(x) != tokens_of(y))
        return tokens_of(x) > tokens_of(y) ? -1 : 1;
    return strcmp(x->string, y->string);
}

static mill_status append_languages(mill_buf *out, const cJSON *metrics, mill_error *err)
{
    const cJSON *languages = cJSON_GetObjectItemCaseSensitive(metrics, "languages"), *language;
    const cJSON **list = NULL;
    size_t count = 0, capacity = 0;
    uint64_t total = 0;
    mill_status status = MILL_OK;
    cJSON_ArrayForEach(language, languages)
    {
        if (language->string == NULL || !cJSON_IsObject(language))
            continue;
        MILL_TRY_GOTO(MILL_GROW(list, capacity, count + 1, err));
        list[count++] = language;
        total += tokens_of(language);
    }
    if (count == 0)
        goto cleanup;
    qsort(list, count, sizeof *list, compare_languages);
    MILL_TRY_GOTO(mill_buf_append_text(out, "\nlanguages, tokens\n", err));
    for (size_t i = 0; i < count; i++)
        MILL_TRY_GOTO(append_row(out, list[i]->string, 2, tokens_of(list[i]), total, err));
cleanup:
    mill_free(list);
    return status;
}

static mill_status append_timings(mill_buf *out, const cJSON *timings, mill_error *err)
{
    const cJSON *stages = cJSON_GetObjectItemCaseSensitive(timings, "stages"), *stage;
    if (!cJSON_IsArray(stages))
        return MILL_OK;
    MILL_TRY(mill_buf_printf(out, err, "\n%-*s%*s  %9s  %14s\n", NAME_WIDTH, "time of the last run",
                             COUNT_WIDTH, "seconds", "MB/s", "records/s"));
    cJSON_ArrayForEach(stage, stages)
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(stage, "name");
        double seconds = number_of(stage, "seconds");
        if (!cJSON_IsString(name) || !(seconds > 0.0 && seconds < 1e12))
            continue;
        double bytes = number_of(stage, "bytes"), records = number_of(stage, "records");
        MILL_TRY(append_name(out, name->valuestring, 2, err));
        MILL_TRY(mill_buf_printf(out, err, "%*.3f", COUNT_WIDTH, seconds));
        MILL_TRY(bytes > 0.0 ? mill_buf_printf(out, err, "  %9.1f", bytes / 1e6 / seconds)
                             : mill_buf_printf(out, err, "  %9s", "-"));
        MILL_TRY(mill_buf_append_text(out, "  ", err));
        MILL_TRY(records > 0.0 && records / seconds < 1e18
                     ? mill_append_grouped(out, (uint64_t)(records / seconds), 14, err)
                     : mill_buf_printf(out, err, "%14s", "-"));
        MILL_TRY(mill_buf_append_text(out, "\n", err));
    }
    MILL_TRY(append_name(out, "whole run", 2, err));
    return mill_buf_printf(out, err, "%*.3f\n", COUNT_WIDTH, number_of(timings, "wall_seconds"));
}

static mill_status append_tables(mill_buf *out, const cJSON *metrics, const cJSON *timings, mill_error *err)
{
    MILL_TRY(append_funnel(out, metrics, err));
    MILL_TRY(append_metrics(out, metrics, err));
    MILL_TRY(append_tokens(out, metrics, err));
    MILL_TRY(append_languages(out, metrics, err));
    return append_timings(out, timings, err);
}

// ---- the document ---------------------------------------------------------------------------------------

// metrics.json goes in as it is; timings.json is not part of the product and could hold anything, so it is
// written anew.
static mill_status append_document(mill_buf *out, const mill_buf *metrics, const cJSON *timings,
                                   mill_error *err)
{
    size_t bytes = metrics->bytes;
    while (bytes != 0 && metrics->data[bytes - 1] == '\n')
        bytes--;
    MILL_TRY(mill_buf_append_text(out, "{\"schema\":1,\"metrics\":", err));
    MILL_TRY(mill_buf_append(out, metrics->data, bytes, err));
    if (timings != NULL) {
        char *text = cJSON_PrintUnformatted(timings);
        mill_status status = text == NULL ? mill_fail_nomem(err, "the document")
                                          : mill_buf_append_text(out, ",\"timings\":", err);
        if (status == MILL_OK)
            status = mill_buf_append_text(out, text, err);
        cJSON_free(text);
        MILL_TRY(status);
    }
    return mill_buf_append_text(out, "}\n", err);
}

// Absent or unreadable timings are no error: they are state, and go with it.
static cJSON *read_timings(const mill_finished *f)
{
    mill_buf text = {0};
    mill_file_info info;
    cJSON *timings = NULL;
    if (mill_finished_info(f, TIMINGS, &info, NULL) == MILL_OK && info.kind == MILL_FILE_REGULAR &&
        mill_fs_read_file(f->fs, f->dir, TIMINGS, MILL_OPEN_READ_OWN, TIMINGS_MAX, &text, NULL) == MILL_OK)
        (void)!mill_json_parse(text.data, text.bytes, NULL, &timings, NULL);
    mill_buf_free(&text);
    if (timings != NULL && !cJSON_IsObject(timings)) {
        cJSON_Delete(timings);
        return NULL;
    }
    return timings;
}

mill_status mill_stats(const char *directory, bool json, mill_text *out, mill_error *err)
{
    mill_finished f = {0};
    mill_buf text = {0}, raw = {0};
    cJSON *metrics = NULL, *timings = NULL;
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(mill_finished_open(directory, &f, err));
    MILL_TRY_GOTO(mill_finished_read(&f, "metrics.json", &raw, err));
    MILL_TRY_GOTO(mill_json_parse(raw.data, raw.bytes, NULL, &metrics, err));
    if (metrics == NULL || !cJSON_IsObject(metrics)) {
        status = mill_fail(err, MILL_VERIFY, "%s/metrics.json: is no JSON object", directory);
        goto cleanup;
    }
    timings = read_timings(&f);
    MILL_TRY_GOTO(json ? append_document(&text, &raw, timings, err)
                       : append_tables(&text, metrics, timings, err));
    MILL_TRY_GOTO(mill_text_take(&text, out, err));
cleanup:
    cJSON_Delete(metrics);
    cJSON_Delete(timings);
    mill_buf_free(&raw);
    mill_buf_free(&text);
    mill_finished_close(&f);
    return status;
}
