// shard_out.c: streaming compression into a file. zstd's threaded form is used for any number of threads, one beside the caller at
// least: it cuts the text into jobs of a size of ours, so that the bytes do not depend on the number.
#include "shard/shard_out.h"

#include <zstd.h>

#include "core/hash.h"
#include "shard/shard.h"

// Fixed, so that zstd meets the same borders whatever the appends were: text is handed on in pieces of this size.
#define PIECE (1u << 20)
#define THREADS_MAX 64

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

mill_status mill_shard_out_open(mill_shard_out *out, mill_outfile *file, int level, uint32_t threads, mill_error *err)
{
    *out = (mill_shard_out){.file = file};
    if (level == 0)
        return MILL_OK;
    out->zstd = ZSTD_createCCtx();
    out->text = mill_xxh3_create();
    if (out->zstd == NULL || out->text == NULL)
        return mill_fail_nomem(err, "writing a compressed shard");
    if (!mill_shard_zstd_set_up(out->zstd, level))
        return mill_fail(err, MILL_RECIPE, "zstd %s has no level %d", ZSTD_versionString(), level);
    if (!mill_shard_zstd_share(out->zstd, level, threads < THREADS_MAX ? threads : THREADS_MAX))
        return mill_fail(err, MILL_RESOURCE, "this libzstd (%s) was built without threads; install one that has them",
                         ZSTD_versionString());
    return mill_buf_reserve(&out->packed, ZSTD_CStreamOutSize(), err);
}

mill_status mill_shard_out_append(mill_shard_out *out, const void *data, size_t bytes, mill_error *err)
{
    if (bytes == 0)
        return MILL_OK;
    if (out->zstd == NULL)
        return mill_outfile_write(out->file, data, bytes, err);
    mill_xxh3_update(out->text, data, bytes);
    const uint8_t *at = data;
    while (bytes != 0) {
        size_t piece = bytes < PIECE ? bytes : PIECE;
        MILL_TRY(compress(out, at, piece, ZSTD_e_continue, err));
        at += piece;
        bytes -= piece;
    }
    return MILL_OK;
}

mill_status mill_shard_out_finish(mill_shard_out *out, char text_xxh3[33], mill_error *err)
{
    text_xxh3[0] = '\0';
    if (out->zstd == NULL)
        return MILL_OK;
    MILL_TRY(compress(out, NULL, 0, ZSTD_e_end, err));
    mill_xxh3_finish(out->text, text_xxh3);
    out->text = NULL;
    return MILL_OK;
}

void mill_shard_out_close(mill_shard_out *out)
{
    ZSTD_freeCCtx(out->zstd);
    mill_xxh3_destroy(out->text);
    mill_buf_free(&out->packed);
    out->zstd = NULL;
    out->text = NULL;
}
