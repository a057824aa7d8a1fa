// estimate.h: what `plan` measures on a sample of the inputs.
#ifndef MILL_PIPELINE_ESTIMATE_H
#define MILL_PIPELINE_ESTIMATE_H

#include "pipeline/run.h"

typedef struct mill_plan_sample {
    mill_batch batch;            // the records of the sample
    mill_parse_counts counts;
    uint64_t text_bytes;         // of the records, before any filter
    uint64_t taken_bytes;        // of the inputs, decompressed
    double total_bytes;          // of all inputs, decompressed: an estimate where they are compressed
    uint64_t files, files_taken;
    double scale;                // total_bytes / taken_bytes
    uint64_t read_bytes;         // read and decompressed to get at them
    uint64_t read_ns, parse_ns;
} mill_plan_sample;

// Reads about bytes_max of text: places spread over plain files and over the first GiB of compressed ones, files of a tree by a
// hash of their path; the same sample each time. MILL_INPUT: an input is standard input, or there are no records.
mill_status mill_plan_sample_read(mill_run_state *run, uint64_t bytes_max, mill_plan_sample *out, mill_error *err) MILL_MUST_CHECK;

typedef struct mill_plan_duplicates { // among `of` documents
    uint64_t of, exact, near;
} mill_plan_duplicates;

typedef struct mill_plan_facts { // of the sample, as measured
    uint64_t by_reason[MILL_REASON_COUNT];
    uint64_t passed, passed_bytes;           // the filter, without syntax
    uint64_t filter_ns;
    uint64_t segment_bytes;                  // of what passed, on disk
    uint64_t checked, checked_bytes, failed, syntax_ns; // syntax, on a part of what passed
    uint64_t signed_bytes, sketch_ns;
    mill_plan_duplicates half, whole;        // in half of the sample, and in all of it
    uint64_t dedup_ns;
    uint64_t kept, kept_bytes;               // after deduplication of the sample, as if all parsed that was not checked
    uint64_t word_bytes, words_ns, unique_words, train_ns;
    uint32_t vocab_size;
    uint64_t encoded_bytes, tokens, encode_ns;
    uint64_t written_tokens, zst_bytes, jsonl_bytes, write_ns;
} mill_plan_facts;

// Sends the sample through filter, syntax, deduplication, training, encoding and writing. The batch is left with what was kept.
mill_status mill_plan_measure(mill_run_state *run, mill_plan_sample *sample, mill_plan_facts *out, mill_error *err) MILL_MUST_CHECK;

#endif
