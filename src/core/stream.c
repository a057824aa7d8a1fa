// stream.c: input files as one decompressed stream, by zlib and libzstd.
//
// What is delivered before damage shows depends on the file's bytes only, not on how much a caller asks for at a time: raw
// bytes are taken in fixed steps, and zstd is fed one block a call, because it forgets what it wrote in a call that fails.
#include "core/stream.h"

#include "core/hash.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { RAW_BYTES = 256 << 10, WINDOW_LOG_MAX = 27, FRAME_START_BYTES = 5 };

typedef enum stream_format { FORMAT_PLAIN, FORMAT_GZIP, FORMAT_ZSTD } stream_format;

struct mill_stream {
    const mill_fs *fs;
    char *name;
    int file;
    bool is_stdin, has_info;
    mill_file_info info; // as it was when opened
    uint8_t *raw;        // RAW_BYTES of the file, raw_at .. raw_end not yet used
    size_t raw_at, raw_end;
    uint64_t file_bytes; // raw bytes read so far = offset of raw_end
    bool raw_ended;      // the file's end was read
    stream_format format;
    bool inside;             // within a gzip member or a zstd frame
    uint64_t member_at;      // offset where it began
    bool ended;              // no more bytes will be delivered
    char damage[160];        // "" if none
    z_stream gzip;
    bool gzip_open;
    ZSTD_DCtx *zstd;
    size_t zstd_wanted;      // raw bytes that complete the next block
    uint8_t *plain;          // what zstd gave and the caller has not taken: plain_at .. plain_end
    size_t plain_at, plain_end, plain_capacity;
    void *sha256;
    char digest[65]; // "" until known
};

static uint64_t position(const mill_stream *stream)
{
    return stream->file_bytes - (stream->raw_end - stream->raw_at);
}

__attribute__((format(printf, 2, 3))) static void damaged(mill_stream *stream, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(stream->damage, sizeof stream->damage, format, args);
    va_end(args);
    stream->ended = true;
}

// Makes sure that raw bytes are there unless the file is at its end.
static mill_status fill(mill_stream *stream, mill_error *err)
{
    if (stream->raw_at != stream->raw_end || stream->raw_ended)
        return MILL_OK;
    size_t got;
    MILL_TRY(mill_fs_read(stream->fs, stream->file, stream->name, stream->raw, RAW_BYTES, &got, err));
    mill_sha256_update(stream->sha256, stream->raw, got);
    stream->raw_at = 0;
    stream->raw_end = got;
    stream->file_bytes += got;
    stream->raw_ended = got < RAW_BYTES;
    return MILL_OK;
}

static mill_status read_plain(mill_stream *stream, uint8_t *out, size_t bytes, size_t *got, mill_error *err)
{
    MILL_TRY(fill(stream, err));
    size_t take = stream->raw_end - stream->raw_at;
    stream->ended = take == 0;
    if (take > bytes)
        take = bytes;
    memcpy(out, stream->raw + stream->raw_at, take);
    stream->raw_at += take;
    *got = take;
    return MILL_OK;
}

// Between members: the end, zero padding up to the end, or the next member.
static mill_status begin_gzip_member(mill_stream *stream, mill_error *err)
{
    uint64_t start = position(stream);
    bool padding = false;
    for (;;) {
        MILL_TRY(fill(stream, err));
        if (stream->raw_at == stream->raw_end) {
            stream->ended = true;
            return MILL_OK;
        }
        if (stream->raw[stream->raw_at] != 0)
            break;
        padding = true;
        stream->raw_at++;
    }
    if (padding || stream->raw[stream->raw_at] != 0x1f) {
        damaged(stream, "gzip: other bytes follow the last member at byte %llu of the file", (unsigned long long)start);
        return MILL_OK;
    }
    stream->member_at = start;
    stream->inside = true;
    MILL_ASSERT(inflateReset(&stream->gzip) == Z_OK);
    return MILL_OK;
}

static mill_status read_gzip(mill_stream *stream, uint8_t *out, size_t bytes, size_t *got, mill_error *err)
{
    if (!stream->inside) {
        MILL_TRY(begin_gzip_member(stream, err));
        if (stream->ended)
            return MILL_OK;
    }
    MILL_TRY(fill(stream, err));
    z_stream *z = &stream->gzip;
    size_t room = bytes < UINT32_MAX ? bytes : UINT32_MAX;
    z->next_in = stream->raw + stream->raw_at;
    z->avail_in = (uInt)(stream->raw_end - stream->raw_at);
    z->next_out = out;
    z->avail_out = (uInt)room;
    int result = inflate(z, Z_NO_FLUSH);
    size_t used = stream->raw_end - stream->raw_at - z->avail_in;
    stream->raw_at += used;
    *got = room - z->avail_out;
    switch (result) {
    case Z_STREAM_END: stream->inside = false; break;
    case Z_OK:
    case Z_BUF_ERROR: // no progress was possible: more input, if there is any
        if (*got == 0 && used == 0 && stream->raw_ended)
            damaged(stream, "gzip: truncated member at byte %llu of the file", (unsigned long long)stream->member_at);
        break;
    case Z_MEM_ERROR: return mill_fail_nomem(err, "decompressing gzip");
    default:
        damaged(stream, "gzip: corrupt member at byte %llu of the file: %s", (unsigned long long)stream->member_at,
                result == Z_NEED_DICT ? "needs a dictionary" : z->msg != NULL ? z->msg : "bad data");
    }
    return MILL_OK;
}

