// input_units.c: what the passes that read inputs (ingest, read-rows) have in common: whose records a unit holds, its table of
// documents and its quarantine, and what is known of each input at the end.
#include "pipeline/input_units.h"

#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "pipeline/read_ahead.h"

const char *mill_input_stage(const mill_run_state *run)
{
    return run->stages == MILL_STAGES_PACK ? "read-rows" : "ingest";
}

static const char *end_stage(const mill_run_state *run)
{
    return run->stages == MILL_STAGES_PACK ? "read-rows-end" : "ingest-end";
}

mill_status mill_input_next(mill_run_state *run, mill_block *block, uint64_t unit, bool *end, mill_error *err)
{
    MILL_TRY(run->read_ahead != NULL ? mill_read_ahead_next(run->read_ahead, block, end, err)
                                     : mill_read_block(run, block, end, err));
    if (!*end) {
        MILL_ASSERT(block->unit == unit);
        run->unit_count = unit + 1;
    }
    return MILL_OK;
}

// Inputs that a block touches: pieces are in input order, and so are the rows of its own quarantine.
void mill_input_range(const mill_block *block, uint32_t *first, uint32_t *last)
{
    *first = UINT32_MAX;
    *last = 0;
    for (size_t i = 0; i < block->piece_count; i++) {
        uint32_t input = block->pieces[i].input;
        *first = input < *first ? input : *first;
        *last = input > *last ? input : *last;
    }
    for (size_t i = 0; i < block->count_count; i++) {
        uint32_t input = block->counts[i].input;
        *first = input < *first ? input : *first;
        *last = input > *last ? input : *last;
    }
    for (size_t i = 0; i < block->quarantine.count; i++) {
        uint32_t input = block->quarantine.rows[i].input;
        *first = input < *first ? input : *first;
        *last = input > *last ? input : *last;
    }
}

static mill_status quarantine_line(const mill_run_state *run, const mill_quarantined *row, mill_buf *out, mill_error *err)
{
    const char *name = mill_source_input(run->source, row->input)->name;
    MILL_TRY(mill_buf_append_text(out, "{\"file\":", err));
    if (row->path != NULL) {
        mill_buf joined = {0};
        mill_status status = mill_buf_printf(&joined, err, "%s/%s", name, row->path);
        if (status == MILL_OK)
            status = mill_buf_append_json(out, joined.data, joined.bytes, err);
        mill_buf_free(&joined);
        MILL_TRY(status);
    } else {
        MILL_TRY(mill_buf_append_json(out, name, strlen(name), err));
    }
    MILL_TRY(mill_buf_printf(out, err, ",\"record\":%llu,\"offset\":%llu,\"length\":%llu,\"reason\":\"%s\",\"detail\":",
                             (unsigned long long)row->record, (unsigned long long)row->offset, (unsigned long long)row->length,
                             mill_quarantine_name(row->reason)));
    MILL_TRY(mill_buf_append_json(out, row->detail, strlen(row->detail), err));
    if (row->no_record || row->further != 0) // else the line is one record
        MILL_TRY(mill_buf_printf(out, err, ",\"records\":%llu", row->no_record ? 0 : (unsigned long long)row->further + 1));
    return mill_buf_append_text(out, "}\n", err);
}

bool mill_input_add_accounts(cJSON *payload, const mill_account *accounts_by_input, uint32_t first, uint32_t last)
{
    cJSON *accounts = cJSON_AddObjectToObject(payload, "accounts");
    bool good = accounts != NULL;
    for (uint32_t i = first; good && first != UINT32_MAX && i <= last; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        good = mill_json_add_item(accounts, name, mill_account_to_json(&accounts_by_input[i]));
    }
    return good;
}

mill_status mill_input_add_tables(mill_run_state *run, mill_unit *unit, const mill_doc *docs, uint32_t doc_count,
                                  const mill_quarantine *quarantine, mill_buf *scratch, mill_error *err)
{
    char path[64];
    snprintf(path, sizeof path, MILL_STATE "/stage/%s/%06llu.docs", mill_input_stage(run), (unsigned long long)unit->number);
    MILL_TRY(mill_docs_encode(run->languages, docs, doc_count, scratch, err));
    MILL_TRY(mill_unit_add(run->dir, unit, path, scratch, err));
    for (size_t i = 0; i < quarantine->count; i++)
        MILL_TRY(quarantine_line(run, &quarantine->rows[i], scratch, err));
    if (scratch->bytes == 0)
        return MILL_OK;
    snprintf(path, sizeof path, MILL_STATE "/stage/%s/%06llu.quarantine", mill_input_stage(run), (unsigned long long)unit->number);
    return mill_unit_add(run->dir, unit, path, scratch, err);
}

// ---- the end of the pass: what was read of each input ---------------------------------------------------------------------------

