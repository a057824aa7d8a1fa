// backend.h: the batch operations that have several implementations. `ref` is plain C and the definition; every other backend
// equals it bit for bit (tests/parity). Ops are coarse, one call a batch; a handle belongs to one worker and owns its scratch.
#ifndef MILL_BACKEND_BACKEND_H
#define MILL_BACKEND_BACKEND_H

#include "record/batch.h"
#include "shared/pair_table.h"
#include "shared/bpe_math.h"

// Character statistics of one text. Lines = 1 + number of U+000A. Classes as CPython's str.isalnum and str.isspace.
typedef struct mill_text_stat {
    uint64_t chars;          // code points
    uint64_t lines;
    uint64_t alnum_or_space; // code points
} mill_text_stat;

// What the filters look for in texts; filter/lines.h and filter/markers.h define it.
typedef struct mill_pattern {
    const char *text; // folding ones: lower-case ASCII
    uint32_t bytes;
    bool fold, word;  // ASCII letters of any case; not behind an identifier, and only in texts where words count
} mill_pattern;

typedef struct mill_scan_request {
    const mill_pattern *patterns;
    uint32_t count;
    uint32_t window;          // bytes at both ends of a text where folding patterns count; 0: everywhere
    const uint32_t *comments; // by text: mill_comment_style bits
    const bool *words;        // by text
} mill_scan_request;

enum { MILL_FOUND_FOLDED = 1, MILL_FOUND_EXACT = 2, MILL_FOUND_WIDE_FOLD = 4 }; // the last: U+212A or U+0130, which fold to ASCII
typedef struct mill_text_scan {
    uint32_t comment_lines, found;
} mill_text_scan;

typedef enum mill_minhash_scheme { MILL_MINHASH_AFFINE32, MILL_MINHASH_LEGACY } mill_minhash_scheme;

typedef struct mill_minhash_params { // parameters of the permutations, see dedup/minhash.h
    mill_minhash_scheme scheme;
    uint32_t num_perm;
    const uint64_t *a, *b;           // num_perm each
    const uint32_t *a32, *b32;       // the same, for affine32
} mill_minhash_params;

// A stretch of a view's bytes, and how often it occurs.
typedef struct mill_stretch {
    uint64_t at; // bytes[at], as the view's offsets count
    uint32_t bytes, count;
} mill_stretch;

typedef struct mill_stretches { // zero-initialised is empty
    mill_stretch *rows;
    size_t count, capacity;
} mill_stretches;

typedef struct mill_ids { // growable id array; zero-initialised is empty
    uint32_t *data;
    size_t count, capacity;
} mill_ids;

typedef struct mill_bpe_tables { // what encoding needs of a tokenizer (tokenizer/bpe_model.h)
    uint64_t key;                // of the contents: a device that has them is not given them again
    const uint32_t *byte_ids;    // 256; MILL_NO_ID: dropped
    const uint32_t *byte_pairs;  // [left byte << 8 | right byte]: rank of the merge, or MILL_NO_ID
    const mill_pair_slot *pairs; // pair_count, a power of two; from mill_pair_hash on
    size_t pair_count;
    const mill_merge *merges;    // by rank
    size_t merge_count;
    uint32_t id_end;             // ids are below
} mill_bpe_tables;

typedef struct mill_encode_job {
    const mill_bpe_tables *tables;
    uint64_t tag_mask; // as for count_words
    // Appends the ids of a piece: those that the operation leaves to the caller (long ones).
    mill_status (*encode_piece)(void *context, const uint8_t *piece, size_t bytes, mill_ids *out, mill_error *err);
    void *context;
} mill_encode_job;

// What an optional operation made of the texts at the beginning of a view: how many of them it looked at (1 at least), and
// whether it did them. If not (they do not fit, or no device is left) the caller does them itself, with the same result.
typedef struct mill_portion {
    uint32_t texts;
    bool done;
} mill_portion;

// Learning BPE merges (tokenizer/bpe_train.c has the order). Words of two bytes or more lie in positions as bpe_math.h tells.
typedef struct mill_train_words {
    const uint8_t *text;         // a byte a position; what stands at separators means nothing
    const mill_bpe_rank *ranks;  // positions / 64 + 1; the last separator has no bit
    const uint64_t *weights;     // how often each word occurs, above 0
    uint32_t positions, count;   // positions are below MILL_TRAIN_POSITIONS_MAX and at least 1
} mill_train_words;

