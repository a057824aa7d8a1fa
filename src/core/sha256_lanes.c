// sha256_lanes.c: the rounds of one or two streams, and the blocks that they are taken in.
#include "core/sha256_lanes.h"

#include "core/sha1_ni.h"
#include "core/status.h"

#include <string.h>

#define BLOCK 64

#ifdef __x86_64__
#include <cpuid.h>

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

bool mill_sha_extensions(void)
{
    // The compiler's feature test does not know "sha" in all versions in use, so the bit is read directly.
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & (1u << 29)) != 0 && __builtin_cpu_supports("sse4.1");
}

// Takes `count` blocks into each of 1 or 2 lanes, a block of each in turn. w[g % 4] holds the words of rounds 4 g to 4 g + 3;
// those of four steps later replace them as soon as they are used.
MILL_TARGET_SHA static inline __attribute__((always_inline)) void rounds(mill_sha256_lane *const *lanes, const uint8_t *const *from,
                                                                    size_t count, const int width)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef[2], cdgh[2];
    for (int l = 0; l < width; l++) {
        abef[l] = _mm_loadu_si128((const void *)lanes[l]->abef);
        cdgh[l] = _mm_loadu_si128((const void *)lanes[l]->cdgh);
    }
    for (size_t n = 0; n < count; n++) {
        __m128i w[2][4], abef_before[2], cdgh_before[2];
        for (int l = 0; l < width; l++) {
            abef_before[l] = abef[l];
            cdgh_before[l] = cdgh[l];
            for (int i = 0; i < 4; i++)
                w[l][i] = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(from[l] + n * BLOCK + 16 * i)), big_endian);
        }
        _Pragma("GCC unroll 16") for (int g = 0; g < 16; g++)
        {
            const __m128i k = _mm_loadu_si128((const void *)(constants + 4 * g));
            _Pragma("GCC unroll 2") for (int l = 0; l < width; l++)
            {
                const __m128i sum = _mm_add_epi32(w[l][g % 4], k);
                cdgh[l] = _mm_sha256rnds2_epu32(cdgh[l], abef[l], sum);
                abef[l] = _mm_sha256rnds2_epu32(abef[l], cdgh[l], _mm_shuffle_epi32(sum, 0x0e));
                if (g < 12) {
                    const __m128i seven_back = _mm_alignr_epi8(w[l][(g + 3) % 4], w[l][(g + 2) % 4], 4);
                    const __m128i mixed = _mm_add_epi32(_mm_sha256msg1_epu32(w[l][g % 4], w[l][(g + 1) % 4]), seven_back);
                    w[l][g % 4] = _mm_sha256msg2_epu32(mixed, w[l][(g + 3) % 4]);
                }
            }
        }
        for (int l = 0; l < width; l++) {
            abef[l] = _mm_add_epi32(abef[l], abef_before[l]);
            cdgh[l] = _mm_add_epi32(cdgh[l], cdgh_before[l]);
        }
    }
    for (int l = 0; l < width; l++) {
        _mm_storeu_si128((void *)lanes[l]->abef, abef[l]);
        _mm_storeu_si128((void *)lanes[l]->cdgh, cdgh[l]);
    }
}

MILL_TARGET_SHA static void compress_one(mill_sha256_lane *lane, const uint8_t *blocks, size_t count)
{
    rounds(&lane, &blocks, count, 1);
}

MILL_TARGET_SHA static void compress_two(mill_sha256_lane *const lanes[2], const uint8_t *const blocks[2], size_t count)
{
    rounds(lanes, blocks, count, 2);
}

// The processor takes up the next block of one digest while it waits for the rounds of the other.
MILL_TARGET_SHA static void compress_with_sha1(mill_sha256_lane *lane, uint32_t sha1[5], const uint8_t *blocks, size_t count)
{
    mill_sha1_registers r = mill_sha1_load(sha1);
    for (size_t n = 0; n < count; n++) {
        const uint8_t *block = blocks + n * BLOCK;
        rounds(&lane, &block, 1, 1);
        r = mill_sha1_block(r, block);
    }
    mill_sha1_store(r, sha1);
}

#else

bool mill_sha_extensions(void)
{
    return false;
}

static void compress_one(mill_sha256_lane *lane, const uint8_t *blocks, size_t count)
{
    (void)lane, (void)blocks, (void)count;
    MILL_ASSERT(false); // never selected
}

static void compress_two(mill_sha256_lane *const lanes[2], const uint8_t *const blocks[2], size_t count)
{
    (void)lanes, (void)blocks, (void)count;
    MILL_ASSERT(false); // never selected
}

static void compress_with_sha1(mill_sha256_lane *lane, uint32_t sha1[5], const uint8_t *blocks, size_t count)
{
    (void)lane, (void)sha1, (void)blocks, (void)count;
    MILL_ASSERT(false); // never selected
}

