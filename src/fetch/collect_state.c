// collect_state.c: collect.json and the journal of an unfinished collection.
#include "fetch/collect_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

#define STATE ".shardmill"
#define JOURNAL STATE "/collect.jsonl"
#define RECORD "collect.json"
#define RECORD_TMP STATE "/collect.tmp"
#define RECORD_BYTES_MAX (UINT64_C(4) << 30)

static void free_file(mill_collected *f)
{
    char *texts[] = {f->path, f->url, f->revision, f->etag};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        mill_free(texts[i]);
}

static mill_status copy_file(const mill_collected *from, mill_collected *to, mill_error *err)
{
    *to = (mill_collected){.path = mill_strdup(from->path),
                           .url = mill_strdup(from->url),
                           .revision = mill_strdup(from->revision),
                           .etag = mill_strdup(from->etag),
                           .bytes = from->bytes};
    memcpy(to->sha256, from->sha256, sizeof to->sha256);
    if (to->path != NULL && to->url != NULL && to->revision != NULL && to->etag != NULL)
        return MILL_OK;
    free_file(to);
    return mill_fail_nomem(err, "the record of a collection");
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const mill_collected *)a)->path, ((const mill_collected *)b)->path);
}

static int compare_entries(const void *a, const void *b)
{
    const mill_collected *left = a, *right = b;
    int order = strcmp(left->path, right->path);
    return order != 0 ? order : left->arrival < right->arrival ? -1 : left->arrival > right->arrival;
}

static int compare_pins(const void *a, const void *b)
{
    return strcmp(((const mill_collect_pin *)a)->url, ((const mill_collect_pin *)b)->url);
}

const mill_collected *mill_collect_state_find(const mill_collect_state *s, const char *path)
{
    mill_collected key = {.path = (char *)(uintptr_t)path};
    return s->file_count == 0 ? NULL
                              : bsearch(&key, s->files, s->file_count, sizeof *s->files, compare_files);
}

const char *mill_collect_state_pin(const mill_collect_state *s, const char *url)
{
    for (size_t i = 0; i < s->pin_count; i++) {
        if (strcmp(s->pins[i].url, url) == 0)
            return s->pins[i].revision;
    }
    return NULL;
}

static mill_status keep_pin(mill_collect_state *s, const char *url, const char *revision, mill_error *err)
{
    char *copy = mill_strdup(revision);
    for (size_t i = 0; i < s->pin_count && copy != NULL; i++) {
        if (strcmp(s->pins[i].url, url) == 0) {
            mill_free(s->pins[i].revision);
            s->pins[i].revision = copy;
            return MILL_OK;
        }
    }
    mill_status status = MILL_GROW(s->pins, s->pin_capacity, s->pin_count + 1, err);
    char *name = mill_strdup(url);
    if (status != MILL_OK || copy == NULL || name == NULL) {
        mill_free(copy);
        mill_free(name);
        return status != MILL_OK ? status : mill_fail_nomem(err, "the record of a collection");
    }
    s->pins[s->pin_count++] = (mill_collect_pin){name, copy};
    return MILL_OK;
}

// ---- reading

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static mill_status read_file_entry(mill_collect_state *s, const cJSON *entry, bool *good, mill_error *err)
{
    const char *path = text_of(entry, "path"), *url = text_of(entry, "url"),
               *sha256 = text_of(entry, "sha256");
    const char *revision = text_of(entry, "revision"), *etag = text_of(entry, "etag");
    uint64_t bytes;
    *good = path != NULL && url != NULL && sha256 != NULL && strlen(sha256) == 64 &&
            strspn(sha256, "0123456789abcdef") == 64 && mill_json_get_u64(entry, "bytes", &bytes);
    if (!*good)
        return MILL_OK;
    MILL_TRY(MILL_GROW(s->files, s->file_capacity, s->file_count + 1, err));
    mill_collected file = {.path = (char *)(uintptr_t)path,
                           .url = (char *)(uintptr_t)url,
                           .revision = (char *)(uintptr_t)(revision != NULL ? revision : ""),
                           .etag = (char *)(uintptr_t)(etag != NULL ? etag : ""),
                           .bytes = bytes};
    memcpy(file.sha256, sha256, 65);
    MILL_TRY(copy_file(&file, &s->files[s->file_count], err));
    s->file_count++;
    return MILL_OK;
}

