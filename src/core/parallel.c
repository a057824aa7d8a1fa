// parallel.c: threads that take task numbers from one counter.
//
// Numbers are handed out in order and each one taken is run, so every task below a failed one has run or is running: the
// lowest failure is the same in every schedule.
#include "core/parallel.h"

#include "core/alloc.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct task_crew {
    mill_task run;
    void *context;
    uint64_t task_count;
    _Atomic uint64_t next;
    atomic_bool stop;
    pthread_mutex_t mutex; // guards the three below
    mill_status status;
    uint64_t failed_task;
    mill_error error;
} task_crew;

typedef struct member {
    task_crew *crew;
    pthread_t thread;
    uint32_t worker;
} member;

static void note_failure(task_crew *crew, uint64_t task, mill_status status, const mill_error *error)
{
    pthread_mutex_lock(&crew->mutex);
    if (crew->status == MILL_OK || task < crew->failed_task) {
        crew->status = status;
        crew->failed_task = task;
        crew->error = *error;
    }
    pthread_mutex_unlock(&crew->mutex);
    atomic_store(&crew->stop, true);
}

static void work(task_crew *crew, uint32_t worker)
{
    while (!atomic_load(&crew->stop)) {
        uint64_t task = atomic_fetch_add(&crew->next, 1);
        if (task >= crew->task_count)
            break;
        mill_error error = {0};
        mill_status status = crew->run(crew->context, worker, task, &error);
        if (status != MILL_OK)
            note_failure(crew, task, status, &error);
    }
}

static void *thread_main(void *argument)
{
    const member *self = argument;
    work(self->crew, self->worker);
    return NULL;
}

mill_status mill_parallel_run(uint32_t threads, uint64_t task_count, mill_task run, void *context, mill_error *err)
{
    task_crew crew = {.run = run, .context = context, .task_count = task_count, .mutex = PTHREAD_MUTEX_INITIALIZER};
    uint32_t helpers_wanted = threads > 1 ? threads - 1 : 0;
    if (helpers_wanted >= task_count)
        helpers_wanted = task_count > 1 ? (uint32_t)task_count - 1 : 0;
    // Without memory or threads the work is only slower, never refused.
    member *members = helpers_wanted != 0 ? mill_alloc_zero(helpers_wanted, sizeof *members) : NULL;
    uint32_t helpers = 0;
    while (members != NULL && helpers < helpers_wanted) {
        members[helpers].crew = &crew;
        members[helpers].worker = helpers + 1;
        if (pthread_create(&members[helpers].thread, NULL, thread_main, &members[helpers]) != 0)
            break;
        helpers++;
    }
    work(&crew, 0);
    for (uint32_t i = 0; i < helpers; i++)
        MILL_ASSERT(pthread_join(members[i].thread, NULL) == 0);
    mill_free(members);
    pthread_mutex_destroy(&crew.mutex);
    if (crew.status != MILL_OK && err != NULL)
        *err = crew.error;
    return crew.status;
}
