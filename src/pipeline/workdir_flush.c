// workdir_flush.c: making units durable: a group is written and synced, renamed, its directories are synced, and then the journal
// tells of it. One flush at a time, in the order of the queue, by the directory's own thread where it has one.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "pipeline/workdir_internal.h"

#define STATE ".shardmill"

// A group begins this long after its first unit came, or when so much of it waits. Open files are few by the system's own limits.
enum { GROUP_MS = 2000, GROUP_UNITS = 1024, GROUP_STREAMS = 64 };

// ---- one group ----------------------------------------------------------------------------------------------------------------

typedef struct group { // pending[0 .. count) of the directory, whose array may move meanwhile
    mill_pending *units;
    size_t count;
} group;

static mill_status write_held(mill_workdir *dir, mill_unit_file *file, mill_error *err)
{
    int handle;
    mill_workdir_name_tmp(dir, file->tmp);
    MILL_TRY(mill_fs_open(dir->fs, dir->handle, file->tmp, MILL_OPEN_CREATE, &handle, err));
    mill_status status = mill_fs_write_all(dir->fs, handle, file->path, file->held->content.data, file->held->content.bytes, err);
    if (status == MILL_OK && !dir->options.fast)
        status = mill_fs_sync(dir->fs, handle, file->path, err);
    mill_status closed = mill_fs_close(dir->fs, handle, file->path, status == MILL_OK ? err : NULL);
    return status != MILL_OK ? status : closed;
}

static bool is_sealing(mill_workdir *dir)
{
    pthread_mutex_lock(&dir->lock);
    bool sealing = dir->sealing;
    pthread_mutex_unlock(&dir->lock);
    return sealing;
}

// A group that the journal would tell of is given up between two units where the run is sealed meanwhile: the seal stands for all
// of them, and what they hold of products is published with it.
static mill_status write_files(mill_workdir *dir, const group *g, bool journal, bool *given_up, mill_error *err)
{
    for (size_t i = 0; i < g->count; i++) {
        if (journal && is_sealing(dir)) {
            *given_up = true;
            return MILL_OK;
        }
        mill_unit *unit = &g->units[i].unit;
        for (uint32_t k = 0; k < unit->file_count; k++) {
            mill_unit_file *file = &unit->files[k];
            if (file->held != NULL)
                MILL_TRY(write_held(dir, file, err));
            else if (file->out.file >= 0) // else the group that was given up has closed it
                MILL_TRY(mill_outfile_close(&file->out, !dir->options.fast, err));
        }
    }
    return MILL_OK;
}

static mill_status rename_files(mill_workdir *dir, const group *g, mill_error *err)
{
    char parent[160];
    for (size_t i = 0; i < g->count; i++) {
        const mill_unit *unit = &g->units[i].unit;
        for (uint32_t k = 0; k < unit->file_count; k++) {
            mill_path_parent(unit->files[k].path, parent, sizeof parent);
            pthread_mutex_lock(&dir->lock);
            mill_status status = strcmp(parent, ".") == 0 ? MILL_OK : mill_workdir_ensure_directory(dir, parent, err);
            pthread_mutex_unlock(&dir->lock);
            MILL_TRY(status);
            MILL_TRY(mill_fs_rename(dir->fs, dir->handle, unit->files[k].tmp, unit->files[k].path, err));
        }
    }
    return MILL_OK;
}

// True if an earlier file of the group has the same parent, so that its directory is synced once.
static bool parent_seen(const group *g, size_t unit, uint32_t file, const char *parent)
{
    char other[160];
    for (size_t i = 0; i <= unit; i++) {
        uint32_t count = i < unit ? g->units[i].unit.file_count : file;
        for (uint32_t k = 0; k < count; k++) {
            mill_path_parent(g->units[i].unit.files[k].path, other, sizeof other);
            if (strcmp(other, parent) == 0)
                return true;
        }
    }
    return false;
}

static mill_status sync_parents(mill_workdir *dir, const group *g, mill_error *err)
{
    for (size_t i = 0; i < g->count; i++) {
        for (uint32_t k = 0; k < g->units[i].unit.file_count; k++) {
            char parent[160];
            mill_path_parent(g->units[i].unit.files[k].path, parent, sizeof parent);
            if (!parent_seen(g, i, k, parent))
                MILL_TRY(mill_workdir_sync_directory(dir, dir->handle, parent, err));
        }
    }
    return MILL_OK;
}

static mill_status open_journal(mill_workdir *dir, mill_error *err)
{
    if (dir->journal_file >= 0)
        return MILL_OK;
    char path[64];
    pthread_mutex_lock(&dir->lock);
    mill_status status = mill_workdir_ensure_directory(dir, STATE "/journal", err);
    pthread_mutex_unlock(&dir->lock);
    MILL_TRY(status);
    snprintf(path, sizeof path, STATE "/journal/%06u.log", dir->journal_number);
    MILL_TRY(mill_fs_open(dir->fs, dir->handle, path, MILL_OPEN_APPEND, &dir->journal_file, err));
    return mill_workdir_sync_directory(dir, dir->handle, STATE "/journal", err);
}

