// journal.c: framing and reading of journal records.
#include "pipeline/journal.h"

#include <stddef.h>
#include <string.h>
#include <zlib.h>

#include "core/json.h"

#define RECORD_MAX (16u << 20)

typedef struct record_head {
    uint32_t length, group_offset, checksum;
} record_head;

static uint32_t checksum(const record_head *head, const void *payload)
{
    uLong crc = crc32(0, (const Bytef *)head, offsetof(record_head, checksum));
    return (uint32_t)crc32(crc, payload, head->length);
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
    if (out->bytes > UINT32_MAX) {
        cJSON_free(text);
        return mill_fail(err, MILL_RESOURCE, "the journal records of one commit are over 4 GiB; use fewer inputs a run");
    }
    record_head head = {.length = (uint32_t)bytes, .group_offset = (uint32_t)out->bytes};
    head.checksum = checksum(&head, text);
    mill_status status = mill_buf_append(out, &head, sizeof head, err);
    if (status == MILL_OK)
        status = mill_buf_append(out, text, bytes, err);
    cJSON_free(text);
    return status;
}

// Bytes of the good record at data, 0 if there is none.
static size_t good_record(const uint8_t *data, size_t bytes)
{
    record_head head;
    if (bytes <= sizeof head)
        return 0;
    memcpy(&head, data, sizeof head);
    // Every payload is an object, so runs of zeros (which a power cut can leave) are no records.
    if (head.length == 0 || head.length > RECORD_MAX || head.length > bytes - sizeof head || data[sizeof head] != '{' ||
        checksum(&head, data + sizeof head) != head.checksum)
        return 0;
    return sizeof head + head.length;
}

// True if a good record of a group that begins behind `bad` stands anywhere in data: then what is at `bad` is no torn tail.
static bool later_group(const uint8_t *data, size_t bytes, size_t bad)
{
    for (size_t at = bad + 1; at < bytes; at++) {
        record_head head;
        if (good_record(data + at, bytes - at) == 0)
            continue;
        memcpy(&head, data + at, sizeof head);
        if (head.group_offset <= at && at - head.group_offset > bad)
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
        cJSON *payload = NULL;
        if (record != 0)
            MILL_TRY(mill_json_parse(data + at + sizeof(record_head), record - sizeof(record_head), NULL, &payload, err));
        if (payload == NULL) {
            if (later_group(data, bytes, at))
                return mill_fail(err, MILL_VERIFY, "%s: damaged at byte %zu; use --overwrite to make the run anew",
                                 name, at);
            return MILL_OK;
        }
        MILL_TRY(visit(context, payload, err));
        at += record;
    }
    return MILL_OK;
}
