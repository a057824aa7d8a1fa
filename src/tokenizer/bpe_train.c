// bpe_train.c: learns merges in the order of Hugging Face's trainer: largest count first, then smallest left id, then
// smallest right id. A backend may have a way of its own (backend/train.h: rounds); this is the processor's:
//
// All words lie in one array of symbols, a position a byte, with a separator before and behind each word. A token of n bytes
// has its id at its first and at its last position (the rest is INSIDE), so both neighbours of a token are one read away and
// nothing ever moves. Each waiting pair has its count and an ascending list of the positions where it was seen; entries whose
// place has changed since are recognised by reading the symbols. Why that is exact: a token is formed by one merge only and
// everywhere at once, so a pair is counted when its younger half is made, and from then on its count only falls. Stale heap
// entries are therefore upper bounds, and the order of words cannot show. A pair below the smallest useful count is dropped
// at once. Cost: every occurrence of a merge is touched once; lists hold at most two entries for each.
//
// Merges are taken in batches: those at the head of the heap, in order, as long as none has a symbol of one before it. No merge of
// the batch changes the count of another, and the pairs that it makes come behind them all: a new pair (x, ab) is in no more places
// than (x, a) was, which comes behind the batch or would have ended it, and its id is larger. (Of (a, a) that is not so, nor of an
// id that is not new: they end their batch.) So the batch is what one would take one by one. Its places are shared among threads,
// cut between words: what happens in one word touches no other. Each thread goes through the batch in order and notes the
// neighbours; notes are summed up merge by merge, in the order of the threads' shares, so the number of threads cannot show.
#include "tokenizer/bpe_model.h"
#include "tokenizer/bpe_pairs.h"
#include "tokenizer/bpe_words.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/words.h"

#include "core/crew.h"
#include "core/utf8.h"

#include <string.h>

#define SEPARATOR UINT32_MAX
#define INSIDE (UINT32_MAX - 1)
#define MERGED UINT32_MAX
#define PARTS_MAX 64
#define PART_MIN 1024            // places that are worth a thread
#define BATCH_MAX 64             // merges
#define BATCH_PLACES (1u << 17)  // from which on no merge is added to others
#define AHEAD 16                 // places that are fetched ahead

typedef struct neighbour { // one id as neighbour of the pair being merged, on one side
    uint64_t lost, gained; // counts of the pair with the old symbol, and with the new one
    uint32_t places;       // positions where the new pair occurs
    uint32_t *list;        // they go here, if the new pair is worth it
    bool touched;
} neighbour;

typedef struct neighbours {
    neighbour *of; // by id
    uint32_t *ids; // those touched
    size_t id_count, id_capacity;
} neighbours;

typedef struct note { // of one place: a pair with an old symbol is there no more, one with the new symbol is
    uint64_t weight;
    uint32_t id;       // the neighbour; MERGED: it was the pair's left symbol and is merged, too
    uint32_t position; // of the new pair
} note;

enum { LEFT, RIGHT, SIDES };

typedef struct part { // what one thread notes of a batch
    note *notes[SIDES];
    size_t capacity[SIDES];
    uint32_t begin[SIDES][BATCH_MAX + 1]; // of each merge's notes
} part;

typedef struct batch {
    mill_merge merges[BATCH_MAX];
    uint32_t *positions[BATCH_MAX]; // taken from the table
    uint32_t places[BATCH_MAX];
    uint32_t begin[PARTS_MAX + 1][BATCH_MAX]; // of each part's share of the positions
    uint32_t count, parts;
} batch;

typedef struct trainer {
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
    size_t word_count;
    uint32_t *bytes_of; // length of a token, by id
    mill_crew *crew;
    part parts[PARTS_MAX];
    uint32_t part_count; // as many as there may be
    neighbours sides[SIDES];
    batch batch;
    uint32_t batch_number;
    uint32_t *used_in; // batch that merges this id
    mill_pair_table pairs;
    mill_pair_heap heap;
    mill_buf text; // scratch: the bytes of a new token
} trainer;

