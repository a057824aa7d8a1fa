// source_archive.c: source trees inside tar (plain or packed), zip and 7z, by libarchive, without unpacking
// to disk. A record is one regular file, numbered by its place among the regular files of the archive, in the
// archive's order; a file called Posts.xml is a Stack Exchange dump.
//
// libarchive reads through callbacks over core/fs.h. What it cannot read of one member costs that member;
// what it cannot read of the archive costs the rest, and one quarantine row tells so. A tar that ends without
// its end mark is cut, too.
#include "source/source_internal.h"

#include <stdio.h>
#include <strings.h>

static const char *const suffixes[] = {".tar", ".tar.gz",  ".tgz",  ".tar.zst", ".tzst", ".tar.xz",
                                       ".txz", ".tar.bz2", ".tbz2", ".tbz",     ".zip",  ".7z"};

static size_t suffix_bytes(const char *path)
{
    size_t bytes = strlen(path), longest = 0;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        size_t length = strlen(suffixes[i]);
        if (bytes > length && strcasecmp(path + bytes - length, suffixes[i]) == 0 && length > longest)
            longest = length;
    }
    return longest;
}

bool mill_has_archive_suffix(const char *path)
{
    return suffix_bytes(path) != 0;
}

bool mill_is_archive_head(const uint8_t *head, size_t bytes)
{
    return (bytes >= 4 && memcmp(head, "PK\3\4", 4) == 0) ||
           (bytes >= 6 && memcmp(head, "7z\xbc\xaf\x27\x1c", 6) == 0) ||
           (bytes >= 262 && memcmp(head + 257, "ustar", 5) == 0);
}

char *mill_archive_repo(const char *name)
{
    return mill_strndup(name, strlen(name) - suffix_bytes(name));
}

#ifndef MILL_HAVE_ARCHIVE

mill_status mill_archive_check(const char *name, mill_error *err)
{
    return mill_fail(err, MILL_INPUT,
                     "%s: this build cannot read archives (libarchive was not found when it was configured: "
                     "MILL_ARCHIVE); unpack it and "
                     "give the directory",
                     name);
}

mill_status mill_archive_open(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    (void)source;
    return mill_archive_check(entry->name, err);
}

mill_status mill_archive_fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                              mill_error *err)
{
    (void)source, (void)block, (void)ended;
    return mill_archive_check(entry->name, err);
}

mill_status mill_archive_close(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    (void)source, (void)entry, (void)err;
    return MILL_OK;
}

void mill_archive_drop(mill_source *source)
{
    (void)source;
}

#else

#include <errno.h>

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

enum { READ_BYTES = 256 << 10, DATA_STEP = 64 << 10, RETRIES_MAX = 8, BINARY_BYTES = 8000 };

struct mill_archive {
    const mill_fs *fs;
    struct archive *reader;
    locale_t locale; // names are UTF-8, whatever the process' locale is
    int file;        // -1: closed
    char *path;
    mill_file_info info; // when opened
    uint64_t at, hashed; // place of the next read; bytes that are in the digest
    uint8_t *buffer;
    void *sha256;
    mill_status status;           // of a read that failed
    mill_error *err;              // of the call at hand
    struct archive_entry *member; // its header was read, its data not yet
    bool in_posts;
    uint64_t files; // regular files so far
    char damage[200];
};

mill_status mill_archive_check(const char *name, mill_error *err)
{
    (void)name, (void)err;
    return MILL_OK;
}

// ---- libarchive's view of the file

static la_ssize_t on_read(struct archive *reader, void *self, const void **data)
{
    mill_archive *a = self;
    size_t got = 0;
    while (got < READ_BYTES) {
        int64_t n;
        do
            n = a->fs->ops->pread(a->fs->self, a->file, a->buffer + got, READ_BYTES - got, a->at + got);
        while (n == -EINTR);
        if (n < 0) {
            a->status = mill_fail_errno(a->err, (int)-n, "%s: cannot read", a->path);
            archive_set_error(reader, (int)-n, "cannot read");
            return -1;
        }
        if (n == 0)
            break;
        got += (size_t)n;
    }
    if (a->at == a->hashed) {
        mill_sha256_update(a->sha256, a->buffer, got);
        a->hashed += got;
    }
    a->at += got;
    *data = a->buffer;
    return (la_ssize_t)got;
}

static la_int64_t on_skip(struct archive *reader, void *self, la_int64_t bytes)
{
    mill_archive *a = self;
    (void)reader;
    uint64_t left = a->info.bytes > a->at ? a->info.bytes - a->at : 0;
    uint64_t skip = (uint64_t)bytes < left ? (uint64_t)bytes : left;
    a->at += skip;
    return (la_int64_t)skip;
}

