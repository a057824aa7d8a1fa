// plain_check.h: a failed check ends a plain test program (one without Criterion), with what `err`, a mill_error of the program's,
// says.
#ifndef MILL_TESTS_PLAIN_CHECK_H
#define MILL_TESTS_PLAIN_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s; %s\n", __FILE__, __LINE__, #condition, err.message); \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#endif
