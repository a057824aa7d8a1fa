// bpe_model.h: the tables of a tokenizer: tokens, merges, added tokens, and the two hash tables that encoding reads.
#ifndef MILL_TOKENIZER_BPE_MODEL_H
#define MILL_TOKENIZER_BPE_MODEL_H

#include "shared/pair_table.h"
#include "tokenizer/bpe_known.h"
#include "tokenizer/tokenizer.h"

#define MILL_ID_LIMIT (1u << 24)

typedef struct mill_token {
    uint64_t offset;    // in texts: the vocabulary's string (UTF-8); for added tokens their content
    uint64_t raw;       // in texts: the bytes it stands for, where `level`
    uint32_t bytes, raw_bytes;
    bool present;       // this id exists
    bool model;         // it is in the model's vocabulary (added tokens need not be)
    bool level;         // its string is in the byte-level alphabet
    bool added;
} mill_token;

typedef struct mill_added {
    uint32_t id;
    bool special, normalized;
} mill_added;

struct mill_tokenizer {
    mill_pretok pretok;
    bool nfc, ignore_merges, trim_offsets;
    bool has_template; // its file names tokens to put around a text, which encoding here never does
    mill_buf texts;
    mill_token *tokens;
    size_t token_capacity;
    uint32_t token_count; // ids are below
    mill_merge *merges;
    size_t merge_count, merge_capacity;
    mill_added *added; // by id
    size_t added_count, added_capacity;
    // Made by mill_tokenizer_finish:
    uint32_t byte_id[256];      // MILL_NO_ID: dropped by the encoder
    mill_pair_slot *pairs;
    size_t pair_mask;
    uint64_t *pair_bits;        // MILL_PAIR_BITS bits by the pair's hash: no bit, no merge; 32 KiB that stay near the core
    uint32_t *byte_pairs;       // [left byte << 8 | right byte]: rank of the merge of two bytes' tokens, or MILL_NO_ID
    uint32_t merge_base;        // merge r makes id merge_base + r; MILL_NO_ID: look at merges[r]
    uint32_t *by_bytes;         // token ids by their bytes, open addressing, MILL_NO_ID is free
    size_t by_bytes_mask;
    uint32_t *match[2];         // added tokens sorted by content, to be found in raw [0] and in normalized [1] text
    uint32_t match_count[2];
    bool match_first[2][256];   // a content begins with this byte
    int match_only[2];          // all contents begin with this byte; -1: with several
    mill_known *known;          // words that it was trained on, with their ids; NULL: none
};

mill_status mill_tokenizer_create(mill_tokenizer **out, mill_error *err) MILL_MUST_CHECK;
// Gives id its vocabulary string (valid UTF-8). id < MILL_ID_LIMIT. MILL_INPUT if the id has another one.
mill_status mill_tokenizer_set_token(mill_tokenizer *tokenizer, uint32_t id, const uint8_t *text, size_t bytes, bool model,
                                     mill_error *err) MILL_MUST_CHECK;
mill_status mill_tokenizer_add_merge(mill_tokenizer *tokenizer, mill_merge merge, mill_error *err) MILL_MUST_CHECK;
// Marks an existing id as an added token.
mill_status mill_tokenizer_add_added(mill_tokenizer *tokenizer, mill_added added, mill_error *err) MILL_MUST_CHECK;
// Builds the tables above; the tokenizer is immutable from here on.
mill_status mill_tokenizer_finish(mill_tokenizer *tokenizer, mill_error *err) MILL_MUST_CHECK;

static inline const uint8_t *mill_token_text(const mill_tokenizer *tokenizer, uint32_t id)
{
    return tokenizer->texts.data + tokenizer->tokens[id].offset;
}

// Id of the model's token with exactly these bytes, or MILL_NO_ID.
uint32_t mill_tokenizer_find(const mill_tokenizer *tokenizer, const uint8_t *data, size_t bytes);

#define MILL_PAIR_BITS (1u << 18)

// Rank of the merge of a pair, MILL_NO_ID if there is none.
static inline uint32_t mill_tokenizer_pair(const mill_tokenizer *tokenizer, uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right, hash = mill_pair_hash(pair), bit = hash >> 46;
    if ((tokenizer->pair_bits[bit >> 6] >> (bit & 63) & 1) == 0)
        return MILL_NO_ID;
    size_t at = hash & tokenizer->pair_mask;
    while (tokenizer->pairs[at].rank != MILL_NO_ID && tokenizer->pairs[at].pair != pair)
        at = (at + 1) & tokenizer->pair_mask;
    return tokenizer->pairs[at].rank;
}

// The token that merge `rank` makes.
static inline uint32_t mill_tokenizer_merged(const mill_tokenizer *tokenizer, uint32_t rank)
{
    return tokenizer->merge_base != MILL_NO_ID ? tokenizer->merge_base + rank : tokenizer->merges[rank].id;
}

#endif
