// bpe_pairs.c: table and heap of the trainer's pairs.
#include "tokenizer/bpe_pairs.h"

#include <string.h>

#define SHORT_LIST 256 // positions

static uint32_t *make_list(mill_pair_table *table, uint32_t places)
{
    const size_t bytes = (size_t)places * sizeof(uint32_t);
    return places <= SHORT_LIST ? mill_pool_alloc(&table->lists, bytes) : mill_alloc(bytes);
}

void mill_pair_table_drop(mill_pair_table *table, uint32_t *positions, uint32_t places)
{
    if (positions != NULL && places <= SHORT_LIST)
        mill_pool_release(&table->lists, positions);
    else
        mill_free(positions);
}

static size_t place_of(uint64_t key, size_t capacity)
{
    key *= 0x9e3779b97f4a7c15u;
    return (key ^ key >> 32) & (capacity - 1);
}

static mill_pair_entry *probe(const mill_pair_table *table, uint64_t key)
{
    size_t at = place_of(key, table->capacity);
    while (table->entries[at].key != key && table->entries[at].key != 0)
        at = (at + 1) & (table->capacity - 1);
    return &table->entries[at];
}

// A new table of the living entries, with room for `pairs` of them.
static mill_status rebuild(mill_pair_table *table, size_t pairs, mill_error *err)
{
    size_t capacity = 1024;
    while (capacity / 4 * 3 < pairs)
        capacity *= 2;
    mill_pair_table fresh = *table;
    fresh.entries = mill_alloc_zero(capacity, sizeof *fresh.entries);
    fresh.capacity = capacity;
    fresh.used = 0;
    if (fresh.entries == NULL)
        return mill_fail_nomem(err, "counting pairs");
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->entries[i].count == 0)
            continue;
        *probe(&fresh, table->entries[i].key) = table->entries[i];
        fresh.used++;
    }
    mill_free(table->entries);
    *table = fresh;
    return MILL_OK;
}

mill_status mill_pair_table_reserve(mill_pair_table *table, size_t pairs, mill_error *err)
{
    return table->capacity / 4 * 3 < pairs ? rebuild(table, pairs, err) : MILL_OK;
}

// Room for as many pairs again as are living.
static mill_status grow(mill_pair_table *table, mill_error *err)
{
    size_t living = 0;
    for (size_t i = 0; i < table->capacity; i++)
        living += table->entries[i].count != 0;
    return rebuild(table, 2 * living + 1, err);
}

mill_status mill_pair_table_add(mill_pair_table *table, uint64_t key, uint64_t count, uint32_t places,
                                mill_pair_entry **entry, mill_error *err)
{
    if ((table->used + 1) * 4 > table->capacity * 3)
        MILL_TRY(grow(table, err));
    mill_pair_entry *free_entry = probe(table, key);
    MILL_ASSERT(free_entry->key == 0);
    uint32_t *positions = make_list(table, places);
    if (positions == NULL)
        return mill_fail_nomem(err, "counting pairs");
    *free_entry = (mill_pair_entry){key, count, positions, places};
    table->used++;
    *entry = free_entry;
    return MILL_OK;
}

mill_pair_entry *mill_pair_table_find(const mill_pair_table *table, uint64_t key)
{
    if (table->capacity == 0)
        return NULL;
    mill_pair_entry *entry = probe(table, key);
    return entry->key == key && entry->count != 0 ? entry : NULL;
}

void mill_pair_table_fetch(const mill_pair_table *table, uint64_t key)
{
    __builtin_prefetch(&table->entries[place_of(key, table->capacity)], 1);
}

mill_status mill_pair_table_lose(mill_pair_table *table, uint64_t key, uint64_t lost, uint64_t count_min, mill_error *err)
{
    mill_pair_entry *entry = mill_pair_table_find(table, key);
    if (entry == NULL)
        return MILL_OK;
    MILL_ASSERT(lost <= entry->count);
    if (entry->count - lost < count_min) {
        MILL_TRY(MILL_GROW(table->gone, table->gone_capacity, table->gone_count + 1, err));
        table->gone[table->gone_count++] = (mill_pair_list){entry->positions, entry->places};
        entry->positions = NULL;
        entry->count = 0;
    } else {
        entry->count -= lost;
    }
    return MILL_OK;
}

void mill_pair_table_sweep(mill_pair_table *table)
{
    for (size_t i = 0; i < table->gone_count; i++)
        mill_pair_table_drop(table, table->gone[i].positions, table->gone[i].places);
    table->gone_count = 0;
}