#define MILL_TRAIN_POSITIONS_MAX (UINT32_MAX - 64)

typedef struct mill_train_token { // a token that a merge may spell, whose id is then used
    const uint8_t *text;
    uint32_t bytes, id;
} mill_train_token;

typedef struct mill_train_job {
    mill_train_words words;
    const uint32_t *byte_ids; // 256: ids of the bytes that occur
    const mill_train_token *given;
    size_t given_count;
    uint32_t first_id, ids_max; // new ids: first_id .. ids_max - 1
    uint64_t count_min;         // of a pair, at least 1
    uint32_t length_max;        // 0: none; else pairs of new tokens are shorter
    uint32_t batch_max;         // merges of a round: 1 .. 16; 0: as many as there may be
    // For tests; 0: as is best. Positions from which several devices share the words; sums that they tell at once; how long
    // they wait for each other.
    uint32_t share_min, block_sums, wait_ms;
    int (*progress)(void *context, uint32_t done); // may be NULL; a nonzero result stops (MILL_STOPPED)
    void *context;
} mill_train_job;

typedef struct mill_train_merge {
    uint32_t left, right, id;
} mill_train_merge;

typedef struct mill_train_result { // zero-initialised is empty
    mill_train_merge *merges;      // in their order; mill_free
    size_t count, capacity;
    uint64_t rounds;
    uint64_t overlaps; // rounds that ended early since the next pair does not commute with the round's
    uint64_t slots;    // of the table of pairs, at the end
    bool complete;     // false: could not be done here (the log tells why), merges mean nothing
} mill_train_result;

typedef struct mill_backend mill_backend;

typedef struct mill_backend_ops {
    const char *name; // "ref", "cpu"
    mill_status (*open)(const struct mill_backend_ops *ops, mill_backend **out, mill_error *err); // ops: this table
    // unicode: isalnum table, e.g. 140 for 14.0, 160 for 16.0 (core/unicode.h)
    mill_status (*text_stats)(mill_backend *self, const mill_text_view *in, uint32_t unicode, mill_text_stat *out,
                              mill_error *err);
    // out: count * num_perm values, row i the signature of text i (tokens = str.split()); start value 2^32 - 1.
    mill_status (*minhash)(mill_backend *self, const mill_text_view *in, const mill_minhash_params *params, uint32_t *out,
                           mill_error *err);
    // Optional operations: NULL where the caller's own code is as good. in->count >= 1; results are appended to out.
    // Comment lines and patterns of each text; out[0 .. portion->texts).
    mill_status (*text_scan)(mill_backend *self, const mill_text_view *in, const mill_scan_request *request,
                             mill_portion *portion, mill_text_scan *out, mill_error *err);
    // Pieces as GPT-2's pattern cuts each text (tokenizer/pretok.h), in order, count 1 each.
    mill_status (*pretok)(mill_backend *self, const mill_text_view *in, mill_portion *portion, mill_stretches *out,
                          mill_error *err);
    // The different ones among these pieces, in the order of their first places, with their counts. tag_mask: bits of the
    // pieces' hashes that are used, UINT64_MAX; with fewer, different pieces meet and must be told apart (tests).
    mill_status (*count_words)(mill_backend *self, const mill_text_view *in, uint64_t tag_mask, mill_portion *portion,
                               mill_stretches *out, mill_error *err);
    // Ids of texts: each is cut into GPT-2's pieces, and each piece's bytes are merged. ends[i] (room for in->count): number
    // of ids in out behind text i.
    mill_status (*encode)(mill_backend *self, const mill_text_view *in, const mill_encode_job *job, mill_portion *portion,
                          mill_ids *out, uint64_t *ends, mill_error *err);
    // Learns merges; NULL where the trainer's own way is faster.
    mill_status (*train)(mill_backend *self, const mill_train_job *job, mill_train_result *out, mill_error *err);
    void (*close)(mill_backend *self); // NULL is fine
} mill_backend_ops;

struct mill_backend {
    const mill_backend_ops *ops;
};

extern const mill_backend_ops mill_backend_ref; // plain C
extern const mill_backend_ops mill_backend_cpu; // AVX2 and SHA-NI where the processor has them, plain C elsewhere
// By name ("ref", "cpu", "auto"); NULL if there is no such backend in this build.
const mill_backend_ops *mill_backend_find(const char *name);

#endif
