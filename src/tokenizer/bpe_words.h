// bpe_words.h: counted words laid out in positions, as the op `train` of a backend reads them.
#ifndef MILL_TOKENIZER_BPE_WORDS_H
#define MILL_TOKENIZER_BPE_WORDS_H

#include "backend/backend.h"
#include "tokenizer/words.h"

// Marks in ranks that a word begins behind the separator at `position`; finish counts them up.
void mill_bpe_ranks_mark(mill_bpe_rank *ranks, size_t position);
void mill_bpe_ranks_finish(mill_bpe_rank *ranks, size_t positions);

// Lays out the words of two bytes or more, of which there are `count` that take `positions`; free with
// mill_bpe_words_free, on failure too.
mill_status mill_bpe_words_lay(const mill_word_counts *counts, uint32_t count, uint32_t positions,
                               mill_train_words *out, mill_error *err) MILL_MUST_CHECK;
void mill_bpe_words_free(mill_train_words *words);

#endif