static mill_status read_pin(mill_collect_state *s, const cJSON *entry, bool *good, mill_error *err)
{
    const char *url = text_of(entry, "url"), *revision = text_of(entry, "revision");
    *good = url != NULL && revision != NULL;
    return *good ? keep_pin(s, url, revision, err) : MILL_OK;
}

static mill_status read_list(mill_collect_state *s, const cJSON *list,
                             mill_status (*take_entry)(mill_collect_state *, const cJSON *, bool *,
                                                       mill_error *),
                             bool *good, mill_error *err)
{
    const cJSON *entry;
    *good = cJSON_IsArray(list);
    cJSON_ArrayForEach(entry, list)
    {
        if (*good)
            MILL_TRY(take_entry(s, entry, good, err));
    }
    return MILL_OK;
}

static mill_status parse_record(mill_collect_state *s, const mill_buf *text, mill_error *err)
{
    cJSON *json;
    bool good = false;
    uint64_t format = 0;
    MILL_TRY(mill_json_parse(text->data, text->bytes, NULL, &json, err));
    mill_status status = MILL_OK;
    if (!mill_json_get_u64(json, "format_version", &format)) {
        format = 0;
    } else if (format > MILL_COLLECT_FORMAT) {
        cJSON_Delete(json);
        return mill_fail(err, MILL_VERIFY,
                         "%s/" RECORD
                         ": is of format %llu; this version reads formats up to %d: use a newer shardmill",
                         s->path, (unsigned long long)format, MILL_COLLECT_FORMAT);
    }
    if (format != 0)
        status = read_list(s, cJSON_GetObjectItemCaseSensitive(json, "sources"), read_pin, &good, err);
    if (status == MILL_OK && good)
        status = read_list(s, cJSON_GetObjectItemCaseSensitive(json, "files"), read_file_entry, &good, err);
    cJSON_Delete(json);
    if (status == MILL_OK && !good)
        return mill_fail(err, MILL_VERIFY,
                         "%s/" RECORD
                         ": is damaged or not collect's; remove it, and the files are looked at anew",
                         s->path);
    return status;
}

// Whole lines only: the end of one that was cut by a crash is not entered. *whole: bytes of the lines that
// are.
static mill_status parse_journal(mill_collect_state *s, const mill_buf *text, uint64_t *whole,
                                 mill_error *err)
{
    *whole = 0;
    for (size_t at = 0; at < text->bytes;) {
        const uint8_t *end = memchr(text->data + at, '\n', text->bytes - at);
        if (end == NULL)
            return MILL_OK;
        size_t bytes = (size_t)(end - text->data) - at;
        cJSON *json;
        bool good = false;
        MILL_TRY(mill_json_parse(text->data + at, bytes, NULL, &json, err));
        const cJSON *file = cJSON_GetObjectItemCaseSensitive(json, "file"),
                    *pin = cJSON_GetObjectItemCaseSensitive(json, "pin");
        mill_status status = file != NULL  ? read_file_entry(s, file, &good, err)
                             : pin != NULL ? read_pin(s, pin, &good, err)
                                           : MILL_OK;
        cJSON_Delete(json);
        MILL_TRY(status);
        if (!good)
            return mill_fail(err, MILL_VERIFY,
                             "%s/" JOURNAL ": damaged at byte %zu; remove " STATE " to begin anew", s->path,
                             at);
        at += bytes + 1;
        *whole = at;
    }
    return MILL_OK;
}

// The journal's entries come behind those of the record, and later ones win.
static void sort_files(mill_collect_state *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->file_count; i++)
        s->files[i].arrival = i;
    if (s->file_count > 1)
        qsort(s->files, s->file_count, sizeof *s->files, compare_entries);
    for (size_t i = 0; i < s->file_count; i++) {
        if (i + 1 < s->file_count && strcmp(s->files[i].path, s->files[i + 1].path) == 0)
            free_file(&s->files[i]);
        else
            s->files[kept++] = s->files[i];
    }
    s->file_count = kept;
}

