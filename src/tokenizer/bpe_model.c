// bpe_model.c: building a tokenizer's tables, and asking them.
#include "tokenizer/bpe_model.h"

#include "tokenizer/byte_level.h"

#include "core/hash.h"

#include <stdlib.h>
#include <string.h>

mill_status mill_tokenizer_create(mill_tokenizer **out, mill_error *err)
{
    mill_tokenizer *tokenizer = mill_alloc_zero(1, sizeof *tokenizer);
    *out = tokenizer;
    if (tokenizer == NULL)
        return mill_fail_nomem(err, "making a tokenizer");
    tokenizer->trim_offsets = true;
    return MILL_OK;
}

void mill_tokenizer_close(mill_tokenizer *tokenizer)
{
    if (tokenizer == NULL)
        return;
    mill_buf_free(&tokenizer->texts);
    mill_free(tokenizer->tokens);
    mill_free(tokenizer->merges);
    mill_free(tokenizer->added);
    mill_free(tokenizer->pairs);
    mill_free(tokenizer->pair_bits);
    mill_free(tokenizer->byte_pairs);
    mill_free(tokenizer->by_bytes);
    mill_free(tokenizer->match[0]);
    mill_free(tokenizer->match[1]);
    mill_known_close(tokenizer->known);
    mill_free(tokenizer);
}

mill_status mill_tokenizer_set_token(mill_tokenizer *tokenizer, uint32_t id, const uint8_t *text, size_t bytes, bool model,
                                     mill_error *err)
{
    MILL_ASSERT(id < MILL_ID_LIMIT && bytes <= UINT32_MAX);
    size_t before = tokenizer->token_capacity;
    MILL_TRY(MILL_GROW(tokenizer->tokens, tokenizer->token_capacity, (size_t)id + 1, err));
    if (tokenizer->token_capacity > before)
        memset(tokenizer->tokens + before, 0, (tokenizer->token_capacity - before) * sizeof(mill_token));
    mill_token *token = &tokenizer->tokens[id];
    if (token->present) {
        if (token->bytes != bytes || memcmp(mill_token_text(tokenizer, id), text, bytes) != 0)
            return mill_fail(err, MILL_INPUT, "token id %u is given to two different strings", id);
        token->model = token->model || model;
        return MILL_OK;
    }
    MILL_TRY(mill_buf_reserve(&tokenizer->texts, 2 * bytes, err));
    mill_token fresh = {.offset = tokenizer->texts.bytes, .bytes = (uint32_t)bytes, .present = true, .model = model};
    MILL_TRY(mill_buf_append(&tokenizer->texts, text, bytes, err));
    size_t raw_bytes;
    fresh.raw = tokenizer->texts.bytes;
    fresh.level = mill_byte_level_read(text, bytes, tokenizer->texts.data + fresh.raw, &raw_bytes);
    if (fresh.level) {
        fresh.raw_bytes = (uint32_t)raw_bytes;
        tokenizer->texts.bytes += raw_bytes;
    }
    *token = fresh;
    if (id >= tokenizer->token_count)
        tokenizer->token_count = id + 1;
    return MILL_OK;
}

mill_status mill_tokenizer_add_merge(mill_tokenizer *tokenizer, mill_merge merge, mill_error *err)
{
    MILL_TRY(MILL_GROW(tokenizer->merges, tokenizer->merge_capacity, tokenizer->merge_count + 1, err));
    tokenizer->merges[tokenizer->merge_count++] = merge;
    return MILL_OK;
}

mill_status mill_tokenizer_add_added(mill_tokenizer *tokenizer, mill_added added, mill_error *err)
{
    MILL_ASSERT(added.id < tokenizer->token_count && tokenizer->tokens[added.id].present);
    if (tokenizer->tokens[added.id].added)
        return mill_fail(err, MILL_INPUT, "added token id %u is listed twice", added.id);
    MILL_TRY(MILL_GROW(tokenizer->added, tokenizer->added_capacity, tokenizer->added_count + 1, err));
    tokenizer->tokens[added.id].added = true;
    tokenizer->added[tokenizer->added_count++] = added;
    return MILL_OK;
}

