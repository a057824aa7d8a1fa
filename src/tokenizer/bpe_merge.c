// bpe_merge.c: merges the symbols of one piece. Short pieces: all ranks in a small array, scanned for the lowest. Long ones: a
// heap of (rank, place) over a linked list.
#include "tokenizer/bpe_merge.h"

#include <string.h>

#define SHORT 48 // symbols up to which scanning beats the heap
#define SHORT_ROOM (SHORT + 4)

void mill_merge_scratch_free(mill_merge_scratch *scratch)
{
    mill_free(scratch->nodes);
    mill_free(scratch->heap);
    *scratch = (mill_merge_scratch){0};
}

// values[at, count) become values[at + 1, count + 1): four at a time, as a call would cost more than a handful of them. Up to three
// behind them are moved as well.
static inline void close_gap(uint32_t *values, size_t at, size_t count)
{
    for (; at < count; at += 4) {
        uint32_t four[4];
        memcpy(four, values + at + 1, sizeof four);
        memcpy(values + at, four, sizeof four);
    }
}

// ids[0, count): the symbols; ranks[0, count - 1): of the merges of neighbours; there is room for SHORT_ROOM. Appends what is left
// after merging.
static mill_status merge_short(const mill_tokenizer *tokenizer, uint32_t *ids, uint32_t *ranks, size_t count, mill_ids *out,
                               mill_error *err)
{
    while (count > 1) {
        size_t best = 0;
        uint32_t rank = ranks[0];
        for (size_t i = 1; i + 1 < count; i++) {
            best = ranks[i] < rank ? i : best;
            rank = ranks[i] < rank ? ranks[i] : rank;
        }
        if (rank == MILL_NO_ID)
            break;
        ids[best] = mill_tokenizer_merged(tokenizer, rank);
        count--;
        close_gap(ids, best + 1, count);
        close_gap(ranks, best, count - 1);
        if (best != 0)
            ranks[best - 1] = mill_tokenizer_pair(tokenizer, ids[best - 1], ids[best]);
        if (best + 1 < count)
            ranks[best] = mill_tokenizer_pair(tokenizer, ids[best], ids[best + 1]);
    }
    MILL_TRY(MILL_GROW(out->data, out->capacity, out->count + SHORT, err));
    for (size_t i = 0; i < count; i += 4) // no call for a handful; what is too much is not counted
        memcpy(out->data + out->count + i, ids + i, 4 * sizeof *ids);
    out->count += count;
    return MILL_OK;
}

// A piece of up to SHORT bytes. Bytes without a token are dropped before anything is merged.
static mill_status merge_bytes(const mill_tokenizer *tokenizer, const uint8_t *piece, size_t bytes, mill_ids *out, mill_error *err)
{
    uint32_t ids[SHORT_ROOM], ranks[SHORT_ROOM];
    size_t count = 0;
    unsigned before = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint32_t id = tokenizer->byte_id[piece[i]];
        if (id == MILL_NO_ID)
            continue;
        if (count != 0)
            ranks[count - 1] = tokenizer->byte_pairs[before << 8 | piece[i]];
        before = piece[i];
        ids[count++] = id;
    }
    return count == 0 ? MILL_OK : merge_short(tokenizer, ids, ranks, count, out, err);
}

static mill_status heap_push(mill_merge_scratch *scratch, uint32_t rank, uint32_t node, mill_error *err)
{
    uint64_t value = (uint64_t)rank << 32 | node;
    MILL_TRY(MILL_GROW(scratch->heap, scratch->heap_capacity, scratch->heap_count + 1, err));
    size_t at = scratch->heap_count++;
    while (at != 0 && value < scratch->heap[(at - 1) / 2]) {
        scratch->heap[at] = scratch->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    scratch->heap[at] = value;
    return MILL_OK;
}

static uint64_t heap_pop(mill_merge_scratch *scratch)
{
    uint64_t *heap = scratch->heap, top = heap[0], value = heap[--scratch->heap_count];
    size_t at = 0, count = scratch->heap_count;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && heap[child + 1] < heap[child])
            child++;
        if (value <= heap[child])
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
    return top;
}

