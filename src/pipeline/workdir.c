// workdir.c: opening, locking and describing an output directory. workdir_commit.c takes units, workdir_flush.c makes them durable,
// workdir_read.c reads them.
#include "pipeline/workdir_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/json.h"
#include "shard/container.h"

#define PLAN_MAX (64u << 20)
#define STATE ".shardmill"

void mill_workdir_log(mill_workdir *dir, mill_log_level level, const char *message)
{
    if (dir->options.log != NULL)
        dir->options.log(dir->options.context, level, message);
}

int mill_workdir_handle(const mill_workdir *dir)
{
    return dir->handle;
}

const mill_fs *mill_workdir_fs(const mill_workdir *dir)
{
    return dir->fs;
}

const char *mill_workdir_path(const mill_workdir *dir)
{
    return dir->options.path;
}

mill_status mill_workdir_is_complete(const mill_workdir *dir, bool *complete, mill_error *err)
{
    return mill_fs_find(dir->fs, dir->handle, "manifest.json", complete, err);
}

mill_status mill_workdir_sync_directory(mill_workdir *dir, int base, const char *path, mill_error *err)
{
    if (dir->options.fast)
        return MILL_OK;
    int file;
    MILL_TRY(mill_fs_open(dir->fs, base, path, MILL_OPEN_DIRECTORY, &file, err));
    mill_status status = mill_fs_sync(dir->fs, file, path, err);
    mill_status closed = mill_fs_close(dir->fs, file, path, status == MILL_OK ? err : NULL);
    return status != MILL_OK ? status : closed;
}

// Makes the entry of path durable in its parent; may cut path at its last slash.
static mill_status sync_parent(mill_workdir *dir, int base, char *path, mill_error *err)
{
    char *slash = strrchr(path, '/');
    if (slash == path)
        return mill_workdir_sync_directory(dir, base, "/", err);
    if (slash == NULL)
        return mill_workdir_sync_directory(dir, base, ".", err);
    *slash = '\0';
    return mill_workdir_sync_directory(dir, base, path, err);
}

// mkdir -p, each entry made durable in its parent: also those that are there, as an earlier attempt may have been killed after
// mkdir.
mill_status mill_workdir_make_directories(mill_workdir *dir, int base, const char *path, mill_error *err)
{
    char part[4096];
    size_t length = strlen(path);
    if (length >= sizeof part)
        return mill_fail(err, MILL_USAGE, "the path %.60s... is too long", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        bool there;
        mill_error refused = {0};
        MILL_TRY(mill_fs_find(dir->fs, base, part, &there, err));
        if (!there)
            MILL_TRY(mill_fs_mkdir(dir->fs, base, part, err));
        mill_status status = sync_parent(dir, base, part, &refused);
        // A directory above ours that we may not open is none that we made entries in.
        if (status != MILL_OK && there && (refused.sys_errno == EACCES || refused.sys_errno == EPERM))
            continue;
        if (status != MILL_OK) {
            if (err != NULL)
                *err = refused;
            return status;
        }
    }
    return MILL_OK;
}

// ---- entries of done units ---------------------------------------------------------------------------------------------------

static uint64_t entry_hash(const char *stage, uint64_t number)
{
    return XXH3_64bits_withSeed(stage, strlen(stage), number);
}

static size_t find_slot(const mill_workdir *dir, const char *stage, uint64_t number)
{
    size_t mask = dir->slot_count - 1;
    for (size_t at = entry_hash(stage, number) & mask;; at = (at + 1) & mask) {
        uint32_t index = dir->slots[at];
        if (index == 0)
            return at;
        const mill_entry *entry = &dir->entries[index - 1];
        if (entry->number == number && strcmp(entry->stage, stage) == 0)
            return at;
    }
}

static mill_status grow_slots(mill_workdir *dir, mill_error *err)
{
    if (dir->entry_count * 2 < dir->slot_count)
        return MILL_OK;
    size_t count = dir->slot_count == 0 ? 256 : dir->slot_count * 2;
    uint32_t *slots = mill_alloc_zero(count, sizeof *slots);
    if (slots == NULL)
        return mill_fail_nomem(err, "the table of finished units");
    mill_free(dir->slots);
    dir->slots = slots;
    dir->slot_count = count;
    for (size_t i = 0; i < dir->entry_count; i++) {
        mill_entry *entry = &dir->entries[i];
        slots[find_slot(dir, entry->stage, entry->number)] = (uint32_t)i + 1;
    }
    return MILL_OK;
}

