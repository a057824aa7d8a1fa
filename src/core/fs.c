// fs.c: whole operations over the table of fs.h: retries of interrupted and short calls, and one message for each failure.
#include "core/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Interrupted calls are repeated without limit: a signal is never a reason to give other bytes.
#define RETRY(value, call)                                                                         \
    do                                                                                             \
        (value) = (call);                                                                          \
    while ((value) == -EINTR)

mill_status mill_fs_open(const mill_fs *fs, int dir, const char *path, mill_open_mode mode, int *file, mill_error *err)
{
    int value;
    RETRY(value, fs->ops->open(fs->self, dir, path, mode));
    *file = value < 0 ? -1 : value;
    if (value >= 0)
        return MILL_OK;
    bool made = mode == MILL_OPEN_CREATE || mode == MILL_OPEN_APPEND;
    return mill_fail_errno(err, -value, "%s: cannot %s", path, made ? "create" : "open");
}

mill_status mill_fs_read(const mill_fs *fs, int file, const char *name, void *data, size_t bytes, size_t *got,
                         mill_error *err)
{
    size_t done = 0;
    *got = 0;
    while (done < bytes) {
        int64_t value;
        RETRY(value, fs->ops->read(fs->self, file, (char *)data + done, bytes - done));
        if (value < 0)
            return mill_fail_errno(err, (int)-value, "%s: cannot read", name);
        if (value == 0)
            break;
        MILL_ASSERT((uint64_t)value <= bytes - done);
        done += (size_t)value;
    }
    *got = done;
    return MILL_OK;
}

mill_status mill_fs_pread_all(const mill_fs *fs, int file, const char *name, void *data, size_t bytes, uint64_t offset,
                              mill_error *err)
{
    size_t done = 0;
    while (done < bytes) {
        int64_t value;
        RETRY(value, fs->ops->pread(fs->self, file, (char *)data + done, bytes - done, offset + done));
        if (value < 0)
            return mill_fail_errno(err, (int)-value, "%s: cannot read at byte %llu", name,
                                   (unsigned long long)(offset + done));
        if (value == 0)
            return mill_fail(err, MILL_IO, "%s: ends at byte %llu, %llu more were expected; the file was cut", name,
                             (unsigned long long)(offset + done), (unsigned long long)(bytes - done));
        MILL_ASSERT((uint64_t)value <= bytes - done);
        done += (size_t)value;
    }
    return MILL_OK;
}

mill_status mill_fs_write_all(const mill_fs *fs, int file, const char *name, const void *data, size_t bytes,
                              mill_error *err)
{
    size_t done = 0;
    while (done < bytes) {
        int64_t value;
        RETRY(value, fs->ops->write(fs->self, file, (const char *)data + done, bytes - done));
        if (value == 0)
            value = -EIO; // a device that takes nothing and gives no reason would keep us here for ever
        if (value < 0)
            return mill_fail_errno(err, (int)-value, "%s: cannot write", name);
        MILL_ASSERT((uint64_t)value <= bytes - done);
        done += (size_t)value;
    }
    return MILL_OK;
}

mill_status mill_fs_sync(const mill_fs *fs, int file, const char *name, mill_error *err)
{
    int value;
    // An interrupted fsync has reported nothing and lost nothing; any other failure must not be repeated.
    RETRY(value, fs->ops->sync(fs->self, file));
    return value < 0 ? mill_fail_errno(err, -value, "%s: cannot bring to the disk", name) : MILL_OK;
}

mill_status mill_fs_close(const mill_fs *fs, int file, const char *name, mill_error *err)
{
    int value = fs->ops->close(fs->self, file);
    if (value >= 0 || value == -EINTR) // the handle is gone after EINTR too; a second close could hit another file
        return MILL_OK;
    return mill_fail_errno(err, -value, "%s: cannot close", name);
}

mill_status mill_fs_rename(const mill_fs *fs, int dir, const char *from, const char *to, mill_error *err)
{
    int value;
    RETRY(value, fs->ops->rename(fs->self, dir, from, dir, to));
    return value < 0 ? mill_fail_errno(err, -value, "%s: cannot rename %s to it", to, from) : MILL_OK;
}

mill_status mill_fs_unlink(const mill_fs *fs, int dir, const char *path, mill_error *err)
{
    int value;
    RETRY(value, fs->ops->unlink(fs->self, dir, path));
    if (value >= 0 || value == -ENOENT)
        return MILL_OK;
    return mill_fail_errno(err, -value, "%s: cannot remove", path);
}

