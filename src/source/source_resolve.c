// source_resolve.c: from command-line arguments to inputs: files, record directories, source trees.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "source/source_internal.h"
#include "source/source_parquet.h"

enum { SNIFF_BYTES = 4096, GIT_CONFIG_BYTES_MAX = 1 << 20 };

void mill_tree_free(mill_tree *tree)
{
    if (tree == NULL)
        return;
    mill_buf_free(&tree->names);
    mill_free(tree->files);
    mill_free(tree->repo);
    mill_free(tree);
}

static bool ends_with(const char *text, size_t bytes, const char *end)
{
    size_t length = strlen(end);
    return bytes >= length && memcmp(text + bytes - length, end, length) == 0;
}

static bool has_record_suffix(const char *path)
{
    if (mill_has_parquet_suffix(path))
        return true;
    static const char *const suffixes[] = {".jsonl", ".ndjson", ".json"};
    size_t bytes = strlen(path);
    if (ends_with(path, bytes, ".gz"))
        bytes -= 3;
    else if (ends_with(path, bytes, ".zst"))
        bytes -= 4;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (ends_with(path, bytes, suffixes[i]))
            return true;
    return false;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

// first + separator + second as a new string.
static char *join(const char *first, const char *separator, const char *second)
{
    size_t a = strlen(first), b = strlen(separator), c = strlen(second);
    char *text = mill_alloc(a + b + c + 1);
    if (text != NULL) {
        memcpy(text, first, a);
        memcpy(text + a, separator, b);
        memcpy(text + a + b, second, c + 1);
    }
    return text;
}

// Names go into JSON and manifests: what is not UTF-8 in a file name becomes U+FFFD.
static char *to_utf8(const char *text)
{
    size_t bytes = strlen(text);
    char *out = mill_alloc(bytes * 3 + 1);
    uint64_t replaced;
    if (out != NULL)
        out[mill_utf8_replace((const uint8_t *)text, bytes, (uint8_t *)out, &replaced)] = '\0';
    return out;
}

// ---- listing a directory

typedef struct walk {
    const mill_fs *fs;
    const char *root;
    bool follow_links;
    mill_tree *tree;
    uint64_t bytes, skipped;
    mill_buf pending;   // NUL-terminated directories below the root that are not listed yet, as a stack
    size_t *pending_at; // where each begins
    size_t pending_count, pending_capacity;
} walk;

static mill_status push_directory(walk *w, const char *path, mill_error *err)
{
    MILL_TRY(MILL_GROW(w->pending_at, w->pending_capacity, w->pending_count + 1, err));
    w->pending_at[w->pending_count++] = w->pending.bytes;
    return mill_buf_append(&w->pending, path, strlen(path) + 1, err);
}

// `collect` keeps a record beside what it fetched, which is nobody's data.
static bool is_collect_record(const walk *w, const char *path)
{
    if (strcmp(path, "collect.json") != 0)
        return false;
    char *state = join(w->root, "/", ".shardmill");
    mill_file_info info;
    bool ours = state != NULL && w->fs->ops->info(w->fs->self, MILL_FS_CWD, state, false, &info) >= 0 &&
                info.kind == MILL_FILE_DIRECTORY;
    mill_free(state);
    return ours;
}

// Links: one that stays inside the tree names a file that is read anyway, one that leaves it is not wanted.
// So all are skipped and counted, unless the user follows links; even then only links to files count, because
// links to directories can form loops.
static mill_status visit(walk *w, const char *path, const char *name, mill_error *err)
{
    if (is_collect_record(w, path))
        return MILL_OK;
    char *full = join(w->root, "/", path);
    if (full == NULL)
        return mill_fail_nomem(err, "listing a directory");
    mill_file_info info = {.kind = MILL_FILE_OTHER};
    bool found = w->fs->ops->info(w->fs->self, MILL_FS_CWD, full, false, &info) >= 0;
    bool is_link = found && info.kind == MILL_FILE_LINK;
    if (is_link && w->follow_links)
        found = w->fs->ops->info(w->fs->self, MILL_FS_CWD, full, true, &info) >= 0;
    mill_free(full);
    if (found && info.kind == MILL_FILE_DIRECTORY && !is_link)
        return *name == '.' ? MILL_OK : push_directory(w, path, err);
    if (!found || info.kind != MILL_FILE_REGULAR) {
        w->skipped++;
        return MILL_OK;
    }
    mill_tree *tree = w->tree;
    MILL_TRY(MILL_GROW(tree->files, tree->capacity, tree->count + 1, err));
    tree->files[tree->count++] = (mill_tree_file){tree->names.bytes, info.bytes, is_link};
    w->bytes += info.bytes;
    return mill_buf_append(&tree->names, path, strlen(path) + 1, err);
}

static mill_status list_one(walk *w, const char *directory, mill_error *err)
{
    char *full = *directory == '\0' ? mill_strdup(w->root) : join(w->root, "/", directory);
    if (full == NULL)
        return mill_fail_nomem(err, "listing a directory");
    char **names = NULL;
    size_t count = 0;
    mill_status status = mill_fs_list(w->fs, MILL_FS_CWD, full, &names, &count, err);
    mill_free(full);
    for (size_t i = 0; i < count && status == MILL_OK; i++) {
        char *path = *directory == '\0' ? mill_strdup(names[i]) : join(directory, "/", names[i]);
        status = path == NULL ? mill_fail_nomem(err, "listing a directory") : visit(w, path, names[i], err);
        mill_free(path);
    }
    mill_fs_names_free(names, count);
    return status;
}

static int compare_paths(const void *a, const void *b, void *names)
{
    const mill_tree_file *left = a, *right = b;
    return strcmp((const char *)names + left->path, (const char *)names + right->path);
}

static mill_status list_tree(walk *w, mill_error *err)
{
    mill_status status = push_directory(w, "", err);
    while (status == MILL_OK && w->pending_count != 0) {
        size_t at = w->pending_at[--w->pending_count];
        char *directory = mill_strdup((const char *)w->pending.data + at);
        w->pending.bytes = at;
        status =
            directory == NULL ? mill_fail_nomem(err, "listing a directory") : list_one(w, directory, err);
        mill_free(directory);
    }
    mill_buf_free(&w->pending);
    mill_free(w->pending_at);
    if (status == MILL_OK && w->tree->count != 0)
        qsort_r(w->tree->files, w->tree->count, sizeof *w->tree->files, compare_paths, w->tree->names.data);
    return status;
}

// ---- the name of a tree's repository

// The part of one configuration line after "key =", or NULL if the line sets another key.
static const char *config_value(const char *line, size_t bytes, const char *key, size_t *length)
{
    size_t i = 0, n = strlen(key);
    while (i < bytes && (line[i] == ' ' || line[i] == '\t'))
        i++;
    if (bytes - i < n || memcmp(line + i, key, n) != 0)
        return NULL;
    i += n;
    while (i < bytes && (line[i] == ' ' || line[i] == '\t'))
        i++;
    if (i == bytes || line[i] != '=')
        return NULL;
    i++;
    while (i < bytes && (line[i] == ' ' || line[i] == '\t' || line[i] == '"'))
        i++;
    while (bytes > i && strchr(" \t\r\"/", line[bytes - 1]) != NULL)
        bytes--;
    *length = bytes - i;
    return line + i;
}

static const char *find_text(const char *text, size_t bytes, const char *wanted)
{
    return bytes == 0 ? NULL : memmem(text, bytes, wanted, strlen(wanted));
}

// https://user:token@host/owner/name.git, git@host:owner/name.git, /srv/name.git: keeps owner/name, or name
// for a local path.
static mill_status append_repository(const char *url, size_t bytes, mill_buf *out, mill_error *err)
{
    if (ends_with(url, bytes, ".git"))
        bytes -= 4;
    const char *end = url + bytes, *scheme = find_text(url, bytes, "://");
    const char *path = url;
    bool hosted = true;
    if (scheme != NULL) {
        path = memchr(scheme + 3, '/', (size_t)(end - scheme - 3));
        path = path != NULL ? path + 1 : end;
        hosted = memcmp(url, "file", 4) != 0;
    } else {
        const char *colon = bytes != 0 ? memchr(url, ':', bytes) : NULL;
        const char *slash = bytes != 0 ? memchr(url, '/', bytes) : NULL;
        hosted = colon != NULL && (slash == NULL || colon < slash);
        path = hosted ? colon + 1 : url;
    }
    const char *begin = end;
    for (int parts = hosted ? 2 : 1; begin > path; begin--)
        if (begin[-1] == '/' && --parts == 0)
            break;
    size_t length = (size_t)(end - begin), bad;
    for (size_t i = 0; i < length; i++)
        if ((uint8_t)begin[i] < 0x20 || begin[i] == 0x7f || begin[i] == '@')
            return MILL_OK; // no name that we would print
    if (!mill_utf8_valid((const uint8_t *)begin, length, &bad))
        return MILL_OK;
    return mill_buf_append(out, begin, length, err);
}

mill_status mill_git_origin(const char *config, size_t bytes, mill_buf *out, mill_error *err)
{
    mill_buf_clear(out);
    bool inside = false;
    for (size_t at = 0; at < bytes;) {
        const char *line = config + at;
        const char *newline = memchr(line, '\n', bytes - at);
        size_t length = newline != NULL ? (size_t)(newline - line) : bytes - at;
        at += length + 1;
        size_t value_bytes;
        const char *value = config_value(line, length, "url", &value_bytes);
        if (length != 0 && *line == '[')
            inside = find_text(line, length, "[remote \"origin\"]") == line;
        else if (inside && value != NULL)
            return append_repository(value, value_bytes, out, err);
    }
    return MILL_OK;
}

static mill_status find_repository(const mill_fs *fs, mill_tree *tree, const char *root, const char *name,
                                   mill_error *err)
{
    char *path = join(root, "/", ".git/config");
    if (path == NULL)
        return mill_fail_nomem(err, "the name of a repository");
    mill_buf config = {0}, repo = {0};
    mill_status status = MILL_OK;
    // An unreadable configuration costs the name only.
    if (mill_fs_exists(fs, MILL_FS_CWD, path) &&
        mill_fs_read_file(fs, MILL_FS_CWD, path, MILL_OPEN_READ, GIT_CONFIG_BYTES_MAX, &config, NULL) ==
            MILL_OK)
        status = mill_git_origin((const char *)config.data, config.bytes, &repo, err);
    if (status == MILL_OK) {
        bool nameless = strcmp(name, ".") == 0 ||
                        strcmp(name, "..") == 0; // the working directory's own name must not show
        tree->repo = repo.bytes != 0 ? mill_strndup((const char *)repo.data, repo.bytes)
                                     : mill_strdup(nameless ? "" : name);
        if (tree->repo == NULL)
            status = mill_fail_nomem(err, "the name of a repository");
    }
    mill_free(path);
    mill_buf_free(&config);
    mill_buf_free(&repo);
    return status;
}

// ---- inputs

// Takes name and path (freed on failure).
static mill_status add_entry(mill_source *source, char *name, char *path, uint64_t file_bytes,
                             mill_error *err)
{
    mill_status status = name == NULL || path == NULL
                             ? mill_fail_nomem(err, "the list of inputs")
                             : MILL_GROW(source->entries, source->capacity, source->count + 1, err);
    if (status == MILL_OK && source->count >= UINT32_MAX)
        status = mill_fail(err, MILL_INPUT, "more than %u inputs", UINT32_MAX);
    if (status != MILL_OK) {
        mill_free(name);
        mill_free(path);
        return status;
    }
    mill_source_entry *entry = &source->entries[source->count++];
    *entry = (mill_source_entry){.name = name, .path = path};
    entry->info.file_bytes = file_bytes;
    entry->info.files = 1;
    return MILL_OK;
}

// True if the reason lies in what was named, not in the machine.
static bool blames_argument(int sys_errno)
{
    static const int reasons[] = {0, ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, ELOOP, ENAMETOOLONG, EINVAL, ENXIO, ENODEV};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i] == sys_errno)
            return true;
    }
    return false;
}

