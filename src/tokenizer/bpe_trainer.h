// bpe_trainer.h: what learning merges on the processor works on (bpe_train.c): the words as symbols, the waiting pairs, and the
// batch of merges that is done at once.
#ifndef MILL_TOKENIZER_BPE_TRAINER_H
#define MILL_TOKENIZER_BPE_TRAINER_H

#include "core/crew.h"
#include "tokenizer/bpe_known.h"
#include "tokenizer/bpe_model.h"
#include "tokenizer/bpe_pairs.h"
#include "tokenizer/bpe_words.h"

#define MILL_SEPARATOR UINT32_MAX // symbols that are no ids: before and behind a word,
#define MILL_INSIDE (UINT32_MAX - 1) // and between the first and the last position of a token
#define MILL_TRAIN_THREADS_MAX 64
#define MILL_BATCH_MAX 64 // merges
#define MILL_PAIR_PARTS_MAX 16

enum { MILL_LEFT, MILL_RIGHT, MILL_SIDES };

typedef struct mill_note { // of one place: a pair with an old symbol is there no more, one with the new symbol is
    uint64_t weight;
    uint32_t id;       // the neighbour; later its place among the sums
    uint32_t position; // of the new pair
} mill_note;

typedef struct mill_neighbour { // one id as neighbour of a merged pair, on one side
    uint64_t lost, gained; // counts of the pair with the old symbol, and with the new one
    uint32_t id;
    uint32_t places;       // positions where the new pair occurs
    uint32_t *list;        // they go here, if the new pair is worth it
} mill_neighbour;

typedef struct mill_batch_share { // what one thread notes of a batch, and its scratch
    mill_note *notes[MILL_SIDES];
    size_t capacity[MILL_SIDES];
    uint32_t begin[MILL_SIDES][MILL_BATCH_MAX + 1]; // of each merge's notes
    uint32_t *sum_of;                               // by id: its place among the sums at work, plus one
    mill_error error;                               // of settling
} mill_batch_share;

typedef struct mill_merge_batch {
    mill_merge merges[MILL_BATCH_MAX];
    uint32_t *positions[MILL_BATCH_MAX]; // taken from the pairs' tables
    uint32_t places[MILL_BATCH_MAX];
    uint32_t begin[MILL_TRAIN_THREADS_MAX + 1][MILL_BATCH_MAX]; // of each share of the positions
    uint32_t count, share_count;
    mill_batch_share shares[MILL_TRAIN_THREADS_MAX];
    mill_neighbour *sums;                    // of each merge and side one stretch
    size_t sum_capacity;
    size_t first_sum[MILL_BATCH_MAX * MILL_SIDES];
    uint32_t sum_count[MILL_BATCH_MAX * MILL_SIDES];
    _Atomic uint32_t next_task;              // a merge and a side
} mill_merge_batch;

typedef struct mill_id_use { // batches that merged an id last, as the left one of a pair and as the right one
    uint32_t left_in, right_in;
} mill_id_use;

typedef struct mill_trainer {
    const mill_train_options *options;
    mill_tokenizer *tokenizer;
    uint64_t count_min;
    uint32_t ids_max;
    bool seen[256];        // bytes that occur
    uint32_t byte_id[256]; // of those
    uint32_t *symbols;
    size_t symbol_count;
    mill_bpe_rank *ranks;
    uint64_t *weights; // of words
    size_t word_count, long_word_count; // long: of more than MILL_WORD_SHORT bytes
    uint32_t *bytes_of; // length of a token, by id
    mill_crew *crew;
    mill_merge_batch batch;
    uint32_t batch_number;
    mill_id_use *used; // by id
    mill_pairs pairs[MILL_PAIR_PARTS_MAX];
    uint32_t pair_parts;
    mill_buf text; // scratch: the bytes of a new token
} mill_trainer;

static inline mill_pairs *mill_trainer_pairs(mill_trainer *trainer, uint64_t key)
{
    return &trainer->pairs[mill_pair_part(key, trainer->pair_parts)];
}

// Allocates and fills symbols, ranks, weights, crew, and the pairs of bytes that are frequent enough. Empties
// the options' spent counts as soon as they are not needed.
mill_status mill_trainer_lay_out(mill_trainer *trainer, const mill_word_counts *counts, mill_error *err) MILL_MUST_CHECK;

// After the last merge: the tokenizer keeps the ids of the long words.
mill_status mill_trainer_keep_words(mill_trainer *trainer, mill_error *err) MILL_MUST_CHECK;

// Replaces the batch's pairs everywhere and brings table and heap up to date; the batch is empty then.
mill_status mill_merge_batch_do(mill_trainer *trainer, mill_error *err) MILL_MUST_CHECK;
void mill_merge_batch_free(mill_trainer *trainer);

#endif