static mill_status read_state(mill_collect_state *s, uint64_t *journal_bytes, mill_error *err)
{
    mill_buf text = {0};
    bool record, journal;
    *journal_bytes = 0;
    MILL_TRY(mill_fs_find(s->fs, s->dir, RECORD, &record, err));
    MILL_TRY(mill_fs_find(s->fs, s->dir, JOURNAL, &journal, err));
    mill_status status = MILL_OK;
    if (record)
        status = mill_fs_read_file(s->fs, s->dir, RECORD, MILL_OPEN_READ_OWN, RECORD_BYTES_MAX, &text, err);
    if (record && status == MILL_OK)
        status = parse_record(s, &text, err);
    mill_buf_clear(&text);
    if (journal && status == MILL_OK)
        status = mill_fs_read_file(s->fs, s->dir, JOURNAL, MILL_OPEN_READ_OWN, RECORD_BYTES_MAX, &text, err);
    if (journal && status == MILL_OK)
        status = parse_journal(s, &text, journal_bytes, err);
    mill_buf_free(&text);
    sort_files(s);
    if (s->pin_count > 1)
        qsort(s->pins, s->pin_count, sizeof *s->pins, compare_pins);
    s->complete = record && !journal;
    return status;
}

// ---- opening

// A new directory is on the disk when the one above it is.
static mill_status sync_above(const mill_fs *fs, const char *path, mill_error *err)
{
    const char *slash = strrchr(path, '/');
    size_t bytes = slash == path ? 1 : slash != NULL ? (size_t)(slash - path) : 0;
    char *parent = bytes != 0 ? mill_strndup(path, bytes) : mill_strdup(".");
    int handle;
    if (parent == NULL)
        return mill_fail_nomem(err, "opening the output directory");
    mill_status status = mill_fs_open(fs, MILL_FS_CWD, parent, MILL_OPEN_DIRECTORY, &handle, err);
    if (status == MILL_OK) {
        status = mill_fs_sync(fs, handle, parent, err);
        mill_status closed = mill_fs_close(fs, handle, parent, status == MILL_OK ? err : NULL);
        status = status == MILL_OK ? closed : status;
    }
    mill_free(parent);
    return status;
}

static mill_status make_directories(const mill_fs *fs, const char *path, bool fast, mill_error *err)
{
    char *copy = mill_strdup(path);
    if (copy == NULL)
        return mill_fail_nomem(err, "opening the output directory");
    mill_status status = MILL_OK;
    for (char *slash = copy; status == MILL_OK && slash != NULL;) {
        slash += strspn(slash, "/");
        slash = strchr(slash, '/');
        if (slash != NULL)
            *slash = '\0';
        bool there = false;
        status = mill_fs_find(fs, MILL_FS_CWD, copy, &there, err);
        if (status == MILL_OK && (!there || slash == NULL)) // the last one must be a directory
            status = mill_fs_mkdir(fs, MILL_FS_CWD, copy, err);
        if (status == MILL_OK && !there && !fast)
            status = sync_above(fs, copy, err);
        if (slash != NULL)
            *slash = '/';
    }
    mill_free(copy);
    return status;
}

static mill_status take_lock(mill_collect_state *s, mill_error *err)
{
    MILL_TRY(mill_fs_open(s->fs, s->dir, STATE "/lock", MILL_OPEN_APPEND, &s->lock_file, err));
    int result = s->fs->ops->lock(s->fs->self, s->lock_file);
    if (result == -EAGAIN)
        return mill_fail(
            err, MILL_LOCKED,
            "%s: another shardmill is at work in this directory; wait for it, or choose another -o", s->path);
    return result < 0 ? mill_fail_errno(err, -result, "%s: cannot lock the directory", s->path) : MILL_OK;
}

