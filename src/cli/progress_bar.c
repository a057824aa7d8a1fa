// progress_bar.c: showing progress.
#include "cli/progress_bar.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLAIN_SECONDS 10.0

// Messages come from any worker; a line and the bar must not mix.
static pthread_mutex_t voice = PTHREAD_MUTEX_INITIALIZER;

bool mill_talk_init(mill_talk *talk, const char *progress, bool quiet, bool verbose)
{
    *talk = (mill_talk){.level = quiet ? MILL_LOG_WARNING : verbose ? MILL_LOG_DEBUG : MILL_LOG_INFO};
    if (progress == NULL || strcmp(progress, "auto") == 0)
        talk->mode = quiet ? MILL_PROGRESS_NONE : isatty(STDERR_FILENO) ? MILL_PROGRESS_BAR : MILL_PROGRESS_PLAIN;
    else if (strcmp(progress, "plain") == 0)
        talk->mode = MILL_PROGRESS_PLAIN;
    else if (strcmp(progress, "json") == 0)
        talk->mode = MILL_PROGRESS_JSON;
    else if (strcmp(progress, "none") == 0)
        talk->mode = MILL_PROGRESS_NONE;
    else
        return false;
    return true;
}

static void clear_bar(mill_talk *talk)
{
    if (talk->bar_shown)
        fputs("\r\033[K", stderr);
    talk->bar_shown = false;
}

void mill_talk_log(void *context, mill_log_level level, const char *message)
{
    static const char *const names[] = {"error: ", "warning: ", "", ""};
    mill_talk *talk = context;
    if (level > talk->level)
        return;
    pthread_mutex_lock(&voice);
    clear_bar(talk);
    fprintf(stderr, "shardmill: %s%s\n", names[level], message);
    pthread_mutex_unlock(&voice);
}

static void format_seconds(double seconds, char out[32])
{
    if (seconds < 0.0)
        snprintf(out, 32, "?");
    else if (seconds < 60.0)
        snprintf(out, 32, "%.0f s", seconds);
    else if (seconds < 3600.0)
        snprintf(out, 32, "%d min %02d s", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(out, 32, "%d h %02d min", (int)(seconds / 3600.0), (int)(seconds / 60.0) % 60);
}

static void show_bar(mill_talk *talk, const mill_progress *p)
{
    char left[32], bar[25];
    format_seconds(p->seconds_left, left);
    int full = (int)(p->fraction * 24.0);
    for (int i = 0; i < 24; i++)
        bar[i] = i < full ? '#' : '.';
    bar[24] = '\0';
    double rate = p->seconds > 0.0 ? (double)p->bytes_read / p->seconds * 1e-6 : 0.0;
    fprintf(stderr, "\r\033[K[%s] %3.0f%%  %s  %llu %s, %.0f MB/s  left %s", bar, p->fraction * 100.0, p->stage,
            (unsigned long long)p->records_read, p->counted != NULL ? p->counted : "records", rate, left);
    fflush(stderr);
    talk->bar_shown = true;
}

void mill_talk_progress(void *context, const mill_progress *p)
{
    mill_talk *talk = context;
    char left[32];
    pthread_mutex_lock(&voice);
    switch (talk->mode) {
    case MILL_PROGRESS_NONE: break;
    case MILL_PROGRESS_BAR: show_bar(talk, p); break;
    case MILL_PROGRESS_PLAIN:
        if (p->seconds - talk->last_seconds >= PLAIN_SECONDS) {
            format_seconds(p->seconds_left, left);
            fprintf(stderr, "shardmill: %3.0f%%  %s  %llu of %llu %s  %.0f s, left %s\n", p->fraction * 100.0, p->stage,
                    (unsigned long long)p->done, (unsigned long long)p->total, p->unit, p->seconds, left);
            talk->last_seconds = p->seconds;
        }
        break;
    case MILL_PROGRESS_JSON:
        fprintf(stderr,
                "{\"stage\":\"%s\",\"done\":%llu,\"total\":%llu,\"unit\":\"%s\",\"fraction\":%.4f,\"seconds\":%.3f,\"seconds_"
                "left\":%.1f}\n",
                p->stage, (unsigned long long)p->done, (unsigned long long)p->total, p->unit, p->fraction, p->seconds,
                p->seconds_left);
        break;
    }
    pthread_mutex_unlock(&voice);
}

void mill_talk_end(mill_talk *talk)
{
    pthread_mutex_lock(&voice);
    clear_bar(talk);
    pthread_mutex_unlock(&voice);
}
