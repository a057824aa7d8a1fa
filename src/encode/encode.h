// encode.h: text -> rows of token ids ready to be packed: language tag, FIM parts and sentinels, end-of-text; a document longer
// than the context is cut into pieces first, and each piece is transformed by itself (encode_pieces.c).
//
// A row, by mode ([x]: when the options and the tokenizer have it; parts in lower case are text, encoded each by itself):
//   NONE   [tag] text [END]                                        END only in the row that ends the document
//   PSM    [tag] PRE prefix SUF suffix MID middle [END]
//   SPM    [tag] PRE SUF suffix MID prefix middle [END]            variant 2 of Bavarian et al. (arXiv 2207.14255)
//   SPANS  [tag] c0 S0 c1 S1 .. ck S0 m0 E S1 m1 E .. [END]        InCoder (arXiv 2204.05999): source = c0 m0 c1 m1 .. ck
// S0.. are MILL_FIM_SPAN_FORMAT, E is MILL_FIM_SPAN_END. A transformed row always has END (it ends the middle). Control tokens
// are put in as ids; content never becomes one unless parse_specials. Each row of a document has the tag.
// Guide rows (guide_chunks): the ids of "tag, parts, end" of the whole document cut every `context` tokens wherever that falls;
// text_begin, text_end and the cut of each chunk are those of the document.
// A conversation (a record with pieces) is one row: the ids of its text, control tokens as the pieces tell, without tag and END but
// those of its template, and never transformed; what it says never becomes a control token, parse_specials or not.
#ifndef MILL_ENCODE_ENCODE_H
#define MILL_ENCODE_ENCODE_H

#include "fim/fim.h"
#include "record/batch.h"
#include "tokenizer/tokenizer.h"

#define MILL_FIM_SPAN_FORMAT "<|fim_span_%u|>" // numbers 0..MILL_FIM_SPANS_MAX - 1
#define MILL_FIM_SPAN_END "<|fim_span_end|>"

// Names of control tokens as published models spell them; unused ones are NULL.
typedef struct mill_token_preset {
    const char *name; // "guide", "codegemma", "starcoder", "qwen", "deepseek"
    const char *fim_prefix, *fim_middle, *fim_suffix, *fim_pad, *end;
} mill_token_preset;
const mill_token_preset *mill_token_preset_find(const char *name); // NULL: no such preset

typedef enum mill_chat_long { MILL_CHAT_LONG_DROP, MILL_CHAT_LONG_TURN, MILL_CHAT_LONG_CUT } mill_chat_long;

typedef struct mill_repo_options { // sequences of the files of a repository (encode_repo.c)
    bool sequence;             // they are wanted
    const char *preset;        // "starcoder", "qwen", "deepseek"; NULL: starcoder
    const char *begin, *file, *finish; // frames; NULL or "": the preset's
    const char *const *tokens; // names of control tokens in them, NULL-terminated; NULL or empty: the preset's
} mill_repo_options;
// The control tokens that frames put in, end-of-text aside; NULL-terminated, valid as long as the options and their preset.
const char *const *mill_repo_tokens(const mill_repo_options *options);
// MILL_RECIPE names the key whose frame lacks a hole or has one in the wrong place.
mill_status mill_repo_check(const mill_repo_options *options, const char *end_text, mill_error *err) MILL_MUST_CHECK;

typedef struct mill_encode_options {
    bool parse_specials;       // guide: one string, specials in content become control tokens
    bool language_tag;         // <|lang_NAME|> first, when the tokenizer has it
    bool end_token;            // end-of-text after a document
    uint32_t context;          // longest row in tokens (0: unlimited, else at least 32); guide: chunk length
    uint32_t min_chunk;        // rows shorter than this are dropped, and counted (guide: 100; default: 1)
    bool guide_chunks;         // cut the finished ids every `context` tokens (guide) instead of piece by piece
    mill_chat_long chat_long;  // conversations that do not fit the context
    bool chat_joined;          // false: learned text is encoded by itself (encode_chat.c)
    mill_repo_options repo;
    const char *end_text;      // "<|endoftext|>"
    const char *fim_prefix, *fim_middle, *fim_suffix; // sentinel names by preset
    const char *fim_pad;       // may be NULL
    const char *language_format;                      // "<|lang_%s|>"
} mill_encode_options;

// Modes of rows: those of FIM; a conversation, which is never transformed; several files of a repository, each with its own mode.
enum { MILL_ROW_CHAT = MILL_FIM_SPANS + 1, MILL_ROW_REPO, MILL_ROW_MODES };
extern const char *const mill_row_mode_names[MILL_ROW_MODES]; // "none", "psm", "spm", "spans", "chat", "repo"

