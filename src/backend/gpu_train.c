// gpu_train.c: rounds of merges on devices (gpu_rounds.h): who has which words, how sums go from device to
// device, and what happens when a device fails: the others begin again, with the same merges, for they depend
// on the words alone. What the processor's own trainer takes over is only what no device can do.
#include <stdio.h>
#include <string.h>

#include "backend/gpu_rounds.h"
#include "backend/gpu_train.h"
#include "backend/train.h"

typedef struct training {
    mill_gpus *gpus;
    const mill_train_job *job;
    bool *useless; // of all devices: had trouble with this training
    bool by_host;  // NCCL failed before, or is not to be had
    bool disagree; // replicas had different pairs: nobody knows which is wrong
    mill_gpu_circle circle;
    bool has_circle, begun;
    mill_gpu_part *parts;
    uint32_t count;
} training;

// ---- all devices

// Has every device do a job at the same time; false: one could not.
static bool on_all(training *t, mill_gpu_job job)
{
    bool good = true;
    for (uint32_t i = 0; i < t->count; i++)
        mill_gpu_device_post(t->parts[i].device, job, &t->parts[i]);
    for (uint32_t i = 0; i < t->count; i++) {
        good = mill_gpu_device_wait(t->parts[i].device) && good;
        if (t->parts[i].trouble[0] != '\0')
            good = false;
    }
    return good && !(t->has_circle && atomic_load(&t->circle.broken));
}

static void add_first_pairs(training *t)
{
    for (uint32_t i = 1; i < t->count; i++)
        for (size_t k = 0; k < 65536; k++)
            t->parts[0].first[k] += t->parts[i].first[k];
    for (uint32_t i = 1; i < t->count; i++)
        memcpy(t->parts[i].first, t->parts[0].first, 65536 * sizeof *t->parts[i].first);
}

// Replicas that did the same sums chose the same pairs.
static bool agree(training *t)
{
    const mill_gpu_bpe_outcome *a = &t->parts[0].answer->outcome;
    for (uint32_t i = 1; i < t->count; i++) {
        const mill_gpu_bpe_outcome *b = &t->parts[i].answer->outcome;
        if (a->count != b->count || a->used != b->used ||
            memcmp(a->counts, b->counts, a->count * sizeof *a->counts) != 0 ||
            memcmp(a->keys, b->keys, a->count * sizeof *a->keys) != 0) {
            snprintf(t->parts[i].trouble, sizeof t->parts[i].trouble, "it has other pairs than device %d",
                     t->parts[0].device->number);
            t->disagree = true;
            return false;
        }
    }
    return true;
}

static bool do_round(training *t, const mill_gpu_bpe_batch *batch)
{
    for (uint32_t i = 0; i < t->count; i++)
        t->parts[i].batch = batch;
    if (!t->begun) {
        t->begun = true;
        if (!on_all(t, mill_gpu_part_begin))
            return false;
        if (!t->has_circle)
            add_first_pairs(t);
        return on_all(t, mill_gpu_part_begin_pairs) && agree(t);
    }
    if (t->count == 1 || t->has_circle)
        return on_all(t, mill_gpu_part_round) && agree(t);
    return on_all(t, mill_gpu_part_tell) && on_all(t, mill_gpu_part_hear) && agree(t);
}

