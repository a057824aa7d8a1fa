// source_tree.c: the files of a source tree, one record each. Many small files share a block.
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"
#include "source/source_internal.h"

enum { BINARY_BYTES = 8000, CHUNK_BYTES = 1 << 20 };

mill_status mill_tree_open(mill_source *source, mill_source_entry *entry, mill_error *err)
{
    (void)entry;
    source->next_file = 0;
    source->tree_sha256 = mill_sha256_create();
    return source->tree_sha256 != NULL ? MILL_OK : mill_fail_nomem(err, "hashing a tree");
}

void mill_tree_close(mill_source *source, mill_source_entry *entry)
{
    uint8_t digest[32];
    mill_sha256_finish(source->tree_sha256, digest);
    source->tree_sha256 = NULL;
    mill_hex(digest, sizeof digest, entry->info.sha256);
}

// One line of the tree's digest: path, NUL, size, NUL, SHA-256 of the content, newline.
static void hash_file_line(mill_source *source, const char *path, uint64_t bytes, void *content_sha256)
{
    uint8_t digest[32];
    char hex[65], size[24];
    mill_sha256_finish(content_sha256, digest);
    mill_hex(digest, sizeof digest, hex);
    hex[64] = '\n'; // over the NUL
    int digits = snprintf(size, sizeof size, "%llu", (unsigned long long)bytes);
    mill_sha256_update(source->tree_sha256, path, strlen(path) + 1);
    mill_sha256_update(source->tree_sha256, size, (size_t)digits + 1);
    mill_sha256_update(source->tree_sha256, hex, 65);
}

static mill_status changed(const char *path, mill_error *err)
{
    return mill_fail(err, MILL_INPUT,
                     "%s: changed while it was read; run again when nothing writes to the inputs", path);
}

// Reads the file behind the block's bytes, hashing it; one that is kept stays there, of others only the hash.
static mill_status read_file(mill_source *source, int file, const char *name, const mill_tree_file *listed,
                             bool keep, mill_block *block, void *sha256, mill_error *err)
{
    uint64_t total = 0;
    size_t begin = block->bytes.bytes;
    for (;;) {
        uint64_t left = listed->bytes - total + 1; // one more than there should be, to see a file that grows
        size_t want = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES, got = 0;
        MILL_TRY(mill_buf_reserve(&block->bytes, want, err));
        uint8_t *to = block->bytes.data + block->bytes.bytes;
        MILL_TRY(mill_fs_read(source->fs, file, name, to, want, &got, err));
        mill_sha256_update(sha256, to, got);
        total += got;
        if (keep)
            block->bytes.bytes += got;
        if (total > listed->bytes || (got < want && total < listed->bytes)) {
            block->bytes.bytes = begin;
            return changed(name, err);
        }
        if (got < want)
            return MILL_OK;
    }
}

static mill_status open_and_read(mill_source *source, mill_source_entry *entry, const mill_tree_file *listed,
                                 bool keep, mill_block *block, mill_error *err)
{
    const char *path = (const char *)entry->tree->names.data + listed->path;
    mill_buf full = {0};
    void *sha256 = NULL;
    int file = -1;
    mill_status status = mill_buf_printf(&full, err, "%s/%s", entry->path, path);
    if (status != MILL_OK)
        goto cleanup;
    const char *name = (const char *)full.data;
    MILL_TRY_GOTO(mill_fs_open(source->fs, MILL_FS_CWD, name,
                               listed->is_link ? MILL_OPEN_READ : MILL_OPEN_READ_OWN, &file, err));
    sha256 = mill_sha256_create();
    status = sha256 != NULL ? MILL_OK : mill_fail_nomem(err, "hashing a file");
    if (status == MILL_OK)
        status = read_file(source, file, name, listed, keep, block, sha256, err);
    mill_status closed = mill_fs_close(source->fs, file, name, status == MILL_OK ? err : NULL);
    if (status == MILL_OK)
        status = closed;
    if (status == MILL_OK)
        hash_file_line(source, path, listed->bytes, sha256);
    else
        mill_sha256_destroy(sha256);
cleanup:
    mill_buf_free(&full);
    return status;
}

