// gpu_train.c: rounds of merges on devices. A device holds the symbols of its share of the words and a pair
// table of all words; tables are replicas, since every device changes its own by the same sums. A round is
// one job on each device's thread and one copy of 280 bytes back; where words are shared, one more job
// before, whose sums go to the other devices through the host.
#include <stdio.h>
#include <string.h>

#include "backend/gpu_train.h"
#include "backend/train.h"

enum { PARTS_MAX = 64, MEMORIES = 12, SHARE_MIN = 1 << 24 };

typedef struct answer { // what a round copies out; pinned
    mill_gpu_bpe_outcome outcome;
    uint32_t state[MILL_GPU_BPE_STATES];
    uint64_t crossings[MILL_GPU_BPE_BATCH * MILL_GPU_BPE_BATCH];
} answer;

typedef struct part {
    mill_gpu_device *device;
    const mill_train_job *job;
    const mill_gpu_bpe_batch *batch; // of this round
    mill_train_words words;          // its share
    mill_bpe_rank *ranks;            // of the share, if it is one
    bool shares;                     // there are other devices
    mill_gpu_bpe bpe;
    void *memories[MEMORIES]; // of the device
    size_t memory_count;
    uint8_t *table;        // of the device: all arrays of the pair table
    answer *answer;        // pinned
    uint64_t *first;       // 65536: weights of pairs of bytes, of this share, then of all
    mill_gpu_bpe_sum *own; // what this device tells
    uint8_t *device_sums;
    const mill_gpu_bpe_sum **others; // what it hears: lists and their lengths
    uint32_t *other_counts;
    size_t other_count;
    uint64_t all_crossings[MILL_GPU_BPE_BATCH * MILL_GPU_BPE_BATCH];
    uint32_t all_found;
    char trouble[200]; // why it cannot go on, though the device works
} part;

typedef struct gpu_rounds {
    mill_gpus *gpus;
    part *parts;
    size_t count;
    bool begun;
} gpu_rounds;

#define STEP(call, what) \
    do { \
        if (mill_gpu_device_note(device, (call), (what))) \
            return false; \
    } while (0)

// ---- memory

// Takes device memory and fills it with a byte; false: trouble, which is no fault of the device.
static bool take(part *p, void **memory, size_t bytes, int byte)
{
    const mill_gpu_api *api = p->device->gpus->api;
    void *taken = NULL;
    int code = api->memory_take(&taken, bytes);
    if (code == 0)
        code = api->fill(taken, byte, bytes, p->device->kernels);
    if (code != 0 && taken != NULL)
        (void)api->memory_give(taken);
    *memory = code == 0 ? taken : NULL;
    if (code != 0)
        snprintf(p->trouble, sizeof p->trouble, "%zu MiB of device memory: %s", (bytes >> 20) + 1,
                 api->error_text(code));
    return code == 0;
}

static bool take_kept(part *p, void *pointer_to, size_t bytes)
{
    void *memory;
    if (!take(p, &memory, bytes, 0))
        return false;
    p->memories[p->memory_count++] = memory;
    memcpy(pointer_to, &memory, sizeof memory);
    return true;
}

// Gives back memory that the stream may still be at work on.
static void give_some(part *p, void *const *memories, size_t count)
{
    const mill_gpu_api *api = p->device->gpus->api;
    (void)api->stream_finish(p->device->kernels);
    for (size_t i = 0; i < count; i++)
        if (memories[i] != NULL)
            (void)api->memory_give(memories[i]);
}

// A pair table of this many slots; the old one stays.
static bool take_table(part *p, uint32_t slots)
{
    size_t segments = slots / MILL_GPU_BPE_SEGMENT;
    void *memory;
    if (!take(p, &memory, slots * (size_t)16 + segments * 20, 0xff)) // free keys, stale segments
        return false;
    uint8_t *at = p->table = memory;
    p->bpe.slots = slots;
    p->bpe.keys = (uint64_t *)(void *)at;
    p->bpe.counts = p->bpe.keys + slots;
    p->bpe.best_keys = p->bpe.counts + slots;
    p->bpe.best_counts = p->bpe.best_keys + segments;
    p->bpe.stale = (uint32_t *)(void *)(p->bpe.best_counts + segments);
    return true;
}

