// status.c: error values and the panic of a broken invariant.
#include "core/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *mill_version(void)
{
    return MILL_VERSION;
}

int mill_status_exit_code(mill_status status)
{
    static const int codes[] = {
#define X(name, exit_code, text) exit_code,
        MILL_STATUS_MAP(X)
#undef X
    };
    return (size_t)status < sizeof codes / sizeof codes[0] ? codes[status] : 1;
}

const char *mill_status_code(mill_status status)
{
    static const char *const names[] = {
#define X(name, exit_code, text) text,
        MILL_STATUS_MAP(X)
#undef X
    };
    return (size_t)status < sizeof names / sizeof names[0] ? names[status] : "E_INTERNAL";
}

// Text from data may stand in a message (file names, field values): no control byte may reach a terminal through it.
static void escape_controls(char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            *text = '?';
    }
}

static void fill(mill_error *err, mill_status status, int sys_errno, const char *format, va_list args)
{
    if (err == NULL)
        return;
    err->status = status;
    err->sys_errno = sys_errno;
    vsnprintf(err->message, sizeof err->message, format, args);
    escape_controls(err->message);
}

mill_status mill_fail(mill_error *err, mill_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, status, 0, format, args);
    va_end(args);
    return status;
}

static const char *advice(int sys_errno)
{
    switch (sys_errno) {
    case ENOSPC: return "; free space and run the same command again";
    case EDQUOT: return "; raise the quota and run the same command again";
    case EFBIG: return "; raise the file size limit (ulimit -f) and run the same command again";
    case EMFILE:
    case ENFILE: return "; raise the limit of open files (ulimit -n)";
    case EACCES:
    case EPERM: return "; check the permissions";
    case EROFS: return "; choose a writable directory";
    default: return "";
    }
}

mill_status mill_fail_errno(mill_error *err, int sys_errno, const char *format, ...)
{
    mill_status status = MILL_IO;
    if (sys_errno == ENOSPC || sys_errno == EDQUOT || sys_errno == EFBIG)
        status = MILL_NOSPC;
    else if (sys_errno == ENOMEM)
        status = MILL_NOMEM;
    else if (sys_errno == EMFILE || sys_errno == ENFILE || sys_errno == EAGAIN)
        status = MILL_RESOURCE;
    va_list args;
    va_start(args, format);
    fill(err, status, sys_errno, format, args);
    va_end(args);
    if (err != NULL) {
        char buffer[128];
        char reason[320];
        int length = snprintf(reason, sizeof reason, ": %s%s", strerror_r(sys_errno, buffer, sizeof buffer),
                              advice(sys_errno));
        // A long path may fill the message; the reason is worth more than the path's end.
        size_t room = sizeof err->message - 1 - (length > 0 ? (size_t)length : 0);
        size_t used = strlen(err->message);
        if (used > room) {
            memcpy(err->message + room - 3, "...", 3);
            used = room;
        }
        snprintf(err->message + used, sizeof err->message - used, "%s", reason);
    }
    return status;
}

mill_status mill_fail_stopped(mill_error *err)
{
    return mill_fail(err, MILL_STOPPED, "stopped on request; run the same command again to go on");
}

mill_status mill_fail_stopped_at(mill_error *err, const char *where, ...)
{
    char text[128];
    va_list args;
    va_start(args, where);
    vsnprintf(text, sizeof text, where, args);
    va_end(args);
    return mill_fail(err, MILL_STOPPED, "stopped on request %s; run the same command again to go on", text);
}

mill_status mill_fail_nomem(mill_error *err, const char *what)
{
    return mill_fail(err, MILL_NOMEM, "out of memory: %s; lower --memory or -j, or free memory", what);
}

void mill_panic(const char *file, int line, const char *condition)
{
    fprintf(stderr, "shardmill: internal error[E_INTERNAL]: %s:%d: %s (version %s); please report this line\n",
            file, line, condition, MILL_VERSION);
    _Exit(1);
}