// An argument that cannot be opened is a refused input, not a failing disk.
static mill_status refuse(mill_status status, mill_error *err)
{
    if (status != MILL_IO || (err != NULL && !blames_argument(err->sys_errno)))
        return status;
    if (err != NULL)
        err->status = MILL_INPUT;
    return MILL_INPUT;
}

typedef enum sniffed { SNIFFED_LINES, SNIFFED_PARQUET, SNIFFED_POSTS, SNIFFED_ARCHIVE } sniffed;

// Files of unknown suffix are taken if they look like JSON lines, Parquet, an archive, or the posts of a Stack Exchange dump.
static mill_status sniff(const mill_fs *fs, const char *path, sniffed *kind, mill_error *err)
{
    mill_stream *stream;
    MILL_TRY(refuse(mill_stream_open(fs, MILL_FS_CWD, path, &stream, err), err));
    uint8_t head[SNIFF_BYTES];
    size_t got = 0;
    mill_status status = mill_stream_read(stream, head, sizeof head, &got, err);
    mill_status closed = mill_stream_close(stream, status == MILL_OK ? err : NULL);
    MILL_TRY(status);
    MILL_TRY(closed);
    size_t at = got >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < got && strchr(" \t\r\n", head[at]) != NULL && head[at] != '\0')
        at++;
    bool is_posts = at < got && head[at] == '<' && memmem(head + at, got - at, "<posts", 6) != NULL;
    *kind = is_posts                                       ? SNIFFED_POSTS
            : got >= 4 && memcmp(head, "PAR1", 4) == 0 ? SNIFFED_PARQUET
            : mill_is_archive_head(head, got)          ? SNIFFED_ARCHIVE
                                                       : SNIFFED_LINES;
    if (at < got && head[at] != '{' && *kind == SNIFFED_LINES)
        return mill_fail(err, MILL_INPUT,
                         "%s: no JSON lines (they begin with '{'); give a .jsonl, .ndjson or .json file (.gz "
                         "and .zst too), a .parquet file, an archive (.tar, .tar.gz, .zip, .7z ...) or a "
                         "directory, or force it with --input-format jsonl (or text: the file is one record)",
                         path);
    return MILL_OK;
}

