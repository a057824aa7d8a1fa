// syntax_python.h: one python3 child process that says whether ast.parse accepts a text.
#ifndef MILL_FILTER_SYNTAX_PYTHON_H
#define MILL_FILTER_SYNTAX_PYTHON_H

#include <sys/types.h>

#include "core/status.h"

#define MILL_PYTHON_VERSION_BYTES 28

typedef struct mill_python mill_python;

typedef enum mill_python_answer {
    MILL_PYTHON_ACCEPTED,
    MILL_PYTHON_REFUSED, // any exception; also a text on which two interpreters in a row died
    MILL_PYTHON_TIMEOUT,
} mill_python_answer;

// interpreter: path or name to be found in PATH, NULL = "python3". timeout_ms: for one answer, 0 = none. Starts nothing yet.
mill_status mill_python_open(const char *interpreter, uint64_t timeout_ms, mill_python **out, mill_error *err) MILL_MUST_CHECK;
void mill_python_close(mill_python *python); // NULL is fine
// Starts the interpreter at the first call. MILL_RESOURCE if it cannot be started.
mill_status mill_python_check(mill_python *python, const uint8_t *text, uint64_t bytes, mill_python_answer *out,
                              mill_error *err) MILL_MUST_CHECK;
// Version of an interpreter, as "3.11.2"; "" if it cannot be started.
void mill_python_version(const char *interpreter, char version[MILL_PYTHON_VERSION_BYTES + 1]);
pid_t mill_python_child(const mill_python *python); // -1: none runs

#endif