// Empty, or with a record of ours, or with the state of a collection that was begun; a run's directory is
// none of these.
static mill_status check_owner(mill_collect_state *s, mill_error *err)
{
    bool record, state, plan;
    char **names;
    size_t count;
    MILL_TRY(mill_fs_find(s->fs, s->dir, RECORD, &record, err));
    MILL_TRY(mill_fs_find(s->fs, s->dir, STATE, &state, err));
    MILL_TRY(mill_fs_find(s->fs, s->dir, STATE "/plan.json", &plan, err));
    if (plan)
        return mill_fail(err, MILL_PLAN, "%s is the directory of a run; choose another one to collect into",
                         s->path);
    if (record || state)
        return MILL_OK;
    MILL_TRY(mill_fs_list(s->fs, s->dir, ".", &names, &count, err));
    mill_fs_names_free(names, count);
    return count == 0 ? MILL_OK
                      : mill_fail(err, MILL_PLAN,
                                  "%s holds files that are not shardmill's; choose an empty or new directory",
                                  s->path);
}

static mill_status open_state(mill_collect_state *s, mill_error *err)
{
    uint64_t whole;
    MILL_TRY(make_directories(s->fs, s->path, s->fast, err));
    MILL_TRY(mill_fs_open(s->fs, MILL_FS_CWD, s->path, MILL_OPEN_DIRECTORY, &s->dir, err));
    MILL_TRY(check_owner(s, err));
    bool state;
    MILL_TRY(mill_fs_find(s->fs, s->dir, STATE, &state, err));
    MILL_TRY(mill_fs_mkdir(s->fs, s->dir, STATE, err));
    if (!state)
        MILL_TRY(mill_collect_sync_parent(s, STATE, err));
    MILL_TRY(take_lock(s, err));
    MILL_TRY(read_state(s, &whole, err));
    MILL_TRY(mill_fs_unlink(s->fs, s->dir, RECORD_TMP, err));
    bool journal;
    MILL_TRY(mill_fs_find(s->fs, s->dir, JOURNAL, &journal, err));
    if (!journal)
        return MILL_OK; // made by the first entry: a call that finds everything complete writes nothing
    MILL_TRY(mill_fs_open(s->fs, s->dir, JOURNAL, MILL_OPEN_APPEND, &s->journal, err));
    int result = s->fs->ops->truncate(s->fs->self, s->journal, whole);
    return result < 0 ? mill_fail_errno(err, -result, "%s/" JOURNAL ": cannot cut", s->path) : MILL_OK;
}

mill_status mill_collect_state_open(const mill_fs *fs, const char *path, bool fast, mill_collect_state *out,
                                    mill_error *err)
{
    *out =
        (mill_collect_state){.fs = fs, .path = path, .fast = fast, .dir = -1, .lock_file = -1, .journal = -1};
    pthread_mutex_init(&out->mutex, NULL);
    mill_status status = open_state(out, err);
    if (status != MILL_OK)
        mill_collect_state_close(out);
    return status;
}

mill_status mill_collect_state_look(const mill_fs *fs, const char *path, mill_collect_state *out,
                                    mill_error *err)
{
    bool there = false;
    uint64_t whole;
    *out = (mill_collect_state){.fs = fs, .path = path, .dir = -1, .lock_file = -1, .journal = -1};
    pthread_mutex_init(&out->mutex, NULL);
    mill_status status = path == NULL ? MILL_OK : mill_fs_find(fs, MILL_FS_CWD, path, &there, err);
    if (status == MILL_OK && there)
        status = mill_fs_open(fs, MILL_FS_CWD, path, MILL_OPEN_DIRECTORY, &out->dir, err);
    if (status == MILL_OK && there)
        status = read_state(out, &whole, err);
    if (status != MILL_OK)
        mill_collect_state_close(out);
    return status;
}

void mill_collect_state_close(mill_collect_state *s)
{
    const int handles[] = {s->journal, s->lock_file, s->dir};
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++) {
        if (handles[i] >= 0)
            (void)s->fs->ops->close(s->fs->self, handles[i]);
    }
    for (size_t i = 0; i < s->file_count; i++)
        free_file(&s->files[i]);
    for (size_t i = 0; i < s->added_count; i++)
        free_file(&s->added[i]);
    for (size_t i = 0; i < s->pin_count; i++) {
        mill_free(s->pins[i].url);
        mill_free(s->pins[i].revision);
    }
    mill_free(s->files);
    mill_free(s->added);
    mill_free(s->pins);
    pthread_mutex_destroy(&s->mutex);
    *s = (mill_collect_state){.dir = -1, .lock_file = -1, .journal = -1};
}