// Takes record over. A second record for a unit must equal the first.
mill_status mill_workdir_add_entry(mill_workdir *dir, cJSON *record, mill_error *err)
{
    const cJSON *stage = cJSON_GetObjectItemCaseSensitive(record, "stage");
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(record, "unit");
    mill_status status = MILL_OK;
    if (!cJSON_IsString(stage) || strlen(stage->valuestring) >= sizeof dir->entries->stage || !cJSON_IsNumber(number)) {
        status = mill_fail(err, MILL_VERIFY, "%s/" STATE ": a journal record names no unit", dir->options.path);
        goto cleanup;
    }
    MILL_TRY_GOTO(grow_slots(dir, err));
    uint64_t unit = (uint64_t)number->valuedouble;
    size_t slot = find_slot(dir, stage->valuestring, unit);
    if (dir->slots[slot] != 0) {
        mill_entry *old = &dir->entries[dir->slots[slot] - 1];
        if (!old->lost && !cJSON_Compare(old->record, record, true)) {
            status = mill_fail(err, MILL_VERIFY, "%s: two different journal records for unit %s %llu", dir->options.path,
                               stage->valuestring, (unsigned long long)unit);
            goto cleanup;
        }
        cJSON_Delete(old->record);
        old->record = record;
        old->lost = false;
        return MILL_OK;
    }
    MILL_TRY_GOTO(MILL_GROW(dir->entries, dir->entry_capacity, dir->entry_count + 1, err));
    mill_entry *entry = &dir->entries[dir->entry_count++];
    *entry = (mill_entry){.number = unit, .record = record};
    snprintf(entry->stage, sizeof entry->stage, "%s", stage->valuestring);
    dir->slots[slot] = (uint32_t)dir->entry_count;
    return MILL_OK;
cleanup:
    cJSON_Delete(record);
    return status;
}

static const mill_entry *find_entry(mill_workdir *dir, const char *stage, uint64_t number)
{
    if (dir->slot_count == 0)
        return NULL;
    uint32_t index = dir->slots[find_slot(dir, stage, number)];
    return index != 0 ? &dir->entries[index - 1] : NULL;
}

const cJSON *mill_workdir_done(mill_workdir *dir, const char *stage, uint64_t number)
{
    pthread_mutex_lock(&dir->lock);
    const mill_entry *entry = find_entry(dir, stage, number);
    const cJSON *record = entry != NULL && !entry->lost ? entry->record : NULL;
    pthread_mutex_unlock(&dir->lock);
    return record;
}

// ---- opening -----------------------------------------------------------------------------------------------------------------

static mill_status visit_record(void *context, cJSON *payload, mill_error *err)
{
    return mill_workdir_add_entry(context, payload, err);
}

static mill_status read_journals(mill_workdir *dir, mill_error *err)
{
    char **names;
    size_t count;
    MILL_TRY(mill_fs_list(dir->fs, dir->handle, STATE "/journal", &names, &count, err));
    mill_status status = MILL_OK;
    for (size_t i = 0; i < count && status == MILL_OK; i++) {
        char path[128];
        mill_buf text = {0};
        unsigned number;
        if (sscanf(names[i], "%u.log", &number) != 1)
            continue;
        if (number >= dir->journal_number)
            dir->journal_number = number + 1;
        snprintf(path, sizeof path, STATE "/journal/%.60s", names[i]);
        status = mill_fs_read_file(dir->fs, dir->handle, path, MILL_OPEN_READ_OWN, UINT64_MAX, &text, err);
        if (status == MILL_OK)
            status = mill_journal_parse(text.data, text.bytes, path, visit_record, dir, err);
        mill_buf_free(&text);
    }
    mill_fs_names_free(names, count);
    return status;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// What the units spent, sorted; strings are borrowed from their records.
static mill_status list_spent(const mill_workdir *dir, const char ***paths, size_t *count, mill_error *err)
{
    *paths = mill_alloc_zero(dir->entry_count * MILL_UNIT_SPENDS_MAX, sizeof **paths);
    if (*paths == NULL)
        return mill_fail_nomem(err, "the table of finished units");
    for (size_t i = 0; i < dir->entry_count; i++) {
        uint32_t left = MILL_UNIT_SPENDS_MAX;
        const cJSON *path;
        cJSON_ArrayForEach(path, cJSON_GetObjectItemCaseSensitive(dir->entries[i].record, "spends")) {
            if (cJSON_IsString(path) && left-- != 0)
                (*paths)[(*count)++] = path->valuestring;
        }
    }
    qsort(*paths, *count, sizeof **paths, compare_paths);
    return MILL_OK;
}

static bool is_spent(const char *const *paths, size_t count, const cJSON *file)
{
    const char *path = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(file, "path"));
    return path != NULL && bsearch(&path, paths, count, sizeof *paths, compare_paths) != NULL;
}

