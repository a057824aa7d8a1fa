// bpe_words.c: counted words laid out in positions.
#include "tokenizer/bpe_words.h"

#include <string.h>

void mill_bpe_ranks_mark(mill_bpe_rank *ranks, size_t position)
{
    // Threads that lay out words behind one another meet at a rank.
    __atomic_fetch_or(&ranks[position / 64].bits, (uint64_t)1 << position % 64, __ATOMIC_RELAXED);
}

void mill_bpe_ranks_finish(mill_bpe_rank *ranks, size_t positions)
{
    uint32_t before = 0;
    for (size_t i = 0; i <= positions / 64; i++) {
        ranks[i].before = before;
        before += (uint32_t)__builtin_popcountll(ranks[i].bits);
    }
}

mill_status mill_bpe_words_lay(const mill_word_counts *counts, uint32_t count, uint32_t positions,
                               mill_train_words *out, mill_error *err)
{
    uint8_t *text = mill_alloc_zero(positions, 1);
    mill_bpe_rank *ranks = mill_alloc_zero(positions / 64 + (size_t)1, sizeof *ranks);
    uint64_t *weights = mill_alloc_zero(count + (size_t)1, sizeof *weights);
    *out = (mill_train_words){text, ranks, weights, positions, count};
    if (text == NULL || ranks == NULL || weights == NULL)
        return mill_fail_nomem(err, "training the tokenizer");
    mill_word word;
    size_t position = 0, number = 0;
    for (size_t part = 0; part < MILL_WORD_PARTS; part++) {
        size_t at = 0;
        while (mill_word_counts_next(counts, part, &at, &word)) {
            if (word.bytes < 2)
                continue;
            weights[number++] = word.count;
            mill_bpe_ranks_mark(ranks, position++);
            memcpy(text + position, word.text, word.bytes);
            position += word.bytes;
        }
    }
    MILL_ASSERT(number == count && position + 1 == positions);
    mill_bpe_ranks_finish(ranks, positions);
    return MILL_OK;
}

void mill_bpe_words_free(mill_train_words *words)
{
    mill_free((void *)(uintptr_t)words->text);
    mill_free((void *)(uintptr_t)words->ranks);
    mill_free((void *)(uintptr_t)words->weights);
    *words = (mill_train_words){0};
}