// Slots for the pairs of bytes, half of them used.
static uint32_t first_slots(const part *p)
{
    uint32_t bytes = 0, slots = MILL_GPU_BPE_SEGMENT;
    for (uint32_t i = 0; i < 256; i++)
        bytes += p->job->byte_ids[i] < p->job->first_id;
    uint64_t pairs = bytes * bytes < p->job->words.positions ? bytes * bytes : p->job->words.positions;
    while (slots < 2 * pairs)
        slots *= 2;
    return slots;
}

static bool take_all(part *p)
{
    mill_gpu_bpe *bpe = &p->bpe;
    uint32_t positions = p->words.positions;
    bpe->positions = positions;
    bpe->batch = mill_train_batch_max(p->job);
    bpe->ids_max = p->job->ids_max;
    bpe->length_max = p->job->length_max;
    bpe->count_min = p->job->count_min;
    size_t sums = (size_t)2 * bpe->batch * bpe->ids_max;
    return take_kept(p, &bpe->symbols, ((size_t)positions + 8) * 4) &&
           take_kept(p, &bpe->ranks, ((size_t)positions / 64 + 1) * sizeof *bpe->ranks) &&
           take_kept(p, &bpe->weights, ((size_t)p->words.count + 1) * 8) &&
           take_kept(p, &bpe->lengths, ((size_t)bpe->ids_max + 1) * 4) &&
           take_kept(p, &bpe->neighbours, (sums + 1) * 8) &&
           take_kept(p, &bpe->crossings, sizeof p->all_crossings) &&
           take_kept(p, &bpe->found, ((size_t)positions / 2 + 1) * 4) &&
           take_kept(p, &bpe->state, MILL_GPU_BPE_STATES * 4) &&
           take_kept(p, &bpe->outcome, sizeof *bpe->outcome) &&
           (!p->shares || take_kept(p, &p->device_sums, (sums + 1) * sizeof(mill_gpu_bpe_sum))) &&
           take_table(p, first_slots(p));
}

// The job of giving all back; a device that failed has said so already.
static bool give_all(mill_gpu_device *device, void *context)
{
    part *p = context;
    const mill_gpu_api *api = device->gpus->api;
    bool good = !mill_gpu_device_note(device, api->stream_finish(device->kernels), "learning merges");
    for (size_t i = 0; i < p->memory_count; i++)
        (void)api->memory_give(p->memories[i]);
    if (p->table != NULL)
        (void)api->memory_give(p->table);
    if (p->answer != NULL)
        (void)api->pinned_give(p->answer);
    p->memory_count = 0;
    p->table = NULL;
    p->answer = NULL;
    return good;
}

// ---- the beginning

static bool place_words(part *p, uint8_t *text, uint32_t *byte_ids, uint64_t *first)
{
    mill_gpu_device *device = p->device;
    const mill_gpu_api *api = device->gpus->api;
    const mill_train_words *words = &p->words;
    void *stream = device->kernels;
    STEP(api->copy_in((void *)(uintptr_t)p->bpe.ranks, words->ranks,
                      (words->positions / 64 + (size_t)1) * sizeof *words->ranks, stream),
         "copying words in");
    STEP(api->copy_in((void *)(uintptr_t)p->bpe.weights, words->weights, words->count * (size_t)8, stream),
         "copying words in");
    STEP(api->copy_in(text, words->text, words->positions, stream), "copying words in");
    STEP(api->copy_in(byte_ids, p->job->byte_ids, 256 * sizeof *byte_ids, stream), "copying words in");
    STEP(api->bpe_place(&p->bpe, text, byte_ids, first, stream), "placing words");
    STEP(api->copy_out(p->first, first, 65536 * sizeof *first, stream), "counting pairs");
    STEP(api->stream_finish(stream), "counting pairs");
    return true;
}

