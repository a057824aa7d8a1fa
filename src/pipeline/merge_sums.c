// merge_sums.c: metrics and manifest of merged directories: counts are summed, ratios made of the sums.
#include "pipeline/merge.h"

#include <string.h>
#include <zstd.h>

#include "core/json.h"
#include "pipeline/account.h"
#include "pipeline/run_manifest.h"
#include "shard/manifest.h"

// ---- metrics ----

static const char *const token_counts[] = {"encoded",    "in_samples",      "dropped_short_rows", "dropped_by_packing",
                                           "unselected", "repeated_epochs", "repeated_borders",   "padding"};
enum { TOKEN_COUNTS = sizeof token_counts / sizeof token_counts[0] };

typedef struct sums {
    mill_account account;
    uint64_t samples, tokens, documents, fim_documents, room, of_tokens[TOKEN_COUNTS];
    cJSON *languages; // name -> {"documents", "tokens"}
    cJSON *mixture;   // rows of all
} sums;

static bool add_number(cJSON *object, const char *name, uint64_t more)
{
    cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (item == NULL)
        return cJSON_AddNumberToObject(object, name, (double)more) != NULL;
    cJSON_SetNumberValue(item, item->valuedouble + (double)more);
    return true;
}

static bool add_languages(cJSON *to, const cJSON *from)
{
    const cJSON *language;
    bool good = to != NULL;
    cJSON_ArrayForEach(language, from)
    {
        cJSON *row = cJSON_GetObjectItemCaseSensitive(to, language->string);
        if (row == NULL)
            row = cJSON_AddObjectToObject(to, language->string);
        good = good && add_number(row, "documents", mill_finished_number(language, "documents")) &&
               add_number(row, "tokens", mill_finished_number(language, "tokens"));
    }
    return good;
}

static mill_status add_directory(const mill_finished *f, sums *s, mill_error *err)
{
    mill_buf text = {0};
    cJSON *metrics = NULL;
    const cJSON *totals = cJSON_GetObjectItemCaseSensitive(f->manifest, "totals"), *share;
    const cJSON *pack = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(f->manifest, "recipe"), "pack");
    mill_account account;
    mill_status status = mill_finished_read(f, "metrics.json", &text, err);
    if (status == MILL_OK)
        status = mill_json_parse(text.data, text.bytes, NULL, &metrics, err);
    mill_buf_free(&text);
    MILL_TRY(status);
    bool good = mill_account_from_json(cJSON_GetObjectItemCaseSensitive(totals, "records"), &account) && cJSON_IsObject(metrics);
    if (good)
        mill_account_add(&s->account, &account);
    s->samples += mill_finished_number(totals, "samples");
    s->tokens += mill_finished_number(totals, "tokens");
    s->documents += mill_finished_number(totals, "documents");
    s->fim_documents += mill_finished_number(totals, "fim_documents");
    s->room += mill_finished_number(totals, "samples") *
               (mill_finished_number(pack, "seq_len") + mill_finished_number(pack, "extra"));
    const cJSON *tokens = cJSON_GetObjectItemCaseSensitive(metrics, "tokens");
    for (size_t i = 0; i < TOKEN_COUNTS; i++)
        s->of_tokens[i] += mill_finished_number(tokens, token_counts[i]);
    good = good && add_languages(s->languages, cJSON_GetObjectItemCaseSensitive(metrics, "languages"));
    cJSON_ArrayForEach(share, cJSON_GetObjectItemCaseSensitive(metrics, "mixture"))
        good = good && cJSON_AddItemToArray(s->mixture, cJSON_Duplicate(share, true));
    cJSON_Delete(metrics);
    return good ? MILL_OK : mill_fail(err, MILL_VERIFY, "%s: its totals or metrics.json are not those of a run", f->path);
}

static mill_status append_ratio(mill_buf *out, const char *name, uint64_t part, uint64_t whole, mill_error *err)
{
    return mill_buf_printf(out, err, "\"%s\":%.6f", name, whole == 0 ? 0.0 : (double)part / (double)whole);
}

