// hash.c: SHA-256 and SHA-1 by libcrypto, or in lanes; and hexadecimal digits.
#include "core/hash.h"

#include "core/alloc.h"
#include "core/sha256_lanes.h"

#include <openssl/evp.h>

// A box of our own around the library's context, so that tests can make its creation fail like any other allocation.
typedef struct sha256 {
    EVP_MD_CTX *context; // NULL: it is a lane, or a pair
    void *sha1;          // beside the context: another handle; NULL: none
    bool is_pair;
    mill_sha_pair pair;  // its lane, where there is no pair
} sha256;

static void *create(const EVP_MD *kind)
{
    sha256 *self = mill_alloc_zero(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->context = EVP_MD_CTX_new();
    if (self->context == NULL || EVP_DigestInit_ex(self->context, kind, NULL) != 1) {
        mill_sha256_destroy(self);
        return NULL;
    }
    return self;
}

void *mill_sha256_create(void)
{
    return create(EVP_sha256());
}

void *mill_sha256_create_lane(void)
{
    if (!mill_sha_extensions())
        return mill_sha256_create();
    sha256 *self = mill_alloc_zero(1, sizeof *self);
    if (self != NULL)
        mill_sha256_lane_begin(&self->pair.lane);
    return self;
}

void *mill_sha256_create_with_sha1(void)
{
    if (!mill_sha_extensions()) {
        sha256 *two = mill_sha256_create();
        if (two != NULL && (two->sha1 = mill_sha1_create()) == NULL) {
            mill_sha256_destroy(two);
            two = NULL;
        }
        return two;
    }
    sha256 *self = mill_alloc_zero(1, sizeof *self);
    if (self != NULL) {
        self->is_pair = true;
        mill_sha_pair_begin(&self->pair);
    }
    return self;
}

void *mill_sha1_create(void)
{
    return create(EVP_sha1());
}

void mill_sha256_update(void *handle, const void *data, size_t bytes)
{
    sha256 *self = handle;
    if (self->sha1 != NULL)
        mill_sha256_update(self->sha1, data, bytes);
    if (self->is_pair)
        mill_sha_pair_update(&self->pair, data, bytes);
    else if (self->context == NULL)
        mill_sha256_lanes_update(&self->pair.lane, NULL, data, bytes);
    else if (bytes != 0)
        MILL_ASSERT(EVP_DigestUpdate(self->context, data, bytes) == 1);
}

void mill_sha256_update_both(void *first, void *second, const void *data, size_t bytes)
{
    sha256 *a = first, *b = second;
    if (a->context == NULL && b->context == NULL && !a->is_pair && !b->is_pair) {
        mill_sha256_lanes_update(&a->pair.lane, &b->pair.lane, data, bytes);
    } else {
        mill_sha256_update(a, data, bytes);
        mill_sha256_update(b, data, bytes);
    }
}

void mill_sha256_take_sha1(void *handle, uint8_t digest[20])
{
    sha256 *self = handle;
    if (self->is_pair) {
        mill_sha_pair so_far = self->pair;
        uint8_t other[32];
        mill_sha_pair_finish(&so_far, other, digest);
        return;
    }
    mill_sha1_finish(self->sha1, digest);
    self->sha1 = NULL;
}

void mill_sha256_finish(void *handle, uint8_t digest[32])
{
    sha256 *self = handle;
    unsigned length = 0;
    if (self->context == NULL)
        mill_sha256_lane_finish(&self->pair.lane, digest);
    else
        MILL_ASSERT(EVP_DigestFinal_ex(self->context, digest, &length) == 1 && length == 32);
    mill_sha256_destroy(self);
}

void mill_sha1_finish(void *self, uint8_t digest[20])
{
    unsigned length = 0;
    MILL_ASSERT(EVP_DigestFinal_ex(((sha256 *)self)->context, digest, &length) == 1 && length == 20);
    mill_sha256_destroy(self);
}

void mill_sha256_destroy(void *self)
{
    if (self == NULL)
        return;
    mill_sha256_destroy(((sha256 *)self)->sha1);
    EVP_MD_CTX_free(((sha256 *)self)->context);
    mill_free(self);
}

void mill_hex(const uint8_t *data, size_t bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * bytes] = '\0';
}

// ---- XXH3 ----

static void digits_of(XXH128_hash_t hash, char out[33])
{
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, hash);
    mill_hex(bytes.digest, sizeof bytes.digest, out);
}

void mill_xxh3_hex(const void *data, size_t bytes, char out[33])
{
    digits_of(XXH3_128bits(data, bytes), out);
}

// The state wants an alignment that malloc does not give.
static XXH3_state_t *state_in(void *xxh3)
{
    return (XXH3_state_t *)(((uintptr_t)xxh3 + 63) & ~(uintptr_t)63);
}

void *mill_xxh3_create(void)
{
    void *xxh3 = mill_alloc(sizeof(XXH3_state_t) + 64);
    if (xxh3 != NULL)
        XXH3_128bits_reset(state_in(xxh3));
    return xxh3;
}

void mill_xxh3_update(void *xxh3, const void *data, size_t bytes)
{
    XXH3_128bits_update(state_in(xxh3), data, bytes);
}

void mill_xxh3_finish(void *xxh3, char out[33])
{
    digits_of(XXH3_128bits_digest(state_in(xxh3)), out);
    mill_free(xxh3);
}

void mill_xxh3_destroy(void *xxh3)
{
    mill_free(xxh3);
}

void *mill_xxh64_create(void)
{
    void *xxh64 = mill_alloc(sizeof(XXH64_state_t));
    if (xxh64 != NULL)
        XXH64_reset(xxh64, 0);
    return xxh64;
}

void mill_xxh64_update(void *xxh64, const void *data, size_t bytes)
{
    XXH64_update(xxh64, data, bytes);
}

uint64_t mill_xxh64_finish(void *xxh64)
{
    const uint64_t hash = XXH64_digest(xxh64);
    mill_free(xxh64);
    return hash;
}

void mill_xxh64_destroy(void *xxh64)
{
    mill_free(xxh64);
}