// What is in the block from `begin` on becomes a record, unless it is binary.
static mill_status add_file(mill_source *source, mill_source_entry *entry, mill_block *block, size_t begin,
                            mill_error *err)
{
    const char *path = mill_tree_path(entry->tree, source->next_file);
    size_t bytes = block->bytes.bytes - begin;
    bool wide = source->options.shape.declared_encodings && mill_has_wide_bom(block->bytes.data + begin, bytes);
    if (!wide && memchr(block->bytes.data + begin, '\0', bytes < BINARY_BYTES ? bytes : BINARY_BYTES) != NULL) {
        block->bytes.bytes = begin;
        entry->info.skipped_binary++;
        return MILL_OK;
    }
    if (block->paths.bytes + strlen(path) >= UINT32_MAX)
        return mill_fail_nomem(err, "more than 4 GiB of paths in one block");
    mill_block_piece piece = {.input = (uint32_t)source->current,
                              .first_record = source->next_file + 1,
                              .begin = begin,
                              .bytes = bytes,
                              .path = (uint32_t)block->paths.bytes};
    MILL_TRY(mill_buf_append(&block->paths, path, strlen(path) + 1, err));
    MILL_TRY(mill_block_add_piece(block, &piece, err));
    source->block_records++;
    entry->info.records++;
    return MILL_OK;
}

static mill_status add_too_long(mill_source *source, mill_source_entry *entry, mill_block *block,
                                mill_error *err)
{
    mill_quarantined row = {.input = (uint32_t)source->current,
                            .record = source->next_file + 1,
                            .length = entry->tree->files[source->next_file].bytes,
                            .reason = MILL_QUARANTINE_TOO_LONG};
    source->block_records++;
    entry->info.records++;
    return mill_quarantine_add(&block->quarantine, &row, mill_tree_path(entry->tree, source->next_file), err,
                               "longer than %llu bytes",
                               (unsigned long long)source->options.record_bytes_max);
}

mill_status mill_tree_fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                           mill_error *err)
{
    *ended = false;
    for (; source->next_file < entry->tree->count; source->next_file++) {
        const mill_tree_file *file = &entry->tree->files[source->next_file];
        bool too_long = file->bytes > source->options.record_bytes_max;
        size_t begin = block->bytes.bytes;
        bool full = begin != 0 && !too_long && begin + file->bytes > source->block_bytes;
        if (full || source->block_records >= MILL_BLOCK_RECORDS_MAX)
            return MILL_OK;
        MILL_TRY(open_and_read(source, entry, file, !too_long, block, err));
        if (too_long)
            MILL_TRY(add_too_long(source, entry, block, err));
        else if (file->bytes == 0)
            entry->info.skipped_empty++;
        else
            MILL_TRY(add_file(source, entry, block, begin, err));
    }
    *ended = true;
    return MILL_OK;
}

// ---- parsing

