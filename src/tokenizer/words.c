// words.c: counts the words of texts. Open addressing, two slots a cache line; words of up to 16 bytes are in their slot,
// longer ones in an arena. Cutting, hashing and looking up go in small portions, so that the slots are on their way from
// memory while other words are hashed.
#include "tokenizer/words.h"

#include "tokenizer/pretok.h"
#include "tokenizer/word_key.h"

#define PORTION 256
#define SLOTS_FIRST 4096
#define MERGE_PORTION 64

typedef struct slot { // begins with the key: a short word is read from its slot's start
    uint64_t low, high; // short words: the key; long: hash, offset in the arena
    uint64_t count;     // 0: free
    uint32_t bytes;
} slot;

struct mill_word_counts {
    mill_pretok kind;
    slot *slots;
    size_t capacity; // power of two
    size_t unique;
    uint64_t total;
    mill_buf arena;
    mill_stretches found; // by a backend
};

mill_status mill_word_counts_open(mill_pretok kind, mill_word_counts **out, mill_error *err)
{
    mill_word_counts *counts = mill_alloc_zero(1, sizeof *counts);
    *out = NULL;
    if (counts == NULL)
        return mill_fail_nomem(err, "counting words");
    counts->kind = kind;
    *out = counts;
    return MILL_OK;
}

void mill_word_counts_close(mill_word_counts *counts)
{
    if (counts == NULL)
        return;
    mill_free(counts->slots);
    mill_buf_free(&counts->arena);
    mill_free(counts->found.rows);
    mill_free(counts);
}

uint64_t mill_word_counts_memory(const mill_word_counts *counts)
{
    return counts->capacity * sizeof(slot) + counts->arena.capacity + counts->found.capacity * sizeof *counts->found.rows;
}

void mill_word_counts_clear(mill_word_counts *counts)
{
    mill_free(counts->slots);
    mill_buf_free(&counts->arena);
    mill_free(counts->found.rows);
    *counts = (mill_word_counts){.kind = counts->kind};
}

uint64_t mill_word_counts_unique(const mill_word_counts *counts)
{
    return counts->unique;
}

uint64_t mill_word_counts_total(const mill_word_counts *counts)
{
    return counts->total;
}

mill_pretok mill_word_counts_kind(const mill_word_counts *counts)
{
    return counts->kind;
}

static inline uint64_t slot_hash(const slot *at)
{
    return at->bytes > MILL_WORD_SHORT ? at->low : mill_word_mix(at->low, at->high, at->bytes);
}

// Doubles the table when `more` further words would fill it beyond three quarters.
static mill_status make_room(mill_word_counts *counts, size_t more, mill_error *err)
{
    size_t capacity = counts->capacity != 0 ? counts->capacity : SLOTS_FIRST;
    while ((counts->unique + more) * 4 > capacity * 3)
        capacity *= 2;
    if (capacity == counts->capacity)
        return MILL_OK;
    slot *slots = mill_alloc_zero(capacity, sizeof *slots);
    if (slots == NULL)
        return mill_fail_nomem(err, "counting words");
    for (size_t i = 0; i < counts->capacity; i++) {
        if (counts->slots[i].count == 0)
            continue;
        size_t at = slot_hash(&counts->slots[i]) & (capacity - 1);
        while (slots[at].count != 0)
            at = (at + 1) & (capacity - 1);
        slots[at] = counts->slots[i];
    }
    mill_free(counts->slots);
    counts->slots = slots;
    counts->capacity = capacity;
    return MILL_OK;
}

static bool same_word(const mill_word_counts *counts, const slot *at, const mill_word_key *key, const uint8_t *text)
{
    if (at->low != key->low || at->bytes != key->bytes)
        return false;
    if (key->bytes <= MILL_WORD_SHORT)
        return at->high == key->high;
    return memcmp(counts->arena.data + at->high, text, key->bytes) == 0;
}

// Adds to one word's count; room was made.
static mill_status add_word(mill_word_counts *counts, const mill_word_key *key, const uint8_t *text, uint64_t count,
                            mill_error *err)
{
    size_t mask = counts->capacity - 1, place = key->hash & mask;
    while (counts->slots[place].count != 0) {
        if (same_word(counts, &counts->slots[place], key, text)) {
            counts->slots[place].count += count;
            return MILL_OK;
        }
        place = (place + 1) & mask;
    }
    slot fresh = {key->low, key->high, count, key->bytes};
    if (key->bytes > MILL_WORD_SHORT) {
        fresh.high = counts->arena.bytes;
        MILL_TRY(mill_buf_append(&counts->arena, text, key->bytes, err));
    }
    counts->slots[place] = fresh;
    counts->unique++;
    return MILL_OK;
}

