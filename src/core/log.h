// log.h: messages to the person who runs the program. There is no global logger: whoever may speak is given one. Nothing is
// logged for each record; hot paths count and the report tells.
#ifndef MILL_CORE_LOG_H
#define MILL_CORE_LOG_H

#include "shardmill.h"

typedef struct mill_log {
    mill_log_level level; // messages above it are dropped
    // Gets one line without its end. Called from any thread, several at once: it must do its own locking if it needs any.
    void (*write)(void *context, mill_log_level level, const char *line);
    void *context;
} mill_log;

// Formats one message; control bytes and bytes that are not UTF-8 are shown as \xNN, a long message is cut. A NULL log is silent.
void mill_log_line(const mill_log *log, mill_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *mill_log_level_name(mill_log_level level); // "error", "warning", "info", "debug"

// Copies text to out, always NUL-terminated, with each byte of a control character (C0, DEL, C1) or of invalid UTF-8 as \xNN.
// Whole characters only; what does not fit is left out. Returns the bytes written without the NUL. capacity > 0.
size_t mill_escape_controls(const char *text, char *out, size_t capacity);

#endif