// A unit whose files are gone or cut is undone. One whose file was spent is, too, where a unit of another stage must be made again,
// which may need it.
static mill_status drop_lost_units(mill_workdir *dir, mill_error *err)
{
    const char **paths, *stage = NULL; // a stage that lost a unit
    size_t count = 0;
    bool stages = false;               // several did
    MILL_TRY(list_spent(dir, &paths, &count, err));
    for (size_t i = 0; i < dir->entry_count; i++) {
        mill_entry *entry = &dir->entries[i];
        const cJSON *file;
        cJSON_ArrayForEach(file, cJSON_GetObjectItemCaseSensitive(entry->record, "files")) {
            if (mill_workdir_has_file(dir, file))
                continue;
            if (is_spent(paths, count, file))
                entry->spent = true;
            else
                entry->lost = true;
        }
        if (entry->lost) {
            stages = stages || (stage != NULL && strcmp(stage, entry->stage) != 0);
            stage = entry->stage;
        }
    }
    for (size_t i = 0; stage != NULL && i < dir->entry_count; i++) {
        mill_entry *entry = &dir->entries[i];
        entry->lost = entry->lost || (entry->spent && (stages || strcmp(stage, entry->stage) != 0));
    }
    mill_free(paths);
    return MILL_OK;
}

static mill_status take_lock(mill_workdir *dir, mill_error *err)
{
    MILL_TRY(mill_fs_open(dir->fs, dir->handle, STATE "/lock", MILL_OPEN_APPEND, &dir->lock_file, err));
    int result = dir->fs->ops->lock(dir->fs->self, dir->lock_file);
    if (result == -EAGAIN)
        return mill_fail(err, MILL_LOCKED, "%s: another shardmill is at work in this directory; wait for it, or choose another -o",
                         dir->options.path);
    if (result < 0)
        return mill_fail_errno(err, -result, "%s: cannot lock the directory", dir->options.path);
    return MILL_OK;
}

// Everything that an earlier run of ours made, by its own records; foreign files stay.
static mill_status remove_products(mill_workdir *dir, mill_error *err)
{
    static const char *const folders[] = {"docs", "docs-documents", "tokenizer", "records", "rows"};
    static const char *const state[] = {"journal", "stage", "tmp", "plan.json", "layout.json", "run.log", "timings.json"};
    mill_buf text = {0};
    if (mill_fs_read_file(dir->fs, dir->handle, "manifest.json", MILL_OPEN_READ_OWN, PLAN_MAX, &text, NULL) == MILL_OK) {
        cJSON *manifest;
        (void)!mill_json_parse(text.data, text.bytes, NULL, &manifest, NULL);
        const cJSON *file;
        cJSON_ArrayForEach(file, cJSON_GetObjectItemCaseSensitive(manifest, "files")) {
            const cJSON *path = cJSON_GetObjectItemCaseSensitive(file, "path");
            if (cJSON_IsString(path) && path->valuestring[0] != '/' && strstr(path->valuestring, "..") == NULL)
                (void)dir->fs->ops->unlink(dir->fs->self, dir->handle, path->valuestring);
        }
        cJSON_Delete(manifest);
    }
    mill_buf_free(&text);
    for (size_t i = 0; i < dir->entry_count; i++) {
        const cJSON *file;
        cJSON_ArrayForEach(file, cJSON_GetObjectItemCaseSensitive(dir->entries[i].record, "files")) {
            const cJSON *path = cJSON_GetObjectItemCaseSensitive(file, "path");
            if (cJSON_IsString(path))
                (void)dir->fs->ops->unlink(dir->fs->self, dir->handle, path->valuestring);
        }
        cJSON_Delete(dir->entries[i].record);
    }
    dir->entry_count = 0;
    if (dir->slot_count != 0)
        memset(dir->slots, 0, dir->slot_count * sizeof *dir->slots);
    MILL_TRY(mill_fs_unlink(dir->fs, dir->handle, "manifest.json", err));
    MILL_TRY(mill_fs_unlink(dir->fs, dir->handle, "SHA256SUMS", err));
    MILL_TRY(mill_fs_unlink(dir->fs, dir->handle, "report.html", err));
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        (void)dir->fs->ops->remove_directory(dir->fs->self, dir->handle, folders[i]); // stays when something foreign is in it
    for (size_t i = 0; i < mill_container_count; i++)
        (void)dir->fs->ops->remove_directory(dir->fs->self, dir->handle, mill_containers[i]->directory);
    for (size_t i = 0; i < sizeof state / sizeof state[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, STATE "/%s", state[i]);
        MILL_TRY(mill_fs_remove_tree(dir->fs, dir->handle, path, err));
    }
    return MILL_OK;
}

