// bpe_ahead.c: notes slices of text, hands them to a backend, and gives their ids back.
#include "tokenizer/bpe_ahead.h"

#include "core/hash.h"

#include <string.h>

void mill_ahead_free(mill_ahead *ahead)
{
    mill_buf_free(&ahead->text);
    mill_free(ahead->offsets);
    mill_free(ahead->ends);
    mill_free(ahead->known);
    mill_free(ahead->ids.data);
    *ahead = (mill_ahead){0};
}

bool mill_ahead_open(mill_ahead *ahead, const mill_tokenizer *tokenizer, mill_backend *backend)
{
    if (backend == NULL || backend->ops->encode == NULL || tokenizer->pretok != MILL_PRETOK_GPT2 || tokenizer->ignore_merges ||
        tokenizer->pair_mask > UINT32_MAX)
        return false;
    uint64_t key = XXH3_64bits(tokenizer->byte_id, sizeof tokenizer->byte_id);
    key = XXH3_64bits_withSeed(tokenizer->byte_pairs, 256 * 256 * sizeof *tokenizer->byte_pairs, key);
    if (tokenizer->merge_count != 0)
        key = XXH3_64bits_withSeed(tokenizer->merges, tokenizer->merge_count * sizeof *tokenizer->merges, key);
    ahead->tables = (mill_bpe_tables){.key = key,
                                      .byte_ids = tokenizer->byte_id,
                                      .byte_pairs = tokenizer->byte_pairs,
                                      .pairs = tokenizer->pairs,
                                      .pair_count = tokenizer->pair_mask + 1,
                                      .merges = tokenizer->merges,
                                      .merge_count = tokenizer->merge_count,
                                      .id_end = tokenizer->token_count};
    ahead->backend = backend;
    return true;
}

mill_status mill_ahead_note(mill_ahead *ahead, const uint8_t *text, size_t bytes, mill_error *err)
{
    if (bytes == 0)
        return MILL_OK;
    MILL_TRY(MILL_GROW(ahead->offsets, ahead->offset_capacity, ahead->count + 2, err));
    MILL_TRY(mill_buf_append(&ahead->text, text, bytes, err));
    ahead->offsets[0] = 0;
    ahead->offsets[++ahead->count] = ahead->text.bytes;
    return MILL_OK;
}

void mill_ahead_forget(mill_ahead *ahead)
{
    mill_buf_clear(&ahead->text);
    ahead->ids.count = 0;
    ahead->count = ahead->next = 0;
}

mill_status mill_ahead_run(mill_ahead *ahead,
                           mill_status (*encode_piece)(void *context, const uint8_t *piece, size_t bytes, mill_ids *out,
                                                       mill_error *err),
                           void *context, mill_error *err)
{
    const mill_encode_job job = {&ahead->tables, UINT64_MAX, encode_piece, context};
    MILL_TRY(MILL_GROW(ahead->ends, ahead->end_capacity, ahead->count, err));
    MILL_TRY(MILL_GROW(ahead->known, ahead->known_capacity, ahead->count, err));
    for (size_t first = 0; first < ahead->count;) {
        const size_t left = ahead->count - first;
        const mill_text_view rest = {ahead->text.data, ahead->offsets + first, left < UINT32_MAX ? (uint32_t)left : UINT32_MAX};
        mill_portion portion = {0};
        MILL_TRY(ahead->backend->ops->encode(ahead->backend, &rest, &job, &portion, &ahead->ids, ahead->ends + first, err));
        for (size_t i = first; i < first + portion.texts; i++) {
            ahead->known[i] = portion.done;
            if (!portion.done)
                ahead->ends[i] = ahead->ids.count;
        }
        first += portion.texts;
    }
    return MILL_OK;
}

bool mill_ahead_take(mill_ahead *ahead, const uint8_t *text, size_t bytes, const uint32_t **ids, size_t *count)
{
    const size_t i = ahead->next;
    if (i >= ahead->count || bytes == 0 || ahead->offsets[i + 1] - ahead->offsets[i] != bytes ||
        memcmp(ahead->text.data + ahead->offsets[i], text, bytes) != 0)
        return false;
    const uint64_t first = i != 0 ? ahead->ends[i - 1] : 0;
    *count = (size_t)(ahead->ends[i] - first);
    *ids = *count != 0 ? ahead->ids.data + first : NULL;
    ahead->next++;
    return ahead->known[i];
}
