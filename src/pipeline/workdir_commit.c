// workdir_commit.c: units while they are made, and the hand-over to the queue of those that are to be made durable
// (workdir_flush.c).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "pipeline/workdir_internal.h"

#define STATE ".shardmill"

enum { UNLINKERS = 8 };

void mill_unit_init(mill_unit *unit, const char *stage, uint64_t number)
{
    memset(unit, 0, sizeof *unit);
    snprintf(unit->stage, sizeof unit->stage, "%s", stage);
    unit->number = number;
}

bool mill_path_is_state(const char *path)
{
    return strncmp(path, STATE "/", sizeof STATE) == 0;
}

void mill_path_parent(const char *path, char *parent, size_t bytes)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(parent, bytes, ".");
    else
        snprintf(parent, bytes, "%.*s", (int)(slash - path), path);
}

// Makes sure that a directory below the output exists; remembers it.
mill_status mill_workdir_ensure_directory(mill_workdir *dir, const char *path, mill_error *err)
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

void mill_workdir_name_tmp(mill_workdir *dir, char tmp[64])
{
    pthread_mutex_lock(&dir->lock);
    snprintf(tmp, 64, STATE "/tmp/%llu", (unsigned long long)dir->tmp_number++);
    pthread_mutex_unlock(&dir->lock);
}

static mill_unit_file *next_file(mill_unit *unit, const char *path)
{
    MILL_ASSERT(unit->file_count < MILL_UNIT_FILES_MAX && strlen(path) < sizeof unit->files->path);
    mill_unit_file *file = &unit->files[unit->file_count];
    *file = (mill_unit_file){.out.file = -1};
    snprintf(file->path, sizeof file->path, "%s", path);
    return file;
}

mill_status mill_unit_create(mill_workdir *dir, mill_unit *unit, const char *path, mill_unit_file **file, mill_error *err)
{
    mill_unit_file *f = next_file(unit, path);
    mill_workdir_name_tmp(dir, f->tmp);
    MILL_TRY(mill_outfile_open(&f->out, dir->fs, dir->handle, f->tmp, err));
    unit->file_count++;
    *file = f;
    return MILL_OK;
}

// The digest that its record tells of a file: a product's goes into the manifest, a state file's only tells damage.
static mill_status digest_content(const mill_buf *content, bool state, char hex[65], mill_error *err)
{
    uint8_t digest[32];
    if (state) {
        mill_xxh3_hex(content->data, content->bytes, hex);
        return MILL_OK;
    }
    void *sha256 = mill_sha256_create();
    if (sha256 == NULL)
        return mill_fail_nomem(err, "a file");
    mill_sha256_update(sha256, content->data, content->bytes);
    mill_sha256_finish(sha256, digest);
    mill_hex(digest, sizeof digest, hex);
    return MILL_OK;
}

mill_status mill_unit_add(mill_workdir *dir, mill_unit *unit, const char *path, mill_buf *content, mill_error *err)
{
    (void)dir;
    mill_unit_file *f = next_file(unit, path);
    f->held = mill_alloc(sizeof *f->held);
    if (f->held == NULL) {
        mill_buf_free(content);
        return mill_fail_nomem(err, "a file");
    }
    *f->held = (mill_held){.content = *content, .users = 1};
    *content = (mill_buf){0};
    f->bytes = f->held->content.bytes;
    unit->file_count++;
    return digest_content(&f->held->content, mill_path_is_state(path), f->digest, err);
}

void mill_held_drop(mill_held *held)
{
    if (held == NULL || --held->users != 0)
        return;
    mill_buf_free(&held->content);
    mill_free(held);
}

void mill_unit_spend(mill_unit *unit, const char *path)
{
    MILL_ASSERT(unit->spend_count < MILL_UNIT_SPENDS_MAX && strlen(path) < sizeof unit->spends[0] && mill_path_is_state(path));
    snprintf(unit->spends[unit->spend_count++], sizeof unit->spends[0], "%s", path);
}

void mill_unit_abort(mill_workdir *dir, mill_unit *unit)
{
    for (uint32_t i = 0; i < unit->file_count; i++) {
        mill_unit_file *file = &unit->files[i];
        if (file->held != NULL) { // nobody else knows of it
            mill_buf_free(&file->held->content);
            mill_free(file->held);
            continue;
        }
        mill_outfile_abort(&file->out);
        (void)dir->fs->ops->unlink(dir->fs->self, dir->handle, file->tmp);
    }
    cJSON_Delete(unit->payload);
    unit->payload = NULL;
    unit->file_count = 0;
}

static bool add_file(cJSON *files, const mill_unit_file *from)
{
    cJSON *file = cJSON_CreateObject();
    const char *digest = from->held != NULL && mill_path_is_state(from->path) ? "xxh3" : "sha256";
    bool good = cJSON_AddNumberToObject(file, "bytes", (double)from->bytes) != NULL &&
                cJSON_AddStringToObject(file, "path", from->path) != NULL &&
                cJSON_AddStringToObject(file, digest, from->digest) != NULL;
    if (!cJSON_AddItemToArray(files, file)) {
        cJSON_Delete(file);
        return false;
    }
    return good;
}

