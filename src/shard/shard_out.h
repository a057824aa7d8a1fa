// shard_out.h: the text of a shard on its way to one file, plain or as one zstd frame.
#ifndef MILL_SHARD_SHARD_OUT_H
#define MILL_SHARD_SHARD_OUT_H

#include "core/fs.h"
#include "shard/ids_frame.h"

typedef struct mill_shard_out {
    mill_outfile *file;     // borrowed, open
    mill_ids_frame *ids;    // compresses ids of level 1; NULL: others
    void *zstd;             // ZSTD_CCtx that compresses them; both NULL: plain
    mill_buf packed;        // output of zstd on its way to the file
    size_t job_bytes;       // of text that are handed on at once
    uint32_t workers, jobs; // jobs: at work, at most as many as there are workers
} mill_shard_out;

// level 0: plain. ids: the text is lists of ids. The frame has a checksum; its bytes depend on the text, the level and zstd's
// version, never on when the text was handed over, nor on the number of threads that compress beside the caller (workers, at
// least 1).
mill_status mill_shard_out_open(mill_shard_out *out, mill_outfile *file, int level, bool ids, uint32_t workers, mill_error *err)
    MILL_MUST_CHECK;
// Takes what is worth it from the front of the text, to which the caller goes on appending. Meant to be called after every line.
mill_status mill_shard_out_take(mill_shard_out *out, mill_buf *text, mill_error *err) MILL_MUST_CHECK;
// Takes the rest and ends the frame. The file stays open; from open to here nobody else may use it.
mill_status mill_shard_out_finish(mill_shard_out *out, mill_buf *text, mill_error *err) MILL_MUST_CHECK;
void mill_shard_out_close(mill_shard_out *out); // always; harmless twice

#endif
