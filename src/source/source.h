// source.h: bytes -> records. A source is an ordered list of inputs, pulled block by block: mill_source_next runs under the
// caller's lock and only reads, decompresses and cuts; mill_source_parse turns a block into a batch on any thread.
//
// An input is one file (or standard input), or one source tree. Records are numbered from 1 in each input: the line number of
// a JSONL file (blank lines count as lines but are no records), the place in bytewise path order of a tree. Blocks are cut by
// bytes at record ends (Parquet: between row groups, where those are small), so they depend on the inputs and block_bytes alone,
// never on threads or timing; what comes out of the pipeline does not depend on block_bytes either.
#ifndef MILL_SOURCE_SOURCE_H
#define MILL_SOURCE_SOURCE_H

#include "core/fs.h"
#include "record/batch.h"
#include "record/quarantine.h"
#include "source/chat_template.h"
#include "source/removal.h"

typedef enum mill_field { // what a record is made of; each is filled from one of several column names
    MILL_FIELD_CONTENT,
    MILL_FIELD_LANGUAGE,
    MILL_FIELD_REPO,
    MILL_FIELD_PATH,
    MILL_FIELD_STARS,
    MILL_FIELD_LICENCE,
    MILL_FIELD_INSTRUCTION, // the parts of conversations (chat_template.h)
    MILL_FIELD_INPUT,
    MILL_FIELD_OUTPUT,
    MILL_FIELD_MESSAGES,
    MILL_FIELD_PROMPT,
    MILL_FIELD_COMPLETION,
    MILL_FIELD_COUNT
} mill_field;
extern const char *const mill_field_names[MILL_FIELD_COUNT]; // "content", "language", .. "completion"
#define MILL_FIELD_WORDS \
    "content, language, repo, path, stars, licence, instruction, input, output, messages, prompt, completion"

typedef enum mill_bad_unicode { MILL_UNICODE_REPLACE, MILL_UNICODE_DROP, MILL_UNICODE_ERROR } mill_bad_unicode;

typedef enum mill_notebooks { MILL_NOTEBOOKS_KEEP, MILL_NOTEBOOKS_FILES, MILL_NOTEBOOKS_SCRIPT } mill_notebooks;
typedef enum mill_magics { MILL_MAGICS_COMMENT, MILL_MAGICS_KEEP, MILL_MAGICS_DROP } mill_magics;
typedef enum mill_html_pages { MILL_PAGES_KEEP, MILL_PAGES_DOCS, MILL_PAGES_ALL } mill_html_pages;
typedef enum mill_nul { MILL_NUL_KEEP, MILL_NUL_STRIP, MILL_NUL_QUARANTINE } mill_nul;

typedef struct mill_shape_options { // what becomes of a text before it is a record; zero-initialised: nothing
    mill_notebooks notebooks;    // become scripts: nowhere, in trees and archives, in data sets, too
    mill_magics magics;          // lines of a notebook that only IPython reads
    bool keep_outputs;           // a notebook's text outputs as comments, each of output_chars code points at most
    uint64_t output_chars;
    mill_html_pages pages;       // HTML pages become Markdown: nowhere, where the data type is docs, everywhere
    bool statements;             // the statement of a contest's task as a comment before each solution
    bool newlines;               // CR LF and lone CR become LF
    bool strip_bom;              // U+FEFF at the start of a text goes
    mill_nul nul;                // U+0000 in a text
    bool declared_encodings;     // a file that is no UTF-8 is read in the encoding that it declares (BOM, coding:, charset=)
    const char *encoding;        // the encoding of files that are neither UTF-8 nor declare one; NULL or "": they are quarantined
} mill_shape_options;

typedef enum mill_qa_form {
    MILL_QA_TEXT,        // a question with its answers, best first, as one document
    MILL_QA_CODE,        // the code blocks of an answer
    MILL_QA_INSTRUCTION, // an answer with its question, as an instruction record
} mill_qa_form;

