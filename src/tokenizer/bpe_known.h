// bpe_known.h: the ids of the long words that a tokenizer was trained on. Training has merged them, and merging one again takes ten
// times as long as looking it up; for words of up to MILL_WORD_SHORT bytes, making the table would cost what it saves.
#ifndef MILL_TOKENIZER_BPE_KNOWN_H
#define MILL_TOKENIZER_BPE_KNOWN_H

#include "tokenizer/tokenizer.h"
#include "tokenizer/word_key.h"

#define MILL_KNOWN_MAX 256 // bytes of a word

typedef struct mill_known mill_known; // immutable once it is made: threads may share it

void mill_known_close(mill_known *known); // NULL is fine
// The ids of the word with this key and text, and how many there are; NULL: it is short, or the tokenizer was not trained on it.
const uint32_t *mill_known_find(const mill_known *known, const mill_tokenizer *tokenizer, const uint8_t *text,
                                const mill_word_key *key, uint32_t *count);

#endif