static la_int64_t on_seek(struct archive *reader, void *self, la_int64_t offset, int whence)
{
    mill_archive *a = self;
    (void)reader;
    int64_t base = whence == SEEK_CUR ? (int64_t)a->at : whence == SEEK_END ? (int64_t)a->info.bytes : 0;
    if (offset < -base || base + offset > (int64_t)a->info.bytes)
        return ARCHIVE_FATAL;
    a->at = (uint64_t)(base + offset);
    return base + offset;
}

static mill_status get_info(mill_archive *a, mill_file_info *info, mill_error *err)
{
    int value;
    do
        value = a->fs->ops->info_open(a->fs->self, a->file, info);
    while (value == -EINTR);
    return value < 0 ? mill_fail_errno(err, -value, "%s: cannot ask for its size", a->path) : MILL_OK;
}

// Only what libarchive decodes by itself: other filters would start programs.
static void choose_formats(struct archive *reader)
{
    archive_read_support_format_tar(reader);
    archive_read_support_format_zip(reader);
    archive_read_support_format_7zip(reader);
    archive_read_support_filter_gzip(reader);
    archive_read_support_filter_bzip2(reader);
    archive_read_support_filter_xz(reader);
    archive_read_support_filter_lzma(reader);
    archive_read_support_filter_zstd(reader);
    archive_read_set_read_callback(reader, on_read);
    archive_read_set_skip_callback(reader, on_skip);
    archive_read_set_seek_callback(reader, on_seek);
}

static void set_damage(mill_archive *a, const char *fallback)
{
    const char *text = archive_error_string(a->reader);
    snprintf(a->damage, sizeof a->damage, "%s", text != NULL ? text : fallback);
}

mill_status mill_archive_open(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    mill_archive *a = mill_alloc_zero(1, sizeof *a);
    source->archive = a;
    if (a == NULL)
        return mill_fail_nomem(err, "reading an archive");
    a->file = -1;
    a->fs = source->fs;
    a->path = mill_strdup(entry->path);
    a->buffer = mill_alloc(READ_BYTES);
    a->sha256 = mill_sha256_create();
    a->reader = archive_read_new();
    a->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (a->path == NULL || a->buffer == NULL || a->sha256 == NULL || a->reader == NULL)
        return mill_fail_nomem(err, "reading an archive");
    MILL_TRY(mill_fs_open(a->fs, MILL_FS_CWD, entry->path, MILL_OPEN_READ, &a->file, err));
    MILL_TRY(get_info(a, &a->info, err));
    choose_formats(a->reader);
    archive_read_set_callback_data(a->reader, a);
    a->err = err;
    entry->info.files = 0;
    int result = archive_read_open1(a->reader);
    MILL_TRY(a->status);
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
        set_damage(a, "no archive of a kind that is known");
    return MILL_OK;
}

// ---- members

static const char *member_name(const mill_archive *a)
{
    const char *name = archive_entry_pathname_utf8(a->member);
    if (name == NULL)
        name =
            archive_entry_pathname(a->member); // bytes of another encoding: replaced when the record is made
    while (name != NULL && (strncmp(name, "./", 2) == 0 || *name == '/'))
        name += *name == '/' ? 1 : 2;
    return name;
}

// As in directories: nothing below a hidden one.
static bool is_hidden(const char *name)
{
    for (const char *part = name; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (*part == '.' && strchr(part, '/') != NULL)
            return true;
    }
    return false;
}

static mill_status add_row(mill_source *source, mill_source_entry *entry, mill_block *block,
                           mill_quarantine_reason reason, const char *path, const char *detail,
                           mill_error *err)
{
    mill_archive *a = source->archive;
    const bool damaged = reason == MILL_QUARANTINE_DAMAGED_STREAM;
    const mill_quarantined row = {
        .input = (uint32_t)source->current, .record = a->files + damaged, .reason = reason};
    source->block_records++;
    entry->info.records++;
    return mill_quarantine_add(&block->quarantine, &row, path, err, "%s", detail);
}

// The next regular file's header; *end at the archive's end or damage.
static mill_status next_member(mill_source *source, mill_source_entry *entry, bool *end)
{
    mill_archive *a = source->archive;
    *end = a->damage[0] != '\0';
    for (int retries = 0; !*end;) {
        int result = archive_read_next_header(a->reader, &a->member);
        MILL_TRY(a->status);
        if (result == ARCHIVE_RETRY && retries++ < RETRIES_MAX)
            continue;
        if (result == ARCHIVE_EOF) {
            int format = archive_format(a->reader) & ARCHIVE_FORMAT_BASE_MASK;
            // Behind the last member of a whole tar lie blocks of zeros.
            if (format == ARCHIVE_FORMAT_TAR &&
                archive_filter_bytes(a->reader, 0) <= archive_read_header_position(a->reader))
                snprintf(a->damage, sizeof a->damage, "the tar ends without its end mark");
            *end = true;
            break;
        }
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
            set_damage(a, "an unreadable header");
            *end = true;
            break;
        }
        bool regular =
            archive_entry_filetype(a->member) == AE_IFREG && archive_entry_hardlink(a->member) == NULL;
        if (regular) {
            a->files++;
            entry->info.files++;
            return MILL_OK;
        }
        entry->info.skipped_other += archive_entry_filetype(a->member) != AE_IFDIR;
    }
    a->member = NULL;
    return MILL_OK;
}