// ---- writing

static mill_status append_member(mill_buf *out, const char *name, const char *value, bool first,
                                 mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "%s\"%s\":", first ? "" : ",", name));
    return mill_buf_append_json(out, value, strlen(value), err);
}

// Keys sorted, as in all JSON of ours.
static mill_status append_file(mill_buf *out, const mill_collected *f, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "{\"bytes\":%llu", (unsigned long long)f->bytes));
    if (*f->etag != '\0')
        MILL_TRY(append_member(out, "etag", f->etag, false, err));
    MILL_TRY(append_member(out, "path", f->path, false, err));
    if (*f->revision != '\0')
        MILL_TRY(append_member(out, "revision", f->revision, false, err));
    MILL_TRY(append_member(out, "sha256", f->sha256, false, err));
    MILL_TRY(append_member(out, "url", f->url, false, err));
    return mill_buf_append_text(out, "}", err);
}

static mill_status append_pin(mill_buf *out, const char *url, const char *revision, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "{", err));
    MILL_TRY(append_member(out, "revision", revision, true, err));
    MILL_TRY(append_member(out, "url", url, false, err));
    return mill_buf_append_text(out, "}", err);
}

// With the mutex held.
static mill_status write_line(mill_collect_state *s, const mill_buf *line, mill_error *err)
{
    if (s->journal < 0) {
        MILL_TRY(mill_fs_open(s->fs, s->dir, JOURNAL, MILL_OPEN_APPEND, &s->journal, err));
        if (!s->fast)
            MILL_TRY(mill_collect_sync_parent(s, JOURNAL, err));
    }
    MILL_TRY(mill_fs_write_all(s->fs, s->journal, JOURNAL, line->data, line->bytes, err));
    return s->fast ? MILL_OK : mill_fs_sync(s->fs, s->journal, JOURNAL, err);
}

mill_status mill_collect_state_set_pin(mill_collect_state *s, const char *url, const char *revision,
                                       mill_error *err)
{
    mill_buf line = {0};
    mill_status status = mill_buf_append_text(&line, "{\"pin\":", err);
    if (status == MILL_OK)
        status = append_pin(&line, url, revision, err);
    if (status == MILL_OK)
        status = mill_buf_append_text(&line, "}\n", err);
    if (status == MILL_OK)
        status = keep_pin(s, url, revision, err);
    pthread_mutex_lock(&s->mutex);
    if (status == MILL_OK && s->lock_file >= 0)
        status = write_line(s, &line, err);
    s->pins_changed = true;
    pthread_mutex_unlock(&s->mutex);
    mill_buf_free(&line);
    return status;
}

mill_status mill_collect_state_add(mill_collect_state *s, const mill_collected *file, mill_error *err)
{
    mill_buf line = {0};
    mill_status status = mill_buf_append_text(&line, "{\"file\":", err);
    if (status == MILL_OK)
        status = append_file(&line, file, err);
    if (status == MILL_OK)
        status = mill_buf_append_text(&line, "}\n", err);
    pthread_mutex_lock(&s->mutex);
    if (status == MILL_OK)
        status = MILL_GROW(s->added, s->added_capacity, s->added_count + 1, err);
    if (status == MILL_OK)
        status = copy_file(file, &s->added[s->added_count], err);
    if (status == MILL_OK) {
        s->added_count++;
        status = write_line(s, &line, err);
    }
    pthread_mutex_unlock(&s->mutex);
    mill_buf_free(&line);
    return status;
}

static mill_status append_record(const mill_collect_state *s, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_append_text(out, "{\"files\":[", err));
    for (size_t i = 0; i < s->file_count; i++) {
        MILL_TRY(mill_buf_append_text(out, i != 0 ? ",\n" : "\n", err));
        MILL_TRY(append_file(out, &s->files[i], err));
    }
    MILL_TRY(mill_buf_printf(out, err, "],\n\"format_version\":%d,\"sources\":[", MILL_COLLECT_FORMAT));
    for (size_t i = 0; i < s->pin_count; i++) {
        MILL_TRY(mill_buf_append_text(out, i != 0 ? ",\n" : "\n", err));
        MILL_TRY(append_pin(out, s->pins[i].url, s->pins[i].revision, err));
    }
    return mill_buf_append_text(out, "]}\n", err);
}

