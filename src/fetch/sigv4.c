// sigv4.c: AWS Signature Version 4.
#include "fetch/sigv4.h"

#include <stdio.h>
#include <string.h>

#include "core/hash.h"
#include "fetch/sums.h"

static mill_status append_signed_names(const mill_sigv4_request *r, mill_buf *out, mill_error *err)
{
    for (size_t i = 0; i < r->header_count; i++) {
        MILL_ASSERT(i == 0 || strcmp(r->headers[i - 1].name, r->headers[i].name) < 0);
        MILL_TRY(mill_buf_printf(out, err, "%s%s", i != 0 ? ";" : "", r->headers[i].name));
    }
    return MILL_OK;
}

static mill_status append_canonical(const mill_sigv4_request *r, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "%s\n%s\n%s\n", r->method, r->path, r->query));
    for (size_t i = 0; i < r->header_count; i++)
        MILL_TRY(mill_buf_printf(out, err, "%s:%s\n", r->headers[i].name, r->headers[i].value));
    MILL_TRY(mill_buf_append_text(out, "\n", err));
    MILL_TRY(append_signed_names(r, out, err));
    return mill_buf_printf(out, err, "\n%s", r->payload);
}

mill_status mill_sigv4_sign(const mill_sigv4 *key, const mill_sigv4_request *r, mill_buf *out,
                            mill_error *err)
{
    mill_buf text = {0}, seed = {0};
    uint8_t digest[32];
    char hex[65], scope[128];
    snprintf(scope, sizeof scope, "%.8s/%s/s3/aws4_request", key->time, key->region);
    mill_status status = append_canonical(r, &text, err);
    if (status == MILL_OK)
        status = mill_buf_printf(&seed, err, "AWS4%s", key->secret_key);
    if (status == MILL_OK) {
        mill_sha256_of(text.data, text.bytes, digest);
        mill_hex(digest, 32, hex);
        mill_buf_clear(&text);
        status = mill_buf_printf(&text, err, "AWS4-HMAC-SHA256\n%s\n%s\n%s", key->time, scope, hex);
    }
    if (status == MILL_OK) {
        mill_hmac_sha256(seed.data, seed.bytes, key->time, 8, digest);
        mill_hmac_sha256(digest, 32, key->region, strlen(key->region), digest);
        mill_hmac_sha256(digest, 32, "s3", 2, digest);
        mill_hmac_sha256(digest, 32, "aws4_request", 12, digest);
        mill_hmac_sha256(digest, 32, text.data, text.bytes, digest);
        mill_hex(digest, 32, hex);
        status = mill_buf_printf(out, err,
                                 "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=", key->access_key, scope);
    }
    if (status == MILL_OK)
        status = append_signed_names(r, out, err);
    if (status == MILL_OK)
        status = mill_buf_printf(out, err, ",Signature=%s", hex);
    mill_buf_free(&text);
    mill_buf_free(&seed);
    return status;
}