mill_status mill_word_counts_add(mill_word_counts *counts, const uint8_t *text, size_t bytes, mill_error *err)
{
    uint32_t ends[PORTION];
    mill_word_key keys[PORTION];
    size_t at = 0, start = 0;
    MILL_ASSERT(bytes <= UINT32_MAX);
    while (at < bytes) {
        size_t count = mill_pretok_some(counts->kind, text, bytes, &at, ends, PORTION);
        MILL_TRY(make_room(counts, count, err));
        size_t from = start;
        for (size_t i = 0; i < count; i++) {
            keys[i] = mill_word_key_of(text, from, ends[i], bytes);
            __builtin_prefetch(&counts->slots[keys[i].hash & (counts->capacity - 1)]);
            from = ends[i];
        }
        for (size_t i = 0; i < count; i++) {
            MILL_TRY(add_word(counts, &keys[i], text + start, 1, err));
            start = ends[i];
        }
        counts->total += count;
    }
    return MILL_OK;
}

// Words with their counts, in small portions as above; bytes[limit] is the first byte that may not be read.
static mill_status add_stretches(mill_word_counts *counts, const uint8_t *bytes, size_t limit, const mill_stretches *found,
                                 mill_error *err)
{
    mill_word_key keys[MERGE_PORTION];
    for (size_t first = 0; first < found->count; first += MERGE_PORTION) {
        size_t count = found->count - first < MERGE_PORTION ? found->count - first : MERGE_PORTION;
        const mill_stretch *rows = found->rows + first;
        MILL_TRY(make_room(counts, count, err));
        for (size_t i = 0; i < count; i++) {
            keys[i] = mill_word_key_of(bytes, rows[i].at, rows[i].at + rows[i].bytes, limit);
            __builtin_prefetch(&counts->slots[keys[i].hash & (counts->capacity - 1)]);
        }
        for (size_t i = 0; i < count; i++) {
            MILL_TRY(add_word(counts, &keys[i], bytes + rows[i].at, rows[i].count, err));
            counts->total += rows[i].count;
        }
    }
    return MILL_OK;
}

mill_status mill_word_counts_add_texts(mill_word_counts *counts, mill_backend *backend, const mill_text_view *texts,
                                       mill_error *err)
{
    const bool able = backend != NULL && backend->ops->count_words != NULL && counts->kind == MILL_PRETOK_GPT2;
    for (uint32_t first = 0; first < texts->count;) {
        const mill_text_view rest = {texts->bytes, texts->offsets + first, texts->count - first};
        mill_portion portion = {.texts = rest.count};
        counts->found.count = 0;
        if (able)
            MILL_TRY(backend->ops->count_words(backend, &rest, UINT64_MAX, &portion, &counts->found, err));
        if (portion.done)
            MILL_TRY(add_stretches(counts, texts->bytes, texts->offsets[texts->count], &counts->found, err));
        for (uint32_t i = 0; !portion.done && i < portion.texts; i++)
            MILL_TRY(mill_word_counts_add(counts, texts->bytes + rest.offsets[i], rest.offsets[i + 1] - rest.offsets[i], err));
        first += portion.texts;
    }
    return MILL_OK;
}

bool mill_word_counts_next(const mill_word_counts *counts, size_t *at, mill_word *word)
{
    while (*at < counts->capacity && counts->slots[*at].count == 0)
        (*at)++;
    if (*at == counts->capacity)
        return false;
    const slot *found = &counts->slots[(*at)++];
    word->bytes = found->bytes;
    word->count = found->count;
    word->text = found->bytes > MILL_WORD_SHORT ? counts->arena.data + found->high : (const uint8_t *)found;
    return true;
}

mill_status mill_word_counts_merge(mill_word_counts *counts, const mill_word_counts *other, mill_error *err)
{
    MILL_ASSERT(counts->kind == other->kind && counts != other);
    // All the room at once: words come in the order of the other table's slots, which in a smaller table is the order of this
    // one's, and would pile up into one long run.
    MILL_TRY(make_room(counts, other->unique, err));
    mill_word words[MERGE_PORTION];
    mill_word_key keys[MERGE_PORTION];
    size_t at = 0, count;
    do {
        for (count = 0; count < MERGE_PORTION && mill_word_counts_next(other, &at, &words[count]); count++) {
            keys[count] = mill_word_key_of(words[count].text, 0, words[count].bytes, words[count].bytes);
            __builtin_prefetch(&counts->slots[keys[count].hash & (counts->capacity - 1)]);
        }
        for (size_t i = 0; i < count; i++) {
            MILL_TRY(add_word(counts, &keys[i], words[i].text, words[i].count, err));
            counts->total += words[i].count;
        }
    } while (count == MERGE_PORTION);
    return MILL_OK;
}
