// log.c: one line for each message, safe for a terminal.
#include "core/log.h"

#include "core/status.h"
#include "core/utf8.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { LINE_BYTES = 2048 };

// Length of the character at text that may be shown as it is, 0 if its first byte must be escaped.
static size_t printable(const uint8_t *text, size_t bytes)
{
    size_t length = mill_utf8_sequence(text, bytes);
    bool control = length == 1 ? text[0] < 0x20 || text[0] == 0x7f : length == 2 && text[0] == 0xc2 && text[1] < 0xa0;
    return control ? 0 : length;
}

size_t mill_escape_controls(const char *text, char *out, size_t capacity)
{
    static const char digits[] = "0123456789abcdef";
    MILL_ASSERT(capacity > 0);
    const uint8_t *in = (const uint8_t *)text;
    size_t bytes = strlen(text);
    size_t written = 0;
    for (size_t i = 0; i < bytes;) {
        size_t length = printable(in + i, bytes - i);
        size_t need = length != 0 ? length : 4;
        if (need > capacity - 1 - written)
            break;
        if (length != 0) {
            memcpy(out + written, in + i, length);
        } else {
            const char escaped[4] = {'\\', 'x', digits[in[i] >> 4], digits[in[i] & 15]};
            memcpy(out + written, escaped, sizeof escaped);
        }
        written += need;
        i += length != 0 ? length : 1;
    }
    out[written] = '\0';
    return written;
}

void mill_log_line(const mill_log *log, mill_log_level level, const char *format, ...)
{
    if (log == NULL || log->write == NULL || level > log->level)
        return;
    char message[LINE_BYTES];
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (length < 0)
        return;
    mill_escape_controls(message, line, sizeof line);
    log->write(log->context, level, line);
}

const char *mill_log_level_name(mill_log_level level)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    return (size_t)level < sizeof names / sizeof names[0] ? names[level] : "debug";
}