static int get_info(const mill_fs *fs, int dir, const char *path, bool follow, mill_file_info *info)
{
    int value;
    RETRY(value, fs->ops->info(fs->self, dir, path, follow, info));
    return value;
}

mill_status mill_fs_mkdir(const mill_fs *fs, int dir, const char *path, mill_error *err)
{
    int value;
    RETRY(value, fs->ops->mkdir(fs->self, dir, path));
    mill_file_info info;
    if (value == -EEXIST && get_info(fs, dir, path, true, &info) >= 0 && info.kind == MILL_FILE_DIRECTORY)
        return MILL_OK;
    return value < 0 ? mill_fail_errno(err, -value, "%s: cannot make the directory", path) : MILL_OK;
}

bool mill_fs_exists(const mill_fs *fs, int dir, const char *path)
{
    mill_file_info info;
    return get_info(fs, dir, path, false, &info) >= 0;
}

mill_status mill_fs_find(const mill_fs *fs, int dir, const char *path, bool *there, mill_error *err)
{
    mill_file_info info;
    int value = get_info(fs, dir, path, false, &info);
    *there = value >= 0;
    if (value >= 0 || value == -ENOENT || value == -ENOTDIR)
        return MILL_OK;
    return mill_fail_errno(err, -value, "%s: cannot look at it", path);
}

typedef struct name_list {
    char **names;
    size_t count, capacity;
} name_list;

static int add_name(void *context, const char *name)
{
    name_list *list = context;
    if (MILL_GROW(list->names, list->capacity, list->count + 1, NULL) != MILL_OK)
        return -ENOMEM;
    char *copy = mill_strdup(name);
    if (copy == NULL)
        return -ENOMEM;
    list->names[list->count++] = copy;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

mill_status mill_fs_list(const mill_fs *fs, int dir, const char *path, char ***names, size_t *count, mill_error *err)
{
    name_list list;
    int value;
    *names = NULL;
    *count = 0;
    for (;;) {
        list = (name_list){0};
        value = fs->ops->list(fs->self, dir, path, add_name, &list);
        if (value >= 0)
            break;
        mill_fs_names_free(list.names, list.count);
        if (value == -ENOENT)
            return MILL_OK;
        if (value == -ENOMEM)
            return mill_fail_nomem(err, "listing a directory");
        if (value != -EINTR)
            return mill_fail_errno(err, -value, "%s: cannot list the directory", path);
    }
    if (list.count > 1)
        qsort(list.names, list.count, sizeof *list.names, compare_names);
    *names = list.names;
    *count = list.count;
    return MILL_OK;
}

void mill_fs_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mill_free(names[i]);
    mill_free(names);
}

// Appends the rest of file; the caller restores buf after a failure.
static mill_status read_rest(const mill_fs *fs, int file, const char *path, uint64_t bytes_max, mill_buf *buf,
                             mill_error *err)
{
    enum { STEP = 64 << 10 };
    mill_file_info info = {0};
    int value;
    RETRY(value, fs->ops->info_open(fs->self, file, &info));
    if (value < 0)
        return mill_fail_errno(err, -value, "%s: cannot ask for its size", path);
    if (info.kind == MILL_FILE_DIRECTORY)
        return mill_fail_errno(err, EISDIR, "%s: cannot read", path);
    const size_t start = buf->bytes;
    // One byte more than promised, so that the end shows without another round; the size is only a hint.
    size_t step = info.bytes < bytes_max && info.bytes < SIZE_MAX / 4 ? (size_t)info.bytes + 1 : STEP;
    for (;;) {
        if (buf->bytes - start > bytes_max || info.bytes > bytes_max)
            return mill_fail(err, MILL_INPUT, "%s: is larger than the limit of %llu bytes", path,
                             (unsigned long long)bytes_max);
        MILL_TRY(mill_buf_reserve(buf, step, err));
        size_t got;
        MILL_TRY(mill_fs_read(fs, file, path, buf->data + buf->bytes, step, &got, err));
        buf->bytes += got;
        if (got < step)
            break;
        step = STEP;
    }
    if (buf->bytes - start > bytes_max)
        return mill_fail(err, MILL_INPUT, "%s: is larger than the limit of %llu bytes", path,
                         (unsigned long long)bytes_max);
    return MILL_OK;
}

