// removal.h: lists of what must not come into a corpus (opt-out): repositories, paths, contents by hash.
#ifndef MILL_SOURCE_REMOVAL_H
#define MILL_SOURCE_REMOVAL_H

#include "core/alloc.h"

typedef enum mill_removal_kind {
    MILL_REMOVE_REPO, // the repository's name, in any case
    MILL_REMOVE_PATH, // the path as the record has it, or repository/path
    MILL_REMOVE_HASH, // 40 hexadecimal digits: SHA-1 of the content, or git's of the blob; 64: SHA-256
    MILL_REMOVE_KINDS
} mill_removal_kind;

typedef struct mill_removal mill_removal; // immutable after mill_removal_finish: any thread may ask

mill_status mill_removal_create(mill_removal **out, mill_error *err) MILL_MUST_CHECK;
// MILL_RECIPE if a hash is none.
mill_status mill_removal_add(mill_removal *removal, mill_removal_kind kind, const char *text, size_t bytes,
                             mill_error *err) MILL_MUST_CHECK;
// One entry a line; blank lines and those that begin with '#' are none.
mill_status mill_removal_add_lines(mill_removal *removal, mill_removal_kind kind, const char *text,
                                   size_t bytes, mill_error *err) MILL_MUST_CHECK;
void mill_removal_finish(mill_removal *removal); // before the first question
uint64_t mill_removal_count(const mill_removal *removal);
// Tells lists with the same entries from all others; entries in any order.
void mill_removal_digest(const mill_removal *removal, char hex[65]);
// scratch is the caller's.
mill_status mill_removal_hit(const mill_removal *removal, const char *repo, size_t repo_bytes,
                             const char *path, size_t path_bytes, const uint8_t *text, size_t text_bytes,
                             mill_buf *scratch, bool *hit, mill_error *err) MILL_MUST_CHECK;
void mill_removal_destroy(mill_removal *removal); // NULL is fine

#endif