static mill_status append_name(mill_buf *out, const char *name, bool first, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, first ? "" : ",", err));
    MILL_TRY(mill_buf_append_json(out, name, strlen(name), err));
    return mill_buf_append_text(out, ":", err);
}

// Names stand in the order in which the directories bring them.
static mill_status append_languages(const sums *s, mill_buf *out, mill_error *err)
{
    const cJSON *row;
    uint64_t total = 0;
    cJSON_ArrayForEach(row, s->languages) total += mill_finished_number(row, "tokens");
    MILL_TRY(mill_buf_append_text(out, "\"language_distribution\":{", err));
    cJSON_ArrayForEach(row, s->languages)
    {
        uint64_t tokens = mill_finished_number(row, "tokens");
        MILL_TRY(append_name(out, row->string, row == s->languages->child, err));
        MILL_TRY(mill_buf_printf(out, err, "%.6f", total == 0 ? 0.0 : (double)tokens / (double)total));
    }
    MILL_TRY(mill_buf_append_text(out, "},\"languages\":{", err));
    cJSON_ArrayForEach(row, s->languages)
    {
        MILL_TRY(append_name(out, row->string, row == s->languages->child, err));
        MILL_TRY(mill_buf_printf(out, err, "{\"documents\":%llu,\"tokens\":%llu}",
                                 (unsigned long long)mill_finished_number(row, "documents"),
                                 (unsigned long long)mill_finished_number(row, "tokens")));
    }
    return mill_buf_append_text(out, "},", err);
}

static mill_status append_tokens(const sums *s, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, ",\"tokens\":{", err));
    for (size_t i = 0; i < TOKEN_COUNTS; i++)
        MILL_TRY(mill_buf_printf(out, err, "\"%s\":%llu,", token_counts[i], (unsigned long long)s->of_tokens[i]));
    MILL_TRY(append_ratio(out, "packing_efficiency", s->tokens, s->room, err));
    return mill_buf_append_text(out, "}", err);
}

static mill_status append_metrics(const sums *s, mill_buf *out, mill_error *err)
{
    const mill_account *a = &s->account;
    uint64_t judged = a->read - a->quarantined, passed = judged - mill_account_rejected(a);
    uint64_t duplicates = a->by_reason[MILL_REASON_EXACT] + a->by_reason[MILL_REASON_NEAR];
    MILL_TRY(mill_buf_printf(out, err, "{\"total_samples\":%llu,\"total_tokens\":%llu,", (unsigned long long)s->samples,
                             (unsigned long long)s->tokens));
    MILL_TRY(append_ratio(out, "avg_sequence_length", s->tokens, s->samples, err));
    MILL_TRY(mill_buf_append_text(out, ",", err));
    MILL_TRY(append_languages(s, out, err));
    MILL_TRY(append_ratio(out, "deduplication_rate", duplicates, passed, err));
    MILL_TRY(mill_buf_append_text(out, ",", err));
    MILL_TRY(append_ratio(out, "filter_pass_rate", passed, judged, err));
    MILL_TRY(mill_buf_append_text(out, ",", err));
    MILL_TRY(append_ratio(out, "fim_transform_rate", s->fim_documents, s->documents, err));
    MILL_TRY(mill_buf_append_text(out, ",", err));
    MILL_TRY(mill_account_append_funnel(a, out, err));
    MILL_TRY(mill_buf_append_text(out, ",\"changed\":{", err));
    MILL_TRY(mill_account_append_changes(a, out, err));
    MILL_TRY(mill_buf_append_text(out, "}", err));
    MILL_TRY(append_tokens(s, out, err));
    if (cJSON_GetArraySize(s->mixture) != 0) {
        MILL_TRY(mill_buf_append_text(out, ",\"mixture\":", err));
        MILL_TRY(mill_json_canonical(s->mixture, out, err));
    }
    return mill_buf_append_text(out, "}\n", err);
}

