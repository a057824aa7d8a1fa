// meter.c: progress of transfers.
#include <string.h>

#include "core/clock.h"
#include "fetch/collect.h"

#define TELL_NS INT64_C(200000000)

void mill_meter_start(mill_meter *m, const char *stage, void (*progress)(void *, const mill_progress *),
                      void *context)
{
    m->stage = stage;
    m->progress = progress;
    m->context = context;
    m->started_ns = mill_clock_ns();
    atomic_store(&m->told_ns, m->started_ns);
    pthread_mutex_init(&m->mutex, NULL);
}

void mill_meter_stop(mill_meter *m)
{
    pthread_mutex_destroy(&m->mutex);
}

static void tell(mill_meter *m, int64_t now)
{
    uint64_t done = atomic_load(&m->bytes_done), moved = atomic_load(&m->bytes_moved);
    double seconds = (double)(now - m->started_ns) * 1e-9;
    mill_progress p = {.stage = m->stage,
                       .done = done,
                       .total = m->bytes_total,
                       .unit = "bytes",
                       .seconds = seconds,
                       .seconds_left = -1.0,
                       .bytes_read = moved,
                       .records_read = atomic_load(&m->files_done),
                       .counted = "files"};
    if (m->bytes_total != 0) {
        p.fraction = (double)done / (double)m->bytes_total;
        p.fraction = p.fraction < 1.0 ? p.fraction : 1.0;
        if (done != 0 && seconds > 1.0)
            p.seconds_left = seconds * (1.0 / (p.fraction > 1e-9 ? p.fraction : 1e-9) - 1.0);
    }
    m->progress(m->context, &p);
}

void mill_meter_add(mill_meter *m, uint64_t bytes, bool moved)
{
    atomic_fetch_add(&m->bytes_done, bytes);
    if (moved)
        atomic_fetch_add(&m->bytes_moved, bytes);
    int64_t now = mill_clock_ns();
    if (m->progress == NULL || now - atomic_load(&m->told_ns) < TELL_NS ||
        pthread_mutex_trylock(&m->mutex) != 0)
        return;
    atomic_store(&m->told_ns, now);
    tell(m, now);
    pthread_mutex_unlock(&m->mutex);
}

void mill_meter_undo(mill_meter *m, uint64_t bytes)
{
    atomic_fetch_sub(&m->bytes_done, bytes);
}