typedef struct mill_qa_options { // Stack Exchange dumps
    mill_qa_form form;
    int64_t score_above;         // only answers with a higher score
    const char *site;            // what stands as repository; NULL: ""
} mill_qa_options;

typedef struct mill_source_options {
    const char *format;          // NULL or "auto", "jsonl", "parquet", "tree", "text", "notebook", "stackexchange"
    const char *preset;          // "auto", "guide", "the-stack", "github-code", "starcoderdata", "bigquery", "alpaca",
                                 // "sharegpt", "messages", "prompt"; auto: the first mapped column name that a record has, over all
                                 // presets, where a column of content comes before those of conversations
    const char *field[MILL_FIELD_COUNT]; // column name by --field, or NULL
    mill_data_type type;         // of records that do not tell (--source-type)
    bool type_given;             // true: the type above beats what the language suggests
    bool strip_metadata_head;    // remove a leading <reponame>..<filename>..<gh_stars>.. line (StarCoderData)
    mill_bad_unicode bad_unicode;// lone surrogates: U+FFFD, quarantine, or refuse the input
    uint64_t record_bytes_max;   // a longer record is quarantined (64 MiB)
    uint64_t block_bytes;        // aim for this many bytes a block
    mill_shape_options shape;
    uint64_t group_bytes_max;    // Parquet: a row group of more is decoded by the reader, block by block (0: 256 MiB)
    mill_qa_options qa;
    mill_chat_options chat;      // how conversations of any source become text
    const mill_removal *removal; // what must not come in; borrowed; NULL: nothing
    bool follow_links;           // trees: read links to files too; without it links are skipped and counted
} mill_source_options;

typedef struct mill_input_info { // one input, for plans, manifests and messages
    const char *name;            // relative name: the argument without its leading directories; for files found in a
                                 // directory argument, DIRECTORY_NAME/path below it; "-" for standard input. Unique.
    const char *path;            // to open it
    bool is_tree;                // each record is a file: of a directory, or the one file itself
    bool is_parquet;
    bool is_posts, is_archive;   // Posts.xml of a Stack Exchange dump; an archive, each record of which is a file in it
    uint64_t file_bytes;         // raw bytes on disk (trees: sum), 0 for standard input
    uint64_t files;              // 1, or regular files of the tree
    uint64_t record_files, record_bytes; // of these: JSON lines and Parquet, which a tree does not read as such
    uint64_t skipped_binary, skipped_empty, skipped_other; // trees: files that are no records, by cause; filled while reading
    uint64_t records;            // records seen so far (read, quarantined ones included)
    char sha256[65];             // of the raw file, or of (path, size, content hash) of a tree's files; valid when done
    bool done;
} mill_input_info;

typedef struct mill_source mill_source;

// Resolves arguments (files, directories, "-") into inputs in the given order; a directory expands bytewise by path. A directory is
// a source tree unless every regular file in it (hidden ones aside) has a record suffix (.jsonl .ndjson .json, with .gz or .zst;
// .parquet) or an archive's, or belongs to an unpacked dump. A missing or unreadable argument is MILL_INPUT naming it. FIFOs,
// sockets and devices inside directories are skipped and counted.
mill_status mill_source_open(const mill_fs *fs, const char *const *arguments, size_t count,
                             const mill_source_options *options, mill_language_table *languages, mill_source **out,
                             mill_error *err) MILL_MUST_CHECK;
size_t mill_source_input_count(const mill_source *source);
const mill_input_info *mill_source_input(const mill_source *source, size_t index);
// Where inputs that must be sorted spill, and with how many threads that is done; without this call only small ones can be read.
// stop: a nonzero value ends long reading with MILL_STOPPED; may be NULL.
typedef struct mill_source_work {
    int dir;               // directory handle
    const char *prefix;    // of names below it; the string must outlive the source
    uint32_t threads;
    const volatile int *stop;
} mill_source_work;
void mill_source_set_work(mill_source *source, const mill_source_work *work);
void mill_source_close(mill_source *source); // NULL is fine
// A short proof of what input `index` holds (source_fingerprint.c); whole: by all of its content, whatever its size. Standard input
// has none.
mill_status mill_source_fingerprint(const mill_source *source, size_t index, bool whole, mill_key *out, mill_error *err)
    MILL_MUST_CHECK;

