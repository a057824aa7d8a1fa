// sums.h: the checksums that servers tell of their files, and the keyed one of signatures.
#ifndef MILL_FETCH_SUMS_H
#define MILL_FETCH_SUMS_H

#include "core/alloc.h"

typedef enum mill_sum_kind {
    MILL_SUM_NONE,
    MILL_SUM_SHA256, // 64 hexadecimal digits
    MILL_SUM_GIT,    // 40: SHA-1 of "blob SIZE", a NUL and the content, as git names it
    MILL_SUM_MD5,    // 32
} mill_sum_kind;

typedef struct mill_sum { // what a server says of a file
    mill_sum_kind kind;
    char hex[65];
} mill_sum;

// The SHA-256 of a stream, and beside it the other sum that is to be compared. bytes: of the whole stream
// (git asks).
typedef struct mill_sums mill_sums;
mill_status mill_sums_create(mill_sum_kind kind, uint64_t bytes, mill_sums **out,
                             mill_error *err) MILL_MUST_CHECK;
void mill_sums_update(mill_sums *sums, const void *data, size_t bytes);
// Both sums as hexadecimal digits; other.kind is MILL_SUM_NONE where this machine's libcrypto refuses to
// compute it (FIPS).
void mill_sums_finish(mill_sums *sums, char sha256[65], mill_sum *other); // destroys it
void mill_sums_destroy(mill_sums *sums);                                  // NULL is fine

void mill_sha256_of(const void *data, size_t bytes, uint8_t digest[32]);
bool mill_md5_of(const void *data, size_t bytes, uint8_t digest[16]); // false: not available here
void mill_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes, uint8_t digest[32]);
// Base 64 with padding and a NUL; out has room for 4 * ((bytes + 2) / 3) + 1.
void mill_base64(const void *data, size_t bytes, char *out);

#endif