// One file that is one record: a tree that holds nothing else.
static mill_status add_single_file(mill_source *source, const char *argument, const mill_file_info *info, mill_error *err)
{
    const char *name = base_name(argument);
    size_t root_bytes = (size_t)(name - argument);
    mill_tree *tree = mill_alloc_zero(1, sizeof *tree);
    mill_status status = tree != NULL ? MILL_GROW(tree->files, tree->capacity, 1, err) : mill_fail_nomem(err, "the list of inputs");
    if (status == MILL_OK)
        status = mill_buf_append(&tree->names, name, strlen(name) + 1, err);
    if (status == MILL_OK && (tree->repo = mill_strdup("")) == NULL)
        status = mill_fail_nomem(err, "the list of inputs");
    if (status == MILL_OK)
        status = add_entry(source, to_utf8(name),
                           root_bytes > 1    ? mill_strndup(argument, root_bytes - 1)
                           : root_bytes == 1 ? mill_strdup("/")
                                             : mill_strdup("."),
                           info->bytes, err);
    if (status != MILL_OK) {
        mill_tree_free(tree);
        return status;
    }
    tree->files[tree->count++] = (mill_tree_file){.bytes = info->bytes, .is_link = true}; // named by the user: links are followed
    mill_source_entry *entry = &source->entries[source->count - 1];
    entry->tree = tree;
    entry->info.is_tree = true;
    return MILL_OK;
}

