// pass_encode_repos.c: sequences of files -> token units. The texts of a repository lie anywhere in the
// segments, so all kept records are sorted by their places in the sequences first, beyond memory if need be
// (source/spill.h); then units are taken from that stream under the map's lock and encoded on all threads.
// What is on disk for this lives in .shardmill/tmp and is made again by a rerun that still has something to
// encode.
#include <string.h>

#include "pipeline/repos.h"
#include "pipeline/token_unit.h"
#include "source/spill.h"

typedef struct packed_record { // behind it: repository, path, licence, pieces, text
    int64_t stars;
    uint64_t record, text_bytes;
    uint32_t repo_bytes, path_bytes, licence_bytes, piece_count, input;
    mill_language_id language;
    uint16_t flags;
    uint8_t type;
} packed_record;

typedef struct repo_pass {
    mill_run_state *run;
    mill_sorter *sorter;
} repo_pass;

typedef struct repo_worker {
    mill_encode *encode;
    mill_batch batch;
    uint64_t *docs; // of the batch's records
    size_t doc_capacity;
    mill_buf out, scratch;
    mill_rows rows;
} repo_worker;

// ---- into the order of the sequences

static mill_status add_record(mill_sorter *sorter, const mill_batch *b, uint32_t i, uint64_t place,
                              mill_buf *row, mill_error *err)
{
    packed_record head;
    memset(&head, 0, sizeof head);
    const uint8_t *text = mill_batch_text(b, i, &head.text_bytes);
    head.stars = b->stars[i];
    head.record = b->record[i];
    head.repo_bytes = b->repo[i].bytes;
    head.path_bytes = b->path[i].bytes;
    head.licence_bytes = b->licence[i].bytes;
    head.piece_count = mill_batch_piece_count(b, i);
    head.input = b->input[i];
    head.language = b->language[i];
    head.flags = b->flags[i];
    head.type = b->type[i];
    mill_buf_clear(row);
    MILL_TRY(mill_buf_append(row, &head, sizeof head, err));
    MILL_TRY(mill_buf_append(row, mill_batch_meta(b, b->pieces[i]), b->pieces[i].bytes, err));
    MILL_TRY(mill_buf_append(row, mill_batch_meta(b, b->repo[i]), head.repo_bytes, err));
    MILL_TRY(mill_buf_append(row, mill_batch_meta(b, b->path[i]), head.path_bytes, err));
    MILL_TRY(mill_buf_append(row, mill_batch_meta(b, b->licence[i]), head.licence_bytes, err));
    MILL_TRY(mill_buf_append(row, text, head.text_bytes, err));
    const mill_sorted sorted = {.key = place, .data = row->data, .bytes = row->bytes};
    return mill_sorter_add(sorter, &sorted, err);
}

static mill_status sort_segment(mill_run_state *run, mill_sorter *sorter, const uint64_t *places,
                                uint64_t unit, repo_worker *w, mill_error *err)
{
    const uint64_t first = run->unit_first[unit];
    if (run->options->stop != NULL && *run->options->stop != 0)
        return mill_fail_stopped(err);
    MILL_TRY(mill_run_load_segment(run, unit, &w->batch, err));
    for (uint32_t i = 0; i < w->batch.count; i++)
        if (places[first + i] != UINT64_MAX)
            MILL_TRY(add_record(sorter, &w->batch, i, places[first + i], &w->scratch, err));
    mill_run_advance(run, w->batch.count);
    return MILL_OK;
}

static mill_status sort_texts(mill_run_state *run, mill_sorter *sorter, mill_error *err)
{
    const mill_repos *repos = run->repos;
    uint64_t *places = mill_alloc(run->doc_count * sizeof *places + 1);
    repo_worker w = {0};
    mill_status status = places == NULL ? mill_fail_nomem(err, "ordering texts") : MILL_OK;
    if (status == MILL_OK && run->doc_count != 0)
        memset(places, 0xff, run->doc_count * sizeof *places);
    for (uint64_t i = 0; status == MILL_OK && i < repos->doc_count; i++)
        places[repos->docs[i]] = i;
    mill_run_part(run, "order texts", "records", run->doc_count);
    for (uint64_t unit = 0; status == MILL_OK && unit < run->unit_count; unit++)
        status = sort_segment(run, sorter, places, unit, &w, err);
    mill_free(places);
    mill_batch_free(&w.batch);
    mill_buf_free(&w.out);
    mill_buf_free(&w.scratch);
    return status == MILL_OK ? mill_sorter_sort(sorter, err) : status;
}

// ---- units

static void close_worker(void *context, void *state)
{
    (void)context;
    repo_worker *w = state;
    mill_encode_close(w->encode);
    mill_batch_free(&w->batch);
    mill_buf_free(&w->out);
    mill_buf_free(&w->scratch);
    mill_rows_free(&w->rows);
    mill_free(w->docs);
    mill_free(w);
}

static mill_status open_worker(void *context, uint32_t number, void **state, mill_error *err)
{
    (void)number;
    mill_run_state *run = ((repo_pass *)context)->run;
    repo_worker *w = mill_alloc_zero(1, sizeof *w);
    if (w == NULL)
        return mill_fail_nomem(err, "starting an encoder");
    *state = w;
    mill_batch_init(&w->batch);
    return mill_encode_open(&run->recipe.encode, &run->recipe.fim, run->tokenizer, run->languages, &w->encode,
                            err);
}

