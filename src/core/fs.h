// fs.h: the one door to files. No other file of the product opens, reads, writes, renames or syncs: tests put a simulated
// file system (faults, short transfers, kills, power cuts) behind the same table.
//
// Paths are relative to a directory handle (MILL_FS_CWD for the working directory). Calls of the table return a value >= 0
// or -errno; they may transfer less than asked and may return -EINTR: only the mill_fs_* functions below deal with that.
#ifndef MILL_CORE_FS_H
#define MILL_CORE_FS_H

#include "core/alloc.h"

#define MILL_FS_CWD (-100)

typedef enum mill_open_mode {
    MILL_OPEN_READ,      // O_RDONLY; links are followed (inputs)
    MILL_OPEN_READ_OWN,  // O_RDONLY|O_NOFOLLOW: files below an output directory
    MILL_OPEN_CREATE,    // O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW
    MILL_OPEN_APPEND,    // O_RDWR|O_CREAT|O_APPEND|O_NOFOLLOW: the journal
    MILL_OPEN_DIRECTORY, // O_RDONLY|O_DIRECTORY; links are followed
    MILL_OPEN_DIRECTORY_OWN, // O_RDONLY|O_DIRECTORY|O_NOFOLLOW: directories below an output directory
} mill_open_mode;

typedef enum mill_file_kind { MILL_FILE_REGULAR, MILL_FILE_DIRECTORY, MILL_FILE_LINK, MILL_FILE_OTHER } mill_file_kind;

typedef struct mill_file_info {
    mill_file_kind kind;
    uint64_t bytes;
    int64_t mtime_ns;
} mill_file_info;

typedef struct mill_fs_ops {
    int (*open)(void *self, int dir, const char *path, mill_open_mode mode);
    int64_t (*read)(void *self, int file, void *data, size_t bytes);
    int64_t (*pread)(void *self, int file, void *data, size_t bytes, uint64_t offset);
    int64_t (*write)(void *self, int file, const void *data, size_t bytes);
    int (*truncate)(void *self, int file, uint64_t bytes);
    int (*sync)(void *self, int file);     // fsync: contents and size, or the entries of a directory handle
    void (*send)(void *self, int file, uint64_t offset, uint64_t bytes); // to the disk, soon: a later sync waits less; no promise
    int (*close)(void *self, int file);    // the handle is gone whatever it returns
    int (*rename)(void *self, int from_dir, const char *from, int to_dir, const char *to);
    int (*unlink)(void *self, int dir, const char *path);
    int (*remove_directory)(void *self, int dir, const char *path);
    int (*mkdir)(void *self, int dir, const char *path);
    int (*info)(void *self, int dir, const char *path, bool follow, mill_file_info *out);
    int (*info_open)(void *self, int file, mill_file_info *out);
    // Calls visit for each entry but "." and "..", in any order; stops at its first nonzero result and returns it.
    int (*list)(void *self, int dir, const char *path, int (*visit)(void *context, const char *name), void *context);
    int (*lock)(void *self, int file);     // exclusive, not waiting; -EAGAIN when another process holds it
    int (*map)(void *self, int file, uint64_t bytes, const void **data); // read-only
    void (*unmap)(void *self, const void *data, uint64_t bytes);
    void (*forget)(void *self, const void *data, uint64_t bytes); // a mapping leaves memory until it is touched again
} mill_fs_ops;

typedef struct mill_fs {
    const mill_fs_ops *ops;
    void *self;
    bool one_thread; // its calls must come one at a time, in an order that does not change (simulated disks)
} mill_fs;

const mill_fs *mill_fs_posix(void);

// The functions below retry EINTR and short transfers and describe failures. `name` appears in the message.
mill_status mill_fs_open(const mill_fs *fs, int dir, const char *path, mill_open_mode mode, int *file, mill_error *err)
    MILL_MUST_CHECK;
mill_status mill_fs_read(const mill_fs *fs, int file, const char *name, void *data, size_t bytes, size_t *got,
                         mill_error *err) MILL_MUST_CHECK; // *got < bytes only at the end of the file
