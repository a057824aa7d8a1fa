// hash.h: 128-bit keys over XXH3, and SHA-256 for files.
#ifndef MILL_CORE_HASH_H
#define MILL_CORE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/status.h"

typedef struct mill_key {
    uint64_t low, high;
} mill_key;

static inline bool mill_key_equal(mill_key a, mill_key b)
{
    return a.low == b.low && a.high == b.high;
}

static inline int mill_key_compare(mill_key a, mill_key b)
{
    if (a.high != b.high)
        return a.high < b.high ? -1 : 1;
    return a.low < b.low ? -1 : a.low > b.low;
}

static inline mill_key mill_hash128(const void *data, size_t bytes)
{
    XXH128_hash_t h = XXH3_128bits(data, bytes);
    return (mill_key){h.low64, h.high64};
}

// XXH3-128 for damage, not for attackers: one shot, or streaming. 32 hex digits and a NUL, as xxhsum prints them.
void mill_xxh3_hex(const void *data, size_t bytes, char out[33]);
void *mill_xxh3_create(void); // NULL without memory
void mill_xxh3_update(void *xxh3, const void *data, size_t bytes);
void mill_xxh3_finish(void *xxh3, char out[33]); // destroys it
void mill_xxh3_destroy(void *xxh3);              // without a result; NULL is fine
// XXH64 of seed 0, streaming: the checksum of zstd's frames. As above.
void *mill_xxh64_create(void);
void mill_xxh64_update(void *xxh64, const void *data, size_t bytes);
uint64_t mill_xxh64_finish(void *xxh64);
void mill_xxh64_destroy(void *xxh64);

// SHA-1, streaming: for formats that want it. mill_sha256_update and mill_sha256_destroy take its handle as well.
void *mill_sha1_create(void);
void mill_sha1_finish(void *sha1, uint8_t digest[20]); // destroys it
// SHA-256, streaming (libcrypto). create returns NULL without memory.
void *mill_sha256_create(void);
// One that makes the SHA-1 of the same bytes as well, in step where the processor can. take_sha1 gives it, once, before finish.
void *mill_sha256_create_with_sha1(void);
void mill_sha256_take_sha1(void *sha256, uint8_t digest[20]);
// One that update_both computes in step with another such, where the processor can; else, as any other.
void *mill_sha256_create_lane(void);
// The same bytes to two digests.
void mill_sha256_update_both(void *first, void *second, const void *data, size_t bytes);
void mill_sha256_update(void *sha256, const void *data, size_t bytes);
void mill_sha256_finish(void *sha256, uint8_t digest[32]); // destroys it
void mill_sha256_destroy(void *sha256);                    // without a result; NULL is fine
void mill_hex(const uint8_t *data, size_t bytes, char *out); // 2 * bytes digits and a NUL

#endif
