// gpu_rounds.c: what the thread of a device does for rounds of merges.
#include "backend/gpu_rounds.h"

#include <stdio.h>
#include <string.h>

#include "backend/train.h"

typedef mill_gpu_part part;

// Sums of a block. 2,524 rounds on 155 MB of code told 352 sums on average and 2,482 at most: blocks are
// seldom more than one, and their 64 KiB cost a bus less than asking for the length first would.
enum { BLOCK_SUMS = 4095 };

#define STEP(call, what) \
    do { \
        if (mill_gpu_device_note(p->device, (call), (what))) \
            return false; \
    } while (0)

static const mill_gpu_api *api_of(const part *p)
{
    return p->device->gpus->api;
}

// Waits for what was queued; by asking, where other devices may have failed.
static bool finish(part *p, const char *what)
{
    if (p->circle != NULL)
        return mill_gpu_circle_finish(p->circle, p->rank, p->device, what);
    STEP(api_of(p)->stream_finish(p->device->kernels), what);
    return true;
}

// ---- memory

// Takes device memory and fills it with a byte; false: trouble, which is no fault of the device.
static bool take(part *p, void **memory, size_t bytes, int byte)
{
    void *taken = NULL;
    int code = api_of(p)->memory_take(&taken, bytes);
    if (code == 0)
        code = api_of(p)->fill(taken, byte, bytes, p->device->kernels);
    if (code != 0 && taken != NULL)
        (void)api_of(p)->memory_give(taken);
    *memory = code == 0 ? taken : NULL;
    if (code != 0)
        snprintf(p->trouble, sizeof p->trouble, "%zu MiB of device memory: %s", (bytes >> 20) + 1,
                 api_of(p)->error_text(code));
    return code == 0;
}

