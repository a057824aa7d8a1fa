// run.h: the state of one run, shared by the passes and barriers of the stage table (plan.c).
#ifndef MILL_PIPELINE_RUN_H
#define MILL_PIPELINE_RUN_H

#include <stdatomic.h>

#include "backend/gpu.h"
#include "core/log.h"
#include "core/parallel.h"
#include "pipeline/account.h"
#include "pipeline/recipe.h"
#include "pipeline/run_log.h"
#include "pipeline/workdir.h"

#define MILL_STATE ".shardmill"

// What a barrier needs to know of a record that passed the filter; 120 bytes, in global order.
typedef struct mill_doc {
    mill_key key, content;
    int64_t stars;
    uint64_t record;          // number in its input
    uint64_t bytes, lines;    // of the text
    uint32_t input;
    uint32_t unit, row;       // place in the segments
    mill_language_id language;
    uint16_t verdict;         // mill_reason
    uint16_t flags;
    uint8_t type;
    uint8_t epochs;           // how often the mixture takes it (0 or 1 without up-sampling)
    uint32_t represents;      // index of the first record of its group (barrier_group.c; itself, if it is the first)
} mill_doc;

typedef struct mill_input_facts { // of a finished input
    char *name;
    char sha256[65];
    uint64_t file_bytes, files, records, skipped_binary, skipped_empty, skipped_other;
    mill_key fingerprint;         // proves in the plan that the input is the one of the first attempt
    mill_account account;
} mill_input_facts;

typedef enum mill_timing_name {
    MILL_TIME_READ,
    MILL_TIME_FILTER,
    MILL_TIME_SYNTAX,
    MILL_TIME_SKETCH,
    MILL_TIME_EXACT,
    MILL_TIME_DEDUP,
    MILL_TIME_PRETOKEN,
    MILL_TIME_WORDS,
    MILL_TIME_TRAIN,
    MILL_TIME_FIM,
    MILL_TIME_ENCODE,
    MILL_TIME_PACK,
    MILL_TIME_WRITE,
    MILL_TIME_COUNT
} mill_timing_name;

typedef struct mill_timing {
    _Atomic uint64_t ns, cpu_ns, bytes, records; // ns and cpu_ns summed over workers
    uint64_t pass_ns, pass_cpu_ns;               // of a stage that has the program to itself: of all its threads; else 0
} mill_timing;

typedef struct mill_instant {
    int64_t clock_ns, thread_ns; // of the wall; processor time of the thread that asked
} mill_instant;

typedef struct mill_pass_instant {
    int64_t clock_ns, process_ns; // of the wall; processor time of the program
} mill_pass_instant;

typedef struct mill_part_of_run { // what is running, for progress
    const char *stage, *unit;
    uint32_t of_stage, number;   // place in the stage table; 0, 1, .. among the parts of that stage
    _Atomic uint64_t done, total;
} mill_part_of_run;

typedef struct mill_token_unit { // a unit's tokens, mapped
    mill_view file;
    _Atomic bool touched;        // looked at since it last left memory
    const mill_row *rows;
    uint64_t row_count;
    uint32_t records;            // rows of the segment
    const mill_span *repo, *path, *licence; // by segment row
    const char *meta;
    const uint32_t *runs;        // of targets (mill_row)
    const uint64_t *docs;        // by record; NULL: they follow from the unit
    const mill_row *files;       // of rows of repositories
    const uint8_t *ids;          // of id_bytes each
    uint32_t id_bytes;
} mill_token_unit;

typedef struct mill_shard_plan mill_shard_plan; // shard_plan.h
typedef struct mill_merged mill_merged;         // merged.h

typedef struct mill_packed_row { // a row in packing order
    uint32_t unit, row;          // in the token files
    uint64_t doc;                // the document, or the first one of its sequence
} mill_packed_row;

typedef struct mill_repos mill_repos;

