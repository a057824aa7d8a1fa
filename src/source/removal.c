// removal.c: the lists as one sorted table of 128-bit keys, so that millions of entries cost 16 bytes each.
#include "source/removal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/sha1.h"
#include "core/hash.h"

enum { KIND_SHA1, KIND_SHA256, HASH_KINDS };

struct mill_removal {
    mill_key *keys;
    size_t count, capacity;
    bool has[MILL_REMOVE_KINDS], has_hash[HASH_KINDS];
    mill_sha1_fn sha1;
};

mill_status mill_removal_create(mill_removal **out, mill_error *err)
{
    *out = mill_alloc_zero(1, sizeof **out);
    if (*out == NULL)
        return mill_fail_nomem(err, "the removal lists");
    (*out)->sha1 = mill_sha1_select();
    return MILL_OK;
}

void mill_removal_destroy(mill_removal *removal)
{
    if (removal == NULL)
        return;
    mill_free(removal->keys);
    mill_free(removal);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

// The key of parts that stand one after the other; fold: in lower case.
static mill_key key_of(mill_removal_kind kind, const char *const *parts, const size_t *bytes, size_t count,
                       bool fold)
{
    XXH3_state_t state;
    char chunk[256];
    XXH3_128bits_reset(&state);
    chunk[0] = (char)('0' + (int)kind);
    XXH3_128bits_update(&state, chunk, 1);
    for (size_t p = 0; p < count; p++) {
        for (size_t at = 0; at < bytes[p];) {
            size_t n = bytes[p] - at < sizeof chunk ? bytes[p] - at : sizeof chunk;
            for (size_t i = 0; i < n; i++)
                chunk[i] = fold ? lower(parts[p][at + i]) : parts[p][at + i];
            XXH3_128bits_update(&state, chunk, n);
            at += n;
        }
    }
    XXH128_hash_t h = XXH3_128bits_digest(&state);
    return (mill_key){h.low64, h.high64};
}

static bool is_hex(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (lower(text[i]) >= 'a' && lower(text[i]) <= 'f')))
            return false;
    return true;
}

mill_status mill_removal_add(mill_removal *removal, mill_removal_kind kind, const char *text, size_t bytes,
                             mill_error *err)
{
    if (kind == MILL_REMOVE_HASH && ((bytes != 40 && bytes != 64) || !is_hex(text, bytes)))
        return mill_fail(err, MILL_RECIPE,
                         "remove.hashes: \"%.*s\" is neither SHA-1 (40 hexadecimal digits) nor SHA-256 (64)",
                         (int)(bytes < 80 ? bytes : 80), text);
    if (kind == MILL_REMOVE_HASH)
        removal->has_hash[bytes == 40 ? KIND_SHA1 : KIND_SHA256] = true;
    MILL_TRY(MILL_GROW(removal->keys, removal->capacity, removal->count + 1, err));
    removal->keys[removal->count++] = key_of(kind, &text, &bytes, 1, kind != MILL_REMOVE_PATH);
    removal->has[kind] = true;
    return MILL_OK;
}

mill_status mill_removal_add_lines(mill_removal *removal, mill_removal_kind kind, const char *text,
                                   size_t bytes, mill_error *err)
{
    for (size_t at = 0; at < bytes;) {
        const char *line = text + at, *newline = memchr(line, '\n', bytes - at);
        size_t length = newline != NULL ? (size_t)(newline - line) : bytes - at;
        at += length + 1;
        while (length > 0 &&
               (line[length - 1] == '\r' || line[length - 1] == ' ' || line[length - 1] == '\t'))
            length--;
        while (length > 0 && (*line == ' ' || *line == '\t')) {
            line++;
            length--;
        }
        if (length != 0 && *line != '#')
            MILL_TRY(mill_removal_add(removal, kind, line, length, err));
    }
    return MILL_OK;
}

static int compare(const void *a, const void *b)
{
    return mill_key_compare(*(const mill_key *)a, *(const mill_key *)b);
}