// The job that brings the words in and counts their pairs of bytes.
static bool begin_words(mill_gpu_device *device, void *context)
{
    part *p = context;
    void *text = NULL, *byte_ids = NULL, *first = NULL, *pinned = NULL;
    const mill_gpu_api *api = device->gpus->api;
    if (api->pinned_take(&pinned, sizeof *p->answer) != 0) {
        snprintf(p->trouble, sizeof p->trouble, "no pinned memory");
        return true;
    }
    p->answer = pinned;
    bool good = true;
    if (take_all(p) && take(p, &text, p->words.positions, 0) &&
        take(p, &byte_ids, 256 * sizeof(uint32_t), 0) && take(p, &first, 65536 * sizeof(uint64_t), 0))
        good = place_words(p, text, byte_ids, first);
    void *const memories[] = {text, byte_ids, first};
    give_some(p, memories, 3);
    return good;
}

static bool copy_outcome(part *p)
{
    mill_gpu_device *device = p->device;
    const mill_gpu_api *api = device->gpus->api;
    STEP(api->bpe_select(&p->bpe, device->kernels), "choosing pairs");
    STEP(api->copy_out(&p->answer->outcome, p->bpe.outcome, sizeof p->answer->outcome, device->kernels),
         "copying a round out");
    STEP(api->stream_finish(device->kernels), "a round of merges");
    return true;
}

// The job that makes the first pair table from p->first.
static bool begin_pairs(mill_gpu_device *device, void *context)
{
    part *p = context;
    const mill_gpu_api *api = device->gpus->api;
    void *byte_ids = NULL, *first = NULL;
    bool good = true;
    if (take(p, &byte_ids, 256 * sizeof(uint32_t), 0) && take(p, &first, 65536 * sizeof(uint64_t), 0)) {
        good = !mill_gpu_device_note(
                   device, api->copy_in(byte_ids, p->job->byte_ids, 256 * sizeof(uint32_t), device->kernels),
                   "copying pairs in") &&
               !mill_gpu_device_note(device,
                                     api->copy_in(first, p->first, 65536 * sizeof(uint64_t), device->kernels),
                                     "copying pairs in") &&
               !mill_gpu_device_note(device, api->bpe_seed(&p->bpe, byte_ids, first, device->kernels),
                                     "making the pair table") &&
               copy_outcome(p);
    }
    void *const memories[] = {byte_ids, first};
    give_some(p, memories, 2);
    return good;
}

// ---- a round

static bool grow_table(part *p)
{
    mill_gpu_device *device = p->device;
    const mill_gpu_api *api = device->gpus->api;
    const mill_gpu_bpe old = p->bpe;
    uint8_t *old_table = p->table;
    bool good = take_table(p, old.slots * 2);
    if (good)
        good =
            !mill_gpu_device_note(device, api->fill(&p->bpe.state[MILL_GPU_BPE_USED], 0, 8, device->kernels),
                                  "growing a table") &&
            !mill_gpu_device_note(device, api->bpe_move(&old, &p->bpe, device->kernels), "growing a table") &&
            !mill_gpu_device_note(device, api->stream_finish(device->kernels), "growing a table");
    else
        return true; // trouble, but no fault of the device
    (void)api->memory_give(old_table);
    return good;
}

// Merges what was found; the table grows first where it must.
static bool finish_round(part *p)
{
    mill_gpu_device *device = p->device;
    for (;;) {
        STEP(device->gpus->api->bpe_merge(&p->bpe, p->batch, device->kernels), "merging pairs");
        if (!copy_outcome(p))
            return false;
        if (p->answer->outcome.full == 0)
            return true;
        if (!grow_table(p))
            return false;
        if (p->trouble[0] != '\0')
            return true;
    }
}

