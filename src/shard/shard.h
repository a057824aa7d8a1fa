// shard.h: samples -> files of a container. A shard is a pure function of its samples and options, so shards are written by any
// worker in any order; the pipeline commits them.
#ifndef MILL_SHARD_SHARD_H
#define MILL_SHARD_SHARD_H

#include "core/alloc.h"

typedef enum mill_mds_form { MILL_MDS_ARRAYS, MILL_MDS_LLM_FOUNDRY } mill_mds_form;

typedef struct mill_shard_options {
    uint32_t samples_per_shard; // 10000
    int zstd_level;             // jsonl.zst
    int mds_zstd_level;         // 0: MDS shards are not compressed
    uint64_t mds_size_limit;    // most bytes of one, uncompressed
    int mds_form;               // mill_mds_form
    uint32_t parquet_group_rows;
    bool python_spacing;        // {"input_ids": [1, 2], "length": 2} as json.dumps writes it (guide)
    bool boundaries;            // write "cu_seqlens"
    bool positions;             // write "position_ids"
    bool loss_mask;             // write "loss_mask"
    uint32_t vocab_size;        // every id must be below it: a larger one is MILL_INTERNAL, named with its sample
} mill_shard_options;

// One sample: ids, and where its rows begin (cu_seqlens: row_count + 1 entries from 0 to count).
typedef struct mill_sample {
    const uint32_t *ids;
    uint32_t count;
    const uint32_t *cu_seqlens;
    uint32_t row_count;
    const uint32_t *positions;  // one a token, below 2^31; NULL where the options have none
    const uint8_t *loss_mask;   // one a token: 1 is a target; NULL where the options have none
    uint64_t number;            // of the sample in the run: for messages only
    const char *source;         // of a document: name of its input, NULL for packed samples
    uint64_t record;            // and its number there
} mill_sample;

// Appends one sample's line to the bytes of a jsonl shard:
// {"input_ids":[1,2],"length":2,"cu_seqlens":[0,2],"position_ids":[0,1],"loss_mask":[0,1]} and a newline, the last three members
// by the options. A failure leaves out as it was. This is the plain form that defines the bytes.
mill_status mill_shard_jsonl_append(const mill_shard_options *options, const mill_sample *sample, mill_buf *out,
                                    mill_error *err) MILL_MUST_CHECK;
// The same, several times faster: a handle holds the digits of the ids. It does not change after open, so threads may share
// it. About 8 bytes for each id of the vocabulary.
typedef struct mill_shard_writer mill_shard_writer;
mill_status mill_shard_writer_open(const mill_shard_options *options, mill_shard_writer **out, mill_error *err) MILL_MUST_CHECK;
void mill_shard_writer_close(mill_shard_writer *writer); // NULL is fine
mill_status mill_shard_writer_append(const mill_shard_writer *writer, const mill_sample *sample, mill_buf *out,
                                     mill_error *err) MILL_MUST_CHECK;
// Appends the numbers alone: "1,2".
mill_status mill_shard_writer_ids(const mill_shard_writer *writer, const uint32_t *ids, uint32_t count, mill_buf *out,
                                  mill_error *err) MILL_MUST_CHECK;
// Appends the data, lists of ids or others, compressed as a single zstd frame with checksum; one thread, so the bytes depend on
// data, level and zstd's version alone. MILL_RECIPE: the level is not one of zstd's.
mill_status mill_shard_zstd(const void *data, size_t bytes, int level, bool ids, mill_buf *out, mill_error *err) MILL_MUST_CHECK;
// Sets a ZSTD_CCtx up as shards are compressed: as a stream, by 1 or more threads of zstd's own, which give the same bytes, or with
// workers 0 in one call and by the caller, which gives others. MILL_RECIPE: there is no such level. MILL_RESOURCE: this libzstd has
// no threads.
mill_status mill_shard_zstd_set_up(void *context, int level, uint32_t workers, mill_error *err) MILL_MUST_CHECK;
size_t mill_shard_zstd_job(int level); // bytes of text that one of its threads takes at once
#define MILL_ZSTD_WORKERS_MAX 32 // each holds a job's text and what became of it

#endif
