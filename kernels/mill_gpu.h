// mill_gpu.h: what the host sees of a GPU library (libmill_cuda.so, or libmill_simt.so of the tests): one
// table of functions. No type of CUDA or NCCL leaves kernels/. Common subset of C17 and C++17.
//
// Functions that return int give 0 or a code of CUDA that error_text explains; those called ask MILL_GPU_PENDING
// where there is no answer yet. Those that take a stream only
// queue work: arrays must stay as they are until the stream has done it. All pointers but those called host
// are device memory.
#ifndef MILL_MILL_GPU_H
#define MILL_MILL_GPU_H

#include <stddef.h>
#include <stdint.h>

#include "shared/bpe_math.h"

#define MILL_GPU_ABI 6u
#define MILL_GPU_SYMBOL "mill_gpu_table" // const mill_gpu_api *mill_gpu_table(void)
#define MILL_GPU_PENDING (-1)

// Texts of a batch: text i is bytes[offsets[i] .. offsets[i + 1]), valid UTF-8; bytes is aligned to 16 and 16
// bytes longer than the last offset, and these are zero. At most 2^31 bytes.
typedef struct mill_gpu_texts {
    const uint8_t *bytes;
    const uint32_t *offsets; // count + 1
    uint32_t count;
    uint32_t total;   // bytes of all texts = offsets[count]
    uint32_t longest; // bytes of the longest text
} mill_gpu_texts;

typedef struct mill_gpu_text_stat {
    uint32_t chars, newlines, text; // code points; U+000A; code points that are isalnum or isspace
} mill_gpu_text_stat;

// Scratch of the word search for texts of `total` bytes in all.
#define MILL_GPU_WORDS_MAX(total, count) ((total) / 2 + (count) + 1)
typedef struct mill_gpu_words {
    uint32_t
        *blanks; // 1 bit a byte, (total + 31) / 32 + 1 words: bytes of characters that str.isspace() names
    uint32_t *breaks; // the same: first byte of a text
    uint32_t *ranks;  // words that begin before the 32 bytes of a bitmap's word
    uint32_t *sums;   // of blocks of the scan: total / 32768 + 2
    uint32_t *places; // MILL_GPU_WORDS_MAX: first byte of each word
    uint32_t *hashes; // MILL_GPU_WORDS_MAX: first four bytes of the SHA-1 of each word, little-endian
    uint32_t *counts; // [0]: words
} mill_gpu_words;

typedef struct mill_gpu_minhash {
    uint32_t legacy; // 0: affine32
    uint32_t permutations;
    const uint64_t *a, *b; // legacy
    const uint32_t *a32, *b32;
} mill_gpu_minhash;

// ---- pieces, as GPT-2's pattern cuts texts ----
typedef struct mill_gpu_pieces {
    // bitmaps, 1 bit a byte, (total + 31) / 32 words: bytes of letters, of numbers, of white space (all bytes of
    // a character alike); first byte of a text; first byte of a piece
    uint32_t *letters, *numbers, *spaces, *breaks, *begins;
    uint32_t *ranks;   // pieces that begin before the 32 bytes of a bitmap's word
    uint32_t *sums;    // of blocks of the scan: total / 1024 + 2
    uint32_t *places;  // capacity + 1: first byte of each piece, behind the last one total
    uint32_t capacity; // no more than `total` are ever needed
    uint32_t *count;   // pieces found; above capacity: only the first ones are in places
} mill_gpu_pieces;

// ---- the different words among pieces ----
typedef struct mill_gpu_word { // a slot of the table
    uint64_t tag;              // 0: free; else hash of bytes and length
    uint32_t first_down;       // 2^32 - 1 - number of the first piece that is this word
    uint32_t count;
} mill_gpu_word;

typedef struct mill_gpu_found {
    uint32_t pieces; // may be above pieces->capacity: nothing else holds then
    uint32_t words;  // different ones
    uint32_t collisions;
    uint32_t claimed; // slots
    uint32_t full;    // 1: more words than words_most, nothing else holds
    uint32_t ids;
    uint32_t longs; // words of 65 to 4,096 bytes
} mill_gpu_found;

typedef struct mill_gpu_row {
    uint32_t at, bytes, count; // first place in the texts
} mill_gpu_row;

