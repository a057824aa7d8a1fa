// gpu_bench_train.c: times of rounds of merges, kernel by kernel on one device, and of whole trainings on
// all.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/train.h"
#include "gpu_bench.h"
#include "tokenizer/bpe_words.h"
#include "tokenizer/words.h"

enum { MERGES = 7936 };

typedef struct rounds {
    const bench *b;
    const mill_train_job *job;
    mill_gpu_bpe bpe;
    uint32_t *byte_ids;
    uint64_t *first;
    uint8_t *text;
    double find, merge, select; // seconds
} rounds;

// Waits for what was queued; seconds since `from`.
static double finish(const bench *b, int code, const char *what, double from)
{
    bench_check(b, code, what);
    bench_check(b, b->api->stream_finish(b->stream), what);
    return bench_now() - from;
}

// One device without shares: as gpu_rounds.c, with a wait behind each kernel.
static mill_status round_of(void *self, const mill_gpu_bpe_batch *batch, mill_gpu_bpe_outcome *out,
                            mill_error *err)
{
    rounds *r = self;
    const bench *b = r->b;
    double from = bench_now();
    if (batch->count == 0) {
        bench_check(b, b->api->bpe_place(&r->bpe, r->text, r->byte_ids, r->first, b->stream),
                    "placing words");
        bench_check(b, b->api->bpe_seed(&r->bpe, r->byte_ids, r->first, b->stream), "making the pair table");
        (void)finish(b, b->api->bpe_select(&r->bpe, b->stream), "choosing pairs", from);
    } else {
        r->find += finish(b, b->api->bpe_find(&r->bpe, batch, b->stream), "finding pairs", from);
        from = bench_now();
        r->merge += finish(b, b->api->bpe_merge(&r->bpe, batch, b->stream), "merging pairs", from);
        from = bench_now();
        r->select += finish(b, b->api->bpe_select(&r->bpe, b->stream), "choosing pairs", from);
    }
    bench_receive(b, out, r->bpe.outcome, sizeof *out);
    return out->full == 0 ? MILL_OK : mill_fail(err, MILL_RESOURCE, "the table of pairs is too small here");
}

static void take_table(const bench *b, mill_gpu_bpe *bpe)
{
    size_t slots = b->emulated ? 1 << 17 : 1 << 22, segments = slots / MILL_GPU_BPE_SEGMENT;
    bpe->slots = (uint32_t)slots;
    bpe->keys = bench_take(b, slots * 8);
    bpe->counts = bench_take(b, slots * 8);
    bpe->best_keys = bench_take(b, segments * 8);
    bpe->best_counts = bench_take(b, segments * 8);
    bpe->stale = bench_take(b, segments * 4);
    bench_check(b, b->api->fill(bpe->keys, 0xff, slots * 8, b->stream), "clearing");
    bench_check(b, b->api->fill(bpe->stale, 0xff, segments * 4, b->stream), "clearing");
}

