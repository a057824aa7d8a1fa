// hash.c: SHA-256 and SHA-1 by libcrypto, and hexadecimal digits.
#include "core/hash.h"

#include "core/alloc.h"

#include <openssl/evp.h>

// A box of our own around the library's context, so that tests can make its creation fail like any other allocation.
typedef struct sha256 {
    EVP_MD_CTX *context;
} sha256;

static void *create(const EVP_MD *kind)
{
    sha256 *self = mill_alloc(sizeof *self);
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

void *mill_sha1_create(void)
{
    return create(EVP_sha1());
}

void mill_sha256_update(void *self, const void *data, size_t bytes)
{
    if (bytes != 0)
        MILL_ASSERT(EVP_DigestUpdate(((sha256 *)self)->context, data, bytes) == 1);
}

void mill_sha256_finish(void *self, uint8_t digest[32])
{
    unsigned length = 0;
    MILL_ASSERT(EVP_DigestFinal_ex(((sha256 *)self)->context, digest, &length) == 1 && length == 32);
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
