// pack_best_fit.c: rows whole, each into the fullest open sample that still takes it (best-fit, rows in the given order).
//
// Open samples with the same room form one bucket, a queue. A bitmap over the buckets, with levels of summary bits above it,
// finds the smallest room >= length in a few steps, so a row costs O(1) whatever the number of open samples. Buckets are
// first in, first out by the time a sample got its present room. With open_max the sample that is closed for a new one is the
// head of the fullest bucket: it has the least to lose.
#include "pack/pack_internal.h"

#define NONE UINT64_MAX
#define LEVELS 5 // 64^5 > MILL_PACK_BEST_FIT_MAX

typedef struct bucket { // queue of open samples with equal room
    uint64_t head, tail;
} bucket;

typedef struct best_fit {
    uint32_t limit;              // tokens in a full sample
    bucket *buckets;             // by room, 0..limit
    uint64_t *bits[LEVELS];      // level 0: bucket is not empty; level n + 1: word of level n is not zero
    uint64_t *bit_memory;
    uint64_t open;               // samples in buckets
    uint64_t *next;              // sample behind this one in its queue
    size_t next_capacity;
    uint64_t *parts_in;          // rows in each sample
    size_t parts_capacity;
    uint64_t samples;
    uint64_t *sample_of;         // row -> sample
} best_fit;

static void best_fit_close(best_fit *fit)
{
    mill_free(fit->buckets);
    mill_free(fit->bit_memory);
    mill_free(fit->next);
    mill_free(fit->parts_in);
    mill_free(fit->sample_of);
}

static mill_status best_fit_open(best_fit *fit, uint32_t limit, uint64_t count, mill_error *err)
{
    *fit = (best_fit){.limit = limit};
    size_t words[LEVELS], total = 0, bits = (size_t)limit + 1;
    for (int level = 0; level < LEVELS; level++) {
        words[level] = (bits + 63) / 64;
        total += words[level];
        bits = words[level];
    }
    fit->buckets = mill_realloc_array(NULL, (size_t)limit + 1, sizeof *fit->buckets);
    fit->bit_memory = mill_alloc_zero(total, sizeof *fit->bit_memory);
    fit->sample_of = mill_realloc_array(NULL, count, sizeof *fit->sample_of);
    if (fit->buckets == NULL || fit->bit_memory == NULL || fit->sample_of == NULL)
        return mill_fail_nomem(err, "best-fit packing");
    for (size_t i = 0; i <= limit; i++)
        fit->buckets[i] = (bucket){NONE, NONE};
    uint64_t *memory = fit->bit_memory;
    for (int level = 0; level < LEVELS; level++) {
        fit->bits[level] = memory;
        memory += words[level];
    }
    return MILL_OK;
}

static void push(best_fit *fit, uint32_t room, uint64_t sample)
{
    bucket *b = &fit->buckets[room];
    fit->next[sample] = NONE;
    fit->open++;
    if (b->head != NONE) {
        fit->next[b->tail] = sample;
        b->tail = sample;
        return;
    }
    *b = (bucket){sample, sample};
    for (int level = 0; level < LEVELS; level++) {
        fit->bits[level][room / 64] |= (uint64_t)1 << (room % 64);
        room /= 64;
    }
}

static uint64_t pop(best_fit *fit, uint32_t room)
{
    bucket *b = &fit->buckets[room];
    uint64_t sample = b->head;
    fit->open--;
    b->head = fit->next[sample];
    if (b->head != NONE)
        return sample;
    for (int level = 0; level < LEVELS; level++) {
        fit->bits[level][room / 64] &= ~((uint64_t)1 << (room % 64));
        if (fit->bits[level][room / 64] != 0)
            break;
        room /= 64;
    }
    return sample;
}

// Smallest room >= wanted that an open sample has, or UINT32_MAX.
static uint32_t find(const best_fit *fit, uint32_t wanted)
{
    size_t end = (size_t)fit->limit + 1; // bits at this level
    size_t at = wanted;
    int level = 0;
    for (;; level++) {
        if (at >= end || level == LEVELS)
            return UINT32_MAX;
        uint64_t word = fit->bits[level][at / 64] & (~(uint64_t)0 << (at % 64));
        if (word != 0) {
            at = at / 64 * 64 + (size_t)__builtin_ctzll(word);
            break;
        }
        at = at / 64 + 1;
        end = (end + 63) / 64;
    }
    while (level-- > 0)
        at = at * 64 + (size_t)__builtin_ctzll(fit->bits[level][at]);
    return (uint32_t)at;
}

static mill_status place_row(best_fit *fit, uint64_t row, uint32_t length, uint64_t open_max, mill_error *err)
{
    uint32_t room = find(fit, length);
    uint64_t sample;
    if (room != UINT32_MAX) {
        sample = pop(fit, room);
        fit->parts_in[sample]++;
    } else {
        if (open_max != 0 && fit->open == open_max)
            (void)pop(fit, find(fit, 1));
        sample = fit->samples;
        MILL_TRY(MILL_GROW(fit->next, fit->next_capacity, sample + 1, err));
        MILL_TRY(MILL_GROW(fit->parts_in, fit->parts_capacity, sample + 1, err));
        fit->samples++;
        fit->parts_in[sample] = 1;
        room = fit->limit;
    }
    fit->sample_of[row] = sample;
    if (room > length)
        push(fit, room - length, sample);
    return MILL_OK;
}

// Counting sort of the rows by sample: order of opening, then order of arrival.
static mill_status emit(best_fit *fit, const uint32_t *lengths, uint64_t count, mill_packing *out, mill_error *err)
{
    MILL_TRY(MILL_GROW(out->parts, out->part_capacity, count, err));
    MILL_TRY(MILL_GROW(out->sample_parts, out->sample_capacity, fit->samples + 1, err));
    uint64_t begin = 0;
    for (uint64_t s = 0; s < fit->samples; s++) {
        out->sample_parts[s] = begin;
        begin += fit->parts_in[s];
        fit->parts_in[s] = out->sample_parts[s]; // from here on: where the sample's next part goes
    }
    out->sample_parts[fit->samples] = begin;
    MILL_ASSERT(begin == count);
    for (uint64_t i = 0; i < count; i++) {
        out->parts[fit->parts_in[fit->sample_of[i]]++] = (mill_part){.row = i, .begin = 0, .count = lengths[i]};
        out->tokens += lengths[i];
    }
    out->part_count = count;
    out->sample_count = fit->samples;
    return MILL_OK;
}

mill_status mill_pack_best_fit(const uint32_t *lengths, uint64_t count, const mill_pack_options *options, mill_packing *out,
                               mill_error *err)
{
    if (count == 0)
        return MILL_OK;
    best_fit fit;
    mill_status status;
    MILL_TRY_GOTO(best_fit_open(&fit, options->seq_len + options->extra, count, err));
    for (uint64_t i = 0; i < count; i++)
        MILL_TRY_GOTO(place_row(&fit, i, lengths[i], options->open_max, err));
    MILL_TRY_GOTO(emit(&fit, lengths, count, out, err));
cleanup:
    best_fit_close(&fit);
    return status;
}