#define MILL_GPU_NO_SLOT 0xffffffffu
typedef struct mill_gpu_dictionary {
    mill_gpu_word *slots; // mask + 1, a power of two
    uint32_t mask;
    uint32_t words_most;    // at most half of the slots
    uint64_t tag_mask;      // bits of the hash that count: all of them, fewer to force collisions
    uint32_t *slot_of;      // of each piece, MILL_GPU_NO_SLOT for one of a collision: pieces->capacity
    mill_gpu_found *found;  // pieces->count is found->pieces
    mill_gpu_row *collided; // pieces whose tag is another word's, in any order; count 1
    uint32_t collided_most; // above it only their number is told
} mill_gpu_dictionary;

// ---- ids of pieces ----
#define MILL_GPU_WORD_BYTES 64u   // of a word that a thread merges
#define MILL_GPU_LONG_BYTES 4096u // that a warp merges; longer words are the host's
#define MILL_GPU_LONGS_MAX(total) ((total) / (MILL_GPU_WORD_BYTES + 1u))
typedef struct mill_gpu_encoder {
    // the tokenizer (kernels/shared/pair_table.h)
    const uint32_t *byte_ids;   // 256; UINT32_MAX: dropped
    const uint32_t *byte_pairs; // [left byte << 8 | right byte]: rank
    const void *pairs;          // mill_pair_slot
    uint32_t pair_mask;
    const void *merges;         // mill_merge
    // scratch
    uint32_t *new_words;  // the first piece of each word: words_most
    uint32_t *long_words; // of each that a warp merges: MILL_GPU_LONGS_MAX
    uint32_t *symbols;    // ids of a word, from its first place on: total
    // results
    uint32_t narrow;     // 1: ids are uint16_t
    void *ids;           // ids_most; found->ids is their number, above ids_most only the first ones are there
    uint32_t ids_most;
    uint32_t *id_begins; // first id of each text, and the end: count + 1
} mill_gpu_encoder;
// Where the host must look itself, an id is all ones and place and bytes of the piece follow: one value each, low and high
// half where ids are narrow.

// ---- learning merges (kernels/bpe_*.cu; src/backend/train.h tells the rounds) ----

enum { MILL_GPU_BPE_BATCH = 16 }; // pairs of a round

typedef struct mill_gpu_bpe_pair { // to be merged
    uint32_t left, right, id;      // id: of the new token
    uint32_t left_bytes, right_bytes, reserved;
    uint64_t count;
} mill_gpu_bpe_pair;

typedef struct mill_gpu_bpe_batch {
    mill_gpu_bpe_pair of[MILL_GPU_BPE_BATCH]; // in their order
    uint32_t count;
    uint32_t ids; // all ids that stand in words are below
} mill_gpu_bpe_batch;

typedef struct mill_gpu_bpe_outcome { // of a round, and the pairs that come first after it
    uint64_t counts[MILL_GPU_BPE_BATCH], keys[MILL_GPU_BPE_BATCH]; // in their order; key: left id << 32 | right id
    uint32_t count;
    uint32_t found; // occurrences of the round's pairs
    uint32_t used;  // slots of the pair table
    uint32_t full;  // 1: nothing was merged yet, the table must grow first
    uint32_t reserved;
} mill_gpu_bpe_outcome;

#define MILL_GPU_BPE_SEGMENT 1024u // slots of the pair table that share a best pair

// What devices tell each other: sums that are not zero, in blocks of one size, each behind a head: how many sums the
// device tells in all, and the occurrences that it found.
typedef struct mill_gpu_bpe_sum {
    uint64_t place, sum; // place: row of neighbours << 32 | id; behind the rows, the crossings are one row more
} mill_gpu_bpe_sum;

// Sums that there can be, and the blocks that they fill; one at least, for its head.
#define MILL_GPU_BPE_SUMS_MAX(batch, ids_max) ((size_t)2 * (batch) * (ids_max) + MILL_GPU_BPE_BATCH * MILL_GPU_BPE_BATCH)
#define MILL_GPU_BPE_BLOCKS(sums, block_sums) ((sums) <= (block_sums) ? 1 : ((sums) + (block_sums)-1) / (block_sums))