static mill_status zstd_failed(mill_stream *stream, size_t result, mill_error *err)
{
    ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
    unsigned long long at = (unsigned long long)stream->member_at;
    if (code == ZSTD_error_memory_allocation)
        return mill_fail_nomem(err, "decompressing zstd");
    if (code == ZSTD_error_frameParameter_windowTooLarge)
        damaged(stream, "zstd: window above 2^%d in the frame at byte %llu of the file", WINDOW_LOG_MAX, at);
    else if (code == ZSTD_error_prefix_unknown && stream->member_at != 0)
        damaged(stream, "zstd: other bytes follow the last frame at byte %llu of the file", at);
    else
        damaged(stream, "zstd: corrupt frame at byte %llu of the file: %s", at, ZSTD_getErrorName(result));
    return MILL_OK;
}

// Decompresses until something is there to give, or the end.
static mill_status refill_zstd(mill_stream *stream, mill_error *err)
{
    ZSTD_outBuffer out = {stream->plain, stream->plain_capacity, 0};
    bool stuck = false; // the last call had all input there is and gave nothing
    while (out.pos == 0 && !stream->ended) {
        MILL_TRY(fill(stream, err));
        size_t there = stream->raw_end - stream->raw_at;
        if (there == 0 && (!stream->inside || stuck)) {
            if (stream->inside)
                damaged(stream, "zstd: truncated frame at byte %llu of the file", (unsigned long long)stream->member_at);
            stream->ended = true;
            break;
        }
        if (!stream->inside) {
            stream->inside = true;
            stream->member_at = position(stream);
            stream->zstd_wanted = FRAME_START_BYTES;
        }
        ZSTD_inBuffer in = {stream->raw + stream->raw_at, there < stream->zstd_wanted ? there : stream->zstd_wanted, 0};
        size_t result = ZSTD_decompressStream(stream->zstd, &out, &in);
        if (ZSTD_isError(result))
            return zstd_failed(stream, result, err);
        stuck = there == 0 && out.pos == 0;
        stream->raw_at += in.pos;
        stream->inside = result != 0;
        stream->zstd_wanted = result;
    }
    stream->plain_at = 0;
    stream->plain_end = out.pos;
    return MILL_OK;
}

static mill_status read_zstd(mill_stream *stream, uint8_t *out, size_t bytes, size_t *got, mill_error *err)
{
    if (stream->plain_at == stream->plain_end)
        MILL_TRY(refill_zstd(stream, err));
    size_t take = stream->plain_end - stream->plain_at;
    if (take > bytes)
        take = bytes;
    memcpy(out, stream->plain + stream->plain_at, take);
    stream->plain_at += take;
    *got = take;
    return MILL_OK;
}

mill_status mill_stream_read(mill_stream *stream, void *data, size_t bytes, size_t *got, mill_error *err)
{
    static mill_status (*const readers[])(mill_stream *, uint8_t *, size_t, size_t *, mill_error *) = {
        [FORMAT_PLAIN] = read_plain, [FORMAT_GZIP] = read_gzip, [FORMAT_ZSTD] = read_zstd};
    size_t done = 0;
    *got = 0;
    while (done < bytes && !stream->ended) {
        size_t more = 0;
        MILL_TRY(readers[stream->format](stream, (uint8_t *)data + done, bytes - done, &more, err));
        done += more;
    }
    *got = done;
    return MILL_OK;
}