static mill_status write_journal(mill_workdir *dir, const group *g, mill_error *err)
{
    mill_buf frames = {0};
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(open_journal(dir, err));
    for (size_t i = 0; i < g->count; i++)
        MILL_TRY_GOTO(mill_journal_frame(g->units[i].record, &frames, err));
    MILL_TRY_GOTO(mill_fs_write_all(dir->fs, dir->journal_file, "the journal", frames.data, frames.bytes, err));
    if (!dir->options.fast)
        MILL_TRY_GOTO(mill_fs_sync(dir->fs, dir->journal_file, "the journal", err));
cleanup:
    mill_buf_free(&frames);
    return status;
}

static mill_status make_durable(mill_workdir *dir, const group *g, bool journal, bool *given_up, mill_error *err)
{
    MILL_TRY(write_files(dir, g, journal, given_up, err));
    if (*given_up)
        return MILL_OK;
    MILL_TRY(rename_files(dir, g, err));
    MILL_TRY(sync_parents(dir, g, err));
    return journal ? write_journal(dir, g, err) : MILL_OK;
}

// ---- the queue: all below is called with the lock held ------------------------------------------------------------------------

void mill_pending_release(mill_workdir *dir, mill_pending *pending)
{
    mill_unit *unit = &pending->unit;
    for (uint32_t i = 0; i < unit->file_count; i++) {
        if (unit->files[i].held != NULL) {
            dir->pending_bytes -= unit->files[i].held->content.capacity;
            mill_held_drop(unit->files[i].held);
            continue;
        }
        mill_outfile_abort(&unit->files[i].out); // where it is still open, it was given up
        dir->stream_count--;
    }
    unit->file_count = 0;
}

static void drop_first(mill_workdir *dir, mill_pending *units, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mill_pending_release(dir, &units[i]);
    memmove(dir->pending, dir->pending + count, (dir->pending_count - count) * sizeof *dir->pending);
    dir->pending_count -= count;
    dir->oldest_at = mill_clock_ns() / 1000000;
}

// For the thread, or at once where there is none. What finds no place in the list goes with the rest at the end.
static void remove_soon(mill_workdir *dir, const char *path)
{
    if (MILL_GROW(dir->spent, dir->spent_capacity, dir->spent_count + 1, NULL) != MILL_OK)
        return;
    snprintf(dir->spent[dir->spent_count++], sizeof *dir->spent, "%s", path);
    if (!dir->has_thread)
        mill_workdir_remove_spent(dir);
}

// What a unit was made of goes once it is durable itself, so that a crash loses no more than what is pending.
static void spend(mill_workdir *dir, const mill_unit *unit)
{
    for (uint32_t i = 0; i < unit->spend_count && !dir->options.keep_work; i++)
        remove_soon(dir, unit->spends[i]);
}

// Makes the first `count` pending units durable. They can be read until it is done, and the lock is free meanwhile.
static mill_status flush_first(mill_workdir *dir, size_t count, bool journal, mill_error *err)
{
    // A failed fsync is never repeated, and nothing is written behind a torn record.
    if (dir->failure.status != MILL_OK || count == 0) {
        if (err != NULL && dir->failure.status != MILL_OK)
            *err = dir->failure;
        return dir->failure.status;
    }
    mill_error error = {0};
    group g = {mill_alloc(count * sizeof *g.units), count};
    mill_status status = g.units == NULL ? mill_fail_nomem(&error, "a commit") : MILL_OK;
    if (status == MILL_OK) {
        memcpy(g.units, dir->pending, count * sizeof *g.units);
        dir->flushing = true;
        pthread_mutex_unlock(&dir->lock);
        bool given_up = false;
        status = make_durable(dir, &g, journal, &given_up, &error);
        pthread_mutex_lock(&dir->lock);
        dir->flushing = false;
        // The copies know which files are still open.
        if (given_up)
            memcpy(dir->pending, g.units, count * sizeof *g.units);
        else
            drop_first(dir, g.units, count);
        for (size_t i = 0; i < count && journal && status == MILL_OK && !given_up; i++)
            spend(dir, &g.units[i].unit);
        mill_free(g.units);
    }
    if (status != MILL_OK) {
        error.status = status;
        dir->failure = error;
        if (err != NULL)
            *err = error;
    }
    pthread_cond_broadcast(&dir->moved);
    return status;
}

static bool is_due(const mill_workdir *dir)
{
    return dir->pending_count != 0 &&
           (dir->options.each || dir->flush_wanted || dir->pending_count >= GROUP_UNITS || dir->stream_count >= GROUP_STREAMS ||
            dir->pending_bytes >= dir->options.held_bytes || mill_clock_ns() / 1000000 - dir->oldest_at >= GROUP_MS);
}

// Twice of what begins a group: it is written while as much comes again.
static bool too_much(const mill_workdir *dir)
{
    return dir->pending_count != 0 &&
           (dir->options.each || dir->flush_wanted || dir->pending_count >= 2 * GROUP_UNITS ||
            dir->stream_count >= 2 * GROUP_STREAMS || dir->pending_bytes >= 2 * dir->options.held_bytes);
}

