// status.h: how functions fail. A failing operation fills a mill_error once, where the cause is known, and returns its status;
// callers forward with MILL_TRY. A broken invariant aborts through MILL_ASSERT. A bad record is neither: it is a verdict or a
// quarantine line.
#ifndef MILL_CORE_STATUS_H
#define MILL_CORE_STATUS_H

#include "shardmill.h"

#define MILL_MUST_CHECK __attribute__((warn_unused_result))

// Fills *err (if not NULL) and returns status. The message is printf-formatted and cut at the buffer's end.
mill_status mill_fail(mill_error *err, mill_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The same for a failed system call: picks NOSPC, NOMEM or IO from sys_errno and appends the system's reason and advice.
mill_status mill_fail_errno(mill_error *err, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// MILL_STOPPED, which is no failure: says how to go on. `where` tells how far it came: "after 3 merges".
mill_status mill_fail_stopped(mill_error *err);
mill_status mill_fail_stopped_at(mill_error *err, const char *where, ...) __attribute__((format(printf, 2, 3)));
// Out of memory while doing `what`.
mill_status mill_fail_nomem(mill_error *err, const char *what);

#define MILL_TRY(expression)                                                                       \
    do {                                                                                           \
        mill_status mill_try_status_ = (expression);                                               \
        if (mill_try_status_ != MILL_OK)                                                           \
            return mill_try_status_;                                                               \
    } while (0)

// For functions with one `cleanup:` label and a local `mill_status status`.
#define MILL_TRY_GOTO(expression)                                                                  \
    do {                                                                                           \
        status = (expression);                                                                     \
        if (status != MILL_OK)                                                                     \
            goto cleanup;                                                                          \
    } while (0)

_Noreturn void mill_panic(const char *file, int line, const char *condition);
#define MILL_ASSERT(condition)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            mill_panic(__FILE__, __LINE__, #condition);                                            \
    } while (0)

#endif
