// batch.h: the data model that every stage shares. A batch is a set of records in columns: row i of each column belongs to
// record i. A column is written by one stage and read by later ones.
#ifndef MILL_RECORD_BATCH_H
#define MILL_RECORD_BATCH_H

#include <string.h>

#include "core/alloc.h"
#include "core/hash.h"
#include "record/chat.h"
#include "record/language.h"
#include "record/verdict.h"

typedef enum mill_data_type { // what the mixture calls a data type
    MILL_TYPE_SOURCE,
    MILL_TYPE_DOCS,
    MILL_TYPE_QA,
    MILL_TYPE_NOTEBOOK,
    MILL_TYPE_CONTEST,
    MILL_TYPE_COUNT
} mill_data_type;
extern const char *const mill_data_type_names[MILL_TYPE_COUNT]; // "source", "docs", "qa", "notebook", "contest"

#define MILL_STARS_MISSING (-1)

typedef struct mill_span { // bytes [offset, offset + bytes) of the batch's meta buffer
    uint32_t offset, bytes;
} mill_span;

typedef struct mill_batch {
    uint64_t unit;         // number of the unit this batch came from
    uint32_t count;        // records
    mill_buf text;         // contents, one after the other: valid UTF-8
    mill_buf meta;         // repo, path, licence strings: valid UTF-8; pieces of conversations
    // columns, each of `capacity` rows
    uint64_t *text_offset; // count + 1 entries: record i is text[text_offset[i] .. text_offset[i + 1])
    mill_language_id *language;
    uint8_t *type;         // mill_data_type
    int64_t *stars;        // MILL_STARS_MISSING if absent
    mill_span *repo, *path, *licence;
    mill_span *pieces;     // of conversations: mill_chat_piece entries, not aligned; others: empty
    uint32_t *input;       // index of the input
    uint64_t *record;      // 1-based number in that input: line number, or place in the sorted tree
    uint64_t *key_low, *key_high;         // record key: XXH3-128 of content, repo, path
    uint64_t *content_low, *content_high; // XXH3-128 of the content alone
    uint16_t *verdict;     // mill_reason; MILL_KEPT while nothing spoke against the record
    uint16_t *flags;       // mill_record_flag
    uint32_t capacity;
} mill_batch;

typedef enum mill_record_flag {
    MILL_FLAG_TEST = 1,  // a test file by the recipe's markers
    MILL_FLAG_CHAT = 2,  // a conversation: it has pieces
    MILL_FLAG_PROSE = 4, // text about its language, not in it: a thread of questions and answers
} mill_record_flag;

// Whether the text of a record with these flags is a program, whose syntax can be asked for.
static inline bool mill_flags_parsed(uint16_t flags)
{
    return (flags & (MILL_FLAG_CHAT | MILL_FLAG_PROSE)) == 0;
}

// What a source knows of one record; pointers are only read during mill_batch_append.
typedef struct mill_record {
    const uint8_t *text;
    uint64_t text_bytes;
    const char *repo, *path, *licence;
    uint32_t repo_bytes, path_bytes, licence_bytes;
    const mill_chat_piece *pieces; // NULL: no conversation
    uint32_t piece_count;
    mill_language_id language;
    uint8_t type;
    uint16_t flags;
    int64_t stars;
    uint32_t input;
    uint64_t record;
} mill_record;

void mill_batch_init(mill_batch *batch);
void mill_batch_clear(mill_batch *batch); // keeps the memory
void mill_batch_free(mill_batch *batch);
// Makes room for `rows` records in all columns.
mill_status mill_batch_reserve(mill_batch *batch, uint32_t rows, mill_error *err) MILL_MUST_CHECK;
// Copies the record in and computes its keys; pieces add to the content key. verdict = MILL_KEPT. A record with pieces gets
// MILL_FLAG_CHAT.
mill_status mill_batch_append(mill_batch *batch, const mill_record *record, mill_error *err) MILL_MUST_CHECK;
// Drops the records whose verdict is not MILL_KEPT, keeping order; text and meta are compacted.
void mill_batch_compact(mill_batch *batch);

static inline const uint8_t *mill_batch_text(const mill_batch *batch, uint32_t i, uint64_t *bytes)
{
    *bytes = batch->text_offset[i + 1] - batch->text_offset[i];
    return batch->text.data + batch->text_offset[i];
}

static inline const char *mill_batch_meta(const mill_batch *batch, mill_span span)
{
    return (const char *)batch->meta.data + span.offset;
}

// Pieces of record i; 0: it is no conversation.
static inline uint32_t mill_batch_piece_count(const mill_batch *batch, uint32_t i)
{
    return batch->pieces[i].bytes / (uint32_t)sizeof(mill_chat_piece);
}

static inline mill_chat_piece mill_batch_piece(const mill_batch *batch, uint32_t i, uint32_t k)
{
    mill_chat_piece piece;
    memcpy(&piece, batch->meta.data + batch->pieces[i].offset + (size_t)k * sizeof piece, sizeof piece);
    return piece;
}

static inline mill_key mill_batch_key(const mill_batch *batch, uint32_t i)
{
    return (mill_key){batch->key_low[i], batch->key_high[i]};
}

static inline mill_key mill_batch_content_key(const mill_batch *batch, uint32_t i)
{
    return (mill_key){batch->content_low[i], batch->content_high[i]};
}

// The texts of a batch as the backend sees them: text i is bytes[offsets[i] .. offsets[i + 1]).
typedef struct mill_text_view {
    const uint8_t *bytes;
    const uint64_t *offsets;
    uint32_t count;
} mill_text_view;

static inline mill_text_view mill_batch_view(const mill_batch *batch)
{
    return (mill_text_view){batch->text.data, batch->text_offset, batch->count};
}

#endif
