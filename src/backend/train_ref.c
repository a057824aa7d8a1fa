// train_ref.c: rounds of merges in plain C, the definition of what devices do (train.h).
#include <string.h>

#include "backend/train.h"

enum { BATCH = MILL_GPU_BPE_BATCH, SLOTS_FIRST = 1 << 10 };

typedef struct pair_slot {
    uint64_t key, count; // a count below the smallest: gone
} pair_slot;

typedef struct plain_rounds {
    const mill_train_job *job;
    uint32_t batch_max;
    uint32_t *symbols;
    pair_slot *slots;
    uint32_t slot_count, used;        // a power of two
    uint32_t *lengths;                // of tokens
    uint64_t *neighbours;             // [side][pair of the batch][id], see row
    uint64_t crossings[BATCH][BATCH]; // occurrences of the first just before one of the second
    uint32_t *found;                  // first positions of occurrences
    uint32_t found_count;
    const mill_gpu_bpe_batch *batch; // of this round
    bool started;
} plain_rounds;

static uint64_t *row(const plain_rounds *r, uint32_t side, uint32_t pair)
{
    return r->neighbours + ((size_t)side * r->batch_max + pair) * r->job->ids_max;
}

// ---- the table of pairs

static pair_slot *seek(const plain_rounds *r, uint64_t key)
{
    uint32_t mask = r->slot_count - 1, at = mill_bpe_slot(key, mask);
    while (r->slots[at].key != key && r->slots[at].key != MILL_BPE_FREE)
        at = (at + 1) & mask;
    return &r->slots[at];
}

// Doubles the table if more than half of it is used.
static mill_status make_room(plain_rounds *r, mill_error *err)
{
    if (r->used < r->slot_count / 2 && r->slot_count != 0)
        return MILL_OK;
    const pair_slot *old = r->slots;
    uint32_t old_count = r->slot_count;
    r->slot_count = old_count == 0 ? SLOTS_FIRST : old_count * 2;
    r->slots = mill_alloc(r->slot_count * sizeof *r->slots);
    if (r->slots == NULL) {
        r->slot_count = 0;
        mill_free((void *)(uintptr_t)old);
        return mill_fail_nomem(err, "training the tokenizer");
    }
    for (uint32_t i = 0; i < r->slot_count; i++)
        r->slots[i] = (pair_slot){MILL_BPE_FREE, 0};
    r->used = 0;
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i].key == MILL_BPE_FREE || old[i].count < r->job->count_min)
            continue;
        *seek(r, old[i].key) = old[i];
        r->used++;
    }
    mill_free((void *)(uintptr_t)old);
    return MILL_OK;
}

// A pair that was never there; below the smallest count it is not kept.
static mill_status add_pair(plain_rounds *r, uint64_t key, uint64_t count, mill_error *err)
{
    if (count < r->job->count_min)
        return MILL_OK;
    MILL_TRY(make_room(r, err));
    *seek(r, key) = (pair_slot){key, count};
    r->used++;
    return MILL_OK;
}

static void lose(plain_rounds *r, uint64_t key, uint64_t lost)
{
    pair_slot *slot = seek(r, key);
    if (slot->key == key)
        slot->count -= lost;
}

// The pairs that come first, in order.
static void select_top(const plain_rounds *r, mill_gpu_bpe_outcome *out)
{
    for (uint32_t i = 0; i < r->slot_count; i++) {
        const pair_slot slot = r->slots[i];
        if (slot.key == MILL_BPE_FREE || slot.count < r->job->count_min)
            continue;
        uint32_t at = out->count;
        while (at > 0 && mill_bpe_before(slot.count, slot.key, out->counts[at - 1], out->keys[at - 1]))
            at--;
        if (at == r->batch_max)
            continue;
        uint32_t last = out->count < r->batch_max ? out->count++ : out->count - 1;
        for (uint32_t k = last; k > at; k--) {
            out->counts[k] = out->counts[k - 1];
            out->keys[k] = out->keys[k - 1];
        }
        out->counts[at] = slot.count;
        out->keys[at] = slot.key;
    }
}

// ---- a round

