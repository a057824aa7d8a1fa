// collect.h: what the parts of `shardmill collect` share.
#ifndef MILL_FETCH_COLLECT_H
#define MILL_FETCH_COLLECT_H

#include <pthread.h>
#include <stdatomic.h>

#include "fetch/collect_state.h"
#include "fetch/hub.h"
#include "fetch/s3.h"

typedef struct mill_item { // one file to collect; owned strings unless said
    mill_address_kind kind;
    char *path;         // below the directory
    char *url;          // for messages and the record: no secrets in it
    char *revision;     // "" if there is none
    char *etag;         // as listed, "" if not told
    uint64_t bytes;     // UINT64_MAX: not told
    mill_sum sum;       // as listed, or given by the user
    char *request;      // web, hub: address
    char *secret;       // web, hub: a header line for that address's origin; NULL: none
    char *bucket, *key; // S3; of the hub: the data set's name, NULL
    char region[MILL_S3_REGION_BYTES];
} mill_item;

// Counts what is done and tells it now and then; any thread.
typedef struct mill_meter {
    const char *stage;
    uint64_t bytes_total; // of files whose size is known
    _Atomic uint64_t bytes_done, bytes_moved, files_done;
    int64_t started_ns;
    _Atomic int64_t told_ns;
    pthread_mutex_t mutex;
    void (*progress)(void *context, const mill_progress *progress); // may be NULL
    void *context;
} mill_meter;
void mill_meter_start(mill_meter *meter, const char *stage, void (*progress)(void *, const mill_progress *),
                      void *context);
void mill_meter_add(mill_meter *meter, uint64_t bytes, bool moved); // moved: over the net
void mill_meter_undo(mill_meter *meter, uint64_t bytes);            // what has to be done again
void mill_meter_stop(mill_meter *meter);

typedef struct mill_collector {
    const mill_collect_options *options;
    mill_log log;
    mill_http_options http_options;
    mill_collect_state state;
    mill_hub hub;
    mill_s3 s3;
    bool hub_open, s3_open;
    mill_item *items; // sorted by path
    size_t item_count, item_capacity;
    mill_http **https; // by worker
    uint32_t workers;
    mill_meter meter;
    atomic_bool broken; // a file has failed: the others stop
    _Atomic uint64_t fetched, fetched_bytes, bytes;
} mill_collector;

void mill_item_free(mill_item *item);
const char *
mill_collect_version(const mill_http_answer *answer); // ETag, or Last-Modified; "" if neither is told
// All files that the addresses mean, sorted by path; pins the hub's revisions.
mill_status mill_collect_resolve(mill_collector *c, mill_http *http, mill_error *err) MILL_MUST_CHECK;
// Fetches one file, going on with what is there of it, and gives it its name.
mill_status mill_download(mill_collector *c, mill_http *http, const mill_item *item,
                          mill_error *err) MILL_MUST_CHECK;
// The SHA-256 and size of a file below the directory, and another sum, if kind asks for one.
mill_status mill_collect_sum_file(const mill_collector *c, const char *path, mill_sum_kind kind,
                                  char sha256[65], mill_sum *other, uint64_t *bytes,
                                  mill_error *err) MILL_MUST_CHECK;

#endif
