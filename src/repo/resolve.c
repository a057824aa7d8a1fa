// resolve.c: from what a file imports to files of its repository. There is no build to ask for search paths,
// so a name is looked for where it would stand by convention, the nearest place first; where several files
// fit, the one that shares most directories with the file that asks, then the smallest path. A wrong guess
// costs an edge in an order, nothing else.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "repo/order_internal.h"

#define NONE UINT32_MAX
enum { PATH_MAX_BYTES = 4096, PARTS_MAX = 64, ANCESTORS_MAX = 16, CANDIDATES_MAX = 256 };

typedef struct suffix { // the end of a path, from a '/' on
    uint64_t hash;
    uint32_t node; // of a file, or number of a directory
} suffix;

typedef struct suffixes {
    suffix *items;
    size_t count, capacity;
} suffixes;

typedef struct text { // a stretch of a path or name
    const char *data;
    size_t bytes;
} text;

typedef struct directory {
    text path;
    uint32_t first, count; // of its files in files_by_directory
    uint32_t node[2];      // for files that end in .java, .go; NONE: not made yet
} directory;

typedef struct space { // a namespace that a file declares
    text name;
    uint32_t file;
} space;

typedef struct resolver {
    const mill_repo_file *files;
    const uint32_t *by_path;
    uint32_t count;
    suffixes ends, directory_ends;
    directory *directories;
    uint32_t directory_count;
    uint32_t *files_by_directory;
    space *spaces; // sorted by name, then file
    size_t space_count, space_capacity;
    uint32_t *space_nodes; // of the first entry of each name
    uint32_t nodes;
    mill_edges *edges;
    uint32_t self; // the file that asks
    char buffer[PATH_MAX_BYTES + MILL_IMPORT_NAME_MAX + 64];
    mill_error *err;
} resolver;

static text path_of(const resolver *r, uint32_t node)
{
    const mill_repo_file *file = &r->files[r->by_path[node]];
    return (text){file->path, file->path_bytes};
}