#endif

void mill_sha256_lane_begin(mill_sha256_lane *lane)
{
    *lane = (mill_sha256_lane){.abef = {0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667},
                               .cdgh = {0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372}};
}

// The blocks of each of two lanes: in step as far as both have some.
static void compress(mill_sha256_lane *const lanes[2], const uint8_t *const blocks[2], const size_t count[2])
{
    const size_t both = count[0] < count[1] ? count[0] : count[1];
    if (both != 0)
        compress_two(lanes, blocks, both);
    for (int l = 0; l < 2; l++) {
        if (count[l] > both)
            compress_one(lanes[l], blocks[l] + both * BLOCK, count[l] - both);
    }
}

void mill_sha256_lanes_update(mill_sha256_lane *a, mill_sha256_lane *b, const uint8_t *data, size_t bytes)
{
    mill_sha256_lane *const lanes[2] = {a, b};
    const uint8_t *begun[2], *whole[2];
    size_t begun_count[2] = {0, 0}, whole_count[2] = {0, 0};
    const int width = b != NULL ? 2 : 1;
    if (bytes == 0)
        return;
    for (int l = 0; l < width; l++) { // fill up the blocks that were begun
        const size_t held = lanes[l]->bytes % BLOCK;
        const size_t fill = held == 0 ? 0 : bytes < BLOCK - held ? bytes : BLOCK - held;
        memcpy(lanes[l]->block + held, data, fill);
        begun[l] = lanes[l]->block;
        begun_count[l] = held != 0 && held + fill == BLOCK;
        whole[l] = data + fill;
        whole_count[l] = (bytes - fill) / BLOCK;
        lanes[l]->bytes += bytes;
    }
    compress(lanes, begun, begun_count);
    compress(lanes, whole, whole_count);
    for (int l = 0; l < width; l++) {
        const uint8_t *rest = whole[l] + whole_count[l] * BLOCK;
        if (rest < data + bytes)
            memcpy(lanes[l]->block, rest, (size_t)(data + bytes - rest));
    }
}

// What ends a message: both digests pad in the same way. Bytes.
static size_t padding_of(const mill_sha256_lane *lane, uint8_t end[2 * BLOCK])
{
    const uint64_t bits = __builtin_bswap64(lane->bytes * 8);
    const size_t held = lane->bytes % BLOCK, padding = (held < BLOCK - 8 ? BLOCK : 2 * BLOCK) - held;
    memset(end, 0, 2 * BLOCK);
    end[0] = 0x80;
    memcpy(end + padding - 8, &bits, 8);
    return padding;
}

static void words_to_bytes(const uint32_t *words, size_t count, uint8_t *bytes)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t word = __builtin_bswap32(words[i]);
        memcpy(bytes + 4 * i, &word, 4);
    }
}

static void digest_of(const mill_sha256_lane *lane, uint8_t digest[32])
{
    const uint32_t words[8] = {lane->abef[3], lane->abef[2], lane->cdgh[3], lane->cdgh[2],
                               lane->abef[1], lane->abef[0], lane->cdgh[1], lane->cdgh[0]};
    words_to_bytes(words, 8, digest);
}

void mill_sha256_lane_finish(mill_sha256_lane *lane, uint8_t digest[32])
{
    uint8_t end[2 * BLOCK];
    mill_sha256_lanes_update(lane, NULL, end, padding_of(lane, end));
    digest_of(lane, digest);
}

// ---- a file that is hashed twice

void mill_sha_pair_begin(mill_sha_pair *pair)
{
    static const uint32_t initial[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    mill_sha256_lane_begin(&pair->lane);
    memcpy(pair->sha1, initial, sizeof initial);
}

void mill_sha_pair_update(mill_sha_pair *pair, const uint8_t *data, size_t bytes)
{
    mill_sha256_lane *lane = &pair->lane;
    const size_t held = lane->bytes % BLOCK;
    if (bytes == 0)
        return;
    lane->bytes += bytes;
    if (held != 0) {
        const size_t fill = bytes < BLOCK - held ? bytes : BLOCK - held;
        memcpy(lane->block + held, data, fill);
        if (held + fill < BLOCK)
            return;
        compress_with_sha1(lane, pair->sha1, lane->block, 1);
        data += fill;
        bytes -= fill;
    }
    compress_with_sha1(lane, pair->sha1, data, bytes / BLOCK);
    memcpy(lane->block, data + bytes / BLOCK * BLOCK, bytes % BLOCK);
}

void mill_sha_pair_finish(mill_sha_pair *pair, uint8_t sha256[32], uint8_t sha1[20])
{
    uint8_t end[2 * BLOCK];
    mill_sha_pair_update(pair, end, padding_of(&pair->lane, end));
    words_to_bytes(pair->sha1, 5, sha1);
    digest_of(&pair->lane, sha256);
}