static void trainer_free(trainer *t)
{
    mill_free(t->symbols);
    mill_free(t->ranks);
    mill_free(t->weights);
    mill_free(t->bytes_of);
    mill_crew_close(t->crew);
    for (uint32_t s = 0; s < SIDES; s++) {
        mill_free(t->sides[s].of);
        mill_free(t->sides[s].ids);
        for (uint32_t i = 0; i < PARTS_MAX; i++)
            mill_free(t->parts[i].notes[s]);
    }
    for (uint32_t i = 0; i < t->batch.count; i++)
        mill_pair_table_drop(&t->pairs, t->batch.positions[i], t->batch.places[i]);
    mill_free(t->used_in);
    mill_pair_table_free(&t->pairs);
    mill_free(t->heap.entries);
    mill_buf_free(&t->text);
}

static mill_status add_specials(trainer *t, mill_error *err)
{
    for (uint32_t i = 0; i < t->options->special_count; i++) {
        const char *content = t->options->specials[i];
        size_t bytes = strlen(content), bad;
        if (bytes == 0 || bytes > UINT16_MAX || !mill_utf8_valid((const uint8_t *)content, bytes, &bad))
            return mill_fail(err, MILL_RECIPE, "special token %u is empty, too long or not UTF-8", i);
        if (mill_tokenizer_special(t->tokenizer, content) >= 0)
            continue;
        uint32_t id = t->tokenizer->token_count;
        if (id >= MILL_ID_LIMIT - 256)
            return mill_fail(err, MILL_RECIPE, "more than %u special tokens", id);
        MILL_TRY(mill_tokenizer_set_token(t->tokenizer, id, (const uint8_t *)content, bytes, true, err));
        MILL_TRY(mill_tokenizer_add_added(t->tokenizer, (mill_added){id, true, false}, err));
    }
    return MILL_OK;
}

// Id of the special token whose string is the byte-level form of these bytes, or MILL_NO_ID. Only a special token can have
// the string of a merge or a byte already.
static uint32_t special_of(const trainer *t, const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < t->tokenizer->added_count; i++) {
        const mill_token *token = &t->tokenizer->tokens[t->tokenizer->added[i].id];
        if (token->level && token->raw_bytes == bytes && memcmp(t->tokenizer->texts.data + token->raw, data, bytes) == 0)
            return t->tokenizer->added[i].id;
    }
    return MILL_NO_ID;
}

// The id for a token of these bytes: a special token's, or a new one.
static mill_status id_for(trainer *t, const uint8_t *data, size_t bytes, uint32_t *id, mill_error *err)
{
    *id = special_of(t, data, bytes);
    if (*id != MILL_NO_ID)
        return MILL_OK;
    *id = t->tokenizer->token_count;
    mill_buf text = {0};
    mill_status status = mill_byte_level_write(data, bytes, &text, err);
    if (status == MILL_OK)
        status = mill_tokenizer_set_token(t->tokenizer, *id, text.data, text.bytes, true, err);
    mill_buf_free(&text);
    return status;
}

// Which bytes occur, how many words have a pair, how many positions they take.
static mill_status survey(trainer *t, const mill_word_counts *counts, bool seen[256], mill_error *err)
{
    mill_word word;
    size_t at = 0, positions = 1;
    while (mill_word_counts_next(counts, &at, &word)) {
        for (uint32_t i = 0; i < word.bytes; i++)
            seen[word.text[i]] = true;
        if (word.bytes > 1) {
            t->word_count++;
            positions += word.bytes + 1u;
        }
    }
    if (positions >= INSIDE)
        return mill_fail(err, MILL_INPUT, "the distinct words have %zu bytes together, more than 4 GiB: train on a sample",
                         positions);
    t->symbol_count = positions;
    return MILL_OK;
}

static mill_status add_alphabet(trainer *t, const bool seen[256], uint32_t byte_id[256], mill_error *err)
{
    for (uint32_t c = 0x21; c <= 0x143; c++) { // the characters' order, not the bytes'
        int byte = mill_byte_level_byte(c);
        if (byte < 0 || !(seen[byte] || t->options->full_alphabet))
            continue;
        uint8_t data = (uint8_t)byte;
        MILL_TRY(id_for(t, &data, 1, &byte_id[byte], err));
    }
    return MILL_OK;
}