static size_t table_size(size_t entries)
{
    size_t size = 64;
    while (size < 2 * entries)
        size *= 2;
    return size;
}

static mill_status index_pairs(mill_tokenizer *tokenizer, mill_error *err)
{
    size_t size = table_size(tokenizer->merge_count);
    tokenizer->pairs = mill_alloc_zero(size, sizeof(mill_pair_slot));
    tokenizer->pair_bits = mill_alloc_zero(MILL_PAIR_BITS / 64, sizeof *tokenizer->pair_bits);
    if (tokenizer->pairs == NULL || tokenizer->pair_bits == NULL)
        return mill_fail_nomem(err, "indexing merges");
    tokenizer->pair_mask = size - 1;
    memset(tokenizer->pairs, 0xff, size * sizeof(mill_pair_slot));
    tokenizer->merge_base = tokenizer->merge_count == 0 ? MILL_NO_ID : tokenizer->merges[0].id;
    for (size_t rank = 0; rank < tokenizer->merge_count; rank++) { // of a pair listed twice the later rank wins
        const mill_merge *merge = &tokenizer->merges[rank];
        uint64_t pair = (uint64_t)merge->left << 32 | merge->right;
        uint64_t hash = mill_pair_hash(pair), bit = hash >> 46;
        size_t at = hash & tokenizer->pair_mask;
        while (tokenizer->pairs[at].rank != MILL_NO_ID && tokenizer->pairs[at].pair != pair)
            at = (at + 1) & tokenizer->pair_mask;
        tokenizer->pairs[at] = (mill_pair_slot){.pair = pair, .rank = (uint32_t)rank};
        tokenizer->pair_bits[bit >> 6] |= UINT64_C(1) << (bit & 63);
        if (tokenizer->merge_base != MILL_NO_ID && merge->id != tokenizer->merge_base + rank)
            tokenizer->merge_base = MILL_NO_ID;
    }
    return MILL_OK;
}

uint32_t mill_tokenizer_find(const mill_tokenizer *tokenizer, const uint8_t *data, size_t bytes)
{
    for (size_t at = XXH3_64bits(data, bytes) & tokenizer->by_bytes_mask;; at = (at + 1) & tokenizer->by_bytes_mask) {
        uint32_t id = tokenizer->by_bytes[at];
        if (id == MILL_NO_ID)
            return id;
        const mill_token *token = &tokenizer->tokens[id];
        if (token->raw_bytes == bytes && memcmp(tokenizer->texts.data + token->raw, data, bytes) == 0)
            return id;
    }
}

static mill_status index_bytes(mill_tokenizer *tokenizer, mill_error *err)
{
    size_t size = table_size(tokenizer->token_count);
    tokenizer->by_bytes = mill_alloc_zero(size, sizeof(uint32_t));
    if (tokenizer->by_bytes == NULL)
        return mill_fail_nomem(err, "indexing tokens");
    tokenizer->by_bytes_mask = size - 1;
    memset(tokenizer->by_bytes, 0xff, size * sizeof(uint32_t));
    memset(tokenizer->byte_id, 0xff, sizeof tokenizer->byte_id);
    for (uint32_t id = 0; id < tokenizer->token_count; id++) {
        const mill_token *token = &tokenizer->tokens[id];
        if (!token->model || !token->level)
            continue;
        const uint8_t *data = tokenizer->texts.data + token->raw;
        if (token->raw_bytes == 1)
            tokenizer->byte_id[data[0]] = id;
        size_t at = XXH3_64bits(data, token->raw_bytes) & tokenizer->by_bytes_mask;
        while (tokenizer->by_bytes[at] != MILL_NO_ID)
            at = (at + 1) & tokenizer->by_bytes_mask;
        tokenizer->by_bytes[at] = id;
    }
    return MILL_OK;
}

