// sums.c: checksums by libcrypto.
#include "fetch/sums.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "core/hash.h"

struct mill_sums {
    void *sha256;
    EVP_MD_CTX *other; // NULL: none, or not available
    mill_sum_kind kind;
};

void mill_sums_destroy(mill_sums *sums)
{
    if (sums == NULL)
        return;
    mill_sha256_destroy(sums->sha256);
    EVP_MD_CTX_free(sums->other);
    mill_free(sums);
}

mill_status mill_sums_create(mill_sum_kind kind, uint64_t bytes, mill_sums **out, mill_error *err)
{
    mill_sums *self = mill_alloc_zero(1, sizeof *self);
    *out = NULL;
    if (self == NULL || (self->sha256 = mill_sha256_create()) == NULL) {
        mill_free(self);
        return mill_fail_nomem(err, "computing checksums");
    }
    self->kind = kind;
    if (kind == MILL_SUM_GIT || kind == MILL_SUM_MD5) {
        self->other = EVP_MD_CTX_new();
        if (self->other != NULL &&
            EVP_DigestInit_ex(self->other, kind == MILL_SUM_GIT ? EVP_sha1() : EVP_md5(), NULL) != 1) {
            EVP_MD_CTX_free(self->other);
            self->other = NULL;
        }
    }
    if (kind == MILL_SUM_GIT && self->other != NULL) {
        char head[40];
        int length = snprintf(head, sizeof head, "blob %llu", (unsigned long long)bytes);
        MILL_ASSERT(EVP_DigestUpdate(self->other, head, (size_t)length + 1) == 1);
    }
    *out = self;
    return MILL_OK;
}

void mill_sums_update(mill_sums *sums, const void *data, size_t bytes)
{
    mill_sha256_update(sums->sha256, data, bytes);
    if (sums->other != NULL && bytes != 0)
        MILL_ASSERT(EVP_DigestUpdate(sums->other, data, bytes) == 1);
}

void mill_sums_finish(mill_sums *sums, char sha256[65], mill_sum *other)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    *other = (mill_sum){0};
    mill_sha256_finish(sums->sha256, digest);
    sums->sha256 = NULL;
    mill_hex(digest, 32, sha256);
    if (sums->kind == MILL_SUM_SHA256) {
        other->kind = MILL_SUM_SHA256;
        memcpy(other->hex, sha256, 65);
    } else if (sums->other != NULL) {
        MILL_ASSERT(EVP_DigestFinal_ex(sums->other, digest, &length) == 1 && length <= 32);
        other->kind = sums->kind;
        mill_hex(digest, length, other->hex);
    }
    mill_sums_destroy(sums);
}

void mill_sha256_of(const void *data, size_t bytes, uint8_t digest[32])
{
    unsigned length = 0;
    MILL_ASSERT(EVP_Digest(data, bytes, digest, &length, EVP_sha256(), NULL) == 1 && length == 32);
}

bool mill_md5_of(const void *data, size_t bytes, uint8_t digest[16])
{
    unsigned length = 0;
    return EVP_Digest(data, bytes, digest, &length, EVP_md5(), NULL) == 1 && length == 16;
}

void mill_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes, uint8_t digest[32])
{
    unsigned length = 0;
    MILL_ASSERT(key_bytes <= INT32_MAX);
    MILL_ASSERT(HMAC(EVP_sha256(), key, (int)key_bytes, data, bytes, digest, &length) != NULL &&
                length == 32);
}

void mill_base64(const void *data, size_t bytes, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = data;
    for (size_t i = 0; i < bytes; i += 3) {
        uint32_t b = (uint32_t)in[i] << 16 | (i + 1 < bytes ? (uint32_t)in[i + 1] << 8 : 0) |
                     (i + 2 < bytes ? in[i + 2] : 0);
        *out++ = digits[b >> 18];
        *out++ = digits[b >> 12 & 63];
        *out++ = i + 1 < bytes ? digits[b >> 6 & 63] : '=';
        *out++ = i + 2 < bytes ? digits[b & 63] : '=';
    }
    *out = '\0';
}
