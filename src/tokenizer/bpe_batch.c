// bpe_batch.c: merges of which none touches a place of another, done at once.
//
// Why a batch of those at the head of the heap is what one would take one by one: no merge begins with the symbol that another
// ends with, so two of them never overlap in a word, and as long as that holds, none changes the count of another. (They may
// begin with the same symbol, or end with it: at a place, it has one neighbour.) And the pairs that the batch makes come behind
// it: (x, ab) is in no more places than (x, a) was, which comes behind the batch, as it would have ended it (it ends with a);
// among equal counts it stands behind (x, a), as the new id is larger; and so does (ab, x) behind (b, x). (Of (a, a) that is not
// so, nor of an id that is not new: they end their batch.)
//
// 1. The places are shared among threads, cut between words: what happens in one word touches no other. Each thread goes through
//    the batch in order, replaces, and notes the neighbours.
// 2. Notes are summed up by neighbour, each merge and side by one thread, in the order of the shares.
// 3. Sums are taken to the pairs, whose keys are shared among threads, by each in the order of the merges. Before that, lists
//    that have done their duty are given back.
// 4. Places go into the lists of the new pairs, each merge and side by one thread.
// So the number of threads cannot show.
#include "tokenizer/bpe_trainer.h"

#include <stdatomic.h>
#include <string.h>

#define MERGED UINT32_MAX // id of a note: the neighbour was the pair's left symbol and is merged, too
#define SHARE_MIN 128     // places that are worth a thread
#define AHEAD 16          // places that are fetched ahead
#define AT_ONCE 64        // sums whose pairs are fetched together

static inline uint64_t weight_at(const mill_trainer *t, uint32_t position)
{
    return t->weights[mill_bpe_word(t->ranks, position)];
}

static inline void fetch_place(const mill_trainer *t, uint32_t position)
{
    __builtin_prefetch(&t->symbols[position], 1);
    __builtin_prefetch(&t->ranks[position / 64]);
}

// Replaces the pair wherever it still stands, left to right, and notes the neighbours. Returns the notes of each side.
static void replace(const mill_trainer *t, mill_merge merge, const uint32_t *positions, uint32_t count, mill_note *left,
                    mill_note *right, uint32_t noted[MILL_SIDES])
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
        else if (before != MILL_SEPARATOR)
            left[lefts++] = (mill_note){weight, before, at - t->bytes_of[before]};
        if (behind != MILL_SEPARATOR)
            right[rights++] = (mill_note){weight, behind, at};
        symbols[middle - 1] = MILL_INSIDE;
        symbols[middle] = MILL_INSIDE;
        symbols[at] = merge.id;
        symbols[end - 1] = merge.id;
    }
    noted[MILL_LEFT] = lefts;
    noted[MILL_RIGHT] = rights;
}

// One part's share of the batch.
static void replace_share(void *context, uint32_t number)
{
    mill_trainer *t = context;
    const mill_merge_batch *b = &t->batch;
    mill_batch_share *share = &t->batch.shares[number];
    for (uint32_t k = 0; k < b->count; k++) {
        const uint32_t begin = b->begin[number][k], count = b->begin[number + 1][k] - begin;
        if (k + 1 < b->count) { // the start of the next list
            const uint32_t first = b->begin[number][k + 1], last = b->begin[number + 1][k + 1];
            for (uint32_t i = first; i < last && i < first + AHEAD; i++)
                fetch_place(t, b->positions[k + 1][i]);
        }
        uint32_t noted[MILL_SIDES];
        replace(t, b->merges[k], b->positions[k] + begin, count, share->notes[MILL_LEFT] + share->begin[MILL_LEFT][k],
                share->notes[MILL_RIGHT] + share->begin[MILL_RIGHT][k], noted);
        share->begin[MILL_LEFT][k + 1] = share->begin[MILL_LEFT][k] + noted[MILL_LEFT];
        share->begin[MILL_RIGHT][k + 1] = share->begin[MILL_RIGHT][k] + noted[MILL_RIGHT];
    }
}