static int compare_text(text a, text b)
{
    const size_t n = a.bytes < b.bytes ? a.bytes : b.bytes;
    const int order = n != 0 ? memcmp(a.data, b.data, n) : 0;
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static text directory_of(text path)
{
    size_t bytes = path.bytes;
    while (bytes > 0 && path.data[bytes - 1] != '/')
        bytes--;
    return (text){path.data, bytes > 0 ? bytes - 1 : 0};
}

static bool ends_with(text path, const char *end)
{
    const size_t bytes = strlen(end);
    return path.bytes >= bytes && memcmp(path.data + path.bytes - bytes, end, bytes) == 0;
}

// ---- tables

static int compare_suffixes(const void *a, const void *b)
{
    const suffix *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

static mill_status add_suffixes(suffixes *list, text path, uint32_t node, mill_error *err)
{
    size_t parts = 0;
    for (size_t at = path.bytes; parts < PARTS_MAX && path.bytes != 0; at--) {
        if (at != 0 && path.data[at - 1] != '/')
            continue;
        if (at < path.bytes) {
            MILL_TRY(MILL_GROW(list->items, list->capacity, list->count + 1, err));
            list->items[list->count++] = (suffix){XXH3_64bits(path.data + at, path.bytes - at), node};
            parts++;
        }
        if (at == 0)
            break;
    }
    return MILL_OK;
}

static void sort_suffixes(suffixes *list)
{
    if (list->count != 0)
        qsort(list->items, list->count, sizeof *list->items, compare_suffixes);
}

typedef struct place { // a file in its directory
    text directory;
    uint32_t node;
} place;

static int compare_places(const void *a, const void *b)
{
    const place *x = a, *y = b;
    const int order = compare_text(x->directory, y->directory);
    return order != 0 ? order : (x->node > y->node) - (x->node < y->node);
}

static mill_status list_directories(resolver *r)
{
    place *places = mill_alloc_zero(r->count, sizeof *places);
    r->files_by_directory = mill_alloc_zero(r->count, sizeof *r->files_by_directory);
    r->directories = mill_alloc_zero(r->count, sizeof *r->directories);
    mill_status status = MILL_OK;
    if (places == NULL || r->files_by_directory == NULL || r->directories == NULL) {
        status = mill_fail_nomem(r->err, "the directories of a repository");
        goto cleanup;
    }
    for (uint32_t n = 0; n < r->count; n++)
        places[n] = (place){directory_of(path_of(r, n)), n};
    qsort(places, r->count, sizeof *places, compare_places);
    for (uint32_t i = 0; i < r->count; i++) {
        if (i == 0 || compare_text(places[i].directory, places[i - 1].directory) != 0) {
            r->directories[r->directory_count] = (directory){places[i].directory, i, 0, {NONE, NONE}};
            MILL_TRY_GOTO(
                add_suffixes(&r->directory_ends, places[i].directory, r->directory_count++, r->err));
        }
        r->directories[r->directory_count - 1].count++;
        r->files_by_directory[i] = places[i].node;
    }
    sort_suffixes(&r->directory_ends);
cleanup:
    mill_free(places);
    return status;
}

static int compare_spaces(const void *a, const void *b)
{
    const space *x = a, *y = b;
    const int order = compare_text(x->name, y->name);
    return order != 0 ? order : (x->file > y->file) - (x->file < y->file);
}

static text name_of(const mill_repo_file *file, const mill_import *import)
{
    return (text){(const char *)file->names + import->offset, import->bytes};
}

static mill_status list_spaces(resolver *r)
{
    for (uint32_t n = 0; n < r->count; n++) {
        const mill_repo_file *file = &r->files[r->by_path[n]];
        for (uint32_t i = 0; i < file->import_count; i++) {
            if (file->imports[i].kind != MILL_IMPORT_DECLARED)
                continue;
            MILL_TRY(MILL_GROW(r->spaces, r->space_capacity, r->space_count + 1, r->err));
            r->spaces[r->space_count++] = (space){name_of(file, &file->imports[i]), n};
        }
    }
    r->space_nodes = mill_alloc_zero(r->space_count + 1, sizeof *r->space_nodes);
    if (r->space_nodes == NULL)
        return mill_fail_nomem(r->err, "the namespaces of a repository");
    if (r->space_count != 0)
        qsort(r->spaces, r->space_count, sizeof *r->spaces, compare_spaces);
    return MILL_OK;
}

static mill_status list_files(resolver *r)
{
    for (uint32_t n = 0; n < r->count; n++)
        MILL_TRY(add_suffixes(&r->ends, path_of(r, n), n, r->err));
    sort_suffixes(&r->ends);
    MILL_TRY(list_directories(r));
    return list_spaces(r);
}

// ---- look-ups

// The file with exactly this path, or NONE; of several the first.
static uint32_t find_file(const resolver *r, text path)
{
    uint32_t low = 0, high = path.bytes != 0 ? r->count : 0;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (compare_text(path_of(r, middle), path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->count && compare_text(path_of(r, low), path) == 0 ? low : NONE;
}

// Directories that two paths have in common.
static size_t shared_parts(text a, text b)
{
    size_t parts = 0;
    for (size_t i = 0; i < a.bytes && i < b.bytes && a.data[i] == b.data[i]; i++)
        parts += a.data[i] == '/';
    return parts;
}

// The file or directory whose path ends with `end`, the nearest to the file that asks; NONE if there is none.
static uint32_t find_end(const resolver *r, const suffixes *list, text end)
{
    if (end.bytes == 0)
        return NONE;
    const suffix key = {XXH3_64bits(end.data, end.bytes), 0};
    size_t low = 0, high = list->count, best_parts = 0;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare_suffixes(&list->items[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t best = NONE;
    const text self = path_of(r, r->self);
    for (size_t i = low; i < list->count && list->items[i].hash == key.hash && i - low < CANDIDATES_MAX;
         i++) {
        const uint32_t node = list->items[i].node;
        const text path = list == &r->ends ? path_of(r, node) : r->directories[node].path;
        if (path.bytes < end.bytes || memcmp(path.data + path.bytes - end.bytes, end.data, end.bytes) != 0)
            continue;
        const size_t parts = shared_parts(path, self);
        if (best == NONE || parts > best_parts) {
            best = node;
            best_parts = parts;
        }
    }
    return best;
}

static mill_status need(resolver *r, uint32_t node, bool *found)
{
    if (node == NONE)
        return MILL_OK;
    *found = true;
    return node != r->self ? mill_edge_add(r->edges, node, r->self, r->err) : MILL_OK;
}

// All files of a directory that end like this, but for a file of that directory itself, which is part of it.
static mill_status need_directory(resolver *r, uint32_t number, bool go, bool *found)
{
    if (number == NONE)
        return MILL_OK;
    directory *d = &r->directories[number];
    if (compare_text(d->path, directory_of(path_of(r, r->self))) == 0) {
        *found = true;
        return MILL_OK;
    }
    if (d->node[go] == NONE) {
        uint32_t members = 0;
        for (uint32_t i = d->first; i < d->first + d->count; i++) {
            const text path = path_of(r, r->files_by_directory[i]);
            if (!ends_with(path, go ? ".go" : ".java") || (go && ends_with(path, "_test.go")))
                continue;
            MILL_TRY(mill_edge_add(r->edges, r->files_by_directory[i], r->nodes, r->err));
            members++;
        }
        if (members == 0)
            return MILL_OK;
        d->node[go] = r->nodes++;
    }
    return need(r, d->node[go], found);
}

// "base/name" with "." and ".." taken out, in r->buffer; bytes 0 if it leaves the repository or is too long.
static text join(resolver *r, text base, text name, const char *end)
{
    char *out = r->buffer;
    size_t bytes = base.bytes;
    if (base.bytes > PATH_MAX_BYTES)
        return (text){out, 0};
    if (bytes != 0 && base.data != out)
        memmove(out, base.data, bytes);
    for (size_t at = 0; at < name.bytes;) {
        size_t part = 0;
        while (at + part < name.bytes && name.data[at + part] != '/')
            part++;
        const char *data = name.data + at;
        at += part + 1;
        if (part == 0 || (part == 1 && data[0] == '.'))
            continue;
        if (part == 2 && data[0] == '.' && data[1] == '.') {
            if (bytes == 0)
                return (text){out, 0};
            while (bytes > 0 && out[bytes - 1] != '/')
                bytes--;
            bytes -= bytes > 0;
            continue;
        }
        if (bytes != 0)
            out[bytes++] = '/';
        memcpy(out + bytes, data, part);
        bytes += part;
    }
    const size_t end_bytes = strlen(end);
    memcpy(out + bytes, end, end_bytes);
    return (text){out, bytes + end_bytes};
}

static text up(text directory_path)
{
    return directory_of(directory_path);
}

// ---- Python

static uint32_t find_module(resolver *r, text base, text name)
{
    static const char *const ends[] = {".py", "/__init__.py", ".pyi"};
    if (name.bytes == 0)
        return find_file(r, join(r, base, name, base.bytes != 0 ? "/__init__.py" : "__init__.py"));
    uint32_t found = NONE;
    for (size_t i = 0; found == NONE && i < 3; i++)
        found = find_file(r, join(r, base, name, ends[i]));
    return found;
}

static uint32_t find_absolute(resolver *r, text name)
{
    text base = directory_of(path_of(r, r->self));
    for (size_t depth = 0; depth < ANCESTORS_MAX; depth++) {
        uint32_t found = find_module(r, base, name);
        if (found == NONE && base.bytes <= PATH_MAX_BYTES) {
            char source[PATH_MAX_BYTES + 8];
            const int bytes = snprintf(source, sizeof source, "%.*s%ssrc", (int)base.bytes, base.data,
                                       base.bytes != 0 ? "/" : "");
            found = find_module(r, (text){source, (size_t)bytes}, name);
        }
        if (found != NONE)
            return found;
        if (base.bytes == 0)
            break;
        base = up(base);
    }
    if (memchr(name.data, '/', name.bytes) == NULL)
        return NONE;
    const uint32_t found = find_end(r, &r->ends, join(r, (text){"", 0}, name, ".py"));
    return found != NONE ? found : find_end(r, &r->ends, join(r, (text){"", 0}, name, "/__init__.py"));
}

// Dots become slashes.
static text as_path(text name, char out[MILL_IMPORT_NAME_MAX + 1])
{
    for (size_t i = 0; i < name.bytes; i++)
        out[i] = name.data[i] == '.' ? '/' : name.data[i];
    return (text){out, name.bytes};
}

// The __init__.py of a package that the file is in is no need: it gathers what its modules define, so it
// comes after them.
static mill_status need_python(resolver *r, uint32_t node, bool *found)
{
    if (node == NONE)
        return MILL_OK;
    const text path = path_of(r, node), self = path_of(r, r->self);
    const size_t package =
        path.bytes - (ends_with(path, "__init__.py") ? strlen("__init__.py") : 0); // with its '/'
    if (package == path.bytes || package > self.bytes || memcmp(path.data, self.data, package) != 0)
        return need(r, node, found);
    *found = true;
    return MILL_OK;
}

// The module, or the one in which the last part of the name is something.
static mill_status need_module(resolver *r, text name, uint8_t level)
{
    char path[MILL_IMPORT_NAME_MAX + 1];
    bool found = false;
    text module = as_path(name, path), base = directory_of(path_of(r, r->self));
    for (uint8_t i = 1; i < level; i++) {
        if (base.bytes == 0)
            return MILL_OK; // leaves the repository
        base = up(base);
    }
    for (int attempt = 0; attempt < 2 && !found; attempt++) {
        if (level != 0)
            MILL_TRY(need_python(r, find_module(r, base, module), &found));
        else if (module.bytes != 0)
            MILL_TRY(need_python(r, find_absolute(r, module), &found));
        module = directory_of(module);
    }
    return MILL_OK;
}

// ---- JavaScript, TypeScript

static uint32_t find_script(resolver *r, text base, text path)
{
    static const char *const ends[] = {"",          ".ts",        ".tsx",      ".d.ts",     ".js",
                                       ".jsx",      ".mjs",       ".cjs",      ".mts",      ".cts",
                                       ".json",     ".vue",       ".svelte",   "/index.ts", "/index.tsx",
                                       "/index.js", "/index.jsx", "/index.mjs"};
    uint32_t found = NONE;
    for (size_t i = 0; found == NONE && i < sizeof ends / sizeof ends[0]; i++) {
        const text whole = join(r, base, path, ends[i]);
        found = whole.bytes != 0 ? find_file(r, whole) : NONE;
    }
    // TypeScript names what a file will be compiled to.
    static const char *const compiled[][2] = {
        {".js", ".ts"}, {".js", ".tsx"}, {".jsx", ".tsx"}, {".mjs", ".mts"}, {".cjs", ".cts"}};
    for (size_t i = 0; found == NONE && i < sizeof compiled / sizeof compiled[0]; i++) {
        if (!ends_with(path, compiled[i][0]))
            continue;
        const text stem = {path.data, path.bytes - strlen(compiled[i][0])},
                   whole = join(r, base, stem, compiled[i][1]);
        found = whole.bytes != 0 ? find_file(r, whole) : NONE;
    }
    return found;
}

static mill_status need_script(resolver *r, text name)
{
    bool found = false;
    const text root = {"", 0};
    text base = directory_of(path_of(r, r->self));
    if (name.data[0] == '.')
        return need(r, find_script(r, base, name), &found);
    if (name.data[0] == '/')
        return need(r, find_script(r, root, name), &found);
    const text rest = {name.data + 2, name.bytes - 2}; // "@/", "~/": the sources' own directory
    for (size_t depth = 0; !found && depth < ANCESTORS_MAX; depth++) {
        char source[PATH_MAX_BYTES + 8];
        if (base.bytes <= PATH_MAX_BYTES) {
            const int bytes = snprintf(source, sizeof source, "%.*s%ssrc", (int)base.bytes, base.data,
                                       base.bytes != 0 ? "/" : "");
            MILL_TRY(need(r, find_script(r, (text){source, (size_t)bytes}, rest), &found));
        }
        if (!found)
            MILL_TRY(need(r, find_script(r, base, rest), &found));
        if (base.bytes == 0)
            break;
        base = up(base);
    }
    return MILL_OK;
}

// ---- Java, C and C++, C#, Go

static mill_status need_class(resolver *r, text name, bool package)
{
    char path[MILL_IMPORT_NAME_MAX + 1];
    bool found = false;
    text at = as_path(name, path);
    for (int attempt = 0; attempt < (package ? 1 : 3) && !found && memchr(at.data, '/', at.bytes) != NULL;
         attempt++) {
        MILL_TRY(need(r, find_end(r, &r->ends, join(r, (text){"", 0}, at, ".java")), &found));
        at = found || package ? at : directory_of(at);
    }
    if (!package || found)
        return MILL_OK;
    return need_directory(r, find_end(r, &r->directory_ends, at), false, &found);
}

static mill_status need_header(resolver *r, text name, bool quoted)
{
    static const char *const places[] = {"", "include/", "src/"};
    bool found = false;
    text base = directory_of(path_of(r, r->self));
    for (size_t depth = 0; !found && depth < ANCESTORS_MAX; depth++) {
        for (size_t i = quoted ? 0 : 1; !found && i < (quoted ? 3 : 2); i++) {
            char below[16 + MILL_IMPORT_NAME_MAX + 1];
            const int bytes = snprintf(below, sizeof below, "%s%.*s", places[i], (int)name.bytes, name.data);
            const text whole = join(r, base, (text){below, (size_t)bytes}, "");
            MILL_TRY(need(r, whole.bytes != 0 ? find_file(r, whole) : NONE, &found));
        }
        if (base.bytes == 0)
            break;
        base = up(base);
    }
    if (found || (!quoted && memchr(name.data, '/', name.bytes) == NULL))
        return MILL_OK;
    return need(r, find_end(r, &r->ends, name), &found);
}

static mill_status need_space(resolver *r, text name)
{
    for (int attempt = 0; attempt < 2 && name.bytes != 0; attempt++) {
        const space key = {name, 0};
        size_t low = 0, high = r->space_count;
        while (low < high) {
            const size_t middle = low + (high - low) / 2;
            if (compare_spaces(&r->spaces[middle], &key) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        size_t end = low;
        bool own = false, found = false;
        for (; end < r->space_count && compare_text(r->spaces[end].name, name) == 0; end++)
            own = own || r->spaces[end].file == r->self;
        if (own) // it is part of what it uses
            return MILL_OK;
        if (end != low) {
            if (r->space_nodes[low] == 0) {
                r->space_nodes[low] = r->nodes++; // above every file, so not 0
                for (size_t i = low; i < end; i++)
                    if (i == low || r->spaces[i].file != r->spaces[i - 1].file)
                        MILL_TRY(mill_edge_add(r->edges, r->spaces[i].file, r->space_nodes[low], r->err));
            }
            return need(r, r->space_nodes[low], &found);
        }
        while (name.bytes > 0 && name.data[name.bytes - 1] != '.')
            name.bytes--;
        name.bytes -= name.bytes > 0;
    }
    return MILL_OK;
}

static uint32_t find_directory(const resolver *r, text path)
{
    uint32_t low = 0, high = r->directory_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (compare_text(r->directories[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->directory_count && compare_text(r->directories[low].path, path) == 0 ? low : NONE;
}

// The directory that a package's path leads to once its module's name is taken off: what go.mod calls the
// module is not known, so the longest end of the path that is a directory counts, or is the end of one. The
// standard library has no '.' in its first part.
static mill_status need_package(resolver *r, text name)
{
    const char *slash = memchr(name.data, '/', name.bytes);
    bool found = false;
    const bool is_module = slash != NULL && memchr(name.data, '.', (size_t)(slash - name.data)) != NULL;
    for (size_t parts = 0; slash != NULL && !found && parts < PARTS_MAX; parts++) {
        const text rest = {slash + 1, name.bytes - (size_t)(slash + 1 - name.data)};
        uint32_t number = find_directory(r, rest);
        slash = memchr(rest.data, '/', rest.bytes);
        if (number == NONE && is_module && slash != NULL)
            number = find_end(r, &r->directory_ends, rest);
        MILL_TRY(need_directory(r, number, true, &found));
        if (!is_module)
            break;
    }
    return MILL_OK;
}

static mill_status follow(resolver *r, const mill_import *import, text name)
{
    if (name.bytes == 0 && import->kind != MILL_IMPORT_MODULE)
        return MILL_OK;
    switch ((mill_import_kind)import->kind) {
    case MILL_IMPORT_MODULE: return need_module(r, name, import->level);
    case MILL_IMPORT_PATH: return need_script(r, name);
    case MILL_IMPORT_CLASS: return need_class(r, name, false);
    case MILL_IMPORT_PACKAGE: return need_class(r, name, true);
    case MILL_IMPORT_QUOTED: return need_header(r, name, true);
    case MILL_IMPORT_ANGLED: return need_header(r, name, false);
    case MILL_IMPORT_NAMESPACE: return need_space(r, name);
    case MILL_IMPORT_GO: return need_package(r, name);
    case MILL_IMPORT_DECLARED:
    case MILL_IMPORT_KINDS: break;
    }
    return MILL_OK;
}

static void close_resolver(resolver *r)
{
    mill_free(r->ends.items);
    mill_free(r->directory_ends.items);
    mill_free(r->directories);
    mill_free(r->files_by_directory);
    mill_free(r->spaces);
    mill_free(r->space_nodes);
    mill_free(r);
}

mill_status mill_repo_resolve(const mill_repo_file *files, const uint32_t *by_path, uint32_t count,
                              mill_edges *edges, uint32_t *nodes, mill_error *err)
{
    resolver *r = mill_alloc_zero(1, sizeof *r);
    if (r == NULL)
        return mill_fail_nomem(err, "the imports of a repository");
    *r = (resolver){
        .files = files, .by_path = by_path, .count = count, .nodes = count, .edges = edges, .err = err};
    mill_status status = list_files(r);
    for (uint32_t n = 0; status == MILL_OK && n < count; n++) {
        const mill_repo_file *file = &files[by_path[n]];
        r->self = n;
        for (uint32_t i = 0; status == MILL_OK && i < file->import_count; i++)
            status = follow(r, &file->imports[i], name_of(file, &file->imports[i]));
    }
    *nodes = r->nodes;
    close_resolver(r);
    return status;
}
