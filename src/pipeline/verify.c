// verify.c: mill_verify: seal, sums and files; verify_accounts.c and verify_contents.c check what is in them.
//
// The manifest proves itself by its seal and every product file by its size and SHA-256; SHA256SUMS must be
// what the manifest says, and nothing else may be there. So each changed byte is found before anything is
// parsed; the later checks find a writer that was wrong.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/parallel.h"
#include "pipeline/verify_internal.h"

#define SUMS "SHA256SUMS"

// ---- SHA256SUMS -----------------------------------------------------------------------------------------

static mill_status compare_sums(const mill_finished *f, const mill_buf *found, mill_error *err)
{
    size_t at = 0, line = 1;
    for (size_t i = 0; i < f->file_count; i++, line++) {
        const mill_finished_file *file = &f->files[i];
        size_t path_bytes = strlen(file->path), bytes = 64 + 2 + path_bytes + 1;
        const char *text = (const char *)found->data + at;
        if (found->bytes - at < bytes || memcmp(text, file->sha256, 64) != 0 ||
            memcmp(text + 64, "  ", 2) != 0 || memcmp(text + 66, file->path, path_bytes) != 0 ||
            text[bytes - 1] != '\n')
            return mill_fail(err, MILL_VERIFY,
                             "%s/" SUMS ": line %zu was changed or is missing: it should be that of %s",
                             f->path, line, file->path);
        at += bytes;
    }
    if (at != found->bytes)
        return mill_fail(err, MILL_VERIFY, "%s/" SUMS ": goes on behind its last line", f->path);
    return MILL_OK;
}

static mill_status check_sums(const mill_finished *f, uint64_t *bytes, mill_error *err)
{
    mill_file_info info;
    uint64_t wanted = 0;
    for (size_t i = 0; i < f->file_count; i++)
        wanted += 64 + 2 + strlen(f->files[i].path) + 1;
    MILL_TRY(mill_finished_info(f, SUMS, &info, err));
    if (info.kind != MILL_FILE_REGULAR)
        return mill_fail(err, MILL_VERIFY, "%s/" SUMS ": is no regular file", f->path);
    if (info.bytes > wanted)
        return mill_fail(err, MILL_VERIFY, "%s/" SUMS ": has %llu bytes, by the manifest it should have %llu",
                         f->path, (unsigned long long)info.bytes, (unsigned long long)wanted);
    mill_buf found = {0};
    mill_status status = mill_fs_read_file(f->fs, f->dir, SUMS, MILL_OPEN_READ_OWN, UINT64_MAX, &found, err);
    if (status == MILL_OK)
        status = compare_sums(f, &found, err);
    *bytes = found.bytes;
    mill_buf_free(&found);
    return status;
}

// ---- nothing else ---------------------------------------------------------------------------------------

// A directory that holds a product file: `path` up to `bytes`; "" is the output directory.
typedef struct folder {
    const char *path;
    size_t bytes;
} folder;

static int compare_folders(const void *a, const void *b)
{
    const folder *x = a, *y = b;
    int order = memcmp(x->path, y->path, x->bytes < y->bytes ? x->bytes : y->bytes);
    return order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

// All folders of the manifest's files, sorted, so that a parent stands before what is in it.
static mill_status list_folders(const mill_finished *f, folder **out, size_t *out_count, mill_error *err)
{
    folder *list = NULL;
    size_t count = 0, capacity = 0, kept = 0;
    mill_status status = MILL_GROW(list, capacity, 1, err);
    if (status == MILL_OK)
        list[count++] = (folder){"", 0};
    for (size_t i = 0; status == MILL_OK && i < f->file_count; i++) {
        const char *path = f->files[i].path;
        for (const char *slash = strchr(path, '/'); status == MILL_OK && slash != NULL;
             slash = strchr(slash + 1, '/')) {
            folder next = {path, (size_t)(slash - path)};
            if (compare_folders(&next, &list[count - 1]) == 0)
                continue;
            status = MILL_GROW(list, capacity, count + 1, err);
            if (status == MILL_OK)
                list[count++] = next;
        }
    }
    if (status != MILL_OK) {
        mill_free(list);
        return status;
    }
    qsort(list, count, sizeof *list, compare_folders);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || compare_folders(&list[kept - 1], &list[i]) != 0)
            list[kept++] = list[i];
    }
    *out = list;
    *out_count = kept;
    return MILL_OK;
}

// What stands at `path` must be a file of the manifest, a folder of one, or one of ours that is not part of
// the product.
static mill_status check_entry(const mill_finished *f, const folder *folders, size_t count, const char *path,
                               mill_error *err)
{
    static const char *const allowed[] = {"manifest.json", SUMS, "report.html", "README.md"};
    const folder key = {path, strlen(path)};
    mill_file_info info;
    if (strcmp(path, ".shardmill") == 0 || mill_finished_find(f, path) != NULL)
        return MILL_OK; // files are looked at later
    MILL_TRY(mill_finished_info(f, path, &info, err));
    if (bsearch(&key, folders, count, sizeof *folders, compare_folders) != NULL)
        return info.kind == MILL_FILE_DIRECTORY
                   ? MILL_OK
                   : mill_fail(err, MILL_VERIFY, "%s/%s: is no directory", f->path, path);
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        if (strcmp(path, allowed[i]) == 0 && info.kind == MILL_FILE_REGULAR)
            return MILL_OK;
    }
    return mill_fail(err, MILL_VERIFY, "%s/%s: is not part of the run: the manifest does not list it",
                     f->path, path);
}

