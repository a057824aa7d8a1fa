// run_log.c: the lines of a run.
#include "pipeline/run_log.h"

#include <pthread.h>
#include <string.h>

#include "core/clock.h"

#define LOG_BYTES_MAX (4u << 20) // a run that talks more has its later lines cut

struct mill_run_log {
    void (*write)(void *context, mill_log_level level, const char *line);
    void *context;
    pthread_mutex_t lock; // guards lines
    mill_buf lines;
    int64_t begin_ns;
};

mill_status mill_run_log_open(void (*write)(void *context, mill_log_level level, const char *line), void *context,
                              mill_run_log **out, mill_error *err)
{
    mill_run_log *log = mill_alloc_zero(1, sizeof *log);
    if (log == NULL)
        return mill_fail_nomem(err, "the log of the run");
    log->write = write;
    log->context = context;
    log->begin_ns = mill_clock_ns();
    pthread_mutex_init(&log->lock, NULL);
    *out = log;
    return MILL_OK;
}

void mill_run_log_close(mill_run_log *log)
{
    if (log == NULL)
        return;
    pthread_mutex_destroy(&log->lock);
    mill_buf_free(&log->lines);
    mill_free(log);
}

static void keep(mill_run_log *log, const char *level, const char *line)
{
    double seconds = (double)(mill_clock_ns() - log->begin_ns) * 1e-9;
    pthread_mutex_lock(&log->lock);
    if (log->lines.bytes < LOG_BYTES_MAX)
        (void)!mill_buf_printf(&log->lines, NULL, "%10.3f %-7s %s\n", seconds, level, line);
    pthread_mutex_unlock(&log->lock);
}

void mill_run_log_write(void *context, mill_log_level level, const char *line)
{
    mill_run_log *log = context;
    keep(log, mill_log_level_name(level), line);
    if (log->write != NULL)
        log->write(log->context, level, line);
}

void mill_run_log_save(mill_run_log *log, mill_workdir *dir, mill_status status, const mill_error *error)
{
    if (dir == NULL)
        return;
    keep(log, mill_status_code(status), status == MILL_OK ? "complete" : error != NULL ? error->message : "");
    (void)!mill_workdir_write_state(dir, "run.log", log->lines.data, log->lines.bytes, NULL);
}
