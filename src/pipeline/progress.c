// progress.c: what a run tells while it works, and where its time went.
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "core/clock.h"
#include "pipeline/plan.h"
#include "pipeline/run.h"

#define SHOW_NS 100000000 // at most ten times a second

static void show(mill_run_state *run)
{
    if (run->options->progress == NULL)
        return;
    mill_part_of_run *part = &run->part;
    uint64_t done = atomic_load(&part->done), total = atomic_load(&part->total);
    double within = total != 0 ? (double)(done < total ? done : total) / (double)total : 0.0;
    double seconds = (double)(mill_clock_ns() - run->started_ns) * 1e-9;
    double fraction = mill_plan_fraction(run, within);
    const mill_progress progress = {.stage = part->stage,
                                    .unit = part->unit,
                                    .done = done,
                                    .total = total,
                                    .fraction = fraction,
                                    .seconds = seconds,
                                    .seconds_left = fraction > 0.02 && seconds > 1.0 ? seconds * (1.0 - fraction) / fraction : -1.0,
                                    .bytes_read = atomic_load(&run->bytes_read),
                                    .records_read = atomic_load(&run->records_read)};
    run->options->progress(run->options->context, &progress);
}

void mill_run_part(mill_run_state *run, const char *stage, const char *unit, uint64_t total)
{
    run->part.number = run->part.stage != NULL && run->part.of_stage == run->stage ? run->part.number + 1 : 0;
    run->part.of_stage = run->stage;
    run->part.stage = stage;
    run->part.unit = unit;
    atomic_store(&run->part.done, 0);
    atomic_store(&run->part.total, total);
    mill_log_line(&run->log, MILL_LOG_DEBUG, "%s: begins", stage);
    show(run);
}

void mill_run_advance(mill_run_state *run, uint64_t done)
{
    atomic_fetch_add(&run->part.done, done);
    // Whoever moves the mark shows: one thread at a time, without waiting.
    int64_t now = mill_clock_ns(), shown = atomic_load(&run->shown_ns);
    if (now - shown >= SHOW_NS && atomic_compare_exchange_strong(&run->shown_ns, &shown, INT64_MAX)) {
        show(run);
        atomic_store(&run->shown_ns, now);
    }
}

mill_instant mill_time_begin(void)
{
    return (mill_instant){mill_clock_ns(), mill_clock_thread_ns()};
}

void mill_time_end(mill_run_state *run, mill_timing_name name, mill_instant begin, uint64_t bytes, uint64_t records)
{
    const mill_instant end = mill_time_begin();
    mill_timing *timing = &run->timing[name];
    atomic_fetch_add(&timing->ns, (uint64_t)(end.clock_ns - begin.clock_ns));
    atomic_fetch_add(&timing->cpu_ns, (uint64_t)(end.thread_ns - begin.thread_ns));
    atomic_fetch_add(&timing->bytes, bytes);
    atomic_fetch_add(&timing->records, records);
}

uint64_t mill_run_text_bytes(const mill_run_state *run)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < run->doc_count; i++)
        bytes += run->docs[i].bytes;
    return bytes;
}

mill_pass_instant mill_time_pass_begin(void)
{
    return (mill_pass_instant){mill_clock_ns(), mill_clock_process_ns()};
}

void mill_time_pass_end(mill_run_state *run, mill_timing_name name, mill_pass_instant begin)
{
    run->timing[name].pass_ns = (uint64_t)(mill_clock_ns() - begin.clock_ns);
    run->timing[name].pass_cpu_ns = (uint64_t)(mill_clock_process_ns() - begin.process_ns);
}

uint32_t mill_run_workers(const mill_run_state *run, uint64_t size, uint64_t left)
{
    const uint64_t threads = run->threads;
    if (left >= size * threads)
        return 1;
    return (uint32_t)((2 * size * threads + left - 1) / left); // left is at least size
}

uint64_t mill_run_kept_bytes(const mill_run_state *run)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < run->doc_count; i++)
        bytes += run->docs[i].verdict == MILL_KEPT ? run->docs[i].bytes : 0;
    return bytes;
}

