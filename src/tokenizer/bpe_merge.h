// bpe_merge.h: the ids of one piece.
#ifndef MILL_TOKENIZER_BPE_MERGE_H
#define MILL_TOKENIZER_BPE_MERGE_H

#include "tokenizer/bpe_model.h"

typedef struct mill_merge_node { // one symbol of a long piece
    uint32_t id, before, behind;
    uint32_t rank; // of the pair it begins; MILL_NO_ID: none, or the symbol is gone
} mill_merge_node;

typedef struct mill_merge_scratch { // zero-initialised is empty
    mill_merge_node *nodes;
    size_t node_capacity;
    uint64_t *heap; // rank << 32 | node
    size_t heap_count, heap_capacity;
} mill_merge_scratch;

void mill_merge_scratch_free(mill_merge_scratch *scratch);

// Appends the ids of a piece of 1 .. 2^32 - 2 bytes. Bytes without an id vanish before merging. O(n log n).
mill_status mill_bpe_merge(const mill_tokenizer *tokenizer, mill_merge_scratch *scratch, const uint8_t *piece, size_t bytes,
                           mill_ids *out, mill_error *err) MILL_MUST_CHECK;

// The definition, without a heap: again and again the pair of lowest rank, leftmost first. O(n^2); the oracle of the above.
mill_status mill_bpe_merge_ref(const mill_tokenizer *tokenizer, const uint8_t *piece, size_t bytes, mill_ids *out,
                               mill_error *err) MILL_MUST_CHECK;

#endif
