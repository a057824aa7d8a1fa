// verdict.h: every fate a record can have, by the name that metrics.json, explain and the report show.
#ifndef MILL_RECORD_VERDICT_H
#define MILL_RECORD_VERDICT_H

#include "core/status.h"

// MILL_KEPT, what the source rejects, the reasons of the filter in the order in which the rules run, then what later stages decide.
#define MILL_REASON_MAP(X)                                                                         \
    X(KEPT, "kept")                                                                                \
    X(POST_TYPE, "post_type")       /* a post that is neither question nor answer */               \
    X(NO_ANSWER, "no_answer")       /* a question without an answer that is taken, a task without solution */ \
    X(MERGED, "merged")             /* a post that is in the document of another one */            \
    X(SCORE, "score")               /* an answer whose score is not above the limit */             \
    X(NO_QUESTION, "no_question")   /* an answer whose question is not in the dump, where the form needs it */ \
    X(NO_CODE, "no_code")           /* an answer without a code block, where the form needs one */ \
    X(REMOVED, "removed")           /* on a removal list of the recipe */                          \
    X(LANGUAGE, "language")         /* not in --languages */                                       \
    X(LICENCE, "licence")           /* not in the recipe's allow list */                           \
    X(MIN_CHARS, "min_chars")                                                                      \
    X(MAX_CHARS, "max_chars")                                                                      \
    X(MIN_LINES, "min_lines")                                                                      \
    X(LINE_LENGTH, "line_length")   /* mean line too long */                                       \
    X(ALNUM_RATIO, "alnum_ratio")                                                                  \
    X(COMMENT_RATIO, "comment_ratio")                                                              \
    X(AUTOGEN, "autogen")                                                                          \
    X(TEST, "test")                 /* test file not drawn */                                      \
    X(STARS, "stars")               /* star tier not drawn */                                      \
    X(SYNTAX, "syntax")                                                                            \
    X(EXACT, "exact")               /* duplicate: same content as an earlier kept record */        \
    X(NEAR, "near")                 /* duplicate: MinHash-LSH */                                   \
    X(UNSELECTED, "unselected")     /* mixture: not drawn for its share */

typedef enum mill_reason {
#define MILL_REASON_ENUM(name, text) MILL_REASON_##name,
    MILL_REASON_MAP(MILL_REASON_ENUM)
#undef MILL_REASON_ENUM
    MILL_REASON_COUNT
} mill_reason;
#define MILL_KEPT MILL_REASON_KEPT

const char *mill_reason_name(mill_reason reason);
// True for the reasons that count as "rejected" in the funnel (all but kept, exact, near, unselected).
bool mill_reason_is_rejection(mill_reason reason);

#endif