static mill_status round_of(void *self, const mill_gpu_bpe_batch *batch, mill_gpu_bpe_outcome *out,
                            mill_error *err)
{
    training *t = self;
    if (!do_round(t, batch))
        return mill_fail(err, MILL_RESOURCE, "a device failed");
    *out = t->parts[0].answer->outcome;
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
static mill_status cut_share(const mill_train_words *all, uint32_t begin, uint32_t end, mill_gpu_part *p,
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

static mill_status make_part(training *t, mill_gpu_part *p, mill_error *err)
{
    p->job = t->job;
    p->rank = (uint32_t)(p - t->parts);
    p->parts = t->count;
    p->circle = t->has_circle ? &t->circle : NULL;
    p->partner = t->parts;
    p->first = mill_alloc_zero(65536, sizeof *p->first);
    p->own = t->count > 1 && !t->has_circle ? mill_alloc(mill_gpu_part_told_bytes(t->job)) : NULL;
    if (p->first == NULL || (t->count > 1 && !t->has_circle && p->own == NULL))
        return mill_fail_nomem(err, "learning merges on devices");
    return MILL_OK;
}

static void find_devices(training *t)
{
    mill_gpus *gpus = t->gpus;
    uint32_t share_min = t->job->share_min != 0 ? t->job->share_min : gpus->api->share_min;
    uint64_t most = 1 + t->job->words.positions / share_min;
    most = most < MILL_GPU_RANKS_MAX ? most : MILL_GPU_RANKS_MAX;
    pthread_mutex_lock(&gpus->lock);
    for (size_t i = 0; i < gpus->count && t->count < most; i++)
        if (gpus->devices[i].ready && !gpus->devices[i].failed && !t->useless[i])
            t->parts[t->count++].device = &gpus->devices[i];
    pthread_mutex_unlock(&gpus->lock);
}

// A part for each device that works, as many as the words are worth.
static mill_status make_parts(training *t, mill_error *err)
{
    const mill_train_words *words = &t->job->words;
    uint32_t begin = 0;
    t->parts = mill_alloc_zero(t->gpus->count, sizeof *t->parts);
    if (t->parts == NULL)
        return mill_fail_nomem(err, "learning merges on devices");
    find_devices(t);
    if (t->count > 1 && !t->by_host) {
        t->has_circle = mill_gpu_circle_open(&t->circle, t->gpus->api, t->count, t->job->wait_ms);
        if (!t->has_circle) {
            mill_log_line(t->gpus->log, MILL_LOG_DEBUG, "devices tell each other sums through the host: %s",
                          t->circle.trouble);
            mill_gpu_circle_close(&t->circle);
            t->by_host = true;
        }
    }
    for (uint32_t i = 0; i < t->count; i++) {
        mill_gpu_part *p = &t->parts[i];
        MILL_TRY(make_part(t, p, err));
        uint64_t want = (uint64_t)words->positions * (i + 1) / t->count;
        uint32_t end = i + 1 == t->count ? words->positions - 1 : separator_from(words, (uint32_t)want);
        if (end < begin) // within a long word
            end = begin;
        if (t->count == 1)
            p->words = *words;
        else
            MILL_TRY(cut_share(words, begin, end, p, err));
        begin = end;
    }
    return MILL_OK;
}

static void free_parts(training *t)
{
    if (t->begun)
        (void)on_all(t, mill_gpu_part_end);
    for (uint32_t i = 0; i < t->count; i++) {
        mill_free(t->parts[i].ranks);
        mill_free(t->parts[i].first);
        mill_free(t->parts[i].own);
    }
    mill_free(t->parts);
    if (t->has_circle)
        mill_gpu_circle_close(&t->circle);
    t->parts = NULL;
    t->count = 0;
    t->begun = t->has_circle = false;
}

// ---- tries

// What went wrong, for the log and for the next try; false: a next one would not go better.
static bool explain(training *t)
{
    const mill_log *log = t->gpus->log;
    const char *kind = t->gpus->api->kind;
    bool fewer = false, other_way = false;
    for (uint32_t i = 0; i < t->count; i++) {
        const mill_gpu_part *p = &t->parts[i];
        const bool failed = p->device->reason[0] != '\0'; // which the log has
        if (p->trouble[0] != '\0' && !failed)
            mill_log_line(log, MILL_LOG_WARNING, "%s device %d: learning merges: %s", kind, p->device->number,
                          p->trouble);
        if (failed || p->trouble[0] != '\0') {
            t->useless[p->device - t->gpus->devices] = true;
            fewer = true;
        }
    }
    if (!fewer && t->has_circle && atomic_load(&t->circle.broken)) {
        mill_log_line(log, MILL_LOG_WARNING, "NCCL failed: %s; devices tell each other sums through the host",
                      t->circle.trouble);
        t->by_host = other_way = true;
    }
    return (fewer || other_way) && !t->disagree;
}

static void tell_success(training *t, const mill_train_result *out)
{
    char way[64] = "";
    if (t->has_circle)
        snprintf(way, sizeof way, ", sums by NCCL %d.%d.%d", t->circle.version / 10000,
                 t->circle.version / 100 % 100, t->circle.version % 100);
    else if (t->count > 1)
        snprintf(way, sizeof way, ", sums through the host");
    mill_log_line(t->gpus->log, MILL_LOG_DEBUG,
                  "%zu merges learnt in %llu rounds on %u %s%s, %llu slots for pairs", out->count,
                  (unsigned long long)out->rounds, t->count, t->count == 1 ? "device" : "devices", way,
                  (unsigned long long)out->slots);
    pthread_mutex_lock(&t->gpus->lock);
    for (uint32_t i = 0; t->count > 1 && i < t->count; i++)
        t->parts[i].device->exchange = t->has_circle ? MILL_GPU_EXCHANGE_NCCL : MILL_GPU_EXCHANGE_HOST;
    pthread_mutex_unlock(&t->gpus->lock);
}

// One try with the devices that are left. *again: another one may go better.
static mill_status try_once(training *t, mill_train_result *out, bool *again, mill_error *err)
{
    const mill_train_steps steps = {t, round_of};
    mill_status status = make_parts(t, err);
    *again = false;
    out->count = 0;
    out->rounds = out->overlaps = 0;
    if (status == MILL_OK && t->count != 0) {
        status = mill_train_rounds(t->job, &steps, out, err);
        out->complete = status == MILL_OK;
        out->slots = t->parts[0].bpe.slots;
        if (out->complete)
            tell_success(t, out);
        if (status == MILL_RESOURCE) { // a device failed, or has trouble
            *again = explain(t);
            status = MILL_OK;
        }
    }
    free_parts(t);
    return status;
}

mill_status mill_gpu_train(mill_gpus *gpus, const mill_train_job *job, mill_train_result *out,
                           mill_error *err)
{
    training t = {.gpus = gpus, .job = job, .useless = mill_alloc_zero(gpus->count, sizeof *t.useless)};
    if (t.useless == NULL)
        return mill_fail_nomem(err, "learning merges on devices");
    bool again = true;
    mill_status status = MILL_OK;
    out->complete = false;
    while (status == MILL_OK && again) {
        status = try_once(&t, out, &again, err);
        if (status == MILL_OK && again)
            mill_log_line(gpus->log, MILL_LOG_DEBUG, "learning merges begins again, with what is left");
    }
    if (status == MILL_OK && !out->complete)
        mill_log_line(gpus->log, MILL_LOG_WARNING, "merges are learnt by the processor");
    mill_free(t.useless);
    return status;
}
