// segment.h: a batch on disk. The same columns, language names instead of ids, stored or compressed, the whole guarded by
// XXH3-128. The only thing that goes from one pass to the next, and the resume point.
#ifndef MILL_RECORD_SEGMENT_H
#define MILL_RECORD_SEGMENT_H

#include "core/fs.h"
#include "record/batch.h"

// Serialises the batch into out (cleared first). level: zstd level of columns and text; 0 stores them.
mill_status mill_segment_encode(const mill_batch *batch, const mill_language_table *languages, int level, mill_buf *out,
                                mill_error *err) MILL_MUST_CHECK;
// The reverse; checks everything and fails with MILL_VERIFY naming `name` when the bytes are damaged.
mill_status mill_segment_decode(const uint8_t *data, size_t bytes, const char *name, mill_language_table *languages,
                                mill_batch *batch, mill_error *err) MILL_MUST_CHECK;

#endif