// Files that are one record by their name: known to the language table, and no data.
static bool is_single_file(const mill_source *source, const char *argument)
{
    static const char *const data[] = {"json", "jsonl", "csv", "tsv", "xml", "yaml", "json5", NULL};
    if (mill_source_format_is(source, "text") || mill_source_format_is(source, "notebook"))
        return true;
    const char *name = base_name(argument);
    mill_language_id language = mill_language_from_path(source->languages, name, strlen(name));
    const char *known = mill_language_get(source->languages, language)->name;
    for (size_t i = 0; data[i] != NULL; i++)
        if (strcmp(known, data[i]) == 0)
            return false;
    return language != MILL_LANGUAGE_OTHER;
}

// The last entry is a Parquet file: whether it can be read is found out now, not hours later.
static mill_status mark_parquet(mill_source *source, mill_error *err)
{
    mill_source_entry *entry = &source->entries[source->count - 1];
    entry->info.is_parquet = true;
    return refuse(mill_parquet_check(source, entry, err), err);
}

// The entry that was added last is an archive.
static mill_status mark_archive(mill_source *source, mill_error *err)
{
    mill_source_entry *entry = &source->entries[source->count - 1];
    entry->info.is_archive = true;
    entry->repo = mill_archive_repo(base_name(entry->name));
    return entry->repo != NULL ? mill_archive_check(entry->name, err) : mill_fail_nomem(err, "the list of inputs");
}