static mill_status check_folder(const mill_finished *f, const folder *folders, size_t count, const folder *at,
                                mill_error *err)
{
    mill_buf path = {0};
    char **names = NULL;
    size_t name_count = 0;
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(at->bytes != 0 ? mill_buf_printf(&path, err, "%.*s", (int)at->bytes, at->path)
                                 : mill_buf_printf(&path, err, "."));
    MILL_TRY_GOTO(mill_buf_append(&path, "", 1, err));
    MILL_TRY_GOTO(mill_fs_list(f->fs, f->dir, (const char *)path.data, &names, &name_count, err));
    for (size_t i = 0; i < name_count; i++) {
        mill_buf_clear(&path);
        MILL_TRY_GOTO(mill_buf_printf(&path, err, "%.*s%s%s", (int)at->bytes, at->path,
                                      at->bytes != 0 ? "/" : "", names[i]));
        MILL_TRY_GOTO(mill_buf_append(&path, "", 1, err));
        MILL_TRY_GOTO(check_entry(f, folders, count, (const char *)path.data, err));
    }
cleanup:
    mill_fs_names_free(names, name_count);
    mill_buf_free(&path);
    return status;
}

static mill_status check_no_extras(const mill_finished *f, mill_error *err)
{
    folder *folders;
    size_t count;
    MILL_TRY(list_folders(f, &folders, &count, err));
    mill_status status = MILL_OK;
    for (size_t i = 0; status == MILL_OK && i < count; i++)
        status = check_folder(f, folders, count, &folders[i], err);
    mill_free(folders);
    return status;
}

// ---- files ----------------------------------------------------------------------------------------------

static mill_status check_file(void *context, uint32_t worker, uint64_t number, mill_error *err)
{
    (void)worker;
    const mill_finished *f = context;
    return mill_finished_check_bytes(f, &f->files[number], NULL, err);
}

// Sizes first: what is missing or cut is found at once, before terabytes are read.
static mill_status check_files(mill_finished *f, uint32_t threads, mill_error *err)
{
    for (size_t i = 0; i < f->file_count; i++)
        MILL_TRY(mill_finished_check_size(f, &f->files[i], err));
    return mill_parallel_run(threads, f->file_count, check_file, f, err);
}

static mill_status summarise(const mill_finished *f, uint64_t bytes, uint64_t samples, mill_text *out,
                             mill_error *err)
{
    mill_buf text = {0};
    mill_status status = MILL_OK;
    MILL_TRY_GOTO(
        mill_append_grouped(&text, f->file_count + 2, 0, err)); // the manifest and the sums are files, too
    MILL_TRY_GOTO(mill_buf_append_text(&text, " files, ", err));
    MILL_TRY_GOTO(mill_append_grouped(&text, bytes, 0, err));
    MILL_TRY_GOTO(mill_buf_append_text(&text, " bytes: seal, sums", err));
    MILL_TRY_GOTO(mill_buf_append_text(&text, samples != 0 ? ", accounting and " : " and accounting", err));
    if (samples != 0) {
        MILL_TRY_GOTO(mill_append_grouped(&text, samples, 0, err));
        MILL_TRY_GOTO(mill_buf_append_text(&text, " samples", err));
    }
    MILL_TRY_GOTO(mill_buf_append_text(&text, " verified\n", err));
    MILL_TRY_GOTO(mill_text_take(&text, out, err));
cleanup:
    mill_buf_free(&text);
    return status;
}

mill_status mill_verify(const char *directory, uint32_t threads, mill_text *out, mill_error *err)
{
    mill_finished f = {0};
    uint64_t bytes = 0, samples = 0;
    mill_status status = MILL_OK;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (threads == 0)
        threads = cores > 0 ? (uint32_t)cores : 1;
    MILL_TRY_GOTO(threads > 1024 ? mill_fail(err, MILL_USAGE, "-j %u: at most 1024 threads", threads)
                                 : MILL_OK);
    MILL_TRY_GOTO(mill_finished_open(directory, &f, err));
    MILL_TRY_GOTO(check_sums(&f, &bytes, err));
    MILL_TRY_GOTO(check_no_extras(&f, err));
    MILL_TRY_GOTO(check_files(&f, threads, err));
    MILL_TRY_GOTO(mill_verify_accounts(&f, err));
    MILL_TRY_GOTO(mill_verify_contents(&f, threads, &samples, err));
    bytes += f.manifest_bytes;
    for (size_t i = 0; i < f.file_count; i++)
        bytes += f.files[i].bytes;
    status = summarise(&f, bytes, samples, out, err);
cleanup:
    mill_finished_close(&f);
    return status;
}
