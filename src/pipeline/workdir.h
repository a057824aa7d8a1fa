// workdir.h: an output directory: its lock, its plan, and the commit protocol that makes files appear complete or not at all.
//
// A unit is (stage, number). Its files are written to .shardmill/tmp, synced, renamed, their directories synced; then one
// journal record makes the unit durable. Units are made durable in groups, in the order in which they were handed over, at most
// 2 s apart, by a thread of the directory's own: no worker waits for a disk. Until then the run reads them from memory, so a short
// run never writes its state at all: when the run is sealed, what is not durable by then and no product is dropped.
//
// A unit may spend a file of another: nothing reads that any more once the unit stands. When the unit is durable, the thread
// removes the file while the run goes on, as letting go of large files takes a disk its time. A later attempt does not miss it, as
// long as all other stages' units are there; else its unit is undone, as for any file that is gone.
#ifndef MILL_PIPELINE_WORKDIR_H
#define MILL_PIPELINE_WORKDIR_H

#include <cjson/cJSON.h>

#include "core/fs.h"

typedef struct mill_workdir mill_workdir;
typedef struct mill_held mill_held; // the content of a file that is not on the disk yet

typedef struct mill_workdir_options {
    const char *path;
    bool overwrite, fast, recheck;
    bool keep_work;      // state files stay, those that are spent and at the end
    bool each;           // every unit is made durable before the next one is accepted
    uint64_t held_bytes; // of files in memory, from which on the disk is waited for
    uint32_t threads;    // that may remove state files at the end
    void (*log)(void *context, mill_log_level level, const char *message);
    void *context;
} mill_workdir_options;

// Makes or opens the directory, takes the lock (MILL_LOCKED when another run holds it), empties tmp and reads the journal.
mill_status mill_workdir_open(const mill_fs *fs, const mill_workdir_options *options, mill_workdir **out, mill_error *err)
    MILL_MUST_CHECK;
void mill_workdir_close(mill_workdir *dir); // gives the lock back; NULL is fine

// Compares `plan` with the plan stored in the directory: equal, or none yet (it is stored), or MILL_PLAN naming the first
// difference. A directory with foreign files and no plan is MILL_PLAN as well.
mill_status mill_workdir_check_plan(mill_workdir *dir, const cJSON *plan, mill_error *err) MILL_MUST_CHECK;
// The stored state value of a number under `name` in the plan's "state" object, or `value`, stored now, when there is none yet.
// For choices that a resume must keep although they do not change the output (batch size).
mill_status mill_workdir_keep_state(mill_workdir *dir, const char *name, uint64_t *value, mill_error *err) MILL_MUST_CHECK;
// *complete: a manifest is there.
mill_status mill_workdir_is_complete(const mill_workdir *dir, bool *complete, mill_error *err) MILL_MUST_CHECK;

int mill_workdir_handle(const mill_workdir *dir);           // directory handle of the output
const mill_fs *mill_workdir_fs(const mill_workdir *dir);
const char *mill_workdir_path(const mill_workdir *dir);

// One file of a unit that is being made.
typedef struct mill_unit_file {
    char path[160];      // final place below the output directory
    char tmp[64];        // name below the output directory until then
    uint64_t bytes;
    char digest[65];     // SHA-256 of what was written as a stream and of products, else XXH3-128; hex
    mill_outfile out;    // a stream: open until it is synced
    mill_held *held;     // a whole file: in memory until it is written
} mill_unit_file;

#define MILL_UNIT_FILES_MAX 16
#define MILL_UNIT_SPENDS_MAX 2
typedef struct mill_unit {
    char stage[24];
    uint64_t number;
    mill_unit_file files[MILL_UNIT_FILES_MAX];
    uint32_t file_count;
    char spends[MILL_UNIT_SPENDS_MAX][64]; // paths of state files
    uint32_t spend_count;
    cJSON *payload;      // facts that later stages need; owned; NULL: none
} mill_unit;

void mill_unit_init(mill_unit *unit, const char *stage, uint64_t number);
// Adds a stream: a file that is open for writing (mill_outfile_write on the returned file's out). Nobody reads it before a flush.
mill_status mill_unit_create(mill_workdir *dir, mill_unit *unit, const char *path, mill_unit_file **file, mill_error *err)
    MILL_MUST_CHECK;
// Adds a whole file, whose content it takes over: the buffer is empty afterwards, whatever the result.
mill_status mill_unit_add(mill_workdir *dir, mill_unit *unit, const char *path, mill_buf *content, mill_error *err) MILL_MUST_CHECK;
// Hands the unit over: from now on it is done for this run; it is durable at the latest after the next mill_workdir_flush.
// Thread-safe. The unit is released in every case. Fails, too, where an earlier unit could not be made durable.
mill_status mill_unit_commit(mill_workdir *dir, mill_unit *unit, mill_error *err) MILL_MUST_CHECK;
// The unit, once handed over, is the last that needed this state file. A function of the unit alone, as it is in its record.
void mill_unit_spend(mill_unit *unit, const char *path);
void mill_unit_abort(mill_workdir *dir, mill_unit *unit);
mill_status mill_workdir_flush(mill_workdir *dir, mill_error *err) MILL_MUST_CHECK; // all that was handed over is durable

// Done units. The record is {"stage", "unit", "files": [{"path", "bytes", "sha256" or "xxh3"}], "spends": [paths], "payload"}, the
// last two where there are any; NULL if the unit is not done.
const cJSON *mill_workdir_done(mill_workdir *dir, const char *stage, uint64_t number);
// All product files (outside .shardmill) of done units, sorted by path: for the manifest. Borrowed strings.
typedef struct mill_product {
    const char *path, *sha256;
    uint64_t bytes;
} mill_product;
mill_status mill_workdir_products(mill_workdir *dir, mill_product **products, size_t *count, mill_error *err) MILL_MUST_CHECK;

// A whole file of a done unit, in memory or mapped. The view must be given back before the directory is closed; one that is zero
// may be, too. Thread-safe.
typedef struct mill_view {
    const uint8_t *data;
    uint64_t bytes;
    mill_held *held;  // the file in memory that the view keeps there
    const void *map;  // the mapping, to be unmapped
} mill_view;
mill_status mill_workdir_view(mill_workdir *dir, const char *path, mill_view *view, mill_error *err) MILL_MUST_CHECK;
void mill_workdir_unview(mill_workdir *dir, mill_view *view); // leaves it zero
void mill_workdir_forget(mill_workdir *dir, const mill_view *view); // what was read leaves memory; it comes back when it is touched

// The end: SHA256SUMS and manifest.json, in this order, each durable before the next; then state files go (unless keep_work).
mill_status mill_workdir_seal(mill_workdir *dir, const mill_buf *sums, const mill_buf *manifest, mill_error *err) MILL_MUST_CHECK;
// The last steps of sealing, for a run that may have been killed between its manifest and them.
mill_status mill_workdir_settle(mill_workdir *dir, mill_error *err) MILL_MUST_CHECK;
// Writes a state file (.shardmill/NAME), not part of the product.
mill_status mill_workdir_write_state(mill_workdir *dir, const char *name, const void *data, size_t bytes, mill_error *err)
    MILL_MUST_CHECK;

#endif
