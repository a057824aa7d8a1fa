// runner.c: worker threads over numbered units.
#include "pipeline/runner.h"

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
    crew c = {.map = map};
    uint32_t threads = map->threads == 0 ? 1 : map->threads;
    if (map->units < threads)
        threads = (uint32_t)(map->units == 0 ? 1 : map->units);
    worker *workers = mill_alloc_zero(threads, sizeof *workers);
    if (workers == NULL)
        return mill_fail_nomem(err, "starting workers");
    pthread_mutex_init(&c.lock, NULL);
    uint32_t started = 1; // worker 0 is the calling thread
    workers[0] = (worker){.crew = &c};
    while (started < threads) {
        workers[started] = (worker){.crew = &c, .number = started};
        // A missing thread only costs time: the others take its units.
        if (pthread_create(&workers[started].thread, NULL, work, &workers[started]) != 0)
            break;
        started++;
    }
    work(&workers[0]);
    for (uint32_t i = 1; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_mutex_destroy(&c.lock);
    mill_free(workers);
    if (c.error.status != MILL_OK) {
        if (err != NULL)
            *err = c.error;
        return c.error.status;
    }
    if (c.stopped)
        return mill_fail(err, MILL_STOPPED, "stopped on request; run the same command again to go on");
    return MILL_OK;
}
