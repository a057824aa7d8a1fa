// estimate.h: what `plan` measures on a sample of the inputs.
#ifndef MILL_PIPELINE_ESTIMATE_H
#define MILL_PIPELINE_ESTIMATE_H

#include "pipeline/run.h"

typedef struct mill_plan_duplicates { // among `of` documents that passed the filter
    uint64_t of, exact, near, kept_bytes;
} mill_plan_duplicates;

typedef struct mill_plan_facts { // of the sample, as measured
    uint64_t by_reason[MILL_REASON_COUNT];
    uint64_t passed, passed_bytes;           // the filter, without syntax
    uint64_t filter_ns;
    uint64_t segment_of, segment_bytes;      // text of a part of what passed, and what it takes on disk
    uint64_t storing_ns;                     // of that part, between the passes
    uint64_t signed_bytes, sketch_ns;
    mill_plan_duplicates half, whole;        // in half of the sample, and in all of it
    uint64_t dedup_ns;
    uint64_t checked, checked_bytes, failed, failed_bytes, syntax_ns; // syntax, on a part of what passed
    uint64_t word_bytes, words_ns, unique_words, train_ns;
    uint32_t vocab_size;
    uint64_t encoded_bytes, tokens, encode_ns;
    uint64_t written_tokens, zst_bytes, jsonl_bytes, write_ns;
} mill_plan_facts;

// Sends the sample, batch by batch, through filter and signatures; in the end all of it through deduplication, and documents that
// were drawn from it through syntax check, training, encoding and writing.
typedef struct mill_plan_meter mill_plan_meter;
mill_status mill_plan_meter_open(mill_run_state *run, mill_plan_facts *facts, mill_plan_meter **out, mill_error *err)
    MILL_MUST_CHECK; // the meter is to be closed in any case
mill_status mill_plan_meter_add(mill_plan_meter *meter, mill_batch *batch, mill_error *err) MILL_MUST_CHECK; // changes the batch
mill_status mill_plan_meter_finish(mill_plan_meter *meter, mill_error *err) MILL_MUST_CHECK;
// Documents like those that a run would keep, duplicates aside.
const mill_batch *mill_plan_meter_drawn(const mill_plan_meter *meter);
void mill_plan_meter_close(mill_plan_meter *meter); // NULL is fine

typedef struct mill_plan_sample {
    mill_parse_counts counts;
    uint64_t text_bytes;         // of the records, before any filter
    uint64_t taken_bytes;        // of the inputs, decompressed
    double total_bytes;          // of all inputs, decompressed: an estimate where they are compressed
    uint64_t files, files_taken;
    double scale;                // total_bytes / taken_bytes
    uint64_t read_bytes;         // read and decompressed to get at them
    uint64_t read_ns, parse_ns;
} mill_plan_sample;

// Gives the meter about bytes_max of text: places spread over plain files and over the first GiB of compressed ones, files of a
// tree by a hash of their path; the same sample each time. MILL_INPUT: an input is standard input, or there are no records.
mill_status mill_plan_sample_read(mill_run_state *run, uint64_t bytes_max, mill_plan_meter *meter, mill_plan_sample *out,
                                  mill_error *err) MILL_MUST_CHECK;

#endif
