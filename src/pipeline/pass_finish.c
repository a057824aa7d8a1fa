// pass_finish.c: what a finished run leaves behind: quarantine, metrics, sums and the sealed manifest; and the check that every
// record and every token is accounted for.
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "pipeline/card.h"
#include "pipeline/input_units.h"
#include "pipeline/run_manifest.h"
#include "pipeline/workdir_internal.h"

// Moves each document from "kept so far" to its final fate, input by input.
mill_status mill_run_settle(mill_run_state *run, mill_error *err)
{
    uint64_t *seen = mill_alloc_zero(run->input_count, sizeof *seen);
    if (seen == NULL)
        return mill_fail_nomem(err, "the accounts");
    for (uint64_t i = 0; i < run->doc_count; i++)
        seen[run->docs[i].input]++;
    bool good = true;
    for (size_t i = 0; i < run->input_count; i++)
        good = good && run->inputs[i].account.by_reason[MILL_KEPT] == seen[i];
    mill_free(seen);
    if (!good)
        return mill_fail(err, MILL_INTERNAL, "the table of documents does not match the counts of the units; please report");
    for (uint64_t i = 0; i < run->doc_count; i++) {
        mill_account *account = &run->inputs[run->docs[i].input].account;
        account->by_reason[MILL_KEPT]--;
        account->by_reason[run->docs[i].verdict]++;
    }
    for (size_t i = 0; i < run->input_count; i++) {
        if (!mill_account_adds_up(&run->inputs[i].account) ||
            run->inputs[i].account.read != run->inputs[i].records + run->inputs[i].account.further)
            return mill_fail(err, MILL_INTERNAL, "%s: %llu records were read but the fates of %llu are known; please report",
                             run->inputs[i].name, (unsigned long long)run->inputs[i].records,
                             (unsigned long long)run->inputs[i].account.read);
    }
    return MILL_OK;
}

static uint64_t payload_number(const cJSON *record, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(record, "payload"), name);
    return cJSON_IsNumber(item) ? (uint64_t)item->valuedouble : 0;
}

static void sum_up(mill_run_state *run, mill_run_totals *t)
{
    *t = (mill_run_totals){0};
    for (size_t i = 0; i < run->input_count; i++)
        mill_account_add(&t->account, &run->inputs[i].account);
    for (uint64_t unit = 0; run->tokens != NULL && unit < run->token_units; unit++) {
        const cJSON *record = mill_workdir_done(run->dir, run->token_stage, unit);
        t->documents += payload_number(record, "documents");
        t->transformed += payload_number(record, "transformed");
        t->normalized += payload_number(record, "normalized");
        t->encoded_tokens += payload_number(record, "tokens");
        t->dropped_rows += payload_number(record, "dropped_rows");
        t->dropped_tokens += payload_number(record, "dropped_tokens");
        const mill_token_unit *tokens = mill_run_tokens(run, unit);
        for (uint64_t i = 0; i < tokens->row_count; i++) {
            const mill_doc *doc = &run->docs[mill_token_doc(run, unit, tokens->rows[i].record)];
            if (doc->epochs == 0)
                t->unselected_tokens += tokens->rows[i].tokens;
            else
                t->repeated_epoch_tokens += (uint64_t)(doc->epochs - 1) * tokens->rows[i].tokens;
        }
    }
}

// tokens encoded + repeats = tokens in samples + declared drops + unselected.
static mill_status check_tokens(const mill_run_state *run, const mill_run_totals *t, mill_error *err)
{
    uint64_t made = t->encoded_tokens + t->repeated_epoch_tokens + run->packing.repeated_tokens;
    uint64_t found = run->packing.tokens + run->packing.dropped_tokens + t->dropped_tokens + t->unselected_tokens;
    if (made != found)
        return mill_fail(err, MILL_INTERNAL, "%llu tokens were made but %llu are accounted for; please report",
                         (unsigned long long)made, (unsigned long long)found);
    return MILL_OK;
}

// ---- metrics.json ---------------------------------------------------------------------------------------------------------------