static cJSON *input_json(const mill_input_info *info)
{
    cJSON *json = cJSON_CreateObject();
    bool good = cJSON_AddStringToObject(json, "name", info->name) != NULL &&
                cJSON_AddStringToObject(json, "sha256", info->sha256) != NULL &&
                cJSON_AddNumberToObject(json, "bytes", (double)info->file_bytes) != NULL &&
                cJSON_AddNumberToObject(json, "files", (double)info->files) != NULL &&
                cJSON_AddNumberToObject(json, "records", (double)info->records) != NULL &&
                cJSON_AddNumberToObject(json, "skipped_binary", (double)info->skipped_binary) != NULL &&
                cJSON_AddNumberToObject(json, "skipped_empty", (double)info->skipped_empty) != NULL &&
                cJSON_AddNumberToObject(json, "skipped_other", (double)info->skipped_other) != NULL;
    if (!good) {
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

static mill_status commit_end(mill_run_state *run, mill_error *err)
{
    mill_unit unit;
    mill_unit_init(&unit, end_stage(run), 0);
    unit.payload = cJSON_CreateObject();
    cJSON *inputs = cJSON_AddArrayToObject(unit.payload, "inputs");
    bool good = inputs != NULL && cJSON_AddNumberToObject(unit.payload, "units", (double)run->unit_count) != NULL;
    for (size_t i = 0; good && i < run->input_count; i++) {
        cJSON *input = input_json(mill_source_input(run->source, i));
        good = input != NULL && cJSON_AddItemToArray(inputs, input);
    }
    if (!good) {
        mill_unit_abort(run->dir, &unit);
        return mill_fail_nomem(err, "the facts of the inputs");
    }
    return mill_unit_commit(run->dir, &unit, err);
}

static uint64_t number_of(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(item) ? (uint64_t)item->valuedouble : 0;
}

static mill_status load_facts(mill_run_state *run, mill_error *err)
{
    const cJSON *record = mill_workdir_done(run->dir, end_stage(run), 0);
    const cJSON *payload = cJSON_GetObjectItemCaseSensitive(record, "payload");
    const cJSON *input = cJSON_GetObjectItemCaseSensitive(payload, "inputs");
    if ((size_t)cJSON_GetArraySize(input) != run->input_count)
        return mill_fail(err, MILL_VERIFY, "%s: the journal tells of other inputs; use --overwrite", run->options->output);
    run->unit_count = number_of(payload, "units");
    input = input->child;
    for (size_t i = 0; i < run->input_count; i++, input = input->next) {
        mill_input_facts *facts = &run->inputs[i];
        const cJSON *sha256 = cJSON_GetObjectItemCaseSensitive(input, "sha256");
        snprintf(facts->sha256, sizeof facts->sha256, "%s", cJSON_IsString(sha256) ? sha256->valuestring : "");
        facts->file_bytes = number_of(input, "bytes");
        facts->files = number_of(input, "files");
        facts->records = number_of(input, "records");
        facts->skipped_binary = number_of(input, "skipped_binary");
        facts->skipped_empty = number_of(input, "skipped_empty");
        facts->skipped_other = number_of(input, "skipped_other");
    }
    return MILL_OK;
}

static mill_status add_accounts(mill_run_state *run, const cJSON *record, uint64_t unit, mill_error *err)
{
    const cJSON *payload = cJSON_GetObjectItemCaseSensitive(record, "payload");
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(payload, "accounts")) {
        unsigned input;
        mill_account account;
        if (sscanf(item->string, "%u", &input) != 1 || input >= run->input_count || !mill_account_from_json(item, &account) ||
            !mill_account_adds_up(&account))
            return mill_fail(err, MILL_INTERNAL, "the counts of unit %llu do not add up; please report", (unsigned long long)unit);
        mill_account_add(&run->inputs[input].account, &account);
    }
    return MILL_OK;
}

// True if every unit of the pass is done; else the inputs are read (again) for the missing ones.
static bool all_units_done(mill_run_state *run)
{
    const cJSON *end = mill_workdir_done(run->dir, end_stage(run), 0);
    if (end == NULL)
        return false;
    uint64_t units = number_of(cJSON_GetObjectItemCaseSensitive(end, "payload"), "units");
    for (uint64_t i = 0; i < units; i++) {
        if (mill_workdir_done(run->dir, mill_input_stage(run), i) == NULL)
            return false;
    }
    return true;
}

static mill_status load_docs(mill_run_state *run, mill_error *err)
{
    mill_view view = {0};
    size_t capacity = 0;
    mill_status status = MILL_OK;
    run->doc_count = 0;
    run->unit_first = mill_alloc_zero(run->unit_count + 1, sizeof *run->unit_first);
    if (run->unit_first == NULL)
        return mill_fail_nomem(err, "the table of documents");
    for (uint64_t unit = 0; unit < run->unit_count; unit++) {
        char path[64];
        const cJSON *record = mill_workdir_done(run->dir, mill_input_stage(run), unit);
        MILL_ASSERT(record != NULL);
        MILL_TRY_GOTO(add_accounts(run, record, unit, err));
        snprintf(path, sizeof path, MILL_STATE "/stage/%s/%06llu.docs", mill_input_stage(run), (unsigned long long)unit);
        MILL_TRY_GOTO(mill_workdir_view(run->dir, path, &view, err));
        run->unit_first[unit] = run->doc_count;
        MILL_TRY_GOTO(mill_docs_decode(view.data, view.bytes, path, run->languages, &run->docs, &capacity, &run->doc_count, err));
        mill_workdir_unview(run->dir, &view);
    }
    run->unit_first[run->unit_count] = run->doc_count;
cleanup:
    mill_workdir_unview(run->dir, &view);
    return status;
}

mill_status mill_input_read(mill_run_state *run, const char *what, const mill_map *map, mill_error *err)
{
    if (!all_units_done(run)) {
        uint64_t total = 0;
        for (size_t i = 0; i < run->input_count; i++)
            total += mill_source_input(run->source, i)->file_bytes;
        mill_run_part(run, what, "bytes", total);
        run->read_ahead = mill_read_ahead_open(run);
        const mill_status status = mill_map_run(map, err);
        mill_read_ahead_close(run->read_ahead);
        run->read_ahead = NULL;
        MILL_TRY(status);
        if (mill_workdir_done(run->dir, end_stage(run), 0) == NULL)
            MILL_TRY(commit_end(run, err));
    }
    MILL_TRY(load_facts(run, err));
    return load_docs(run, err);
}