static mill_status index_byte_pairs(mill_tokenizer *tokenizer, mill_error *err)
{
    tokenizer->byte_pairs = mill_alloc_zero(256 * 256, sizeof *tokenizer->byte_pairs);
    if (tokenizer->byte_pairs == NULL)
        return mill_fail_nomem(err, "indexing merges");
    for (uint32_t i = 0; i < 256 * 256; i++) {
        uint32_t left = tokenizer->byte_id[i >> 8], right = tokenizer->byte_id[i & 255];
        bool both = left != MILL_NO_ID && right != MILL_NO_ID;
        tokenizer->byte_pairs[i] = both ? mill_tokenizer_pair(tokenizer, left, right) : MILL_NO_ID;
    }
    return MILL_OK;
}

static int added_order(const void *left, const void *right)
{
    const mill_added *a = left, *b = right;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int content_order(const void *left, const void *right, void *context)
{
    const mill_tokenizer *tokenizer = context;
    const mill_token *a = &tokenizer->tokens[*(const uint32_t *)left], *b = &tokenizer->tokens[*(const uint32_t *)right];
    uint32_t common = a->bytes < b->bytes ? a->bytes : b->bytes;
    int order = memcmp(tokenizer->texts.data + a->offset, tokenizer->texts.data + b->offset, common);
    return order != 0 ? order : a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

// Added tokens by content, so that a match is found by narrowing a range.
static mill_status index_added(mill_tokenizer *tokenizer, int which, mill_error *err)
{
    uint32_t *ids = mill_alloc_zero(tokenizer->added_count, sizeof *ids);
    if (ids == NULL)
        return mill_fail_nomem(err, "indexing added tokens");
    uint32_t count = 0;
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        uint32_t id = tokenizer->added[i].id;
        if (tokenizer->added[i].normalized != (which == 1))
            continue;
        const uint8_t first = *mill_token_text(tokenizer, id);
        tokenizer->match_only[which] = count == 0 || tokenizer->match_only[which] == first ? first : -1;
        tokenizer->match_first[which][first] = true;
        ids[count++] = id;
    }
    if (count != 0)
        qsort_r(ids, count, sizeof *ids, content_order, tokenizer);
    tokenizer->match[which] = ids;
    tokenizer->match_count[which] = count;
    return MILL_OK;
}

mill_status mill_tokenizer_finish(mill_tokenizer *tokenizer, mill_error *err)
{
    if (tokenizer->added_count != 0)
        qsort(tokenizer->added, tokenizer->added_count, sizeof *tokenizer->added, added_order);
    MILL_TRY(index_pairs(tokenizer, err));
    MILL_TRY(index_bytes(tokenizer, err));
    MILL_TRY(index_byte_pairs(tokenizer, err));
    MILL_TRY(index_added(tokenizer, 0, err));
    return index_added(tokenizer, 1, err);
}

bool mill_tokenizer_has_template(const mill_tokenizer *tokenizer)
{
    return tokenizer->has_template;
}

bool mill_tokenizer_normalizes(const mill_tokenizer *tokenizer)
{
    return tokenizer->nfc;
}

uint32_t mill_tokenizer_vocab_size(const mill_tokenizer *tokenizer)
{
    return tokenizer->token_count;
}

uint32_t mill_tokenizer_merge_count(const mill_tokenizer *tokenizer)
{
    return (uint32_t)tokenizer->merge_count;
}

int64_t mill_tokenizer_special(const mill_tokenizer *tokenizer, const char *content)
{
    size_t bytes = strlen(content);
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        uint32_t id = tokenizer->added[i].id;
        if (tokenizer->tokens[id].bytes == bytes && memcmp(mill_token_text(tokenizer, id), content, bytes) == 0)
            return id;
    }
    return -1;
}

bool mill_tokenizer_is_special(const mill_tokenizer *tokenizer, uint32_t id)
{
    return id < tokenizer->token_count && tokenizer->tokens[id].added;
}

const uint8_t *mill_tokenizer_bytes(const mill_tokenizer *tokenizer, uint32_t id, uint32_t *bytes)
{
    *bytes = 0;
    if (id >= tokenizer->token_count || !tokenizer->tokens[id].present)
        return NULL;
    const mill_token *token = &tokenizer->tokens[id];
    bool raw = token->level && !token->added;
    *bytes = raw ? token->raw_bytes : token->bytes;
    return tokenizer->texts.data + (raw ? token->raw : token->offset);
}