static mill_status allocate(trainer *t, mill_error *err)
{
    t->symbols = mill_alloc_zero(t->symbol_count, sizeof *t->symbols);
    t->ranks = mill_alloc_zero(t->symbol_count / 64 + 1, sizeof *t->ranks);
    t->weights = mill_alloc_zero(t->word_count, sizeof *t->weights);
    t->used_in = mill_alloc_zero(t->ids_max, sizeof *t->used_in);
    bool good = t->symbols != NULL && t->ranks != NULL && t->weights != NULL && t->used_in != NULL;
    for (uint32_t s = 0; s < SIDES; s++) {
        t->sides[s].of = mill_alloc_zero(t->ids_max, sizeof *t->sides[s].of);
        good = good && t->sides[s].of != NULL;
    }
    if (!good)
        return mill_fail_nomem(err, "training the tokenizer");
    // Few symbols have no pairs that are worth sharing.
    const uint32_t threads = t->symbol_count / PART_MIN < t->options->threads ? 1 : t->options->threads;
    MILL_TRY(mill_crew_open(threads < PARTS_MAX ? threads : PARTS_MAX, &t->crew, err));
    t->part_count = mill_crew_size(t->crew);
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

// Writes symbols, ranks and weights, and counts the pairs of bytes.
static void place_words(trainer *t, const mill_word_counts *counts, const uint32_t byte_id[256], first_pairs *first)
{
    mill_word word;
    size_t at = 0, position = 0, number = 0;
    while (mill_word_counts_next(counts, &at, &word)) {
        if (word.bytes < 2)
            continue;
        t->weights[number++] = word.count;
        mill_bpe_ranks_mark(t->ranks, position);
        t->symbols[position++] = SEPARATOR;
        for (uint32_t i = 0; i < word.bytes; i++)
            t->symbols[position + i] = byte_id[word.text[i]];
        for (uint32_t i = 0; i + 1 < word.bytes; i++) {
            size_t pair = byte_pair(word.text + i);
            first->count[pair] += word.count;
            first->places[pair]++;
        }
        position += word.bytes;
    }
    t->symbols[position] = SEPARATOR;
    mill_bpe_ranks_finish(t->ranks, t->symbol_count);
}

// Makes the table, the lists and the heap of the pairs of bytes that are frequent enough.
static mill_status push_first_pairs(trainer *t, const uint32_t byte_id[256], first_pairs *first, mill_error *err)
{
    for (size_t pair = 0; pair < 65536; pair++) {
        if (first->count[pair] < t->count_min)
            continue;
        uint64_t key = mill_pair_key(byte_id[pair >> 8], byte_id[pair & 255]);
        mill_pair_entry *entry;
        MILL_TRY(mill_pair_table_add(&t->pairs, key, first->count[pair], first->places[pair], &entry, err));
        first->list[pair] = entry->positions;
        MILL_TRY(mill_pair_heap_push(&t->heap, (mill_heap_entry){first->count[pair], key}, err));
    }
    uint8_t *byte_of = mill_alloc_zero(t->tokenizer->token_count, 1); // by id; a byte's id is one of the first
    if (byte_of == NULL)
        return mill_fail_nomem(err, "training the tokenizer");
    for (uint32_t i = 0; i < 256; i++) {
        if (t->seen[i])
            byte_of[byte_id[i]] = (uint8_t)i;
    }
    for (size_t at = 1; at + 1 < t->symbol_count; at++) {
        if (t->symbols[at] == SEPARATOR || t->symbols[at + 1] == SEPARATOR)
            continue;
        uint32_t **list = &first->list[(size_t)byte_of[t->symbols[at]] << 8 | byte_of[t->symbols[at + 1]]];
        if (*list != NULL)
            *(*list)++ = (uint32_t)at;
    }
    mill_free(byte_of);
    return MILL_OK;
}

// Ids of special tokens and bytes; how many words and ids there will be.
static mill_status start(trainer *t, const mill_word_counts *counts, mill_error *err)
{
    MILL_TRY(add_specials(t, err));
    MILL_TRY(survey(t, counts, t->seen, err));
    MILL_TRY(add_alphabet(t, t->seen, t->byte_id, err));
    // Each merge shortens some word by one symbol, so there are never more merges than positions.
    uint64_t ids = t->tokenizer->token_count + (uint64_t)t->symbol_count;
    if (ids > t->options->vocab_size)
        ids = t->options->vocab_size;
    if (ids < t->tokenizer->token_count)
        ids = t->tokenizer->token_count;
    t->ids_max = (uint32_t)ids;
    t->bytes_of = mill_alloc_zero(ids, sizeof *t->bytes_of);
    if (t->bytes_of == NULL)
        return mill_fail_nomem(err, "training the tokenizer");
    for (uint32_t i = 0; i < 256; i++) {
        if (t->seen[i])
            t->bytes_of[t->byte_id[i]] = 1;
    }
    return MILL_OK;
}

static mill_status start_places(trainer *t, const mill_word_counts *counts, mill_error *err)
{
    MILL_TRY(allocate(t, err));
    first_pairs *first = mill_alloc_zero(1, sizeof *first);
    if (first == NULL)
        return mill_fail_nomem(err, "training the tokenizer");
    place_words(t, counts, t->byte_id, first);
    if (t->options->spent != NULL)
        mill_word_counts_clear(t->options->spent);
    mill_status status = push_first_pairs(t, t->byte_id, first, err);
    mill_free(first);
    return status;
}

static inline uint64_t weight_at(const trainer *t, uint32_t position)
{
    return t->weights[mill_bpe_word(t->ranks, position)];
}

static inline void fetch_place(const trainer *t, uint32_t position)
{
    __builtin_prefetch(&t->symbols[position], 1);
    __builtin_prefetch(&t->ranks[position / 64]);
}

// Replaces the pair wherever it still stands, left to right, and notes the neighbours. Returns the notes of each side.
static void replace(const trainer *t, mill_merge merge, const uint32_t *positions, uint32_t count, note *left, note *right,
                    uint32_t noted[SIDES])
{
    uint32_t *symbols = t->symbols, left_bytes = t->bytes_of[merge.left], right_bytes = t->bytes_of[merge.right];
    uint32_t lefts = 0, rights = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            fetch_place(t, positions[i + AHEAD]);
        uint32_t at = positions[i], middle = at + left_bytes, end = middle + right_bytes;
        if (symbols[at] != merge.left || symbols[middle] != merge.right)
            continue;
        uint64_t weight = weight_at(t, at);
        uint32_t before = symbols[at - 1], behind = symbols[end];
        if (before == merge.id) // the left neighbour was merged a moment ago and took down this place's old symbol
            right[rights - 1].id = MERGED;
        else if (before != SEPARATOR)
            left[lefts++] = (note){weight, before, at - t->bytes_of[before]};
        if (behind != SEPARATOR)
            right[rights++] = (note){weight, behind, at};
        symbols[middle - 1] = INSIDE;
        symbols[middle] = INSIDE;
        symbols[at] = merge.id;
        symbols[end - 1] = merge.id;
    }
    noted[LEFT] = lefts;
    noted[RIGHT] = rights;
}

