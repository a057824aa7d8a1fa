// bpe_layout.c: the counted words as one array of symbols, and the pairs of bytes in them: the state before the first merge.
// Threads take shares of the words, one behind the other, so that lists of places are ascending.
#include "tokenizer/bpe_trainer.h"

#define SHARES_MAX 16    // each has a table of pairs of bytes
#define SYMBOLS_MIN 1024 // that are worth a thread
#define POSITIONS_A_PAIR 16 // of words, for each pair that will wait at a time

static mill_status allocate(mill_trainer *t, mill_error *err)
{
    t->symbols = mill_alloc_zero(t->symbol_count, sizeof *t->symbols);
    t->ranks = mill_alloc_zero(t->symbol_count / 64 + 1, sizeof *t->ranks);
    t->weights = mill_alloc_zero(t->word_count, sizeof *t->weights);
    t->used = mill_alloc_zero(t->ids_max, sizeof *t->used);
    if (t->symbols == NULL || t->ranks == NULL || t->weights == NULL || t->used == NULL)
        return mill_fail_nomem(err, "training the tokenizer");
    // Few symbols have no pairs that are worth sharing.
    const uint32_t threads = t->symbol_count / SYMBOLS_MIN < t->options->threads ? 1 : t->options->threads;
    MILL_TRY(mill_crew_open(threads < MILL_TRAIN_THREADS_MAX ? threads : MILL_TRAIN_THREADS_MAX, &t->crew, err));
    t->pair_parts = mill_crew_size(t->crew) < MILL_PAIR_PARTS_MAX ? mill_crew_size(t->crew) : MILL_PAIR_PARTS_MAX;
    return MILL_OK;
}

// Two byte values as an index.
static size_t byte_pair(const uint8_t *text)
{
    return (size_t)text[0] << 8 | text[1];
}

typedef struct first_pairs { // of bytes, by byte_pair
    uint64_t count[65536];
    uint32_t places[65536];
    uint32_t *list[65536];
} first_pairs;

typedef struct layout { // of the words, by several threads, each some parts of them
    mill_trainer *trainer;
    const mill_word_counts *counts;
    uint32_t shares;
    size_t position[SHARES_MAX + 1], word[SHARES_MAX + 1]; // where each share begins
    size_t long_words[SHARES_MAX];
    first_pairs *first;                                    // one a share
    mill_error errors[SHARES_MAX];                         // of making pairs
    uint8_t *byte_of;                                      // by id; a byte's id is one of the first
} layout;

static size_t first_part(const layout *l, uint32_t share)
{
    return (size_t)MILL_WORD_PARTS * share / l->shares;
}

static void cut_layout(layout *l)
{
    size_t position = 0, word = 0;
    for (uint32_t i = 0; i < l->shares; i++) {
        l->position[i] = position;
        l->word[i] = word;
        for (size_t part = first_part(l, i); part < first_part(l, i + 1); part++) {
            const mill_word_facts *facts = mill_word_counts_facts(l->counts, part);
            position += facts->positions;
            word += facts->words;
        }
    }
    l->position[l->shares] = position;
    l->word[l->shares] = word;
}

// Writes symbols, ranks and weights of a share, and counts its pairs of bytes.
static void place_share(void *context, uint32_t share)
{
    layout *l = context;
    mill_trainer *t = l->trainer;
    first_pairs *first = &l->first[share];
    size_t position = l->position[share], number = l->word[share], long_words = 0;
    for (size_t part = first_part(l, share); part < first_part(l, share + 1); part++) {
        mill_word word;
        size_t at = 0;
        while (mill_word_counts_next(l->counts, part, &at, &word)) {
            if (word.bytes < 2)
                continue;
            t->weights[number++] = word.count;
            long_words += word.bytes > MILL_WORD_SHORT;
            mill_bpe_ranks_mark(t->ranks, position);
            t->symbols[position++] = MILL_SEPARATOR;
            for (uint32_t i = 0; i < word.bytes; i++)
                t->symbols[position + i] = t->byte_id[word.text[i]];
            for (uint32_t i = 0; i + 1 < word.bytes; i++) {
                size_t pair = byte_pair(word.text + i);
                first->count[pair] += word.count;
                first->places[pair]++;
            }
            position += word.bytes;
        }
    }
    MILL_ASSERT(position == l->position[share + 1] && number == l->word[share + 1]);
    l->long_words[share] = long_words;
}

