// workdir_commit.c: making files appear complete or not at all, and the journal that remembers them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/hash.h"
#include "pipeline/workdir_internal.h"

#define STATE ".shardmill"
#define FLUSH_MS 2000
#define FLUSH_BYTES (UINT64_C(1) << 30)
#define FLUSH_UNITS 256

static int64_t now_ms(void)
{
    return mill_clock_ns() / 1000000;
}

void mill_unit_init(mill_unit *unit, const char *stage, uint64_t number)
{
    memset(unit, 0, sizeof *unit);
    snprintf(unit->stage, sizeof unit->stage, "%s", stage);
    unit->number = number;
}

// The directory part of path; false if it has none.
static bool parent_of(const char *path, char *parent, size_t bytes)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return false;
    snprintf(parent, bytes, "%.*s", (int)(slash - path), path);
    return true;
}

// Makes sure that a directory below the output exists; remembers it. Caller holds the lock.
static mill_status ensure_directory(mill_workdir *dir, const char *path, mill_error *err)
{
    for (size_t i = 0; i < dir->known_directories; i++) {
        if (strcmp(dir->directories[i], path) == 0)
            return MILL_OK;
    }
    MILL_TRY(mill_workdir_make_directories(dir, dir->handle, path, err));
    if (dir->known_directories < MILL_DIRECTORIES_MAX) {
        char *copy = mill_strdup(path);
        if (copy == NULL)
            return mill_fail_nomem(err, "a directory name");
        dir->directories[dir->known_directories++] = copy;
    }
    return MILL_OK;
}

static mill_status reserve_tmp(mill_workdir *dir, const char *path, char tmp[64], mill_error *err)
{
    char parent[160];
    pthread_mutex_lock(&dir->lock);
    mill_status status = ensure_directory(dir, STATE "/tmp", err);
    if (status == MILL_OK && parent_of(path, parent, sizeof parent))
        status = ensure_directory(dir, parent, err);
    snprintf(tmp, 64, STATE "/tmp/%llu", (unsigned long long)dir->tmp_number++);
    pthread_mutex_unlock(&dir->lock);
    return status;
}

mill_status mill_unit_create(mill_workdir *dir, mill_unit *unit, const char *path, mill_unit_file **file, mill_error *err)
{
    MILL_ASSERT(unit->file_count < MILL_UNIT_FILES_MAX && strlen(path) < sizeof unit->files->path);
    mill_unit_file *f = &unit->files[unit->file_count];
    *f = (mill_unit_file){.out.file = -1};
    snprintf(f->path, sizeof f->path, "%s", path);
    MILL_TRY(reserve_tmp(dir, path, f->tmp, err));
    MILL_TRY(mill_outfile_open(&f->out, dir->fs, dir->handle, f->tmp, err));
    unit->file_count++;
    *file = f;
    return MILL_OK;
}

mill_status mill_unit_add(mill_workdir *dir, mill_unit *unit, const char *path, const void *data, size_t bytes, mill_error *err)
{
    mill_unit_file *file;
    MILL_TRY(mill_unit_create(dir, unit, path, &file, err));
    return mill_outfile_write(&file->out, data, bytes, err);
}

void mill_unit_abort(mill_workdir *dir, mill_unit *unit)
{
    for (uint32_t i = 0; i < unit->file_count; i++) {
        mill_outfile_abort(&unit->files[i].out);
        (void)dir->fs->ops->unlink(dir->fs->self, dir->handle, unit->files[i].tmp);
    }
    cJSON_Delete(unit->payload);
    unit->payload = NULL;
    unit->file_count = 0;
}

static mill_status finish_files(mill_workdir *dir, mill_unit *unit, mill_error *err)
{
    for (uint32_t i = 0; i < unit->file_count; i++) {
        mill_unit_file *file = &unit->files[i];
        MILL_TRY(mill_outfile_finish(&file->out, !dir->options.fast, file->sha256, err));
        file->bytes = file->out.bytes;
    }
    return MILL_OK;
}