static mill_status take_record(repo_worker *w, const mill_sorted *row, mill_error *err)
{
    packed_record head;
    memcpy(&head, row->data, sizeof head);
    mill_buf_clear(&w->scratch);
    MILL_TRY(mill_buf_append(&w->scratch, row->data + sizeof head, head.piece_count * sizeof(mill_chat_piece),
                             err));
    const char *at = (const char *)row->data + sizeof head + head.piece_count * sizeof(mill_chat_piece);
    const mill_record record = {.text = (const uint8_t *)at + head.repo_bytes + head.path_bytes +
                                        head.licence_bytes,
                                .text_bytes = head.text_bytes,
                                .repo = at,
                                .path = at + head.repo_bytes,
                                .licence = at + head.repo_bytes + head.path_bytes,
                                .repo_bytes = head.repo_bytes,
                                .path_bytes = head.path_bytes,
                                .licence_bytes = head.licence_bytes,
                                .pieces = (const mill_chat_piece *)(const void *)w->scratch.data,
                                .piece_count = head.piece_count,
                                .language = head.language,
                                .type = head.type,
                                .flags = head.flags,
                                .stars = head.stars,
                                .input = head.input,
                                .record = head.record};
    return mill_batch_append(&w->batch, &record, err);
}

// The records of the unit's sequences, in their order; called under the map's lock, unit after unit.
static mill_status next_unit(void *context, void *state, uint64_t unit, bool *end, mill_error *err)
{
    repo_pass *pass = context;
    const mill_repos *repos = pass->run->repos;
    repo_worker *w = state;
    const bool done = mill_workdir_done(pass->run->dir, "encode", unit) != NULL;
    *end = false;
    mill_batch_clear(&w->batch);
    const uint64_t first = repos->first[repos->unit_first[unit]],
                   last = repos->first[repos->unit_first[unit + 1]];
    MILL_TRY(MILL_GROW(w->docs, w->doc_capacity, last - first, err));
    for (uint64_t i = first; i < last; i++) {
        mill_sorted row;
        bool ended;
        MILL_TRY(mill_sorter_next(pass->sorter, &row, &ended, err));
        if (ended || row.key != i)
            return mill_fail(err, MILL_INTERNAL,
                             "the text of document %llu is not where it should be; please report",
                             (unsigned long long)repos->docs[i]);
        w->docs[i - first] = repos->docs[i];
        if (!done)
            MILL_TRY(take_record(w, &row, err));
    }
    return MILL_OK;
}

static mill_status encode_sequences(mill_run_state *run, repo_worker *w, uint64_t unit, mill_error *err)
{
    const mill_repos *repos = run->repos;
    const uint64_t base = repos->first[repos->unit_first[unit]];
    for (uint64_t s = repos->unit_first[unit]; s < repos->unit_first[unit + 1]; s++) {
        const uint32_t first = (uint32_t)(repos->first[s] - base),
                       count = (uint32_t)(repos->first[s + 1] - repos->first[s]);
        MILL_TRY(repos->framed[s] ? mill_encode_sequence(w->encode, &w->batch, first, count, &w->rows, err)
                                  : mill_encode_record(w->encode, &w->batch, first, NULL, &w->rows, err));
    }
    return MILL_OK;
}

static mill_status encode_unit(void *context, void *state, uint64_t number, mill_error *err)
{
    mill_run_state *run = ((repo_pass *)context)->run;
    repo_worker *w = state;
    mill_run_advance(run, w->batch.count);
    if (mill_workdir_done(run->dir, "encode", number) != NULL)
        return MILL_OK;
    mill_rows_clear(&w->rows);
    mill_instant begin = mill_time_begin();
    MILL_TRY(encode_sequences(run, w, number, err));
    mill_time_end(run, MILL_TIME_ENCODE, begin, w->batch.text.bytes, w->rows.documents);
    const mill_batch *b = &w->batch;
    const mill_token_meta meta = {b->count,     b->repo,       b->path, b->licence,
                                  b->meta.data, b->meta.bytes, w->docs};
    MILL_TRY(mill_token_unit_write(&w->rows, &meta, run->vocab_size, &w->out, err));
    return mill_token_unit_commit(run, number, &w->rows, &w->out, false, err);
}

mill_status mill_repos_encode(mill_run_state *run, mill_error *err)
{
    repo_pass pass = {.run = run};
    uint64_t done = 0;
    while (done < run->repos->units && mill_workdir_done(run->dir, "encode", done) != NULL)
        done++;
    if (done == run->repos->units)
        return MILL_OK;
    const mill_spill_place place = {mill_workdir_handle(run->dir), MILL_STATE "/tmp/texts-",
                                    mill_repos_sort_bytes(run)};
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(mill_sorter_open(run->fs, &place, &pass.sorter, err));
    MILL_TRY_GOTO(sort_texts(run, pass.sorter, err));
    mill_run_part(run, "encode", "records", run->repos->doc_count);
    const mill_map map = {.threads = run->threads,
                          .units = run->repos->units,
                          .stop = run->options->stop,
                          .context = &pass,
                          .open = open_worker,
                          .close = close_worker,
                          .next = next_unit,
                          .work = encode_unit};
    MILL_TRY_GOTO(mill_map_run(&map, err));
cleanup:
    mill_sorter_close(pass.sorter);
    return status;
}
