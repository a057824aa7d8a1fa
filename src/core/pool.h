// pool.h: memory of one task, given back at once. Blocks can be released and are used again; a reset forgets them all. For work
// that makes very many small blocks, such as a parse: no search, no lock, nothing to walk at the end. One thread at a time.
#ifndef MILL_CORE_POOL_H
#define MILL_CORE_POOL_H

#include "core/alloc.h"

#define MILL_POOL_CLASSES 112 // 64 of steps of 16 bytes, the others of powers of two

typedef struct mill_pool { // zero-initialised is empty
    struct mill_pool_chunk *chunks; // the newest first
    uint8_t *at;                    // free bytes of the newest
    size_t left;
    void *released[MILL_POOL_CLASSES]; // lists of blocks
} mill_pool;

// Aligned to 16 bytes; NULL without memory, with the pool as it was. Any number of bytes, 0 too.
void *mill_pool_alloc(mill_pool *pool, size_t bytes);
// As realloc, for a block of this pool; the old block stays where NULL is returned.
void *mill_pool_realloc(mill_pool *pool, void *block, size_t bytes);
void mill_pool_release(mill_pool *pool, void *block);
void mill_pool_reset(mill_pool *pool); // keeps one chunk for the next task
void mill_pool_free(mill_pool *pool);

#endif
