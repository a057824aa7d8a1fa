// language.c: names, aliases, file names and extensions of languages, looked up by hash; names met in the
// data are added.
#include "record/language.h"

#include <pthread.h>
#include <string.h>

#include "core/alloc.h"
#include "core/hash.h"
#include "record/batch.h"
#include "record/language_table.h"

enum {
    NAMES_MAX = 4096, // canonical names, the built-in ones included
    NAME_BYTES_MAX = 32,
    SUFFIX_BYTES_MAX = 24, // no known extension is longer; bounds the work on a path of dots
    NAME_SLOTS = 16384,    // names + aliases stay below half of it
    FILE_SLOTS = 4096,
};

typedef struct slot {
    const char *text; // NULL: empty
    uint16_t bytes;
    mill_language_id id;
} slot;

typedef struct text_map { // open addressing; entries are never removed
    slot *slots;
    uint32_t mask;
} text_map;

struct mill_language_table {
    pthread_rwlock_t lock; // guards names, added and count; the other maps do not change after create
    text_map names;
    text_map extensions, filenames;
    const mill_language *languages[NAMES_MAX];
    uint32_t count;
    bool starved; // a name is missing: there was no memory for it
};

static const char *const no_texts[] = {NULL};

// The slot that holds text, or the empty one where it would go.
static slot *map_seek(const text_map *map, const char *text, size_t bytes)
{
    uint32_t at = (uint32_t)XXH3_64bits(text, bytes) & map->mask;
    while (map->slots[at].text != NULL &&
           (map->slots[at].bytes != bytes || memcmp(map->slots[at].text, text, bytes) != 0))
        at = (at + 1) & map->mask;
    return &map->slots[at];
}

static bool map_create(text_map *map, uint32_t slots)
{
    map->slots = mill_alloc_zero(slots, sizeof *map->slots);
    map->mask = slots - 1;
    return map->slots != NULL;
}

// The first owner of a text keeps it.
static void map_add(text_map *map, const char *text, mill_language_id id)
{
    size_t bytes = strlen(text);
    slot *found = map_seek(map, text, bytes);
    if (found->text == NULL)
        *found = (slot){text, (uint16_t)bytes, id};
}

static void map_add_list(text_map *map, const char *const *texts, mill_language_id id)
{
    for (; *texts != NULL; texts++)
        map_add(map, *texts, id);
}

mill_status mill_language_table_create(mill_language_table **out, mill_error *err)
{
    *out = NULL;
    mill_language_table *table = mill_alloc_zero(1, sizeof *table);
    if (table == NULL || !map_create(&table->names, NAME_SLOTS) ||
        !map_create(&table->extensions, FILE_SLOTS) || !map_create(&table->filenames, FILE_SLOTS)) {
        if (table != NULL) {
            mill_free(table->names.slots);
            mill_free(table->extensions.slots);
            mill_free(table->filenames.slots);
        }
        mill_free(table);
        return mill_fail_nomem(err, "the table of languages");
    }
    MILL_ASSERT(pthread_rwlock_init(&table->lock, NULL) == 0);
    table->count = mill_language_builtin_count;
    // Names first, so that no alias can take the name of a later language.
    for (uint32_t i = 0; i < table->count; i++)
        map_add(&table->names, mill_language_builtin[i].name, (mill_language_id)i);
    for (uint32_t i = 0; i < table->count; i++) {
        const mill_language *language = &mill_language_builtin[i];
        table->languages[i] = language;
        map_add_list(&table->names, language->aliases, (mill_language_id)i);
        map_add_list(&table->extensions, language->extensions, (mill_language_id)i);
        map_add_list(&table->filenames, language->filenames, (mill_language_id)i);
    }
    *out = table;
    return MILL_OK;
}

