// posts.h: Stack Exchange dumps: rows of Posts.xml -> posts, and posts -> documents.
#ifndef MILL_SOURCE_POSTS_H
#define MILL_SOURCE_POSTS_H

#include "source/source_internal.h"

enum {
    MILL_QUESTION_BYTES_MAX = 128 << 10
}; // of a question's body, which is beside each of its answers; sites allow 30000 characters

typedef enum mill_post_kind {
    MILL_POST_QUESTION,
    MILL_POST_ANSWER,
    MILL_POST_LOW,   // an answer whose score is not above the limit
    MILL_POST_OTHER, // wikis and texts of the site
    MILL_POST_BAD,   // no row, or one without what every row has
} mill_post_kind;

typedef enum mill_post_text {
    MILL_POST_TITLE,
    MILL_POST_TAGS,
    MILL_POST_BODY,
    MILL_POST_OWNER,
    MILL_POST_LICENCE,
    MILL_POST_TEXTS
} mill_post_text;

typedef struct mill_post_head { // a post as it is spilled and put into blocks: this, then its texts one after
                                // the other
    uint64_t id, parent, row;   // row: place in the file, from 1
    int64_t score;
    uint32_t bytes[MILL_POST_TEXTS];
    uint32_t kind;
} mill_post_head;

typedef struct mill_post {
    mill_post_head head;
    const uint8_t *text[MILL_POST_TEXTS];
} mill_post;

// The post at data; *used gets its bytes.
mill_post mill_post_at(const uint8_t *data, size_t *used);

typedef struct mill_row_parser mill_row_parser; // one a thread
bool mill_posts_supported(void);
mill_status mill_row_parser_open(mill_row_parser **out, mill_error *err) MILL_MUST_CHECK;
void mill_row_parser_close(mill_row_parser *parser); // NULL is fine
// Reads one <row .../>. Questions and answers above the limit are appended to out; *problem tells of a bad
// one.
mill_status mill_row_parse(mill_row_parser *parser, const uint8_t *text, size_t bytes,
                           const mill_qa_options *options, uint64_t row, mill_buf *out, mill_post_kind *kind,
                           const char **problem, mill_error *err) MILL_MUST_CHECK;

// Id of the language that the tags tell ("<c#><.net>", "|go|"), or -1.
int mill_tags_language(const mill_language_table *languages, const uint8_t *tags, size_t bytes);

#endif