// Writes down in the lists where a share has its pairs of bytes.
static void list_share(void *context, uint32_t share)
{
    const layout *l = context;
    const uint32_t *symbols = l->trainer->symbols;
    first_pairs *first = &l->first[share];
    for (size_t at = l->position[share]; at < l->position[share + 1]; at++) { // the last symbol of all is a separator
        if (symbols[at] == MILL_SEPARATOR || symbols[at + 1] == MILL_SEPARATOR)
            continue;
        uint32_t **list = &first->list[(size_t)l->byte_of[symbols[at]] << 8 | l->byte_of[symbols[at + 1]]];
        if (*list != NULL)
            *(*list)++ = (uint32_t)at;
    }
}

// The pair of bytes, if it is frequent enough, with room for each share's places behind those of the shares before.
static mill_status push_first_pair(layout *l, size_t pair, mill_error *err)
{
    mill_trainer *t = l->trainer;
    uint64_t count = 0, key = mill_pair_key(t->byte_id[pair >> 8], t->byte_id[pair & 255]);
    uint32_t places = 0;
    for (uint32_t i = 0; i < l->shares; i++) {
        count += l->first[i].count[pair];
        places += l->first[i].places[pair];
    }
    if (count < t->count_min)
        return MILL_OK;
    uint32_t *list;
    MILL_TRY(mill_pairs_add(mill_trainer_pairs(t, key), key, count, places, &list, err));
    for (uint32_t i = 0; i < l->shares; i++) {
        l->first[i].list[pair] = list;
        list += l->first[i].places[pair];
    }
    return MILL_OK;
}

// The pairs of a share's parts: each part's table is made, and its pages are first touched, by the thread that will use it.
static mill_status make_pairs(layout *l, uint32_t share, mill_error *err)
{
    mill_trainer *t = l->trainer;
    const uint32_t begin = t->pair_parts * share / l->shares, end = t->pair_parts * (share + 1) / l->shares;
    for (uint32_t part = begin; part < end; part++)
        MILL_TRY(mill_pair_table_reserve(&t->pairs[part].table, t->symbol_count / POSITIONS_A_PAIR / t->pair_parts, err));
    for (size_t pair = 0; begin < end && pair < 65536; pair++) {
        const uint32_t part = mill_pair_part(mill_pair_key(t->byte_id[pair >> 8], t->byte_id[pair & 255]), t->pair_parts);
        if (part >= begin && part < end)
            MILL_TRY(push_first_pair(l, pair, err));
    }
    return MILL_OK;
}

static void pairs_share(void *context, uint32_t share)
{
    layout *l = context;
    l->errors[share].status = make_pairs(l, share, &l->errors[share]);
}

static mill_status lay_out(layout *l, mill_error *err)
{
    mill_trainer *t = l->trainer;
    cut_layout(l);
    mill_crew_run(t->crew, l->shares, place_share, l);
    for (uint32_t i = 0; i < l->shares; i++)
        t->long_word_count += l->long_words[i];
    t->symbols[t->symbol_count - 1] = MILL_SEPARATOR;
    mill_bpe_ranks_finish(t->ranks, t->symbol_count);
    if (t->options->spent != NULL)
        mill_word_counts_clear(t->options->spent);
    mill_crew_run(t->crew, l->shares, pairs_share, l);
    for (uint32_t i = 0; i < l->shares; i++) {
        if (l->errors[i].status != MILL_OK) {
            if (err != NULL)
                *err = l->errors[i];
            return l->errors[i].status;
        }
    }
    for (uint32_t i = 0; i < 256; i++) {
        if (t->seen[i])
            l->byte_of[t->byte_id[i]] = (uint8_t)i;
    }
    mill_crew_run(t->crew, l->shares, list_share, l);
    return MILL_OK;
}

mill_status mill_trainer_lay_out(mill_trainer *t, const mill_word_counts *counts, mill_error *err)
{
    MILL_TRY(allocate(t, err));
    const uint32_t threads = mill_crew_size(t->crew);
    layout l = {.trainer = t, .counts = counts, .shares = threads < SHARES_MAX ? threads : SHARES_MAX};
    l.first = mill_alloc_zero(l.shares, sizeof *l.first);
    l.byte_of = mill_alloc_zero(t->tokenizer->token_count, 1);
    mill_status status =
        l.first != NULL && l.byte_of != NULL ? lay_out(&l, err) : mill_fail_nomem(err, "training the tokenizer");
    mill_free(l.first);
    mill_free(l.byte_of);
    return status;
}
