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
} mill_entry;

#define MILL_DIRECTORIES_MAX 32

struct mill_workdir {
    const mill_fs *fs;
    mill_workdir_options options;
    int handle, lock_file, journal_file;
    unsigned journal_number;
    pthread_mutex_t lock;      // guards everything below
    mill_entry *entries;
    size_t entry_count, entry_capacity;
    uint32_t *slots;           // hash table: index of an entry + 1
    size_t slot_count;
    mill_unit *pending;        // closed, not renamed yet
    size_t pending_count, pending_capacity;
    uint64_t pending_bytes;
    bool broken;               // a flush failed: what it left half done is for the next run to judge
    int64_t flushed_at;        // monotonic milliseconds of the last flush
    uint64_t tmp_number;
    char *directories[MILL_DIRECTORIES_MAX]; // known to exist
    size_t known_directories;
};

void mill_workdir_log(mill_workdir *dir, mill_log_level level, const char *message);
mill_status mill_workdir_add_entry(mill_workdir *dir, cJSON *record, mill_error *err) MILL_MUST_CHECK;
mill_status mill_workdir_sync_directory(mill_workdir *dir, int base, const char *path, mill_error *err) MILL_MUST_CHECK;
mill_status mill_workdir_make_directories(mill_workdir *dir, int base, const char *path, mill_error *err) MILL_MUST_CHECK;
// SHA-256 of a file below the output directory.
mill_status mill_workdir_digest(mill_workdir *dir, const char *path, char sha256_hex[65], mill_error *err) MILL_MUST_CHECK;
// One whole file by tmp, fsync, rename, directory fsync. sha256_hex may be NULL.
mill_status mill_workdir_write_file(mill_workdir *dir, const char *path, const void *data, size_t bytes, char *sha256_hex,
                                    mill_error *err) MILL_MUST_CHECK;

#endif
