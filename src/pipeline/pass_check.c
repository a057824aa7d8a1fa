// pass_check.c: the costly looks at each document that is left: does it parse, and what is its MinHash signature. One unit a
// segment; the product is a sketch: u32 count | count verdicts (u16) | count signatures (num_perm u32 each; zero for documents that
// are represented by another, or did not parse).
#include <stdio.h>
#include <string.h>

#include "pipeline/run.h"

typedef struct check_worker {
    mill_syntax *syntax;
    mill_backend *backend;
    mill_batch batch;
    mill_buf sketch, text;
    uint64_t *offsets;         // of the texts to sign
    size_t offset_capacity;
    uint32_t *signed_rows, *signatures;
    size_t row_capacity, signature_capacity;
} check_worker;

static void close_worker(void *context, void *state)
{
    (void)context;
    check_worker *w = state;
    mill_syntax_close(w->syntax);
    if (w->backend != NULL)
        w->backend->ops->close(w->backend);
    mill_batch_free(&w->batch);
    mill_buf_free(&w->sketch);
    mill_buf_free(&w->text);
    mill_free(w->offsets);
    mill_free(w->signed_rows);
    mill_free(w->signatures);
    mill_free(w);
}

static mill_status open_worker(void *context, uint32_t number, void **state, mill_error *err)
{
    (void)number;
    mill_run_state *run = context;
    check_worker *w = mill_alloc_zero(1, sizeof *w);
    if (w == NULL)
        return mill_fail_nomem(err, "starting a checker");
    *state = w;
    mill_batch_init(&w->batch);
    MILL_TRY(mill_syntax_open(&run->recipe.syntax, run->languages, &w->syntax, err));
    return run->backend->open(run->backend, &w->backend, err);
}

static bool checks_syntax(const mill_run_state *run)
{
    return run->recipe.filter.enabled && run->recipe.syntax.mode != MILL_SYNTAX_OFF;
}

static mill_status check_syntax(mill_run_state *run, check_worker *w, uint64_t first, uint16_t *verdicts, mill_error *err)
{
    for (uint32_t i = 0; i < w->batch.count; i++) {
        const mill_doc *doc = &run->docs[first + i];
        if (doc->represents != first + i || !checks_syntax(run) || !mill_flags_parsed(doc->flags))
            continue;
        const mill_instant begin = mill_time_begin();
        uint64_t bytes;
        const uint8_t *text = mill_batch_text(&w->batch, i, &bytes);
        mill_syntax_result result;
        MILL_TRY(mill_syntax_check(w->syntax, w->batch.language[i], text, bytes, &result, err));
        if (result.judged && !result.passed)
            verdicts[i] = MILL_REASON_SYNTAX;
        mill_time_end(run, MILL_TIME_SYNTAX, begin, bytes, 1);
    }
    return MILL_OK;
}

// What is compared of a record: its text; of a conversation what is said in it, as templates make all of them alike.
static mill_status append_signed(const mill_batch *batch, uint32_t i, mill_buf *out, mill_error *err)
{
    uint64_t bytes;
    const uint8_t *text = mill_batch_text(batch, i, &bytes);
    const uint32_t pieces = mill_batch_piece_count(batch, i);
    if (pieces == 0)
        return mill_buf_append(out, text, bytes, err);
    for (uint32_t k = 0; k < pieces; k++) {
        const mill_chat_piece piece = mill_batch_piece(batch, i, k);
        if (piece.role != MILL_CHAT_TEMPLATE) {
            MILL_TRY(mill_buf_append(out, text, piece.bytes, err));
            MILL_TRY(mill_buf_append(out, "\n", 1, err));
        }
        text += piece.bytes;
    }
    return MILL_OK;
}