mill_status mill_merge_metrics(const mill_merged *m, mill_buf *out, mill_error *err)
{
    if (m->dir_count == 1)
        return mill_finished_read(&m->dirs[0], "metrics.json", out, err);
    sums s = {.languages = cJSON_CreateObject(), .mixture = cJSON_CreateArray()};
    mill_status status = s.languages != NULL && s.mixture != NULL ? MILL_OK : mill_fail_nomem(err, "the metrics");
    for (size_t i = 0; status == MILL_OK && i < m->dir_count; i++)
        status = add_directory(&m->dirs[i], &s, err);
    if (status == MILL_OK)
        status = append_metrics(&s, out, err);
    cJSON_Delete(s.languages);
    cJSON_Delete(s.mixture);
    return status;
}

// ---- the manifest ----

// Adds what another manifest has to the lists and sums of the first.
static bool add_manifest(cJSON *to, const cJSON *from)
{
    static const char *const counts[] = {"samples",   "tokens", "documents", "fim_documents", "normalized_documents",
                                         "encoded_tokens", "dropped_tokens", "padding_tokens"};
    cJSON *inputs = cJSON_GetObjectItemCaseSensitive(to, "inputs"), *totals = cJSON_GetObjectItemCaseSensitive(to, "totals");
    const cJSON *input, *more = cJSON_GetObjectItemCaseSensitive(from, "totals");
    mill_account sum, account;
    bool good = mill_account_from_json(cJSON_GetObjectItemCaseSensitive(totals, "records"), &sum) &&
                mill_account_from_json(cJSON_GetObjectItemCaseSensitive(more, "records"), &account);
    cJSON_ArrayForEach(input, cJSON_GetObjectItemCaseSensitive(from, "inputs"))
        good = good && cJSON_AddItemToArray(inputs, cJSON_Duplicate(input, true));
    if (!good)
        return false;
    mill_account_add(&sum, &account);
    cJSON_DeleteItemFromObjectCaseSensitive(totals, "records");
    good = mill_json_add_item(totals, "records", mill_account_to_json(&sum));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        good = good && add_number(totals, counts[i], mill_finished_number(more, counts[i]));
    return good;
}

static mill_status fill(mill_run_state *run, const mill_merged *m, const cJSON *plan, const mill_product *products, size_t count,
                        cJSON *manifest, mill_error *err)
{
    static const char *const own[] = {"files", "containers", "format", "ids_sha256", "lengths_sha256", "made_of", "version", "zstd",
                                      "mask_of"};
    const cJSON *parts[] = {cJSON_GetObjectItemCaseSensitive(plan, "sources"), cJSON_GetObjectItemCaseSensitive(plan, "shard")};
    bool good = manifest != NULL;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(manifest, own[i]);
    for (size_t i = 1; good && i < m->dir_count; i++)
        good = add_manifest(manifest, m->dirs[i].manifest);
    cJSON *recipe = cJSON_GetObjectItemCaseSensitive(manifest, "recipe");
    cJSON_DeleteItemFromObjectCaseSensitive(recipe, "shard");
    good = good && mill_json_add_item(recipe, "shard", cJSON_Duplicate(parts[1], true)) &&
           mill_json_add_item(manifest, "made_of", cJSON_Duplicate(parts[0], true)) &&
           cJSON_AddStringToObject(manifest, "format", run->options->format) != NULL &&
           cJSON_AddStringToObject(manifest, "version", MILL_VERSION) != NULL &&
           cJSON_AddStringToObject(manifest, "zstd", ZSTD_versionString()) != NULL &&
           (!m->has_mask || cJSON_AddStringToObject(manifest, "mask_of", "token") != NULL);
    if (!good)
        return mill_fail_nomem(err, "the manifest");
    return mill_run_manifest_files(run, products, count, manifest, err);
}

mill_status mill_merge_manifest(mill_run_state *run, const mill_merged *m, const cJSON *plan, const mill_product *products,
                                size_t count, mill_buf *out, mill_error *err)
{
    cJSON *manifest = cJSON_Duplicate(m->dirs[0].manifest, true);
    mill_status status = fill(run, m, plan, products, count, manifest, err);
    if (status == MILL_OK)
        status = mill_manifest_append(manifest, out, err);
    cJSON_Delete(manifest);
    return status;
}
