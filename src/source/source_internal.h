// source_internal.h: what the files of this room share.
#ifndef MILL_SOURCE_SOURCE_INTERNAL_H
#define MILL_SOURCE_SOURCE_INTERNAL_H

#include <string.h>
#include <yyjson.h>

#include "core/stream.h"
#include "source/html.h"
#include "source/source.h"

enum {
    MILL_COLUMNS_MAX = 40,
    MILL_FIELD_EXT = MILL_FIELD_COUNT, // a bare file extension: tells the language when nothing better does
    MILL_FIELDS_ALL = MILL_FIELD_COUNT + 1,
    MILL_BLOCK_RECORDS_MAX = 1 << 20, // records a block: bounds the columns that a block of tiny lines needs
};

// ---- columns: which JSON keys fill which field (source_fields.c)

typedef struct mill_column {
    const char *name;
    uint32_t bytes; // of the name
    uint8_t field;  // mill_field or MILL_FIELD_EXT
    bool has_dots;  // where there is no such column, it is a path: a.b is the member b of the object a
} mill_column;

typedef struct mill_column_map { // columns of one field stand in the order in which they are asked
    mill_column columns[MILL_COLUMNS_MAX];
    uint32_t count;
} mill_column_map;

mill_status mill_columns_resolve(const mill_source_options *options, mill_column_map *map,
                                 mill_error *err) MILL_MUST_CHECK;
// The values of an object by field, NULL where no column of the field is there (a null counts as absent). The
// last of duplicate keys wins, as in Python's json.
void mill_columns_pick(const mill_column_map *map, yyjson_val *object, yyjson_val *fields[MILL_FIELDS_ALL]);
// True for the columns by which rows are known as notebooks and tasks, and from which these are made; a test
// holds it against notebook.c and source_contest.c.
bool mill_is_form_column(const char *name);
// Stars as data spells them: 2, 2.0, "2", "2.0". MILL_STARS_MISSING for anything else; more than INT64_MAX is
// INT64_MAX.
int64_t mill_stars_value(yyjson_val *value);
int64_t mill_stars_text(const char *text, size_t bytes);
int64_t mill_stars_real(double stars);
// A licence as text: a string, a list of strings or of {"item": string}, or such a list under "list"; joined
// by ','. False if it has another shape. out is cleared first.
mill_status mill_licence_value(yyjson_val *value, mill_buf *out, bool *good, mill_error *err) MILL_MUST_CHECK;

typedef struct mill_metadata_head { // what a StarCoderData head tells; empty parts have bytes 0
    size_t bytes;                   // of the whole head with its '\n'; 0: there is none
    const char *repo, *path;
    size_t repo_bytes, path_bytes;
} mill_metadata_head;
mill_metadata_head mill_metadata_head_find(const uint8_t *text, size_t bytes);
// Removes that head from the record; what it tells fills what is empty.
void mill_record_strip_head(mill_record *record, mill_parse_counts *counts);
// By its own name, else by the record's path, else by a bare extension.
mill_language_id mill_record_language(const mill_source *source, const mill_record *record, const char *name, uint32_t bytes,
                                      const char *extension, size_t extension_bytes);

// ---- inputs (source_resolve.c)

typedef struct mill_tree_file {
    uint64_t path;  // offset of the NUL-terminated path below the root in names
    uint64_t bytes; // when listed
    bool is_link;
} mill_tree_file;

typedef struct mill_tree {
    mill_buf names;
    mill_tree_file *files; // in bytewise order of the paths
    size_t count, capacity;
    char *repo; // valid UTF-8
} mill_tree;

typedef struct mill_source_entry {
    mill_input_info info; // name and path point to the strings below
    char *name, *path;
    char *repo;      // of an archive; NULL for others
    mill_tree *tree; // NULL for files
} mill_source_entry;

static inline const char *mill_tree_path(const mill_tree *tree, size_t i)
{
    return (const char *)tree->names.data + tree->files[i].path;
}

mill_status mill_source_resolve(mill_source *source, const char *const *arguments, size_t count,
                                mill_error *err) MILL_MUST_CHECK;
void mill_tree_free(mill_tree *tree); // NULL is fine
// owner/name of the remote "origin" in a git configuration, without host and credentials; "" if there is
// none.
mill_status mill_git_origin(const char *config, size_t bytes, mill_buf *out, mill_error *err) MILL_MUST_CHECK;

#define MILL_POSTS_PIECE UINT32_MAX // path of a piece that holds posts
typedef struct mill_posts mill_posts;
typedef struct mill_posts_feed { // where the bytes of a Posts.xml come from
    void *self;
    mill_status (*read)(void *self, void *data, size_t bytes, size_t *got, mill_error *err);
    const char *(*damage)(void *self); // what is wrong with the container, or NULL
} mill_posts_feed;
// By its name: a table of a Stack Exchange dump that is not the posts, and is passed over beside them.
bool mill_is_other_table(const char *name);

// ---- the source itself

