// shard_out.c: streaming compression into a file.
#include "shard/shard_out.h"

#include <zstd.h>

#include "core/hash.h"

// Fixed, so that zstd meets the same block borders whatever the appends were: text is handed on in pieces of this size.
#define PIECE (1u << 20)
#define THREADS_MAX 8

// zstd's threaded form cuts the text into jobs of a size that follows from the level alone; it gives the same bytes for any number
// of workers from 1 on, but others than the plain form, so the plain form is never used.
static bool set_up(ZSTD_CCtx *zstd, int level, uint32_t threads)
{
    int workers = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : (int)threads;
    return !ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, level)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_nbWorkers, workers));
}

mill_status mill_shard_out_open(mill_shard_out *out, mill_outfile *file, int level, uint32_t threads, mill_error *err)
{
    *out = (mill_shard_out){.file = file, .sha256 = mill_sha256_create()};
    if (out->sha256 == NULL)
        return mill_fail_nomem(err, "writing a shard");
    if (level == 0)
        return MILL_OK;
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    out->zstd = zstd;
    if (zstd == NULL)
        return mill_fail_nomem(err, "writing a compressed shard");
    if (!set_up(zstd, level, threads))
        return mill_fail(err, MILL_RESOURCE, "this libzstd (%s) was built without threads; install one that has them",
                         ZSTD_versionString());
    return mill_buf_reserve(&out->packed, ZSTD_CStreamOutSize(), err);
}

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
    } while (end == ZSTD_e_end ? left != 0 : in.pos < in.size);
    return MILL_OK;
}

mill_status mill_shard_out_append(mill_shard_out *out, const void *data, size_t bytes, mill_error *err)
{
    mill_sha256_update(out->sha256, data, bytes);
    if (out->zstd == NULL)
        return mill_outfile_write(out->file, data, bytes, err);
    const uint8_t *at = data;
    while (bytes != 0) {
        size_t piece = bytes < PIECE ? bytes : PIECE;
        MILL_TRY(compress(out, at, piece, ZSTD_e_continue, err));
        at += piece;
        bytes -= piece;
    }
    return MILL_OK;
}

mill_status mill_shard_out_finish(mill_shard_out *out, char text_sha256[65], mill_error *err)
{
    uint8_t digest[32];
    if (out->zstd != NULL)
        MILL_TRY(compress(out, NULL, 0, ZSTD_e_end, err));
    mill_sha256_finish(out->sha256, digest);
    out->sha256 = NULL;
    mill_hex(digest, sizeof digest, text_sha256);
    return MILL_OK;
}

void mill_shard_out_close(mill_shard_out *out)
{
    ZSTD_freeCCtx(out->zstd);
    mill_sha256_destroy(out->sha256);
    mill_buf_free(&out->packed);
    out->zstd = NULL;
    out->sha256 = NULL;
}