// The one place where a ratio becomes text.
static mill_status append_ratio(mill_buf *out, const char *name, uint64_t part, uint64_t whole, mill_error *err)
{
    return mill_buf_printf(out, err, "\"%s\":%.6f", name, whole == 0 ? 0.0 : (double)part / (double)whole);
}

typedef struct language_count {
    uint64_t documents, tokens; // in samples: an epoch counts each time
} language_count;

// One member a language, names sorted: its share of all tokens, or its counts.
static mill_status append_language_list(mill_run_state *run, const language_count *counts, bool shares, mill_buf *out,
                                        mill_error *err)
{
    uint64_t *order = NULL, kept = 0, total = 0;
    MILL_TRY(mill_run_order_by_language(run, '\0', &order, &kept, err));
    for (uint32_t i = 0; i < mill_language_count(run->languages); i++)
        total += counts[i].tokens;
    bool first = true;
    mill_status status = MILL_OK;
    for (uint64_t i = 0; i < kept; i++) {
        mill_language_id id = run->docs[order[i]].language;
        if (i != 0 && run->docs[order[i - 1]].language == id)
            continue;
        const char *name = mill_language_get(run->languages, id)->name;
        MILL_TRY_GOTO(mill_buf_append_text(out, first ? "" : ",", err));
        first = false;
        if (shares)
            MILL_TRY_GOTO(append_ratio(out, name, counts[id].tokens, total, err));
        else
            MILL_TRY_GOTO(mill_buf_printf(out, err, "\"%s\":{\"documents\":%llu,\"tokens\":%llu}", name,
                                          (unsigned long long)counts[id].documents, (unsigned long long)counts[id].tokens));
    }
cleanup:
    mill_free(order);
    return status;
}

// Tokens of a row by the language of its document, or of each of its files.
static void count_row(const mill_run_state *run, uint64_t unit, const mill_row *row, language_count *counts)
{
    for (uint32_t k = 0; k < row->files; k++)
        count_row(run, unit, &run->tokens[unit].files[row->first_file + k], counts);
    const mill_doc *doc = &run->docs[mill_token_doc(run, unit, row->record)];
    if (row->files == 0)
        counts[doc->language].tokens += (uint64_t)row->tokens * doc->epochs;
}

static mill_status append_languages(mill_run_state *run, mill_buf *out, mill_error *err)
{
    language_count *counts = mill_alloc_zero(mill_language_count(run->languages), sizeof *counts);
    mill_status status = MILL_OK;
    if (counts == NULL)
        return mill_fail_nomem(err, "the metrics");
    for (uint64_t i = 0; i < run->doc_count; i++)
        counts[run->docs[i].language].documents += run->docs[i].verdict == MILL_KEPT;
    for (uint64_t unit = 0; run->tokens != NULL && unit < run->token_units; unit++) {
        const mill_token_unit *tokens = mill_run_tokens(run, unit);
        for (uint64_t i = 0; i < tokens->row_count; i++)
            count_row(run, unit, &tokens->rows[i], counts);
    }
    MILL_TRY_GOTO(mill_buf_append_text(out, "\"language_distribution\":{", err));
    MILL_TRY_GOTO(append_language_list(run, counts, true, out, err));
    MILL_TRY_GOTO(mill_buf_append_text(out, "},\"languages\":{", err));
    MILL_TRY_GOTO(append_language_list(run, counts, false, out, err));
    MILL_TRY_GOTO(mill_buf_append_text(out, "},", err));
cleanup:
    mill_free(counts);
    return status;
}

static mill_status append_shares(const mill_run_state *run, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, ",\"mixture\":[", err));
    for (size_t i = 0; i < run->share_count; i++) {
        const mill_share_report *share = &run->shares[i];
        MILL_TRY(mill_buf_append_text(out, i != 0 ? ",{\"share\":" : "{\"share\":", err));
        MILL_TRY(mill_buf_append_json(out, share->name, strlen(share->name), err));
        MILL_TRY(mill_buf_printf(out, err,
                                 ",\"wanted_tokens\":%llu,\"available_tokens\":%llu,\"selected_tokens\":%llu,\"documents\":%llu}",
                                 (unsigned long long)share->wanted_tokens, (unsigned long long)share->available_tokens,
                                 (unsigned long long)share->selected_tokens, (unsigned long long)share->documents));
    }
    return mill_buf_append_text(out, "]", err);
}