// ---- flush: rename, sync directories, journal --------------------------------------------------------------------------------

static mill_status rename_all(mill_workdir *dir, mill_error *err)
{
    for (size_t i = 0; i < dir->pending_count; i++) {
        const mill_unit *unit = &dir->pending[i];
        for (uint32_t k = 0; k < unit->file_count; k++)
            MILL_TRY(mill_fs_rename(dir->fs, dir->handle, unit->files[k].tmp, unit->files[k].path, err));
    }
    return MILL_OK;
}

// True if an earlier pending file has the same parent, so that its directory is synced once.
static bool parent_seen(const mill_workdir *dir, size_t unit, uint32_t file, const char *parent)
{
    char other[160];
    for (size_t i = 0; i <= unit; i++) {
        uint32_t count = i < unit ? dir->pending[i].file_count : file;
        for (uint32_t k = 0; k < count; k++) {
            if (!parent_of(dir->pending[i].files[k].path, other, sizeof other))
                snprintf(other, sizeof other, ".");
            if (strcmp(other, parent) == 0)
                return true;
        }
    }
    return false;
}

static mill_status sync_parents(mill_workdir *dir, mill_error *err)
{
    for (size_t i = 0; i < dir->pending_count; i++) {
        for (uint32_t k = 0; k < dir->pending[i].file_count; k++) {
            char parent[160];
            if (!parent_of(dir->pending[i].files[k].path, parent, sizeof parent))
                snprintf(parent, sizeof parent, ".");
            if (!parent_seen(dir, i, k, parent))
                MILL_TRY(mill_workdir_sync_directory(dir, dir->handle, parent, err));
        }
    }
    return MILL_OK;
}

static cJSON *unit_record(mill_unit *unit)
{
    cJSON *record = cJSON_CreateObject();
    cJSON *files = cJSON_AddArrayToObject(record, "files");
    bool good = files != NULL && cJSON_AddStringToObject(record, "stage", unit->stage) != NULL &&
                cJSON_AddNumberToObject(record, "unit", (double)unit->number) != NULL;
    for (uint32_t k = 0; good && k < unit->file_count; k++) {
        cJSON *file = cJSON_CreateObject();
        good = cJSON_AddNumberToObject(file, "bytes", (double)unit->files[k].bytes) != NULL &&
               cJSON_AddStringToObject(file, "path", unit->files[k].path) != NULL &&
               cJSON_AddStringToObject(file, "sha256", unit->files[k].sha256) != NULL;
        if (!cJSON_AddItemToArray(files, file))
            cJSON_Delete(file);
    }
    if (good && unit->payload != NULL) {
        good = cJSON_AddItemToObject(record, "payload", unit->payload);
        if (good)
            unit->payload = NULL;
    }
    if (!good) {
        cJSON_Delete(record);
        return NULL;
    }
    return record;
}

static mill_status open_journal(mill_workdir *dir, mill_error *err)
{
    if (dir->journal_file >= 0)
        return MILL_OK;
    char path[64];
    MILL_TRY(ensure_directory(dir, STATE "/journal", err));
    snprintf(path, sizeof path, STATE "/journal/%06u.log", dir->journal_number);
    MILL_TRY(mill_fs_open(dir->fs, dir->handle, path, MILL_OPEN_APPEND, &dir->journal_file, err));
    return mill_workdir_sync_directory(dir, dir->handle, STATE "/journal", err);
}

static mill_status write_journal(mill_workdir *dir, mill_error *err)
{
    mill_buf frames = {0};
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(open_journal(dir, err));
    for (size_t i = 0; i < dir->pending_count; i++) {
        cJSON *record = unit_record(&dir->pending[i]);
        if (record == NULL) {
            status = mill_fail_nomem(err, "a journal record");
            goto cleanup;
        }
        status = mill_journal_frame(record, &frames, err);
        if (status != MILL_OK) {
            cJSON_Delete(record);
            goto cleanup;
        }
        MILL_TRY_GOTO(mill_workdir_add_entry(dir, record, err));
    }
    MILL_TRY_GOTO(mill_fs_write_all(dir->fs, dir->journal_file, "the journal", frames.data, frames.bytes, err));
    if (!dir->options.fast)
        MILL_TRY_GOTO(mill_fs_sync(dir->fs, dir->journal_file, "the journal", err));
cleanup:
    mill_buf_free(&frames);
    return status;
}

