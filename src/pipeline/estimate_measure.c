// estimate_measure.c: a sample of records on its way through the stages of a run, counted and timed.
#include <stdlib.h>

#include "core/clock.h"
#include "dedup/minhash.h"
#include "pipeline/estimate.h"
#include "record/segment.h"
#include "shard/container.h"

#define DRAWN_BYTES ((uint64_t)48 << 20)  // documents that are kept whole, for what follows
#define SYNTAX_BYTES ((uint64_t)8 << 20)  // text that is parsed
#define TRAIN_BYTES ((uint64_t)16 << 20)   // text that a tokenizer is trained on
#define ENCODE_BYTES ((uint64_t)4 << 20)  // text that is encoded
#define HELD_OUT_BYTES ((uint64_t)256 << 10) // below it there is too little text to hold some back from training

static uint64_t since(int64_t begin)
{
    return (uint64_t)(mill_clock_ns() - begin);
}

struct mill_plan_meter {
    mill_run_state *run;
    mill_plan_facts *facts;
    mill_filter *filter;
    mill_backend *backend;
    mill_mt19937 mt;       // rng python
    // of each document that passed the filter
    mill_key *content, *bands; // bands: run->bands a document
    uint32_t *scope;
    int64_t *stars;
    uint64_t *bytes;
    uint8_t *half;         // 1: it is in the half of the sample
    size_t count, capacity, key_capacity, scope_capacity, star_capacity, byte_capacity, half_capacity, band_capacity;
    uint32_t *signatures;  // of one batch
    size_t signature_capacity;
    mill_batch drawn;      // some of them whole: those whose key has `level` zero bits at its end
    uint32_t level;
};

mill_status mill_plan_meter_open(mill_run_state *run, mill_plan_facts *facts, mill_plan_meter **out, mill_error *err)
{
    mill_plan_meter *m = mill_alloc_zero(1, sizeof *m);
    *out = m;
    if (m == NULL)
        return mill_fail_nomem(err, "the sample");
    m->run = run;
    m->facts = facts;
    *facts = (mill_plan_facts){0};
    mill_batch_init(&m->drawn);
    mill_mt19937_seed_python(&m->mt, run->recipe.python_seed * 1000);
    MILL_TRY(mill_filter_open(&run->recipe.filter, run->languages, run->backend, &m->filter, err));
    return run->backend->open(run->backend, &m->backend, err);
}

void mill_plan_meter_close(mill_plan_meter *m)
{
    if (m == NULL)
        return;
    mill_filter_close(m->filter);
    if (m->backend != NULL)
        m->backend->ops->close(m->backend);
    mill_free(m->content);
    mill_free(m->bands);
    mill_free(m->scope);
    mill_free(m->stars);
    mill_free(m->bytes);
    mill_free(m->half);
    mill_free(m->signatures);
    mill_batch_free(&m->drawn);
    mill_free(m);
}

const mill_batch *mill_plan_meter_drawn(const mill_plan_meter *m)
{
    return &m->drawn;
}

// ---- a batch ------------------------------------------------------------------------------------------------------------------

static mill_status measure_filter(mill_plan_meter *m, mill_batch *batch, mill_error *err)
{
    mill_run_state *run = m->run;
    mill_plan_facts *f = m->facts;
    int64_t begin = mill_clock_ns();
    mill_status status = mill_filter_batch(m->filter, batch, err);
    f->filter_ns += since(begin);
    MILL_TRY(status);
    bool draws = run->recipe.filter.enabled && run->recipe.rng == MILL_RNG_PYTHON;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (draws && batch->verdict[i] == MILL_KEPT)
            batch->verdict[i] = (uint16_t)mill_filter_draw_python(&run->recipe.filter, &m->mt,
                                                                  (batch->flags[i] & MILL_FLAG_TEST) != 0, batch->stars[i]);
        f->by_reason[batch->verdict[i]]++;
    }
    mill_batch_compact(batch);
    f->passed += batch->count;
    f->passed_bytes += batch->text.bytes;
    return MILL_OK;
}

// Signs the texts; a document's band keys stand together.
static mill_status sign(mill_plan_meter *m, const mill_batch *batch, mill_error *err)
{
    const mill_run_state *run = m->run;
    const uint32_t perms = run->minhash.num_perm;
    if (!run->recipe.dedup.near || batch->count == 0)
        return MILL_OK;
    MILL_TRY(MILL_GROW(m->signatures, m->signature_capacity, (size_t)batch->count * perms, err));
    MILL_TRY(MILL_GROW(m->bands, m->band_capacity, (m->count + batch->count) * run->bands, err));
    const mill_text_view texts = mill_batch_view(batch);
    int64_t begin = mill_clock_ns();
    MILL_TRY(m->backend->ops->minhash(m->backend, &texts, &run->minhash, m->signatures, err));
    m->facts->sketch_ns += since(begin);
    m->facts->signed_bytes += batch->text.bytes;
    for (uint32_t i = 0; i < batch->count; i++)
        mill_lsh_band_keys(m->signatures + (size_t)i * perms, run->bands, run->rows, m->bands + (m->count + i) * run->bands);
    return MILL_OK;
}

