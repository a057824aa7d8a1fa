// pass_ingest.c: source, record, normalise, filter -> segments. A unit is a block of input; its products are the segment of the records that
// passed, a table of what barriers need of them, and the quarantined records as JSON lines.
#include <stdio.h>
#include <string.h>

#include "pipeline/run.h"
#include "record/segment.h"

// Level of the segments' zstd: they live for minutes, so speed counts.
#define SEGMENT_LEVEL 1

typedef struct ingest_worker {
    mill_block block;
    mill_parser *parser;
    mill_filter *filter;
    mill_batch batch;
    mill_quarantine quarantine;
    mill_parse_counts *counts; // by input
    mill_account *accounts;    // by input
    mill_doc *docs;
    size_t doc_capacity;
    mill_buf segment, lines, table;
} ingest_worker;

static void close_worker(void *context, void *state)
{
    (void)context;
    ingest_worker *w = state;
    mill_block_free(&w->block);
    mill_parser_close(w->parser);
    mill_filter_close(w->filter);
    mill_batch_free(&w->batch);
    mill_quarantine_free(&w->quarantine);
    mill_free(w->counts);
    mill_free(w->accounts);
    mill_free(w->docs);
    mill_buf_free(&w->segment);
    mill_buf_free(&w->lines);
    mill_buf_free(&w->table);
    mill_free(w);
}

static mill_status open_worker(void *context, uint32_t number, void **state, mill_error *err)
{
    (void)number;
    mill_run_state *run = context;
    ingest_worker *w = mill_alloc_zero(1, sizeof *w);
    if (w == NULL)
        return mill_fail_nomem(err, "starting a reader");
    *state = w;
    mill_batch_init(&w->batch);
    w->counts = mill_alloc_zero(run->input_count, sizeof *w->counts);
    w->accounts = mill_alloc_zero(run->input_count, sizeof *w->accounts);
    if (w->counts == NULL || w->accounts == NULL)
        return mill_fail_nomem(err, "starting a reader");
    MILL_TRY(mill_parser_open(run->source, &w->parser, err));
    return mill_filter_open(&run->recipe.filter, run->languages, run->backend, &w->filter, err);
}

static mill_status next_block(void *context, void *state, uint64_t unit, bool *end, mill_error *err)
{
    mill_run_state *run = context;
    ingest_worker *w = state;
    uint64_t begin = mill_time_begin();
    mill_status status = mill_source_next(run->source, &w->block, end, err);
    if (status == MILL_OK && !*end) {
        MILL_ASSERT(w->block.unit == unit);
        run->unit_count = unit + 1;
        uint64_t done = 0;
        for (size_t i = 0; i < run->input_count; i++)
            done += mill_source_input(run->source, i)->records;
        atomic_store(&run->records_read, done);
        atomic_fetch_add(&run->bytes_read, w->block.bytes.bytes);
    }
    mill_time_end(run, MILL_TIME_READ, begin, 0, 0);
    return status;
}

// Inputs that a block touches: pieces are in input order, and so are the rows of its own quarantine.
static void block_inputs(const mill_block *block, uint32_t *first, uint32_t *last)
{
    *first = UINT32_MAX;
    *last = 0;
    for (size_t i = 0; i < block->piece_count; i++) {
        uint32_t input = block->pieces[i].input;
        *first = input < *first ? input : *first;
        *last = input > *last ? input : *last;
    }
    for (size_t i = 0; i < block->quarantine.count; i++) {
        uint32_t input = block->quarantine.rows[i].input;
        *first = input < *first ? input : *first;
        *last = input > *last ? input : *last;
    }
}

static void count_records(ingest_worker *w, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last; i++) {
        const mill_parse_counts *c = &w->counts[i];
        w->accounts[i] = (mill_account){.read = c->read,
                                        .quarantined = c->quarantined,
                                        .replaced_surrogates = c->replaced_surrogates,
                                        .replaced_bytes = c->replaced_bytes,
                                        .stripped_heads = c->stripped_heads,
                                        .stripped_bom = c->stripped_bom,
                                        .missing_stars = c->missing_stars};
    }
    for (uint32_t i = 0; i < w->batch.count; i++)
        w->accounts[w->batch.input[i]].by_reason[w->batch.verdict[i]]++;
}