static mill_status flush(mill_workdir *dir, mill_error *err)
{
    dir->flushed_at = now_ms();
    if (dir->pending_count == 0)
        return MILL_OK;
    // A failed fsync is never repeated, and nothing is written behind a torn record.
    if (dir->broken)
        return mill_fail(err, MILL_IO, "%s: an earlier commit failed", dir->options.path);
    dir->broken = true;
    MILL_TRY(rename_all(dir, err));
    MILL_TRY(sync_parents(dir, err));
    MILL_TRY(write_journal(dir, err));
    dir->broken = false;
    dir->pending_count = 0;
    dir->pending_bytes = 0;
    return MILL_OK;
}

mill_status mill_workdir_flush(mill_workdir *dir, mill_error *err)
{
    pthread_mutex_lock(&dir->lock);
    mill_status status = flush(dir, err);
    pthread_mutex_unlock(&dir->lock);
    return status;
}

mill_status mill_unit_commit(mill_workdir *dir, mill_unit *unit, mill_error *err)
{
    mill_status status = finish_files(dir, unit, err);
    if (status != MILL_OK) {
        mill_unit_abort(dir, unit);
        return status;
    }
    pthread_mutex_lock(&dir->lock);
    if (dir->flushed_at == 0)
        dir->flushed_at = now_ms();
    status = MILL_GROW(dir->pending, dir->pending_capacity, dir->pending_count + 1, err);
    if (status == MILL_OK) {
        for (uint32_t i = 0; i < unit->file_count; i++)
            dir->pending_bytes += unit->files[i].bytes;
        dir->pending[dir->pending_count++] = *unit;
        unit->payload = NULL;
        unit->file_count = 0;
        if (now_ms() - dir->flushed_at >= FLUSH_MS || dir->pending_bytes >= FLUSH_BYTES || dir->pending_count >= FLUSH_UNITS)
            status = flush(dir, err);
    }
    pthread_mutex_unlock(&dir->lock);
    if (status != MILL_OK)
        mill_unit_abort(dir, unit);
    return status;
}

// ---- single files ------------------------------------------------------------------------------------------------------------

mill_status mill_workdir_write_file(mill_workdir *dir, const char *path, const void *data, size_t bytes, char *sha256_hex,
                                    mill_error *err)
{
    char tmp[64], parent[160], digest[65];
    mill_outfile out;
    MILL_TRY(reserve_tmp(dir, path, tmp, err));
    MILL_TRY(mill_outfile_open(&out, dir->fs, dir->handle, tmp, err));
    mill_status status = mill_outfile_write(&out, data, bytes, err);
    if (status == MILL_OK)
        status = mill_outfile_finish(&out, !dir->options.fast, sha256_hex != NULL ? sha256_hex : digest, err);
    if (status != MILL_OK) {
        mill_outfile_abort(&out);
        (void)dir->fs->ops->unlink(dir->fs->self, dir->handle, tmp);
        return status;
    }
    MILL_TRY(mill_fs_rename(dir->fs, dir->handle, tmp, path, err));
    if (!parent_of(path, parent, sizeof parent))
        snprintf(parent, sizeof parent, ".");
    return mill_workdir_sync_directory(dir, dir->handle, parent, err);
}