struct mill_source {
    const mill_fs *fs;
    mill_source_options options; // strings are owned by `strings`
    char *strings[MILL_FIELD_COUNT];
    char *encoding;
    char *qa_site;
    mill_chat_template *chat;
    mill_column_map columns;
    mill_language_table *languages;
    mill_source_entry *entries;
    size_t count, capacity;
    // the reader
    uint64_t unit;
    size_t current; // input that is read next
    bool is_open;
    uint32_t block_records; // in the block being filled
    uint64_t block_bytes;   // that it is to have
    // of a JSONL input
    mill_stream *stream;
    mill_buf tail;         // read, but not yet in a block
    uint64_t line, offset; // number and place of the first line of tail
    bool has_bom, stream_ended;
    mill_posts *posts;     // of a Posts.xml
    mill_source_work work;
    struct mill_archive *archive; // of an archive
    // of a tree
    size_t next_file;
    void *tree_sha256;
    struct mill_parquet_input *parquet; // of a Parquet file
};

typedef struct mill_json_pool { // yyjson's memory: a document is valid until the pool's next one, and needs no free
    uint8_t *bytes;
    size_t capacity;
} mill_json_pool;

struct mill_parser {
    const mill_source *source;
    mill_json_pool pool;    // of a line
    mill_json_pool inner;   // of a notebook, which may lie in a line
    mill_json_pool listed;  // of a task's solutions, which may be a text
    mill_buf line;          // a line, or these solutions, with lone surrogates replaced
    mill_buf inner_text;    // the same of a notebook
    mill_buf shaped;        // a text after a change
    mill_buf decoded;       // a file as UTF-8
    mill_buf blob;          // a text as git hashes it
    mill_html *html;        // opened when the first page comes
    mill_html_result page;
    mill_buf post, meta, prose, inputs, answer_text; // documents made of posts
    mill_turn *turns;                                // of the conversation at hand
    size_t turn_count, turn_capacity;
    mill_chat_text chat;
    mill_buf licence;
    mill_buf path; // a tree path with bad bytes replaced
    struct mill_parquet_input *parquet; // the Parquet file of the last piece
};

mill_status mill_block_add_piece(mill_block *block, const mill_block_piece *piece,
                                 mill_error *err) MILL_MUST_CHECK;

// JSON of one record: *doc stays valid until the pool's next document; NULL with *why otherwise.
mill_status mill_json_pool_parse(mill_json_pool *pool, const uint8_t *text, size_t bytes,
                                 uint64_t record_bytes_max, yyjson_doc **doc, yyjson_read_err *why,
                                 mill_error *err) MILL_MUST_CHECK;
// The same of a text that lies in a record: lone surrogates are replaced (in `replaced`) and counted where
// they are in the way.
mill_status mill_json_text_parse(mill_json_pool *pool, mill_buf *replaced, const uint8_t *text, size_t bytes,
                                 uint64_t record_bytes_max, mill_parse_counts *counts, yyjson_doc **doc,
                                 yyjson_read_err *why, mill_error *err) MILL_MUST_CHECK;
bool mill_json_is_too_deep(const uint8_t *text, size_t bytes);
// Writes \\ufffd over each surrogate escape that is no half of a pair; returns how many. The text keeps its length.
uint64_t mill_json_replace_surrogates(uint8_t *text, size_t bytes);

// What becomes of a record before it is appended (source_shape.c). Texts that a change makes live in the
// parser until its next record.
typedef struct mill_shape_problem {
    bool removed;     // the record is on a removal list: it is counted already, and goes no further
    mill_quarantine_reason reason;
    char detail[160]; // "": there is no problem
} mill_shape_problem;
// Removal lists, notebooks, HTML pages, then newlines, BOM and NUL. from_file: the text is a whole file.
mill_status mill_shape_record(mill_parser *parser, bool from_file, mill_record *record, mill_parse_counts *counts,
                              mill_shape_problem *problem, mill_error *err) MILL_MUST_CHECK;
// A notebook whose JSON is read already: record->text and language are set. parsed: one of the forms of notebook.h.
mill_status mill_shape_notebook(mill_parser *parser, yyjson_val *root, bool parsed, mill_record *record, mill_parse_counts *counts,
                                mill_shape_problem *problem, mill_error *err) MILL_MUST_CHECK;
// The normal forms of one text of a conversation, in place; changes notes what was done to any of them.
typedef struct mill_shape_changes {
    bool newlines, bom, nul;
} mill_shape_changes;
void mill_shape_turn(const mill_parser *parser, const uint8_t **text, uint64_t *bytes,
                     mill_shape_changes *changes, mill_shape_problem *problem);
// The content of a file as UTF-8 (source_encoding.c): *text and *bytes change if it was converted.
mill_status mill_decode_file(mill_parser *parser, const char *path, const uint8_t **text, size_t *bytes, mill_parse_counts *counts,
                             mill_shape_problem *problem, mill_error *err) MILL_MUST_CHECK;
// True if the text begins with the byte order mark of UTF-16 or UTF-32.
bool mill_has_wide_bom(const uint8_t *text, size_t bytes);