static uint64_t count_lines(const uint8_t *text, uint64_t bytes)
{
    uint64_t lines = 1;
    for (uint64_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    return lines;
}

static mill_status list_docs(ingest_worker *w, mill_error *err)
{
    const mill_batch *batch = &w->batch;
    MILL_TRY(MILL_GROW(w->docs, w->doc_capacity, batch->count, err));
    if (batch->count != 0)
        memset(w->docs, 0, batch->count * sizeof *w->docs); // padding reaches the disk
    for (uint32_t i = 0; i < batch->count; i++) {
        mill_doc *doc = &w->docs[i];
        uint64_t bytes;
        const uint8_t *text = mill_batch_text(batch, i, &bytes);
        doc->key = mill_batch_key(batch, i);
        doc->content = mill_batch_content_key(batch, i);
        doc->stars = batch->stars[i];
        doc->record = batch->record[i];
        doc->bytes = bytes;
        doc->lines = count_lines(text, bytes);
        doc->input = batch->input[i];
        doc->unit = (uint32_t)batch->unit;
        doc->row = i;
        doc->language = batch->language[i];
        doc->flags = batch->flags[i];
        doc->type = batch->type[i];
    }
    return MILL_OK;
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
    return mill_buf_append_text(out, "}\n", err);
}

static cJSON *accounts_json(const ingest_worker *w, uint32_t first, uint32_t last)
{
    cJSON *payload = cJSON_CreateObject();
    cJSON *accounts = cJSON_AddObjectToObject(payload, "accounts");
    bool good = accounts != NULL;
    for (uint32_t i = first; good && first != UINT32_MAX && i <= last; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        cJSON *account = mill_account_to_json(&w->accounts[i]);
        good = account != NULL && cJSON_AddItemToObject(accounts, name, account);
    }
    if (!good) {
        cJSON_Delete(payload);
        return NULL;
    }
    return payload;
}

static mill_status commit_unit(mill_run_state *run, ingest_worker *w, uint64_t number, uint32_t first, uint32_t last, mill_error *err)
{
    mill_unit unit;
    char path[64];
    mill_unit_init(&unit, "ingest", number);
    mill_status status = MILL_OK;
    unit.payload = accounts_json(w, first, last);
    if (unit.payload == NULL) {
        status = mill_fail_nomem(err, "the counts of a unit");
        goto cleanup;
    }
    MILL_TRY_GOTO(mill_segment_encode(&w->batch, run->languages, SEGMENT_LEVEL, &w->segment, err));
    snprintf(path, sizeof path, MILL_STATE "/stage/ingest/%06llu.seg", (unsigned long long)number);
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, path, w->segment.data, w->segment.bytes, err));
    snprintf(path, sizeof path, MILL_STATE "/stage/ingest/%06llu.docs", (unsigned long long)number);
    MILL_TRY_GOTO(mill_docs_encode(run->languages, w->docs, w->batch.count, &w->table, err));
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, path, w->table.data, w->table.bytes, err));
    mill_buf_clear(&w->lines);
    for (size_t i = 0; i < w->quarantine.count; i++)
        MILL_TRY_GOTO(quarantine_line(run, &w->quarantine.rows[i], &w->lines, err));
    if (w->lines.bytes != 0) {
        snprintf(path, sizeof path, MILL_STATE "/stage/ingest/%06llu.quarantine", (unsigned long long)number);
        MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, path, w->lines.data, w->lines.bytes, err));
    }
    return mill_unit_commit(run->dir, &unit, err);
cleanup:
    mill_unit_abort(run->dir, &unit);
    return status;
}

