// parallel.c: worker threads over numbered units.
#include "core/parallel.h"

#include <pthread.h>

#include "core/alloc.h"

typedef struct crew {
    const mill_map *map;
    pthread_mutex_t lock;    // guards what follows, and map->next
    uint64_t next_unit;
    bool closing;            // no new unit: the end, an error, or a stop
    bool stopped;
    uint64_t error_unit;     // unit of the kept error; errors of later units give way
    mill_error error;
} crew;

typedef struct worker {
    crew *crew;
    uint32_t number;
    pthread_t thread;
} worker;

static void keep_error(crew *c, uint64_t unit, const mill_error *error)
{
    pthread_mutex_lock(&c->lock);
    if (c->error.status == MILL_OK || unit < c->error_unit) {
        c->error = *error;
        c->error_unit = unit;
    }
    c->closing = true;
    pthread_mutex_unlock(&c->lock);
}

// Takes the next unit; false when there is none.
static bool take(crew *c, void *state, uint64_t *unit)
{
    const mill_map *map = c->map;
    mill_error error = {0};
    bool got = false;
    pthread_mutex_lock(&c->lock);
    if (map->stop != NULL && *map->stop != 0 && !c->closing)
        c->closing = c->stopped = true;
    if (!c->closing && c->next_unit < map->units) {
        bool end = false;
        *unit = c->next_unit++;
        mill_status status = map->next != NULL ? map->next(map->context, state, *unit, &end, &error) : MILL_OK;
        if (status != MILL_OK && (c->error.status == MILL_OK || *unit < c->error_unit)) {
            c->error = error;
            c->error.status = status;
            c->error_unit = *unit;
        }
        c->closing = c->closing || end || status != MILL_OK;
        got = !end && status == MILL_OK;
    }
    pthread_mutex_unlock(&c->lock);
    return got;
}

static void *work(void *argument)
{
    worker *w = argument;
    crew *c = w->crew;
    const mill_map *map = c->map;
    mill_error error = {0};
    void *state = NULL;
    mill_status status = map->open != NULL ? map->open(map->context, w->number, &state, &error) : MILL_OK;
    if (status != MILL_OK) {
        error.status = status;
        keep_error(c, 0, &error);
    }
    uint64_t unit;
    while (status == MILL_OK && take(c, state, &unit)) {
        status = map->work(map->context, state, unit, &error);
        if (status != MILL_OK) {
            error.status = status;
            keep_error(c, unit, &error);
        }
    }
    if (map->close != NULL && state != NULL)
        map->close(map->context, state);
    return NULL;
}

mill_status mill_map_run(const mill_map *map, mill_error *err)
{
    crew c = {.map = map, .lock = PTHREAD_MUTEX_INITIALIZER};
    uint64_t threads = map->threads < map->units ? map->threads : map->units;
    // Without memory or threads the work is only slower, never refused.
    worker *helpers = threads > 1 ? mill_alloc_zero(threads - 1, sizeof *helpers) : NULL;
    uint32_t started = 0;
    while (helpers != NULL && started + 1 < threads) {
        helpers[started] = (worker){.crew = &c, .number = started + 1};
        if (pthread_create(&helpers[started].thread, NULL, work, &helpers[started]) != 0)
            break;
        started++;
    }
    work(&(worker){.crew = &c, .number = 0});
    for (uint32_t i = 0; i < started; i++)
        MILL_ASSERT(pthread_join(helpers[i].thread, NULL) == 0);
    pthread_mutex_destroy(&c.lock);
    mill_free(helpers);
    if (c.error.status != MILL_OK) {
        if (err != NULL)
            *err = c.error;
        return c.error.status;
    }
    return c.stopped ? mill_fail_stopped(err) : MILL_OK;
}

// ---- tasks

typedef struct task_list {
    mill_task run;
    void *context;
} task_list;

// A worker's state is its number, plus one.
static mill_status open_number(void *context, uint32_t number, void **state, mill_error *err)
{
    (void)context;
    (void)err;
    *state = (void *)(uintptr_t)(number + 1u);
    return MILL_OK;
}

static mill_status run_task(void *context, void *state, uint64_t unit, mill_error *err)
{
    const task_list *list = context;
    return list->run(list->context, (uint32_t)(uintptr_t)state - 1, unit, err);
}

mill_status mill_parallel_run(uint32_t threads, uint64_t task_count, mill_task run, void *context, mill_error *err)
{
    task_list list = {run, context};
    const mill_map map = {
        .threads = threads, .units = task_count, .context = &list, .open = open_number, .work = run_task};
    return mill_map_run(&map, err);
}
