// ids_frame.h: a text of numbers, lines of JSON with lists of ids, as one zstd frame of level 1. The text is cut into jobs, each of
// them matched (ids_match.h), and its literals and sequences coded by libzstd, whatever stands in front of it: so any thread may do
// any job, and the bytes depend on the text and zstd's version alone.
#ifndef MILL_SHARD_IDS_FRAME_H
#define MILL_SHARD_IDS_FRAME_H

#include "core/alloc.h"
#include "core/fs.h"

enum { MILL_IDS_LEVEL = 1, MILL_IDS_JOB_BYTES = 2 << 20 };

typedef struct mill_ids_frame mill_ids_frame;

// Borrows the file, which nobody else may use until finish. helpers: threads that do jobs beside the caller, who does some, too;
// those that cannot be made are missing. Each job at work takes about 5 MiB.
mill_status mill_ids_frame_open(mill_outfile *file, uint32_t helpers, mill_ids_frame **out, mill_error *err) MILL_MUST_CHECK;
// The next JOB_BYTES of the text, or fewer: then they are the last.
mill_status mill_ids_frame_add(mill_ids_frame *frame, const uint8_t *text, size_t bytes, mill_error *err) MILL_MUST_CHECK;
mill_status mill_ids_frame_finish(mill_ids_frame *frame, mill_error *err) MILL_MUST_CHECK;
// Appends the frame of a text that is in memory.
mill_status mill_ids_frame_append(const uint8_t *text, size_t bytes, mill_buf *out, mill_error *err) MILL_MUST_CHECK;
void mill_ids_frame_close(mill_ids_frame *frame); // stops the helpers; NULL is fine

#endif