static mill_status add_file(mill_source *source, const char *argument, const mill_file_info *info,
                            mill_error *err)
{
    const char *format = source->options.format;
    bool tree = mill_source_format_is(source, "tree");
    if (tree && (info->kind != MILL_FILE_REGULAR || !mill_has_archive_suffix(argument)))
        return mill_fail(err, MILL_INPUT, "%s: --input-format tree wants a directory or an archive", argument);
    bool automatic = format == NULL || strcmp(format, "auto") == 0;
    bool data = mill_source_format_is(source, "jsonl") || mill_source_format_is(source, "parquet") ||
                mill_source_format_is(source, "stackexchange") || tree ||
                (automatic && (has_record_suffix(argument) || mill_has_archive_suffix(argument)));
    if (info->kind == MILL_FILE_REGULAR && !data && is_single_file(source, argument)) {
        int file; // found out now, not hours later
        MILL_TRY(refuse(mill_fs_open(source->fs, MILL_FS_CWD, argument, MILL_OPEN_READ, &file, err), err));
        MILL_TRY(mill_fs_close(source->fs, file, argument, err));
        return add_single_file(source, argument, info, err);
    }
    bool regular = info->kind == MILL_FILE_REGULAR;
    bool named_archive = mill_has_archive_suffix(argument) && regular && !mill_source_format_is(source, "jsonl");
    sniffed kind = named_archive                                  ? SNIFFED_ARCHIVE
                   : mill_source_format_is(source, "stackexchange") ? SNIFFED_POSTS
                   : mill_source_format_is(source, "parquet") ||
                           (!mill_source_format_is(source, "jsonl") && mill_has_parquet_suffix(argument))
                       ? SNIFFED_PARQUET
                       : SNIFFED_LINES;
    if (kind == SNIFFED_PARQUET && !regular)
        return mill_fail(err, MILL_INPUT, "%s: Parquet is read from regular files only", argument);
    if (kind == SNIFFED_PARQUET) {
        // looked into below
    } else if (regular && kind == SNIFFED_LINES && !mill_source_format_is(source, "jsonl") && !has_record_suffix(argument)) {
        MILL_TRY(sniff(source->fs, argument, &kind, err));
    } else if (regular) { // found out now, not hours later
        int file;
        MILL_TRY(refuse(mill_fs_open(source->fs, MILL_FS_CWD, argument, MILL_OPEN_READ, &file, err), err));
        MILL_TRY(mill_fs_close(source->fs, file, argument, err));
    }
    MILL_TRY(add_entry(source, to_utf8(base_name(argument)), mill_strdup(argument), regular ? info->bytes : 0, err));
    source->entries[source->count - 1].info.is_posts = kind == SNIFFED_POSTS;
    if (kind == SNIFFED_ARCHIVE)
        return mark_archive(source, err);
    return kind == SNIFFED_PARQUET ? mark_parquet(source, err) : MILL_OK;
}

static bool is_hidden(const char *path)
{
    return *base_name(path) == '.';
}

static bool is_posts_file(const char *path)
{
    return strcmp(base_name(path), "Posts.xml") == 0;
}

static bool has_posts(const mill_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        if (is_posts_file(mill_tree_path(tree, i)))
            return true;
    }
    return false;
}