// Raw records as cut from the inputs. Reused from call to call; zero-initialise, free with mill_block_free.
typedef struct mill_block_piece {
    uint32_t input;
    uint64_t first_record; // number of the first record (or line) in this piece
    uint64_t offset;       // of the piece in the decompressed input
    uint64_t begin, bytes; // place in block->bytes
    uint32_t path;         // trees: offset of the NUL-terminated path in block->paths
    // Parquet: rows as the reader stored them, or (bytes 0) a row group to decode, whose first row is record `offset`
    uint32_t group;
    uint64_t records;      // from first_record on
    uint64_t decoded_max;  // most bytes of the group's values
    bool is_lost;          // these records cannot be read; the reason stands in block->paths
} mill_block_piece;

typedef struct mill_block {
    uint64_t unit;               // 0, 1, 2, ...
    mill_buf bytes;              // JSONL: whole lines; tree: file contents
    mill_buf paths;
    uint64_t planned;            // Parquet: bytes of row groups that are decoded by mill_source_parse
    mill_block_piece *pieces;
    size_t piece_count, piece_capacity;
    mill_quarantine quarantine;  // what the reader itself found: too_long lines, damaged streams
    struct mill_block_count {    // records that the reader itself rejected
        uint32_t input;
        mill_reason reason;
        uint64_t count;
    } *counts;
    size_t count_count, count_capacity;
} mill_block;
void mill_block_free(mill_block *block);

// Reads the next block; *end when there is none (the block is then empty). Not thread-safe.
mill_status mill_source_next(mill_source *source, mill_block *block, bool *end, mill_error *err) MILL_MUST_CHECK;

// Scratch memory of one parsing thread.
typedef struct mill_parser mill_parser;
mill_status mill_parser_open(const mill_source *source, mill_parser **out, mill_error *err) MILL_MUST_CHECK;
void mill_parser_close(mill_parser *parser);

typedef struct mill_parse_counts { // added to, not set
    uint64_t read;               // records: appended + rejected + quarantined (those of block->quarantine included)
    uint64_t quarantined;
    uint64_t replaced_surrogates, replaced_bytes; // code points / bad byte runs that became U+FFFD
    uint64_t stripped_heads, stripped_bom;
    uint64_t missing_stars;
    uint64_t rejected[MILL_REASON_COUNT]; // read, but not appended: by the source's own reasons
    uint64_t further;            // records beyond the first of a line that holds several
    uint64_t notebooks, pages;   // notebooks that became scripts, HTML pages that became Markdown
    uint64_t newlines, text_bom, nul,
        encodings; // records with changed newlines, without their BOM, without NULs, converted to UTF-8
} mill_parse_counts;

// Appends every good record of the block to the batch and every bad one to quarantine (sorted by input, record), counts both
// by input: counts has one row an input. Thread-safe for different parsers.
mill_status mill_source_parse(mill_parser *parser, const mill_block *block, mill_batch *batch, mill_quarantine *quarantine,
                              mill_parse_counts *counts, mill_error *err) MILL_MUST_CHECK;

// Path below the root and size of file `index` (bytewise order of paths, info.files of them) of a tree input.
void mill_source_tree_file(const mill_source *source, size_t input, uint64_t index, const char **path, uint64_t *bytes);
// For estimates: pieces of a Parquet input, spread over it, whose columns take about `budget` bytes; *taken and *total are the
// bytes of the pieces and of the whole input.
mill_status mill_source_sample_parquet(const mill_source *source, size_t input, uint64_t budget, mill_block *block, uint64_t *taken,
                                       uint64_t *total, mill_error *err) MILL_MUST_CHECK;
// The language of a file in a tree: by its path, else, if that has no extension, by its first line ("#!").
mill_language_id mill_source_file_language(mill_language_table *languages, const char *path, const uint8_t *text, size_t bytes);

#endif
