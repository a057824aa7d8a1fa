// source_fingerprint.c: a short proof that an input is the one of an earlier attempt. Up to 64 MiB an input is hashed whole; a
// larger file by size, time of change, and 64 KiB at both ends with 16 samples of 4 KiB between them; a larger tree by paths, sizes
// and times.
#include "source/source_internal.h"

#include <errno.h>
#include <string.h>

#define WHOLE_MAX (UINT64_C(64) << 20)
#define CHUNK (1u << 18)
#define END_BYTES (64u << 10)
#define SAMPLE_BYTES (4u << 10)
#define SAMPLES 16

typedef struct fingerprint {
    const mill_fs *fs;
    XXH3_state_t state;
    uint8_t *chunk;
} fingerprint;

static mill_status hash_range(fingerprint *f, int file, const char *path, uint64_t offset, uint64_t bytes, mill_error *err)
{
    while (bytes != 0) {
        size_t piece = bytes < CHUNK ? (size_t)bytes : CHUNK;
        MILL_TRY(mill_fs_pread_all(f->fs, file, path, f->chunk, piece, offset, err));
        XXH3_128bits_update(&f->state, f->chunk, piece);
        offset += piece;
        bytes -= piece;
    }
    return MILL_OK;
}

static mill_status hash_samples(fingerprint *f, int file, const char *path, const mill_file_info *info, mill_error *err)
{
    XXH3_128bits_update(&f->state, &info->mtime_ns, sizeof info->mtime_ns);
    MILL_TRY(hash_range(f, file, path, 0, END_BYTES, err));
    MILL_TRY(hash_range(f, file, path, info->bytes - END_BYTES, END_BYTES, err));
    for (uint64_t i = 1; i <= SAMPLES; i++)
        MILL_TRY(hash_range(f, file, path, info->bytes / (SAMPLES + 1) * i, SAMPLE_BYTES, err));
    return MILL_OK;
}

static mill_status hash_file(fingerprint *f, const char *path, bool whole, mill_error *err)
{
    int file;
    mill_file_info info;
    MILL_TRY(mill_fs_open(f->fs, MILL_FS_CWD, path, MILL_OPEN_READ, &file, err));
    int result = f->fs->ops->info_open(f->fs->self, file, &info);
    mill_status status = result < 0 ? mill_fail_errno(err, -result, "%s", path) : MILL_OK;
    if (status == MILL_OK && info.kind == MILL_FILE_REGULAR) {
        XXH3_128bits_update(&f->state, &info.bytes, sizeof info.bytes);
        status = whole || info.bytes <= WHOLE_MAX ? hash_range(f, file, path, 0, info.bytes, err)
                                                  : hash_samples(f, file, path, &info, err);
    }
    mill_status closed = mill_fs_close(f->fs, file, path, status == MILL_OK ? err : NULL);
    return status != MILL_OK ? status : closed;
}

static mill_status hash_tree(fingerprint *f, const mill_source_entry *entry, bool whole, mill_error *err)
{
    const mill_tree *tree = entry->tree;
    mill_buf path = {0};
    mill_status status = MILL_OK;
    for (size_t i = 0; status == MILL_OK && i < tree->count; i++) {
        const char *name = mill_tree_path(tree, i);
        XXH3_128bits_update(&f->state, name, strlen(name) + 1);
        XXH3_128bits_update(&f->state, &tree->files[i].bytes, sizeof tree->files[i].bytes);
        mill_buf_clear(&path);
        status = mill_buf_printf(&path, err, "%s/%s", entry->path, name);
        if (status == MILL_OK)
            status = mill_buf_append(&path, "", 1, err);
        if (status != MILL_OK)
            break;
        if (whole) {
            // A file that cannot be read is the reader's to report.
            if (hash_file(f, (const char *)path.data, true, NULL) != MILL_OK)
                XXH3_128bits_update(&f->state, "?", 1);
            continue;
        }
        mill_file_info info;
        if (f->fs->ops->info(f->fs->self, MILL_FS_CWD, (const char *)path.data, true, &info) == 0)
            XXH3_128bits_update(&f->state, &info.mtime_ns, sizeof info.mtime_ns);
    }
    mill_buf_free(&path);
    return status;
}

mill_status mill_source_fingerprint(const mill_source *source, size_t index, bool whole, mill_key *out, mill_error *err)
{
    const mill_source_entry *entry = &source->entries[index];
    fingerprint f = {.fs = source->fs, .chunk = mill_alloc(CHUNK)};
    if (f.chunk == NULL)
        return mill_fail_nomem(err, "a fingerprint");
    XXH3_128bits_reset(&f.state);
    mill_status status = MILL_OK;
    if (entry->tree != NULL)
        status = hash_tree(&f, entry, whole || entry->info.file_bytes <= WHOLE_MAX, err);
    else if (strcmp(entry->info.name, "-") != 0)
        status = hash_file(&f, entry->path, whole, err);
    XXH128_hash_t h = XXH3_128bits_digest(&f.state);
    *out = (mill_key){h.low64, h.high64};
    mill_free(f.chunk);
    return status;
}