// Lines (source_lines.c) and their JSON (source_jsonl.c). fill: *ended when the input has nothing more;
// otherwise the block is full.
mill_status mill_lines_open(mill_source *source, mill_source_entry *entry, mill_error *err) MILL_MUST_CHECK;
mill_status mill_lines_fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                            mill_error *err) MILL_MUST_CHECK;
mill_status mill_lines_close(mill_source *source, mill_source_entry *entry, mill_error *err) MILL_MUST_CHECK;
mill_status mill_lines_parse(mill_parser *parser, const mill_block *block, const mill_block_piece *piece,
                             mill_batch *batch, mill_quarantine *quarantine, mill_parse_counts *counts,
                             mill_error *err) MILL_MUST_CHECK;

// The JSON text of one record, which stands at a place of its own: becomes records or a row of the
// quarantine, and is counted.
mill_status mill_json_take(mill_parser *parser, const mill_quarantined *at, const uint8_t *text, size_t bytes,
                           mill_batch *batch, mill_quarantine *quarantine, mill_parse_counts *counts,
                           mill_error *err) MILL_MUST_CHECK;

// Tasks with their solutions (source_contest.c): all that one line holds. shared: what is the same for all of
// them. With a problem nothing was appended or counted.
bool mill_contest_is(yyjson_val *root);
mill_status mill_contest_append(mill_parser *parser, yyjson_val *root, const mill_record *shared,
                                mill_batch *batch, mill_quarantine *quarantine, mill_parse_counts *counts,
                                mill_shape_problem *problem, mill_error *err) MILL_MUST_CHECK;

// A language as judges name their compilers: the whole name, or its first word that is one, with or without a
// version ("GNU C++17 (64)", "PyPy 3-64", "Java 11").
mill_language_id mill_judge_language(mill_language_table *languages, const char *name, size_t bytes);

// Archives (source_archive.c).
typedef struct mill_archive mill_archive;
bool mill_has_archive_suffix(const char *path);
bool mill_is_archive_head(const uint8_t *head, size_t bytes); // of the file, or of what gzip or zstd hides
char *mill_archive_repo(const char *name);                    // the name without its suffix; NULL without memory
mill_status mill_archive_check(const char *name, mill_error *err) MILL_MUST_CHECK; // MILL_INPUT if this build reads none
mill_status mill_archive_open(mill_source *source, mill_source_entry *entry, mill_error *err) MILL_MUST_CHECK;
mill_status mill_archive_fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                              mill_error *err) MILL_MUST_CHECK;
mill_status mill_archive_close(mill_source *source, mill_source_entry *entry, mill_error *err) MILL_MUST_CHECK;
void mill_archive_drop(mill_source *source); // without a result

// Posts.xml (source_posts.c, posts_text.c).
mill_status mill_posts_open(mill_source *source, const mill_posts_feed *feed, mill_error *err) MILL_MUST_CHECK;
void mill_posts_close(mill_source *source);
mill_status mill_posts_fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                            mill_error *err) MILL_MUST_CHECK;
mill_status mill_posts_parse(mill_parser *parser, const mill_block *block, const mill_block_piece *piece, mill_batch *batch,
                             mill_quarantine *quarantine, mill_parse_counts *counts, mill_error *err) MILL_MUST_CHECK;

// Conversations (chat_read.c). True if the columns of one are there, whatever they hold.
bool mill_chat_is(yyjson_val *const fields[MILL_FIELDS_ALL]);
// parser->turns become what the columns say; they point into the JSON, whose memory the next step changes.
mill_status mill_chat_read(mill_parser *parser, yyjson_val *const fields[MILL_FIELDS_ALL],
                           mill_shape_problem *problem, mill_error *err) MILL_MUST_CHECK;
// Text and pieces of the record from parser->turns, whose texts lie in memory of the parser: normal forms,
// checks, rendering, removal lists (the record is counted then). A problem is there before the call, or found
// by it.
mill_status mill_chat_record(mill_parser *parser, mill_record *record, mill_parse_counts *counts,
                             mill_shape_problem *problem, mill_error *err) MILL_MUST_CHECK;

// Trees (source_tree.c).
mill_status mill_tree_open(mill_source *source, mill_source_entry *entry, mill_error *err) MILL_MUST_CHECK;
mill_status mill_tree_fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                           mill_error *err) MILL_MUST_CHECK;
void mill_tree_close(mill_source *source, mill_source_entry *entry);
mill_status mill_tree_parse(mill_parser *parser, const mill_block *block, const mill_block_piece *piece,
                            mill_batch *batch, mill_quarantine *quarantine, mill_parse_counts *counts,
                            mill_error *err) MILL_MUST_CHECK;

// True if the user named this format.
static inline bool mill_source_format_is(const mill_source *source, const char *format)
{
    return source->options.format != NULL && strcmp(source->options.format, format) == 0;
}

// A line of blanks is no record.
static inline bool mill_line_is_blank(const uint8_t *line, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r'))
        i++;
    return i == bytes;
}

// The data type of a record in this language.
static inline uint8_t mill_record_type(const mill_source *source, mill_language_id language)
{
    uint8_t suggested = mill_language_get(source->languages, language)->data_type;
    bool own = source->options.type_given || suggested == MILL_TYPE_SOURCE;
    return own ? (uint8_t)source->options.type : suggested;
}

#endif
