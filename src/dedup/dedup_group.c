// dedup_group.c: grouping of records by a 128-bit key and a scope.
//
// The records are first dealt into partitions by the top bits of a hash of (key, scope), then each
// partition goes through a hash table that fits into the cache: two linear passes over memory instead of a
// cache miss for every record.
#include "dedup/dedup_group.h"

#include <string.h>

#define PARTITION_TARGET 2048 // records: with its slots about 100 KiB
#define PARTITION_BITS_MAX 14

typedef struct entry {
    mill_key key;
    uint32_t scope;
    uint32_t record;
} entry;

// A slot holds 1 + the place of an entry in its partition, 0 if free. Once a second record of that key
// comes, the entry's record number is needed for the group, and the group's number is kept beside the slot.
#define NO_GROUP UINT32_MAX

static uint64_t mix(mill_key key, uint32_t scope)
{
    uint64_t h = (key.low ^ scope) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 32 ^ key.high) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 29;
}

static unsigned partition_bits(uint64_t count)
{
    unsigned bits = 1;
    while (bits < PARTITION_BITS_MAX && count >> bits > PARTITION_TARGET)
        bits++;
    return bits;
}

// Deals the undecided records into entries; starts[p] .. starts[p + 1] is partition p, in record order.
static void deal(const mill_dedup_view *view, const mill_key *keys, const uint64_t *kept_by,
                 unsigned bits, entry *entries, uint32_t *starts)
{
    size_t partitions = (size_t)1 << bits;
    memset(starts, 0, (partitions + 2) * sizeof *starts);
    for (uint64_t i = 0; i < view->count; i++)
        if (kept_by[i] == MILL_DEDUP_NONE)
            starts[2 + (mix(keys[i], view->scope[i]) >> (64 - bits))]++;
    for (size_t p = 2; p < partitions + 2; p++)
        starts[p] += starts[p - 1];
    // starts[p + 1] is now the first place of partition p and moves to its end, where the next one begins.
    for (uint64_t i = 0; i < view->count; i++) {
        if (kept_by[i] != MILL_DEDUP_NONE)
            continue;
        uint32_t at = starts[1 + (mix(keys[i], view->scope[i]) >> (64 - bits))]++;
        entries[at] = (entry){keys[i], view->scope[i], (uint32_t)i};
    }
}

static mill_status add_member(mill_grouping *grouping, uint32_t record, uint32_t first, uint32_t group,
                              mill_error *err)
{
    if (grouping->count == grouping->members_capacity)
        MILL_TRY(MILL_GROW(grouping->members, grouping->members_capacity, grouping->count + 1, err));
    grouping->members[grouping->count++] = (mill_group_member){record, first, group};
    return MILL_OK;
}

// slots: 2 << slot_bits values, pairs of (1 + place, group).
static mill_status group_partition(mill_grouping *grouping, const entry *entries, uint32_t count,
                                   unsigned slot_bits, mill_error *err)
{
    uint32_t *slots = grouping->slots;
    uint32_t mask = (uint32_t)(((uint64_t)1 << slot_bits) - 1);
    memset(slots, 0, (sizeof *slots * 2) << slot_bits);
    for (uint32_t i = 0; i < count; i++) {
        const entry *self = &entries[i];
        uint32_t at = (uint32_t)mix(self->key, self->scope) & mask;
        for (; slots[2 * (size_t)at] != 0; at = (at + 1) & mask) {
            const entry *other = &entries[slots[2 * (size_t)at] - 1];
            if (mill_key_equal(other->key, self->key) && other->scope == self->scope)
                break;
        }
        uint32_t *slot = slots + 2 * (size_t)at;
        if (slot[0] == 0) {
            slot[0] = i + 1;
            slot[1] = NO_GROUP;
            continue;
        }
        uint32_t first = entries[slot[0] - 1].record;
        if (slot[1] == NO_GROUP) {
            slot[1] = grouping->group_count++;
            MILL_TRY(add_member(grouping, first, first, slot[1], err));
        }
        MILL_TRY(add_member(grouping, self->record, first, slot[1], err));
    }
    return MILL_OK;
}

// Twice the number of entries, as a power of two.
static unsigned slot_bits_for(uint32_t count)
{
    unsigned bits = 4;
    while ((uint64_t)1 << bits < 2 * (uint64_t)count)
        bits++;
    return bits;
}

static mill_status reserve(mill_grouping *grouping, uint64_t count, mill_error *err)
{
    if (count > MILL_DEDUP_RECORDS_MAX)
        return mill_fail(err, MILL_RESOURCE, "deduplication of %llu records: at most %u are possible",
                         (unsigned long long)count, MILL_DEDUP_RECORDS_MAX);
    if (grouping->entries == NULL) {
        grouping->entries = mill_realloc_array(NULL, count, sizeof(entry));
        if (grouping->entries == NULL)
            return mill_fail_nomem(err, "grouping records by key");
    }
    return MILL_OK;
}

mill_status mill_grouping_run(mill_grouping *grouping, const mill_dedup_view *view, const mill_key *keys,
                              const uint64_t *kept_by, mill_error *err)
{
    MILL_TRY(reserve(grouping, view->count, err));
    grouping->count = 0;
    grouping->group_count = 0;
    unsigned bits = partition_bits(view->count);
    size_t partitions = (size_t)1 << bits;
    uint32_t *starts = mill_realloc_array(NULL, partitions + 2, sizeof *starts);
    if (starts == NULL)
        return mill_fail_nomem(err, "grouping records by key");
    entry *entries = grouping->entries;
    deal(view, keys, kept_by, bits, entries, starts);
    mill_status status = MILL_OK;
    for (size_t p = 0; p < partitions && status == MILL_OK; p++) {
        uint32_t count = starts[p + 1] - starts[p];
        if (count < 2)
            continue;
        unsigned slot_bits = slot_bits_for(count);
        status = MILL_GROW(grouping->slots, grouping->slots_capacity, (size_t)2 << slot_bits, err);
        if (status == MILL_OK)
            status = group_partition(grouping, entries + starts[p], count, slot_bits, err);
    }
    mill_free(starts);
    return status;
}

void mill_grouping_free(mill_grouping *grouping)
{
    mill_free(grouping->members);
    mill_free(grouping->entries);
    mill_free(grouping->slots);
    memset(grouping, 0, sizeof *grouping);
}
