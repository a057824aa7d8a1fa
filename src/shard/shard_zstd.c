// shard_zstd.c: a whole file as one zstd frame.
#include <zstd.h>
#include <zstd_errors.h>

#include "shard/ids_frame.h"
#include "shard/shard.h"

// Jobs of a stream begin with an empty window: a fifth of a percent larger, where zstd's overlaps cost a tenth of the time.
enum { FAST_LEVEL = 1, FAST_JOB_BYTES = 2 << 20, JOB_BYTES = 8 << 20, NO_OVERLAP = 1 };

static bool set(ZSTD_CCtx *zstd, ZSTD_cParameter parameter, int value)
{
    return !ZSTD_isError(ZSTD_CCtx_setParameter(zstd, parameter, value));
}

mill_status mill_shard_zstd_set_up(void *context, int level, uint32_t workers, mill_error *err)
{
    ZSTD_CCtx *zstd = context;
    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel())
        return mill_fail(err, MILL_RECIPE, "zstd level %d does not exist: it must be from %d to %d", level, ZSTD_minCLevel(),
                         ZSTD_maxCLevel());
    MILL_ASSERT(set(zstd, ZSTD_c_compressionLevel, level) && set(zstd, ZSTD_c_checksumFlag, 1));
    if (workers == 0)
        return MILL_OK;
    if (!set(zstd, ZSTD_c_nbWorkers, (int)workers))
        return mill_fail(err, MILL_RESOURCE, "this libzstd (%s) was built without threads; install one that has them",
                         ZSTD_versionString());
    MILL_ASSERT(set(zstd, ZSTD_c_jobSize, (int)mill_shard_zstd_job(level)) && set(zstd, ZSTD_c_overlapLog, NO_OVERLAP));
    return MILL_OK;
}

size_t mill_shard_zstd_job(int level)
{
    return level <= FAST_LEVEL ? FAST_JOB_BYTES : JOB_BYTES;
}

static mill_status compress(ZSTD_CCtx *context, const void *data, size_t bytes, int level, mill_buf *out, mill_error *err)
{
    size_t bound = ZSTD_compressBound(bytes);
    if (ZSTD_isError(bound))
        return mill_fail(err, MILL_INTERNAL, "zstd: %zu bytes are too many for one frame", bytes);
    MILL_TRY(mill_buf_reserve(out, bound, err));
    MILL_TRY(mill_shard_zstd_set_up(context, level, 0, err));
    size_t result = ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1);
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

mill_status mill_shard_zstd(const void *data, size_t bytes, int level, bool ids, mill_buf *out, mill_error *err)
{
    if (ids && level == MILL_IDS_LEVEL)
        return mill_ids_frame_append(data, bytes, out, err);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context == NULL)
        return mill_fail_nomem(err, "zstd compression");
    mill_status status = compress(context, data, bytes, level, out, err);
    ZSTD_freeCCtx(context);
    return status;
}