static void one_device(const bench *b, const mill_train_job *job)
{
    const mill_train_words *words = &job->words;
    rounds r = {.b = b, .job = job};
    mill_gpu_bpe *bpe = &r.bpe;
    mill_train_result result = {0};
    mill_error err;
    bpe->positions = words->positions;
    bpe->batch = mill_train_batch_max(job);
    bpe->ids_max = job->ids_max;
    bpe->count_min = job->count_min;
    bpe->symbols = bench_take(b, ((size_t)words->positions + 8) * 4);
    bpe->ranks = bench_send(b, words->ranks, (words->positions / 64 + (size_t)1) * sizeof *words->ranks);
    bpe->weights = bench_send(b, words->weights, words->count * (size_t)8);
    bpe->lengths = bench_take(b, ((size_t)bpe->ids_max + 1) * 4);
    bpe->neighbours = bench_take(b, (size_t)2 * bpe->batch * bpe->ids_max * 8);
    bpe->crossings = bench_take(b, MILL_GPU_BPE_BATCH * MILL_GPU_BPE_BATCH * 8);
    bpe->found = bench_take(b, ((size_t)words->positions / 2 + 1) * 4);
    bpe->state = bench_take(b, MILL_GPU_BPE_STATES * 4);
    bpe->outcome = bench_take(b, sizeof *bpe->outcome);
    take_table(b, bpe);
    r.byte_ids = bench_send(b, job->byte_ids, 256 * sizeof *job->byte_ids);
    r.first = bench_take(b, 65536 * sizeof *r.first);
    r.text = bench_send(b, words->text, words->positions);
    const mill_train_steps steps = {&r, round_of};
    if (mill_train_rounds(job, &steps, &result, &err) != MILL_OK) {
        printf("rounds of merges: %s\n", err.message);
        exit(1);
    }
    double count = (double)result.rounds, symbols = 4e-9 * words->positions;
    printf("a round: finding pairs             %9.3f ms %9.1f GB/s of symbols, %.1f MiB\n",
           1e3 * r.find / count, symbols * count / r.find, 4.0 * words->positions / (1 << 20));
    printf("a round: changing counts, symbols  %9.3f ms\n", 1e3 * r.merge / count);
    printf("a round: choosing pairs            %9.3f ms\n", 1e3 * r.select / count);
    printf("  %zu merges in %llu rounds\n", result.count, (unsigned long long)result.rounds);
    mill_free(result.merges);
}

// As a run does it, on all devices of this kind.
static void all_devices(const bench *b, const mill_train_job *job, const char *nccl)
{
    mill_gpus *gpus;
    mill_backend *backend;
    mill_train_result result = {0};
    mill_error err;
    setenv("SHARDMILL_NCCL", nccl, 1);
    if (mill_gpus_open(b->kind, 1 << 20, NULL, &gpus, &err) != MILL_OK ||
        mill_gpus_backend(gpus)->open(mill_gpus_backend(gpus), &backend, &err) != MILL_OK) {
        printf("%s\n", err.message);
        exit(1);
    }
    double from = bench_now();
    mill_status status = backend->ops->train(backend, job, &result, &err);
    double seconds = bench_now() - from;
    static const char *const ways[] = {"alone", "sums through the host", "sums by NCCL"};
    char name[80];
    snprintf(name, sizeof name, "training, %zu devices, %s", mill_gpus_count(gpus),
             ways[mill_gpus_use(gpus, 0).exchange]);
    if (status == MILL_OK && result.complete)
        printf("%-46s %9.3f s %9.3f ms a round\n", name, seconds, 1e3 * seconds / (double)result.rounds);
    else
        printf("%s: not done\n", name);
    mill_free(result.merges);
    backend->ops->close(backend);
    mill_gpus_close(gpus);
}

void bench_training(const bench *b)
{
    mill_word_counts *counts;
    mill_train_words words;
    mill_error err;
    uint32_t byte_ids[256], word_count = 0;
    uint64_t positions = 1;
    int devices = 0;
    if (mill_word_counts_open(MILL_PRETOK_GPT2, &counts, &err) != MILL_OK ||
        mill_word_counts_add(counts, b->host, b->emulated ? b->bytes / 8 : b->bytes, &err) != MILL_OK)
        exit(1);
    for (size_t part = 0; part < MILL_WORD_PARTS; part++) {
        positions += mill_word_counts_facts(counts, part)->positions;
        word_count += mill_word_counts_facts(counts, part)->words;
    }
    if (mill_bpe_words_lay(counts, word_count, (uint32_t)positions, &words, &err) != MILL_OK)
        exit(1);
    for (uint32_t i = 0; i < 256; i++)
        byte_ids[i] = i;
    const mill_train_job job = {.words = words,
                                .byte_ids = byte_ids,
                                .first_id = 256,
                                .ids_max = 256 + (b->emulated ? 100 : MERGES),
                                .count_min = 2,
                                .share_min = 1};
    one_device(b, &job);
    all_devices(b, &job, "");
    if (b->api->device_count(&devices) == 0 && devices > 1)
        all_devices(b, &job, "off");
    mill_bpe_words_free(&words);
    mill_word_counts_close(counts);
}