// The job of a round of the only device.
static bool whole_round(mill_gpu_device *device, void *context)
{
    part *p = context;
    STEP(device->gpus->api->bpe_find(&p->bpe, p->batch, device->kernels), "finding pairs");
    return finish_round(p);
}

// The job of a round's first half: what this device's words say.
static bool tell_round(mill_gpu_device *device, void *context)
{
    part *p = context;
    const mill_gpu_api *api = device->gpus->api;
    void *stream = device->kernels;
    mill_gpu_bpe_sum *sums = (mill_gpu_bpe_sum *)(void *)p->device_sums;
    STEP(api->bpe_find(&p->bpe, p->batch, stream), "finding pairs");
    STEP(api->fill(&p->bpe.state[MILL_GPU_BPE_SUMS], 0, 4, stream), "telling sums");
    STEP(api->bpe_tell(&p->bpe, p->batch, sums, stream), "telling sums");
    STEP(api->copy_out(p->answer->state, p->bpe.state, sizeof p->answer->state, stream), "telling sums");
    STEP(api->copy_out(p->answer->crossings, p->bpe.crossings, sizeof p->answer->crossings, stream),
         "telling sums");
    STEP(api->stream_finish(stream), "telling sums");
    STEP(api->copy_out(p->own, sums, p->answer->state[MILL_GPU_BPE_SUMS] * sizeof *sums, stream),
         "telling sums");
    STEP(api->stream_finish(stream), "telling sums");
    return true;
}

// The job of its second half: the others' sums come in, all devices do the same.
static bool hear_round(mill_gpu_device *device, void *context)
{
    part *p = context;
    const mill_gpu_api *api = device->gpus->api;
    void *stream = device->kernels;
    mill_gpu_bpe_sum *sums = (mill_gpu_bpe_sum *)(void *)p->device_sums;
    for (size_t i = 0; i < p->other_count; i++) {
        if (p->other_counts[i] == 0)
            continue;
        STEP(api->copy_in(sums, p->others[i], p->other_counts[i] * sizeof *sums, stream), "hearing sums");
        STEP(api->bpe_hear(&p->bpe, sums, p->other_counts[i], stream), "hearing sums");
    }
    STEP(api->copy_in(p->bpe.crossings, p->all_crossings, sizeof p->all_crossings, stream), "hearing sums");
    STEP(api->copy_in(&p->bpe.state[MILL_GPU_BPE_ALL], &p->all_found, sizeof p->all_found, stream),
         "hearing sums");
    return finish_round(p);
}

// ---- all devices

// Has every device do a job at the same time; false: one could not.
static bool on_all(gpu_rounds *r, mill_gpu_job job)
{
    bool good = true;
    for (size_t i = 0; i < r->count; i++)
        mill_gpu_device_post(r->parts[i].device, job, &r->parts[i]);
    for (size_t i = 0; i < r->count; i++) {
        good = mill_gpu_device_wait(r->parts[i].device) && good;
        if (r->parts[i].trouble[0] != '\0')
            good = false;
    }
    return good;
}

static void add_first_pairs(gpu_rounds *r)
{
    for (size_t i = 1; i < r->count; i++)
        for (size_t k = 0; k < 65536; k++)
            r->parts[0].first[k] += r->parts[i].first[k];
    for (size_t i = 1; i < r->count; i++)
        memcpy(r->parts[i].first, r->parts[0].first, 65536 * sizeof *r->parts[i].first);
}

