// minhash_avx2.c: MinHash signatures with AVX2 and the SHA extensions.
//
// Cost model (155 MB of source code, one core): a token every 10 bytes, of which a third is new to its text
// and an eighth new to the corpus. So the work is
// (1) finding blanks, 64 bytes at a time as bit masks;
// (2) one probe per token in a table that answers both "seen in this text?" and "what is its digest?":
//     entries hold the token's bytes, its digest word and the number of the last text that had it;
// (3) per distinct token of a text num_perm multiply-adds, done for many tokens at a time so that parameters
//     and minima stay in registers;
// (4) SHA-1 for what the table does not hold.
// The table compares all bytes of a token, so a hash collision costs time and never changes a result. It is
// of fixed size and overwrites; 768 KiB were faster than twice and four times that, which miss less often
// but leave the cache. Taking a token twice is harmless, because minima are idempotent.
#include "backend/ops.h"

#include "backend/sha1.h"
#include "shared/minhash_math.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi,bmi2")))

#define SHORT_TOKEN_MAX 16 // longest token of the short table, bytes
#define LONG_TOKEN_MAX 48  // longest token of the long table; longer ones are rare and always hashed
#define SHORT_BITS 13      // log2 of its buckets of two
#define LONG_BITS 12       // log2 of its entries
#define PENDING_MAX 2048

typedef struct short_entry { // 32 bytes, a bucket of two is a cache line
    uint64_t low, high;      // the token, zero-padded
    uint64_t text;           // number of the last text that had it
    uint32_t bytes;          // 0: empty
    uint32_t hash;
} short_entry;

typedef struct long_entry { // 64 bytes
    uint8_t token[LONG_TOKEN_MAX];
    uint64_t text;
    uint32_t bytes;
    uint32_t hash;
} long_entry;

struct mill_minhash_scratch {
    void *memory; // holds the tables, aligned below
    short_entry *shorts;
    long_entry *longs;
    mill_sha1_fn sha1;
    uint64_t text; // texts seen by this handle, counted from 1: 0 means never
    uint32_t pending_count;
    uint32_t pending[PENDING_MAX]; // digest words of tokens not yet folded into the signature
};

bool mill_minhash_avx2_supported(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

mill_minhash_scratch *mill_minhash_scratch_create(void)
{
    size_t shorts_bytes = sizeof(short_entry) * 2 << SHORT_BITS;
    size_t longs_bytes = sizeof(long_entry) << LONG_BITS;
    mill_minhash_scratch *scratch = mill_alloc_zero(1, sizeof *scratch);
    if (scratch == NULL)
        return NULL;
    scratch->memory = mill_alloc_zero(1, shorts_bytes + longs_bytes + 63);
    if (scratch->memory == NULL) {
        mill_free(scratch);
        return NULL;
    }
    uint8_t *aligned = (uint8_t *)scratch->memory + (63 & (0 - (uintptr_t)scratch->memory));
    scratch->shorts = (short_entry *)(void *)aligned;
    scratch->longs = (long_entry *)(void *)(aligned + shorts_bytes);
    scratch->sha1 = mill_sha1_select();
    return scratch;
}

void mill_minhash_scratch_destroy(mill_minhash_scratch *scratch)
{
    if (scratch != NULL)
        mill_free(scratch->memory);
    mill_free(scratch);
}

// ---- digests -> signature ----

TARGET static inline __m256i load8(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

TARGET static inline void store8(void *to, __m256i value)
{
    _mm256_storeu_si256((__m256i *)to, value);
}

// Folds `count` mixed hashes into `4 * 8` minima, which stay in registers.
TARGET static void fold_affine32_block(const uint32_t *mixed, uint32_t count, const uint32_t *a,
                                       const uint32_t *b, uint32_t *minima)
{
    __m256i a0 = load8(a), a1 = load8(a + 8), a2 = load8(a + 16), a3 = load8(a + 24);
    __m256i b0 = load8(b), b1 = load8(b + 8), b2 = load8(b + 16), b3 = load8(b + 24);
    __m256i m0 = load8(minima), m1 = load8(minima + 8), m2 = load8(minima + 16), m3 = load8(minima + 24);
    for (uint32_t i = 0; i < count; i++) {
        __m256i h = _mm256_set1_epi32((int)mixed[i]);
        m0 = _mm256_min_epu32(m0, _mm256_add_epi32(_mm256_mullo_epi32(h, a0), b0));
        m1 = _mm256_min_epu32(m1, _mm256_add_epi32(_mm256_mullo_epi32(h, a1), b1));
        m2 = _mm256_min_epu32(m2, _mm256_add_epi32(_mm256_mullo_epi32(h, a2), b2));
        m3 = _mm256_min_epu32(m3, _mm256_add_epi32(_mm256_mullo_epi32(h, a3), b3));
    }
    store8(minima, m0);
    store8(minima + 8, m1);
    store8(minima + 16, m2);
    store8(minima + 24, m3);
}

TARGET static void fold_affine32(uint32_t *hashes, uint32_t count, const mill_minhash_params *params,
                                 uint32_t *signature)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < count; i++)
        hashes[i] = mill_fmix32(hashes[i]);
    for (; k + 32 <= params->num_perm; k += 32)
        fold_affine32_block(hashes, count, params->a32 + k, params->b32 + k, signature + k);
    for (; k < params->num_perm; k++) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t value = mill_minhash_affine32(hashes[i], params->a32[k], params->b32[k]);
            signature[k] = value < signature[k] ? value : signature[k];
        }
    }
}