mill_status mill_fs_read_file(const mill_fs *fs, int dir, const char *path, mill_open_mode mode, uint64_t bytes_max,
                              mill_buf *buf, mill_error *err)
{
    const size_t start = buf->bytes;
    int file;
    MILL_TRY(mill_fs_open(fs, dir, path, mode, &file, err));
    mill_status status = read_rest(fs, file, path, bytes_max, buf, err);
    mill_status closed = mill_fs_close(fs, file, path, status == MILL_OK ? err : NULL);
    if (status == MILL_OK)
        status = closed;
    if (status != MILL_OK)
        buf->bytes = start;
    return status;
}

// One open directory of the walk below.
typedef struct remove_level {
    int dir;
    char **names;
    size_t count, next;
} remove_level;

// Our own trees are a few levels deep; a deeper one is not ours, and each level holds an open handle.
enum { REMOVE_DEPTH_MAX = 64 };

// Removes anything but a directory; *is_directory tells that it is one. Absent is fine.
static mill_status remove_plain(const mill_fs *fs, int dir, const char *path, bool *is_directory, mill_error *err)
{
    mill_file_info info;
    *is_directory = false;
    int value = get_info(fs, dir, path, false, &info);
    if (value == -ENOENT)
        return MILL_OK;
    if (value < 0)
        return mill_fail_errno(err, -value, "%s: cannot remove", path);
    *is_directory = info.kind == MILL_FILE_DIRECTORY;
    return *is_directory ? MILL_OK : mill_fs_unlink(fs, dir, path, err);
}

static mill_status enter_level(const mill_fs *fs, int dir, const char *path, remove_level *level, mill_error *err)
{
    *level = (remove_level){0};
    // Not through a link, even if one was put in place of the directory since we looked.
    MILL_TRY(mill_fs_open(fs, dir, path, MILL_OPEN_DIRECTORY_OWN, &level->dir, err));
    mill_status status = mill_fs_list(fs, level->dir, ".", &level->names, &level->count, err);
    if (status != MILL_OK)
        fs->ops->close(fs->self, level->dir);
    return status;
}

static void leave_level(const mill_fs *fs, remove_level *level)
{
    fs->ops->close(fs->self, level->dir); // opened for reading: nothing can be lost
    mill_fs_names_free(level->names, level->count);
}

static mill_status remove_empty(const mill_fs *fs, int dir, const char *path, mill_error *err)
{
    int value;
    RETRY(value, fs->ops->remove_directory(fs->self, dir, path));
    if (value >= 0 || value == -ENOENT)
        return MILL_OK;
    return mill_fail_errno(err, -value, "%s: cannot remove the directory", path);
}

static mill_status remove_levels(const mill_fs *fs, int dir, const char *path, remove_level *levels, size_t *depth,
                                 mill_error *err)
{
    while (*depth != 0) {
        remove_level *top = &levels[*depth - 1];
        if (top->next == top->count) {
            leave_level(fs, top);
            (*depth)--;
            remove_level *above = *depth != 0 ? top - 1 : NULL;
            MILL_TRY(remove_empty(fs, above != NULL ? above->dir : dir,
                                  above != NULL ? above->names[above->next - 1] : path, err));
            continue;
        }
        const char *name = top->names[top->next++];
        bool is_directory;
        MILL_TRY(remove_plain(fs, top->dir, name, &is_directory, err));
        if (!is_directory)
            continue;
        if (*depth == REMOVE_DEPTH_MAX)
            return mill_fail(err, MILL_IO, "%s: holds more than %d levels of directories; remove it by hand", path,
                             REMOVE_DEPTH_MAX);
        MILL_TRY(enter_level(fs, top->dir, name, top + 1, err));
        (*depth)++;
    }
    return MILL_OK;
}

mill_status mill_fs_remove_tree(const mill_fs *fs, int dir, const char *path, mill_error *err)
{
    bool is_directory;
    MILL_TRY(remove_plain(fs, dir, path, &is_directory, err));
    if (!is_directory)
        return MILL_OK;
    remove_level levels[REMOVE_DEPTH_MAX];
    MILL_TRY(enter_level(fs, dir, path, &levels[0], err));
    size_t depth = 1;
    mill_status status = remove_levels(fs, dir, path, levels, &depth, err);
    while (depth != 0)
        leave_level(fs, &levels[--depth]);
    return status;
}
