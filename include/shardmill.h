// shardmill.h: the public C API. Raw code corpora in, training-ready shards out.
//
// Every function that can fail returns a mill_status and describes the failure in a caller-owned mill_error (NULL is
// allowed). The library never prints, never exits and installs no signal handler; a handle belongs to one thread at a time,
// different handles are independent. Strings are UTF-8; sizes are bytes unless a name says otherwise.
#ifndef SHARDMILL_H
#define SHARDMILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MILL_VERSION_MAJOR 0
#define MILL_VERSION_MINOR 1
#define MILL_VERSION_PATCH 0
#define MILL_VERSION "0.1.0"
// Raised whenever the same inputs and recipe would give other product bytes or records of units, or are cut into other units; part
// of the plan a resume must match.
#define MILL_OUTPUT_VERSION 3

#define MILL_API __attribute__((visibility("default")))

// name, exit code of the program, stable code shown in messages
#define MILL_STATUS_MAP(X)                                                                         \
    X(OK, 0, "OK")                                                                                 \
    X(INTERNAL, 1, "E_INTERNAL")   /* a broken invariant: please report */                         \
    X(USAGE, 2, "E_USAGE")         /* options or arguments */                                      \
    X(RECIPE, 2, "E_RECIPE")       /* unknown key, wrong type, value out of range */               \
    X(INPUT, 3, "E_INPUT")         /* an input is refused, or --strict met quarantined records */  \
    X(IO, 4, "E_IO")               /* read, write, fsync, close, rename, mkdir failed */           \
    X(NOSPC, 4, "E_NOSPC")         /* disk, quota, inodes or file size limit exhausted */          \
    X(NOMEM, 5, "E_NOMEM")         /* memory */                                                    \
    X(RESOURCE, 5, "E_RESOURCE")   /* threads, device, helper process */                           \
    X(LOCKED, 6, "E_LOCKED")       /* another run owns the directory */                            \
    X(PLAN, 7, "E_PLAN")           /* the directory belongs to another plan */                     \
    X(VERIFY, 8, "E_VERIFY")       /* damaged or unfinished output */                              \
    X(RANK, 9, "E_RANK")           /* another rank failed */                                       \
    X(STOPPED, 130, "E_STOPPED")   /* stopped on request at a safe point; a rerun goes on */

typedef enum mill_status {
#define MILL_STATUS_ENUM(name, exit_code, text) MILL_##name,
    MILL_STATUS_MAP(MILL_STATUS_ENUM)
#undef MILL_STATUS_ENUM
} mill_status;

typedef struct mill_error {
    mill_status status;
    int sys_errno;     // errno of the failing call, 0 if none
    char message[480]; // one line: what, where, what to do next; control bytes already escaped
} mill_error;

MILL_API const char *mill_version(void);
MILL_API int mill_status_exit_code(mill_status status);
MILL_API const char *mill_status_code(mill_status status); // "E_IO", ...

// ---- running -----------------------------------------------------------------------------------------------------------------

// Which part of the pipeline a run does. The parts that are off are passed through: records in, the same records out.
typedef enum mill_stage_set {
    MILL_STAGES_ALL,    // records in, training shards out
    MILL_STAGES_FILTER, // records in, the records that pass out (records/)
    MILL_STAGES_DEDUP,  // records in, the first of each group of duplicates out (records/)
    MILL_STAGES_TRAIN,  // records in, a tokenizer out (tokenizer/)
    MILL_STAGES_ENCODE, // records in, rows of token ids out (rows/)
    MILL_STAGES_PACK,   // rows of token ids in, shards out
} mill_stage_set;

typedef enum mill_log_level { MILL_LOG_ERROR, MILL_LOG_WARNING, MILL_LOG_INFO, MILL_LOG_DEBUG } mill_log_level;

typedef struct mill_progress {
    const char *stage;     // what is being done: "read", "syntax and signatures", "train", ...
    uint64_t done, total;  // in unit; total 0: not known
    const char *unit;      // "bytes", "records", "merges", "samples"
    double fraction;       // of the whole run, 0..1, by measured cost of the stages
    double seconds;        // since the run began
    double seconds_left;   // estimate; negative: not known yet
    uint64_t bytes_read;   // of input text so far
    uint64_t records_read;
    const char *counted;   // what records_read counts; NULL: records
} mill_progress;