// Low 32 bits of ((a * h + b) mod 2^64) mod 2^61 - 1 in the low half of each lane; the high halves are of
// no use. With t = (x mod 2^61) + floor(x / 2^61) <= 2^61 + 6, subtracting the prime when t reaches it
// means adding 1 modulo 2^32. h: the hash in the low halves, high: in the high halves.
TARGET static inline __m256i step_legacy(__m256i h, __m256i high, __m256i a, __m256i b)
{
    const __m256i prime = _mm256_set1_epi64x((int64_t)MILL_MERSENNE61);
    __m256i x = _mm256_add_epi64(_mm256_mul_epu32(a, h), _mm256_mullo_epi32(a, high));
    x = _mm256_add_epi64(x, b);
    __m256i t = _mm256_add_epi64(_mm256_and_si256(x, prime), _mm256_srli_epi64(x, 61));
    __m256i carry = _mm256_srli_epi64(_mm256_add_epi64(t, _mm256_set1_epi64x(1)), 61);
    return _mm256_add_epi64(t, carry);
}

TARGET static void fold_legacy_block(const uint32_t *hashes, uint32_t count, const uint64_t *a,
                                     const uint64_t *b, uint32_t *minima)
{
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    __m256i a0 = load8(a), a1 = load8(a + 4), b0 = load8(b), b1 = load8(b + 4);
    __m256i m0 = _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)(const void *)minima));
    __m256i m1 = _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)(const void *)(minima + 4)));
    for (uint32_t i = 0; i < count; i++) {
        __m256i h = _mm256_set1_epi64x(hashes[i]);
        __m256i high = _mm256_slli_epi64(h, 32);
        m0 = _mm256_min_epu32(m0, step_legacy(h, high, a0, b0));
        m1 = _mm256_min_epu32(m1, step_legacy(h, high, a1, b1));
    }
    m0 = _mm256_permutevar8x32_epi32(m0, even);
    m1 = _mm256_permutevar8x32_epi32(m1, even);
    store8(minima, _mm256_blend_epi32(m0, m1, 0xf0));
}

TARGET static void fold_legacy(const uint32_t *hashes, uint32_t count, const mill_minhash_params *params,
                               uint32_t *signature)
{
    uint32_t k = 0;
    for (; k + 8 <= params->num_perm; k += 8)
        fold_legacy_block(hashes, count, params->a + k, params->b + k, signature + k);
    for (; k < params->num_perm; k++) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t value = mill_minhash_legacy(hashes[i], params->a[k], params->b[k]);
            signature[k] = value < signature[k] ? value : signature[k];
        }
    }
}

TARGET static void fold(mill_minhash_scratch *scratch, const mill_minhash_params *params,
                        uint32_t *signature)
{
    if (params->scheme == MILL_MINHASH_AFFINE32)
        fold_affine32(scratch->pending, scratch->pending_count, params, signature);
    else
        fold_legacy(scratch->pending, scratch->pending_count, params, signature);
    scratch->pending_count = 0;
}

// ---- token -> digest ----

static uint32_t digest_word(const mill_minhash_scratch *scratch, const uint8_t *token, size_t bytes)
{
    uint32_t digest[5];
    scratch->sha1(token, bytes, digest);
    return mill_sha1_first(digest);
}