// The language of a script without extension by its #! line: "#!/usr/bin/env -S python3.11 -u" is python.
static mill_language_id language_from_shebang(mill_language_table *languages, const uint8_t *text,
                                              size_t bytes)
{
    if (bytes < 3 || text[0] != '#' || text[1] != '!')
        return MILL_LANGUAGE_OTHER;
    const uint8_t *newline = memchr(text, '\n', bytes);
    size_t end = newline != NULL ? (size_t)(newline - text) : bytes;
    char word[64];
    for (size_t at = 2; at < end;) {
        while (at < end && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r'))
            at++;
        size_t begin = at;
        for (; at < end && text[at] != ' ' && text[at] != '\t' && text[at] != '\r'; at++)
            if (text[at] == '/')
                begin = at + 1;
        size_t length = at - begin;
        if (length == 0 || length >= sizeof word)
            return MILL_LANGUAGE_OTHER;
        memcpy(word, text + begin, length);
        word[length] = '\0';
        if (strcmp(word, "env") == 0 || word[0] == '-' || strchr(word, '=') != NULL)
            continue; // env, its options and its variables stand before the interpreter
        while (length > 1 && (strchr("0123456789.-", word[length - 1]) != NULL))
            word[--length] = '\0';
        int id = mill_language_find(languages, word);
        return id < 0 ? MILL_LANGUAGE_OTHER : (mill_language_id)id;
    }
    return MILL_LANGUAGE_OTHER;
}

static bool has_extension(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    return *name != '\0' && strchr(name + 1, '.') != NULL;
}

mill_language_id mill_source_file_language(mill_language_table *languages, const char *path, const uint8_t *text, size_t bytes)
{
    mill_language_id language = mill_language_from_path(languages, path, strlen(path));
    if (language == MILL_LANGUAGE_OTHER && !has_extension(path))
        language = language_from_shebang(languages, text, bytes);
    return language;
}

static mill_status add_problem(mill_quarantined *row, const mill_shape_problem *problem, const char *path,
                               mill_quarantine *quarantine, mill_parse_counts *counts, mill_error *err)
{
    counts->quarantined++;
    row->reason = problem->reason;
    return mill_quarantine_add(quarantine, row, path, err, "%s", problem->detail);
}

mill_status mill_tree_parse(mill_parser *parser, const mill_block *block, const mill_block_piece *piece,
                            mill_batch *batch, mill_quarantine *quarantine, mill_parse_counts *counts,
                            mill_error *err)
{
    const mill_source *source = parser->source;
    const char *path = (const char *)block->paths.data + piece->path;
    const uint8_t *text = block->bytes.data + piece->begin;
    mill_quarantined row = {.input = piece->input, .record = piece->first_record, .length = piece->bytes};
    counts->read++;
    size_t bytes = piece->bytes;
    mill_shape_problem problem = {.detail = ""};
    bool wide = source->options.shape.declared_encodings && mill_has_wide_bom(text, bytes);
    if (!wide && source->options.shape.nul != MILL_NUL_STRIP && memchr(text, '\0', bytes) != NULL) {
        problem.reason = MILL_QUARANTINE_BINARY;
        snprintf(problem.detail, sizeof problem.detail, "NUL bytes after the first %d bytes", BINARY_BYTES);
    } else {
        MILL_TRY(mill_decode_file(parser, path, &text, &bytes, counts, &problem, err));
    }
    if (problem.detail[0] != '\0')
        return add_problem(&row, &problem, path, quarantine, counts, err);
    size_t path_bytes = strlen(path);
    mill_buf_clear(&parser->path);
    MILL_TRY(mill_buf_reserve(&parser->path, 3 * path_bytes + 1, err));
    parser->path.bytes =
        mill_utf8_replace((const uint8_t *)path, path_bytes, parser->path.data, &counts->replaced_bytes);
    const mill_source_entry *entry = &source->entries[piece->input];
    const char *repo = entry->tree != NULL ? entry->tree->repo : entry->repo;
    mill_record record = {.text = text,
                          .text_bytes = bytes,
                          .repo = repo,
                          .repo_bytes = (uint32_t)strlen(repo),
                          .path = (const char *)parser->path.data,
                          .path_bytes = (uint32_t)parser->path.bytes,
                          .licence = "",
                          .stars = MILL_STARS_MISSING,
                          .input = piece->input,
                          .record = piece->first_record};
    record.language = mill_source_file_language(source->languages, path, text, bytes);
    record.type = mill_record_type(source, record.language);
    MILL_TRY(mill_shape_record(parser, true, &record, counts, &problem, err));
    if (problem.removed)
        return MILL_OK;
    if (problem.detail[0] != '\0')
        return add_problem(&row, &problem, path, quarantine, counts, err);
    counts->missing_stars++;
    return mill_batch_append(batch, &record, err);
}
