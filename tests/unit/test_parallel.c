// test_parallel.c: the task runner, and the crew. A plain program, so that it also runs under the thread sanitizer.
#include "core/alloc.h"
#include "core/crew.h"
#include "core/parallel.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { TASKS = 500, WORKERS = 16, NEVER = TASKS };

typedef struct plan {
    uint32_t runs[TASKS];      // plain memory: only its task may touch an element
    uint32_t scratch[WORKERS]; // plain memory: only one worker at a time
    _Atomic uint32_t in_use[WORKERS];
    _Atomic uint32_t begun;
    uint64_t fails[3];
} plan;

static mill_status run_task(void *context, uint32_t worker, uint64_t task, mill_error *err)
{
    plan *p = context;
    CHECK(worker < WORKERS && task < TASKS);
    CHECK(atomic_fetch_add(&p->in_use[worker], 1) == 0);
    atomic_fetch_add(&p->begun, 1);
    p->runs[task]++;
    p->scratch[worker]++;
    mill_status status = MILL_OK;
    for (int i = 0; i < 3; i++)
        if (task == p->fails[i])
            status = mill_fail(err, MILL_IO, "task %llu", (unsigned long long)task);
    atomic_fetch_sub(&p->in_use[worker], 1);
    return status;
}

static plan *new_plan(uint64_t a, uint64_t b, uint64_t c)
{
    plan *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->fails[0] = a;
    p->fails[1] = b;
    p->fails[2] = c;
    return p;
}

static void every_task_runs_once_on_any_number_of_threads(void)
{
    for (uint32_t threads = 0; threads <= WORKERS; threads++) {
        plan *p = new_plan(NEVER, NEVER, NEVER);
        CHECK(mill_parallel_run(threads, TASKS, run_task, p, NULL) == MILL_OK);
        uint32_t sum = 0;
        for (int i = 0; i < TASKS; i++)
            CHECK(p->runs[i] == 1);
        for (int i = 0; i < WORKERS; i++)
            sum += p->scratch[i];
        CHECK(sum == TASKS);
        free(p);
    }
    CHECK(mill_parallel_run(4, 0, run_task, NULL, NULL) == MILL_OK);
}

static void p05_the_first_error_in_task_order_is_reported_and_stops_the_rest(void)
{
    for (uint32_t round = 0; round < 400; round++) {
        plan *p = new_plan(42, 41, 43);
        mill_error err = {0};
        uint32_t threads = 1 + round % 8;
        CHECK(mill_parallel_run(threads, TASKS, run_task, p, &err) == MILL_IO);
        CHECK(err.status == MILL_IO && strcmp(err.message, "task 41") == 0);
        for (int i = 0; i <= 41; i++)
            CHECK(p->runs[i] == 1);
        CHECK(threads != 1 || p->begun == 42);
        free(p);
    }
    plan *p = new_plan(TASKS - 1, NEVER, NEVER);
    CHECK(mill_parallel_run(4, TASKS, run_task, p, NULL) == MILL_IO);
    free(p);
}

static void p08_without_memory_for_threads_the_caller_does_all_tasks(void)
{
    plan *p = new_plan(NEVER, NEVER, NEVER);
    mill_alloc_fail_after(0);
    mill_status status = mill_parallel_run(8, TASKS, run_task, p, NULL);
    mill_alloc_fail_after(UINT64_MAX);
    CHECK(status == MILL_OK && p->scratch[0] == TASKS);
    free(p);
}

typedef struct pieces {
    uint64_t done[WORKERS]; // plain memory, read by the caller after each piece
    uint64_t value;         // plain memory, set by the caller before each piece
} pieces;

static void do_piece(void *context, uint32_t worker)
{
    pieces *p = context;
    p->done[worker] += p->value;
}

static void a_crew_does_every_piece_once_and_waits_for_it(void)
{
    for (uint32_t size = 1; size <= WORKERS; size += 5) {
        mill_crew *crew;
        pieces p = {0};
        uint64_t wanted[WORKERS] = {0};
        CHECK(mill_crew_open(size, &crew, NULL) == MILL_OK && mill_crew_size(crew) == size);
        for (uint64_t piece = 1; piece < 3000; piece++) {
            const uint32_t workers = 1 + (uint32_t)(piece * 7 % size);
            p.value = piece;
            if (piece % 1000 == 0)
                usleep(2000); // long enough for the others to fall asleep
            mill_crew_run(crew, workers, do_piece, &p);
            for (uint32_t i = 0; i < workers; i++)
                wanted[i] += piece;
            CHECK(memcmp(p.done, wanted, sizeof wanted) == 0);
        }
        mill_crew_close(crew);
    }
    mill_crew *crew;
    mill_alloc_fail_after(1);
    CHECK(mill_crew_open(4, &crew, NULL) == MILL_NOMEM && crew == NULL);
    mill_alloc_fail_after(UINT64_MAX);
    mill_crew_close(NULL);
}

int main(void)
{
    a_crew_does_every_piece_once_and_waits_for_it();
    every_task_runs_once_on_any_number_of_threads();
    p05_the_first_error_in_task_order_is_reported_and_stops_the_rest();
    p08_without_memory_for_threads_the_caller_does_all_tasks();
    return 0;
}