// One part's share of the batch.
static void replace_share(void *context, uint32_t number)
{
    trainer *t = context;
    const batch *b = &t->batch;
    part *p = &t->parts[number];
    for (uint32_t k = 0; k < b->count; k++) {
        const uint32_t begin = b->begin[number][k], count = b->begin[number + 1][k] - begin;
        if (k + 1 < b->count) { // the start of the next list
            const uint32_t first = b->begin[number][k + 1], last = b->begin[number + 1][k + 1];
            for (uint32_t i = first; i < last && i < first + AHEAD; i++)
                fetch_place(t, b->positions[k + 1][i]);
        }
        uint32_t noted[SIDES];
        replace(t, b->merges[k], b->positions[k] + begin, count, p->notes[LEFT] + p->begin[LEFT][k],
                p->notes[RIGHT] + p->begin[RIGHT][k], noted);
        p->begin[LEFT][k + 1] = p->begin[LEFT][k] + noted[LEFT];
        p->begin[RIGHT][k + 1] = p->begin[RIGHT][k] + noted[RIGHT];
    }
}

static inline neighbour *touch(neighbours *side, uint32_t id)
{
    neighbour *n = &side->of[id];
    if (!n->touched) {
        n->touched = true;
        side->ids[side->id_count++] = id;
    }
    return n;
}

// The neighbour as it is now.
static inline uint32_t gained_id(note n, mill_merge merge)
{
    return n.id == MERGED ? merge.id : n.id;
}

// Sums up what the parts noted of the batch's k-th merge on one side.
static mill_status gather(trainer *t, uint32_t s, uint32_t k, mill_error *err)
{
    const mill_merge merge = t->batch.merges[k];
    neighbours *side = &t->sides[s];
    for (uint32_t i = 0; i < t->batch.parts; i++) {
        const part *p = &t->parts[i];
        const note *notes = p->notes[s] + p->begin[s][k];
        const uint32_t count = p->begin[s][k + 1] - p->begin[s][k];
        MILL_TRY(MILL_GROW(side->ids, side->id_capacity, side->id_count + count + 1, err));
        for (const note *n = notes; n < notes + count; n++) {
            neighbour *gaining = touch(side, gained_id(*n, merge));
            gaining->gained += n->weight;
            gaining->places++;
            (n->id == MERGED ? touch(side, merge.left) : gaining)->lost += n->weight;
        }
    }
    return MILL_OK;
}