typedef enum outcome { GOOD, LONG, BAD_MEMBER, LOST } outcome;

// Reads the member's data behind the block's bytes.
static mill_status read_data(mill_source *source, mill_block *block, outcome *out, mill_error *err)
{
    mill_archive *a = source->archive;
    size_t begin = block->bytes.bytes;
    *out = GOOD;
    for (int retries = 0;;) {
        MILL_TRY(mill_buf_reserve(&block->bytes, DATA_STEP, err));
        la_ssize_t got = archive_read_data(a->reader, block->bytes.data + block->bytes.bytes, DATA_STEP);
        MILL_TRY(a->status);
        if (got == ARCHIVE_RETRY && retries++ < RETRIES_MAX)
            continue;
        if (got <= 0) {
            *out = got == 0 ? GOOD : got == ARCHIVE_WARN || got == ARCHIVE_FAILED ? BAD_MEMBER : LOST;
            break;
        }
        block->bytes.bytes += (size_t)got;
        if (block->bytes.bytes - begin > source->options.record_bytes_max) {
            *out = LONG;
            break;
        }
    }
    if (*out == GOOD && archive_entry_size_is_set(a->member) &&
        (uint64_t)archive_entry_size(a->member) != block->bytes.bytes - begin)
        *out = BAD_MEMBER;
    if (*out != GOOD)
        block->bytes.bytes = begin;
    return MILL_OK;
}

static mill_status add_piece(mill_source *source, mill_source_entry *entry, mill_block *block, size_t begin,
                             const char *name, mill_error *err)
{
    size_t bytes = block->bytes.bytes - begin;
    const uint8_t *text = block->bytes.data + begin;
    bool wide = source->options.shape.declared_encodings && mill_has_wide_bom(text, bytes);
    if (bytes == 0) {
        entry->info.skipped_empty++;
        return MILL_OK;
    }
    if (!wide && memchr(text, '\0', bytes < BINARY_BYTES ? bytes : BINARY_BYTES) != NULL) {
        block->bytes.bytes = begin;
        entry->info.skipped_binary++;
        return MILL_OK;
    }
    if (block->paths.bytes + strlen(name) >= UINT32_MAX)
        return mill_fail_nomem(err, "more than 4 GiB of paths in one block");
    const mill_block_piece piece = {.input = (uint32_t)source->current,
                                    .first_record = source->archive->files,
                                    .begin = begin,
                                    .bytes = bytes,
                                    .path = (uint32_t)block->paths.bytes};
    MILL_TRY(mill_buf_append(&block->paths, name, strlen(name) + 1, err));
    source->block_records++;
    entry->info.records++;
    return mill_block_add_piece(block, &piece, err);
}

static mill_status take_member(mill_source *source, mill_source_entry *entry, mill_block *block,
                               mill_error *err)
{
    mill_archive *a = source->archive;
    const char *known = member_name(a), *name = known != NULL ? known : "unnamed";
    if (is_hidden(name)) {
        entry->info.skipped_other++;
        return MILL_OK;
    }
    if (archive_entry_is_data_encrypted(a->member) > 0)
        return add_row(source, entry, block, MILL_QUARANTINE_BAD_MEMBER, name, "it is encrypted", err);
    size_t begin = block->bytes.bytes;
    outcome result = LONG;
    if (!archive_entry_size_is_set(a->member) ||
        (uint64_t)archive_entry_size(a->member) <= source->options.record_bytes_max)
        MILL_TRY(read_data(source, block, &result, err));
    switch (result) {
    case LONG:
        return add_row(source, entry, block, MILL_QUARANTINE_TOO_LONG, name, "longer than the limit", err);
    case BAD_MEMBER: {
        const char *text = archive_error_string(a->reader);
        return add_row(source, entry, block, MILL_QUARANTINE_BAD_MEMBER, name,
                       text != NULL ? text : "its data is damaged", err);
    }
    case LOST:
        set_damage(a, "its data ends early");
        a->files--; // this one is the first that is missing
        return MILL_OK;
    case GOOD: break;
    }
    return add_piece(source, entry, block, begin, name, err);
}

// ---- Posts.xml inside

