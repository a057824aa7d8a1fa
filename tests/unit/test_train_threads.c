// test_train_threads.c: however many threads count words, add them up and share the occurrences of a merge, the tokenizer is the
// same. A plain program, so that it also runs under the thread sanitizer. Argument: the number of words.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tokenizer.h"

enum { HANDLES_MAX = 20 };

static uint64_t seed;

static uint64_t next(void) // splitmix64
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// Words of few letters, long runs of one letter among them: pairs that are frequent, and neighbours of themselves.
// Word i goes to handle i % handles.
static mill_status add_words(mill_word_counts **counts, uint32_t handles, uint64_t words, mill_error *err)
{
    seed = 5;
    for (uint64_t i = 0; i < words; i++) {
        char word[64];
        size_t bytes = 2 + next() % 18;
        const uint64_t letters = 1 + next() % 6;
        for (size_t k = 0; k < bytes; k++)
            word[k] = (char)('a' + (next() % 3 == 0 && k != 0 ? (uint64_t)(word[k - 1] - 'a') : next() % letters));
        if (i % 50 == 0)
            memset(word, 'z', bytes = 20 + i / 50 % 44);
        mill_status status = mill_word_counts_add(counts[i % handles], (const uint8_t *)word, bytes, err);
        if (status != MILL_OK)
            return status;
    }
    return MILL_OK;
}

static mill_status train(const mill_word_counts *counts, uint32_t threads, mill_buf *json, mill_error *err)
{
    const mill_train_options options = {.vocab_size = 700, .min_frequency = 2, .threads = threads, .keep_words = true};
    mill_tokenizer *tokenizer;
    mill_status status = mill_tokenizer_train(counts, &options, NULL, NULL, &tokenizer, err);
    if (status != MILL_OK)
        return status;
    status = mill_tokenizer_write_json(tokenizer, true, json, err);
    mill_tokenizer_close(tokenizer);
    return status;
}

// The words in as many handles as threads, added up by them; a tokenizer of that.
static mill_status count_and_train(uint64_t words, uint32_t threads, mill_buf *json, mill_error *err)
{
    mill_word_counts *handles[HANDLES_MAX] = {NULL}, *all = NULL;
    mill_status status = mill_word_counts_open(MILL_PRETOK_GPT2, &all, err);
    for (uint32_t i = 0; status == MILL_OK && i < threads; i++)
        status = mill_word_counts_open(MILL_PRETOK_GPT2, &handles[i], err);
    if (status == MILL_OK)
        status = add_words(handles, threads, words, err);
    if (status == MILL_OK)
        status = mill_word_counts_sum(all, handles, threads, threads, err);
    if (status == MILL_OK)
        status = train(all, threads, json, err);
    for (uint32_t i = 0; i < threads; i++)
        mill_word_counts_close(handles[i]);
    mill_word_counts_close(all);
    return status;
}

int main(int argc, char **argv)
{
    static const uint32_t threads[] = {2, 3, 7, HANDLES_MAX};
    const uint64_t words = argc > 1 ? strtoull(argv[1], NULL, 10) : 60000;
    mill_error err = {0};
    mill_word_counts *counts;
    mill_buf wanted = {0};
    int bad = 0;
    if (mill_word_counts_open(MILL_PRETOK_GPT2, &counts, &err) != MILL_OK || add_words(&counts, 1, words, &err) != MILL_OK ||
        train(counts, 1, &wanted, &err) != MILL_OK) {
        printf("%s\n", err.message);
        return 1;
    }
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        mill_buf found = {0};
        if (count_and_train(words, threads[i], &found, &err) != MILL_OK || found.bytes != wanted.bytes ||
            memcmp(found.data, wanted.data, wanted.bytes) != 0) {
            printf("%u threads: another tokenizer; %s\n", threads[i], err.message);
            bad++;
        }
        mill_buf_free(&found);
    }
    printf("%llu different words, a tokenizer of %zu bytes, %d bad\n", (unsigned long long)mill_word_counts_unique(counts),
           wanted.bytes, bad);
    mill_buf_free(&wanted);
    mill_word_counts_close(counts);
    return bad != 0;
}
