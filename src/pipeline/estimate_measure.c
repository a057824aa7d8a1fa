// estimate_measure.c: a sample of records on its way through the stages of a run, counted and timed.
#include <stdlib.h>

#include "core/clock.h"
#include "dedup/minhash.h"
#include "pipeline/estimate.h"
#include "record/segment.h"

#define SYNTAX_BYTES ((uint64_t)8 << 20)  // text that is parsed
#define TRAIN_BYTES ((uint64_t)16 << 20)   // text that a tokenizer is trained on
#define ENCODE_BYTES ((uint64_t)4 << 20)  // text that is encoded
#define HELD_OUT_BYTES ((uint64_t)256 << 10) // below it there is too little text to hold some back from training

static uint64_t since(int64_t begin)
{
    return (uint64_t)(mill_clock_ns() - begin);
}

static mill_status measure_filter(mill_run_state *run, mill_batch *batch, mill_plan_facts *f, mill_error *err)
{
    mill_filter *filter = NULL;
    MILL_TRY(mill_filter_open(&run->recipe.filter, run->languages, run->backend, &filter, err));
    int64_t begin = mill_clock_ns();
    mill_status status = mill_filter_batch(filter, batch, err);
    f->filter_ns = since(begin);
    mill_filter_close(filter);
    MILL_TRY(status);
    mill_mt19937 mt;
    mill_mt19937_seed_python(&mt, run->recipe.python_seed * 1000);
    bool draws = run->recipe.filter.enabled && run->recipe.rng == MILL_RNG_PYTHON;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (draws && batch->verdict[i] == MILL_KEPT)
            batch->verdict[i] = (uint16_t)mill_filter_draw_python(&run->recipe.filter, &mt, (batch->flags[i] & MILL_FLAG_TEST) != 0,
                                                                  batch->stars[i]);
        f->by_reason[batch->verdict[i]]++;
    }
    mill_batch_compact(batch);
    f->passed = batch->count;
    f->passed_bytes = batch->text.bytes;
    mill_buf segment = {0};
    status = mill_segment_encode(batch, run->languages, 1, &segment, err);
    f->segment_bytes = segment.bytes;
    mill_buf_free(&segment);
    return status;
}

// Every n-th document, so that about SYNTAX_BYTES are parsed.
static mill_status measure_syntax(mill_run_state *run, mill_batch *batch, mill_plan_facts *f, mill_error *err)
{
    if (!run->recipe.filter.enabled || run->recipe.syntax.mode == MILL_SYNTAX_OFF)
        return MILL_OK;
    mill_syntax *syntax = NULL;
    MILL_TRY(mill_syntax_open(&run->recipe.syntax, run->languages, &syntax, err));
    uint32_t step = (uint32_t)(batch->text.bytes / SYNTAX_BYTES + 1);
    mill_status status = MILL_OK;
    int64_t begin = mill_clock_ns();
    for (uint32_t i = 0; status == MILL_OK && i < batch->count; i += step) {
        mill_syntax_result result;
        uint64_t bytes;
        const uint8_t *text = mill_batch_text(batch, i, &bytes);
        status = mill_syntax_check(syntax, batch->language[i], text, bytes, &result, err);
        if (status == MILL_OK && result.judged && !result.passed) {
            batch->verdict[i] = MILL_REASON_SYNTAX;
            f->failed++;
        }
        f->checked++;
        f->checked_bytes += bytes;
    }
    f->syntax_ns = since(begin);
    mill_syntax_close(syntax);
    return status;
}

// ---- duplicates -----------------------------------------------------------------------------------------------------------------

typedef struct keys_view {
    const uint32_t *signatures;
    uint32_t count, num_perm, bands, rows;
    mill_key *scratch;
} keys_view;

static mill_status give_keys(void *context, uint32_t band, mill_key *keys, mill_error *err)
{
    (void)err;
    const keys_view *v = context;
    for (uint32_t i = 0; i < v->count; i++) {
        mill_lsh_band_keys(v->signatures + (size_t)i * v->num_perm, v->bands, v->rows, v->scratch);
        keys[i] = v->scratch[band];
    }
    return MILL_OK;
}

static mill_status sign(mill_run_state *run, const mill_batch *batch, uint32_t *signatures, mill_plan_facts *f, mill_error *err)
{
    mill_backend *backend = NULL;
    MILL_TRY(run->backend->open(run->backend, &backend, err));
    const mill_text_view texts = mill_batch_view(batch);
    int64_t begin = mill_clock_ns();
    mill_status status = batch->count != 0 ? backend->ops->minhash(backend, &texts, &run->minhash, signatures, err) : MILL_OK;
    f->sketch_ns = since(begin);
    f->signed_bytes = batch->text.bytes;
    backend->ops->close(backend);
    return status;
}