// Looks up the pair that begins at a node and queues it.
static mill_status queue_pair(const mill_tokenizer *tokenizer, mill_merge_scratch *scratch, uint32_t at, mill_error *err)
{
    mill_merge_node *node = &scratch->nodes[at];
    node->rank = MILL_NO_ID;
    if (node->behind == MILL_NO_ID)
        return MILL_OK;
    node->rank = mill_tokenizer_pair(tokenizer, node->id, scratch->nodes[node->behind].id);
    return node->rank == MILL_NO_ID ? MILL_OK : heap_push(scratch, node->rank, at, err);
}

static mill_status merge_long(const mill_tokenizer *tokenizer, mill_merge_scratch *scratch, uint32_t count, mill_ids *out,
                              mill_error *err)
{
    mill_merge_node *nodes = scratch->nodes;
    scratch->heap_count = 0;
    for (uint32_t i = 0; i < count; i++)
        MILL_TRY(queue_pair(tokenizer, scratch, i, err));
    while (scratch->heap_count != 0) {
        uint64_t top = heap_pop(scratch);
        uint32_t at = (uint32_t)top, rank = (uint32_t)(top >> 32);
        if (nodes[at].rank != rank)
            continue; // what stood here has been merged otherwise
        uint32_t gone = nodes[at].behind;
        nodes[at].id = tokenizer->merges[rank].id;
        nodes[at].behind = nodes[gone].behind;
        nodes[gone].rank = MILL_NO_ID;
        if (nodes[at].behind != MILL_NO_ID)
            nodes[nodes[at].behind].before = at;
        MILL_TRY(queue_pair(tokenizer, scratch, at, err));
        if (nodes[at].before != MILL_NO_ID)
            MILL_TRY(queue_pair(tokenizer, scratch, nodes[at].before, err));
    }
    for (uint32_t at = 0; at != MILL_NO_ID; at = nodes[at].behind)
        MILL_TRY(mill_ids_append(out, nodes[at].id, err));
    return MILL_OK;
}

mill_status mill_bpe_merge(const mill_tokenizer *tokenizer, mill_merge_scratch *scratch, const uint8_t *piece, size_t bytes,
                           mill_ids *out, mill_error *err)
{
    MILL_ASSERT(bytes < MILL_NO_ID);
    if (bytes <= SHORT)
        return merge_bytes(tokenizer, piece, bytes, out, err);
    MILL_TRY(MILL_GROW(scratch->nodes, scratch->node_capacity, bytes, err));
    uint32_t count = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint32_t id = tokenizer->byte_id[piece[i]];
        if (id != MILL_NO_ID) {
            scratch->nodes[count] = (mill_merge_node){id, count - 1, count + 1, MILL_NO_ID}; // 0 - 1: none before
            count++;
        }
    }
    if (count == 0)
        return MILL_OK;
    scratch->nodes[count - 1].behind = MILL_NO_ID;
    return merge_long(tokenizer, scratch, count, out, err);
}

mill_status mill_bpe_merge_ref(const mill_tokenizer *tokenizer, const uint8_t *piece, size_t bytes, mill_ids *out,
                               mill_error *err)
{
    size_t first = out->count;
    for (size_t i = 0; i < bytes; i++) {
        if (tokenizer->byte_id[piece[i]] != MILL_NO_ID)
            MILL_TRY(mill_ids_append(out, tokenizer->byte_id[piece[i]], err));
    }
    for (;;) {
        uint32_t best = MILL_NO_ID;
        size_t place = 0;
        for (size_t i = first; i + 1 < out->count; i++) {
            uint32_t rank = mill_tokenizer_pair(tokenizer, out->data[i], out->data[i + 1]);
            if (rank < best) {
                best = rank;
                place = i;
            }
        }
        if (best == MILL_NO_ID)
            return MILL_OK;
        out->data[place] = tokenizer->merges[best].id;
        out->count--;
        memmove(out->data + place + 1, out->data + place + 2, (out->count - place - 1) * sizeof *out->data);
    }
}