void mill_pair_table_free(mill_pair_table *table)
{
    mill_pair_table_sweep(table);
    mill_free(table->gone);
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->entries[i].places > SHORT_LIST)
            mill_free(table->entries[i].positions);
    }
    mill_pool_free(&table->lists);
    mill_free(table->entries);
    *table = (mill_pair_table){0};
}

bool mill_heap_before(mill_heap_entry a, mill_heap_entry b)
{
    return a.count != b.count ? a.count > b.count : a.key < b.key;
}

// Puts entry where entries[at] was, or below.
static void sink(mill_pair_heap *heap, size_t at, mill_heap_entry entry)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && mill_heap_before(heap->entries[child + 1], heap->entries[child]))
            child++;
        if (!mill_heap_before(heap->entries[child], entry))
            break;
        heap->entries[at] = heap->entries[child];
        at = child;
    }
    heap->entries[at] = entry;
}

mill_status mill_pair_heap_push(mill_pair_heap *heap, mill_heap_entry entry, mill_error *err)
{
    MILL_TRY(MILL_GROW(heap->entries, heap->capacity, heap->total + 1, err));
    if (heap->least == 0 || entry.count < heap->least) {
        heap->entries[heap->total++] = entry;
        return MILL_OK;
    }
    heap->entries[heap->total++] = heap->entries[heap->count]; // one of the others makes room
    size_t at = heap->count++;
    while (at != 0 && mill_heap_before(entry, heap->entries[(at - 1) / 2])) {
        heap->entries[at] = heap->entries[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->entries[at] = entry;
    return MILL_OK;
}

// The head leaves the heap; the place behind the heap is free then.
static void behead(mill_pair_heap *heap)
{
    heap->count--;
    if (heap->count != 0)
        sink(heap, 0, heap->entries[heap->count]);
}

void mill_pair_heap_pop(mill_pair_heap *heap)
{
    behead(heap);
    heap->entries[heap->count] = heap->entries[--heap->total];
}

// The head's count is smaller than it says.
static void lower(mill_pair_heap *heap, uint64_t count)
{
    const mill_heap_entry entry = {count, heap->entries[0].key};
    if (count >= heap->least) {
        sink(heap, 0, entry);
        return;
    }
    behead(heap);
    heap->entries[heap->count] = entry;
}

// The heap is empty: those of the others that have at least half of their largest count come into it. False if there are none.
static bool refill(mill_pair_heap *heap)
{
    uint64_t most = 0;
    for (size_t i = 0; i < heap->total; i++)
        most = heap->entries[i].count > most ? heap->entries[i].count : most;
    heap->least = most - most / 2;
    for (size_t i = 0; most != 0 && i < heap->total; i++) {
        const mill_heap_entry entry = heap->entries[i];
        if (entry.count < heap->least)
            continue;
        heap->entries[i] = heap->entries[heap->count];
        heap->entries[heap->count++] = entry;
    }
    for (size_t i = heap->count / 2; i-- != 0;)
        sink(heap, i, heap->entries[i]);
    return heap->count != 0;
}

mill_status mill_pairs_add(mill_pairs *pairs, uint64_t key, uint64_t count, uint32_t places, uint32_t **positions, mill_error *err)
{
    mill_pair_entry *entry;
    MILL_TRY(mill_pair_table_add(&pairs->table, key, count, places, &entry, err));
    *positions = entry->positions;
    return mill_pair_heap_push(&pairs->heap, (mill_heap_entry){count, key}, err);
}

mill_pair_entry *mill_pairs_best(mill_pairs *pairs)
{
    mill_pair_heap *heap = &pairs->heap;
    while (heap->count != 0 || refill(heap)) {
        mill_heap_entry top = heap->entries[0];
        mill_pair_entry *entry = mill_pair_table_find(&pairs->table, top.key);
        for (size_t child = 1; child <= 2 && child < heap->count; child++) // one of them is next
            mill_pair_table_fetch(&pairs->table, heap->entries[child].key);
        if (entry == NULL)
            mill_pair_heap_pop(heap);
        else if (entry->count != top.count) // out of date
            lower(heap, entry->count);
        else
            return entry;
    }
    return NULL;
}

void mill_pairs_free(mill_pairs *pairs)
{
    mill_pair_table_free(&pairs->table);
    mill_free(pairs->heap.entries);
    pairs->heap = (mill_pair_heap){0};
}
