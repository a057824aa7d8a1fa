// alloc.h: the one allocation seam, growable byte buffers, and arenas.
// Every allocation of the product goes through these functions, so that tests can fail the n-th one and watch the rest.
#ifndef MILL_CORE_ALLOC_H
#define MILL_CORE_ALLOC_H

#include "core/status.h"

// As malloc, calloc, realloc, free; NULL on failure. count * size is checked for overflow.
void *mill_alloc(size_t bytes) __attribute__((malloc));
void *mill_alloc_zero(size_t count, size_t size) __attribute__((malloc));
// As mill_alloc_zero, for a table that is read at random: it begins with a cache line, and from 2 MiB on with a huge page.
void *mill_alloc_table(size_t count, size_t size) __attribute__((malloc));
void *mill_realloc(void *pointer, size_t bytes);
void *mill_realloc_array(void *pointer, size_t count, size_t size);
void mill_free(void *pointer);
void mill_alloc_trim(void); // what was freed goes back to the system, as far as the allocator can
char *mill_strdup(const char *text);                     // NULL on failure
char *mill_strndup(const char *text, size_t bytes);      // NUL-terminated copy of `bytes` bytes; of none, text may be NULL
// Test hook: after `count` more successful allocations every further one fails; UINT64_MAX switches it off.
void mill_alloc_fail_after(uint64_t count);
uint64_t mill_alloc_count(void); // allocations so far in this process

// Growable byte buffer. Zero-initialised is empty. Failures leave it unchanged.
typedef struct mill_buf {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
} mill_buf;

mill_status mill_buf_reserve(mill_buf *buf, size_t more, mill_error *err) MILL_MUST_CHECK; // room for `more` bytes beyond bytes
mill_status mill_buf_append(mill_buf *buf, const void *data, size_t bytes, mill_error *err) MILL_MUST_CHECK;
mill_status mill_buf_append_text(mill_buf *buf, const char *text, mill_error *err) MILL_MUST_CHECK;
mill_status mill_buf_append_u64(mill_buf *buf, uint64_t value, mill_error *err) MILL_MUST_CHECK; // decimal
mill_status mill_buf_printf(mill_buf *buf, mill_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4))) MILL_MUST_CHECK;
// Appends text as a JSON string with its quotes: valid UTF-8 stays raw; '"', '\\' and controls are escaped, DEL too; an
// invalid byte becomes U+FFFD.
mill_status mill_buf_append_json(mill_buf *buf, const void *text, size_t bytes, mill_error *err) MILL_MUST_CHECK;
void mill_buf_clear(mill_buf *buf); // keeps the memory
void mill_buf_free(mill_buf *buf);

// Grows a typed array: makes room for `need` elements in *array (capacity in *capacity), doubling. `need` is read twice.
mill_status mill_grow(void **array, size_t *capacity, size_t need, size_t size, mill_error *err) MILL_MUST_CHECK;
#define MILL_GROW(array, capacity, need, err)                                                      \
    ((need) <= (capacity) ? MILL_OK : mill_grow((void **)&(array), &(capacity), (need), sizeof *(array), (err)))

#endif
