// words.h: reading word counts, for the trainer.
#ifndef MILL_TOKENIZER_WORDS_H
#define MILL_TOKENIZER_WORDS_H

#include "tokenizer/tokenizer.h"

typedef struct mill_word {
    const uint8_t *text; // valid until the next call or change
    uint32_t bytes;
    uint64_t count;
} mill_word;

mill_pretok mill_word_counts_kind(const mill_word_counts *counts);
// Steps through all words in no particular order; *at starts as 0. False at the end.
bool mill_word_counts_next(const mill_word_counts *counts, size_t *at, mill_word *word);

#endif
