// quarantine.h: records that could not be read, with where and why. The pipeline turns them into quarantine.jsonl.
#ifndef MILL_RECORD_QUARANTINE_H
#define MILL_RECORD_QUARANTINE_H

#include "core/alloc.h"

// The closed list of reasons.
#define MILL_QUARANTINE_MAP(X)                                                                     \
    X(TOO_LONG, "too_long")             /* record over the limit */                                \
    X(TOO_DEEP, "too_deep")             /* JSON nested deeper than 512 */                          \
    X(BAD_UTF8, "bad_utf8")                                                                        \
    X(LONE_SURROGATE, "lone_surrogate") /* only with bad_unicode = drop */                         \
    X(BAD_JSON, "bad_json")                                                                        \
    X(NOT_OBJECT, "not_object")                                                                    \
    X(NO_CONTENT, "no_content")                                                                    \
    X(CONTENT_TYPE, "content_type")     /* content is not a string */                              \
    X(FIELD_TYPE, "field_type")         /* another mapped field has an impossible type */          \
    X(BAD_ENCODING, "bad_encoding")     /* a tree file that is text but not UTF-8 */               \
    X(BINARY, "binary")                 /* a tree file with NUL bytes */                           \
    X(BAD_TURNS, "bad_turns")           /* a conversation with an unknown role, without an answer, of wrong types */ \
    X(BAD_NOTEBOOK, "bad_notebook")     /* JSON, but no notebook */                                \
    X(BAD_HTML, "bad_html")             /* HTML beyond the limits of the parser */                 \
    X(BAD_XML, "bad_xml")               /* a row of Posts.xml that is no XML */                    \
    X(BAD_MEMBER, "bad_member")         /* a file of an archive that cannot be read */             \
    X(DAMAGED_STREAM, "damaged_stream") /* the rest of a compressed file or row group is unreadable */

typedef enum mill_quarantine_reason {
#define MILL_QUARANTINE_ENUM(name, text) MILL_QUARANTINE_##name,
    MILL_QUARANTINE_MAP(MILL_QUARANTINE_ENUM)
#undef MILL_QUARANTINE_ENUM
    MILL_QUARANTINE_COUNT
} mill_quarantine_reason;

const char *mill_quarantine_name(mill_quarantine_reason reason);

typedef struct mill_quarantined {
    uint32_t input;       // index of the input
    uint64_t record;      // 1-based; for damaged_stream the number of the first record that is missing
    uint64_t offset;      // bytes before it in the decompressed stream (0 for tree files)
    uint64_t length;      // bytes of the record as far as known
    uint64_t further;     // records behind it that the row stands for too, known by their number only
    bool no_record;       // nothing is missing, but what was read contradicts its container; stands for no record
    mill_quarantine_reason reason;
    char detail[160];     // what was seen; control bytes escaped
    char *path;           // tree inputs: the file below the root; else NULL; owned
} mill_quarantined;

typedef struct mill_quarantine {
    mill_quarantined *rows;
    size_t count, capacity;
} mill_quarantine;

// Appends a row; detail is printf-formatted. path may be NULL and is copied.
mill_status mill_quarantine_add(mill_quarantine *list, const mill_quarantined *row, const char *path, mill_error *err,
                                const char *format, ...) __attribute__((format(printf, 5, 6))) MILL_MUST_CHECK;
void mill_quarantine_clear(mill_quarantine *list);
void mill_quarantine_free(mill_quarantine *list);

#endif
