// shard_zstd.c: a whole file as one zstd frame.
#include <zstd.h>
#include <zstd_errors.h>

#include "shard/shard.h"

static mill_status compress(ZSTD_CCtx *context, const void *data, size_t bytes, int level, mill_buf *out, mill_error *err)
{
    size_t bound = ZSTD_compressBound(bytes);
    if (ZSTD_isError(bound))
        return mill_fail(err, MILL_INTERNAL, "zstd: %zu bytes are too many for one frame", bytes);
    MILL_TRY(mill_buf_reserve(out, bound, err));
    size_t result = ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(result))
        result = ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    if (!ZSTD_isError(result))
        result = ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1);
    if (!ZSTD_isError(result))
        result = ZSTD_compress2(context, out->data + out->bytes, bound, data, bytes);
    if (ZSTD_isError(result)) {
        if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
            return mill_fail_nomem(err, "zstd compression");
        return mill_fail(err, MILL_INTERNAL, "zstd: %s", ZSTD_getErrorName(result));
    }
    out->bytes += result;
    return MILL_OK;
}

mill_status mill_shard_zstd(const void *data, size_t bytes, int level, mill_buf *out, mill_error *err)
{
    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel())
        return mill_fail(err, MILL_RECIPE, "zstd level %d does not exist: it must be from %d to %d", level, ZSTD_minCLevel(),
                         ZSTD_maxCLevel());
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context == NULL)
        return mill_fail_nomem(err, "zstd compression");
    mill_status status = compress(context, data, bytes, level, out, err);
    ZSTD_freeCCtx(context);
    return status;
}
