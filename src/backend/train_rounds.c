// train_rounds.c: the driver of training in rounds: names tokens, chooses each round's pairs, keeps the
// merges.
#include <string.h>

#include "backend/train.h"

typedef struct token_text {
    size_t at;
    uint32_t bytes;
} token_text;

typedef struct rounds {
    const mill_train_job *job;
    mill_train_result *result;
    token_text *tokens; // by id
    mill_buf texts;
    mill_buf scratch;
    uint32_t next_id, batch_max;
} rounds;

uint32_t mill_train_batch_max(const mill_train_job *job)
{
    uint32_t most = (1u << 22) / (job->ids_max != 0 ? job->ids_max : 1);
    if (job->batch_max != 0 && job->batch_max < most)
        most = job->batch_max;
    return most > MILL_GPU_BPE_BATCH ? MILL_GPU_BPE_BATCH : most == 0 ? 1 : most;
}

static mill_status start(rounds *r, mill_error *err)
{
    const mill_train_job *job = r->job;
    r->next_id = job->first_id;
    r->batch_max = mill_train_batch_max(job);
    r->tokens = mill_alloc_zero((size_t)job->ids_max + 1, sizeof *r->tokens);
    if (r->tokens == NULL)
        return mill_fail_nomem(err, "training the tokenizer");
    for (uint32_t i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        if (job->byte_ids[i] >= job->first_id)
            continue; // does not occur
        r->tokens[job->byte_ids[i]] = (token_text){r->texts.bytes, 1};
        MILL_TRY(mill_buf_append(&r->texts, &byte, 1, err));
    }
    return MILL_OK;
}

static mill_status spell(rounds *r, uint32_t left, uint32_t right, mill_error *err)
{
    const token_text a = r->tokens[left], b = r->tokens[right];
    mill_buf_clear(&r->scratch);
    MILL_TRY(mill_buf_append(&r->scratch, r->texts.data + a.at, a.bytes, err));
    return mill_buf_append(&r->scratch, r->texts.data + b.at, b.bytes, err);
}

// Id of the given token that the pair spells, or UINT32_MAX.
static mill_status given_id(rounds *r, uint32_t left, uint32_t right, uint32_t *id, mill_error *err)
{
    *id = UINT32_MAX;
    if (r->job->given_count == 0)
        return MILL_OK;
    MILL_TRY(spell(r, left, right, err));
    for (size_t i = 0; i < r->job->given_count && *id == UINT32_MAX; i++) {
        const mill_train_token *token = &r->job->given[i];
        if (token->bytes == r->scratch.bytes && memcmp(token->text, r->scratch.data, token->bytes) == 0)
            *id = token->id;
    }
    return MILL_OK;
}

// True if merging the pair does not commute with what the batch has.
static bool overlaps(const mill_gpu_bpe_batch *batch, uint32_t left, uint32_t right)
{
    for (uint32_t i = 0; i < batch->count; i++)
        if (batch->of[i].left == right || batch->of[i].right == left)
            return true;
    return batch->count != 0 && left == right;
}

static mill_status choose(rounds *r, const mill_gpu_bpe_outcome *top, mill_gpu_bpe_batch *batch,
                          mill_error *err)
{
    memset(batch, 0, sizeof *batch);
    batch->ids = r->next_id;
    for (uint32_t i = 0; i < top->count && i < r->batch_max && r->next_id + batch->count < r->job->ids_max;
         i++) {
        uint32_t left = (uint32_t)(top->keys[i] >> 32), right = (uint32_t)top->keys[i], id;
        if (overlaps(batch, left, right)) {
            r->result->overlaps++;
            break;
        }
        MILL_TRY(given_id(r, left, right, &id, err));
        bool alone = left == right || id != UINT32_MAX;
        if (id != UINT32_MAX && batch->count != 0)
            break;
        batch->of[batch->count] = (mill_gpu_bpe_pair){.left = left,
                                                      .right = right,
                                                      .id = id != UINT32_MAX ? id : r->next_id + batch->count,
                                                      .left_bytes = r->tokens[left].bytes,
                                                      .right_bytes = r->tokens[right].bytes,
                                                      .count = top->counts[i]};
        batch->count++;
        if (alone)
            break;
    }
    return MILL_OK;
}

static mill_status keep(rounds *r, const mill_gpu_bpe_batch *batch, mill_error *err)
{
    mill_train_result *result = r->result;
    MILL_TRY(MILL_GROW(result->merges, result->capacity, result->count + batch->count, err));
    for (uint32_t i = 0; i < batch->count; i++) {
        const mill_gpu_bpe_pair *pair = &batch->of[i];
        MILL_TRY(spell(r, pair->left, pair->right, err));
        r->tokens[pair->id] = (token_text){r->texts.bytes, (uint32_t)r->scratch.bytes};
        MILL_TRY(mill_buf_append(&r->texts, r->scratch.data, r->scratch.bytes, err));
        result->merges[result->count++] = (mill_train_merge){pair->left, pair->right, pair->id};
        r->next_id += pair->id == r->next_id;
    }
    result->rounds++;
    return MILL_OK;
}

mill_status mill_train_rounds(const mill_train_job *job, const mill_train_steps *steps,
                              mill_train_result *result, mill_error *err)
{
    rounds r = {.job = job, .result = result};
    mill_gpu_bpe_batch batch = {0};
    mill_gpu_bpe_outcome top;
    mill_status status;
    MILL_TRY_GOTO(start(&r, err));
    MILL_TRY_GOTO(steps->round(steps->self, &batch, &top, err));
    for (;;) {
        MILL_TRY_GOTO(choose(&r, &top, &batch, err));
        if (batch.count == 0)
            break;
        MILL_TRY_GOTO(steps->round(steps->self, &batch, &top, err));
        MILL_TRY_GOTO(keep(&r, &batch, err));
        if (job->progress != NULL && job->progress(job->context, r.next_id - job->first_id) != 0) {
            status = mill_fail_stopped_at(err, "after %zu merges", result->count);
            goto cleanup;
        }
    }
cleanup:
    mill_free(r.tokens);
    mill_buf_free(&r.texts);
    mill_buf_free(&r.scratch);
    return status;
}
