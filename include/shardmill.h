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
// Raised whenever the same inputs and recipe would give other product bytes; part of the plan a resume must match.
#define MILL_OUTPUT_VERSION 1

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

#ifdef __cplusplus
}
#endif
#endif