TARGET static inline void take_short(mill_minhash_scratch *scratch, const uint8_t *token, size_t bytes,
                                     const uint8_t *end)
{
    uint64_t low = 0, high = 0;
    if (end - token >= SHORT_TOKEN_MAX) { // all 16 bytes are readable: load, then cut
        memcpy(&low, token, 8);
        memcpy(&high, token + 8, 8);
        low = _bzhi_u64(low, (unsigned)bytes * 8);
        high = bytes > 8 ? _bzhi_u64(high, (unsigned)bytes * 8 - 64) : 0;
    } else {
        memcpy(&low, token, bytes < 8 ? bytes : 8);
        if (bytes > 8)
            memcpy(&high, token + 8, bytes - 8);
    }
    uint64_t mixed = (low ^ bytes) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 32 ^ high) * UINT64_C(0xd6e8feb86659fd93);
    short_entry *bucket = scratch->shorts + 2 * (mixed >> (64 - SHORT_BITS));
    short_entry *entry = bucket;
    if (entry->low != low || entry->high != high || entry->bytes != bytes) {
        entry = bucket + 1;
        if (entry->low != low || entry->high != high || entry->bytes != bytes) {
            *entry = *bucket; // the older of the two goes
            entry = bucket;
            *entry = (short_entry){low, high, 0, (uint32_t)bytes, digest_word(scratch, token, bytes)};
        }
    }
    scratch->pending[scratch->pending_count] = entry->hash;
    scratch->pending_count += entry->text != scratch->text;
    entry->text = scratch->text;
}

static void take_long(mill_minhash_scratch *scratch, const uint8_t *token, size_t bytes)
{
    uint64_t mixed = XXH3_64bits(token, bytes);
    long_entry *entry = scratch->longs + (mixed >> (64 - LONG_BITS));
    if (entry->bytes != bytes || memcmp(entry->token, token, bytes) != 0) {
        memcpy(entry->token, token, bytes);
        entry->bytes = (uint32_t)bytes;
        entry->text = 0;
        entry->hash = digest_word(scratch, token, bytes);
    }
    scratch->pending[scratch->pending_count] = entry->hash;
    scratch->pending_count += entry->text != scratch->text;
    entry->text = scratch->text;
}

// `end` is the end of the readable bytes. Keeps room in pending for at least one more.
TARGET static inline void take_token(mill_minhash_scratch *scratch, const mill_minhash_params *params,
                                     const uint8_t *token, size_t bytes, const uint8_t *end,
                                     uint32_t *signature)
{
    if (bytes <= SHORT_TOKEN_MAX)
        take_short(scratch, token, bytes, end);
    else if (bytes <= LONG_TOKEN_MAX)
        take_long(scratch, token, bytes);
    else
        scratch->pending[scratch->pending_count++] = digest_word(scratch, token, bytes);
    if (scratch->pending_count == PENDING_MAX)
        fold(scratch, params, signature);
}

// ---- text -> tokens ----

// Bytes of the non-ASCII blank that starts at text with C2, E1, E2 or E3, 0 if it is another character.
static size_t wide_blank_bytes(const uint8_t *text, size_t bytes)
{
    if (bytes >= 2 && text[0] == 0xc2)
        return text[1] == 0x85 || text[1] == 0xa0 ? 2 : 0; // U+0085, U+00A0
    if (bytes < 3)
        return 0;
    uint32_t rest = (uint32_t)text[1] << 8 | text[2];
    if (text[0] == 0xe1)
        return rest == 0x9a80 ? 3 : 0; // U+1680
    if (text[0] == 0xe3)
        return rest == 0x8080 ? 3 : 0; // U+3000
    if (text[0] != 0xe2)
        return 0;
    // U+2000-200A, U+2028, U+2029, U+202F, U+205F
    return (rest >= 0x8080 && rest <= 0x808a) || rest == 0x80a8 || rest == 0x80a9 || rest == 0x80af ||
                   rest == 0x819f
               ? 3
               : 0;
}

