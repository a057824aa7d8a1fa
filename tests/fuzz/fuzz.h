// fuzz.h: what every fuzz target has: LibFuzzer's entry, seeds for the driver, and a check that ends the program.
#ifndef MILL_TESTS_FUZZ_H
#define MILL_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
// Appends seed number `number` to out; false if there is no such seed. Seeds are well-formed, so that mutants get deep.
bool fuzz_seed(uint32_t number, mill_buf *out);

// A promise of the code under test; abort() is what both LibFuzzer and the driver notice.
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define FUZZ_OK(call) FUZZ_CHECK((call) == MILL_OK)

static inline bool fuzz_seed_text(uint32_t number, const char *const *texts, uint32_t count, mill_buf *out)
{
    return number < count && mill_buf_append_text(out, texts[number], NULL) == MILL_OK;
}

#endif