void mill_removal_finish(mill_removal *removal)
{
    size_t kept = 0;
    if (removal->count == 0)
        return;
    qsort(removal->keys, removal->count, sizeof *removal->keys, compare);
    for (size_t i = 1; i < removal->count; i++)
        if (!mill_key_equal(removal->keys[kept], removal->keys[i]))
            removal->keys[++kept] = removal->keys[i];
    removal->count = kept + 1;
}

uint64_t mill_removal_count(const mill_removal *removal)
{
    return removal->count;
}

void mill_removal_digest(const mill_removal *removal, char hex[65])
{
    mill_key key = mill_hash128(removal->keys, removal->count * sizeof *removal->keys);
    snprintf(hex, 65, "%016llx%016llx", (unsigned long long)key.high, (unsigned long long)key.low);
}

static bool find(const mill_removal *removal, mill_removal_kind kind, const char *const *parts,
                 const size_t *bytes, size_t count)
{
    mill_key key = key_of(kind, parts, bytes, count, kind != MILL_REMOVE_PATH);
    return bsearch(&key, removal->keys, removal->count, sizeof key, compare) != NULL;
}

static bool find_sha1(const mill_removal *removal, const uint8_t *text, size_t bytes)
{
    uint32_t words[5];
    uint8_t digest[20];
    char hex[65];
    removal->sha1(text, bytes, words);
    for (size_t i = 0; i < 20; i++)
        digest[i] = (uint8_t)(words[i / 4] >> (24 - 8 * (i % 4)));
    mill_hex(digest, sizeof digest, hex);
    return find(removal, MILL_REMOVE_HASH, &(const char *){hex}, &(size_t){40}, 1);
}

static mill_status find_hash(const mill_removal *removal, const uint8_t *text, size_t bytes,
                             mill_buf *scratch, bool *hit, mill_error *err)
{
    if (removal->has_hash[KIND_SHA1]) {
        *hit = find_sha1(removal, text, bytes);
        if (*hit)
            return MILL_OK;
        mill_buf_clear(scratch);
        MILL_TRY(mill_buf_printf(scratch, err, "blob %zu", bytes));
        MILL_TRY(mill_buf_append(scratch, "", 1, err));
        MILL_TRY(mill_buf_append(scratch, text, bytes, err));
        *hit = find_sha1(removal, scratch->data, scratch->bytes);
    }
    if (*hit || !removal->has_hash[KIND_SHA256])
        return MILL_OK;
    uint8_t digest[32];
    char hex[65];
    void *sha256 = mill_sha256_create();
    if (sha256 == NULL)
        return mill_fail_nomem(err, "hashing a record");
    mill_sha256_update(sha256, text, bytes);
    mill_sha256_finish(sha256, digest);
    mill_hex(digest, sizeof digest, hex);
    *hit = find(removal, MILL_REMOVE_HASH, &(const char *){hex}, &(size_t){64}, 1);
    return MILL_OK;
}

mill_status mill_removal_hit(const mill_removal *removal, const char *repo, size_t repo_bytes,
                             const char *path, size_t path_bytes, const uint8_t *text, size_t text_bytes,
                             mill_buf *scratch, bool *hit, mill_error *err)
{
    const char *const parts[] = {repo, "/", path};
    const size_t bytes[] = {repo_bytes, 1, path_bytes};
    *hit = (removal->has[MILL_REMOVE_REPO] && repo_bytes != 0 &&
            find(removal, MILL_REMOVE_REPO, parts, bytes, 1)) ||
           (removal->has[MILL_REMOVE_PATH] && path_bytes != 0 &&
            (find(removal, MILL_REMOVE_PATH, parts + 2, bytes + 2, 1) ||
             find(removal, MILL_REMOVE_PATH, parts, bytes, 3)));
    if (*hit || !removal->has[MILL_REMOVE_HASH])
        return MILL_OK;
    return find_hash(removal, text, text_bytes, scratch, hit, err);
}