static mill_status note_documents(mill_plan_meter *m, const mill_batch *batch, mill_error *err)
{
    const size_t all = m->count + batch->count;
    MILL_TRY(MILL_GROW(m->content, m->key_capacity, all, err));
    MILL_TRY(MILL_GROW(m->scope, m->scope_capacity, all, err));
    MILL_TRY(MILL_GROW(m->stars, m->star_capacity, all, err));
    MILL_TRY(MILL_GROW(m->bytes, m->byte_capacity, all, err));
    MILL_TRY(MILL_GROW(m->half, m->half_capacity, all, err));
    for (uint32_t i = 0; i < batch->count; i++) {
        const size_t at = m->count++;
        m->content[at] = mill_batch_content_key(batch, i);
        m->scope[at] = m->run->recipe.dedup.by_language ? batch->language[i] : 0;
        m->stars[at] = batch->stars[i];
        m->bytes[at] = batch->text_offset[i + 1] - batch->text_offset[i];
        m->half[at] = batch->key_high[i] & 1;
    }
    return MILL_OK;
}

static bool is_drawn(const mill_plan_meter *m, const mill_batch *batch, uint32_t i)
{
    return (batch->key_low[i] & ((UINT64_C(1) << m->level) - 1)) == 0;
}

// Keeps some documents whole; when they are too much, half of them go, and fewer come from then on.
static mill_status keep_drawn(mill_plan_meter *m, const mill_batch *batch, mill_error *err)
{
    mill_batch *drawn = &m->drawn;
    for (uint32_t i = 0; i < batch->count; i++) {
        uint64_t bytes;
        const uint8_t *text = mill_batch_text(batch, i, &bytes);
        if (!is_drawn(m, batch, i))
            continue;
        const mill_record record = {.text = text, .text_bytes = bytes, .language = batch->language[i], .type = batch->type[i],
                                    .flags = (uint16_t)(batch->flags[i] & ~MILL_FLAG_CHAT), .stars = batch->stars[i]};
        MILL_TRY(mill_batch_append(drawn, &record, err));
        // Its own key would be that of a record without a path.
        drawn->key_low[drawn->count - 1] = batch->key_low[i];
        drawn->key_high[drawn->count - 1] = batch->key_high[i];
        if (drawn->text.bytes <= DRAWN_BYTES)
            continue;
        m->level++;
        for (uint32_t k = 0; k < drawn->count; k++)
            drawn->verdict[k] = is_drawn(m, drawn, k) ? MILL_KEPT : MILL_REASON_UNSELECTED;
        mill_batch_compact(drawn);
    }
    return MILL_OK;
}

mill_status mill_plan_meter_add(mill_plan_meter *m, mill_batch *batch, mill_error *err)
{
    MILL_TRY(measure_filter(m, batch, err));
    MILL_TRY(sign(m, batch, err));
    MILL_TRY(note_documents(m, batch, err));
    return keep_drawn(m, batch, err);
}

// Between passes the text is written by us and once more by the system, and read by the three passes that follow.
static mill_status measure_storing(mill_plan_meter *m, mill_error *err)
{
    mill_buf segment = {0};
    mill_batch back = {0};
    int64_t begin = mill_clock_ns();
    mill_status status = mill_segment_encode(&m->drawn, m->run->languages, 0, &segment, err);
    const uint64_t write_ns = since(begin);
    begin = mill_clock_ns();
    if (status == MILL_OK)
        status = mill_segment_decode(segment.data, segment.bytes, "a part of the sample", m->run->languages, &back, err);
    m->facts->storing_ns = 2 * write_ns + 3 * since(begin);
    mill_batch_free(&back);
    mill_buf_free(&segment);
    return status;
}

// How well the drawn documents pack.
static mill_status measure_segment(mill_plan_meter *m, mill_error *err)
{
    mill_buf segment = {0};
    mill_status status = mill_segment_encode(&m->drawn, m->run->languages, 1, &segment, err);
    m->facts->segment_bytes = segment.bytes;
    m->facts->segment_of = m->drawn.text.bytes;
    mill_buf_free(&segment);
    return status;
}

// ---- duplicates ---------------------------------------------------------------------------------------------------------------

static mill_status give_keys(void *context, uint32_t band, mill_key *keys, mill_error *err)
{
    (void)err;
    const mill_plan_meter *m = context;
    for (size_t i = 0; i < m->count; i++)
        keys[i] = m->bands[i * m->run->bands + band];
    return MILL_OK;
}

