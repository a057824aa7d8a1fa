// words.c: counts the words of texts. Open addressing, two slots a cache line; words of up to 16 bytes are in their slot,
// longer ones in an arena. Cutting, hashing and looking up go in small portions, so that the slots are on their way from
// memory while other words are hashed. A word's hash chooses one of 64 tables (MILL_WORD_PARTS), so that threads can add tables up
// and read them part by part.
#include "tokenizer/words.h"

#include "core/parallel.h"
#include "tokenizer/pretok.h"
#include "tokenizer/word_key.h"

#define PORTION 256
#define SLOTS_FIRST 64
#define MERGE_PORTION 64
#define PART_SHIFT 58 // of a hash
_Static_assert(MILL_WORD_PARTS == UINT64_C(1) << (64 - PART_SHIFT), "the highest bits of a hash number the parts");

typedef struct slot { // begins with the key: a short word is read from its slot's start
    uint64_t low, high; // short words: the key; long: hash, offset in the arena
    uint64_t count;     // 0: free
    uint32_t bytes;
} slot;

typedef struct word_table {
    slot *slots;
    size_t capacity; // power of two, or 0
    size_t unique;
    mill_buf arena;
    mill_word_facts facts;
} word_table;

struct mill_word_counts {
    mill_pretok kind;
    word_table parts[MILL_WORD_PARTS];
    uint64_t total;
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

static void clear_table(word_table *table)
{
    mill_free(table->slots);
    mill_buf_free(&table->arena);
    *table = (word_table){0};
}

void mill_word_counts_clear(mill_word_counts *counts)
{
    for (size_t i = 0; i < MILL_WORD_PARTS; i++)
        clear_table(&counts->parts[i]);
    mill_free(counts->found.rows);
    counts->found = (mill_stretches){0};
    counts->total = 0;
}

void mill_word_counts_close(mill_word_counts *counts)
{
    if (counts == NULL)
        return;
    mill_word_counts_clear(counts);
    mill_free(counts);
}

uint64_t mill_word_counts_memory(const mill_word_counts *counts)
{
    uint64_t bytes = counts->found.capacity * sizeof *counts->found.rows;
    for (size_t i = 0; i < MILL_WORD_PARTS; i++)
        bytes += counts->parts[i].capacity * sizeof(slot) + counts->parts[i].arena.capacity;
    return bytes;
}

uint64_t mill_word_counts_unique(const mill_word_counts *counts)
{
    uint64_t unique = 0;
    for (size_t i = 0; i < MILL_WORD_PARTS; i++)
        unique += counts->parts[i].unique;
    return unique;
}

uint64_t mill_word_counts_total(const mill_word_counts *counts)
{
    return counts->total;
}

mill_pretok mill_word_counts_kind(const mill_word_counts *counts)
{
    return counts->kind;
}

const mill_word_facts *mill_word_counts_facts(const mill_word_counts *counts, size_t part)
{
    return &counts->parts[part].facts;
}

static inline uint64_t slot_hash(const slot *at)
{
    return at->bytes > MILL_WORD_SHORT ? at->low : mill_word_mix(at->low, at->high);
}

static inline word_table *table_of(mill_word_counts *counts, uint64_t hash)
{
    return &counts->parts[hash >> PART_SHIFT];
}

// Doubles the table until `more` further words leave a quarter of it free.
static mill_status make_room(word_table *table, size_t more, mill_error *err)
{
    size_t capacity = table->capacity != 0 ? table->capacity : SLOTS_FIRST;
    while ((table->unique + more) * 4 > capacity * 3)
        capacity *= 2;
    if (capacity == table->capacity)
        return MILL_OK;
    slot *slots = mill_alloc_table(capacity, sizeof *slots);
    if (slots == NULL)
        return mill_fail_nomem(err, "counting words");
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i].count == 0)
            continue;
        size_t at = slot_hash(&table->slots[i]) & (capacity - 1);
        while (slots[at].count != 0)
            at = (at + 1) & (capacity - 1);
        slots[at] = table->slots[i];
    }
    mill_free(table->slots);
    table->slots = slots;
    table->capacity = capacity;
    return MILL_OK;
}

// The tables' first slots, so that there is one to look at for every word.
static mill_status start(mill_word_counts *counts, mill_error *err)
{
    for (size_t i = 0; i < MILL_WORD_PARTS && counts->parts[i].slots == NULL; i++)
        MILL_TRY(make_room(&counts->parts[i], 0, err));
    return MILL_OK;
}

static inline void fetch(mill_word_counts *counts, uint64_t hash)
{
    const word_table *table = table_of(counts, hash);
    __builtin_prefetch(&table->slots[hash & (table->capacity - 1)]);
}

static bool same_word(const word_table *table, const slot *at, const mill_word_key *key, const uint8_t *text)
{
    if (at->low != key->low || at->bytes != key->bytes)
        return false;
    if (key->bytes <= MILL_WORD_SHORT)
        return at->high == key->high;
    return memcmp(table->arena.data + at->high, text, key->bytes) == 0;
}

static void add_facts(mill_word_facts *facts, const uint8_t *text, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        facts->seen[text[i] >> 6] |= UINT64_C(1) << (text[i] & 63);
    if (bytes > 1) {
        facts->words++;
        facts->positions += bytes + 1u;
    }
}

static mill_status add_fresh(word_table *table, const mill_word_key *key, const uint8_t *text, uint64_t count, mill_error *err)
{
    MILL_TRY(make_room(table, 1, err));
    slot fresh = {key->low, key->high, count, key->bytes};
    if (key->bytes > MILL_WORD_SHORT) {
        fresh.high = table->arena.bytes;
        MILL_TRY(mill_buf_append(&table->arena, text, key->bytes, err));
    }
    size_t mask = table->capacity - 1, place = key->hash & mask;
    while (table->slots[place].count != 0)
        place = (place + 1) & mask;
    table->slots[place] = fresh;
    table->unique++;
    add_facts(&table->facts, text, key->bytes);
    return MILL_OK;
}

