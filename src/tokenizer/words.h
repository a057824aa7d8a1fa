// words.h: reading word counts, for the trainer.
#ifndef MILL_TOKENIZER_WORDS_H
#define MILL_TOKENIZER_WORDS_H

#include "tokenizer/tokenizer.h"

typedef struct mill_word {
    const uint8_t *text; // valid until the next call or change
    uint32_t bytes;
    uint64_t count;
} mill_word;

// The words are kept in parts, which threads may read at the same time.
#define MILL_WORD_PARTS 64

typedef struct mill_word_facts { // of the different words of a part
    uint64_t seen[4];            // bit b: byte b occurs
    uint32_t words;              // of more than a byte: those that have a pair
    uint64_t positions;          // bytes of those, and one a word
} mill_word_facts;

mill_pretok mill_word_counts_kind(const mill_word_counts *counts);
const mill_word_facts *mill_word_counts_facts(const mill_word_counts *counts, size_t part);
// Steps through the words of a part in no particular order; *at starts as 0. False at the end.
bool mill_word_counts_next(const mill_word_counts *counts, size_t part, size_t *at, mill_word *word);

#endif
