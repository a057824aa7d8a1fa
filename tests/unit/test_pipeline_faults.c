// test_pipeline_faults.c: whole small runs on a simulated file system that fails, fills up, kills the process, cuts the power, or
// with memory that runs out. After each accident the same call goes on to exactly the bytes of an undisturbed run.
// Arguments: number of seeds, first seed; a third one prints each seed before it is tried. --repos at the end: with sequences of
// repositories; --containers: with shards in every container beside JSON lines.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/fs.h"
#include "simfs.h"

#define OUTPUT "/w/deep/out" // two directories that the run must make, too
#define STATE_SKIP "w/deep/out/.shardmill"
#define LINE_MAX_BYTES 8192

static const char *const inputs[] = {"/in/a.jsonl", "/in/b.jsonl"};
static const char *const sets[] = {"filter.syntax=off", "tokenizer.vocab_size=600", "repo.sequence=true"};
static size_t set_count = 2; // 3: with sequences of repositories
static const char *const container_sets[] = {"filter.syntax=off", "tokenizer.vocab_size=600", "pack.seq_len=256", "shard.samples=9",
                                             "shard.mds_size_limit=4000", "shard.pad=true"};
static bool containers;

static simfs *fresh;          // the inputs alone
static char *wanted;          // dump of an undisturbed run
static uint64_t run_calls[3], run_allocations; // by batch size
static uint64_t failures;
static char now[160];         // what is being tried

static uint64_t draw(uint64_t *state) // splitmix64
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// A call of a run; the few at its ends, where directories are made and the end is sealed, as often as all others.
static uint64_t pick_call(uint64_t seed, uint64_t *random)
{
    uint64_t calls = run_calls[seed % 3], how = draw(random) % 4;
    if (how == 0)
        return 1 + draw(random) % 60;
    return how == 1 ? calls - draw(random) % 80 : 1 + draw(random) % calls;
}

static void complain(const char *what, const char *more)
{
    failures++;
    printf("FAILED %s: %s: %s\n", now, what, more);
}

// ---- inputs and runs ------------------------------------------------------------------------------------------------------------

// One record; some repeat an earlier one exactly or nearly, so that the duplicate stages have work.
static int record_line(uint64_t number, char *line, size_t bytes)
{
    uint64_t source = number % 7 == 6 ? number - 6 : number;
    int at = snprintf(line, bytes, "{\"content\": \"# module %llu\\nimport os\\n", (unsigned long long)source);
    for (uint64_t i = 0; i < 6 + source % 9; i++)
        at += snprintf(line + at, bytes - (size_t)at,
                       "\\ndef step_%llu_%llu(value, limit):\\n    total = value * %llu + limit\\n    return [total, %llu, \\\"key "
                       "%llu\\\"]\\n",
                       (unsigned long long)source, (unsigned long long)i, (unsigned long long)(source * 31 + i),
                       (unsigned long long)(source ^ i), (unsigned long long)(source * i));
    at += snprintf(
        line + at, bytes - (size_t)at,
        "%s\", \"language\": \"%s\", \"repo\": \"r/%llu\", \"path\": \"p%llu.py\", \"stars\": %llu, \"licence\": \"mit\"}\n",
        number % 14 == 6 ? "# end\\n" : "",
        source % 5 == 4    ? "javascript"
        : source % 11 == 3 ? "zork"
                           : "python",
        (unsigned long long)(number % 11), (unsigned long long)number, (unsigned long long)(number * 3 % 17));
    return at;
}

static void put_inputs(simfs *sim)
{
    for (size_t f = 0; f < 2; f++) {
        char line[LINE_MAX_BYTES];
        mill_buf text = {0};
        for (uint64_t i = 0; i < 30; i++) {
            int bytes = record_line(f * 30 + i, line, sizeof line);
            if (mill_buf_append(&text, line, (size_t)bytes, NULL) != MILL_OK ||
                (f == 1 && i == 12 && mill_buf_append_text(&text, "{\"content\": 12, broken\n", NULL) != MILL_OK))
                abort();
        }
        simfs_put(sim, inputs[f], text.data, text.bytes);
        mill_buf_free(&text);
    }
}

static mill_status run_once(simfs *sim, uint64_t seed, mill_error *err)
{
    mill_run_options options = MILL_RUN_OPTIONS_INIT;
    mill_run_summary summary;
    options.inputs = inputs;
    options.input_count = 2;
    options.output = OUTPUT;
    options.sets = sets;
    options.set_count = set_count;
    if (containers) {
        options.sets = container_sets;
        options.set_count = sizeof container_sets / sizeof container_sets[0];
        options.format = "jsonl.zst,jsonl,megatron,mds,npy,llmc,datatrove,olmo";
    }
    options.threads = 1;
    options.batch_bytes = 4096u << seed % 3;
    options.keep_work = seed % 4 == 3;
    options.each = seed % 7 != 2; // most: so short a run would make just one commit
    options.overwrite = seed % 16 == 9;
    options.fs = simfs_fs(sim);
    *err = (mill_error){0};
    mill_status status = mill_run(&options, &summary, err);
    if (!simfs_dead(sim) && simfs_open_handles(sim) != 0) // a killed process gives nothing back
        complain("P5: files stay open after the run", err->message);
    if (status != MILL_OK && (err->status != status || err->message[0] == '\0'))
        complain("P5: an error without its reason", mill_status_code(status));
    return status;
}