// Turns the sums of a side into counts: the pairs with the old symbol lose, those with the new one begin. Those that are worth it
// have memory for their list then.
static mill_status settle(trainer *t, uint32_t s, mill_merge merge, mill_error *err)
{
    neighbours *side = &t->sides[s];
    uint32_t limit = t->options->max_token_length;
    for (size_t i = 0; i < side->id_count; i++) {
        uint32_t id = side->ids[i];
        neighbour *n = &side->of[id];
        mill_pair_table_lose(&t->pairs, s == LEFT ? mill_pair_key(id, merge.left) : mill_pair_key(merge.right, id), n->lost,
                             t->count_min);
        if (n->gained < t->count_min || n->places == 0)
            continue;
        if (limit != 0 && (uint64_t)t->bytes_of[id] + t->bytes_of[merge.id] >= limit)
            continue;
        uint64_t key = s == LEFT ? mill_pair_key(id, merge.id) : mill_pair_key(merge.id, id);
        mill_pair_entry *entry;
        MILL_TRY(mill_pair_table_add(&t->pairs, key, n->gained, n->places, &entry, err));
        n->list = entry->positions;
        MILL_TRY(mill_pair_heap_push(&t->heap, (mill_heap_entry){n->gained, key}, err));
    }
    return MILL_OK;
}

// Writes the places down in the lists, and forgets the sums.
static void fill_lists(trainer *t, uint32_t s, uint32_t k)
{
    neighbours *side = &t->sides[s];
    for (uint32_t i = 0; i < t->batch.parts; i++) {
        const part *p = &t->parts[i];
        for (const note *n = p->notes[s] + p->begin[s][k]; n < p->notes[s] + p->begin[s][k + 1]; n++) {
            neighbour *gaining = &side->of[gained_id(*n, t->batch.merges[k])];
            if (gaining->list != NULL)
                *gaining->list++ = n->position;
        }
    }
    for (size_t i = 0; i < side->id_count; i++)
        side->of[side->ids[i]] = (neighbour){0};
    side->id_count = 0;
}

