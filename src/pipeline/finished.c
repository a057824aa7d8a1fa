// finished.c: reading a finished output directory.
#include "pipeline/finished.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/utf8.h"
#include "shard/manifest.h"

#define MANIFEST_MAX (UINT64_C(2) << 30)

uint64_t mill_finished_number(const cJSON *object, const char *name)
{
    uint64_t value;
    return mill_json_get_u64(object, name, &value) ? value : 0;
}

// ---- the list of files ----------------------------------------------------------------------------------

// Relative, no empty, "." or ".." part, and not where the state or the seal themselves lie: a sealed manifest
// may still come from a stranger, and nothing outside the directory is read on its word.
static bool is_product_path(const char *path)
{
    static const char *const own[] = {"manifest.json", "SHA256SUMS", "report.html"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (strcmp(path, own[i]) == 0)
            return false;
    }
    if (strncmp(path, ".shardmill", 10) == 0 && (path[10] == '/' || path[10] == '\0'))
        return false;
    for (const char *part = path;; part++) {
        size_t bytes = strcspn(part, "/");
        if (bytes == 0 || (bytes == 1 && part[0] == '.') || (bytes == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += bytes;
        if (*part == '\0')
            return part - path < 256;
    }
}

static bool read_file_entry(const cJSON *entry, mill_finished_file *out)
{
    const cJSON *path = cJSON_GetObjectItemCaseSensitive(entry, "path");
    const cJSON *sha256 = cJSON_GetObjectItemCaseSensitive(entry, "sha256");
    *out = (mill_finished_file){.facts = entry};
    if (!cJSON_IsString(path) || !is_product_path(path->valuestring) || !cJSON_IsString(sha256) ||
        strlen(sha256->valuestring) != 64 || strspn(sha256->valuestring, "0123456789abcdef") != 64 ||
        !mill_json_get_u64(entry, "bytes", &out->bytes))
        return false;
    out->path = path->valuestring;
    out->sha256 = sha256->valuestring;
    return true;
}

static mill_status list_files(mill_finished *f, mill_error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(f->manifest, "files"), *entry;
    size_t capacity = 0;
    if (!cJSON_IsArray(list))
        return mill_fail(err, MILL_VERIFY, "%s/manifest.json: has no list of files", f->path);
    cJSON_ArrayForEach(entry, list)
    {
        MILL_TRY(MILL_GROW(f->files, capacity, f->file_count + 1, err));
        mill_finished_file *file = &f->files[f->file_count];
        if (!read_file_entry(entry, file) || (f->file_count != 0 && strcmp(file[-1].path, file->path) >= 0))
            return mill_fail(err, MILL_VERIFY,
                             "%s/manifest.json: entry %zu of its list of files is impossible or out of order",
                             f->path, f->file_count);
        f->file_count++;
    }
    return MILL_OK;
}

static int compare_path(const void *key, const void *file)
{
    return strcmp(key, ((const mill_finished_file *)file)->path);
}

const mill_finished_file *mill_finished_find(const mill_finished *f, const char *path)
{
    return f->file_count == 0 ? NULL : bsearch(path, f->files, f->file_count, sizeof *f->files, compare_path);
}

// ---- opening --------------------------------------------------------------------------------------------

mill_status mill_finished_info(const mill_finished *f, const char *path, mill_file_info *info,
                               mill_error *err)
{
    int value;
    do
        value = f->fs->ops->info(f->fs->self, f->dir, path, false, info);
    while (value == -EINTR);
    if (value == -ENOENT || value == -ENOTDIR)
        return mill_fail(err, MILL_VERIFY, "%s/%s: is missing", f->path, path);
    return value < 0 ? mill_fail_errno(err, -value, "%s/%s: cannot look at it", f->path, path) : MILL_OK;
}

static mill_status read_manifest(mill_finished *f, mill_error *err)
{
    static const char name[] = "manifest.json";
    mill_buf text = {0};
    mill_file_info info;
    if (!mill_fs_exists(f->fs, f->dir, name))
        return mill_fail(err, MILL_VERIFY,
                         "%s: has no manifest.json: the run is unfinished (the same command goes on), or it "
                         "is no directory of "
                         "shardmill's",
                         f->path);
    MILL_TRY(mill_finished_info(f, name, &info, err));
    if (info.kind != MILL_FILE_REGULAR || info.bytes > MANIFEST_MAX)
        return mill_fail(err, MILL_VERIFY, "%s/%s: is no regular file, or larger than any manifest", f->path,
                         name);
    mill_status status = mill_fs_read_file(f->fs, f->dir, name, MILL_OPEN_READ_OWN, MANIFEST_MAX, &text, err);
    f->manifest_bytes = text.bytes;
    if (status == MILL_OK)
        status = mill_manifest_parse(text.data, text.bytes, name, &f->manifest, err);
    mill_buf_free(&text);
    MILL_TRY(status);
    uint64_t format = mill_finished_number(f->manifest, "format_version");
    if (format == 0 || format > MILL_MANIFEST_FORMAT)
        return mill_fail(
            err, MILL_VERIFY,
            "%s/%s: is of format %llu; this version reads formats up to %d: use a newer shardmill", f->path,
            name, (unsigned long long)format, MILL_MANIFEST_FORMAT);
    return list_files(f, err);
}

mill_status mill_finished_open(const char *directory, mill_finished *out, mill_error *err)
{
    *out = (mill_finished){.fs = mill_fs_posix(), .path = directory, .dir = -1};
    MILL_TRY(mill_fs_open(out->fs, MILL_FS_CWD, directory, MILL_OPEN_DIRECTORY, &out->dir, err));
    return read_manifest(out, err);
}

void mill_finished_close(mill_finished *f)
{
    if (f->fs != NULL && f->dir >= 0)
        (void)f->fs->ops->close(f->fs->self, f->dir); // opened for reading: nothing can be lost
    f->dir = -1;
    cJSON_Delete(f->manifest);
    f->manifest = NULL;
    mill_free(f->files);
    f->files = NULL;
    f->file_count = 0;
}

// ---- files ----------------------------------------------------------------------------------------------

mill_status mill_finished_check_size(const mill_finished *f, const mill_finished_file *file, mill_error *err)
{
    mill_file_info info;
    MILL_TRY(mill_finished_info(f, file->path, &info, err));
    if (info.kind != MILL_FILE_REGULAR)
        return mill_fail(err, MILL_VERIFY, "%s/%s: is no regular file", f->path, file->path);
    if (info.bytes != file->bytes)
        return mill_fail(err, MILL_VERIFY, "%s/%s: has %llu bytes, the manifest says %llu", f->path,
                         file->path, (unsigned long long)info.bytes, (unsigned long long)file->bytes);
    return MILL_OK;
}

static mill_status hash_file(const mill_finished *f, const mill_finished_file *file, int handle, void *sha256,
                             mill_buf *data, uint64_t *bytes, mill_error *err)
{
    enum { CHUNK = 256 << 10 };
    mill_buf chunk = {0};
    mill_buf *to = data != NULL ? data : &chunk;
    mill_status status = MILL_OK;
    size_t got = CHUNK;
    *bytes = 0;
    while (status == MILL_OK && got == CHUNK && *bytes <= file->bytes) {
        if (data == NULL)
            mill_buf_clear(&chunk);
        status = mill_buf_reserve(to, CHUNK, err);
        if (status == MILL_OK)
            status = mill_fs_read(f->fs, handle, file->path, to->data + to->bytes, CHUNK, &got, err);
        if (status != MILL_OK)
            break;
        mill_sha256_update(sha256, to->data + to->bytes, got);
        to->bytes += got;
        *bytes += got;
    }
    mill_buf_free(&chunk);
    return status;
}

mill_status mill_finished_check_bytes(const mill_finished *f, const mill_finished_file *file, mill_buf *data,
                                      mill_error *err)
{
    int handle;
    uint64_t bytes = 0;
    uint8_t digest[32];
    char hex[65];
    MILL_TRY(mill_finished_check_size(f, file, err));
    MILL_TRY(mill_fs_open(f->fs, f->dir, file->path, MILL_OPEN_READ_OWN, &handle, err));
    void *sha256 = mill_sha256_create();
    mill_status status = sha256 == NULL ? mill_fail_nomem(err, "checking a file")
                                        : hash_file(f, file, handle, sha256, data, &bytes, err);
    (void)f->fs->ops->close(f->fs->self, handle);
    if (status != MILL_OK) {
        mill_sha256_destroy(sha256);
        return status;
    }
    mill_sha256_finish(sha256, digest);
    mill_hex(digest, sizeof digest, hex);
    if (bytes != file->bytes || strcmp(hex, file->sha256) != 0)
        return mill_fail(err, MILL_VERIFY, "%s/%s: was changed: its SHA-256 is not the manifest's", f->path,
                         file->path);
    return MILL_OK;
}

mill_status mill_finished_read(const mill_finished *f, const char *path, mill_buf *data, mill_error *err)
{
    const mill_finished_file *file = mill_finished_find(f, path);
    if (file == NULL)
        return mill_fail(err, MILL_VERIFY, "%s: the manifest lists no %s", f->path, path);
    return mill_finished_check_bytes(f, file, data, err);
}

// ---- text -----------------------------------------------------------------------------------------------

mill_status mill_text_take(mill_buf *buf, mill_text *out, mill_error *err)
{
    mill_status status = mill_buf_append(buf, "", 1, err);
    if (status == MILL_OK)
        *out = (mill_text){(char *)buf->data, buf->bytes - 1};
    else
        mill_buf_free(buf);
    *buf = (mill_buf){0};
    return status;
}

mill_status mill_append_grouped(mill_buf *out, uint64_t value, int width, mill_error *err)
{
    char digits[24], text[32];
    int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value), at = 0;
    for (int i = 0; i < count; i++) {
        if (i != 0 && (count - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    return mill_buf_printf(out, err, "%*.*s", width, at, text);
}

mill_status mill_append_escaped(mill_buf *out, const void *text, size_t bytes, bool lines, mill_error *err)
{
    const uint8_t *in = text;
    size_t plain = 0; // start of the stretch that goes out as it is
    for (size_t i = 0; i < bytes;) {
        size_t length = mill_utf8_sequence(in + i, bytes - i);
        bool control = length == 0 || (length == 1 && (in[i] < 0x20 || in[i] == 0x7f)) ||
                       (length == 2 && in[i] == 0xc2 && in[i + 1] < 0xa0);
        if (control && lines && (in[i] == '\n' || in[i] == '\t'))
            control = false;
        if (!control) {
            i += length;
            continue;
        }
        MILL_TRY(mill_buf_append(out, in + plain, i - plain, err));
        for (size_t end = i + (length != 0 ? length : 1); i < end; i++)
            MILL_TRY(mill_buf_printf(out, err, "\\x%02x", in[i]));
        plain = i;
    }
    return mill_buf_append(out, in + plain, bytes - plain, err);
}
