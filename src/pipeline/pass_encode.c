// pass_encode.c: FIM and encode -> token units.
#include "pipeline/repos.h"
#include "pipeline/token_unit.h"

typedef struct encode_worker {
    mill_encode *encode;
    mill_backend *backend; // NULL: it cannot encode
    mill_batch batch;
    mill_buf out;
    mill_rows rows;
    bool *keep;
    size_t keep_capacity;
} encode_worker;

static void close_worker(void *context, void *state)
{
    (void)context;
    encode_worker *w = state;
    mill_encode_close(w->encode);
    if (w->backend != NULL)
        w->backend->ops->close(w->backend);
    mill_batch_free(&w->batch);
    mill_buf_free(&w->out);
    mill_rows_free(&w->rows);
    mill_free(w->keep);
    mill_free(w);
}

static mill_status open_worker(void *context, uint32_t number, void **state, mill_error *err)
{
    (void)number;
    mill_run_state *run = context;
    encode_worker *w = mill_alloc_zero(1, sizeof *w);
    if (w == NULL)
        return mill_fail_nomem(err, "starting an encoder");
    *state = w;
    mill_batch_init(&w->batch);
    MILL_TRY(mill_encode_open(&run->recipe.encode, &run->recipe.fim, run->tokenizer, run->languages, &w->encode, err));
    if (run->backend->encode == NULL)
        return MILL_OK;
    MILL_TRY(run->backend->open(run->backend, &w->backend, err));
    mill_encode_use(w->encode, w->backend);
    return MILL_OK;
}

static mill_status serialise(mill_run_state *run, encode_worker *w, mill_error *err)
{
    const mill_batch *b = &w->batch;
    const mill_token_meta meta = {b->count, b->repo, b->path, b->licence, b->meta.data, b->meta.bytes, NULL};
    return mill_token_unit_write(&w->rows, &meta, run->vocab_size, &w->out, err);
}

static mill_status encode_unit(void *context, void *state, uint64_t number, mill_error *err)
{
    mill_run_state *run = context;
    encode_worker *w = state;
    uint64_t first = run->unit_first[number];
    mill_run_advance(run, run->unit_first[number + 1] - first);
    if (mill_workdir_done(run->dir, run->token_stage, number) != NULL)
        return MILL_OK;
    MILL_TRY(mill_run_load_segment(run, number, &w->batch, err));
    MILL_TRY(MILL_GROW(w->keep, w->keep_capacity, w->batch.count, err));
    uint64_t kept_bytes = 0;
    for (uint32_t i = 0; i < w->batch.count; i++) {
        w->keep[i] = run->docs[first + i].verdict == MILL_KEPT;
        kept_bytes += w->keep[i] ? run->docs[first + i].bytes : 0;
    }
    mill_rows_clear(&w->rows);
    mill_instant begin = mill_time_begin();
    const mill_line_cut *cuts = run->cuts != NULL ? run->cuts + first : NULL;
    MILL_TRY(mill_encode_batch(w->encode, &w->batch, w->keep, cuts, &w->rows, err));
    mill_time_end(run, MILL_TIME_ENCODE, begin, kept_bytes, w->rows.documents);
    MILL_TRY(serialise(run, w, err));
    return mill_token_unit_commit(run, number, &w->rows, &w->out, true, err);
}

// `rng: python`: the guide encodes language by language, files sorted by "LANGUAGE_dedup.jsonl", with the stream of its fourth
// step.
static mill_status draw_cuts(mill_run_state *run, mill_error *err)
{
    if (run->recipe.rng != MILL_RNG_PYTHON)
        return MILL_OK;
    run->cuts = mill_alloc_zero(run->doc_count, sizeof *run->cuts);
    if (run->cuts == NULL)
        return mill_fail_nomem(err, "the cuts of documents");
    uint64_t *order = NULL, count;
    MILL_TRY(mill_run_order_by_language(run, '_', &order, &count, err));
    mill_instant begin = mill_time_begin();
    mill_mt19937 mt;
    mill_mt19937_seed_python(&mt, run->recipe.python_seed * 1000 + 3);
    for (uint64_t i = 0; i < count; i++) {
        mill_fim_mode mode;
        if ((run->docs[order[i]].flags & MILL_FLAG_CHAT) != 0) // never transformed, and the guide knows none
            continue;
        mill_line_cut *cut = &run->cuts[order[i]];
        mill_fim_draw_python(&run->recipe.fim, &mt, run->docs[order[i]].lines, &mode, &cut->first, &cut->second);
    }
    mill_time_end(run, MILL_TIME_FIM, begin, mill_run_kept_bytes(run), count);
    mill_free(order);
    return MILL_OK;
}

mill_status mill_pass_encode(mill_run_state *run, mill_error *err)
{
    run->token_stage = "encode";
    run->vocab_size = mill_tokenizer_vocab_size(run->tokenizer);
    MILL_TRY(draw_cuts(run, err));
    if (run->recipe.pack.mode == MILL_PACK_CONCAT && mill_run_has_chats(run))
        mill_log_line(&run->log, MILL_LOG_WARNING,
                      "pack: mode concat cuts wherever a sample ends, conversations too; pack.mode=best-fit keeps them whole");
    if (run->repos != NULL)
        return mill_repos_encode(run, err);
    mill_run_part(run, "encode", "records", run->doc_count);
    const mill_map map = {.threads = run->threads,
                          .units = run->unit_count,
                          .stop = run->options->stop,
                          .context = run,
                          .open = open_worker,
                          .close = close_worker,
                          .work = encode_unit};
    return mill_map_run(&map, err);
}