// Finds the duplicates among the documents that passed: of all, or of half of them.
static mill_status find_duplicates(mill_plan_meter *m, bool half, uint64_t *kept_by, mill_plan_duplicates *out, mill_error *err)
{
    const mill_run_state *run = m->run;
    const mill_dedup_view view = {m->count, m->content, m->scope, m->stars, m->bytes};
    *out = (mill_plan_duplicates){0};
    for (size_t i = 0; i < m->count; i++) {
        const bool member = !half || m->half[i] != 0;
        kept_by[i] = member ? MILL_DEDUP_NONE : i;
        out->of += member;
    }
    if (run->recipe.dedup.exact)
        MILL_TRY(mill_dedup_exact(&view, kept_by, err));
    for (size_t i = 0; i < m->count; i++)
        out->exact += kept_by[i] != MILL_DEDUP_NONE && kept_by[i] != i;
    if (run->recipe.dedup.near)
        MILL_TRY(mill_dedup_near(&view, run->bands, run->recipe.dedup.policy, run->recipe.dedup.survivor, give_keys, m, kept_by,
                                 err));
    for (size_t i = 0; i < m->count; i++) {
        out->near += kept_by[i] != MILL_DEDUP_NONE && kept_by[i] != i;
        out->kept_bytes += kept_by[i] == MILL_DEDUP_NONE ? m->bytes[i] : 0;
    }
    out->near -= out->exact;
    return MILL_OK;
}

static mill_status measure_dedup(mill_plan_meter *m, mill_error *err)
{
    mill_plan_facts *f = m->facts;
    uint64_t *kept_by = mill_alloc_zero(m->count + 1, sizeof *kept_by);
    if (kept_by == NULL)
        return mill_fail_nomem(err, "duplicates of the sample");
    mill_status status = find_duplicates(m, true, kept_by, &f->half, err);
    int64_t begin = mill_clock_ns();
    if (status == MILL_OK)
        status = find_duplicates(m, false, kept_by, &f->whole, err);
    f->dedup_ns = since(begin);
    mill_free(kept_by);
    return status;
}

// ---- syntax -------------------------------------------------------------------------------------------------------------------

// Every n-th document, so that about SYNTAX_BYTES are parsed.
static mill_status measure_syntax(mill_plan_meter *m, mill_error *err)
{
    mill_run_state *run = m->run;
    mill_batch *batch = &m->drawn;
    mill_plan_facts *f = m->facts;
    if (!run->recipe.filter.enabled || run->recipe.syntax.mode == MILL_SYNTAX_OFF)
        return MILL_OK;
    mill_syntax *syntax = NULL;
    MILL_TRY(mill_syntax_open(&run->recipe.syntax, run->languages, &syntax, err));
    uint32_t step = (uint32_t)(batch->text.bytes / SYNTAX_BYTES + 1);
    mill_status status = MILL_OK;
    int64_t begin = mill_clock_ns();
    for (uint32_t i = 0; status == MILL_OK && i < batch->count; i += step) {
        mill_syntax_result result = {.judged = false};
        uint64_t bytes;
        const uint8_t *text = mill_batch_text(batch, i, &bytes);
        if (mill_flags_parsed(batch->flags[i]))
            status = mill_syntax_check(syntax, batch->language[i], text, bytes, &result, err);
        if (status == MILL_OK && result.judged && !result.passed) {
            batch->verdict[i] = MILL_REASON_SYNTAX;
            f->failed++;
            f->failed_bytes += bytes;
        }
        f->checked++;
        f->checked_bytes += bytes;
    }
    f->syntax_ns = since(begin);
    mill_syntax_close(syntax);
    mill_batch_compact(batch);
    return status;
}

// ---- tokens -------------------------------------------------------------------------------------------------------------------

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
    options.positions = run->recipe.positions != MILL_POSITIONS_NONE;
    uint32_t length = run->recipe.pack.seq_len + run->recipe.pack.extra;
    mill_shard_writer *writer = NULL;
    uint32_t *positions = mill_alloc((size_t)length * sizeof *positions);
    mill_status status = MILL_OK;
    if (positions == NULL)
        status = mill_fail_nomem(err, "measuring shards");
    else
        status = mill_positions_fill(0, length, 0, positions, err);
    if (status == MILL_OK)
        status = mill_shard_writer_open(&options, &writer, err);
    int64_t begin = mill_clock_ns();
    for (size_t at = 0; status == MILL_OK && at < ids->count; at += length) {
        uint32_t count = ids->count - at < length ? (uint32_t)(ids->count - at) : length;
        const uint32_t bounds[2] = {0, count};
        const mill_sample sample = {.ids = ids->data + at, .count = count, .cu_seqlens = bounds, .row_count = 1,
                                    .positions = positions};
        status = mill_shard_writer_append(writer, &sample, &lines, err);
    }
    if (status == MILL_OK && lines.bytes != 0)
        status = mill_shard_zstd(lines.data, lines.bytes, options.zstd_level, true, &packed, err);
    f->write_ns = since(begin);
    f->written_tokens = ids->count;
    f->jsonl_bytes = lines.bytes;
    f->zst_bytes = packed.bytes;
    mill_shard_writer_close(writer);
    mill_free(positions);
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

mill_status mill_plan_meter_finish(mill_plan_meter *m, mill_error *err)
{
    MILL_TRY(measure_segment(m, err));
    MILL_TRY(measure_storing(m, err));
    MILL_TRY(measure_dedup(m, err));
    MILL_TRY(measure_syntax(m, err));
    return m->drawn.count != 0 ? measure_tokens(m->run, &m->drawn, m->facts, err) : MILL_OK;
}
