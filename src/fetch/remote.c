// remote.c: lists of remote files, and the hub's JSON.
#include "fetch/remote.h"

#include <string.h>

#include "core/json.h"

enum { REMOTES_MAX = 50000000 };

void mill_remotes_free(mill_remotes *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mill_free(list->items[i].name);
        mill_free(list->items[i].etag);
    }
    mill_free(list->items);
    *list = (mill_remotes){0};
}

mill_status mill_remotes_add(mill_remotes *list, const char *name, const char *etag, uint64_t bytes,
                             const mill_sum *sum, mill_error *err)
{
    if (list->count >= REMOTES_MAX)
        return mill_fail(err, MILL_INPUT, "more than %d files are listed; name a smaller part", REMOTES_MAX);
    MILL_TRY(MILL_GROW(list->items, list->capacity, list->count + 1, err));
    mill_remote remote = {
        .name = mill_strdup(name), .etag = mill_strdup(etag != NULL ? etag : ""), .bytes = bytes};
    if (remote.name == NULL || remote.etag == NULL) {
        mill_free(remote.name);
        mill_free(remote.etag);
        return mill_fail_nomem(err, "a list of files");
    }
    if (sum != NULL)
        remote.sum = *sum;
    list->items[list->count++] = remote;
    return MILL_OK;
}

void mill_remotes_filter(mill_remotes *list, bool (*keep)(void *context, const mill_remote *remote),
                         void *context)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (keep(context, &list->items[i])) {
            list->items[kept++] = list->items[i];
        } else {
            mill_free(list->items[i].name);
            mill_free(list->items[i].etag);
        }
    }
    list->count = kept;
}

static bool read_hex(const cJSON *item, size_t digits, char out[65])
{
    if (!cJSON_IsString(item) || strlen(item->valuestring) != digits ||
        strspn(item->valuestring, "0123456789abcdef") != digits)
        return false;
    memcpy(out, item->valuestring, digits + 1);
    return true;
}

// {"type":"file","path":...,"size":...,"oid":<git>,"lfs":{"oid":<sha256>,"size":...}}
static mill_status add_entry(const cJSON *entry, mill_remotes *list, mill_error *err)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(entry, "type"),
                *path = cJSON_GetObjectItemCaseSensitive(entry, "path");
    const cJSON *lfs = cJSON_GetObjectItemCaseSensitive(entry, "lfs");
    if (!cJSON_IsString(type) || !cJSON_IsString(path) || path->valuestring[0] == '\0')
        return MILL_OK;
    bool directory = strcmp(type->valuestring, "directory") == 0;
    if (!directory && strcmp(type->valuestring, "file") != 0)
        return MILL_OK;
    mill_sum sum = {0};
    uint64_t bytes = UINT64_MAX;
    if (!directory && cJSON_IsObject(lfs)) {
        if (read_hex(cJSON_GetObjectItemCaseSensitive(lfs, "oid"), 64, sum.hex))
            sum.kind = MILL_SUM_SHA256;
        (void)(mill_json_get_u64(lfs, "size", &bytes) || mill_json_get_u64(entry, "size", &bytes));
    } else if (!directory) {
        if (mill_json_get_u64(entry, "size", &bytes) &&
            read_hex(cJSON_GetObjectItemCaseSensitive(entry, "oid"), 40, sum.hex))
            sum.kind = MILL_SUM_GIT;
    }
    MILL_TRY(mill_remotes_add(list, path->valuestring, NULL, bytes, &sum, err));
    list->items[list->count - 1].directory = directory;
    return MILL_OK;
}

mill_status mill_hub_tree_parse(const void *text, size_t bytes, const char *shown, mill_remotes *list,
                                mill_error *err)
{
    cJSON *json;
    MILL_TRY(mill_json_parse(text, bytes, NULL, &json, err));
    mill_status status = MILL_OK;
    const cJSON *entry, *array = cJSON_IsArray(json) ? json : NULL;
    if (array == NULL)
        status = mill_fail(err, MILL_INPUT, "%s: the hub's list of files is no JSON array", shown);
    cJSON_ArrayForEach(entry, array)
    {
        if (status == MILL_OK)
            status = add_entry(entry, list, err);
    }
    cJSON_Delete(json);
    return status;
}