// Gathers the texts that need a signature into one view; the others are skipped, not copied.
static mill_status gather(mill_run_state *run, check_worker *w, uint64_t first, const uint16_t *verdicts, uint32_t *count,
                          mill_error *err)
{
    mill_buf_clear(&w->text);
    MILL_TRY(MILL_GROW(w->offsets, w->offset_capacity, (size_t)w->batch.count + 1, err));
    MILL_TRY(MILL_GROW(w->signed_rows, w->row_capacity, (size_t)w->batch.count + 1, err));
    w->offsets[0] = 0;
    *count = 0;
    for (uint32_t i = 0; i < w->batch.count; i++) {
        if (run->docs[first + i].represents != first + i || verdicts[i] != MILL_KEPT)
            continue;
        MILL_TRY(append_signed(&w->batch, i, &w->text, err));
        w->signed_rows[(*count)++] = i;
        w->offsets[*count] = w->text.bytes;
    }
    return MILL_OK;
}

static mill_status sign(mill_run_state *run, check_worker *w, uint64_t first, const uint16_t *verdicts, uint32_t *sketch,
                        mill_error *err)
{
    uint32_t count, perms = run->minhash.num_perm;
    MILL_TRY(gather(run, w, first, verdicts, &count, err));
    if (count == 0 || !run->recipe.dedup.near)
        return MILL_OK;
    mill_instant begin = mill_time_begin();
    MILL_TRY(MILL_GROW(w->signatures, w->signature_capacity, (size_t)count * perms, err));
    const mill_text_view view = {w->text.data, w->offsets, count};
    MILL_TRY(w->backend->ops->minhash(w->backend, &view, &run->minhash, w->signatures, err));
    for (uint32_t i = 0; i < count; i++)
        memcpy(sketch + (size_t)w->signed_rows[i] * perms, w->signatures + (size_t)i * perms, perms * sizeof *sketch);
    mill_time_end(run, MILL_TIME_SKETCH, begin, w->text.bytes, count);
    return MILL_OK;
}

size_t mill_sketch_signature_offset(uint32_t count)
{
    return (4 + 2 * (size_t)count + 3) & ~(size_t)3;
}

static mill_status check_unit(void *context, void *state, uint64_t number, mill_error *err)
{
    mill_run_state *run = context;
    check_worker *w = state;
    uint64_t first = run->unit_first[number];
    uint32_t count = (uint32_t)(run->unit_first[number + 1] - first);
    mill_run_advance(run, count);
    if (mill_workdir_done(run->dir, "check", number) != NULL)
        return MILL_OK;
    MILL_TRY(mill_run_load_segment(run, number, &w->batch, err));
    if (w->batch.count != count)
        return mill_fail(err, MILL_VERIFY, "segment %llu holds %u records, its table %u", (unsigned long long)number,
                         w->batch.count, count);
    size_t offset = mill_sketch_signature_offset(count);
    size_t bytes = offset + (run->recipe.dedup.near ? (size_t)count * run->minhash.num_perm * 4 : 0);
    MILL_TRY(mill_buf_reserve(&w->sketch, bytes, err));
    memset(w->sketch.data, 0, bytes);
    w->sketch.bytes = bytes;
    memcpy(w->sketch.data, &count, sizeof count);
    uint16_t *verdicts = (uint16_t *)(void *)(w->sketch.data + 4);
    MILL_TRY(check_syntax(run, w, first, verdicts, err));
    MILL_TRY(sign(run, w, first, verdicts, (uint32_t *)(void *)(w->sketch.data + offset), err));
    mill_unit unit;
    char path[64];
    mill_unit_init(&unit, "check", number);
    mill_run_sketch_path(number, path);
    mill_status status = mill_unit_add(run->dir, &unit, path, &w->sketch, err);
    if (status != MILL_OK) {
        mill_unit_abort(run->dir, &unit);
        return status;
    }
    return mill_unit_commit(run->dir, &unit, err);
}

mill_status mill_pass_check(mill_run_state *run, mill_error *err)
{
    mill_run_part(run, checks_syntax(run) ? "syntax and signatures" : "signatures", "records", run->doc_count);
    const mill_map map = {.threads = run->threads,
                          .units = run->unit_count,
                          .stop = run->options->stop,
                          .context = run,
                          .open = open_worker,
                          .close = close_worker,
                          .work = check_unit};
    return mill_map_run(&map, err);
}