typedef struct mill_gpu_bpe { // one device's words, and the pairs of all words
    uint32_t *symbols;        // as bpe_math.h tells; positions rounded up to 8
    const mill_bpe_rank *ranks;
    const uint64_t *weights;
    uint32_t positions;
    uint32_t batch;       // pairs of a round at most
    uint32_t ids_max;     // all ids are below
    uint32_t length_max;  // 0: none
    uint64_t count_min;   // at least 1
    uint32_t *lengths;    // of tokens: ids_max
    uint64_t *neighbours; // rows of ids_max: batch rows to the left, then batch to the right; zeros between rounds
    uint64_t *crossings;  // BATCH x BATCH: occurrences of one pair just before one of another; zeros, too
    uint32_t *found;      // first positions of occurrences: positions / 2 + 1
    uint64_t *keys, *counts;           // the pair table; keys begin as MILL_BPE_FREE
    uint64_t *best_keys, *best_counts; // of each segment
    uint32_t *stale;                   // segments whose best pair must be looked for
    uint32_t slots;                    // a power of two, at least a segment
    uint32_t block_sums;               // sums that a block holds
    uint32_t *state;                   // MILL_GPU_BPE_STATES counters, zeros at first
    mill_gpu_bpe_outcome *outcome;
} mill_gpu_bpe;

enum { // counters
    MILL_GPU_BPE_FOUND,
    MILL_GPU_BPE_ALL,   // found by all devices, where there are several
    MILL_GPU_BPE_USED,  // slots
    MILL_GPU_BPE_FRESH, // of these, those that this round used first
    MILL_GPU_BPE_FULL,
    MILL_GPU_BPE_SUMS, // told by bpe_tell
    MILL_GPU_BPE_MORE, // 1: some device tells more than was heard
    MILL_GPU_BPE_STATES = 8
};

// ---- what the filters look for ----
#define MILL_GPU_TRAIT_COMMENTS 0x7fffffffu // of a text: mill_comment_style bits
#define MILL_GPU_TRAIT_WORDS 0x80000000u    // patterns that are words count
#define MILL_GPU_PATTERN_FOLD 1u            // ASCII letters of any case; the pattern is lower-case
#define MILL_GPU_PATTERN_WORD 2u            // not behind an identifier
#define MILL_GPU_FOUND_FOLDED 1u            // of a text: some pattern that folds, in its window
#define MILL_GPU_FOUND_EXACT 2u             // some other pattern
#define MILL_GPU_FOUND_WIDE_FOLD 4u         // U+212A or U+0130, whose lower case is ASCII

typedef struct mill_gpu_pattern {
    uint32_t offset, bytes, flags;
} mill_gpu_pattern;

typedef struct mill_gpu_patterns {
    const uint8_t *bytes;
    const mill_gpu_pattern *list; // by first byte (ASCII upper case as lower case)
    const uint32_t *heads;        // 257: where the patterns of a first byte begin in the list
    uint32_t window;              // of those that fold: bytes at both ends of a text; 0: everywhere
} mill_gpu_patterns;

#define MILL_GPU_COLLECT_NAME 128u

typedef struct mill_gpu_info {
    char name[128];
    uint64_t memory_bytes, free_bytes;
    int major, minor, processors;
} mill_gpu_info;

