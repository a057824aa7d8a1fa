// minhash_ref.c: MinHash signatures in plain C: the definition that every other form equals.
#include "backend/ops.h"

#include "backend/sha1.h"
#include "core/unicode.h"
#include "core/utf8.h"
#include "shared/minhash_math.h"

// Bytes of the blank that starts at text, 0 if none does.
static size_t blank_bytes(const uint8_t *text, size_t bytes)
{
    size_t length = mill_utf8_sequence(text, bytes);
    return length != 0 && mill_unicode_is_space(mill_utf8_decode(text, &length)) ? length : 0;
}

static void take_token(const mill_minhash_params *params, const uint8_t *token, size_t bytes,
                       uint32_t *signature)
{
    uint32_t digest[5];
    mill_sha1_portable(token, bytes, digest);
    uint32_t hash = mill_sha1_first(digest);
    uint32_t mixed = mill_fmix32(hash);
    for (uint32_t k = 0; k < params->num_perm; k++) {
        uint32_t value = params->scheme == MILL_MINHASH_AFFINE32
                             ? mill_minhash_affine32(mixed, params->a32[k], params->b32[k])
                             : mill_minhash_legacy(hash, params->a[k], params->b[k]);
        if (value < signature[k])
            signature[k] = value;
    }
}

static void sign_text(const mill_minhash_params *params, const uint8_t *text, size_t bytes,
                      uint32_t *signature)
{
    for (uint32_t k = 0; k < params->num_perm; k++)
        signature[k] = MILL_MINHASH_EMPTY;
    size_t start = 0, i = 0; // the token being read is [start, i)
    while (i < bytes) {
        size_t blank = blank_bytes(text + i, bytes - i);
        if (blank == 0) {
            i++;
            continue;
        }
        if (i != start)
            take_token(params, text + start, i - start, signature);
        i += blank;
        start = i;
    }
    if (i != start)
        take_token(params, text + start, i - start, signature);
}

void mill_minhash_ref(const mill_text_view *in, const mill_minhash_params *params, uint32_t *out)
{
    for (uint32_t i = 0; i < in->count; i++)
        sign_text(params, in->bytes + in->offsets[i], in->offsets[i + 1] - in->offsets[i],
                  out + (size_t)i * params->num_perm);
}