typedef struct mill_run_state {
    const mill_run_options *options;
    const mill_fs *fs;
    mill_log log;
    mill_run_log *kept_log;
    mill_recipe recipe;
    mill_language_table *languages;
    bool *wanted_languages;      // by id; NULL: all
    mill_workdir *dir;
    mill_source *source;
    struct mill_read_ahead *read_ahead; // of the source, while it is read by a thread of its own; else NULL
    mill_removal *removal;       // NULL: nothing is removed
    mill_gpus *gpus;             // NULL: none
    const mill_backend_ops *backend;
    uint32_t threads;
    uint64_t batch_bytes, memory_bytes;
    uint64_t group_bytes;        // most text of a row group of Parquet that one worker takes as a whole
    mill_stage_set stages;
    uint32_t formats, formats_documents; // wanted containers by place in their table; those that hold documents
    mill_shard_plan *shard_plan; // from the shards pass on
    const mill_merged *merged;   // convert and merge: where sequences come from (merged.h)

    mill_input_facts *inputs;
    size_t input_count;
    uint64_t unit_count;
    mill_doc *docs;
    uint64_t doc_count;
    uint64_t *unit_first;        // index of a unit's first doc; unit_count + 1 entries

    mill_minhash_params minhash;
    uint32_t bands, rows;        // of the LSH

    mill_tokenizer *tokenizer;
    mill_buf tokenizer_given;    // the file of --tokenizer
    char tokenizer_sha256[65];

    mill_line_cut *cuts;         // rng python: by doc index
    const char *token_stage;     // stage whose units are the token files: "encode", "read-rows"
    uint32_t vocab_size;         // every id of the token files is below it
    mill_repos *repos;           // NULL: documents are encoded one by one (repos.h)
    mill_token_unit *tokens;     // by token unit
    uint64_t token_units;        // while they are mapped
    _Atomic uint64_t tokens_touched; // bytes of the files that are in memory
    mill_packed_row *packed;     // in packing order
    uint64_t packed_count;
    mill_packing packing;
    mill_share_report *shares;
    size_t share_count;

    mill_timing timing[MILL_TIME_COUNT];
    mill_part_of_run part;
    uint32_t stage;              // place in the stage table
    int64_t started_ns;
    _Atomic int64_t shown_ns;
    _Atomic uint64_t bytes_read, records_read;
    mill_run_summary summary;
} mill_run_state;

