// shard_out.c: streaming compression into a file, by threads beside the caller: ids of level 1 by ids_frame.c, all else by zstd's.
#include "shard/shard_out.h"

#include <sched.h>
#include <string.h>
#include <zstd.h>

#include "shard/shard.h"

#define PLAIN_BYTES (1u << 20) // handed on at once where there are no jobs

// e_continue takes all of the data, e_flush and e_end give all that is compressed.
static mill_status compress(mill_shard_out *out, const void *data, size_t bytes, ZSTD_EndDirective end, mill_error *err)
{
    ZSTD_inBuffer in = {data, bytes, 0};
    size_t left;
    do {
        ZSTD_outBuffer packed = {out->packed.data, out->packed.capacity, 0};
        left = ZSTD_compressStream2(out->zstd, &packed, &in, end);
        if (ZSTD_isError(left))
            return mill_fail(err, MILL_NOMEM, "%s: zstd: %s", out->file->name, ZSTD_getErrorName(left));
        MILL_TRY(mill_outfile_write(out->file, out->packed.data, packed.pos, err));
    } while (end == ZSTD_e_continue ? in.pos < in.size : left != 0);
    return MILL_OK;
}

// Hands on a job's text, or the last of all. Where all of zstd's threads have a job, it would wait by asking them again and again,
// which takes processors from them where there are no more than threads: so they are waited for before, between two jobs, where a
// flush changes no byte.
static mill_status hand_on(mill_shard_out *out, const void *data, size_t bytes, mill_error *err)
{
    if (out->ids != NULL)
        return mill_ids_frame_add(out->ids, data, bytes, err);
    if (out->zstd == NULL)
        return mill_outfile_write(out->file, data, bytes, err);
    if (out->jobs == out->workers) {
        MILL_TRY(compress(out, NULL, 0, ZSTD_e_flush, err));
        out->jobs = 0;
        sched_yield(); // they have given their text, but may not be back yet
    }
    out->jobs++;
    return compress(out, data, bytes, ZSTD_e_continue, err);
}

mill_status mill_shard_out_open(mill_shard_out *out, mill_outfile *file, int level, bool ids, uint32_t workers, mill_error *err)
{
    *out = (mill_shard_out){.file = file, .job_bytes = PLAIN_BYTES};
    workers = workers < MILL_ZSTD_WORKERS_MAX ? workers : MILL_ZSTD_WORKERS_MAX;
    if (ids && level == MILL_IDS_LEVEL) {
        out->job_bytes = MILL_IDS_JOB_BYTES;
        return mill_ids_frame_open(file, workers / 2, &out->ids, err); // the caller compresses, too
    }
    if (level != 0) {
        out->zstd = ZSTD_createCCtx();
        if (out->zstd == NULL)
            return mill_fail_nomem(err, "writing a compressed shard");
        out->workers = workers;
        out->job_bytes = mill_shard_zstd_job(level);
        MILL_TRY(mill_shard_zstd_set_up(out->zstd, level, out->workers, err));
        MILL_TRY(mill_buf_reserve(&out->packed, ZSTD_CStreamOutSize(), err));
    }
    return MILL_OK;
}

mill_status mill_shard_out_take(mill_shard_out *out, mill_buf *text, mill_error *err)
{
    size_t at = 0;
    if (text->bytes < out->job_bytes)
        return MILL_OK;
    for (; text->bytes - at >= out->job_bytes; at += out->job_bytes)
        MILL_TRY(hand_on(out, text->data + at, out->job_bytes, err));
    text->bytes -= at;
    memmove(text->data, text->data + at, text->bytes);
    return MILL_OK;
}

mill_status mill_shard_out_finish(mill_shard_out *out, mill_buf *text, mill_error *err)
{
    MILL_TRY(mill_shard_out_take(out, text, err));
    if (text->bytes != 0)
        MILL_TRY(hand_on(out, text->data, text->bytes, err));
    mill_buf_clear(text);
    if (out->ids != NULL)
        return mill_ids_frame_finish(out->ids, err);
    return out->zstd != NULL ? compress(out, NULL, 0, ZSTD_e_end, err) : MILL_OK;
}

void mill_shard_out_close(mill_shard_out *out)
{
    mill_ids_frame_close(out->ids);
    ZSTD_freeCCtx(out->zstd);
    mill_buf_free(&out->packed);
    out->ids = NULL;
    out->zstd = NULL;
}