// How many positions of an ascending list are in words before the word at `position`.
static uint32_t places_before(const trainer *t, const uint32_t *positions, uint32_t count, uint32_t position)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (positions[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    while (low > 0 && mill_bpe_word(t->ranks, positions[low - 1]) == mill_bpe_word(t->ranks, position))
        low--;
    return low;
}

// Cuts all lists of the batch at the same words, so that the longest is in about equal shares.
static void cut_shares(trainer *t)
{
    batch *b = &t->batch;
    uint32_t longest = 0;
    for (uint32_t k = 1; k < b->count; k++)
        longest = b->places[k] > b->places[longest] ? k : longest;
    for (uint32_t k = 0; k < b->count; k++) {
        b->begin[0][k] = 0;
        b->begin[b->parts][k] = b->places[k];
    }
    for (uint32_t i = 1; i < b->parts; i++) {
        const uint32_t cut = b->positions[longest][(uint64_t)b->places[longest] * i / b->parts];
        for (uint32_t k = 0; k < b->count; k++)
            b->begin[i][k] = places_before(t, b->positions[k], b->places[k], cut);
    }
}

static mill_status merge_batch(trainer *t, mill_error *err)
{
    batch *b = &t->batch;
    uint64_t places = 0;
    for (uint32_t k = 0; k < b->count; k++)
        places += b->places[k];
    b->parts = places / PART_MIN < 2 ? 1 : places / PART_MIN < t->part_count ? (uint32_t)(places / PART_MIN) : t->part_count;
    cut_shares(t);
    for (uint32_t i = 0; i < b->parts; i++) {
        size_t share = 0;
        for (uint32_t k = 0; k < b->count; k++)
            share += b->begin[i + 1][k] - b->begin[i][k];
        for (uint32_t s = 0; s < SIDES; s++)
            MILL_TRY(MILL_GROW(t->parts[i].notes[s], t->parts[i].capacity[s], share + 1, err));
    }
    mill_crew_run(t->crew, b->parts, replace_share, t);
    for (uint32_t k = 0; k < b->count; k++) {
        for (uint32_t s = 0; s < SIDES; s++) {
            MILL_TRY(gather(t, s, k, err));
            MILL_TRY(settle(t, s, b->merges[k], err));
            fill_lists(t, s, k);
        }
    }
    return MILL_OK;
}

// Gives the merged token its id and length.
static mill_status name_merge(trainer *t, mill_merge *merge, mill_error *err)
{
    const mill_token *tokens = t->tokenizer->tokens;
    mill_buf_clear(&t->text);
    const uint8_t *texts = t->tokenizer->texts.data;
    MILL_TRY(mill_buf_append(&t->text, texts + tokens[merge->left].raw, tokens[merge->left].raw_bytes, err));
    MILL_TRY(mill_buf_append(&t->text, texts + tokens[merge->right].raw, tokens[merge->right].raw_bytes, err));
    MILL_TRY(id_for(t, t->text.data, t->text.bytes, &merge->id, err));
    t->bytes_of[merge->id] = (uint32_t)t->text.bytes;
    return mill_tokenizer_add_merge(t->tokenizer, *merge, err);
}

// The pair to merge next, at the heap's head; NULL if none is left. Heap entries that are out of date go back with their pair's
// count.
static mill_pair_entry *find_best(trainer *t)
{
    while (t->heap.count != 0) {
        mill_heap_entry top = t->heap.entries[0];
        mill_pair_entry *entry = mill_pair_table_find(&t->pairs, top.key);
        if (entry == NULL)
            mill_pair_heap_pop(&t->heap);
        else if (entry->count != top.count)
            mill_pair_heap_lower(&t->heap, entry->count);
        else
            return entry;
    }
    return NULL;
}

// Takes the merges that come next and have no symbol in common. None is left when the batch is empty.
static mill_status take_batch(trainer *t, mill_error *err)
{
    batch *b = &t->batch;
    uint64_t places = 0;
    bool last = false;
    b->count = 0;
    t->batch_number++;
    while (!last && b->count < BATCH_MAX && t->tokenizer->token_count < t->ids_max) {
        mill_pair_entry *best = find_best(t);
        if (best == NULL)
            break;
        mill_merge merge = {(uint32_t)(best->key >> 32), (uint32_t)best->key, 0};
        if (t->used_in[merge.left] == t->batch_number || t->used_in[merge.right] == t->batch_number ||
            (b->count != 0 && places + best->places > BATCH_PLACES))
            break;
        t->used_in[merge.left] = t->batch_number;
        t->used_in[merge.right] = t->batch_number;
        mill_pair_heap_pop(&t->heap);
        b->positions[b->count] = best->positions;
        b->places[b->count] = best->places;
        places += best->places;
        best->positions = NULL;
        best->count = 0;
        const uint32_t number = b->count++, next_id = t->tokenizer->token_count;
        MILL_TRY(name_merge(t, &merge, err));
        b->merges[number] = merge;
        last = merge.left == merge.right || merge.id != next_id; // what comes of it may come before others of a batch
    }
    return MILL_OK;
}

typedef struct progress_call {
    int (*call)(void *context, uint32_t done, uint32_t wanted);
    void *context;
    uint32_t wanted;
} progress_call;

static int pass_progress(void *context, uint32_t done)
{
    const progress_call *progress = context;
    return progress->call == NULL ? 0 : progress->call(progress->context, done, progress->wanted);
}

static mill_status learn(trainer *t, progress_call *progress, mill_error *err)
{
    const uint32_t first = t->tokenizer->token_count;
    for (;;) {
        batch *b = &t->batch;
        MILL_TRY(take_batch(t, err));
        if (b->count == 0)
            return MILL_OK;
        MILL_TRY(merge_batch(t, err));
        for (uint32_t k = 0; k < b->count; k++)
            mill_pair_table_drop(&t->pairs, b->positions[k], b->places[k]);
        b->count = 0;
        if (pass_progress(progress, t->tokenizer->token_count - first) != 0)
            return mill_fail(err, MILL_STOPPED, "training was stopped after %u merges", t->tokenizer->token_count - first);
    }
}

// Special tokens that a merge may spell.
static mill_status list_given(const trainer *t, mill_train_token **list, size_t *count, mill_error *err)
{
    const mill_tokenizer *tokenizer = t->tokenizer;
    *count = 0;
    *list = mill_alloc_zero(tokenizer->added_count + 1, sizeof **list);
    if (*list == NULL)
        return mill_fail_nomem(err, "training the tokenizer");
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        const mill_token *token = &tokenizer->tokens[tokenizer->added[i].id];
        if (token->level)
            (*list)[(*count)++] =
                (mill_train_token){tokenizer->texts.data + token->raw, token->raw_bytes, tokenizer->added[i].id};
    }
    return MILL_OK;
}