// Adds to one word's count.
static inline mill_status add_word(word_table *table, const mill_word_key *key, const uint8_t *text, uint64_t count,
                                   mill_error *err)
{
    size_t mask = table->capacity - 1, place = key->hash & mask;
    while (table->slots[place].count != 0) {
        if (same_word(table, &table->slots[place], key, text)) {
            table->slots[place].count += count;
            return MILL_OK;
        }
        place = (place + 1) & mask;
    }
    return add_fresh(table, key, text, count, err);
}

mill_status mill_word_counts_add(mill_word_counts *counts, const uint8_t *text, size_t bytes, mill_error *err)
{
    uint32_t ends[PORTION];
    mill_word_key keys[PORTION];
    size_t at = 0, begin = 0;
    MILL_ASSERT(bytes <= UINT32_MAX);
    MILL_TRY(start(counts, err));
    while (at < bytes) {
        size_t count = mill_pretok_some(counts->kind, text, bytes, &at, ends, PORTION);
        size_t from = begin;
        for (size_t i = 0; i < count; i++) {
            keys[i] = mill_word_key_of(text, from, ends[i], bytes);
            fetch(counts, keys[i].hash);
            from = ends[i];
        }
        for (size_t i = 0; i < count; i++) {
            MILL_TRY(add_word(table_of(counts, keys[i].hash), &keys[i], text + begin, 1, err));
            begin = ends[i];
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
    MILL_TRY(start(counts, err));
    for (size_t first = 0; first < found->count; first += MERGE_PORTION) {
        size_t count = found->count - first < MERGE_PORTION ? found->count - first : MERGE_PORTION;
        const mill_stretch *rows = found->rows + first;
        for (size_t i = 0; i < count; i++) {
            keys[i] = mill_word_key_of(bytes, rows[i].at, rows[i].at + rows[i].bytes, limit);
            fetch(counts, keys[i].hash);
        }
        for (size_t i = 0; i < count; i++) {
            MILL_TRY(add_word(table_of(counts, keys[i].hash), &keys[i], bytes + rows[i].at, rows[i].count, err));
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

bool mill_word_counts_next(const mill_word_counts *counts, size_t part, size_t *at, mill_word *word)
{
    const word_table *table = &counts->parts[part];
    while (*at < table->capacity && table->slots[*at].count == 0)
        (*at)++;
    if (*at == table->capacity)
        return false;
    const slot *found = &table->slots[(*at)++];
    word->bytes = found->bytes;
    word->count = found->count;
    word->text = found->bytes > MILL_WORD_SHORT ? table->arena.data + found->high : (const uint8_t *)found;
    return true;
}

static mill_status merge_part(mill_word_counts *counts, const mill_word_counts *other, size_t part, mill_error *err)
{
    // All the room at once: words come in the order of the other table's slots, which in a smaller table is the order of this
    // one's, and would pile up into one long run.
    word_table *table = &counts->parts[part];
    MILL_TRY(make_room(table, other->parts[part].unique, err));
    mill_word words[MERGE_PORTION];
    mill_word_key keys[MERGE_PORTION];
    size_t at = 0, count;
    do {
        for (count = 0; count < MERGE_PORTION && mill_word_counts_next(other, part, &at, &words[count]); count++) {
            keys[count] = mill_word_key_of(words[count].text, 0, words[count].bytes, words[count].bytes);
            __builtin_prefetch(&table->slots[keys[count].hash & (table->capacity - 1)]);
        }
        for (size_t i = 0; i < count; i++)
            MILL_TRY(add_word(table, &keys[i], words[i].text, words[i].count, err));
    } while (count == MERGE_PORTION);
    return MILL_OK;
}

mill_status mill_word_counts_merge(mill_word_counts *counts, const mill_word_counts *other, mill_error *err)
{
    MILL_ASSERT(counts->kind == other->kind && counts != other);
    for (size_t part = 0; part < MILL_WORD_PARTS; part++)
        MILL_TRY(merge_part(counts, other, part, err));
    counts->total += other->total;
    return MILL_OK;
}

typedef struct sum_up {
    mill_word_counts *counts, **others;
    size_t other_count;
} sum_up;

static mill_status sum_part(void *context, uint32_t worker, uint64_t part, mill_error *err)
{
    (void)worker;
    const sum_up *sum = context;
    for (size_t i = 0; i < sum->other_count; i++) {
        word_table *own = &sum->counts->parts[part], *other = sum->others[i] != NULL ? &sum->others[i]->parts[part] : NULL;
        if (other == NULL)
            continue;
        if (other->unique > own->unique) { // the smaller ones are added to the larger
            const word_table larger = *other;
            *other = *own;
            *own = larger;
        }
        MILL_TRY(merge_part(sum->counts, sum->others[i], part, err));
        clear_table(other);
    }
    return MILL_OK;
}

mill_status mill_word_counts_sum(mill_word_counts *counts, mill_word_counts **others, size_t other_count, uint32_t threads,
                                 mill_error *err)
{
    sum_up sum = {counts, others, other_count};
    MILL_TRY(mill_parallel_run(threads, MILL_WORD_PARTS, sum_part, &sum, err));
    for (size_t i = 0; i < other_count; i++) {
        if (others[i] == NULL)
            continue;
        counts->total += others[i]->total;
        mill_word_counts_clear(others[i]);
    }
    return MILL_OK;
}
