// quarantine.c: the list of records that could not be read.
#include "record/quarantine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

const char *mill_quarantine_name(mill_quarantine_reason reason)
{
    static const char *const names[MILL_QUARANTINE_COUNT] = {
#define MILL_QUARANTINE_TEXT(name, text) text,
        MILL_QUARANTINE_MAP(MILL_QUARANTINE_TEXT)
#undef MILL_QUARANTINE_TEXT
    };
    return (size_t)reason < MILL_QUARANTINE_COUNT ? names[reason] : "unknown";
}

// What was seen goes to terminals and reports: controls and bytes that are not UTF-8 become \xNN, and the cut
// at the end leaves whole characters.
static void escape_detail(const char *text, char *out, size_t room)
{
    static const char hex[] = "0123456789abcdef";
    size_t length = strlen(text), used = 0;
    for (size_t i = 0; i < length;) {
        size_t sequence = mill_utf8_sequence((const uint8_t *)text + i, length - i);
        uint8_t c = (uint8_t)text[i];
        bool plain = sequence != 0 && c >= 0x20 && c != 0x7f && !(c == 0xc2 && (uint8_t)text[i + 1] < 0xa0);
        size_t need = plain ? sequence : 4;
        if (used + need >= room)
            break;
        if (plain) {
            memcpy(out + used, text + i, sequence);
            i += sequence;
        } else {
            memcpy(out + used, (char[4]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
            i++;
        }
        used += need;
    }
    out[used] = '\0';
}

mill_status mill_quarantine_add(mill_quarantine *list, const mill_quarantined *row, const char *path,
                                mill_error *err, const char *format, ...)
{
    MILL_TRY(MILL_GROW(list->rows, list->capacity, list->count + 1, err));
    mill_quarantined *added = &list->rows[list->count];
    *added = *row;
    added->path = NULL;
    char text[sizeof added->detail * 2]; // longer than what is kept, so that its own cut is never seen
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    escape_detail(text, added->detail, sizeof added->detail);
    if (path != NULL) {
        added->path = mill_strdup(path);
        if (added->path == NULL)
            return mill_fail_nomem(err, "a quarantine row");
    }
    list->count++;
    return MILL_OK;
}

void mill_quarantine_clear(mill_quarantine *list)
{
    for (size_t i = 0; i < list->count; i++)
        mill_free(list->rows[i].path);
    list->count = 0;
}

void mill_quarantine_free(mill_quarantine *list)
{
    mill_quarantine_clear(list);
    mill_free(list->rows);
    *list = (mill_quarantine){0};
}
