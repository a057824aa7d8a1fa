// pack.h: rows -> samples. A barrier: it works on lengths and keys only, and says which row goes where.
#ifndef MILL_PACK_PACK_H
#define MILL_PACK_PACK_H

#include "core/alloc.h"

typedef enum mill_pack_mode {
    MILL_PACK_GUIDE,    // first-fit in order into one open block; rows are never split; blocks vary in length
    MILL_PACK_CONCAT,   // one stream cut every seq_len + extra tokens; consecutive samples share `extra` tokens
    MILL_PACK_BEST_FIT, // rows whole; a row goes to the fullest open sample that still takes it
    MILL_PACK_MODE_COUNT
} mill_pack_mode;
extern const char *const mill_pack_mode_names[MILL_PACK_MODE_COUNT]; // "guide", "concat", "best-fit"

typedef struct mill_pack_options {
    mill_pack_mode mode;
    uint32_t seq_len;      // L
    uint32_t extra;        // 0 or 1: samples of L + extra tokens
    uint64_t open_max;     // best-fit: open samples at a time (0: no limit); one more closes the fullest, the oldest of these
    bool keep_single;      // guide: write the single block of a run that never flushed (the guide's text loses it)
} mill_pack_options;

// A part of a row in a sample: tokens [begin, begin + count) of row `row`.
typedef struct mill_part {
    uint64_t row;          // index in the order given to mill_pack_rows
    uint32_t begin, count;
} mill_part;

typedef struct mill_packing {
    mill_part *parts;      // of all samples, in order
    size_t part_count, part_capacity;
    uint64_t *sample_parts;// sample s is parts[sample_parts[s] .. sample_parts[s + 1]); sample_count + 1 entries, also for none
    size_t sample_count, sample_capacity;
    uint64_t tokens;       // in samples; those shared by `extra` are counted in each
    uint64_t repeated_tokens; // concat with extra: tokens counted twice
    uint64_t dropped_tokens;  // declared drops (guide's lost single block)
} mill_packing;
void mill_packing_free(mill_packing *packing);

#define MILL_PACK_BEST_FIT_MAX ((uint32_t)1 << 24) // longest best-fit sample in tokens: its tables have one entry a length

// Packs rows in the given order: lengths[i] tokens each, 1 <= length. Rows longer than seq_len + extra are MILL_INPUT except
// in concat mode, and in guide mode, which writes them oversized as the guide does. Nothing is lost: every token of every row is in
// exactly one sample (concat: the shared ones in two) or in dropped_tokens. Deterministic in (lengths, options).
// Concat: sample k is tokens [k * seq_len, k * seq_len + seq_len + extra) of the stream; the last one may be shorter, and there
// is none that would only repeat a token. Best-fit: samples stand in the order in which they were opened, rows in a sample in
// the order in which they were given. *out is overwritten, and empty after a failure; free with mill_packing_free.
mill_status mill_pack_rows(const uint32_t *lengths, uint64_t count, const mill_pack_options *options, mill_packing *out,
                           mill_error *err) MILL_MUST_CHECK;

#endif