// ---- sums ----

static inline uint32_t sum_at(mill_batch_share *scratch, mill_neighbour *sums, uint32_t *count, uint32_t id)
{
    if (scratch->sum_of[id] == 0) {
        sums[*count] = (mill_neighbour){.id = id};
        scratch->sum_of[id] = ++*count;
    }
    return scratch->sum_of[id] - 1;
}

// Sums up the notes of one merge on one side, and has each say in which sum it is.
static void sum_notes(mill_trainer *t, mill_batch_share *scratch, uint32_t task)
{
    mill_merge_batch *b = &t->batch;
    const uint32_t k = task / MILL_SIDES, s = task % MILL_SIDES;
    mill_neighbour *sums = b->sums + b->first_sum[task];
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->share_count; i++) {
        const mill_batch_share *share = &b->shares[i];
        for (mill_note *n = share->notes[s] + share->begin[s][k]; n < share->notes[s] + share->begin[s][k + 1]; n++) {
            const bool merged = n->id == MERGED;
            const uint32_t at = sum_at(scratch, sums, &count, merged ? b->merges[k].id : n->id);
            sums[at].gained += n->weight;
            sums[at].places++;
            sums[merged ? sum_at(scratch, sums, &count, b->merges[k].left) : at].lost += n->weight;
            n->id = at;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        scratch->sum_of[sums[i].id] = 0;
    b->sum_count[task] = count;
}

// Writes the places down in the lists of the new pairs.
static void fill_lists(mill_merge_batch *b, uint32_t task)
{
    const uint32_t k = task / MILL_SIDES, s = task % MILL_SIDES;
    mill_neighbour *sums = b->sums + b->first_sum[task];
    for (uint32_t i = 0; i < b->share_count; i++) {
        const mill_batch_share *share = &b->shares[i];
        for (const mill_note *n = share->notes[s] + share->begin[s][k]; n < share->notes[s] + share->begin[s][k + 1]; n++) {
            if (sums[n->id].list != NULL)
                *sums[n->id].list++ = n->position;
        }
    }
}

static bool take_task(mill_merge_batch *b, uint32_t *task)
{
    *task = atomic_fetch_add_explicit(&b->next_task, 1, memory_order_relaxed);
    return *task < b->count * MILL_SIDES;
}

static void sum_tasks(void *context, uint32_t worker)
{
    mill_trainer *t = context;
    for (uint32_t task; take_task(&t->batch, &task);)
        sum_notes(t, &t->batch.shares[worker], task);
}

static void fill_tasks(void *context, uint32_t worker)
{
    (void)worker;
    mill_trainer *t = context;
    for (uint32_t task; take_task(&t->batch, &task);)
        fill_lists(&t->batch, task);
}

// The keys of the pair that a neighbour was in, and of the one that it is in now.
static inline uint64_t lost_key(const mill_neighbour *n, uint32_t s, mill_merge merge)
{
    return s == MILL_LEFT ? mill_pair_key(n->id, merge.left) : mill_pair_key(merge.right, n->id);
}

static inline uint64_t gained_key(const mill_neighbour *n, uint32_t s, mill_merge merge)
{
    return s == MILL_LEFT ? mill_pair_key(n->id, merge.id) : mill_pair_key(merge.id, n->id);
}

typedef struct pair_range { // of the parts that one thread takes the sums to
    uint32_t begin, end;
} pair_range;

typedef struct settled { // some sums of a merge and side: those that concern pairs of the range, first the lost ones
    uint64_t key[2][AT_ONCE];
    uint8_t sum[2][AT_ONCE]; // place among the sums
    uint32_t count[2];
} settled;

// Without a branch for each sum: of two threads, each would guess wrong every other time.
static inline void pick(const mill_trainer *t, pair_range range, settled *out, int list, uint64_t key, uint32_t sum)
{
    const uint32_t part = mill_pair_part(key, t->pair_parts);
    out->key[list][out->count[list]] = key;
    out->sum[list][out->count[list]] = (uint8_t)sum;
    out->count[list] += part - range.begin < range.end - range.begin;
}

static void fetch_pairs(mill_trainer *t, const settled *of, int list)
{
    for (uint32_t i = 0; i < of->count[list]; i++)
        mill_pair_table_fetch(&mill_trainer_pairs(t, of->key[list][i])->table, of->key[list][i]);
}

// Takes the sums of a merge and side to the pairs of a range: those with the old symbol lose, those with the new one begin. Those
// that are worth it have memory for their list then. (No pair does both: an old symbol is not the new one.)
static mill_status settle(mill_trainer *t, pair_range range, uint32_t task, mill_error *err)
{
    const mill_merge merge = t->batch.merges[task / MILL_SIDES];
    const uint32_t s = task % MILL_SIDES, limit = t->options->max_token_length, count = t->batch.sum_count[task];
    for (uint32_t first = 0; first < count; first += AT_ONCE) {
        mill_neighbour *sums = t->batch.sums + t->batch.first_sum[task] + first;
        settled of;
        of.count[0] = of.count[1] = 0;
        for (uint32_t i = 0; i < AT_ONCE && first + i < count; i++) {
            pick(t, range, &of, 0, lost_key(&sums[i], s, merge), i);
            pick(t, range, &of, 1, gained_key(&sums[i], s, merge), i);
        }
        fetch_pairs(t, &of, 0);
        fetch_pairs(t, &of, 1);
        for (uint32_t i = 0; i < of.count[0]; i++)
            MILL_TRY(mill_pair_table_lose(&mill_trainer_pairs(t, of.key[0][i])->table, of.key[0][i], sums[of.sum[0][i]].lost,
                                          t->count_min, err));
        for (uint32_t i = 0; i < of.count[1]; i++) {
            mill_neighbour *n = &sums[of.sum[1][i]];
            if (n->gained < t->count_min || n->places == 0)
                continue;
            if (limit != 0 && (uint64_t)t->bytes_of[n->id] + t->bytes_of[merge.id] >= limit)
                continue;
            MILL_TRY(mill_pairs_add(mill_trainer_pairs(t, of.key[1][i]), of.key[1][i], n->gained, n->places, &n->list, err));
        }
    }
    return MILL_OK;
}

// The lists of the batch, whose places are replaced, and of pairs that were gone after the batch before (of one that comes and goes
// in the same batch the list is filled at the end), as far as they are of the range's tables.
static void drop_lists(mill_trainer *t, pair_range range)
{
    mill_merge_batch *b = &t->batch;
    for (uint32_t k = 0; k < b->count; k++) {
        const uint32_t part = mill_pair_part(mill_pair_key(b->merges[k].left, b->merges[k].right), t->pair_parts);
        if (part < range.begin || part >= range.end)
            continue;
        mill_pair_table_drop(&t->pairs[part].table, b->positions[k], b->places[k]);
        b->positions[k] = NULL;
    }
    for (uint32_t part = range.begin; part < range.end; part++)
        mill_pair_table_sweep(&t->pairs[part].table);
}

static void settle_share(void *context, uint32_t worker)
{
    mill_trainer *t = context;
    mill_merge_batch *b = &t->batch;
    const pair_range range = {t->pair_parts * worker / b->share_count, t->pair_parts * (worker + 1) / b->share_count};
    mill_error *err = &b->shares[worker].error;
    mill_status status = MILL_OK;
    drop_lists(t, range);
    for (uint32_t task = 0; status == MILL_OK && range.begin < range.end && task < b->count * MILL_SIDES; task++)
        status = settle(t, range, task, err);
    err->status = status;
}

// ---- the batch ----

// How many positions of an ascending list are in words before the word at `position`.
static uint32_t places_before(const mill_trainer *t, const uint32_t *positions, uint32_t count, uint32_t position)
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
static void cut_shares(mill_trainer *t)
{
    mill_merge_batch *b = &t->batch;
    uint32_t longest = 0;
    for (uint32_t k = 1; k < b->count; k++)
        longest = b->places[k] > b->places[longest] ? k : longest;
    for (uint32_t k = 0; k < b->count; k++) {
        b->begin[0][k] = 0;
        b->begin[b->share_count][k] = b->places[k];
    }
    for (uint32_t i = 1; i < b->share_count; i++) {
        const uint32_t cut = b->positions[longest][(uint64_t)b->places[longest] * i / b->share_count];
        for (uint32_t k = 0; k < b->count; k++)
            b->begin[i][k] = places_before(t, b->positions[k], b->places[k], cut);
    }
}

static mill_status reserve_notes(mill_trainer *t, mill_error *err)
{
    mill_merge_batch *b = &t->batch;
    for (uint32_t i = 0; i < b->share_count; i++) {
        mill_batch_share *share = &b->shares[i];
        size_t places = 0;
        for (uint32_t k = 0; k < b->count; k++)
            places += b->begin[i + 1][k] - b->begin[i][k];
        for (uint32_t s = 0; s < MILL_SIDES; s++)
            MILL_TRY(MILL_GROW(share->notes[s], share->capacity[s], places + 1, err));
        if (share->sum_of == NULL)
            share->sum_of = mill_alloc_zero(t->ids_max, sizeof *share->sum_of);
        if (share->sum_of == NULL)
            return mill_fail_nomem(err, "training the tokenizer");
    }
    return MILL_OK;
}

// A stretch for each merge and side: no more sums than notes (and one, of a symbol that is not noted), nor than ids.
static mill_status reserve_sums(mill_trainer *t, mill_error *err)
{
    mill_merge_batch *b = &t->batch;
    size_t sums = 0;
    for (uint32_t task = 0; task < b->count * MILL_SIDES; task++) {
        const uint32_t k = task / MILL_SIDES, s = task % MILL_SIDES;
        size_t most = 1;
        for (uint32_t i = 0; i < b->share_count; i++)
            most += b->shares[i].begin[s][k + 1] - b->shares[i].begin[s][k];
        b->first_sum[task] = sums;
        sums += most < t->ids_max ? most : t->ids_max;
    }
    return MILL_GROW(b->sums, b->sum_capacity, sums, err);
}

static void run_tasks(mill_trainer *t, void (*work)(void *context, uint32_t worker))
{
    atomic_store_explicit(&t->batch.next_task, 0, memory_order_relaxed);
    mill_crew_run(t->crew, t->batch.share_count, work, t);
}

mill_status mill_merge_batch_do(mill_trainer *t, mill_error *err)
{
    mill_merge_batch *b = &t->batch;
    uint64_t places = 0;
    for (uint32_t k = 0; k < b->count; k++)
        places += b->places[k];
    const uint32_t threads = mill_crew_size(t->crew);
    b->share_count = places / SHARE_MIN < 2 ? 1 : places / SHARE_MIN < threads ? (uint32_t)(places / SHARE_MIN) : threads;
    cut_shares(t);
    MILL_TRY(reserve_notes(t, err));
    mill_crew_run(t->crew, b->share_count, replace_share, t);
    MILL_TRY(reserve_sums(t, err));
    run_tasks(t, sum_tasks);
    mill_crew_run(t->crew, b->share_count, settle_share, t);
    for (uint32_t i = 0; i < b->share_count; i++) {
        if (b->shares[i].error.status != MILL_OK) {
            if (err != NULL)
                *err = b->shares[i].error;
            return b->shares[i].error.status;
        }
    }
    run_tasks(t, fill_tasks);
    b->count = 0;
    return MILL_OK;
}

void mill_merge_batch_free(mill_trainer *t)
{
    mill_merge_batch *b = &t->batch;
    drop_lists(t, (pair_range){0, t->pair_parts}); // of a training that failed
    for (uint32_t i = 0; i < MILL_TRAIN_THREADS_MAX; i++) {
        for (uint32_t s = 0; s < MILL_SIDES; s++)
            mill_free(b->shares[i].notes[s]);
        mill_free(b->shares[i].sum_of);
    }
    mill_free(b->sums);
}