static void compare(simfs *sim, const char *promise)
{
    char *found = simfs_dump(sim, STATE_SKIP);
    if (strcmp(found, wanted) != 0) {
        const char *a = wanted, *b = found;
        while (*a == *b) {
            a++;
            b++;
        }
        while (b > found && b[-1] != '\n')
            b--;
        char line[256];
        snprintf(line, sizeof line, "first other entry: %.*s", (int)strcspn(b, "\n"), b);
        complain(promise, line);
    }
    free(found);
}

// An OK result: these bytes, and no power cut can take one of them.
static void check_complete(simfs *sim, uint64_t seed)
{
    compare(sim, "P1: other bytes than an undisturbed run");
    simfs *cut = simfs_copy(sim);
    simfs_power_cut(cut, seed);
    compare(cut, "P2: a power cut after OK took something");
    simfs_destroy(cut);
}

// Without further accidents the same call must come to the end.
static void finish(simfs *sim, uint64_t seed, const char *promise)
{
    mill_error err;
    simfs_set_faults(sim, NULL);
    mill_status status = run_once(sim, seed, &err);
    if (status != MILL_OK)
        complain(promise, err.message);
    else
        check_complete(sim, seed);
}

// ---- accidents ------------------------------------------------------------------------------------------------------------------

static const struct bad_errno {
    int number;
    mill_status status;
    const char *name;
} errnos[] = {
    {EIO, MILL_IO, "EIO"},       {ENOSPC, MILL_NOSPC, "ENOSPC"}, {EDQUOT, MILL_NOSPC, "EDQUOT"}, {EMFILE, MILL_RESOURCE, "EMFILE"},
    {EACCES, MILL_IO, "EACCES"}, {EROFS, MILL_IO, "EROFS"},      {EFBIG, MILL_NOSPC, "EFBIG"},   {EINTR, MILL_OK, "EINTR"}};

// One call fails. Half of the time the power fails after it, too: what a failed fsync left must not be trusted.
static void one_call_fails(uint64_t seed, uint64_t *random)
{
    const struct bad_errno *bad = &errnos[draw(random) % (sizeof errnos / sizeof errnos[0])];
    simfs_faults faults = {.seed = seed, .fail_call = pick_call(seed, random), .fail_errno = bad->number};
    bool cut = draw(random) % 2 == 0;
    simfs *sim = simfs_copy(fresh);
    mill_error err;
    snprintf(now, sizeof now, "seed %llu: call %llu fails with %s%s", (unsigned long long)seed,
             (unsigned long long)faults.fail_call, bad->name, cut ? ", then the power" : "");
    simfs_set_faults(sim, &faults);
    mill_status status = run_once(sim, seed, &err);
    if (status == MILL_OK)
        check_complete(sim, seed);
    else if (bad->number == EACCES && status == MILL_INPUT && strstr(err.message, "/in/") != NULL)
        ; // an input that may not be read is refused
    else if (status != bad->status && bad->number != EINTR)
        complain(bad->status == MILL_NOSPC ? "P6: wrong kind of error" : "P5: wrong kind of error", err.message);
    else if (bad->number == EINTR && err.sys_errno != EINTR) // calls that are never interrupted may pass it on
        complain("P5: wrong kind of error", err.message);
    if (cut)
        simfs_power_cut(sim, draw(random));
    finish(sim, seed, "P5: cannot go on after an error");
    simfs_destroy(sim);
}

static void short_transfers(uint64_t seed, uint64_t *random)
{
    simfs_faults faults = {
        .seed = seed, .short_permille = (uint32_t)(draw(random) % 700), .interrupt_permille = (uint32_t)(draw(random) % 400)};
    simfs *sim = simfs_copy(fresh);
    mill_error err;
    snprintf(now, sizeof now, "seed %llu: short transfers %u, interrupts %u per mille", (unsigned long long)seed,
             faults.short_permille, faults.interrupt_permille);
    simfs_set_faults(sim, &faults);
    if (run_once(sim, seed, &err) != MILL_OK)
        complain("P5: short transfers and interrupts are no errors", err.message);
    else
        check_complete(sim, seed);
    simfs_destroy(sim);
}

static void full_disk(uint64_t seed, uint64_t *random)
{
    simfs_faults faults = {.seed = seed, .space_bytes = 60000 + draw(random) % 400000};
    simfs *sim = simfs_copy(fresh);
    mill_error err;
    snprintf(now, sizeof now, "seed %llu: a disk of %llu bytes", (unsigned long long)seed, (unsigned long long)faults.space_bytes);
    simfs_set_faults(sim, &faults);
    mill_status status = run_once(sim, seed, &err);
    if (status == MILL_OK)
        check_complete(sim, seed);
    else if (status != MILL_NOSPC)
        complain("P6: wrong kind of error", err.message);
    finish(sim, seed, "P6: cannot go on with more room");
    simfs_destroy(sim);
}