// ---- the passes and barriers, in the order of the stage table ------------------------------------------------------------------
mill_status mill_pass_ingest(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;   // read, normalise, filter -> segments
mill_status mill_pass_read_rows(mill_run_state *run, mill_error *err) MILL_MUST_CHECK; // stage pack: rows of ids -> token units
mill_status mill_barrier_group(mill_run_state *run, mill_error *err) MILL_MUST_CHECK; // who has the same content
mill_status mill_pass_check(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;    // syntax, signatures -> sketches
mill_status mill_barrier_dedup(mill_run_state *run, mill_error *err) MILL_MUST_CHECK; // draws, exact, near -> verdicts, clusters
mill_status mill_pass_records(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;  // stages filter and dedup: records out
mill_status mill_pass_train(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;    // words, merges -> tokenizer
mill_status mill_pass_imports(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;  // what files of repositories import
mill_status mill_barrier_repos(mill_run_state *run, mill_error *err) MILL_MUST_CHECK; // sequences of files, in order
mill_status mill_pass_encode(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;   // FIM, ids -> token units
mill_status mill_barrier_pack(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;  // mixture, order, samples
mill_status mill_pass_rows(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;     // stage encode: rows out
mill_status mill_pass_shards(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;   // shards and the docs sidecar
mill_status mill_pass_finish(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;   // quarantine, metrics, sums, manifest

// Tables of mill_doc on disk: language names, then the rows with places in that list instead of ids. decode appends.
mill_status mill_docs_encode(const mill_language_table *languages, const mill_doc *docs, uint32_t count, mill_buf *out,
                             mill_error *err) MILL_MUST_CHECK;
mill_status mill_docs_decode(const uint8_t *data, size_t bytes, const char *name, mill_language_table *languages, mill_doc **docs,
                             size_t *capacity, uint64_t *count, mill_error *err) MILL_MUST_CHECK;

// Offset of the signatures in a sketch of `count` documents.
size_t mill_sketch_signature_offset(uint32_t count);

// ---- helpers of the passes ----

// The stage whose units are the blocks of the inputs: "ingest", or "read-rows".
const char *mill_input_stage(const mill_run_state *run);
// The first segments are stored, as the page cache holds them between the passes and packing them would cost more than all
// else that is done to small inputs; the others are packed, as the disk would bound large ones. Readers take both.
int mill_run_segment_level(const mill_run_state *run, uint64_t unit);
uint64_t mill_run_stored_bytes(const mill_run_state *run); // of text, at most
void mill_run_segment_path(uint64_t unit, char path[64]);
void mill_run_sketch_path(uint64_t unit, char path[64]);
// Loads the segment of a unit.
mill_status mill_run_load_segment(mill_run_state *run, uint64_t unit, mill_batch *batch, mill_error *err) MILL_MUST_CHECK;
// Maps the token files of all units into run->tokens.
mill_status mill_run_map_tokens(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;
void mill_run_unmap_tokens(mill_run_state *run);
// The mapped token file of a unit, for a look at it; thread-safe. A mapped file stays in memory as far as it was looked at (a
// kernel may map a MiB around each place), so now and then all of them leave it; they come back by themselves.
const mill_token_unit *mill_run_tokens(mill_run_state *run, uint64_t number);
uint32_t mill_token_id(const mill_token_unit *unit, uint64_t index);
void mill_token_ids(const mill_token_unit *unit, uint64_t first, uint32_t count, uint32_t *out); // `count` of them
// Place in the table of documents of record `record` of token unit number `unit`.
uint64_t mill_token_doc(const mill_run_state *run, uint64_t unit, uint32_t record);
// Which of the tokens [begin, begin + count) of a row are targets: 1 or 0 for each.
void mill_token_mask(const mill_token_unit *unit, const mill_row *row, uint32_t begin, uint32_t count, uint8_t *out);
// Whether shards and rows of this run have a loss_mask; known when the documents are.
bool mill_run_has_mask(const mill_run_state *run);
uint64_t mill_run_held_bytes(const mill_run_state *run); // of finished units in memory, from which on they are written at once
uint64_t mill_run_padding(const mill_run_state *run);  // tokens that fill samples up; known after the shards pass
bool mill_run_has_chats(const mill_run_state *run); // among the kept documents
// Compares two languages as file names of the guide's steps sort: NAME + suffix.
int mill_language_order(const mill_run_state *run, mill_language_id a, mill_language_id b, char suffix);
// Indexes of all kept docs ordered by language (with suffix), then global order. Free with mill_free.
mill_status mill_run_order_by_language(const mill_run_state *run, char suffix, uint64_t **order, uint64_t *count, mill_error *err)
    MILL_MUST_CHECK;
// Fate of every doc is final: moves it from "kept so far" to its reason in the accounts of its input and checks the sums.
mill_status mill_run_settle(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;

// Refuses a run whose tables of documents would not fit --memory.
mill_status mill_run_check_tables(const mill_run_state *run, mill_error *err) MILL_MUST_CHECK;

void mill_run_part(mill_run_state *run, const char *stage, const char *unit, uint64_t total); // begins a part for progress
void mill_run_advance(mill_run_state *run, uint64_t done);                                   // thread-safe
// What one thread worked on a stage, from begin to end on that thread.
mill_instant mill_time_begin(void);
void mill_time_end(mill_run_state *run, mill_timing_name name, mill_instant begin, uint64_t bytes, uint64_t records);
// What the program worked on a stage that had it to itself, with threads that are no workers (those that compress). It is what is
// told of it.
mill_pass_instant mill_time_pass_begin(void);
void mill_time_pass_end(mill_run_state *run, mill_timing_name name, mill_pass_instant begin);
// How many threads compress a file of `size` beside its writer, where it and all files to come have `left`: one, but two
// for each of ours that will have nothing to do when there are no more files than threads (the writer waits for all of them to end
// their jobs, and the last one to end should not be alone for long).
uint32_t mill_run_workers(const mill_run_state *run, uint64_t size, uint64_t left);
// Text of all records that passed the filters, and of those that are left: what a barrier's time is divided by.
uint64_t mill_run_text_bytes(const mill_run_state *run);
uint64_t mill_run_kept_bytes(const mill_run_state *run);
mill_status mill_run_write_timings(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;
// The plan as JSON (recipe, inputs, options that shape the output).
mill_status mill_run_plan_json(mill_run_state *run, cJSON **plan, mill_error *err) MILL_MUST_CHECK;
// Opens recipe, languages and inputs of the options; everything but the output directory.
mill_status mill_run_prepare(mill_run_state *run, const mill_run_options *options, mill_error *err) MILL_MUST_CHECK;
// The same without the inputs.
mill_status mill_run_prepare_rules(mill_run_state *run, const mill_run_options *options, mill_error *err) MILL_MUST_CHECK;
void mill_run_release(mill_run_state *run);

#endif