// Finds the duplicates among the documents that passed: of all, or of the half that the first bit of their key draws. kept_by is
// MILL_DEDUP_NONE for those that stay; counts gets how many go, and with `judge` they get their verdict.
static mill_status find_duplicates(mill_run_state *run, mill_batch *batch, const mill_dedup_view *view, keys_view *keys,
                                   bool half, uint64_t *kept_by, mill_plan_duplicates *counts, mill_error *err)
{
    const uint32_t n = batch->count;
    *counts = (mill_plan_duplicates){0};
    for (uint32_t i = 0; i < n; i++) {
        const bool member = batch->verdict[i] == MILL_KEPT && (!half || (batch->key_low[i] & 1) == 0);
        kept_by[i] = member ? MILL_DEDUP_NONE : i;
        counts->of += member;
    }
    if (run->recipe.dedup.exact)
        MILL_TRY(mill_dedup_exact(view, kept_by, err));
    for (uint32_t i = 0; i < n; i++)
        counts->exact += kept_by[i] != MILL_DEDUP_NONE && kept_by[i] != i;
    if (run->recipe.dedup.near)
        MILL_TRY(mill_dedup_near(view, run->bands, run->recipe.dedup.policy, run->recipe.dedup.survivor, give_keys, keys, kept_by, err));
    for (uint32_t i = 0; i < n; i++)
        counts->near += kept_by[i] != MILL_DEDUP_NONE && kept_by[i] != i;
    counts->near -= counts->exact;
    return MILL_OK;
}

static mill_status measure_dedup(mill_run_state *run, mill_batch *batch, mill_plan_facts *f, mill_error *err)
{
    const uint32_t n = batch->count;
    mill_key *content = mill_alloc_zero((size_t)n + 1, sizeof *content);
    uint32_t *scope = mill_alloc_zero((size_t)n + 1, sizeof *scope);
    uint64_t *bytes = mill_alloc_zero((size_t)n + 1, sizeof *bytes), *kept_by = mill_alloc_zero((size_t)n + 1, sizeof *kept_by);
    uint32_t *signatures = mill_alloc_zero((size_t)n + 1, run->minhash.num_perm * sizeof *signatures);
    keys_view keys = {signatures, n, run->minhash.num_perm, run->bands, run->rows,
                      mill_alloc_zero(run->bands + 1, sizeof *keys.scratch)};
    mill_status status = MILL_OK;
    if (content == NULL || scope == NULL || bytes == NULL || kept_by == NULL || signatures == NULL || keys.scratch == NULL) {
        status = mill_fail_nomem(err, "duplicates of the sample");
        goto cleanup;
    }
    for (uint32_t i = 0; i < n; i++) {
        content[i] = mill_batch_content_key(batch, i);
        scope[i] = run->recipe.dedup.by_language ? batch->language[i] : 0;
        bytes[i] = batch->text_offset[i + 1] - batch->text_offset[i];
    }
    if (run->recipe.dedup.near)
        MILL_TRY_GOTO(sign(run, batch, signatures, f, err));
    const mill_dedup_view view = {n, content, scope, batch->stars, bytes};
    MILL_TRY_GOTO(find_duplicates(run, batch, &view, &keys, true, kept_by, &f->half, err));
    int64_t begin = mill_clock_ns();
    MILL_TRY_GOTO(find_duplicates(run, batch, &view, &keys, false, kept_by, &f->whole, err));
    f->dedup_ns = since(begin);
    for (uint32_t i = 0; i < n; i++) {
        if (batch->verdict[i] == MILL_KEPT && kept_by[i] != MILL_DEDUP_NONE)
            batch->verdict[i] = MILL_REASON_NEAR; // or exact: it goes
    }
cleanup:
    mill_free(content);
    mill_free(scope);
    mill_free(bytes);
    mill_free(kept_by);
    mill_free(signatures);
    mill_free(keys.scratch);
    return status;
}

// ---- tokens ---------------------------------------------------------------------------------------------------------------------

// A tokenizer of the recipe's size, trained on every n-th document (on all of a small sample).
static mill_status measure_training(mill_run_state *run, const mill_batch *batch, uint32_t step, mill_tokenizer **out,
                                    mill_plan_facts *f, mill_error *err)
{
    mill_word_counts *counts = NULL;
    // The cut into words is the one that pass_train uses.
    MILL_TRY(mill_word_counts_open(MILL_PRETOK_GPT2, &counts, err));
    mill_status status = MILL_OK;
    int64_t begin = mill_clock_ns();
    for (uint32_t i = 0; status == MILL_OK && i < batch->count; i += step) {
        uint64_t bytes;
        const uint8_t *text = mill_batch_text(batch, i, &bytes);
        status = mill_word_counts_add(counts, text, bytes, err);
        f->word_bytes += bytes;
    }
    f->words_ns = since(begin);
    f->unique_words = mill_word_counts_unique(counts);
    mill_train_options options = run->recipe.train;
    options.full_alphabet = true; // the text that is held back may have any byte
    options.specials = NULL;
    options.special_count = 0;
    begin = mill_clock_ns();
    if (status == MILL_OK)
        status = mill_tokenizer_train(counts, &options, NULL, NULL, out, err);
    f->train_ns = since(begin);
    mill_word_counts_close(counts);
    return status;
}