// The first bytes decide; a file too short to show a magic number is plain.
static stream_format recognise(const uint8_t *raw, size_t bytes)
{
    if (bytes >= 2 && raw[0] == 0x1f && raw[1] == 0x8b)
        return FORMAT_GZIP;
    if (bytes < 4)
        return FORMAT_PLAIN;
    uint32_t magic = raw[0] | (uint32_t)raw[1] << 8 | (uint32_t)raw[2] << 16 | (uint32_t)raw[3] << 24;
    return magic == ZSTD_MAGICNUMBER || (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START ? FORMAT_ZSTD
                                                                                                         : FORMAT_PLAIN;
}

static mill_status start_decoder(mill_stream *stream, mill_error *err)
{
    MILL_TRY(fill(stream, err));
    stream->format = recognise(stream->raw, stream->raw_end);
    if (stream->format == FORMAT_GZIP) {
        if (inflateInit2(&stream->gzip, 15 + 16) != Z_OK) // 15: largest window, 16: gzip only
            return mill_fail_nomem(err, "opening a gzip stream");
        stream->gzip_open = true;
    } else if (stream->format == FORMAT_ZSTD) {
        stream->plain_capacity = ZSTD_DStreamOutSize(); // a whole block, so that each call empties the decoder
        stream->plain = mill_alloc(stream->plain_capacity);
        stream->zstd = ZSTD_createDCtx();
        if (stream->plain == NULL || stream->zstd == NULL)
            return mill_fail_nomem(err, "opening a zstd stream");
        MILL_ASSERT(!ZSTD_isError(ZSTD_DCtx_setParameter(stream->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)));
    }
    return MILL_OK;
}

static mill_status get_info(const mill_stream *stream, mill_file_info *info, mill_error *err)
{
    int value;
    do
        value = stream->fs->ops->info_open(stream->fs->self, stream->file, info);
    while (value == -EINTR);
    return value < 0 ? mill_fail_errno(err, -value, "%s: cannot ask for its size", stream->name) : MILL_OK;
}

static mill_status open_file(mill_stream *stream, int dir, const char *path, mill_error *err)
{
    stream->is_stdin = dir == MILL_FS_CWD && strcmp(path, "-") == 0;
    stream->name = mill_strdup(stream->is_stdin ? "standard input" : path);
    stream->raw = mill_alloc(RAW_BYTES);
    stream->sha256 = mill_sha256_create();
    if (stream->name == NULL || stream->raw == NULL || stream->sha256 == NULL)
        return mill_fail_nomem(err, "opening an input file");
    if (stream->is_stdin) {
        stream->file = 0;
        return start_decoder(stream, err);
    }
    MILL_TRY(mill_fs_open(stream->fs, dir, path, MILL_OPEN_READ, &stream->file, err));
    MILL_TRY(get_info(stream, &stream->info, err));
    if (stream->info.kind == MILL_FILE_DIRECTORY)
        return mill_fail(err, MILL_INPUT, "%s: is a directory, not a file", path);
    stream->has_info = stream->info.kind == MILL_FILE_REGULAR; // a pipe has no size to watch
    return start_decoder(stream, err);
}

static void destroy(mill_stream *stream)
{
    if (stream->gzip_open)
        inflateEnd(&stream->gzip);
    ZSTD_freeDCtx(stream->zstd);
    mill_sha256_destroy(stream->sha256);
    mill_free(stream->plain);
    mill_free(stream->raw);
    mill_free(stream->name);
    mill_free(stream);
}

mill_status mill_stream_open(const mill_fs *fs, int dir, const char *path, mill_stream **out, mill_error *err)
{
    *out = NULL;
    mill_stream *stream = mill_alloc_zero(1, sizeof *stream);
    if (stream == NULL)
        return mill_fail_nomem(err, "opening an input file");
    stream->fs = fs;
    stream->file = -1;
    mill_status status = open_file(stream, dir, path, err);
    if (status == MILL_OK) {
        *out = stream;
        return MILL_OK;
    }
    if (stream->file >= 0 && !stream->is_stdin)
        fs->ops->close(fs->self, stream->file);
    destroy(stream);
    return status;
}

const char *mill_stream_damage(const mill_stream *stream)
{
    return stream->damage[0] != '\0' ? stream->damage : NULL;
}

uint64_t mill_stream_file_bytes(const mill_stream *stream)
{
    return stream->file_bytes;
}

uint64_t mill_stream_file_total(const mill_stream *stream)
{
    return stream->has_info ? stream->info.bytes : 0;
}

mill_status mill_stream_digest(mill_stream *stream, char sha256_hex[65], mill_error *err)
{
    stream->ended = true; // what is left of the file is hashed, not delivered
    while (stream->digest[0] == '\0') {
        stream->raw_at = stream->raw_end;
        MILL_TRY(fill(stream, err));
        if (!stream->raw_ended)
            continue;
        uint8_t digest[32];
        mill_sha256_finish(stream->sha256, digest);
        stream->sha256 = NULL;
        mill_hex(digest, sizeof digest, stream->digest);
    }
    memcpy(sha256_hex, stream->digest, sizeof stream->digest);
    return MILL_OK;
}

mill_status mill_stream_close(mill_stream *stream, mill_error *err)
{
    if (stream == NULL)
        return MILL_OK;
    mill_status status = MILL_OK;
    mill_file_info now;
    if (stream->has_info)
        status = get_info(stream, &now, err);
    if (status == MILL_OK && stream->has_info &&
        (now.bytes != stream->info.bytes || now.mtime_ns != stream->info.mtime_ns))
        status = mill_fail(err, MILL_INPUT, "%s: changed while it was read; run again when it is at rest", stream->name);
    if (!stream->is_stdin) {
        mill_status closed = mill_fs_close(stream->fs, stream->file, stream->name, status == MILL_OK ? err : NULL);
        if (status == MILL_OK)
            status = closed;
    }
    destroy(stream);
    return status;
}
