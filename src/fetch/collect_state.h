// collect_state.h: what a directory knows of its collected files: collect.json when a collection is complete,
// a journal in .shardmill until then. A file is entered before it gets its final name, so a file without an
// entry is not ours.
#ifndef MILL_FETCH_COLLECT_STATE_H
#define MILL_FETCH_COLLECT_STATE_H

#include <pthread.h>

#include "core/fs.h"

#define MILL_COLLECT_FORMAT 1

typedef struct mill_collected { // owned strings
    char *path;                 // below the directory
    char *url;                  // without secrets; of the hub: with the commit
    char *revision;             // "" where there is none
    char *etag;                 // "" if not told
    char sha256[65];
    uint64_t bytes;
    size_t arrival; // of two entries of one path the later one counts
} mill_collected;

typedef struct mill_collect_pin { // which commit a named revision stood for when the collection began; owned
                                  // strings
    char *url;                    // "hf://datasets/OWNER/NAME@REVISION"
    char *revision;
} mill_collect_pin;

typedef struct mill_collect_state {
    const mill_fs *fs;
    const char *path; // borrowed, for messages
    bool fast;        // no fsync
    int dir, lock_file, journal;
    bool complete;         // collect.json was there, and no journal
    mill_collected *files; // sorted by path, no path twice: what was known at the start
    size_t file_count, file_capacity;
    mill_collected *added; // in this call
    size_t added_count, added_capacity;
    mill_collect_pin *pins; // sorted by url
    size_t pin_count, pin_capacity;
    bool pins_changed;
    pthread_mutex_t mutex; // guards journal and added
} mill_collect_state;

// Makes the directory, or opens one of ours; locks it. MILL_PLAN: holds files that are not collect's;
// MILL_LOCKED.
mill_status mill_collect_state_open(const mill_fs *fs, const char *path, bool fast, mill_collect_state *out,
                                    mill_error *err) MILL_MUST_CHECK;
// Only reads what is known, for a dry run; a directory that is not there knows nothing.
mill_status mill_collect_state_look(const mill_fs *fs, const char *path, mill_collect_state *out,
                                    mill_error *err) MILL_MUST_CHECK;
void mill_collect_state_close(mill_collect_state *state);
const mill_collected *mill_collect_state_find(const mill_collect_state *state,
                                              const char *path); // at the start; NULL: unknown
const char *mill_collect_state_pin(const mill_collect_state *state, const char *url); // NULL: none
// Replaces a pin; the journal has it when this returns (open state only).
mill_status mill_collect_state_set_pin(mill_collect_state *state, const char *url, const char *revision,
                                       mill_error *err) MILL_MUST_CHECK;
// Enters a finished file, durably. Any thread.
mill_status mill_collect_state_add(mill_collect_state *state, const mill_collected *file,
                                   mill_error *err) MILL_MUST_CHECK;
// Writes collect.json, if anything changed, and removes journal and parts.
mill_status mill_collect_state_finish(mill_collect_state *state, mill_error *err) MILL_MUST_CHECK;
// Makes the directories above a path below the state's directory; refuses to go through links.
mill_status mill_collect_make_parents(const mill_collect_state *state, const char *path,
                                      mill_error *err) MILL_MUST_CHECK;
// fsync of the directory that holds path.
mill_status mill_collect_sync_parent(const mill_collect_state *state, const char *path,
                                     mill_error *err) MILL_MUST_CHECK;

#define MILL_COLLECT_PARTS ".shardmill/parts"

#endif