static bool starts_with(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

// The names that products have, for when no record tells which there are: the journal is damaged and the run is to be made anew.
static mill_status remove_from(mill_workdir *dir, const char *folder, const char *start, mill_error *err)
{
    char **names;
    size_t count;
    bool there;
    MILL_TRY(mill_fs_find(dir->fs, dir->handle, folder, &there, err));
    if (!there)
        return MILL_OK;
    MILL_TRY(mill_fs_list(dir->fs, dir->handle, folder, &names, &count, err));
    for (size_t k = 0; k < count; k++) {
        char path[512];
        if (starts_with(names[k], start) && (size_t)snprintf(path, sizeof path, "%s/%s", folder, names[k]) < sizeof path)
            (void)dir->fs->ops->unlink(dir->fs->self, dir->handle, path);
    }
    mill_fs_names_free(names, count);
    return MILL_OK;
}

static mill_status remove_by_name(mill_workdir *dir, mill_error *err)
{
    static const char *const singles[] = {"metrics.json", "quarantine.jsonl", "clusters.jsonl.zst"};
    static const struct {
        const char *folder, *start;
    } folders[] = {{"docs", "docs_"}, {"docs-documents", "docs_"}, {"records", "records_"}, {"rows", "rows_"},
                   {"tokenizer", "tokenizer"}, {"tokenizer", "special_tokens_map.json"}};
    for (size_t i = 0; i < sizeof singles / sizeof singles[0]; i++)
        MILL_TRY(mill_fs_unlink(dir->fs, dir->handle, singles[i], err));
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        MILL_TRY(remove_from(dir, folders[i].folder, folders[i].start, err));
    for (size_t i = 0; i < mill_container_count; i++) {
        const mill_container *c = mill_containers[i];
        MILL_TRY(remove_from(dir, c->directory, c->prefix, err));
        if (c->index != NULL)
            MILL_TRY(remove_from(dir, c->directory, c->index, err));
    }
    return MILL_OK;
}

static mill_status open_state(mill_workdir *dir, mill_error *err)
{
    const char *path = dir->options.path;
    MILL_TRY(mill_workdir_make_directories(dir, MILL_FS_CWD, path, err));
    MILL_TRY(mill_fs_open(dir->fs, MILL_FS_CWD, path, MILL_OPEN_DIRECTORY, &dir->handle, err));
    bool there;
    MILL_TRY(mill_fs_find(dir->fs, dir->handle, STATE, &there, err));
    if (!there) {
        char **names;
        size_t count;
        MILL_TRY(mill_fs_list(dir->fs, dir->handle, ".", &names, &count, err));
        mill_fs_names_free(names, count);
        if (count != 0)
            return mill_fail(err, MILL_PLAN, "%s holds files that are not shardmill's; choose an empty or new directory", path);
        MILL_TRY(mill_fs_mkdir(dir->fs, dir->handle, STATE, err));
        MILL_TRY(mill_workdir_sync_directory(dir, MILL_FS_CWD, path, err));
    }
    MILL_TRY(take_lock(dir, err));
    mill_status status = read_journals(dir, err);
    bool damaged = status == MILL_VERIFY && dir->options.overwrite;
    if (!damaged)
        MILL_TRY(status);
    if (damaged)
        MILL_TRY(remove_by_name(dir, err));
    if (dir->options.overwrite)
        MILL_TRY(remove_products(dir, err));
    MILL_TRY(drop_lost_units(dir, err));
    MILL_TRY(mill_fs_remove_tree(dir->fs, dir->handle, STATE "/tmp", err));
    return mill_fs_mkdir(dir->fs, dir->handle, STATE "/tmp", err); // no harm if a power cut takes it
}

mill_status mill_workdir_open(const mill_fs *fs, const mill_workdir_options *options, mill_workdir **out, mill_error *err)
{
    mill_workdir *dir = mill_alloc_zero(1, sizeof *dir);
    if (dir == NULL)
        return mill_fail_nomem(err, "opening the output directory");
    dir->fs = fs;
    dir->options = *options;
    dir->handle = dir->lock_file = dir->journal_file = -1;
    dir->journal_number = 1;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&dir->lock, NULL);
    pthread_cond_init(&dir->wake, &monotonic);
    pthread_cond_init(&dir->moved, NULL);
    pthread_condattr_destroy(&monotonic);
    mill_status status = open_state(dir, err);
    if (status != MILL_OK) {
        mill_workdir_close(dir);
        return status;
    }
    mill_workdir_start_thread(dir);
    *out = dir;
    return MILL_OK;
}