static void exchange(gpu_rounds *r)
{
    uint64_t *crossings = r->parts[0].all_crossings;
    uint32_t found = 0;
    memset(crossings, 0, sizeof r->parts[0].all_crossings);
    for (size_t i = 0; i < r->count; i++) {
        const answer *a = r->parts[i].answer;
        found += a->state[MILL_GPU_BPE_FOUND];
        for (size_t k = 0; k < sizeof a->crossings / sizeof *a->crossings; k++)
            crossings[k] += a->crossings[k];
    }
    for (size_t i = 0; i < r->count; i++) {
        part *p = &r->parts[i];
        p->all_found = found;
        if (i != 0)
            memcpy(p->all_crossings, crossings, sizeof p->all_crossings);
        p->other_count = 0;
        for (size_t k = 0; k < r->count; k++) {
            if (k == i)
                continue;
            p->others[p->other_count] = r->parts[k].own;
            p->other_counts[p->other_count++] = r->parts[k].answer->state[MILL_GPU_BPE_SUMS];
        }
    }
}

// Replicas that did the same sums chose the same pairs.
static bool agree(gpu_rounds *r)
{
    const mill_gpu_bpe_outcome *a = &r->parts[0].answer->outcome;
    for (size_t i = 1; i < r->count; i++) {
        const mill_gpu_bpe_outcome *b = &r->parts[i].answer->outcome;
        if (a->count != b->count || a->used != b->used ||
            memcmp(a->counts, b->counts, a->count * sizeof *a->counts) != 0 ||
            memcmp(a->keys, b->keys, a->count * sizeof *a->keys) != 0) {
            snprintf(r->parts[i].trouble, sizeof r->parts[i].trouble, "it has other pairs than device %d",
                     r->parts[0].device->number);
            return false;
        }
    }
    return true;
}

static bool do_round(gpu_rounds *r, const mill_gpu_bpe_batch *batch)
{
    for (size_t i = 0; i < r->count; i++)
        r->parts[i].batch = batch;
    if (!r->begun) {
        r->begun = true;
        if (!on_all(r, begin_words))
            return false;
        add_first_pairs(r);
        return on_all(r, begin_pairs) && agree(r);
    }
    if (r->count == 1)
        return on_all(r, whole_round);
    if (!on_all(r, tell_round))
        return false;
    exchange(r);
    return on_all(r, hear_round) && agree(r);
}

static mill_status round_of(void *self, const mill_gpu_bpe_batch *batch, mill_gpu_bpe_outcome *out,
                            mill_error *err)
{
    gpu_rounds *r = self;
    if (!do_round(r, batch))
        return mill_fail(err, MILL_RESOURCE, "a device failed");
    *out = r->parts[0].answer->outcome;
    return MILL_OK;
}

// ---- shares

// The first separator at or behind a position.
static uint32_t separator_from(const mill_train_words *words, uint32_t at)
{
    while (at + 1 < words->positions && (words->ranks[at / 64].bits >> at % 64 & 1) == 0)
        at++;
    return at;
}

// The words between two separators, as words of their own.
static mill_status cut_share(const mill_train_words *all, uint32_t begin, uint32_t end, part *p,
                             mill_error *err)
{
    uint32_t count = 0, positions = end - begin + 1;
    p->ranks = mill_alloc_zero(positions / 64 + (size_t)1, sizeof *p->ranks);
    if (p->ranks == NULL)
        return mill_fail_nomem(err, "sharing words among devices");
    for (uint32_t at = 0; at < positions; at++) {
        if (at % 64 == 0)
            p->ranks[at / 64].before = count;
        if (at + 1 < positions && (all->ranks[(begin + at) / 64].bits >> (begin + at) % 64 & 1) != 0) {
            p->ranks[at / 64].bits |= (uint64_t)1 << at % 64;
            count++;
        }
    }
    uint32_t first_word = count != 0 ? mill_bpe_word(all->ranks, begin) : 0;
    p->words = (mill_train_words){all->text + begin, p->ranks, all->weights + first_word, positions, count};
    return MILL_OK;
}