// One row: a whole document, or a piece of one.
typedef struct mill_row {
    uint64_t first_token;      // in the token column of the unit
    uint32_t tokens;
    uint32_t record;           // row in the segment
    uint32_t piece;            // 0, 1, ... within the document
    uint8_t mode;              // mill_fim_mode, MILL_ROW_CHAT or MILL_ROW_REPO
    bool last;                 // the document's last piece
    uint64_t text_begin, text_end; // bytes of the document that this row stands for
    uint64_t cut_begin, cut_end;   // first middle, as bytes of the document (0, 0 when mode is NONE or CHAT)
    // Which tokens are targets: `runs` lengths in the run column of the unit, of tokens that are none, that are, that are none ..;
    // together they are `tokens`. No runs: all are.
    uint64_t first_run;
    uint32_t runs;
    // MILL_ROW_REPO: its files in the file column of the unit; they cover its tokens. Record is that of the first one, piece the
    // number of the row in its sequence; the texts and cuts are those of the files.
    uint32_t files;
    uint64_t first_file;
    uint64_t doc_begin;       // tokens of its document, of a repository's those of its sequence, that stand in rows before this one
} mill_row;

typedef struct mill_rows { // the result for one unit
    mill_ids ids;
    mill_row *rows;
    size_t count, capacity;
    uint32_t *runs;
    size_t run_count, run_capacity;
    mill_row *files; // parts of rows; no row of the unit
    size_t file_count, file_capacity;
    uint64_t dropped_rows, dropped_tokens; // below min_chunk; conversations that are too long, or their ends
    uint64_t documents, transformed;       // documents encoded; those with at least one FIM row
    uint64_t normalized;                   // documents that the tokenizer's normalizer changed: their offsets are of the result
    uint64_t encoded_tokens;               // ids made, dropped ones included
} mill_rows;
void mill_rows_clear(mill_rows *rows);
void mill_rows_free(mill_rows *rows);

typedef struct mill_encode mill_encode; // one worker's handle
// Checks that the tokenizer has every control token the options need (MILL_INPUT names the missing one), and that it can spell
// every byte unless guide_chunks. fim NULL or rate 0: nothing is transformed. Tokenizer and languages must outlive the handle.
mill_status mill_encode_open(const mill_encode_options *options, const mill_fim_options *fim, const mill_tokenizer *tokenizer,
                             const mill_language_table *languages, mill_encode **out, mill_error *err) MILL_MUST_CHECK;
void mill_encode_close(mill_encode *encode);
// Lets a backend encode the texts of each batch before they become rows, where it can (tokenizer.h); the rows are the same. It
// must outlive the handle.
void mill_encode_use(mill_encode *encode, mill_backend *backend);

// Python-mode FIM decisions of a unit's records (the barrier drew them): line numbers, 0 = untransformed. NULL otherwise.
typedef struct mill_line_cut {
    uint64_t first, second;
} mill_line_cut;

// Appends the rows of every record i with keep[i] (NULL: all).
mill_status mill_encode_batch(mill_encode *encode, const mill_batch *batch, const bool *keep, const mill_line_cut *cuts,
                              mill_rows *out, mill_error *err) MILL_MUST_CHECK;

// Appends the rows of record i; cut: its decision, or NULL.
mill_status mill_encode_record(mill_encode *encode, const mill_batch *batch, uint32_t i, const mill_line_cut *cut, mill_rows *out,
                               mill_error *err) MILL_MUST_CHECK;
// Appends the rows of one sequence: records [first, first + count) of the batch, files of one repository in order. The options have
// repo.sequence.
mill_status mill_encode_sequence(mill_encode *encode, const mill_batch *batch, uint32_t first, uint32_t count, mill_rows *out,
                                 mill_error *err) MILL_MUST_CHECK;

// Rows of these options may not restore their text exactly: chunks cut anywhere, specials in content, lost newlines.
static inline bool mill_encode_is_lossy(const mill_encode_options *options)
{
    return options->parse_specials || options->guide_chunks;
}

// The inverse for one row: appends the bytes of the document it stands for (text_begin .. text_end), from ids alone. Used by
// inspect and by tests. Fails with MILL_VERIFY when the sentinels do not fit together; if the options are lossy it then spells
// the ids one by one, sentinels included, with mode NONE. A PSM row with an empty prefix has the ids of an SPM row and is
// reported as one. The lost newlines of cut guide stay lost.
mill_status mill_encode_restore(const mill_encode_options *options, const mill_tokenizer *tokenizer, const uint32_t *ids,
                                size_t count, mill_buf *text, mill_fim_mode *mode, mill_error *err) MILL_MUST_CHECK;

#endif
