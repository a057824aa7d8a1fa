// outfile.c: a new file that is hashed while it is written.
#include "core/fs.h"

#include "core/hash.h"

#include <stdio.h>
#include <string.h>

enum {
    OUTFILE_BUFFER_BYTES = 256 << 10,
    SEND_BYTES = 4 << 20, // so that the sync at the end does not begin with all of a large file
};

mill_status mill_outfile_open(mill_outfile *out, const mill_fs *fs, int dir, const char *path, mill_error *err)
{
    *out = (mill_outfile){.file = -1};
    snprintf(out->name, sizeof out->name, "%s", path);
    out->sha256 = mill_sha256_create();
    mill_status status = out->sha256 == NULL ? mill_fail_nomem(err, "opening an output file")
                                             : mill_buf_reserve(&out->pending, OUTFILE_BUFFER_BYTES, err);
    if (status == MILL_OK)
        status = mill_fs_open(fs, dir, path, MILL_OPEN_CREATE, &out->file, err);
    if (status == MILL_OK)
        out->fs = fs;
    else
        mill_outfile_abort(out);
    return status;
}

static void send_written(mill_outfile *out)
{
    out->fs->ops->send(out->fs->self, out->file, out->sent, out->written - out->sent);
    out->sent = out->written;
}

static mill_status put(mill_outfile *out, const void *data, size_t bytes, mill_error *err)
{
    mill_sha256_update(out->sha256, data, bytes);
    MILL_TRY(mill_fs_write_all(out->fs, out->file, out->name, data, bytes, err));
    out->written += bytes;
    if (out->written - out->sent >= SEND_BYTES)
        send_written(out);
    return MILL_OK;
}

static mill_status flush(mill_outfile *out, mill_error *err)
{
    MILL_TRY(put(out, out->pending.data, out->pending.bytes, err));
    mill_buf_clear(&out->pending);
    return MILL_OK;
}

mill_status mill_outfile_write(mill_outfile *out, const void *data, size_t bytes, mill_error *err)
{
    MILL_ASSERT(out->file >= 0);
    out->bytes += bytes;
    if (bytes >= OUTFILE_BUFFER_BYTES - out->pending.bytes)
        MILL_TRY(flush(out, err));
    if (bytes >= OUTFILE_BUFFER_BYTES)
        return put(out, data, bytes, err);
    return mill_buf_append(&out->pending, data, bytes, err); // stays within what open reserved
}

mill_status mill_outfile_with_sha1(mill_outfile *out, mill_error *err)
{
    MILL_ASSERT(out->bytes == 0);
    mill_sha256_destroy(out->sha256);
    out->sha256 = mill_sha256_create_with_sha1();
    return out->sha256 != NULL ? MILL_OK : mill_fail_nomem(err, "opening an output file");
}

mill_status mill_outfile_sha1(mill_outfile *out, uint8_t digest[20], mill_error *err)
{
    MILL_TRY(flush(out, err));
    mill_sha256_take_sha1(out->sha256, digest);
    return MILL_OK;
}

mill_status mill_outfile_digest(mill_outfile *out, char sha256_hex[65], mill_error *err)
{
    uint8_t digest[32];
    MILL_ASSERT(out->file >= 0 && out->sha256 != NULL);
    MILL_TRY(flush(out, err));
    send_written(out);
    mill_buf_free(&out->pending);
    mill_sha256_finish(out->sha256, digest);
    out->sha256 = NULL;
    mill_hex(digest, sizeof digest, sha256_hex);
    return MILL_OK;
}

mill_status mill_outfile_close(mill_outfile *out, bool sync, mill_error *err)
{
    MILL_ASSERT(out->file >= 0);
    if (sync)
        MILL_TRY(mill_fs_sync(out->fs, out->file, out->name, err));
    int file = out->file;
    out->file = -1;
    return mill_fs_close(out->fs, file, out->name, err);
}

mill_status mill_outfile_finish(mill_outfile *out, bool sync, char sha256_hex[65], mill_error *err)
{
    mill_status status = mill_outfile_digest(out, sha256_hex, err);
    if (status == MILL_OK)
        status = mill_outfile_close(out, sync, err);
    mill_outfile_abort(out);
    return status;
}

void mill_outfile_abort(mill_outfile *out)
{
    if (out->fs != NULL && out->file >= 0) // fs is NULL in a struct that was zeroed and never opened
        // The file is given up, and its errors with it.
        out->fs->ops->close(out->fs->self, out->file);
    out->file = -1;
    mill_sha256_destroy(out->sha256);
    out->sha256 = NULL;
    mill_buf_free(&out->pending);
}
