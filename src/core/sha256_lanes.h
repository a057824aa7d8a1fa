// sha256_lanes.h: SHA-256 of two streams in step, by the SHA extensions of x86 (FIPS 180-4, section 6.2). Each round of one
// stream waits for the round before, so that a second stream costs little beside it: a third more of both together than
// libcrypto, which takes one at a time and is the oracle of the test. core/hash.h is what others call.
#ifndef MILL_CORE_SHA256_LANES_H
#define MILL_CORE_SHA256_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mill_sha256_lane {
    uint32_t abef[4], cdgh[4]; // the eight words of the state, as the instructions take them
    uint8_t block[64];         // its first `bytes % 64` are to come
    uint64_t bytes;            // all so far
} mill_sha256_lane;

// Whether this processor has the extensions; without them nothing else here may be called. Asks it each time: keep the result.
bool mill_sha_extensions(void);

void mill_sha256_lane_begin(mill_sha256_lane *lane);
// The same bytes to two digests that began at different places; or to one, if b is NULL.
void mill_sha256_lanes_update(mill_sha256_lane *a, mill_sha256_lane *b, const uint8_t *data, size_t bytes);
void mill_sha256_lane_finish(mill_sha256_lane *lane, uint8_t digest[32]);

// SHA-256 and SHA-1 of the same bytes, in step for the same reason.
typedef struct mill_sha_pair {
    mill_sha256_lane lane;
    uint32_t sha1[5];
} mill_sha_pair;

void mill_sha_pair_begin(mill_sha_pair *pair);
void mill_sha_pair_update(mill_sha_pair *pair, const uint8_t *data, size_t bytes);
void mill_sha_pair_finish(mill_sha_pair *pair, uint8_t sha256[32], uint8_t sha1[20]);

#endif