void mill_workdir_close(mill_workdir *dir)
{
    if (dir == NULL)
        return;
    mill_workdir_stop_thread(dir);
    for (size_t i = 0; i < dir->pending_count; i++) // of a run that failed
        mill_pending_release(dir, &dir->pending[i]);
    int files[] = {dir->journal_file, dir->lock_file, dir->handle};
    for (size_t i = 0; i < 3; i++) {
        if (files[i] >= 0)
            (void)dir->fs->ops->close(dir->fs->self, files[i]);
    }
    for (size_t i = 0; i < dir->entry_count; i++)
        cJSON_Delete(dir->entries[i].record);
    for (size_t i = 0; i < dir->known_directories; i++)
        mill_free(dir->directories[i]);
    pthread_cond_destroy(&dir->moved);
    pthread_cond_destroy(&dir->wake);
    pthread_mutex_destroy(&dir->lock);
    mill_free(dir->entries);
    mill_free(dir->slots);
    mill_free(dir->pending);
    mill_free(dir->spent);
    mill_free(dir);
}

// ---- the plan ----------------------------------------------------------------------------------------------------------------

// Path of the first difference between two JSON values, in canonical key order; false if there is none.
static bool first_difference(const cJSON *a, const cJSON *b, char *path, size_t path_bytes, const cJSON **left, const cJSON **right)
{
    if (cJSON_Compare(a, b, true))
        return false;
    *left = a;
    *right = b;
    if (!(cJSON_IsObject(a) && cJSON_IsObject(b)) && !(cJSON_IsArray(a) && cJSON_IsArray(b)))
        return true;
    // Walk down as long as one child differs; plans are a few levels deep.
    const cJSON *child;
    int i = 0;
    cJSON_ArrayForEach(child, a) {
        const cJSON *other = cJSON_IsArray(a) ? cJSON_GetArrayItem(b, i) : cJSON_GetObjectItemCaseSensitive(b, child->string);
        size_t used = strlen(path);
        if (cJSON_IsArray(a))
            snprintf(path + used, path_bytes - used, "[%d]", i);
        else
            snprintf(path + used, path_bytes - used, "%s%s", used != 0 ? "." : "", child->string);
        if (other == NULL || first_difference(child, other, path, path_bytes, left, right)) {
            if (other == NULL) {
                *left = child;
                *right = NULL;
            }
            return true;
        }
        path[used] = '\0';
        i++;
    }
    cJSON_ArrayForEach(child, b) {
        if (cJSON_IsObject(b) && cJSON_GetObjectItemCaseSensitive(a, child->string) == NULL) {
            size_t used = strlen(path);
            snprintf(path + used, path_bytes - used, "%s%s", used != 0 ? "." : "", child->string);
            *left = NULL;
            *right = child;
            return true;
        }
    }
    return true; // arrays of different length
}