// Up to six kills or power cuts, each at some call of what is left to do.
static void kills_and_cuts(uint64_t seed, uint64_t *random, unsigned cut_percent)
{
    simfs *sim = simfs_copy(fresh);
    uint64_t chain = 1 + draw(random) % 6;
    int used = snprintf(now, sizeof now, "seed %llu:", (unsigned long long)seed);
    for (uint64_t i = 0; i < chain; i++) {
        simfs_faults faults = {.seed = seed + i, .kill_call = pick_call(seed, random)};
        bool cut = draw(random) % 100 < cut_percent;
        used += snprintf(now + used, sizeof now - (size_t)used, " %s at call %llu", cut ? "power cut" : "kill",
                         (unsigned long long)faults.kill_call);
        mill_error err;
        simfs_set_faults(sim, &faults);
        mill_status status = run_once(sim, seed, &err);
        bool dead = simfs_dead(sim);
        if (status != MILL_OK && !dead)
            complain(cut_percent != 0 ? "P2: cannot go on" : "P1: cannot go on", err.message);
        if (status == MILL_OK && !dead)
            check_complete(sim, seed);
        if (cut)
            simfs_power_cut(sim, draw(random));
        else
            simfs_restart(sim);
    }
    finish(sim, seed, cut_percent != 0 ? "P2: cannot go on" : "P1: cannot go on");
    simfs_destroy(sim);
}

static void memory_runs_out(uint64_t seed, uint64_t *random)
{
    simfs *sim = simfs_copy(fresh);
    for (uint64_t i = 0, attempts = 1 + draw(random) % 3; i < attempts; i++) {
        uint64_t left = draw(random) % (run_allocations + run_allocations / 50);
        mill_error err;
        snprintf(now, sizeof now, "seed %llu: no memory after %llu allocations, attempt %llu", (unsigned long long)seed,
                 (unsigned long long)left, (unsigned long long)i);
        simfs_set_faults(sim, NULL);
        mill_alloc_fail_after(left);
        mill_status status = run_once(sim, seed, &err);
        mill_alloc_fail_after(UINT64_MAX);
        if (status == MILL_OK)
            check_complete(sim, seed);
        else if (status != MILL_NOMEM && status != MILL_RESOURCE)
            complain("P8: wrong kind of error", err.message);
    }
    finish(sim, seed, "P8: cannot go on with more memory");
    simfs_destroy(sim);
}

static void try_seed(uint64_t seed)
{
    uint64_t random = seed * 0x2545f4914f6cdd1du + 1;
    switch (seed % 8) {
    case 0: kills_and_cuts(seed, &random, 0); break;
    case 1:
    case 2: one_call_fails(seed, &random); break;
    case 3: kills_and_cuts(seed, &random, 100); break;
    case 4: seed % 16 == 4 ? short_transfers(seed, &random) : full_disk(seed, &random); break;
    case 5: kills_and_cuts(seed, &random, 50); break;
    default: memory_runs_out(seed, &random); break;
    }
}

static bool undisturbed(void)
{
    mill_error err;
    fresh = simfs_create();
    put_inputs(fresh);
    simfs *sim = simfs_copy(fresh);
    snprintf(now, sizeof now, "undisturbed run");
    for (uint64_t i = 0; i < 3; i++) {
        simfs *counted = simfs_copy(fresh);
        simfs_set_faults(counted, NULL);
        if (run_once(counted, i, &err) != MILL_OK)
            complain("does not end", err.message);
        run_calls[i] = simfs_calls(counted);
        simfs_destroy(counted);
    }
    simfs_set_faults(sim, NULL);
    uint64_t before = mill_alloc_count();
    mill_status status = run_once(sim, 0, &err);
    run_allocations = mill_alloc_count() - before;
    wanted = simfs_dump(sim, STATE_SKIP);
    if (status != MILL_OK) {
        complain("does not end", err.message);
    } else {
        check_complete(sim, 1);
        printf("undisturbed: %llu file calls, %llu allocations\n", (unsigned long long)run_calls[0],
               (unsigned long long)run_allocations);
    }
    simfs_destroy(sim);
    return status == MILL_OK;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[argc - 1], "--repos") == 0) {
        set_count = 3;
        argc--;
    }
    if (argc > 1 && strcmp(argv[argc - 1], "--containers") == 0) {
        containers = true;
        argc--;
    }
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 320;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    if (undisturbed()) {
        if (argc > 3)
            fputs(wanted, stdout);
        for (uint64_t seed = first; seed < first + seeds && failures < 40; seed++) {
            if (argc > 3) {
                printf("seed %llu\n", (unsigned long long)seed);
                fflush(stdout);
            }
            try_seed(seed);
        }
    }
    simfs_destroy(fresh);
    free(wanted);
    printf("%llu seeds, %llu failures\n", (unsigned long long)seeds, (unsigned long long)failures);
    return failures == 0 ? 0 : 1;
}