static mill_status read_posts(void *self, void *data, size_t bytes, size_t *got, mill_error *err)
{
    mill_archive *a = self;
    *got = 0;
    a->err = err;
    for (int retries = 0; a->damage[0] == '\0';) {
        la_ssize_t n = archive_read_data(a->reader, data, bytes);
        MILL_TRY(a->status);
        if (n == ARCHIVE_RETRY && retries++ < RETRIES_MAX)
            continue;
        if (n < 0)
            set_damage(a, "its data is damaged");
        else
            *got = (size_t)n;
        break;
    }
    return MILL_OK;
}

static const char *posts_damage(void *self)
{
    const mill_archive *a = self;
    return a->damage[0] != '\0' ? a->damage : NULL;
}

// *ended: the posts are all delivered.
static mill_status fill_posts(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                              mill_error *err)
{
    mill_archive *a = source->archive;
    if (!a->in_posts) {
        const mill_posts_feed feed = {a, read_posts, posts_damage};
        MILL_TRY(mill_posts_open(source, &feed, err));
        a->in_posts = true;
    }
    MILL_TRY(mill_posts_fill(source, entry, block, ended, err));
    if (*ended) {
        mill_posts_close(source);
        a->in_posts = false;
    }
    return MILL_OK;
}

// ---- the input

static mill_status fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                        mill_error *err)
{
    mill_archive *a = source->archive;
    for (;;) {
        bool end = false;
        if (a->member == NULL)
            MILL_TRY(next_member(source, entry, &end));
        if (end)
            break;
        const char *name = member_name(a);
        if (a->in_posts || (name != NULL && strcmp(name, "Posts.xml") == 0)) {
            MILL_TRY(fill_posts(source, entry, block, &end, err));
            if (!end)
                return MILL_OK;
            if (a->damage[0] != '\0') { // told with the posts
                *ended = true;
                return MILL_OK;
            }
            a->member = NULL;
            continue;
        }
        uint64_t size = archive_entry_size_is_set(a->member) ? (uint64_t)archive_entry_size(a->member) : 0;
        bool full = block->bytes.bytes != 0 && size <= source->options.record_bytes_max &&
                    block->bytes.bytes + size > source->block_bytes;
        if (full || source->block_records >= MILL_BLOCK_RECORDS_MAX)
            return MILL_OK;
        if (name != NULL && mill_is_other_table(name))
            entry->info.skipped_other++;
        else
            MILL_TRY(take_member(source, entry, block, err));
        a->member = NULL;
    }
    *ended = true;
    return a->damage[0] != '\0'
               ? add_row(source, entry, block, MILL_QUARANTINE_DAMAGED_STREAM, NULL, a->damage, err)
               : MILL_OK;
}

mill_status mill_archive_fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                              mill_error *err)
{
    mill_archive *a = source->archive;
    locale_t before = a->locale != (locale_t)0 ? uselocale(a->locale) : (locale_t)0;
    *ended = false;
    a->err = err;
    mill_status status = fill(source, entry, block, ended, err);
    if (before != (locale_t)0)
        (void)uselocale(before);
    return status;
}

static mill_status hash_rest(mill_archive *a, mill_error *err)
{
    while (a->hashed < a->info.bytes) {
        uint64_t left = a->info.bytes - a->hashed;
        size_t step = left < READ_BYTES ? (size_t)left : READ_BYTES;
        MILL_TRY(mill_fs_pread_all(a->fs, a->file, a->path, a->buffer, step, a->hashed, err));
        mill_sha256_update(a->sha256, a->buffer, step);
        a->hashed += step;
    }
    return MILL_OK;
}

mill_status mill_archive_close(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    mill_archive *a = source->archive;
    uint8_t digest[32];
    mill_file_info now = a->info;
    mill_status status = hash_rest(a, err);
    if (status == MILL_OK)
        status = get_info(a, &now, err);
    if (status == MILL_OK && (now.bytes != a->info.bytes || now.mtime_ns != a->info.mtime_ns))
        status =
            mill_fail(err, MILL_INPUT,
                      "%s: changed while it was read; run again when nothing writes to the inputs", a->path);
    if (status == MILL_OK) {
        mill_sha256_finish(a->sha256, digest);
        a->sha256 = NULL;
        mill_hex(digest, sizeof digest, entry->info.sha256);
    }
    mill_archive_drop(source);
    return status;
}

void mill_archive_drop(mill_source *source)
{
    mill_archive *a = source->archive;
    source->archive = NULL;
    if (a == NULL)
        return;
    if (a->reader != NULL)
        archive_read_free(a->reader);
    if (a->file >= 0)
        (void)a->fs->ops->close(a->fs->self, a->file);
    if (a->locale != (locale_t)0)
        freelocale(a->locale);
    mill_sha256_destroy(a->sha256);
    mill_free(a->buffer);
    mill_free(a->path);
    mill_free(a);
}

#endif