// Bit i: byte i is an ASCII blank (U+0009-000D, U+001C-0020). *leads: bit i: byte i may start another blank.
TARGET static inline uint32_t ascii_blanks(const uint8_t *text, uint32_t *leads)
{
    __m256i v = load8(text);
    __m256i controls = _mm256_sub_epi8(v, _mm256_set1_epi8(9));
    __m256i separators = _mm256_sub_epi8(v, _mm256_set1_epi8(0x1c));
    const __m256i four = _mm256_set1_epi8(4);
    __m256i blank = _mm256_or_si256(_mm256_cmpeq_epi8(_mm256_min_epu8(controls, four), controls),
                                    _mm256_cmpeq_epi8(_mm256_min_epu8(separators, four), separators));
    *leads = 0;
    if (_mm256_movemask_epi8(v) != 0) {
        __m256i wide = _mm256_cmpeq_epi8(v, _mm256_set1_epi8((char)0xc2));
        for (int lead = 0xe1; lead <= 0xe3; lead++)
            wide = _mm256_or_si256(wide, _mm256_cmpeq_epi8(v, _mm256_set1_epi8((char)lead)));
        *leads = (uint32_t)_mm256_movemask_epi8(wide);
    }
    return (uint32_t)_mm256_movemask_epi8(blank);
}

// Bit i: byte i of the block belongs to a blank. `bytes`: from the block to the end of the text. *carry:
// blank bytes at the start of this block known from the one before; replaced by those of the next.
TARGET static inline uint64_t blanks64(const uint8_t *block, const uint8_t *text, size_t bytes,
                                       uint64_t *carry)
{
    uint32_t leads_low, leads_high;
    uint64_t blank = ascii_blanks(block, &leads_low);
    blank |= (uint64_t)ascii_blanks(block + 32, &leads_high) << 32;
    blank |= *carry;
    *carry = 0;
    for (uint64_t leads = leads_low | (uint64_t)leads_high << 32; leads != 0; leads &= leads - 1) {
        unsigned at = (unsigned)__builtin_ctzll(leads);
        uint64_t run = (UINT64_C(1) << wide_blank_bytes(text + at, bytes - at)) - 1;
        blank |= run << at;
        *carry |= at > 61 ? run >> (64 - at) : 0;
    }
    return blank;
}

TARGET static void sign_text(mill_minhash_scratch *scratch, const mill_minhash_params *params,
                             const uint8_t *text, size_t bytes, const uint8_t *end, uint32_t *signature)
{
    uint64_t before = 1, carry = 0; // before: was the last byte of the previous block a blank?
    const uint8_t *start = text;    // of the token being read, if !before
    for (size_t at = 0; at < bytes; at += 64) {
        uint8_t last[64];
        const uint8_t *block = text + at;
        if (bytes - at < 64) { // the rest as if blanks followed, which also ends the last token
            memset(last, ' ', sizeof last);
            memcpy(last, block, bytes - at);
            block = last;
        }
        uint64_t blank = blanks64(block, text + at, bytes - at, &carry);
        // Set bits are changes between blank and token, taken in turn.
        uint64_t changes = blank ^ (blank << 1 | before);
        for (; changes != 0; changes &= changes - 1) {
            const uint8_t *here = text + at + __builtin_ctzll(changes);
            if (before != 0)
                start = here;
            else
                take_token(scratch, params, start, (size_t)(here - start), end, signature);
            before ^= 1;
        }
    }
    if (before == 0)
        take_token(scratch, params, start, (size_t)(text + bytes - start), end, signature);
}

void mill_minhash_avx2(mill_minhash_scratch *scratch, const mill_text_view *in,
                       const mill_minhash_params *params, uint32_t *out)
{
    const uint8_t *end = in->bytes + in->offsets[in->count];
    for (uint32_t i = 0; i < in->count; i++) {
        uint32_t *signature = out + (size_t)i * params->num_perm;
        for (uint32_t k = 0; k < params->num_perm; k++)
            signature[k] = MILL_MINHASH_EMPTY;
        scratch->text++;
        sign_text(scratch, params, in->bytes + in->offsets[i], in->offsets[i + 1] - in->offsets[i], end,
                  signature);
        fold(scratch, params, signature);
    }
}

#else

bool mill_minhash_avx2_supported(void)
{
    return false;
}

mill_minhash_scratch *mill_minhash_scratch_create(void)
{
    return mill_alloc_zero(1, 1);
}

void mill_minhash_scratch_destroy(mill_minhash_scratch *scratch)
{
    mill_free(scratch);
}

void mill_minhash_avx2(mill_minhash_scratch *scratch, const mill_text_view *in,
                       const mill_minhash_params *params, uint32_t *out)
{
    (void)scratch;
    mill_minhash_ref(in, params, out);
}

#endif
