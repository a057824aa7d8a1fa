// ids_match.h: where a text of numbers repeats itself, as zstd's sequences. In "12,345,6789" a match that begins inside a number is
// hardly worth more than one that begins at its first digit, so only places behind commas are looked at, a fifth of all: that takes
// less time than zstd's own search, and finds more.
#ifndef MILL_SHARD_IDS_MATCH_H
#define MILL_SHARD_IDS_MATCH_H

#ifndef ZSTD_STATIC_LINKING_ONLY
#define ZSTD_STATIC_LINKING_ONLY // ZSTD_Sequence
#endif
#include <stdbool.h>
#include <stdint.h>
#include <zstd.h>

enum {
    MILL_IDS_BLOCK_BYTES = 128 << 10, // zstd's largest block: no match goes over its end
    MILL_IDS_WINDOW_LOG = 18,         // matches are no farther away than this
    MILL_IDS_MATCH_MIN = 10,          // bytes; the digits of shorter ones take no more as they are
    MILL_IDS_TABLE_LOG = 13,
    MILL_IDS_CHUNK_BYTES = 16 << 10,  // places and candidates of so much text stay in the caches
};

typedef struct mill_ids_candidate { // text[from ..] and text[at ..] have MATCH_MIN bytes in common; from < at
    uint32_t from, at;
} mill_ids_candidate;

typedef struct mill_ids_finder { // scratch of one thread; nothing stays in it from one call to the next
    uint32_t table[1 << MILL_IDS_TABLE_LOG];     // last place of a hash
    uint32_t places[MILL_IDS_CHUNK_BYTES + 64];  // behind commas
    mill_ids_candidate candidates[MILL_IDS_CHUNK_BYTES];
} mill_ids_finder;

// The most sequences of a text of so many bytes.
static inline size_t mill_ids_sequences_max(size_t bytes)
{
    return bytes / MILL_IDS_MATCH_MIN + bytes / MILL_IDS_BLOCK_BYTES + 1;
}

// Writes the sequences of the text (below 2^31 bytes), each block ended by one without a match, and returns their number. A
// function of the text alone. No offset is 1, 4 or 8: those are what a coder holds as "repeated" at the beginning of a frame, so
// that blocks made of the sequences may follow any others (RFC 8878, 3.1.1.5).
size_t mill_ids_find(mill_ids_finder *finder, const uint8_t *text, size_t bytes, ZSTD_Sequence *out);
// Its two forms: the plain one, and the one for AVX2.
size_t mill_ids_find_ref(mill_ids_finder *finder, const uint8_t *text, size_t bytes, ZSTD_Sequence *out);
size_t mill_ids_find_avx2(mill_ids_finder *finder, const uint8_t *text, size_t bytes, ZSTD_Sequence *out);
bool mill_ids_avx2_supported(void); // false off x86-64

#endif
