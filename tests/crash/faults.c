// faults.c: a library to preload that makes system calls of the program fail, as the environment says:
//   FAULT_CALL   write, fsync, renameat, openat (for writing), mkdirat, unlinkat, read
//   FAULT_AT     the first call that fails (1: the first of all)
//   FAULT_COUNT  how many fail from there on (default 1)
//   FAULT_ERRNO  its error number; "short": a write or read moves one byte only
// Only calls of the output directory count: those on files below FAULT_BELOW.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static _Atomic long calls;

static bool is_below(int file)
{
    const char *below = getenv("FAULT_BELOW");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    if (below == NULL || bytes < 0)
        return false;
    path[bytes] = '\0';
    return strncmp(path, below, strlen(below)) == 0;
}

// True if this call is to fail; *code is its error number, 0 for "short".
static bool fails(const char *call, int file, int *code)
{
    const char *wanted = getenv("FAULT_CALL"), *at = getenv("FAULT_AT");
    const char *count = getenv("FAULT_COUNT"), *error = getenv("FAULT_ERRNO");
    if (wanted == NULL || at == NULL || error == NULL || strcmp(wanted, call) != 0 || !is_below(file))
        return false;
    long number = atomic_fetch_add(&calls, 1) + 1, first = atol(at);
    *code = strcmp(error, "short") == 0 ? 0 : atoi(error);
    return number >= first && number < first + (count != NULL ? atol(count) : 1);
}

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

ssize_t write(int file, const void *data, size_t bytes)
{
    int code;
    if (fails("write", file, &code)) {
        if (code != 0)
            return errno = code, -1;
        bytes = bytes > 1 ? 1 : bytes;
    }
    return REAL(ssize_t, "write", int, const void *, size_t)(file, data, bytes);
}

ssize_t read(int file, void *data, size_t bytes)
{
    int code;
    if (fails("read", file, &code)) {
        if (code != 0)
            return errno = code, -1;
        bytes = bytes > 1 ? 1 : bytes;
    }
    return REAL(ssize_t, "read", int, void *, size_t)(file, data, bytes);
}

int fsync(int file)
{
    int code;
    if (fails("fsync", file, &code))
        return errno = code, -1;
    return REAL(int, "fsync", int)(file);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    int code;
    if (fails("renameat", from_dir, &code))
        return errno = code, -1;
    return REAL(int, "renameat", int, const char *, int, const char *)(from_dir, from, to_dir, to);
}

int unlinkat(int dir, const char *path, int flags)
{
    int code;
    if (fails("unlinkat", dir, &code))
        return errno = code, -1;
    return REAL(int, "unlinkat", int, const char *, int)(dir, path, flags);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    int code;
    if (fails("mkdirat", dir, &code))
        return errno = code, -1;
    return REAL(int, "mkdirat", int, const char *, mode_t)(dir, path, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
    }
    int code;
    if ((flags & O_ACCMODE) != O_RDONLY && fails("openat", dir, &code))
        return errno = code, -1;
    return REAL(int, "openat", int, const char *, int, ...)(dir, path, flags, mode);
}