typedef struct mill_run_options {
    size_t struct_size;             // sizeof(mill_run_options): set by MILL_RUN_OPTIONS_INIT
    mill_stage_set stages;
    const char *const *inputs;      // files, directories, "-"
    size_t input_count;
    const char *output;             // directory
    const char *recipe;             // built-in name or file
    const char *const *sets;        // "key=value"
    size_t set_count;
    const char *const *languages;   // keep only these; 0: all
    size_t language_count;
    const char *tokenizer;          // tokenizer.json to use; NULL: train one
    const char *format;             // comma-separated: "jsonl.zst", "jsonl", "megatron", ...: docs/FORMATS.md
    const char *input_format;       // NULL: by content and name; "jsonl", "parquet", "tree"
    const char *source_type;        // NULL: source; "source", "docs", "qa", "notebook", "contest"
    const char *field_preset;       // NULL: any known column name; "guide", "the-stack", ...
    const char *const *fields;      // "field=column"
    size_t field_count;
    const char *device;             // "auto", "cpu"; "cuda" where a GPU build is present
    const char *backend;            // NULL: by device; "ref", "cpu": tests
    uint32_t threads;               // 0: all cores
    uint64_t memory_bytes;          // 0: half of the memory
    uint64_t batch_bytes;           // 0: 8 MiB of text; never changes the output
    bool overwrite;                 // remove an earlier run of ours in the directory first
    bool strict;                    // quarantined records make the result MILL_INPUT, after finishing
    bool keep_work;                 // keep the stage files
    bool fast;                      // no fsync: for tests and scratch runs
    bool full_input_check;          // fingerprint inputs by their whole content
    bool recheck;                   // resume: read finished files again instead of trusting size and name
    void (*log)(void *context, mill_log_level level, const char *message); // one line, no newline; may be NULL
    void (*progress)(void *context, const mill_progress *progress);        // now and then, from one thread; may be NULL
    void *context;                  // for both
    const volatile int *stop;       // a nonzero value stops the run at the next safe point (MILL_STOPPED); may be NULL
    const void *fs;                 // test hook: another file system (core/fs.h); NULL: the real one
    bool each;                      // every finished unit is made durable before the next one; else they are in groups, within 2 s
} mill_run_options;
#define MILL_RUN_OPTIONS_INIT                                                                      \
    {                                                                                              \
        .struct_size = sizeof(mill_run_options), .recipe = "default", .format = "jsonl.zst", .device = "auto" \
    }

typedef struct mill_run_summary {
    uint64_t read, kept, rejected, duplicate_exact, duplicate_near, unselected, quarantined; // records
    uint64_t samples, tokens, shards;
    double seconds;
    bool already_complete; // nothing had to be done
} mill_run_summary;

// Runs the pipeline into options->output, going on where an earlier run of the same plan stopped. On failure the directory is left
// so that the same call goes on. Blocks; uses options->threads threads.
MILL_API mill_status mill_run(const mill_run_options *options, mill_run_summary *summary, mill_error *err);

// Makes one finished directory of several (or of one), in the containers of options->format. inputs are the directories;
// output, sets (shard.* only), threads, overwrite, fast, keep_work, recheck, log, progress and stop mean what they mean to
// mill_run. Samples stand in the order of the directories and keep their borders, masks and origins; memory does not grow with
// their number. MILL_INPUT: the directories have different tokenizers, or hold different kinds of sequences.
MILL_API mill_status mill_merge_runs(const mill_run_options *options, mill_run_summary *summary, mill_error *err);

// ---- texts: results of the other commands, as text or one JSON document; free with mill_text_free -------------------------------

typedef struct mill_text {
    char *data; // NUL-terminated
    size_t bytes;
} mill_text;
MILL_API void mill_text_free(mill_text *text);

// The plan of a run before it starts: inputs, recipe as used, stages (json: one document). Writes nothing.
MILL_API mill_status mill_dry_run(const mill_run_options *options, bool json, mill_text *out, mill_error *err);
// Estimates from a sample of the inputs: documents, tokens, disk, memory, time.
MILL_API mill_status mill_plan(const mill_run_options *options, bool json, mill_text *out, mill_error *err);
// A built-in recipe ("guide", "default") or a recipe file, with a comment for each key.
MILL_API mill_status mill_recipe_text(const char *name, const char *const *sets, size_t set_count, mill_text *out, mill_error *err);
// Re-reads everything that was written: sums, seal, shards, accounting. MILL_VERIFY names the first damage.
MILL_API mill_status mill_verify(const char *directory, uint32_t threads, mill_text *out, mill_error *err);
// The metrics of a finished run.
MILL_API mill_status mill_stats(const char *directory, bool json, mill_text *out, mill_error *err);
// Writes directory/report.html, one self-contained page about a finished run; out is one line about it.
MILL_API mill_status mill_report_write(const char *directory, mill_text *out, mill_error *err);
// Random packed samples, decoded, FIM parts and document ends marked; color: with terminal escapes.
MILL_API mill_status mill_inspect(const char *directory, uint32_t samples, uint64_t seed, bool color, mill_text *out,
                                  mill_error *err);