static mill_status append_metrics(mill_run_state *run, const mill_run_totals *t, mill_buf *out, mill_error *err)
{
    const mill_account *a = &t->account;
    uint64_t judged = a->read - a->quarantined, passed = judged - mill_account_rejected(a);
    uint64_t duplicates = a->by_reason[MILL_REASON_EXACT] + a->by_reason[MILL_REASON_NEAR];
    const mill_packing *p = &run->packing;
    uint64_t room = (uint64_t)p->sample_count * (run->recipe.pack.seq_len + run->recipe.pack.extra);
    MILL_TRY(mill_buf_printf(out, err, "{\"total_samples\":%llu,\"total_tokens\":%llu,", (unsigned long long)p->sample_count,
                             (unsigned long long)p->tokens));
    MILL_TRY(append_ratio(out, "avg_sequence_length", p->tokens, p->sample_count, err));
    MILL_TRY(mill_buf_append_text(out, ",", err));
    MILL_TRY(append_languages(run, out, err));
    MILL_TRY(append_ratio(out, "deduplication_rate", duplicates, passed, err));
    MILL_TRY(mill_buf_append_text(out, ",", err));
    MILL_TRY(append_ratio(out, "filter_pass_rate", passed, judged, err));
    MILL_TRY(mill_buf_append_text(out, ",", err));
    MILL_TRY(append_ratio(out, "fim_transform_rate", t->transformed, t->documents, err));
    MILL_TRY(mill_buf_append_text(out, ",", err));
    MILL_TRY(mill_account_append_funnel(a, out, err));
    MILL_TRY(mill_buf_append_text(out, ",\"changed\":{", err));
    MILL_TRY(mill_account_append_changes(a, out, err));
    MILL_TRY(mill_buf_append_text(out, "},\"tokens\":{", err));
    MILL_TRY(mill_buf_printf(out, err,
                             "\"encoded\":%llu,\"in_samples\":%llu,\"dropped_short_rows\":%llu,\"dropped_by_packing\":%llu,"
                             "\"unselected\":%llu,\"repeated_epochs\":%llu,\"repeated_borders\":%llu,\"padding\":%llu,",
                             (unsigned long long)t->encoded_tokens, (unsigned long long)p->tokens,
                             (unsigned long long)t->dropped_tokens, (unsigned long long)p->dropped_tokens,
                             (unsigned long long)t->unselected_tokens, (unsigned long long)t->repeated_epoch_tokens,
                             (unsigned long long)p->repeated_tokens,
                             (unsigned long long)mill_run_padding(run)));
    MILL_TRY(append_ratio(out, "packing_efficiency", p->tokens, room, err));
    MILL_TRY(mill_buf_append_text(out, "}", err));
    if (run->share_count != 0)
        MILL_TRY(append_shares(run, out, err));
    return mill_buf_append_text(out, "}\n", err);
}

// ---- quarantine.jsonl -----------------------------------------------------------------------------------------------------------

// Units are in the order of the inputs, and rows in the order of their unit: the whole is sorted by input and offset.
static mill_status gather_quarantine(mill_run_state *run, mill_buf *out, mill_error *err)
{
    mill_status status = MILL_OK;
    for (uint64_t unit = 0; status == MILL_OK && unit < run->unit_count; unit++) {
        const cJSON *file, *record = mill_workdir_done(run->dir, mill_input_stage(run), unit);
        cJSON_ArrayForEach(file, cJSON_GetObjectItemCaseSensitive(record, "files")) {
            const char *path = cJSON_GetObjectItemCaseSensitive(file, "path")->valuestring;
            if (strstr(path, ".quarantine") == NULL)
                continue;
            mill_view view;
            MILL_TRY(mill_workdir_view(run->dir, path, &view, err));
            status = mill_buf_append(out, view.data, view.bytes, err);
            mill_workdir_unview(run->dir, &view);
        }
    }
    return status;
}

static mill_status append_sums(const mill_product *products, size_t count, mill_buf *out, mill_error *err)
{
    for (size_t i = 0; i < count; i++)
        MILL_TRY(mill_buf_printf(out, err, "%s  %s\n", products[i].sha256, products[i].path));
    return MILL_OK;
}

