// alloc.c: the allocation seam and the growable buffer.
#include "core/alloc.h"

#include "core/utf8.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// The counters are the seam's only state; relaxed order is enough because tests that use them are single-threaded or
// only ask for "some allocation fails".
static _Atomic uint64_t alloc_count;
static _Atomic uint64_t alloc_left = UINT64_MAX;

// No object is larger than PTRDIFF_MAX; a sanitizer's allocator ends the program where it is asked for more.
static bool may_allocate(size_t bytes)
{
    if (bytes > PTRDIFF_MAX)
        return false;
    atomic_fetch_add_explicit(&alloc_count, 1, memory_order_relaxed);
    uint64_t left = atomic_load_explicit(&alloc_left, memory_order_relaxed);
    if (left == UINT64_MAX)
        return true;
    if (left == 0)
        return false;
    atomic_store_explicit(&alloc_left, left - 1, memory_order_relaxed);
    return true;
}

void mill_alloc_fail_after(uint64_t count)
{
    atomic_store(&alloc_left, count);
}

uint64_t mill_alloc_count(void)
{
    return atomic_load(&alloc_count);
}

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20, LARGE = 2 * HUGE_PAGE };

// Asks for huge pages for a large block: a fault clears 512 pages at once, and tables that are read at random miss the TLB less.
// A hint only; a kernel without them says no.
static void *advised(void *pointer, size_t bytes, size_t least)
{
    if (pointer == NULL || bytes < least)
        return pointer;
    const uintptr_t begin = ((uintptr_t)pointer + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    const uintptr_t end = ((uintptr_t)pointer + bytes) & ~(uintptr_t)(HUGE_PAGE - 1);
    (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
    return pointer;
}

void *mill_alloc(size_t bytes)
{
    return may_allocate(bytes) ? advised(malloc(bytes != 0 ? bytes : 1), bytes, LARGE) : NULL;
}

void *mill_alloc_zero(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return may_allocate(bytes) ? advised(calloc(count != 0 ? count : 1, size != 0 ? size : 1), bytes, LARGE) : NULL;
}

void *mill_alloc_table(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - CACHE_LINE || !may_allocate(bytes))
        return NULL;
    const size_t room = bytes != 0 ? (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE : CACHE_LINE;
    void *table;
    if (posix_memalign(&table, bytes < HUGE_PAGE ? CACHE_LINE : HUGE_PAGE, room) != 0)
        return NULL;
    return memset(advised(table, bytes, HUGE_PAGE), 0, room);
}

void *mill_realloc(void *pointer, size_t bytes)
{
    return may_allocate(bytes) ? advised(realloc(pointer, bytes != 0 ? bytes : 1), bytes, LARGE) : NULL;
}

void *mill_realloc_array(void *pointer, size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : mill_realloc(pointer, bytes);
}

void mill_free(void *pointer)
{
    free(pointer);
}

void mill_alloc_trim(void)
{
    (void)malloc_trim(0);
}

char *mill_strndup(const char *text, size_t bytes)
{
    char *copy = mill_alloc(bytes + 1);
    if (copy != NULL) {
        if (bytes != 0) // text may be NULL then
            memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

char *mill_strdup(const char *text)
{
    return mill_strndup(text, strlen(text));
}

mill_status mill_grow(void **array, size_t *capacity, size_t need, size_t size, mill_error *err)
{
    if (need <= *capacity)
        return MILL_OK;
    // The first request for much is mostly for all: doubling would leave half of a batch's columns unused.
    const size_t much = (1 << 20) / size;
    size_t wanted = *capacity == 0 && need > much ? need : *capacity < 8 ? 8 : *capacity;
    while (wanted < need) {
        if (__builtin_mul_overflow(wanted, (size_t)2, &wanted))
            return mill_fail_nomem(err, "growing an array");
    }
    void *grown = mill_realloc_array(*array, wanted, size);
    if (grown == NULL)
        return mill_fail_nomem(err, "growing an array");
    *array = grown;
    *capacity = wanted;
    return MILL_OK;
}

mill_status mill_buf_reserve(mill_buf *buf, size_t more, mill_error *err)
{
    size_t need;
    if (__builtin_add_overflow(buf->bytes, more, &need))
        return mill_fail_nomem(err, "growing a buffer");
    return MILL_GROW(buf->data, buf->capacity, need, err);
}

mill_status mill_buf_append(mill_buf *buf, const void *data, size_t bytes, mill_error *err)
{
    MILL_TRY(mill_buf_reserve(buf, bytes, err));
    if (bytes != 0)
        memcpy(buf->data + buf->bytes, data, bytes);
    buf->bytes += bytes;
    return MILL_OK;
}

mill_status mill_buf_append_text(mill_buf *buf, const char *text, mill_error *err)
{
    return mill_buf_append(buf, text, strlen(text), err);
}

mill_status mill_buf_append_u64(mill_buf *buf, uint64_t value, mill_error *err)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return mill_buf_append(buf, digits + at, sizeof digits - at, err);
}

mill_status mill_buf_printf(mill_buf *buf, mill_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    mill_status status = length < 0 ? mill_fail(err, MILL_INTERNAL, "a text cannot be formatted")
                                    : mill_buf_reserve(buf, (size_t)length + 1, err);
    if (status == MILL_OK) {
        vsnprintf((char *)buf->data + buf->bytes, (size_t)length + 1, format, again);
        buf->bytes += (size_t)length;
    }
    va_end(again);
    return status;
}

// Bytes from `start` that stand for themselves in a JSON string: whole valid characters that need no escape.
static size_t plain_run(const uint8_t *text, size_t start, size_t bytes)
{
    size_t i = start;
    while (i < bytes) {
        uint8_t c = text[i];
        if (c >= 0x80) {
            size_t length = mill_utf8_sequence(text + i, bytes - i);
            if (length == 0)
                break;
            i += length;
        } else if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            i++;
        } else {
            break;
        }
    }
    return i - start;
}

// Writes what stands for byte c, which cannot stand for itself; returns its length, at most 6.
static size_t escape_byte(uint8_t c, uint8_t out[6])
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = "\"\"\\\\\nn\rr\tt\bb\ff"; // the byte, then its letter
    if (c >= 0x80) {
        memcpy(out, "\xef\xbf\xbd", 3);
        return 3;
    }
    out[0] = '\\';
    for (size_t i = 0; shorts[i] != '\0'; i += 2) {
        if (c == (uint8_t)shorts[i]) {
            out[1] = (uint8_t)shorts[i + 1];
            return 2;
        }
    }
    memcpy(out + 1, "u00", 3);
    out[4] = (uint8_t)hex[c >> 4];
    out[5] = (uint8_t)hex[c & 15];
    return 6;
}

static mill_status append_json(mill_buf *buf, const uint8_t *text, size_t bytes, mill_error *err)
{
    MILL_TRY(mill_buf_append(buf, "\"", 1, err));
    for (size_t i = 0; i < bytes;) {
        size_t run = plain_run(text, i, bytes);
        MILL_TRY(mill_buf_append(buf, text + i, run, err));
        i += run;
        if (i == bytes)
            break;
        uint8_t escaped[6];
        MILL_TRY(mill_buf_append(buf, escaped, escape_byte(text[i++], escaped), err));
    }
    return mill_buf_append(buf, "\"", 1, err);
}

mill_status mill_buf_append_json(mill_buf *buf, const void *text, size_t bytes, mill_error *err)
{
    const size_t start = buf->bytes;
    mill_status status = append_json(buf, text, bytes, err);
    if (status != MILL_OK)
        buf->bytes = start;
    return status;
}

void mill_buf_clear(mill_buf *buf)
{
    buf->bytes = 0;
}

void mill_buf_free(mill_buf *buf)
{
    mill_free(buf->data);
    *buf = (mill_buf){0};
}
