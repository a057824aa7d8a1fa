// pass_ingest.c: source, record, normalise, filter -> segments. A unit is a block of input; its products are the segment of the
// records that passed, a table of what barriers need of them, and the quarantined records as JSON lines.
#include <stdio.h>
#include <string.h>

#include "pipeline/input_units.h"
#include "record/segment.h"

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
    mill_buf segment, table;
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
    ingest_worker *w = state;
    return mill_input_next(context, &w->block, unit, end, err);
}

static void count_records(ingest_worker *w, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last; i++)
        w->accounts[i] = mill_account_of_counts(&w->counts[i]);
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

static mill_status commit_unit(mill_run_state *run, ingest_worker *w, uint64_t number, uint32_t first, uint32_t last,
                               mill_error *err)
{
    mill_unit unit;
    char path[64];
    mill_unit_init(&unit, "ingest", number);
    mill_status status = MILL_OK;
    unit.payload = cJSON_CreateObject();
    if (!mill_input_add_accounts(unit.payload, w->accounts, first, last)) {
        status = mill_fail_nomem(err, "the counts of a unit");
        goto cleanup;
    }
    MILL_TRY_GOTO(mill_segment_encode(&w->batch, run->languages, mill_run_segment_level(run, number), &w->segment, err));
    mill_run_segment_path(number, path);
    MILL_TRY_GOTO(mill_unit_add(run->dir, &unit, path, &w->segment, err));
    MILL_TRY_GOTO(mill_input_add_tables(run, &unit, w->docs, w->batch.count, &w->quarantine, &w->table, err));
    return mill_unit_commit(run->dir, &unit, err);
cleanup:
    mill_unit_abort(run->dir, &unit);
    return status;
}

static mill_status ingest_block(void *context, void *state, uint64_t number, mill_error *err)
{
    mill_run_state *run = context;
    ingest_worker *w = state;
    mill_run_advance(run, w->block.bytes.bytes + w->block.planned);
    if (mill_workdir_done(run->dir, "ingest", number) != NULL)
        return MILL_OK;
    uint32_t first, last;
    mill_input_range(&w->block, &first, &last);
    for (uint32_t i = first; first != UINT32_MAX && i <= last; i++)
        w->counts[i] = (mill_parse_counts){0};
    mill_batch_clear(&w->batch);
    mill_quarantine_clear(&w->quarantine);
    mill_instant begin = mill_time_begin();
    MILL_TRY(mill_source_parse(w->parser, &w->block, &w->batch, &w->quarantine, w->counts, err));
    MILL_TRY(mill_language_check(run->languages, err));
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

mill_status mill_pass_ingest(mill_run_state *run, mill_error *err)
{
    const mill_map map = {.threads = run->threads,
                          .units = UINT64_MAX,
                          .stop = run->options->stop,
                          .context = run,
                          .open = open_worker,
                          .close = close_worker,
                          .next = next_block,
                          .work = ingest_block};
    return mill_input_read(run, "read and filter", &map, err);
}