static mill_status commit_metrics(mill_run_state *run, const mill_run_totals *t, mill_error *err)
{
    mill_buf metrics = {0}, quarantine = {0}, card = {0};
    mill_unit unit;
    mill_unit_init(&unit, "finish", 0);
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(append_metrics(run, t, &metrics, err));
    MILL_TRY_GOTO(gather_quarantine(run, &quarantine, err));
    MILL_TRY_GOTO(mill_card_append(run, &metrics, &card, err));
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, "README.md", &card, err));
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, "metrics.json", &metrics, err));
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, "quarantine.jsonl", &quarantine, err));
    MILL_TRY_GOTO(mill_unit_commit(run->dir, &unit, err));
cleanup:
    if (status != MILL_OK)
        mill_unit_abort(run->dir, &unit);
    mill_buf_free(&metrics);
    mill_buf_free(&quarantine);
    mill_buf_free(&card);
    return status;
}

// An empty result is valid, but seldom what was wanted.
static void warn_of_nothing(const mill_run_state *run, const mill_account *a)
{
    const char *what = run->stages == MILL_STAGES_PACK ? "row" : "record";
    if (a->by_reason[MILL_KEPT] != 0)
        return;
    if (a->read == 0)
        mill_log_line(&run->log, MILL_LOG_WARNING, "no %s in the input; the result is empty", what);
    else
        mill_log_line(&run->log, MILL_LOG_WARNING,
                      "no %s of %llu was kept; the result is empty (metrics.json counts the reasons%s)", what,
                      (unsigned long long)a->read, a->quarantined != 0 ? ", quarantine.jsonl tells each bad one" : "");
}

// The tokenizer's own normalizer, not ours: told, because bytes of the source are not in the rows.
static void tell_of_changes(const mill_run_state *run, const mill_run_totals *t)
{
    if (t->normalized != 0)
        mill_log_line(&run->log, MILL_LOG_WARNING,
                      "the tokenizer's normalizer changed %llu documents; offsets in docs/ are those of the changed text",
                      (unsigned long long)t->normalized);
}

mill_status mill_pass_finish(mill_run_state *run, mill_error *err)
{
    mill_run_totals t;
    mill_product *products = NULL;
    size_t count = 0;
    mill_buf sums = {0}, manifest = {0};
    mill_status status = MILL_OK;
    mill_run_part(run, "finish", "files", 0);
    MILL_TRY_GOTO(mill_run_settle(run, err));
    sum_up(run, &t);
    if (run->packed != NULL)
        MILL_TRY_GOTO(check_tokens(run, &t, err));
    if (mill_workdir_done(run->dir, "finish", 0) == NULL)
        MILL_TRY_GOTO(commit_metrics(run, &t, err));
    MILL_TRY_GOTO(mill_workdir_products(run->dir, &products, &count, err));
    MILL_TRY_GOTO(append_sums(products, count, &sums, err));
    MILL_TRY_GOTO(mill_run_manifest(run, &t, products, count, &manifest, err));
    MILL_TRY_GOTO(mill_run_write_timings(run, err));
    warn_of_nothing(run, &t.account);
    tell_of_changes(run, &t);
    mill_run_log_save(run->kept_log, run->dir, MILL_OK, NULL);
    MILL_TRY_GOTO(mill_workdir_seal(run->dir, &sums, &manifest, err));
    const mill_account *a = &t.account;
    run->summary = (mill_run_summary){.read = a->read,
                                      .kept = a->by_reason[MILL_KEPT],
                                      .rejected = mill_account_rejected(a),
                                      .duplicate_exact = a->by_reason[MILL_REASON_EXACT],
                                      .duplicate_near = a->by_reason[MILL_REASON_NEAR],
                                      .unselected = a->by_reason[MILL_REASON_UNSELECTED],
                                      .quarantined = a->quarantined,
                                      .samples = run->packing.sample_count,
                                      .tokens = run->packing.tokens};
cleanup:
    mill_free(products);
    mill_buf_free(&sums);
    mill_buf_free(&manifest);
    return status;
}