mill_status mill_fs_pread_all(const mill_fs *fs, int file, const char *name, void *data, size_t bytes, uint64_t offset,
                              mill_error *err) MILL_MUST_CHECK; // a short file is MILL_IO
mill_status mill_fs_write_all(const mill_fs *fs, int file, const char *name, const void *data, size_t bytes,
                              mill_error *err) MILL_MUST_CHECK;
mill_status mill_fs_sync(const mill_fs *fs, int file, const char *name, mill_error *err) MILL_MUST_CHECK;
mill_status mill_fs_close(const mill_fs *fs, int file, const char *name, mill_error *err) MILL_MUST_CHECK;
mill_status mill_fs_rename(const mill_fs *fs, int dir, const char *from, const char *to, mill_error *err) MILL_MUST_CHECK;
mill_status mill_fs_unlink(const mill_fs *fs, int dir, const char *path, mill_error *err) MILL_MUST_CHECK; // absent is fine
mill_status mill_fs_mkdir(const mill_fs *fs, int dir, const char *path, mill_error *err) MILL_MUST_CHECK;  // present is fine
// All names in a directory, sorted bytewise; an absent directory has none. Free with mill_fs_names_free.
mill_status mill_fs_list(const mill_fs *fs, int dir, const char *path, char ***names, size_t *count, mill_error *err)
    MILL_MUST_CHECK;
void mill_fs_names_free(char **names, size_t count);
// Whole file into buf (appended); refuses more than bytes_max.
mill_status mill_fs_read_file(const mill_fs *fs, int dir, const char *path, mill_open_mode mode, uint64_t bytes_max,
                              mill_buf *buf, mill_error *err) MILL_MUST_CHECK;
// True if path exists (any kind, links not followed).
bool mill_fs_exists(const mill_fs *fs, int dir, const char *path);
// The same, but what cannot be looked at is an error, not an absence.
mill_status mill_fs_find(const mill_fs *fs, int dir, const char *path, bool *there, mill_error *err) MILL_MUST_CHECK;
// Removes a file or a whole directory tree; absent is fine. Never follows links.
mill_status mill_fs_remove_tree(const mill_fs *fs, int dir, const char *path, mill_error *err) MILL_MUST_CHECK;

// A new file that is hashed while it is written. Written to `path` below `dir` (a tmp name); the caller renames it.
typedef struct mill_outfile {
    const mill_fs *fs;
    int file;            // -1 when closed
    char name[256];      // for messages
    uint64_t bytes;      // given so far
    uint64_t written, sent; // of them, without what is pending; and on their way to the disk
    void *sha256;        // running digest, opaque
    mill_buf pending;    // write buffer
} mill_outfile;

mill_status mill_outfile_open(mill_outfile *out, const mill_fs *fs, int dir, const char *path, mill_error *err) MILL_MUST_CHECK;
// Its SHA-1 is wanted as well: before the first write. Then of all that was written, once, before its other digest.
mill_status mill_outfile_with_sha1(mill_outfile *out, mill_error *err) MILL_MUST_CHECK;
mill_status mill_outfile_sha1(mill_outfile *out, uint8_t digest[20], mill_error *err) MILL_MUST_CHECK;
mill_status mill_outfile_write(mill_outfile *out, const void *data, size_t bytes, mill_error *err) MILL_MUST_CHECK;
// Flushes, optionally fsyncs, closes (each checked) and gives the SHA-256 as 64 hex digits + NUL. The same in two steps, for
// files that are synced later and elsewhere: digest flushes and leaves the file open, nothing may be written any more.
mill_status mill_outfile_finish(mill_outfile *out, bool sync, char sha256_hex[65], mill_error *err) MILL_MUST_CHECK;
mill_status mill_outfile_digest(mill_outfile *out, char sha256_hex[65], mill_error *err) MILL_MUST_CHECK;
mill_status mill_outfile_close(mill_outfile *out, bool sync, mill_error *err) MILL_MUST_CHECK;
void mill_outfile_abort(mill_outfile *out); // closes without checks; harmless after finish

#endif
