// shard_out.c: streaming compression into a file, by zstd's threads beside the caller.
#include "shard/shard_out.h"

#include <zstd.h>

#include "core/hash.h"
#include "shard/shard.h"

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

mill_status mill_shard_out_open(mill_shard_out *out, mill_outfile *file, int level, uint32_t workers, mill_error *err)
{
    *out = (mill_shard_out){.file = file};
    if (level != 0) {
        out->zstd = ZSTD_createCCtx();
        out->text = mill_xxh3_create();
        if (out->zstd == NULL || out->text == NULL)
            return mill_fail_nomem(err, "writing a compressed shard");
        MILL_TRY(mill_shard_zstd_set_up(out->zstd, level, workers, err));
        MILL_TRY(mill_buf_reserve(&out->packed, ZSTD_CStreamOutSize(), err));
    }
    return MILL_OK;
}

mill_status mill_shard_out_append(mill_shard_out *out, const void *data, size_t bytes, mill_error *err)
{
    if (bytes == 0)
        return MILL_OK;
    if (out->zstd == NULL)
        return mill_outfile_write(out->file, data, bytes, err);
    mill_xxh3_update(out->text, data, bytes);
    return compress(out, data, bytes, ZSTD_e_continue, err);
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