static const struct timing_row {
    const char *name;
    bool one_thread;   // a barrier
    const char *bound; // what the profile of docs/BENCHMARKS.md shows
} timing_rows[MILL_TIME_COUNT] = {
    [MILL_TIME_READ] = {"read", false, "instructions"},
    [MILL_TIME_FILTER] = {"filter", false, "memory"},
    [MILL_TIME_SYNTAX] = {"syntax", false, "instructions"},
    [MILL_TIME_SKETCH] = {"sketch", false, "instructions"},
    [MILL_TIME_EXACT] = {"exact", true, "one thread"},
    [MILL_TIME_DEDUP] = {"dedup", true, "one thread"},
    [MILL_TIME_PRETOKEN] = {"pretoken", false, "part of words and encode"},
    [MILL_TIME_WORDS] = {"words", false, "instructions"},
    [MILL_TIME_TRAIN] = {"train", true, "memory latency"},
    [MILL_TIME_FIM] = {"fim", true, "part of encode, but for Python's draws"},
    [MILL_TIME_ENCODE] = {"encode", false, "instructions"},
    [MILL_TIME_PACK] = {"pack", true, "one thread"},
    [MILL_TIME_WRITE] = {"write", false, "instructions"},
};

// What each GPU did; nothing without one. exchange: how it told others sums while they learnt merges.
static mill_status append_devices(mill_run_state *run, mill_buf *out, mill_error *err)
{
    size_t count = run->gpus != NULL ? mill_gpus_count(run->gpus) : 0;
    MILL_TRY(mill_buf_append_text(out, "],\n\"devices\":[", err));
    for (size_t i = 0; i < count; i++) {
        static const char *const exchanges[] = {"null", "\"host\"", "\"nccl\""};
        mill_gpu_use use = mill_gpus_use(run->gpus, i);
        MILL_TRY(mill_buf_printf(out, err, "%s{\"device\":\"%s:%d\",\"name\":", i != 0 ? "," : "", use.kind, use.number));
        MILL_TRY(mill_buf_append_json(out, use.name, strlen(use.name), err));
        MILL_TRY(mill_buf_printf(out, err, ",\"batches\":%llu,\"bytes\":%llu,\"failed\":%s,\"exchange\":%s}",
                                 (unsigned long long)use.batches, (unsigned long long)use.bytes, use.failed ? "true" : "false",
                                 exchanges[use.exchange]));
    }
    return MILL_OK;
}

mill_status mill_run_write_timings(mill_run_state *run, mill_error *err)
{
    mill_buf out = {0};
    mill_status status = mill_buf_append_text(&out, "{\"schema\":1,\"stages\":[", err);
    for (size_t i = 0; status == MILL_OK && i < MILL_TIME_COUNT; i++) {
        mill_timing *timing = &run->timing[i];
        const uint32_t threads = timing_rows[i].one_thread ? 1 : run->threads;
        const uint64_t ns = timing->pass_ns != 0 ? timing->pass_ns : atomic_load(&timing->ns) / threads;
        const uint64_t cpu_ns = timing->pass_ns != 0 ? timing->pass_cpu_ns : atomic_load(&timing->cpu_ns);
        status = mill_buf_printf(
            &out, err,
            "%s\n {\"name\":\"%s\",\"bytes\":%llu,\"records\":%llu,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"threads\":%u,"
            "\"bound\":\"%s\"}",
            i != 0 ? "," : "", timing_rows[i].name, (unsigned long long)atomic_load(&timing->bytes),
            (unsigned long long)atomic_load(&timing->records), (double)ns * 1e-9,
            (double)cpu_ns * 1e-9, threads, timing_rows[i].bound);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (status == MILL_OK)
        status = append_devices(run, &out, err);
    if (status == MILL_OK)
        status = mill_buf_printf(&out, err, "],\n\"wall_seconds\":%.6f,\"peak_rss_bytes\":%llu}\n",
                                 (double)(mill_clock_ns() - run->started_ns) * 1e-9, (unsigned long long)usage.ru_maxrss * 1024);
    if (status == MILL_OK)
        status = mill_workdir_write_state(run->dir, "timings.json", out.data, out.bytes, err);
    mill_buf_free(&out);
    return status;
}