mill_status mill_workdir_digest(mill_workdir *dir, const char *path, char sha256_hex[65], mill_error *err)
{
    enum { CHUNK = 1 << 18 };
    uint8_t *chunk = mill_alloc(CHUNK);
    void *sha256 = mill_sha256_create();
    int file = -1;
    mill_status status = MILL_OK;
    if (chunk == NULL || sha256 == NULL) {
        status = mill_fail_nomem(err, "checking a file");
        goto cleanup;
    }
    MILL_TRY_GOTO(mill_fs_open(dir->fs, dir->handle, path, MILL_OPEN_READ_OWN, &file, err));
    size_t got = CHUNK;
    while (got == CHUNK) {
        MILL_TRY_GOTO(mill_fs_read(dir->fs, file, path, chunk, CHUNK, &got, err));
        mill_sha256_update(sha256, chunk, got);
    }
    uint8_t digest[32];
    mill_sha256_finish(sha256, digest);
    sha256 = NULL;
    mill_hex(digest, sizeof digest, sha256_hex);
cleanup:
    if (file >= 0)
        (void)dir->fs->ops->close(dir->fs->self, file);
    mill_sha256_destroy(sha256);
    mill_free(chunk);
    return status;
}

mill_status mill_workdir_read(mill_workdir *dir, const char *path, mill_buf *out, mill_error *err)
{
    mill_buf_clear(out);
    return mill_fs_read_file(dir->fs, dir->handle, path, MILL_OPEN_READ_OWN, UINT64_MAX, out, err);
}

static int compare_products(const void *a, const void *b)
{
    return strcmp(((const mill_product *)a)->path, ((const mill_product *)b)->path);
}

mill_status mill_workdir_products(mill_workdir *dir, mill_product **products, size_t *count, mill_error *err)
{
    size_t capacity = 0, n = 0;
    mill_product *list = NULL;
    for (size_t i = 0; i < dir->entry_count; i++) {
        const cJSON *file;
        cJSON_ArrayForEach(file, cJSON_GetObjectItemCaseSensitive(dir->entries[i].record, "files")) {
            if (dir->entries[i].lost)
                continue;
            const char *path = cJSON_GetObjectItemCaseSensitive(file, "path")->valuestring;
            if (strncmp(path, STATE "/", sizeof STATE) == 0)
                continue;
            if (MILL_GROW(list, capacity, n + 1, err) != MILL_OK) {
                mill_free(list);
                return MILL_NOMEM;
            }
            list[n++] = (mill_product){path, cJSON_GetObjectItemCaseSensitive(file, "sha256")->valuestring,
                                       (uint64_t)cJSON_GetObjectItemCaseSensitive(file, "bytes")->valuedouble};
        }
    }
    if (n != 0)
        qsort(list, n, sizeof *list, compare_products);
    *products = list;
    *count = n;
    return MILL_OK;
}

mill_status mill_workdir_seal(mill_workdir *dir, const mill_buf *sums, const mill_buf *manifest, bool keep_work, mill_error *err)
{
    MILL_TRY(mill_workdir_flush(dir, err));
    MILL_TRY(mill_workdir_write_file(dir, "SHA256SUMS", sums->data, sums->bytes, NULL, err));
    MILL_TRY(mill_workdir_write_file(dir, "manifest.json", manifest->data, manifest->bytes, NULL, err));
    return mill_workdir_settle(dir, keep_work, err);
}

mill_status mill_workdir_settle(mill_workdir *dir, bool keep_work, mill_error *err)
{
    static const char *const state[] = {STATE "/stage", STATE "/tmp", STATE "/journal"};
    MILL_TRY(mill_workdir_sync_directory(dir, dir->handle, ".", err));
    char parent[4096];
    const char *path = dir->options.path;
    if (!parent_of(path, parent, sizeof parent))
        snprintf(parent, sizeof parent, ".");
    MILL_TRY(mill_workdir_sync_directory(dir, MILL_FS_CWD, parent[0] != '\0' ? parent : "/", err));
    for (size_t i = 0; !keep_work && i < sizeof state / sizeof state[0]; i++)
        MILL_TRY(mill_fs_remove_tree(dir->fs, dir->handle, state[i], err));
    return MILL_OK;
}