typedef struct mill_gpu_api {
    uint32_t abi;
    const char *kind;   // "cuda", "simt"
    uint32_t share_min; // positions of words to learn from, from which a share each pays for several devices

    // ---- the runtime ----
    const char *(*error_text)(int code);
    int (*device_count)(int *count);
    int (*device_info)(int device, mill_gpu_info *info);
    int (*device_use)(int device); // by the calling thread, from here on
    int (*device_finish)(void);    // waits for everything that the device was given
    int (*memory_take)(void **memory, size_t bytes);
    int (*memory_give)(void *memory);
    int (*pinned_take)(void **host, size_t bytes);
    int (*pinned_give)(void *host);
    int (*stream_open)(void **stream);
    int (*stream_close)(void *stream);
    int (*stream_finish)(void *stream);
    int (*stream_ask)(void *stream); // 0: it has nothing left to do
    int (*event_open)(void **event);
    int (*event_close)(void *event);
    int (*event_record)(void *event, void *stream);
    int (*event_finish)(void *event);              // the host waits
    int (*stream_wait)(void *stream, void *event); // the stream waits
    int (*copy_in)(void *to, const void *host, size_t bytes, void *stream);
    int (*copy_out)(void *host, const void *from, size_t bytes, void *stream);
    int (*fill)(void *memory, int byte, size_t bytes, void *stream);

    // ---- between devices: groups of them, a rank each; codes are NCCL's ----
    // Its version (22809: 2.28.9), or 0 and why there is none; to be asked before all else here.
    int (*collect_version)(char *why, size_t capacity);
    const char *(*collect_text)(int code);
    int (*collect_name)(uint8_t *name); // MILL_GPU_COLLECT_NAME bytes: a new group's
    // Each rank calls these on the thread that uses its device. Where the answer is pending (that of join always may be), the
    // next call, and the next work for the stream, must wait until collect_ask says otherwise.
    int (*collect_join)(void **group, const uint8_t *name, uint32_t ranks, uint32_t rank);
    int (*collect_ask)(void *group);
    int (*collect_sum)(void *group, uint64_t *values, size_t count, void *stream);
    int (*collect_gather)(void *group, const void *own, void *all, size_t bytes, void *stream); // in the order of ranks
    // Ends what the stream waits for, too. It may wait until the other ranks leave.
    int (*collect_leave)(void *group);

    // ---- kernels ----
    // unicode: index bytes, then block bytes of core/unicode_tables.h; index_bytes is a multiple of 16. rank:
    // mill_alnum_rank. out: count rows.
    int (*text_stats)(const mill_gpu_texts *in, const uint8_t *unicode, uint32_t index_bytes, uint32_t shift,
                      uint32_t rank, mill_gpu_text_stat *out, void *stream);
    // comments: lines that begin as a comment of the text's styles; found: MILL_GPU_FOUND bits; count rows each. traits: a
    // word for each text.
    int (*text_scan)(const mill_gpu_texts *in, const uint8_t *unicode, uint32_t index_bytes, uint32_t shift,
                     const mill_gpu_patterns *patterns, const uint32_t *traits, uint32_t *comments, uint32_t *found,
                     void *stream);
    // Fills everything in words: the tokens of str.split() of each text, in order.
    int (*words)(const mill_gpu_texts *in, const mill_gpu_words *words, void *stream);
    // out: count rows of permutations values; words as the call before left them.
    int (*minhash)(const mill_gpu_texts *in, const mill_gpu_words *words, const mill_gpu_minhash *params,
                   uint32_t *out, void *stream);

    // ---- kernels of the tokenizer ----
    // Fills everything in pieces. unicode as above.
    int (*pretok)(const mill_gpu_texts *in, const uint8_t *unicode, uint32_t index_bytes, uint32_t shift,
                  const mill_gpu_pieces *pieces, void *stream);
    // Counts the words among pieces; a piece of a collision counts for none.
    int (*word_table)(const mill_gpu_texts *in, const mill_gpu_pieces *pieces, const mill_gpu_dictionary *table,
                      void *stream);
    // rows: words_most, filled with the table's words in the order of their first pieces.
    int (*list_words)(const mill_gpu_texts *in, const mill_gpu_pieces *pieces, const mill_gpu_dictionary *table,
                      mill_gpu_row *rows, void *stream);
    // Ids of all pieces in order; uses slots and slot_of up. Ids of the tokenizer are below the mark of all ones.
    int (*encode)(const mill_gpu_texts *in, const mill_gpu_pieces *pieces, const mill_gpu_dictionary *table,
                  const mill_gpu_encoder *encoder, void *stream);

    // Learning merges: place, seed and select once; then for each round find, merge, select, and a copy of the
    // outcome. Devices that share the words add up `first` before seed; behind find they tell, gather everybody's blocks
    // and hear, until there are no more, and then merge.
    // text: a byte a position; byte_ids: 256; first: 65536 zeros, which become the weights of pairs of bytes.
    int (*bpe_place)(const mill_gpu_bpe *bpe, const uint8_t *text, const uint32_t *byte_ids, uint64_t *first,
                     void *stream);
    int (*bpe_seed)(const mill_gpu_bpe *bpe, const uint32_t *byte_ids, const uint64_t *first, void *stream);
    int (*bpe_find)(const mill_gpu_bpe *bpe, const mill_gpu_bpe_batch *batch, void *stream);
    int (*bpe_merge)(const mill_gpu_bpe *bpe, const mill_gpu_bpe_batch *batch, void *stream);
    int (*bpe_select)(const mill_gpu_bpe *bpe, void *stream);
    // Copies what is left of one pair table to another, larger one of the same state.
    int (*bpe_move)(const mill_gpu_bpe *from, const mill_gpu_bpe *to, void *stream);
    // blocks: of the device's sums, as many as there can be.
    int (*bpe_tell)(const mill_gpu_bpe *bpe, const mill_gpu_bpe_batch *batch, mill_gpu_bpe_sum *blocks, void *stream);
    // blocks: one of each device, its block `number` (with a head even behind its last one). Adds the sums of all but `own`.
    int (*bpe_hear)(const mill_gpu_bpe *bpe, const mill_gpu_bpe_sum *blocks, uint32_t devices, uint32_t own, uint32_t number,
                    void *stream);
} mill_gpu_api;

#endif
