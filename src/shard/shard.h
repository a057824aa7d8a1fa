// shard.h: samples -> files of a container. A shard is a pure function of its samples and options, so shards are written by any
// worker in any order; the pipeline commits them.
#ifndef MILL_SHARD_SHARD_H
#define MILL_SHARD_SHARD_H

#include "core/alloc.h"

typedef struct mill_shard_options {
    uint32_t samples_per_shard; // 10000
    int zstd_level;             // jsonl.zst
    bool python_spacing;        // {"input_ids": [1, 2], "length": 2} as json.dumps writes it (guide)
    bool boundaries;            // write "cu_seqlens"
    uint32_t vocab_size;        // every id must be below it: a larger one is MILL_INTERNAL, named with its sample
} mill_shard_options;

// One sample: ids, and where its rows begin (cu_seqlens: row_count + 1 entries from 0 to count).
typedef struct mill_sample {
    const uint32_t *ids;
    uint32_t count;
    const uint32_t *cu_seqlens;
    uint32_t row_count;
} mill_sample;

// Serialises samples into the bytes of one jsonl shard, appended to out.
mill_status mill_shard_jsonl_append(const mill_shard_options *options, const mill_sample *sample, mill_buf *out,
                                    mill_error *err) MILL_MUST_CHECK;
// Compresses one whole file as a single zstd frame with content size and checksum.
mill_status mill_shard_zstd(const void *data, size_t bytes, int level, mill_buf *out, mill_error *err) MILL_MUST_CHECK;

#endif
