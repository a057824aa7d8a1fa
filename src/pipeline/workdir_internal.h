// workdir_internal.h: what workdir.c and workdir_commit.c share.
#ifndef MILL_PIPELINE_WORKDIR_INTERNAL_H
#define MILL_PIPELINE_WORKDIR_INTERNAL_H

#include <pthread.h>

#include "pipeline/journal.h"
#include "pipeline/workdir.h"

typedef struct mill_entry { // a journaled unit
    char stage[24];
    uint64_t number;
    cJSON *record;
    bool lost;              // its files are gone: the unit is to be made again
    bool spent;             // a file of it that another unit spent is gone
} mill_entry;

#define MILL_DIRECTORIES_MAX 32

struct mill_held {
    mill_buf content;
    uint32_t users;         // the pending unit and the views; guarded by the directory's lock
};

typedef struct mill_pending { // a unit that was handed over and is not durable yet
    mill_unit unit;
    const cJSON *record;    // owned by its entry
} mill_pending;

struct mill_workdir {
    const mill_fs *fs;
    mill_workdir_options options;
    int handle, lock_file;
    pthread_mutex_t lock;      // guards what follows, up to the files of a flush
    pthread_cond_t wake;       // of the thread: there is something to do
    pthread_cond_t moved;      // of those who wait for a flush
    mill_entry *entries;
    size_t entry_count, entry_capacity;
    uint32_t *slots;           // hash table: index of an entry + 1
    size_t slot_count;
    mill_pending *pending;     // in the order in which they are made durable
    size_t pending_count, pending_capacity;
    uint64_t pending_bytes;    // of their files in memory
    size_t stream_count;       // open files
    int64_t oldest_at;         // monotonic milliseconds: when the first pending unit came
    bool flush_wanted;         // by somebody who waits
    bool flushing;             // one at a time
    bool sealing;              // state is needed no more: a flush of it is given up
    mill_error failure;        // of a flush: nothing is made durable behind it
    char (*spent)[64];         // files that the thread removes when nothing is due
    size_t spent_count, spent_capacity;
    uint64_t tmp_number;
    char *directories[MILL_DIRECTORIES_MAX]; // known to exist
    size_t known_directories;
    pthread_t thread;
    bool has_thread, closing;

    int journal_file;          // these are the flush's own
    unsigned journal_number;
};

void mill_workdir_log(mill_workdir *dir, mill_log_level level, const char *message);
mill_status mill_workdir_add_entry(mill_workdir *dir, cJSON *record, mill_error *err) MILL_MUST_CHECK;
mill_status mill_workdir_sync_directory(mill_workdir *dir, int base, const char *path, mill_error *err) MILL_MUST_CHECK;
mill_status mill_workdir_make_directories(mill_workdir *dir, int base, const char *path, mill_error *err) MILL_MUST_CHECK;
// Whether a file of a record is there, with its size; with `recheck`, with its content.
bool mill_workdir_has_file(mill_workdir *dir, const cJSON *file);
bool mill_path_is_state(const char *path);
// The directory part of path, "." if it has none.
void mill_path_parent(const char *path, char *parent, size_t bytes);
void mill_workdir_name_tmp(mill_workdir *dir, char tmp[64]); // a name below .shardmill/tmp that no other file has
mill_status mill_workdir_ensure_directory(mill_workdir *dir, const char *path, mill_error *err) MILL_MUST_CHECK; // under the lock
// Gives up one use of a file in memory; under the lock.
void mill_held_drop(mill_held *held);

// Under the lock: the pending file of this name in memory, NULL if there is none.
mill_held *mill_workdir_find_held(const mill_workdir *dir, const char *path);

// ---- workdir_flush.c
void mill_workdir_remove_spent(mill_workdir *dir); // one file, with the lock held, but not while it is removed
void mill_workdir_start_thread(mill_workdir *dir); // without one, units are made durable by those who hand them over
void mill_workdir_stop_thread(mill_workdir *dir);
// Called with the lock held, when a unit was added: sees to it that what is due is made durable, and waits where too much is held.
mill_status mill_workdir_pending_added(mill_workdir *dir, mill_error *err) MILL_MUST_CHECK;
// Makes what is pending and a product durable, without a journal; the rest is dropped. For sealing.
mill_status mill_workdir_publish(mill_workdir *dir, mill_error *err) MILL_MUST_CHECK;
void mill_pending_release(mill_workdir *dir, mill_pending *pending); // under the lock
// One whole file by tmp, fsync, rename, directory fsync. sha256_hex may be NULL.
mill_status mill_workdir_write_file(mill_workdir *dir, const char *path, const void *data, size_t bytes, char *sha256_hex,
                                    mill_error *err) MILL_MUST_CHECK;

#endif