static mill_status make_part(gpu_rounds *r, part *p, mill_error *err)
{
    size_t sums = (size_t)2 * mill_train_batch_max(p->job) * p->job->ids_max;
    p->first = mill_alloc_zero(65536, sizeof *p->first);
    p->shares = r->count > 1;
    if (p->shares) {
        p->own = mill_alloc(sums * sizeof *p->own + 1);
        p->others = mill_alloc_zero(r->count, sizeof *p->others);
        p->other_counts = mill_alloc_zero(r->count, sizeof *p->other_counts);
    }
    if (p->first == NULL || (p->shares && (p->own == NULL || p->others == NULL || p->other_counts == NULL)))
        return mill_fail_nomem(err, "learning merges on devices");
    return MILL_OK;
}

// A part for each device that works, as many as the words are worth.
static mill_status make_parts(gpu_rounds *r, const mill_train_job *job, mill_error *err)
{
    mill_gpus *gpus = r->gpus;
    uint32_t share_min = job->share_min != 0 ? job->share_min : SHARE_MIN;
    uint64_t most = 1 + job->words.positions / share_min;
    most = most < PARTS_MAX ? most : PARTS_MAX;
    r->parts = mill_alloc_zero(gpus->count, sizeof *r->parts);
    if (r->parts == NULL)
        return mill_fail_nomem(err, "learning merges on devices");
    pthread_mutex_lock(&gpus->lock);
    for (size_t i = 0; i < gpus->count && r->count < most; i++)
        if (gpus->devices[i].ready && !gpus->devices[i].failed)
            r->parts[r->count++].device = &gpus->devices[i];
    pthread_mutex_unlock(&gpus->lock);
    uint32_t begin = 0;
    for (size_t i = 0; i < r->count; i++) {
        part *p = &r->parts[i];
        p->job = job;
        MILL_TRY(make_part(r, p, err));
        uint64_t want = (uint64_t)job->words.positions * (i + 1) / r->count;
        uint32_t end =
            i + 1 == r->count ? job->words.positions - 1 : separator_from(&job->words, (uint32_t)want);
        if (end < begin) // within a long word
            end = begin;
        if (r->count == 1)
            p->words = job->words;
        else
            MILL_TRY(cut_share(&job->words, begin, end, p, err));
        begin = end;
    }
    return MILL_OK;
}

static void free_parts(gpu_rounds *r)
{
    if (r->begun)
        (void)on_all(r, give_all);
    for (size_t i = 0; i < r->count; i++) {
        part *p = &r->parts[i];
        mill_free(p->ranks);
        mill_free(p->first);
        mill_free(p->own);
        mill_free((void *)p->others);
        mill_free(p->other_counts);
    }
    mill_free(r->parts);
}

mill_status mill_gpu_train(mill_gpus *gpus, const mill_train_job *job, mill_train_result *out,
                           mill_error *err)
{
    gpu_rounds r = {.gpus = gpus};
    const mill_train_steps steps = {&r, round_of};
    mill_status status = make_parts(&r, job, err);
    out->complete = false;
    if (status == MILL_OK && r.count != 0) {
        status = mill_train_rounds(job, &steps, out, err);
        out->complete = status == MILL_OK;
        out->slots = r.parts[0].bpe.slots;
        if (status == MILL_RESOURCE) { // a device failed, or has trouble
            status = MILL_OK;
            for (size_t i = 0; i < r.count; i++)
                if (r.parts[i].trouble[0] != '\0')
                    mill_log_line(gpus->log, MILL_LOG_WARNING, "%s device %d: learning merges: %s",
                                  gpus->api->kind, r.parts[i].device->number, r.parts[i].trouble);
            mill_log_line(gpus->log, MILL_LOG_WARNING, "merges are learnt by the processor");
        }
    }
    if (out->complete)
        mill_log_line(gpus->log, MILL_LOG_DEBUG,
                      "%zu merges learnt in %llu rounds on %zu %s, %llu slots for pairs", out->count,
                      (unsigned long long)out->rounds, r.count, r.count == 1 ? "device" : "devices",
                      (unsigned long long)out->slots);
    free_parts(&r);
    return status;
}