void mill_workdir_remove_spent(mill_workdir *dir)
{
    char path[sizeof *dir->spent];
    memcpy(path, dir->spent[--dir->spent_count], sizeof path);
    if (mill_workdir_find_held(dir, path) != NULL) // not on the disk yet; it goes with the rest at the end
        return;
    pthread_mutex_unlock(&dir->lock);
    (void)dir->fs->ops->unlink(dir->fs->self, dir->handle, path); // nothing is lost if it stays
    pthread_mutex_lock(&dir->lock);
}

static void *keep_flushing(void *argument)
{
    mill_workdir *dir = argument;
    pthread_mutex_lock(&dir->lock);
    while (!dir->closing) {
        if (!dir->flushing && !dir->sealing && dir->failure.status == MILL_OK && is_due(dir)) {
            (void)!flush_first(dir, dir->pending_count, true, NULL); // told to whoever comes next
        } else if (dir->failure.status == MILL_OK && dir->spent_count != 0) {
            mill_workdir_remove_spent(dir);
        } else if (dir->flushing) { // what is published at the end: the same units
            pthread_cond_wait(&dir->moved, &dir->lock);
        } else if (dir->pending_count == 0 || dir->sealing || dir->failure.status != MILL_OK) {
            pthread_cond_wait(&dir->wake, &dir->lock);
        } else {
            const int64_t at = (dir->oldest_at + GROUP_MS) * 1000000;
            const struct timespec until = {at / 1000000000, at % 1000000000};
            pthread_cond_timedwait(&dir->wake, &dir->lock, &until);
        }
    }
    pthread_mutex_unlock(&dir->lock);
    return NULL;
}

// Waits until the thread has caught up, or does its work where there is none.
static mill_status catch_up(mill_workdir *dir, mill_error *err)
{
    while (too_much(dir) && dir->failure.status == MILL_OK) {
        if (dir->has_thread || dir->flushing) {
            pthread_cond_signal(&dir->wake);
            pthread_cond_wait(&dir->moved, &dir->lock);
        } else {
            (void)!flush_first(dir, dir->pending_count, true, NULL);
        }
    }
    if (dir->failure.status != MILL_OK && err != NULL)
        *err = dir->failure;
    return dir->failure.status;
}

mill_status mill_workdir_pending_added(mill_workdir *dir, mill_error *err)
{
    if (is_due(dir)) {
        if (dir->has_thread)
            pthread_cond_signal(&dir->wake);
        else if (!dir->flushing)
            return flush_first(dir, dir->pending_count, true, err);
    } else if (dir->pending_count == 1 && dir->has_thread) {
        pthread_cond_signal(&dir->wake); // its time begins to run
    }
    return catch_up(dir, err);
}

mill_status mill_workdir_flush(mill_workdir *dir, mill_error *err)
{
    pthread_mutex_lock(&dir->lock);
    dir->flush_wanted = true;
    mill_status status = catch_up(dir, err);
    dir->flush_wanted = false;
    pthread_mutex_unlock(&dir->lock);
    return status;
}

static bool has_product(const mill_unit *unit)
{
    for (uint32_t i = 0; i < unit->file_count; i++) {
        if (!mill_path_is_state(unit->files[i].path))
            return true;
    }
    return false;
}

// What a group that was given up has written of a unit, the thread removes while products are published.
static void leave_tmp(mill_workdir *dir, const mill_unit *unit)
{
    for (uint32_t i = 0; dir->has_thread && i < unit->file_count; i++) { // without one no group is given up
        if (unit->files[i].tmp[0] != '\0')
            remove_soon(dir, unit->files[i].tmp);
    }
}

mill_status mill_workdir_publish(mill_workdir *dir, mill_error *err)
{
    pthread_mutex_lock(&dir->lock);
    dir->sealing = true;
    while (dir->flushing)
        pthread_cond_wait(&dir->moved, &dir->lock);
    size_t kept = 0;
    for (size_t i = 0; i < dir->pending_count; i++) {
        if (has_product(&dir->pending[i].unit)) {
            dir->pending[kept++] = dir->pending[i];
            continue;
        }
        leave_tmp(dir, &dir->pending[i].unit);
        mill_pending_release(dir, &dir->pending[i]);
    }
    dir->pending_count = kept;
    pthread_cond_signal(&dir->wake);
    mill_status status = flush_first(dir, kept, false, err);
    pthread_mutex_unlock(&dir->lock);
    return status;
}

// ---- the thread ---------------------------------------------------------------------------------------------------------------

void mill_workdir_start_thread(mill_workdir *dir)
{
    if (!dir->fs->one_thread)
        dir->has_thread = pthread_create(&dir->thread, NULL, keep_flushing, dir) == 0;
}

void mill_workdir_stop_thread(mill_workdir *dir)
{
    if (!dir->has_thread)
        return;
    pthread_mutex_lock(&dir->lock);
    dir->closing = true;
    pthread_cond_signal(&dir->wake);
    pthread_mutex_unlock(&dir->lock);
    pthread_join(dir->thread, NULL);
    dir->has_thread = false;
}
