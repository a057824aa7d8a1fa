// journal.h: one checksummed record a finished unit.
//
// A record is u32 length | u32 bytes since the first record of its group | u32 CRC32 (zlib's polynomial) of both and payload |
// payload; little-endian; the payload is compact JSON, at most 16 MiB. The records that are written and synced together are a
// group: a power cut can lose any blocks of the last one. Each process that writes appends to a file of its own. From its first bad
// record on the last group is a torn tail and is cut; a bad record with a good one of a later group behind it is damage.
#ifndef MILL_PIPELINE_JOURNAL_H
#define MILL_PIPELINE_JOURNAL_H

#include <cjson/cJSON.h>

#include "core/fs.h"

// Appends the frame of one payload to out, which holds its group.
mill_status mill_journal_frame(const cJSON *payload, mill_buf *out, mill_error *err) MILL_MUST_CHECK;
// Calls visit for each good record of a journal file (visit owns the payload). MILL_VERIFY when it is damaged in the middle.
mill_status mill_journal_parse(const uint8_t *data, size_t bytes, const char *name,
                               mill_status (*visit)(void *context, cJSON *payload, mill_error *err), void *context,
                               mill_error *err) MILL_MUST_CHECK;

#endif
