// gpu_bench.h: what the parts of gpu_bench share.
#ifndef MILL_TESTS_GPU_BENCH_H
#define MILL_TESTS_GPU_BENCH_H

#include "backend/gpu_device.h"

typedef struct bench {
    const char *kind; // "cuda", "simt"
    const mill_gpu_api *api;
    void *stream;
    uint8_t *host, *host_out; // pinned: the text, and room for as much
    size_t bytes;
    mill_gpu_texts texts;
    uint8_t *device_text, *unicode;
    bool emulated; // a few repeats of little work will do
} bench;

void bench_check(const bench *b, int code, const char *what); // ends the program
void *bench_take(const bench *b, size_t bytes);               // device memory; it is never given back
void *bench_send(const bench *b, const void *values, size_t bytes);
void bench_receive(const bench *b, void *values, const void *from, size_t bytes);
double bench_now(void); // in seconds

// Median time of a step, which only queues work, in a line with its name and GB of text a second. before:
// what must be done again before each step, not measured; NULL: the step may be queued many times in a row,
// as it then is, so that the host's part does not count. Returns seconds.
typedef int (*bench_step)(void *context);
double bench_measure(const bench *b, const char *name, bench_step before, bench_step step, void *context);

void bench_words(const bench *b);    // gpu_bench_words.c: the tokenizer's kernels
void bench_training(const bench *b); // gpu_bench_train.c: rounds of merges

#endif