static mill_status ingest_block(void *context, void *state, uint64_t number, mill_error *err)
{
    mill_run_state *run = context;
    ingest_worker *w = state;
    mill_run_advance(run, w->block.bytes.bytes);
    if (mill_workdir_done(run->dir, "ingest", number) != NULL)
        return MILL_OK;
    uint32_t first, last;
    block_inputs(&w->block, &first, &last);
    for (uint32_t i = first; first != UINT32_MAX && i <= last; i++)
        w->counts[i] = (mill_parse_counts){0};
    mill_batch_clear(&w->batch);
    mill_quarantine_clear(&w->quarantine);
    uint64_t begin = mill_time_begin();
    MILL_TRY(mill_source_parse(w->parser, &w->block, &w->batch, &w->quarantine, w->counts, err));
    mill_time_end(run, MILL_TIME_READ, begin, w->batch.text.bytes, w->batch.count);
    w->batch.unit = number;
    begin = mill_time_begin();
    uint64_t text_bytes = w->batch.text.bytes, records = w->batch.count;
    MILL_TRY(mill_filter_batch(w->filter, &w->batch, err));
    mill_time_end(run, MILL_TIME_FILTER, begin, text_bytes, records);
    if (first != UINT32_MAX)
        count_records(w, first, last);
    mill_batch_compact(&w->batch);
    MILL_TRY(list_docs(w, err));
    return commit_unit(run, w, number, first, last, err);
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
    mill_unit_init(&unit, "ingest-end", 0);
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
    MILL_TRY(mill_unit_commit(run->dir, &unit, err));
    return mill_workdir_flush(run->dir, err);
}

static uint64_t number_of(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(item) ? (uint64_t)item->valuedouble : 0;
}

static mill_status load_facts(mill_run_state *run, mill_error *err)
{
    const cJSON *record = mill_workdir_done(run->dir, "ingest-end", 0);
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
    const cJSON *end = mill_workdir_done(run->dir, "ingest-end", 0);
    if (end == NULL)
        return false;
    uint64_t units = number_of(cJSON_GetObjectItemCaseSensitive(end, "payload"), "units");
    for (uint64_t i = 0; i < units; i++) {
        if (mill_workdir_done(run->dir, "ingest", i) == NULL)
            return false;
    }
    return true;
}

static mill_status load_docs(mill_run_state *run, mill_error *err)
{
    mill_buf raw = {0};
    size_t capacity = 0;
    mill_status status = MILL_OK;
    run->doc_count = 0;
    run->unit_first = mill_alloc_zero(run->unit_count + 1, sizeof *run->unit_first);
    if (run->unit_first == NULL)
        return mill_fail_nomem(err, "the table of documents");
    for (uint64_t unit = 0; unit < run->unit_count; unit++) {
        char path[64];
        const cJSON *record = mill_workdir_done(run->dir, "ingest", unit);
        MILL_ASSERT(record != NULL);
        MILL_TRY_GOTO(add_accounts(run, record, unit, err));
        snprintf(path, sizeof path, MILL_STATE "/stage/ingest/%06llu.docs", (unsigned long long)unit);
        MILL_TRY_GOTO(mill_workdir_read(run->dir, path, &raw, err));
        run->unit_first[unit] = run->doc_count;
        MILL_TRY_GOTO(mill_docs_decode(&raw, path, run->languages, &run->docs, &capacity, &run->doc_count, err));
    }
    run->unit_first[run->unit_count] = run->doc_count;
cleanup:
    mill_buf_free(&raw);
    return status;
}

mill_status mill_pass_ingest(mill_run_state *run, mill_error *err)
{
    if (!all_units_done(run)) {
        uint64_t total = 0;
        for (size_t i = 0; i < run->input_count; i++)
            total += mill_source_input(run->source, i)->file_bytes;
        mill_run_part(run, "read and filter", "bytes", total);
        const mill_map map = {.threads = run->threads,
                              .units = UINT64_MAX,
                              .stop = run->options->stop,
                              .context = run,
                              .open = open_worker,
                              .close = close_worker,
                              .next = next_block,
                              .work = ingest_block};
        MILL_TRY(mill_map_run(&map, err));
        MILL_TRY(mill_workdir_flush(run->dir, err));
        if (mill_workdir_done(run->dir, "ingest-end", 0) == NULL)
            MILL_TRY(commit_end(run, err));
    }
    MILL_TRY(load_facts(run, err));
    return load_docs(run, err);
}