// Writes the ids as samples of the recipe's length would be written.
static mill_status measure_shards(mill_run_state *run, const mill_ids *ids, mill_plan_facts *f, mill_error *err)
{
    mill_buf lines = {0}, packed = {0};
    mill_shard_options options = run->recipe.shard;
    options.vocab_size = f->vocab_size;
    uint32_t length = run->recipe.pack.seq_len + run->recipe.pack.extra;
    mill_shard_writer *writer = NULL;
    mill_status status = mill_shard_writer_open(&options, &writer, err);
    int64_t begin = mill_clock_ns();
    for (size_t at = 0; status == MILL_OK && at < ids->count; at += length) {
        uint32_t count = ids->count - at < length ? (uint32_t)(ids->count - at) : length;
        const uint32_t bounds[2] = {0, count};
        const mill_sample sample = {.ids = ids->data + at, .count = count, .cu_seqlens = bounds, .row_count = 1};
        status = mill_shard_writer_append(writer, &sample, &lines, err);
    }
    if (status == MILL_OK && lines.bytes != 0)
        status = mill_shard_zstd(lines.data, lines.bytes, options.zstd_level, &packed, err);
    f->write_ns = since(begin);
    f->written_tokens = ids->count;
    f->jsonl_bytes = lines.bytes;
    f->zst_bytes = packed.bytes;
    mill_shard_writer_close(writer);
    mill_buf_free(&lines);
    mill_buf_free(&packed);
    return status;
}

typedef struct drawn {
    uint64_t key;
    uint32_t row;
} drawn;

static int compare_drawn(const void *a, const void *b)
{
    const drawn *x = a, *y = b;
    return x->key != y->key ? (x->key < y->key ? -1 : 1) : x->row < y->row ? -1 : x->row > y->row;
}

// Every n-th row, shuffled as a run shuffles documents: neighbours in the input are alike, and would pack better than they will.
static mill_status draw_order(const mill_batch *batch, uint32_t first, uint32_t step, drawn **out, uint32_t *count, mill_error *err)
{
    drawn *rows = mill_alloc_zero((size_t)batch->count / step + 1, sizeof *rows);
    if (rows == NULL)
        return mill_fail_nomem(err, "the sample");
    for (uint32_t i = first; i < batch->count; i += step)
        rows[(*count)++] = (drawn){batch->key_low[i], i};
    qsort(rows, *count, sizeof *rows, compare_drawn);
    *out = rows;
    return MILL_OK;
}

static mill_status measure_tokens(mill_run_state *run, const mill_batch *batch, mill_plan_facts *f, mill_error *err)
{
    // Every n-th document to train on, and every n-th of the others to encode, spread over the whole sample.
    const bool few = batch->text.bytes < HELD_OUT_BYTES || batch->count < 16;
    const uint32_t step = few ? 1 : (uint32_t)(batch->text.bytes / TRAIN_BYTES) + 2;
    const uint32_t encode_step = few ? 1 : (uint32_t)(batch->text.bytes / ENCODE_BYTES / step + 1) * step;
    drawn *order = NULL;
    uint32_t count = 0;
    mill_tokenizer *trained = NULL;
    mill_encoder *encoder = NULL;
    mill_ids ids = {0};
    mill_status status = MILL_OK;
    if (run->tokenizer == NULL)
        MILL_TRY_GOTO(measure_training(run, batch, step, &trained, f, err));
    const mill_tokenizer *tokenizer = run->tokenizer != NULL ? run->tokenizer : trained;
    f->vocab_size = mill_tokenizer_vocab_size(tokenizer);
    MILL_TRY_GOTO(mill_encoder_open(tokenizer, &encoder, err));
    MILL_TRY_GOTO(draw_order(batch, few ? 0 : 1, encode_step, &order, &count, err));
    int64_t begin = mill_clock_ns();
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes;
        const uint8_t *text = mill_batch_text(batch, order[i].row, &bytes);
        MILL_TRY_GOTO(mill_encoder_encode(encoder, text, bytes, false, &ids, err));
        f->encoded_bytes += bytes;
    }
    f->encode_ns = since(begin);
    f->tokens = ids.count;
    status = measure_shards(run, &ids, f, err);
cleanup:
    mill_free(order);
    mill_encoder_close(encoder);
    mill_tokenizer_close(trained);
    mill_ids_free(&ids);
    return status;
}

mill_status mill_plan_measure(mill_run_state *run, mill_plan_sample *sample, mill_plan_facts *out, mill_error *err)
{
    mill_batch *batch = &sample->batch;
    *out = (mill_plan_facts){0};
    MILL_TRY(measure_filter(run, batch, out, err));
    MILL_TRY(measure_syntax(run, batch, out, err));
    MILL_TRY(measure_dedup(run, batch, out, err));
    mill_batch_compact(batch);
    out->kept = batch->count;
    out->kept_bytes = batch->text.bytes;
    return batch->count != 0 ? measure_tokens(run, batch, out, err) : MILL_OK;
}