static void print_short(const cJSON *value, char *out, size_t bytes)
{
    char *text = value != NULL ? cJSON_PrintUnformatted(value) : NULL;
    snprintf(out, bytes, "%.80s", text != NULL ? text : "nothing");
    cJSON_free(text);
}

static mill_status fail_plan(mill_workdir *dir, const cJSON *old, const cJSON *plan, mill_error *err)
{
    char path[256] = "", was[96], is[96];
    const cJSON *left = old, *right = plan;
    (void)first_difference(old, plan, path, sizeof path, &left, &right);
    print_short(left, was, sizeof was);
    print_short(right, is, sizeof is);
    return mill_fail(err, MILL_PLAN, "%s belongs to another run: %s was %s, now it is %s; use another -o, or --overwrite",
                     dir->options.path, path[0] != '\0' ? path : "the plan", was, is);
}

mill_status mill_workdir_write_state(mill_workdir *dir, const char *name, const void *data, size_t bytes, mill_error *err)
{
    char path[96];
    snprintf(path, sizeof path, STATE "/%s", name);
    return mill_workdir_write_file(dir, path, data, bytes, NULL, err);
}

mill_status mill_workdir_check_plan(mill_workdir *dir, const cJSON *plan, mill_error *err)
{
    mill_buf text = {0};
    mill_status status = MILL_OK;
    cJSON *old = NULL;
    bool there, complete;
    MILL_TRY(mill_fs_find(dir->fs, dir->handle, STATE "/plan.json", &there, err));
    MILL_TRY(mill_workdir_is_complete(dir, &complete, err));
    if (there) {
        MILL_TRY_GOTO(mill_fs_read_file(dir->fs, dir->handle, STATE "/plan.json", MILL_OPEN_READ_OWN, PLAN_MAX, &text, err));
        MILL_TRY_GOTO(mill_json_parse(text.data, text.bytes, NULL, &old, err));
        if (old == NULL)
            status = mill_fail(err, MILL_VERIFY, "%s/" STATE "/plan.json is damaged; use --overwrite", dir->options.path);
        else if (!cJSON_Compare(old, plan, true))
            status = fail_plan(dir, old, plan, err);
    } else {
        if (dir->entry_count != 0 || complete) {
            status =
                mill_fail(err, MILL_PLAN, "%s holds a run without its plan; use another -o, or --overwrite", dir->options.path);
            goto cleanup;
        }
        MILL_TRY_GOTO(mill_json_canonical(plan, &text, err));
        MILL_TRY_GOTO(mill_workdir_write_state(dir, "plan.json", text.data, text.bytes, err));
    }
cleanup:
    cJSON_Delete(old);
    mill_buf_free(&text);
    return status;
}

mill_status mill_workdir_keep_state(mill_workdir *dir, const char *name, uint64_t *value, mill_error *err)
{
    mill_buf text = {0};
    mill_status status = MILL_OK;
    cJSON *layout = NULL;
    bool there;
    MILL_TRY(mill_fs_find(dir->fs, dir->handle, STATE "/layout.json", &there, err));
    if (there)
        MILL_TRY_GOTO(mill_fs_read_file(dir->fs, dir->handle, STATE "/layout.json", MILL_OPEN_READ_OWN, PLAN_MAX, &text, err));
    if (text.bytes != 0)
        MILL_TRY_GOTO(mill_json_parse(text.data, text.bytes, NULL, &layout, err));
    else
        layout = cJSON_CreateObject();
    const cJSON *old = cJSON_GetObjectItemCaseSensitive(layout, name);
    if (cJSON_IsNumber(old)) {
        *value = (uint64_t)old->valuedouble;
    } else if (cJSON_AddNumberToObject(layout, name, (double)*value) == NULL) {
        status = mill_fail_nomem(err, "the layout of the run");
    } else {
        mill_buf_clear(&text);
        MILL_TRY_GOTO(mill_json_canonical(layout, &text, err));
        MILL_TRY_GOTO(mill_workdir_write_state(dir, "layout.json", text.data, text.bytes, err));
    }
cleanup:
    cJSON_Delete(layout);
    mill_buf_free(&text);
    return status;
}