void mill_language_table_destroy(mill_language_table *table)
{
    if (table == NULL)
        return;
    for (uint32_t i = mill_language_builtin_count; i < table->count; i++)
        mill_free((void *)(uintptr_t)table->languages[i]); // made by add_name, not const there
    mill_free(table->names.slots);
    mill_free(table->extensions.slots);
    mill_free(table->filenames.slots);
    pthread_rwlock_destroy(&table->lock);
    mill_free(table);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// Trims, lowers, and turns runs of blanks into one '-'. Returns the length, or 0 if the result is no
// well-formed name. The pattern keeps names fit for file names and special tokens, so no "..", no slash, no
// control byte.
static size_t normalise(const char *name, size_t bytes, char out[NAME_BYTES_MAX])
{
    while (bytes != 0 && is_blank(name[bytes - 1]))
        bytes--;
    while (bytes != 0 && is_blank(*name))
        name++, bytes--;
    size_t length = 0;
    for (size_t i = 0; i < bytes; i++) {
        char c = name[i];
        if (is_blank(c)) {
            if (is_blank(name[i - 1]))
                continue; // not the first byte: the name was trimmed
            c = '-';
        } else if (c >= 'A' && c <= 'Z') {
            c = (char)(c - 'A' + 'a');
        }
        if (length == NAME_BYTES_MAX)
            return 0;
        out[length++] = c;
    }
    return length;
}

static bool is_well_formed(const char *name, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        char c = name[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool sign = c == '+' || c == '#' || c == '_' || c == '.' || c == '-';
        if (!plain && (!sign || i == 0))
            return false;
        if (c == '.' && i + 1 < bytes && name[i + 1] == '.')
            return false;
    }
    return bytes != 0;
}

// Adds a neutral entry; the caller holds the lock for writing. Out of memory counts as "other": it would be
// the same loss of a name as a full table, and must not fail a record.
static mill_language_id add_name(mill_language_table *table, slot *at, const char *name, size_t bytes)
{
    if (table->count == NAMES_MAX)
        return MILL_LANGUAGE_OTHER;
    mill_language *language = mill_alloc_zero(1, sizeof *language + bytes + 1);
    if (language == NULL) {
        table->starved = true;
        return MILL_LANGUAGE_OTHER;
    }
    char *copy = (char *)(language + 1);
    memcpy(copy, name, bytes);
    *language = *table->languages[MILL_LANGUAGE_OTHER];
    language->name = copy;
    language->aliases = language->extensions = language->filenames = no_texts;
    mill_language_id id = (mill_language_id)table->count++;
    table->languages[id] = language;
    *at = (slot){copy, (uint16_t)bytes, id};
    return id;
}

mill_language_id mill_language_intern(mill_language_table *table, const char *name, size_t bytes)
{
    char clean[NAME_BYTES_MAX];
    size_t length = normalise(name, bytes, clean);
    if (length == 0)
        return MILL_LANGUAGE_OTHER;
    MILL_ASSERT(pthread_rwlock_rdlock(&table->lock) == 0);
    slot *found = map_seek(&table->names, clean, length);
    bool known = found->text != NULL;
    mill_language_id id = known ? found->id : MILL_LANGUAGE_OTHER;
    pthread_rwlock_unlock(&table->lock);
    if (known || !is_well_formed(clean, length))
        return id;
    MILL_ASSERT(pthread_rwlock_wrlock(&table->lock) == 0);
    found = map_seek(&table->names, clean, length); // another thread may have been faster
    id = found->text != NULL ? found->id : add_name(table, found, clean, length);
    pthread_rwlock_unlock(&table->lock);
    return id;
}

mill_status mill_language_check(mill_language_table *table, mill_error *err)
{
    MILL_ASSERT(pthread_rwlock_rdlock(&table->lock) == 0);
    bool starved = table->starved;
    pthread_rwlock_unlock(&table->lock);
    return starved ? mill_fail_nomem(err, "the table of languages") : MILL_OK;
}

static int find_exact(const text_map *map, const char *text, size_t bytes)
{
    const slot *found = map_seek(map, text, bytes);
    return found->text != NULL ? found->id : -1;
}

// The extension as written, else in lower case (FOO.SQL), so that ".C" stays C++ and ".c" C.
static int find_extension(const text_map *map, const char *text, size_t bytes)
{
    int id = find_exact(map, text, bytes);
    if (id >= 0)
        return id;
    char lower[SUFFIX_BYTES_MAX];
    for (size_t i = 0; i < bytes; i++)
        lower[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
    return find_exact(map, lower, bytes);
}

mill_language_id mill_language_from_path(const mill_language_table *table, const char *path, size_t bytes)
{
    const char *slash = bytes != 0 ? memrchr(path, '/', bytes) : NULL;
    const char *name = slash != NULL ? slash + 1 : path;
    size_t length = bytes - (size_t)(name - path);
    if (length == 0)
        return MILL_LANGUAGE_OTHER;
    int id = find_exact(&table->filenames, name, length);
    size_t from = length > SUFFIX_BYTES_MAX + 1 ? length - SUFFIX_BYTES_MAX - 1
                                                : 1; // a leading dot hides, it starts no extension
    for (size_t i = from; id < 0 && i + 1 < length; i++)
        if (name[i] == '.')
            id = find_extension(&table->extensions, name + i + 1, length - i - 1);
    return id < 0 ? MILL_LANGUAGE_OTHER : (mill_language_id)id;
}

const mill_language *mill_language_get(const mill_language_table *table, mill_language_id id)
{
    if (id < mill_language_builtin_count) // never change, so they need no lock
        return &mill_language_builtin[id];
    pthread_rwlock_t *lock =
        (pthread_rwlock_t *)(uintptr_t)&table->lock; // const for the caller: nothing he sees changes
    MILL_ASSERT(pthread_rwlock_rdlock(lock) == 0);
    MILL_ASSERT(id < table->count);
    const mill_language *language = table->languages[id];
    pthread_rwlock_unlock(lock);
    return language;
}

uint32_t mill_language_count(const mill_language_table *table)
{
    pthread_rwlock_t *lock = (pthread_rwlock_t *)(uintptr_t)&table->lock;
    MILL_ASSERT(pthread_rwlock_rdlock(lock) == 0);
    uint32_t count = table->count;
    pthread_rwlock_unlock(lock);
    return count;
}

int mill_language_find(const mill_language_table *table, const char *name)
{
    char clean[NAME_BYTES_MAX];
    size_t length = normalise(name, strlen(name), clean);
    if (length == 0)
        return -1;
    pthread_rwlock_t *lock = (pthread_rwlock_t *)(uintptr_t)&table->lock;
    MILL_ASSERT(pthread_rwlock_rdlock(lock) == 0);
    int id = find_exact(&table->names, clean, length);
    pthread_rwlock_unlock(lock);
    return id;
}