// Number of the batch's pair that begins at position `at`, and the position behind it; the batch's count if
// none does.
static uint32_t pair_at(const plain_rounds *r, uint32_t at, uint32_t *end)
{
    const mill_gpu_bpe_batch *batch = r->batch;
    uint32_t i = 0, left = r->symbols[at];
    for (; i < batch->count; i++) {
        const mill_gpu_bpe_pair *pair = &batch->of[i];
        if (pair->left == left && r->symbols[at + pair->left_bytes] == pair->right) {
            *end = at + pair->left_bytes + pair->right_bytes;
            break;
        }
    }
    return i;
}

static void find(plain_rounds *r)
{
    uint32_t last_end = 0, last_pair = 0, end = 0;
    for (uint32_t at = 0; at < r->job->words.positions;) {
        uint32_t pair = r->symbols[at] < MILL_SYMBOL_LAST ? pair_at(r, at, &end) : r->batch->count;
        if (pair == r->batch->count) {
            at++;
            continue;
        }
        uint64_t weight = r->job->words.weights[mill_bpe_word(r->job->words.ranks, at)];
        uint32_t before = r->symbols[at - 1], behind = r->symbols[end];
        if (before != MILL_SYMBOL_SEPARATOR)
            row(r, 0, pair)[mill_symbol_id(before)] += weight;
        if (behind != MILL_SYMBOL_SEPARATOR)
            row(r, 1, pair)[behind] += weight;
        if (last_end == at)
            r->crossings[last_pair][pair] += weight;
        r->found[r->found_count++] = at;
        last_pair = pair;
        last_end = at = end; // of a run of equal tokens, pairs are taken from the left
    }
}

// Occurrences of pair i just behind which an occurrence of a pair begins with y.
static uint64_t crossing_right(const plain_rounds *r, uint32_t i, uint32_t y)
{
    uint64_t sum = 0;
    for (uint32_t k = 0; k < r->batch->count; k++)
        sum += r->batch->of[k].left == y ? r->crossings[i][k] : 0;
    return sum;
}

static uint64_t crossing_left(const plain_rounds *r, uint32_t i, uint32_t x)
{
    uint64_t sum = 0;
    for (uint32_t k = 0; k < r->batch->count; k++)
        sum += r->batch->of[k].right == x ? r->crossings[k][i] : 0;
    return sum;
}

static bool short_enough(const plain_rounds *r, uint32_t left, uint32_t right)
{
    return r->job->length_max == 0 || (uint64_t)r->lengths[left] + r->lengths[right] < r->job->length_max;
}

// Changes the counts of the pairs about pair i: an adjacency of two occurrences belongs to the right one.
static mill_status recount(plain_rounds *r, uint32_t i, mill_error *err)
{
    const mill_gpu_bpe_pair *pair = &r->batch->of[i];
    for (uint32_t x = 0; x < r->batch->ids; x++) {
        uint64_t left = row(r, 0, i)[x], right = row(r, 1, i)[x];
        if (left != 0) {
            lose(r, mill_bpe_key(x, pair->left), left);
            if (short_enough(r, x, pair->id))
                MILL_TRY(add_pair(r, mill_bpe_key(x, pair->id), left - crossing_left(r, i, x), err));
        }
        if (right != 0) {
            right -= crossing_right(r, i, x);
            lose(r, mill_bpe_key(pair->right, x), right);
            if (short_enough(r, pair->id, x))
                MILL_TRY(add_pair(r, mill_bpe_key(pair->id, x), right, err));
        }
    }
    for (uint32_t k = 0; k < r->batch->count; k++)
        if (short_enough(r, r->batch->of[k].id, pair->id))
            MILL_TRY(add_pair(r, mill_bpe_key(r->batch->of[k].id, pair->id), r->crossings[k][i], err));
    return MILL_OK;
}

static void rewrite(plain_rounds *r)
{
    for (uint32_t i = 0; i < r->found_count; i++) {
        uint32_t at = r->found[i], end = 0;
        const mill_gpu_bpe_pair *pair = &r->batch->of[pair_at(r, at, &end)];
        r->symbols[at + pair->left_bytes - 1] = MILL_SYMBOL_MIDDLE;
        r->symbols[at + pair->left_bytes] = MILL_SYMBOL_MIDDLE;
        r->symbols[at] = pair->id;
        r->symbols[end - 1] = MILL_SYMBOL_LAST | pair->id;
    }
}

