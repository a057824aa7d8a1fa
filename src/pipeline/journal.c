// journal.c: framing and reading of journal records.
#include "pipeline/journal.h"

#include <string.h>
#include <zlib.h>

#define RECORD_MAX (16u << 20)

static uint32_t checksum(uint32_t length, const void *payload)
{
    uLong crc = crc32(0, (const Bytef *)&length, sizeof length);
    return (uint32_t)crc32(crc, payload, length);
}

mill_status mill_journal_frame(const cJSON *payload, mill_buf *out, mill_error *err)
{
    char *text = cJSON_PrintUnformatted(payload);
    if (text == NULL)
        return mill_fail_nomem(err, "a journal record");
    size_t bytes = strlen(text);
    if (bytes > RECORD_MAX) {
        cJSON_free(text);
        return mill_fail(err, MILL_RESOURCE, "a journal record of %zu bytes is over the limit of %u; use fewer inputs a run",
                         bytes, RECORD_MAX);
    }
    uint32_t head[2] = {(uint32_t)bytes, checksum((uint32_t)bytes, text)};
    mill_status status = mill_buf_append(out, head, sizeof head, err);
    if (status == MILL_OK)
        status = mill_buf_append(out, text, bytes, err);
    cJSON_free(text);
    return status;
}

// Bytes of the good record at data, 0 if there is none.
static size_t good_record(const uint8_t *data, size_t bytes)
{
    uint32_t head[2];
    if (bytes < sizeof head)
        return 0;
    memcpy(head, data, sizeof head);
    if (head[0] > RECORD_MAX || head[0] > bytes - sizeof head || checksum(head[0], data + sizeof head) != head[1])
        return 0;
    return sizeof head + head[0];
}

// True if a good record begins anywhere in data: then what stands before it is no torn tail. A record of length 0 is never
// written, so runs of zeros (which a power cut can leave) do not count.
static bool any_good_record(const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at < bytes; at++) {
        size_t record = good_record(data + at, bytes - at);
        if (record > 10 && data[at + 8] == '{')
            return true;
    }
    return false;
}

mill_status mill_journal_parse(const uint8_t *data, size_t bytes, const char *name,
                               mill_status (*visit)(void *context, cJSON *payload, mill_error *err), void *context,
                               mill_error *err)
{
    size_t at = 0;
    while (at < bytes) {
        size_t record = good_record(data + at, bytes - at);
        cJSON *payload = record > 8 ? cJSON_ParseWithLength((const char *)data + at + 8, record - 8) : NULL;
        if (payload == NULL) {
            if (any_good_record(data + at + 1, bytes - at - 1))
                return mill_fail(err, MILL_VERIFY, "%s: damaged at byte %zu; remove the directory's .shardmill to start anew",
                                 name, at);
            return MILL_OK;
        }
        MILL_TRY(visit(context, payload, err));
        at += record;
    }
    return MILL_OK;
}
