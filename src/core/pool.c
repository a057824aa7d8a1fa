// pool.c: blocks cut from chunks, with a list of released blocks for each class of sizes.
#include "core/pool.h"

#include <string.h>

#define CHUNK_BYTES ((size_t)256 << 10)
#define SMALL_MAX 1024u // bytes up to which classes are 16 bytes apart
#define SMALL_CLASSES (SMALL_MAX / 16)

typedef struct mill_pool_chunk {
    _Alignas(16) struct mill_pool_chunk *next;
    size_t bytes;
} chunk;

typedef struct header { // before each block
    _Alignas(16) uint64_t class;
} header;

static inline uint32_t class_of(size_t bytes)
{
    if (bytes <= SMALL_MAX)
        return bytes == 0 ? 0 : (uint32_t)((bytes - 1) / 16);
    return SMALL_CLASSES + (64 - 10 - 1) - (uint32_t)__builtin_clzll(bytes - 1); // 1025..2048: the first
}

static inline size_t class_bytes(uint32_t class)
{
    return class < SMALL_CLASSES ? (class + 1) * (size_t)16 : (size_t)2048 << (class - SMALL_CLASSES);
}

// A new chunk with room for `bytes`.
static bool add_chunk(mill_pool *pool, size_t bytes)
{
    size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    chunk *fresh = mill_alloc(sizeof *fresh + room);
    if (fresh == NULL)
        return false;
    fresh->next = pool->chunks;
    fresh->bytes = room;
    pool->chunks = fresh;
    pool->at = (uint8_t *)(fresh + 1);
    pool->left = room;
    return true;
}

void *mill_pool_alloc(mill_pool *pool, size_t bytes)
{
    if (bytes > SIZE_MAX / 4)
        return NULL;
    uint32_t class = class_of(bytes);
    void *block = pool->released[class];
    if (block != NULL) {
        memcpy(&pool->released[class], block, sizeof(void *)); // a released block begins with the next one
        return block;
    }
    size_t whole = sizeof(header) + class_bytes(class);
    if (whole > pool->left && !add_chunk(pool, whole))
        return NULL;
    header *head = (header *)(void *)pool->at;
    head->class = class;
    pool->at += whole;
    pool->left -= whole;
    return head + 1;
}

void *mill_pool_realloc(mill_pool *pool, void *block, size_t bytes)
{
    const header *head = (const header *)block - 1;
    size_t now = class_bytes((uint32_t)head->class);
    if (bytes <= now)
        return block;
    void *grown = mill_pool_alloc(pool, bytes);
    if (grown == NULL)
        return NULL;
    memcpy(grown, block, now);
    mill_pool_release(pool, block);
    return grown;
}

void mill_pool_release(mill_pool *pool, void *block)
{
    uint32_t class = (uint32_t)((const header *)block - 1)->class;
    memcpy(block, &pool->released[class], sizeof(void *));
    pool->released[class] = block;
}

void mill_pool_reset(mill_pool *pool)
{
    chunk *kept = NULL;
    for (chunk *c = pool->chunks, *next; c != NULL; c = next) {
        next = c->next;
        if (c->bytes == CHUNK_BYTES && kept == NULL)
            kept = c;
        else
            mill_free(c);
    }
    *pool = (mill_pool){0};
    if (kept == NULL)
        return;
    kept->next = NULL;
    pool->chunks = kept;
    pool->at = (uint8_t *)(kept + 1);
    pool->left = kept->bytes;
}

void mill_pool_free(mill_pool *pool)
{
    for (chunk *c = pool->chunks, *next; c != NULL; c = next) {
        next = c->next;
        mill_free(c);
    }
    *pool = (mill_pool){0};
}