static mill_status merge(plain_rounds *r, mill_gpu_bpe_outcome *out, mill_error *err)
{
    const mill_gpu_bpe_batch *batch = r->batch;
    find(r);
    for (uint32_t i = 0; i < batch->count; i++)
        r->lengths[batch->of[i].id] = batch->of[i].left_bytes + batch->of[i].right_bytes;
    for (uint32_t i = 0; i < batch->count; i++)
        MILL_TRY(recount(r, i, err));
    for (uint32_t i = 0; i < batch->count; i++)
        seek(r, mill_bpe_key(batch->of[i].left, batch->of[i].right))->count = 0;
    rewrite(r);
    for (uint32_t i = 0; i < batch->count; i++) {
        memset(row(r, 0, i), 0, batch->ids * sizeof(uint64_t));
        memset(row(r, 1, i), 0, batch->ids * sizeof(uint64_t));
    }
    memset(r->crossings, 0, sizeof r->crossings);
    out->found = r->found_count;
    r->found_count = 0;
    return MILL_OK;
}

// ---- the beginning

static void place(plain_rounds *r, uint64_t *first)
{
    const mill_train_words *words = &r->job->words;
    uint32_t last = MILL_SYMBOL_SEPARATOR;
    for (uint32_t at = 0; at < words->positions; at++) {
        bool separator = at + 1 == words->positions || (words->ranks[at / 64].bits >> at % 64 & 1) != 0;
        uint32_t symbol = separator ? MILL_SYMBOL_SEPARATOR : r->job->byte_ids[words->text[at]];
        r->symbols[at] = symbol;
        if (!separator && last != MILL_SYMBOL_SEPARATOR)
            first[(size_t)words->text[at - 1] << 8 | words->text[at]] +=
                words->weights[mill_bpe_word(words->ranks, at)];
        last = symbol;
    }
}

static mill_status begin(plain_rounds *r, mill_error *err)
{
    uint64_t *first = mill_alloc_zero(65536, sizeof *first);
    if (first == NULL)
        return mill_fail_nomem(err, "training the tokenizer");
    place(r, first);
    mill_status status = make_room(r, err);
    for (uint32_t pair = 0; status == MILL_OK && pair < 65536; pair++)
        if (first[pair] != 0)
            status = add_pair(r, mill_bpe_key(r->job->byte_ids[pair >> 8], r->job->byte_ids[pair & 255]),
                              first[pair], err);
    mill_free(first);
    for (uint32_t i = 0; i < 256; i++)
        if (r->job->byte_ids[i] < r->job->first_id)
            r->lengths[r->job->byte_ids[i]] = 1;
    return status;
}

static mill_status round_of(void *self, const mill_gpu_bpe_batch *batch, mill_gpu_bpe_outcome *out,
                            mill_error *err)
{
    plain_rounds *r = self;
    *out = (mill_gpu_bpe_outcome){0};
    r->batch = batch;
    if (!r->started)
        MILL_TRY(begin(r, err));
    r->started = true;
    if (batch->count != 0)
        MILL_TRY(merge(r, out, err));
    out->used = r->used;
    select_top(r, out);
    return MILL_OK;
}

mill_status mill_train_ref(const mill_train_job *job, mill_train_result *out, mill_error *err)
{
    plain_rounds r = {.job = job, .batch_max = mill_train_batch_max(job)};
    mill_status status = MILL_OK;
    r.symbols = mill_alloc_zero(job->words.positions, sizeof *r.symbols);
    r.found = mill_alloc_zero(job->words.positions / 2 + 1, sizeof *r.found);
    r.lengths = mill_alloc_zero((size_t)job->ids_max + 1, sizeof *r.lengths);
    r.neighbours = mill_alloc_zero((size_t)2 * r.batch_max * job->ids_max + 1, sizeof *r.neighbours);
    if (r.symbols == NULL || r.found == NULL || r.lengths == NULL || r.neighbours == NULL)
        status = mill_fail_nomem(err, "training the tokenizer");
    const mill_train_steps steps = {&r, round_of};
    if (status == MILL_OK)
        status = mill_train_rounds(job, &steps, out, err);
    out->complete = status == MILL_OK;
    out->slots = r.slot_count;
    mill_free(r.symbols);
    mill_free(r.found);
    mill_free(r.lengths);
    mill_free(r.neighbours);
    mill_free(r.slots);
    return status;
}