static mill_status write_record(const mill_collect_state *s, mill_error *err)
{
    mill_buf text = {0};
    mill_outfile out;
    char sha256[65];
    mill_status status = append_record(s, &text, err);
    if (status == MILL_OK)
        status = mill_outfile_open(&out, s->fs, s->dir, RECORD_TMP, err);
    if (status == MILL_OK) {
        status = mill_outfile_write(&out, text.data, text.bytes, err);
        if (status == MILL_OK)
            status = mill_outfile_finish(&out, !s->fast, sha256, err);
        mill_outfile_abort(&out);
    }
    if (status == MILL_OK)
        status = mill_fs_rename(s->fs, s->dir, RECORD_TMP, RECORD, err);
    if (status == MILL_OK)
        status = mill_collect_sync_parent(s, RECORD, err);
    mill_buf_free(&text);
    return status;
}

mill_status mill_collect_state_finish(mill_collect_state *s, mill_error *err)
{
    if (s->complete && s->added_count == 0 && !s->pins_changed)
        return MILL_OK;
    MILL_TRY(MILL_GROW(s->files, s->file_capacity, s->file_count + s->added_count, err));
    memcpy(s->files + s->file_count, s->added, s->added_count * sizeof *s->added);
    s->file_count += s->added_count;
    s->added_count = 0;
    sort_files(s);
    if (s->pin_count > 1)
        qsort(s->pins, s->pin_count, sizeof *s->pins, compare_pins);
    MILL_TRY(write_record(s, err));
    MILL_TRY(mill_fs_remove_tree(s->fs, s->dir, MILL_COLLECT_PARTS, err));
    MILL_TRY(mill_fs_unlink(s->fs, s->dir, JOURNAL, err));
    return mill_collect_sync_parent(s, JOURNAL, err);
}

// ---- directories

mill_status mill_collect_make_parents(const mill_collect_state *s, const char *path, mill_error *err)
{
    char *copy = mill_strdup(path);
    if (copy == NULL)
        return mill_fail_nomem(err, "making directories");
    mill_status status = MILL_OK;
    for (char *slash = strchr(copy, '/'); status == MILL_OK && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        mill_file_info info;
        *slash = '\0';
        bool there;
        status = mill_fs_find(s->fs, s->dir, copy, &there, err);
        if (status == MILL_OK && !there) {
            status = mill_fs_mkdir(s->fs, s->dir, copy, err);
            if (status == MILL_OK)
                status = mill_collect_sync_parent(s, copy, err);
        } else if (status == MILL_OK) {
            int value = s->fs->ops->info(s->fs->self, s->dir, copy, false, &info);
            if (value < 0 && value != -EINTR)
                status = mill_fail_errno(err, -value, "%s/%s: cannot look at it", s->path, copy);
            else if (value >= 0 && info.kind != MILL_FILE_DIRECTORY)
                status = mill_fail(
                    err, MILL_PLAN,
                    "%s/%s: is in the way: a directory is needed there, and links are not followed; move it",
                    s->path, copy);
        }
        *slash = '/';
    }
    mill_free(copy);
    return status;
}

mill_status mill_collect_sync_parent(const mill_collect_state *s, const char *path, mill_error *err)
{
    const char *slash = strrchr(path, '/');
    char *parent = slash != NULL ? mill_strndup(path, (size_t)(slash - path)) : mill_strdup(".");
    int handle;
    if (s->fast || parent == NULL) {
        mill_free(parent);
        return s->fast ? MILL_OK : mill_fail_nomem(err, "making directories");
    }
    mill_status status = mill_fs_open(s->fs, s->dir, parent, MILL_OPEN_DIRECTORY_OWN, &handle, err);
    if (status == MILL_OK) {
        status = mill_fs_sync(s->fs, handle, parent, err);
        mill_status closed = mill_fs_close(s->fs, handle, parent, status == MILL_OK ? err : NULL);
        status = status == MILL_OK ? closed : status;
    }
    mill_free(parent);
    return status;
}
