// fs_posix.c: the operating system behind the table of fs.h. Each function is one system call and gives -errno.
#include "core/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(MILL_FS_CWD == AT_FDCWD, "handles are the system's own");

enum { TRANSFER_MAX = 1 << 30 }; // some kernels refuse or cut transfers near 2 GiB

static int result(int value)
{
    return value >= 0 ? value : -errno;
}

static int posix_open(void *self, int dir, const char *path, mill_open_mode mode)
{
    (void)self;
    int flags = O_CLOEXEC;
    switch (mode) {
    case MILL_OPEN_READ: flags |= O_RDONLY; break;
    case MILL_OPEN_READ_OWN: flags |= O_RDONLY | O_NOFOLLOW; break;
    case MILL_OPEN_CREATE: flags |= O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW; break;
    case MILL_OPEN_APPEND: flags |= O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW; break;
    case MILL_OPEN_DIRECTORY: flags |= O_RDONLY | O_DIRECTORY; break;
    case MILL_OPEN_DIRECTORY_OWN: flags |= O_RDONLY | O_DIRECTORY | O_NOFOLLOW; break;
    }
    return result(openat(dir, path, flags, 0666));
}

static int64_t posix_read(void *self, int file, void *data, size_t bytes)
{
    (void)self;
    ssize_t got = read(file, data, bytes < TRANSFER_MAX ? bytes : TRANSFER_MAX);
    return got >= 0 ? got : -errno;
}

static int64_t posix_pread(void *self, int file, void *data, size_t bytes, uint64_t offset)
{
    (void)self;
    if (offset > INT64_MAX)
        return -EINVAL;
    ssize_t got = pread(file, data, bytes < TRANSFER_MAX ? bytes : TRANSFER_MAX, (off_t)offset);
    return got >= 0 ? got : -errno;
}

static int64_t posix_write(void *self, int file, const void *data, size_t bytes)
{
    (void)self;
    ssize_t put = write(file, data, bytes < TRANSFER_MAX ? bytes : TRANSFER_MAX);
    return put >= 0 ? put : -errno;
}

static int posix_truncate(void *self, int file, uint64_t bytes)
{
    (void)self;
    return bytes > INT64_MAX ? -EFBIG : result(ftruncate(file, (off_t)bytes));
}

static int posix_sync(void *self, int file)
{
    (void)self;
    int value = result(fsync(file));
    struct stat info;
    // Some file systems cannot sync a directory and say so by EINVAL; their entries need no sync of their own.
    if (value == -EINVAL && fstat(file, &info) == 0 && S_ISDIR(info.st_mode))
        return 0;
    return value;
}

static void posix_send(void *self, int file, uint64_t offset, uint64_t bytes)
{
    (void)self;
    if (offset <= INT64_MAX && bytes <= INT64_MAX - offset)
        (void)sync_file_range(file, (off64_t)offset, (off64_t)bytes, SYNC_FILE_RANGE_WRITE); // errors show when it is synced
}

static int posix_close(void *self, int file)
{
    (void)self;
    return result(close(file));
}

static int posix_rename(void *self, int from_dir, const char *from, int to_dir, const char *to)
{
    (void)self;
    return result(renameat(from_dir, from, to_dir, to));
}

static int posix_unlink(void *self, int dir, const char *path)
{
    (void)self;
    return result(unlinkat(dir, path, 0));
}

static int posix_remove_directory(void *self, int dir, const char *path)
{
    (void)self;
    return result(unlinkat(dir, path, AT_REMOVEDIR));
}

static int posix_mkdir(void *self, int dir, const char *path)
{
    (void)self;
    return result(mkdirat(dir, path, 0777));
}

static void describe(const struct stat *from, mill_file_info *out)
{
    out->kind = S_ISREG(from->st_mode)   ? MILL_FILE_REGULAR
                : S_ISDIR(from->st_mode) ? MILL_FILE_DIRECTORY
                : S_ISLNK(from->st_mode) ? MILL_FILE_LINK
                                         : MILL_FILE_OTHER;
    out->bytes = from->st_size > 0 ? (uint64_t)from->st_size : 0;
    // A time stamp outside +-292 years wraps; it is only ever compared for equality.
    out->mtime_ns = (int64_t)((uint64_t)from->st_mtim.tv_sec * 1000000000u + (uint64_t)from->st_mtim.tv_nsec);
}

static int posix_info(void *self, int dir, const char *path, bool follow, mill_file_info *out)
{
    (void)self;
    struct stat info;
    if (fstatat(dir, path, &info, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0)
        return -errno;
    describe(&info, out);
    return 0;
}

static int posix_info_open(void *self, int file, mill_file_info *out)
{
    (void)self;
    struct stat info;
    if (fstat(file, &info) != 0)
        return -errno;
    describe(&info, out);
    return 0;
}

static int posix_list(void *self, int dir, const char *path, int (*visit)(void *context, const char *name), void *context)
{
    (void)self;
    // Opened anew, so that the position of the caller's handle is neither used nor moved.
    int file = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    DIR *stream = fdopendir(file);
    if (stream == NULL) {
        int value = -errno;
        close(file);
        return value;
    }
    int value = 0;
    while (value == 0) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            value = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            value = visit(context, entry->d_name);
    }
    closedir(stream);
    return value;
}

// Both kinds of lock: OFD locks reach other hosts where the file system supports it, flock is what older tools look at.
static int posix_lock(void *self, int file)
{
    (void)self;
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file, F_OFD_SETLK, &range) != 0)
        return errno == EACCES ? -EAGAIN : -errno;
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        int value = -errno;
        range.l_type = F_UNLCK;
        (void)fcntl(file, F_OFD_SETLK, &range); // closing the file frees it in any case
        return value;
    }
    return 0;
}

static int posix_map(void *self, int file, uint64_t bytes, const void **data)
{
    (void)self;
    static const char nothing[1];
    *data = nothing;
    if (bytes == 0) // an empty mapping does not exist
        return 0;
    if (bytes > SIZE_MAX)
        return -EFBIG;
    void *place = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, file, 0);
    if (place == MAP_FAILED)
        return -errno;
    *data = place;
    return 0;
}

static void posix_unmap(void *self, const void *data, uint64_t bytes)
{
    (void)self;
    union {
        const void *in;
        void *out;
    } place = {.in = data};
    if (bytes != 0)
        MILL_ASSERT(munmap(place.out, (size_t)bytes) == 0);
}

static void posix_forget(void *self, const void *data, uint64_t bytes)
{
    (void)self;
    union {
        const void *in;
        void *out;
    } place = {.in = data};
    if (bytes != 0)
        (void)madvise(place.out, (size_t)bytes, MADV_DONTNEED); // of a file: nothing is lost
}

const mill_fs *mill_fs_posix(void)
{
    static const mill_fs_ops ops = {
        .open = posix_open,
        .read = posix_read,
        .pread = posix_pread,
        .write = posix_write,
        .truncate = posix_truncate,
        .sync = posix_sync,
        .send = posix_send,
        .close = posix_close,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .remove_directory = posix_remove_directory,
        .mkdir = posix_mkdir,
        .info = posix_info,
        .info_open = posix_info_open,
        .list = posix_list,
        .lock = posix_lock,
        .map = posix_map,
        .unmap = posix_unmap,
        .forget = posix_forget,
    };
    static const mill_fs posix = {&ops, NULL, false};
    return &posix;
}