bool mill_is_other_table(const char *name)
{
    static const char *const tables[] = {"Badges.xml", "Comments.xml", "PostHistory.xml", "PostLinks.xml",
                                         "Tags.xml",   "Users.xml",    "Votes.xml"};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        if (strcmp(name, tables[i]) == 0)
            return true;
    }
    return false;
}

// Nothing but files of records, archives, and dumps with their posts.
static bool is_record_directory(const mill_tree *tree)
{
    size_t records = 0, tables = 0;
    for (size_t i = 0; i < tree->count; i++) {
        const char *path = mill_tree_path(tree, i);
        if (is_hidden(path))
            continue;
        if (has_record_suffix(path) || mill_has_archive_suffix(path) || is_posts_file(path))
            records++;
        else if (mill_is_other_table(base_name(path)))
            tables++;
        else
            return false;
    }
    return records != 0 && (tables == 0 || has_posts(tree));
}

static mill_status add_record_files(mill_source *source, const mill_tree *tree, const char *root,
                                    const char *name, mill_error *err)
{
    const bool as_lines = mill_source_format_is(source, "jsonl"), only_posts = mill_source_format_is(source, "stackexchange");
    for (size_t i = 0; i < tree->count; i++) {
        const char *path = mill_tree_path(tree, i);
        const char *format = source->options.format;
        const bool is_posts = is_posts_file(path) && !as_lines;
        bool is_parquet = mill_has_parquet_suffix(path), only = format != NULL && strcmp(format, "parquet") == 0;
        if (is_hidden(path) || (only && !is_parquet)) // data sets keep a README.md and the like beside their files
            continue;
        if (!is_posts && (only_posts || (!as_lines && mill_is_other_table(base_name(path)))))
            continue;
        is_parquet = is_parquet && (only || format == NULL || strcmp(format, "jsonl") != 0);
        char *below = to_utf8(path);
        char *full_name = below != NULL ? join(name, "/", below) : NULL;
        mill_free(below);
        MILL_TRY(add_entry(source, full_name, join(root, "/", path), tree->files[i].bytes, err));
        source->entries[source->count - 1].info.is_posts = is_posts;
        if (is_parquet)
            MILL_TRY(mark_parquet(source, err));
        else if (mill_has_archive_suffix(path))
            MILL_TRY(mark_archive(source, err));
    }
    return MILL_OK;
}

// JSON, one value a file, is as often source as data.
static void count_record_files(const mill_tree *tree, mill_input_info *info)
{
    for (size_t i = 0; i < tree->count; i++) {
        const char *path = mill_tree_path(tree, i);
        if (is_hidden(path) || !has_record_suffix(path) || ends_with(path, strlen(path), ".json"))
            continue;
        info->record_files++;
        info->record_bytes += tree->files[i].bytes;
    }
}

// Takes the tree when it becomes an input; otherwise it is freed here.
static mill_status add_listed(mill_source *source, mill_tree *tree, const walk *w, const char *name,
                              mill_error *err)
{
    const char *format = source->options.format;
    bool automatic = format == NULL || strcmp(format, "auto") == 0;
    const bool named = !automatic && (strcmp(format, "jsonl") == 0 || strcmp(format, "parquet") == 0 ||
                                      (strcmp(format, "stackexchange") == 0 && has_posts(tree)));
    if (automatic ? is_record_directory(tree) : named) {
        mill_status status = add_record_files(source, tree, w->root, name, err);
        mill_tree_free(tree);
        return status;
    }
    mill_status status = find_repository(source->fs, tree, w->root, name, err);
    if (status == MILL_OK)
        status = add_entry(source, mill_strdup(name), mill_strdup(w->root), w->bytes, err);
    if (status != MILL_OK) {
        mill_tree_free(tree);
        return status;
    }
    mill_source_entry *entry = &source->entries[source->count - 1];
    entry->tree = tree;
    entry->info.is_tree = true;
    entry->info.files = tree->count;
    entry->info.skipped_other = w->skipped;
    count_record_files(tree, &entry->info);
    return MILL_OK;
}

