// remote.h: what servers say of the files they have, and the parsers of their answers.
#ifndef MILL_FETCH_REMOTE_H
#define MILL_FETCH_REMOTE_H

#include "fetch/sums.h"

typedef struct mill_remote {
    char *name;     // path in the repository, key in the bucket
    char *etag;     // as the server writes it, with quotes; "" if not told
    uint64_t bytes; // UINT64_MAX: not told
    mill_sum sum;
    bool directory;
} mill_remote;

typedef struct mill_remotes { // zero-initialised is empty
    mill_remote *items;
    size_t count, capacity;
} mill_remotes;

void mill_remotes_free(mill_remotes *list);
// Copies name and etag (which may be NULL).
mill_status mill_remotes_add(mill_remotes *list, const char *name, const char *etag, uint64_t bytes,
                             const mill_sum *sum, mill_error *err) MILL_MUST_CHECK;
// Drops what does not match keep(context, name); order stays.
void mill_remotes_filter(mill_remotes *list, bool (*keep)(void *context, const mill_remote *remote),
                         void *context);

// One page of the hub's tree: a JSON array. MILL_INPUT, naming `shown`, if it is none; entries that are
// neither files nor directories are left out.
mill_status mill_hub_tree_parse(const void *text, size_t bytes, const char *shown, mill_remotes *list,
                                mill_error *err) MILL_MUST_CHECK;

// The answers of S3 that are XML; one struct takes what any of them holds.
typedef struct mill_s3_part {
    uint64_t number, bytes;
    char etag[80], sha256[64]; // "" if not told; base 64
} mill_s3_part;
typedef struct mill_s3_answer {
    mill_remotes *objects; // of ListObjectsV2: keys are appended; NULL: not wanted
    mill_s3_part *parts;   // of ListParts
    size_t part_count, part_capacity;
    char *next; // continuation token or part marker, "" or NULL if there is none
    bool truncated;
    const char *upload_key; // of ListMultipartUploads: which key's upload is wanted; may be NULL
    char *upload_id;        // the last one of that key; also of CreateMultipartUpload
    char *code, *message;   // of an error, also of one behind status 200
} mill_s3_answer;
void mill_s3_answer_free(mill_s3_answer *answer); // not objects
// MILL_INPUT, naming `shown`, if text is no XML, or deeper or larger than such answers are.
mill_status mill_s3_answer_parse(const void *text, size_t bytes, const char *shown, mill_s3_answer *out,
                                 mill_error *err) MILL_MUST_CHECK;

#endif