static bool take_kept(part *p, void *pointer_to, size_t bytes)
{
    void *memory;
    if (!take(p, &memory, bytes, 0))
        return false;
    MILL_ASSERT(p->memory_count < MILL_GPU_ROUND_MEMORIES);
    p->memories[p->memory_count++] = memory;
    memcpy(pointer_to, &memory, sizeof memory);
    return true;
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

static uint32_t block_sums(const mill_train_job *job)
{
    return job->block_sums != 0 ? job->block_sums : BLOCK_SUMS;
}

static size_t block_bytes(const part *p)
{
    return (block_sums(p->job) + (size_t)1) * sizeof *p->told;
}

size_t mill_gpu_part_told_bytes(const mill_train_job *job)
{
    size_t sums = MILL_GPU_BPE_SUMS_MAX(mill_train_batch_max(job), job->ids_max);
    return MILL_GPU_BPE_BLOCKS(sums, block_sums(job)) * (block_sums(job) + (size_t)1) *
           sizeof(mill_gpu_bpe_sum);
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
    bpe->block_sums = block_sums(p->job);
    return take_kept(p, &bpe->symbols, ((size_t)positions + 8) * 4) &&
           take_kept(p, &bpe->ranks, ((size_t)positions / 64 + 1) * sizeof *bpe->ranks) &&
           take_kept(p, &bpe->weights, ((size_t)p->words.count + 1) * 8) &&
           take_kept(p, &bpe->lengths, ((size_t)bpe->ids_max + 1) * 4) &&
           take_kept(p, &bpe->neighbours, ((size_t)2 * bpe->batch * bpe->ids_max + 1) * 8) &&
           take_kept(p, &bpe->crossings, (size_t)MILL_GPU_BPE_BATCH * MILL_GPU_BPE_BATCH * 8) &&
           take_kept(p, &bpe->found, ((size_t)positions / 2 + 1) * 4) &&
           take_kept(p, &bpe->state, MILL_GPU_BPE_STATES * 4) &&
           take_kept(p, &bpe->outcome, sizeof *bpe->outcome) &&
           take_kept(p, &p->byte_ids, 256 * sizeof *p->byte_ids) &&
           take_kept(p, &p->device_first, 65536 * sizeof *p->device_first) &&
           (p->parts == 1 || (take_kept(p, &p->told, mill_gpu_part_told_bytes(p->job)) &&
                              take_kept(p, &p->all, p->parts * block_bytes(p)))) &&
           take_table(p, first_slots(p));
}

bool mill_gpu_part_end(mill_gpu_device *device, void *context)
{
    part *p = context;
    if (p->circle != NULL)
        mill_gpu_circle_leave(p->circle, p->rank); // before the stream is waited for
    bool good = !mill_gpu_device_note(device, api_of(p)->stream_finish(device->kernels), "learning merges");
    for (size_t i = 0; i < p->memory_count; i++)
        (void)api_of(p)->memory_give(p->memories[i]);
    if (p->table != NULL)
        (void)api_of(p)->memory_give(p->table);
    if (p->answer != NULL)
        (void)api_of(p)->pinned_give(p->answer);
    p->memory_count = 0;
    p->table = NULL;
    p->answer = NULL;
    return good;
}

// ---- the beginning

static bool place_words(part *p)
{
    const mill_gpu_api *api = api_of(p);
    const mill_train_words *words = &p->words;
    void *stream = p->device->kernels, *text = NULL;
    if (!take(p, &text, words->positions, 0))
        return true;
    bool good =
        !mill_gpu_device_note(p->device,
                              api->copy_in((void *)(uintptr_t)p->bpe.ranks, words->ranks,
                                           (words->positions / 64 + (size_t)1) * sizeof *words->ranks,
                                           stream),
                              "copying words in") &&
        !mill_gpu_device_note(
            p->device,
            api->copy_in((void *)(uintptr_t)p->bpe.weights, words->weights, words->count * (size_t)8, stream),
            "copying words in") &&
        !mill_gpu_device_note(p->device, api->copy_in(text, words->text, words->positions, stream),
                              "copying words in") &&
        !mill_gpu_device_note(p->device,
                              api->copy_in(p->byte_ids, p->job->byte_ids, 256 * sizeof *p->byte_ids, stream),
                              "copying words in") &&
        !mill_gpu_device_note(p->device, api->bpe_place(&p->bpe, text, p->byte_ids, p->device_first, stream),
                              "placing words") &&
        !mill_gpu_device_note(p->device,
                              api->copy_out(p->first, p->device_first, 65536 * sizeof *p->first, stream),
                              "counting pairs");
    // What was queued reads the text, so the wait comes first in any case.
    good = !mill_gpu_device_note(p->device, api->stream_finish(stream), "counting pairs") && good;
    (void)api->memory_give(text);
    return good;
}

bool mill_gpu_part_begin(mill_gpu_device *device, void *context)
{
    part *p = context;
    void *pinned = NULL;
    (void)device;
    if (api_of(p)->pinned_take(&pinned, sizeof *p->answer) != 0) {
        snprintf(p->trouble, sizeof p->trouble, "no pinned memory");
        return true;
    }
    p->answer = pinned;
    return !take_all(p) || place_words(p);
}

static bool copy_outcome(part *p)
{
    STEP(api_of(p)->bpe_select(&p->bpe, p->device->kernels), "choosing pairs");
    STEP(api_of(p)->copy_out(&p->answer->outcome, p->bpe.outcome, sizeof p->answer->outcome,
                             p->device->kernels),
         "copying a round out");
    return finish(p, "a round of merges");
}

// The first pair table, of all parts' pairs of bytes.
static bool begin_pairs(part *p)
{
    const mill_gpu_api *api = api_of(p);
    void *stream = p->device->kernels;
    if (p->circle != NULL && (!mill_gpu_circle_join(p->circle, p->rank) ||
                              !mill_gpu_circle_sum(p->circle, p->rank, p->device_first, 65536, stream)))
        return false;
    if (p->circle == NULL && p->parts > 1)
        STEP(api->copy_in(p->device_first, p->first, 65536 * sizeof *p->first, stream), "copying pairs in");
    if (!finish(p, "adding up pairs"))
        return false;
    STEP(api->bpe_seed(&p->bpe, p->byte_ids, p->device_first, stream), "making the pair table");
    return copy_outcome(p);
}

// ---- a round

static bool grow_table(part *p)
{
    const mill_gpu_bpe old = p->bpe;
    uint8_t *old_table = p->table;
    void *stream = p->device->kernels;
    if (!take_table(p, old.slots * 2))
        return false;
    bool good =
        !mill_gpu_device_note(p->device, api_of(p)->fill(&p->bpe.state[MILL_GPU_BPE_USED], 0, 8, stream),
                              "growing a table") &&
        !mill_gpu_device_note(p->device, api_of(p)->bpe_move(&old, &p->bpe, stream), "growing a table");
    good = finish(p, "growing a table") && good;
    (void)api_of(p)->memory_give(old_table);
    return good;
}

// Merges what was found; the table grows first where it must.
static bool finish_round(part *p)
{
    do {
        STEP(api_of(p)->bpe_merge(&p->bpe, p->batch, p->device->kernels), "merging pairs");
        if (!copy_outcome(p))
            return false;
    } while (p->answer->outcome.full != 0 && grow_table(p));
    return p->answer->outcome.full == 0;
}

static bool find_and_tell(part *p)
{
    STEP(api_of(p)->bpe_find(&p->bpe, p->batch, p->device->kernels), "finding pairs");
    if (p->parts > 1)
        STEP(api_of(p)->bpe_tell(&p->bpe, p->batch, p->told, p->device->kernels), "telling sums");
    return true;
}

static bool copy_state(part *p, const char *what)
{
    STEP(api_of(p)->copy_out(p->answer->state, p->bpe.state, sizeof p->answer->state, p->device->kernels),
         what);
    return finish(p, what);
}

// Adds what the blocks of a number say. The wait makes sure that nothing is merged by blocks that never came.
static bool hear_blocks(part *p, uint32_t number)
{
    STEP(api_of(p)->bpe_hear(&p->bpe, p->all, p->parts, p->rank, number, p->device->kernels), "hearing sums");
    return copy_state(p, "hearing sums");
}

static bool gather_and_hear(part *p)
{
    const uint8_t *told = (const uint8_t *)(const void *)p->told;
    uint32_t number = 0, blocks = 1; // what a device has to tell is known when it is heard
    do {
        uint32_t mine = number < blocks ? number : 0; // behind the last, any head will do
        if (!mill_gpu_circle_gather(p->circle, p->rank, told + mine * block_bytes(p), p->all, block_bytes(p),
                                    p->device->kernels) ||
            !hear_blocks(p, number))
            return false;
        blocks = MILL_GPU_BPE_BLOCKS(p->answer->state[MILL_GPU_BPE_SUMS], p->bpe.block_sums);
        number++;
    } while (p->answer->state[MILL_GPU_BPE_MORE] != 0);
    return true;
}

static bool whole_round(part *p)
{
    return find_and_tell(p) && (p->circle == NULL || gather_and_hear(p)) && finish_round(p);
}

// A step of this part; with a circle, one that all take together. What the job of it answers: whether the
// device is as good as before.
static bool take_step(part *p, bool (*step)(part *))
{
    bool done = step(p);
    if (p->circle != NULL) {
        if (!done)
            mill_gpu_circle_break(p->circle, p->trouble[0] != '\0' ? p->trouble : "a device failed");
        (void)mill_gpu_circle_meet(p->circle, p->rank);
    }
    return p->device->reason[0] == '\0';
}

bool mill_gpu_part_begin_pairs(mill_gpu_device *device, void *context)
{
    (void)device;
    return take_step(context, begin_pairs);
}

bool mill_gpu_part_round(mill_gpu_device *device, void *context)
{
    (void)device;
    return take_step(context, whole_round);
}

// ---- a round through the host

static uint32_t blocks_told(const part *p)
{
    return MILL_GPU_BPE_BLOCKS(p->answer->state[MILL_GPU_BPE_SUMS], p->bpe.block_sums);
}

// Bytes of the block of this number: its head and the sums that are in it.
static size_t told_bytes(const part *p, uint32_t number)
{
    uint32_t before = number * p->bpe.block_sums, sums = p->answer->state[MILL_GPU_BPE_SUMS];
    uint32_t here = sums <= before                      ? 0
                    : sums - before < p->bpe.block_sums ? sums - before
                                                        : p->bpe.block_sums;
    return (here + (size_t)1) * sizeof *p->told;
}

static bool tell(part *p)
{
    if (!find_and_tell(p) || !copy_state(p, "telling sums"))
        return false;
    uint32_t last = blocks_told(p) - 1;
    STEP(
        api_of(p)->copy_out(p->own, p->told, last * block_bytes(p) + told_bytes(p, last), p->device->kernels),
        "telling sums");
    return finish(p, "telling sums");
}

static bool hear(part *p)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < p->parts; i++)
        most = blocks_told(&p->partner[i]) > most ? blocks_told(&p->partner[i]) : most;
    for (uint32_t number = 0; number < most; number++) {
        for (uint32_t i = 0; i < p->parts; i++) {
            const part *other = &p->partner[i];
            uint32_t theirs = number < blocks_told(other) ? number : 0; // behind the last, its head is enough
            size_t bytes =
                number < blocks_told(other) && i != p->rank ? told_bytes(other, number) : sizeof *p->told;
            STEP(api_of(p)->copy_in((uint8_t *)(void *)p->all + i * block_bytes(p),
                                    (const uint8_t *)(const void *)other->own + theirs * block_bytes(p),
                                    bytes, p->device->kernels),
                 "hearing sums");
        }
        STEP(api_of(p)->bpe_hear(&p->bpe, p->all, p->parts, p->rank, number, p->device->kernels),
             "hearing sums");
    }
    return finish_round(p);
}

bool mill_gpu_part_tell(mill_gpu_device *device, void *context)
{
    (void)device;
    return take_step(context, tell);
}

bool mill_gpu_part_hear(mill_gpu_device *device, void *context)
{
    (void)device;
    return take_step(context, hear);
}