static mill_status add_directory(mill_source *source, const char *root, mill_error *err)
{
    mill_tree *tree = mill_alloc_zero(1, sizeof *tree);
    char *name = to_utf8(base_name(root));
    mill_status status = tree != NULL && name != NULL ? MILL_OK : mill_fail_nomem(err, "the list of inputs");
    walk w = {.fs = source->fs, .root = root, .follow_links = source->options.follow_links, .tree = tree};
    if (status == MILL_OK)
        status = refuse(list_tree(&w, err), err);
    if (status == MILL_OK)
        status = add_listed(source, tree, &w, *name != '\0' ? name : ".", err);
    else
        mill_tree_free(tree);
    mill_free(name);
    return status;
}

static mill_status add_argument(mill_source *source, const char *argument, mill_error *err)
{
    const char *format = source->options.format;
    if (strcmp(argument, "-") == 0 && format != NULL && strcmp(format, "parquet") == 0)
        return mill_fail(err, MILL_INPUT, "Parquet is read from its end, so it cannot come through standard input; give a file");
    if (strcmp(argument, "-") == 0)
        return add_entry(source, mill_strdup("-"), mill_strdup("-"), 0, err);
    mill_file_info info;
    int result = *argument == '\0'
                     ? -ENOENT
                     : source->fs->ops->info(source->fs->self, MILL_FS_CWD, argument, true, &info);
    if (result < 0 && !blames_argument(-result))
        return mill_fail_errno(err, -result, "%s: cannot look at it", argument);
    if (result < 0)
        return mill_fail(err, MILL_INPUT, "%s: %s; check the input arguments", argument, strerror(-result));
    if (info.kind != MILL_FILE_DIRECTORY)
        return add_file(source, argument, &info, err);
    size_t bytes = strlen(argument);
    while (bytes > 1 && argument[bytes - 1] == '/')
        bytes--;
    char *root = mill_strndup(argument, bytes);
    mill_status status =
        root != NULL ? add_directory(source, root, err) : mill_fail_nomem(err, "the list of inputs");
    mill_free(root);
    return status;
}

// ---- unique names

static int compare_names(const void *a, const void *b, void *entries)
{
    const mill_source_entry *all = entries;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    int order = strcmp(all[left].name, all[right].name);
    return order != 0 ? order : (left > right) - (left < right);
}

// Later inputs of one name become NAME#2, NAME#3, ...; again until nothing is left to do, as a file may be
// called so already.
static mill_status make_names_unique(mill_source *source, mill_error *err)
{
    uint32_t *order = mill_realloc_array(NULL, source->count + 1, sizeof *order);
    if (order == NULL)
        return mill_fail_nomem(err, "the list of inputs");
    mill_status status = MILL_OK;
    for (bool changed = true; changed && status == MILL_OK;) {
        changed = false;
        for (uint32_t i = 0; i < source->count; i++)
            order[i] = i;
        qsort_r(order, source->count, sizeof *order, compare_names, source->entries);
        for (size_t i = 1, first = 0; i < source->count && status == MILL_OK; i++) {
            mill_source_entry *entry = &source->entries[order[i]];
            if (strcmp(entry->name, source->entries[order[first]].name) != 0) {
                first = i;
                continue;
            }
            mill_buf name = {0};
            status = mill_buf_printf(&name, err, "%s#%zu", entry->name, i - first + 1);
            if (status != MILL_OK) {
                mill_buf_free(&name);
                break;
            }
            mill_free(entry->name);
            entry->name = (char *)name.data; // mill_buf_printf leaves a NUL behind it
            changed = true;
        }
    }
    mill_free(order);
    return status;
}

mill_status mill_source_resolve(mill_source *source, const char *const *arguments, size_t count,
                                mill_error *err)
{
    for (size_t i = 0; i < count; i++)
        MILL_TRY(add_argument(source, arguments[i], err));
    MILL_TRY(make_names_unique(source, err));
    for (size_t i = 0; i < source->count; i++) {
        source->entries[i].info.name = source->entries[i].name;
        source->entries[i].info.path = source->entries[i].path;
    }
    return MILL_OK;
}