// Every filter's measured value beside its limit for one record: line `line` (1-based) of a file, or of standard input ("-").
MILL_API mill_status mill_explain(const mill_run_options *options, const char *file, uint64_t line, bool json, mill_text *out,
                                  mill_error *err);
// What can compute here: CPU features, GPUs, ranks, compiled-in options.
MILL_API mill_status mill_devices(bool json, mill_text *out, mill_error *err);

// ---- files over the net (builds with libcurl; others answer MILL_USAGE) -----------------------------------------------------
//
// Credentials come from the environment (HF_TOKEN, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) and are never
// printed, written, or sent to another host than theirs. HF_ENDPOINT, AWS_ENDPOINT_URL and AWS_REGION name other servers.

typedef struct mill_collect_options {
    size_t struct_size;           // set by MILL_COLLECT_OPTIONS_INIT
    const char *const *urls;      // hf://datasets/OWNER/NAME[@REVISION]/PATH, s3://BUCKET/KEY (both may be patterns), https://...
    size_t url_count;
    const char *output;           // directory
    const char *const *languages; // of hf:// and s3://: only files below a directory of such a name; 0: all
    size_t language_count;
    uint32_t threads;             // files at a time; 0: 8
    uint32_t tries;               // of a request that fails without bringing a byte
    uint32_t wait_ms;             // before the second try; doubles
    uint32_t timeout_s;           // without a byte
    bool update;                  // take new versions of what was collected, and look up the hub's revisions anew
    bool sizes_only;              // trust what is there by size, without reading it
    bool fast;                    // no fsync
    void (*log)(void *context, mill_log_level level, const char *message);
    void (*progress)(void *context, const mill_progress *progress); // from any thread, one call at a time; may be NULL
    void *context;
    const volatile int *stop;     // nonzero: stops soon (MILL_STOPPED); the same call goes on
    const void *fs;               // test hook; NULL: the real one
} mill_collect_options;
#define MILL_COLLECT_OPTIONS_INIT                                                                  \
    {                                                                                              \
        .struct_size = sizeof(mill_collect_options), .tries = 8, .wait_ms = 1000, .timeout_s = 60  \
    }

typedef struct mill_collect_summary {
    uint64_t files, bytes;           // collected, those that were there before included
    uint64_t fetched, fetched_bytes; // in this call
    double seconds;
} mill_collect_summary;

// Fetches the files into options->output, checks each by what the server tells of it, and writes collect.json beside them: address,
// revision, size and SHA-256 of each. What is there already is checked and skipped; partial files are continued.
MILL_API mill_status mill_collect(const mill_collect_options *options, mill_collect_summary *summary, mill_error *err);
// What mill_collect would fetch, as text or one JSON document. Writes nothing.
MILL_API mill_status mill_collect_list(const mill_collect_options *options, bool json, mill_text *out, mill_error *err);

typedef struct mill_upload_options {
    size_t struct_size;    // set by MILL_UPLOAD_OPTIONS_INIT
    const char *directory; // of a finished run
    const char *target;    // s3://BUCKET/PREFIX
    uint32_t threads;      // files at a time; 0: 4
    uint32_t tries, wait_ms, timeout_s; // as in mill_collect_options
    bool overwrite;        // another run's manifest.json at the target is removed first
    void (*log)(void *context, mill_log_level level, const char *message);
    void (*progress)(void *context, const mill_progress *progress);
    void *context;
    const volatile int *stop;
} mill_upload_options;
#define MILL_UPLOAD_OPTIONS_INIT                                                                   \
    {                                                                                              \
        .struct_size = sizeof(mill_upload_options), .tries = 8, .wait_ms = 1000, .timeout_s = 60   \
    }

typedef struct mill_upload_summary {
    uint64_t files, bytes;     // of the directory
    uint64_t sent, sent_bytes; // in this call
    double seconds;
} mill_upload_summary;

// Copies a finished directory to S3, manifest.json last; every object is checked by what S3 tells of it afterwards. What is there
// already with the right size and checksum is skipped, an upload in parts is continued.
MILL_API mill_status mill_upload(const mill_upload_options *options, mill_upload_summary *summary, mill_error *err);

#ifdef __cplusplus
}
#endif
#endif
