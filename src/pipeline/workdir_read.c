// workdir_read.c: what a run reads of the files that it made itself, wherever they are by then: in memory or on the disk.
#include <errno.h>
#include <string.h>

#include "core/hash.h"
#include "pipeline/workdir_internal.h"

enum { CHUNK = 1 << 18 };

mill_held *mill_workdir_find_held(const mill_workdir *dir, const char *path)
{
    for (size_t i = dir->pending_count; i-- > 0;) {
        const mill_unit *unit = &dir->pending[i].unit;
        for (uint32_t k = 0; k < unit->file_count; k++) {
            if (unit->files[k].held != NULL && strcmp(unit->files[k].path, path) == 0)
                return unit->files[k].held;
        }
    }
    return NULL;
}

static mill_status map_file(mill_workdir *dir, const char *path, mill_view *view, mill_error *err)
{
    int file;
    mill_file_info info;
    MILL_TRY(mill_fs_open(dir->fs, dir->handle, path, MILL_OPEN_READ_OWN, &file, err));
    int result;
    do
        result = dir->fs->ops->info_open(dir->fs->self, file, &info);
    while (result == -EINTR);
    if (result >= 0 && info.bytes != 0) // nothing cannot be mapped
        result = dir->fs->ops->map(dir->fs->self, file, info.bytes, &view->map);
    mill_status status = mill_fs_close(dir->fs, file, path, result >= 0 ? err : NULL);
    if (result < 0)
        return mill_fail_errno(err, -result, "%s: cannot map the file", path);
    view->data = view->map;
    view->bytes = info.bytes;
    if (status != MILL_OK)
        mill_workdir_unview(dir, view);
    return status;
}

mill_status mill_workdir_view(mill_workdir *dir, const char *path, mill_view *view, mill_error *err)
{
    *view = (mill_view){0};
    pthread_mutex_lock(&dir->lock);
    mill_held *held = mill_workdir_find_held(dir, path);
    if (held != NULL) {
        held->users++;
        *view = (mill_view){.data = held->content.data, .bytes = held->content.bytes, .held = held};
    }
    pthread_mutex_unlock(&dir->lock);
    return held != NULL ? MILL_OK : map_file(dir, path, view, err); // what is not pending any more has its name
}

void mill_workdir_unview(mill_workdir *dir, mill_view *view)
{
    if (view->held != NULL) {
        pthread_mutex_lock(&dir->lock);
        mill_held_drop(view->held);
        pthread_mutex_unlock(&dir->lock);
    }
    if (view->map != NULL)
        dir->fs->ops->unmap(dir->fs->self, view->map, view->bytes);
    *view = (mill_view){0};
}

void mill_workdir_forget(mill_workdir *dir, const mill_view *view)
{
    if (view->map != NULL)
        dir->fs->ops->forget(dir->fs->self, view->map, view->bytes);
}

static mill_status digest_file(mill_workdir *dir, const char *path, void *sha256, void *xxh3, uint8_t *chunk, mill_error *err)
{
    int file;
    MILL_TRY(mill_fs_open(dir->fs, dir->handle, path, MILL_OPEN_READ_OWN, &file, err));
    mill_status status = MILL_OK;
    for (size_t got = CHUNK; status == MILL_OK && got == CHUNK;) {
        status = mill_fs_read(dir->fs, file, path, chunk, CHUNK, &got, err);
        if (status == MILL_OK) {
            mill_sha256_update(sha256, chunk, got);
            mill_xxh3_update(xxh3, chunk, got);
        }
    }
    (void)dir->fs->ops->close(dir->fs->self, file);
    return status;
}

// Both digests of the file as it is now, in hex; false if it cannot be read.
static bool digest_now(mill_workdir *dir, const char *path, char sha256_hex[65], char xxh3_hex[33])
{
    uint8_t *chunk = mill_alloc(CHUNK), digest[32];
    void *sha256 = mill_sha256_create(), *xxh3 = mill_xxh3_create();
    bool good = chunk != NULL && sha256 != NULL && xxh3 != NULL &&
                digest_file(dir, path, sha256, xxh3, chunk, NULL) == MILL_OK;
    if (good) {
        mill_sha256_finish(sha256, digest);
        mill_hex(digest, sizeof digest, sha256_hex);
        mill_xxh3_finish(xxh3, xxh3_hex);
    } else {
        mill_sha256_destroy(sha256);
        mill_xxh3_destroy(xxh3);
    }
    mill_free(chunk);
    return good;
}

bool mill_workdir_has_file(mill_workdir *dir, const cJSON *file)
{
    const cJSON *path = cJSON_GetObjectItemCaseSensitive(file, "path");
    const cJSON *bytes = cJSON_GetObjectItemCaseSensitive(file, "bytes");
    const cJSON *sha256 = cJSON_GetObjectItemCaseSensitive(file, "sha256"), *xxh3 = cJSON_GetObjectItemCaseSensitive(file, "xxh3");
    mill_file_info info;
    if (!cJSON_IsString(path) || !cJSON_IsNumber(bytes) || !cJSON_IsString(sha256 != NULL ? sha256 : xxh3) ||
        dir->fs->ops->info(dir->fs->self, dir->handle, path->valuestring, false, &info) != 0 || info.kind != MILL_FILE_REGULAR ||
        (double)info.bytes < bytes->valuedouble || (double)info.bytes > bytes->valuedouble)
        return false;
    if (!dir->options.recheck)
        return true;
    char sha256_now[65], xxh3_now[33];
    return digest_now(dir, path->valuestring, sha256_now, xxh3_now) &&
           strcmp(sha256 != NULL ? sha256_now : xxh3_now, (sha256 != NULL ? sha256 : xxh3)->valuestring) == 0;
}
