// sha1.c: SHA-1 in plain C and with the SHA extensions of x86 (FIPS 180-4, section 6.1).
#include "backend/sha1.h"

#include "core/sha1_ni.h"
#include "core/sha256_lanes.h"

#include <string.h>

#define BLOCK 64

static const uint32_t initial[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

typedef void (*compress_fn)(uint32_t state[5], const uint8_t *blocks, size_t count);

// Writes the message's last bytes, the end bit and the length into one or two blocks; returns how many.
static size_t pad(const uint8_t *rest, size_t rest_bytes, uint64_t total_bytes, uint8_t out[2 * BLOCK])
{
    size_t count = rest_bytes <= BLOCK - 9 ? 1 : 2;
    memset(out, 0, count * BLOCK);
    if (rest_bytes != 0)
        memcpy(out, rest, rest_bytes);
    out[rest_bytes] = 0x80;
    uint64_t bits = __builtin_bswap64(total_bytes * 8);
    memcpy(out + count * BLOCK - 8, &bits, 8);
    return count;
}

static inline void run(compress_fn compress, const uint8_t *data, size_t bytes, uint32_t digest[5])
{
    uint8_t last[2 * BLOCK];
    size_t whole = bytes / BLOCK;
    memcpy(digest, initial, sizeof initial);
    if (whole != 0)
        compress(digest, data, whole);
    size_t done = whole * BLOCK;
    size_t count = pad(bytes != done ? data + done : NULL, bytes - done, bytes, last);
    compress(digest, last, count);
}

static inline uint32_t rotate(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static void compress_block(uint32_t state[5], const uint8_t *block)
{
    uint32_t w[80];
    for (int t = 0; t < 16; t++) {
        uint32_t word;
        memcpy(&word, block + 4 * t, 4);
        w[t] = __builtin_bswap32(word);
    }
    for (int t = 16; t < 80; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int t = 0; t < 80; t++) {
        uint32_t f, k;
        if (t < 20)
            f = (b & c) | (~b & d), k = 0x5a827999;
        else if (t < 40)
            f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (t < 60)
            f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else
            f = b ^ c ^ d, k = 0xca62c1d6;
        uint32_t next = rotate(a, 5) + f + e + k + w[t];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

static void compress_portable(uint32_t state[5], const uint8_t *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        compress_block(state, blocks + i * BLOCK);
}

void mill_sha1_portable(const uint8_t *data, size_t bytes, uint32_t digest[5])
{
    run(compress_portable, data, bytes, digest);
}

#ifdef __x86_64__

MILL_TARGET_SHA static void compress_ni(uint32_t state[5], const uint8_t *blocks, size_t count)
{
    mill_sha1_registers r = mill_sha1_load(state);
    for (size_t n = 0; n < count; n++)
        r = mill_sha1_block(r, blocks + n * BLOCK);
    mill_sha1_store(r, state);
}

void mill_sha1_ni(const uint8_t *data, size_t bytes, uint32_t digest[5])
{
    run(compress_ni, data, bytes, digest);
}

#else

void mill_sha1_ni(const uint8_t *data, size_t bytes, uint32_t digest[5])
{
    mill_sha1_portable(data, bytes, digest);
}

#endif

mill_sha1_fn mill_sha1_select(void)
{
    return mill_sha_extensions() ? mill_sha1_ni : mill_sha1_portable;
}