// What the journal will say of the unit; takes its payload.
static mill_status make_record(mill_unit *unit, cJSON **out, mill_error *err)
{
    cJSON *record = cJSON_CreateObject();
    cJSON *files = cJSON_AddArrayToObject(record, "files");
    bool good = files != NULL && cJSON_AddStringToObject(record, "stage", unit->stage) != NULL &&
                cJSON_AddNumberToObject(record, "unit", (double)unit->number) != NULL;
    for (uint32_t k = 0; good && k < unit->file_count; k++)
        good = add_file(files, &unit->files[k]);
    cJSON *spends = good && unit->spend_count != 0 ? cJSON_AddArrayToObject(record, "spends") : NULL;
    for (uint32_t k = 0; good && k < unit->spend_count; k++)
        good = spends != NULL && cJSON_AddItemToArray(spends, cJSON_CreateString(unit->spends[k]));
    if (good && unit->payload != NULL) {
        good = cJSON_AddItemToObject(record, "payload", unit->payload);
        if (good)
            unit->payload = NULL;
    }
    if (!good) {
        cJSON_Delete(record);
        return mill_fail_nomem(err, "a journal record");
    }
    *out = record;
    return MILL_OK;
}

static mill_status finish_streams(mill_unit *unit, mill_error *err)
{
    for (uint32_t i = 0; i < unit->file_count; i++) {
        mill_unit_file *file = &unit->files[i];
        if (file->held != NULL)
            continue;
        MILL_TRY(mill_outfile_digest(&file->out, file->digest, err));
        file->bytes = file->out.bytes;
    }
    return MILL_OK;
}

// Puts the unit into the queue; under the lock.
static mill_status enqueue(mill_workdir *dir, mill_unit *unit, cJSON *record, mill_error *err)
{
    mill_status status = MILL_GROW(dir->pending, dir->pending_capacity, dir->pending_count + 1, err);
    if (status != MILL_OK) {
        cJSON_Delete(record);
        return status;
    }
    MILL_TRY(mill_workdir_add_entry(dir, record, err));
    if (dir->pending_count == 0)
        dir->oldest_at = mill_clock_ns() / 1000000;
    dir->pending[dir->pending_count++] = (mill_pending){*unit, record};
    for (uint32_t i = 0; i < unit->file_count; i++) {
        if (unit->files[i].held != NULL)
            dir->pending_bytes += unit->files[i].held->content.capacity;
        else
            dir->stream_count++;
    }
    unit->file_count = 0;
    return MILL_OK;
}

mill_status mill_unit_commit(mill_workdir *dir, mill_unit *unit, mill_error *err)
{
    cJSON *record = NULL;
    mill_status status = finish_streams(unit, err);
    if (status == MILL_OK)
        status = make_record(unit, &record, err);
    if (status == MILL_OK) {
        pthread_mutex_lock(&dir->lock);
        status = enqueue(dir, unit, record, err);
        if (status == MILL_OK)
            status = mill_workdir_pending_added(dir, err);
        pthread_mutex_unlock(&dir->lock);
    }
    if (status != MILL_OK)
        mill_unit_abort(dir, unit);
    return status;
}

// ---- single files, and the end ------------------------------------------------------------------------------------------------

mill_status mill_workdir_write_file(mill_workdir *dir, const char *path, const void *data, size_t bytes, char *sha256_hex,
                                    mill_error *err)
{
    char tmp[64], parent[160], digest[65];
    mill_outfile out;
    mill_workdir_name_tmp(dir, tmp);
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
    mill_path_parent(path, parent, sizeof parent);
    return mill_workdir_sync_directory(dir, dir->handle, parent, err);
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
            if (mill_path_is_state(path))
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

mill_status mill_workdir_seal(mill_workdir *dir, const mill_buf *sums, const mill_buf *manifest, mill_error *err)
{
    MILL_TRY(dir->options.keep_work ? mill_workdir_flush(dir, err) : mill_workdir_publish(dir, err));
    MILL_TRY(mill_workdir_write_file(dir, "SHA256SUMS", sums->data, sums->bytes, NULL, err));
    MILL_TRY(mill_workdir_write_file(dir, "manifest.json", manifest->data, manifest->bytes, NULL, err));
    return mill_workdir_settle(dir, err);
}

static mill_status unlink_state(void *context, uint32_t worker, uint64_t entry, mill_error *err)
{
    (void)worker;
    (void)err;
    mill_workdir *dir = context;
    const cJSON *file;
    cJSON_ArrayForEach(file, cJSON_GetObjectItemCaseSensitive(dir->entries[entry].record, "files")) {
        const char *path = cJSON_GetObjectItemCaseSensitive(file, "path")->valuestring;
        if (mill_path_is_state(path))
            (void)dir->fs->ops->unlink(dir->fs->self, dir->handle, path); // what stays, remove_tree meets again
    }
    return MILL_OK;
}

mill_status mill_workdir_settle(mill_workdir *dir, mill_error *err)
{
    const bool keep_work = dir->options.keep_work;
    static const char *const state[] = {STATE "/stage", STATE "/tmp", STATE "/journal"};
    MILL_TRY(mill_workdir_sync_directory(dir, dir->handle, ".", err));
    char parent[4096];
    const char *path = dir->options.path;
    mill_path_parent(path, parent, sizeof parent);
    MILL_TRY(mill_workdir_sync_directory(dir, MILL_FS_CWD, parent[0] != '\0' ? parent : "/", err));
    // The system takes a while to let go of large files: of their pages, and of their blocks, where it waits for the disk.
    const uint32_t threads = dir->options.threads < UNLINKERS ? UNLINKERS : dir->options.threads;
    if (!keep_work && !dir->fs->one_thread)
        MILL_TRY(mill_parallel_run(threads, dir->entry_count, unlink_state, dir, err));
    for (size_t i = 0; !keep_work && i < sizeof state / sizeof state[0]; i++)
        MILL_TRY(mill_fs_remove_tree(dir->fs, dir->handle, state[i], err));
    return MILL_OK;
}
