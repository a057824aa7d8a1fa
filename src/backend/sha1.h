// sha1.h: SHA-1 of one short message, the token hash of MinHash. Not for security. Own code because general
// libraries spend longer on set-up than on the single block of a token; libcrypto is the oracle of the
// test.
#ifndef MILL_BACKEND_SHA1_H
#define MILL_BACKEND_SHA1_H

#include <stddef.h>
#include <stdint.h>

// Writes the five words of the digest (FIPS 180-4: each is four digest bytes in big-endian order). Any
// length.
typedef void (*mill_sha1_fn)(const uint8_t *data, size_t bytes, uint32_t digest[5]);

void mill_sha1_portable(const uint8_t *data, size_t bytes, uint32_t digest[5]);
// The SHA extensions of x86; only callable when mill_sha1_select returns it.
void mill_sha1_ni(const uint8_t *data, size_t bytes, uint32_t digest[5]);
// The fastest of them on this processor. Asks the processor each time: keep the result.
mill_sha1_fn mill_sha1_select(void);

// First four digest bytes as a little-endian number, what datasketch takes of a digest.
static inline uint32_t mill_sha1_first(const uint32_t digest[5])
{
    return __builtin_bswap32(digest[0]);
}

#endif