// Has the backend learn the merges; *complete: it could, and they have their names.
static mill_status learn_by(trainer *t, mill_backend *backend, const mill_word_counts *counts, progress_call *progress,
                            bool *complete, mill_error *err)
{
    mill_train_job job = {.first_id = t->tokenizer->token_count,
                          .ids_max = t->ids_max,
                          .count_min = t->count_min,
                          .length_max = t->options->max_token_length,
                          .progress = pass_progress,
                          .context = progress};
    mill_train_token *given = NULL;
    mill_train_result result = {0};
    uint32_t byte_ids[256];
    mill_status status;
    for (uint32_t i = 0; i < 256; i++)
        byte_ids[i] = t->seen[i] ? t->byte_id[i] : UINT32_MAX;
    job.byte_ids = byte_ids;
    MILL_TRY_GOTO(list_given(t, &given, &job.given_count, err));
    job.given = given;
    MILL_TRY_GOTO(mill_bpe_words_lay(counts, (uint32_t)t->word_count, (uint32_t)t->symbol_count, &job.words, err));
    MILL_TRY_GOTO(backend->ops->train(backend, &job, &result, err));
    for (size_t i = 0; result.complete && i < result.count; i++) {
        mill_merge merge = {result.merges[i].left, result.merges[i].right, 0};
        MILL_TRY_GOTO(name_merge(t, &merge, err));
        MILL_ASSERT(merge.id == result.merges[i].id);
    }
    *complete = result.complete;
cleanup:
    mill_bpe_words_free(&job.words);
    mill_free(given);
    mill_free(result.merges);
    return status;
}

uint64_t mill_tokenizer_train_memory(const mill_word_counts *counts)
{
    mill_word word;
    size_t at = 0;
    uint64_t positions = 0, words = 0;
    while (mill_word_counts_next(counts, &at, &word)) {
        positions += word.bytes + 1u;
        words++;
    }
    // A symbol, an entry in a list of places, and nearly twice that for the lists of new pairs (measured on 4 GB of code: 14.5
    // bytes a position in all); notes of the most frequent pair; ranks; a weight a word.
    return positions * 16 + positions / 64 * sizeof(mill_bpe_rank) + words * sizeof(uint64_t);
}

mill_status mill_tokenizer_train(const mill_word_counts *counts, const mill_train_options *options,
                                 int (*progress)(void *context, uint32_t done, uint32_t wanted), void *context,
                                 mill_tokenizer **out, mill_error *err)
{
    *out = NULL;
    if (options->vocab_size > MILL_ID_LIMIT)
        return mill_fail(err, MILL_RECIPE, "tokenizer.vocab_size %u: at most %u", options->vocab_size, MILL_ID_LIMIT);
    trainer t = {.options = options, .count_min = options->min_frequency != 0 ? options->min_frequency : 1};
    progress_call call = {progress, context, 0};
    bool complete = false;
    mill_status status;
    MILL_TRY_GOTO(mill_tokenizer_create(&t.tokenizer, err));
    t.tokenizer->pretok = mill_word_counts_kind(counts);
    MILL_TRY_GOTO(start(&t, counts, err));
    call.wanted = options->vocab_size > t.tokenizer->token_count ? options->vocab_size - t.tokenizer->token_count : 0;
    if (options->backend != NULL && options->backend->ops->train != NULL && t.symbol_count < MILL_TRAIN_POSITIONS_MAX)
        MILL_TRY_GOTO(learn_by(&t, options->backend, counts, &call, &complete, err));
    if (!complete) {
        MILL_TRY_GOTO(start_places(&t, counts, err));
        MILL_TRY_GOTO(learn(&t, &call, err));
    }
    MILL_TRY_GOTO(mill_tokenizer_finish(t.tokenizer, err));
    *out = t.tokenizer;
    t.tokenizer = NULL;
cleanup:
    mill_tokenizer_close(t.tokenizer);
    trainer_free(&t);
    return status;
}
