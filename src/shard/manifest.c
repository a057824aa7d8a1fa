// manifest.c: the sealed manifest.
#include "shard/manifest.h"

#include <string.h>

#include "core/hash.h"

#define SEAL_TEXT "#sha256:"
#define SEAL_TEXT_BYTES (sizeof SEAL_TEXT - 1)
#define SEAL_BYTES (SEAL_TEXT_BYTES + 64 + 1) // text, digits, newline

static mill_status make_seal(const void *data, size_t bytes, char seal[SEAL_BYTES + 1], mill_error *err)
{
    uint8_t digest[32];
    void *sha256 = mill_sha256_create();
    if (sha256 == NULL)
        return mill_fail_nomem(err, "sealing the manifest");
    mill_sha256_update(sha256, data, bytes);
    mill_sha256_finish(sha256, digest);
    memcpy(seal, SEAL_TEXT, SEAL_TEXT_BYTES);
    mill_hex(digest, sizeof digest, seal + SEAL_TEXT_BYTES);
    memcpy(seal + SEAL_BYTES - 1, "\n", 2);
    return MILL_OK;
}

static mill_status append_sealed(const cJSON *object, mill_buf *out, mill_error *err)
{
    char seal[SEAL_BYTES + 1];
    size_t begin = out->bytes;
    if (!cJSON_IsObject(object))
        return mill_fail(err, MILL_INTERNAL, "the manifest is not a JSON object");
    MILL_TRY(mill_json_canonical(object, out, err));
    MILL_TRY(mill_buf_append_text(out, "\n", err));
    MILL_TRY(make_seal(out->data + begin, out->bytes - begin, seal, err));
    return mill_buf_append(out, seal, SEAL_BYTES, err);
}

mill_status mill_manifest_append(const cJSON *object, mill_buf *out, mill_error *err)
{
    size_t before = out->bytes;
    mill_status status = append_sealed(object, out, err);
    if (status != MILL_OK)
        out->bytes = before;
    return status;
}

// The seal only says that the bytes are the writer's; that they parse to what they say is checked by writing them once more.
static mill_status check_canonical(const cJSON *object, const void *data, size_t bytes, const char *name, mill_error *err)
{
    mill_buf again = {0};
    mill_error detail = {0};
    mill_status status = mill_json_canonical(object, &again, &detail);
    bool same = status == MILL_OK && again.bytes == bytes && memcmp(again.data, data, bytes) == 0;
    mill_buf_free(&again);
    if (status == MILL_NOMEM)
        return mill_fail_nomem(err, "checking the manifest");
    return same ? MILL_OK : mill_fail(err, MILL_VERIFY, "%s: sealed, but not canonical JSON: not written by shardmill", name);
}

mill_status mill_manifest_parse(const void *data, size_t bytes, const char *name, cJSON **out, mill_error *err)
{
    *out = NULL;
    const char *text = data;
    char seal[SEAL_BYTES + 1];
    if (bytes < SEAL_BYTES + 3 || memcmp(text + bytes - SEAL_BYTES, SEAL_TEXT, SEAL_TEXT_BYTES) != 0)
        return mill_fail(err, MILL_VERIFY, "%s: no seal at its end: cut off, changed, or of another program", name);
    size_t body = bytes - SEAL_BYTES; // with its newline
    MILL_TRY(make_seal(text, body, seal, err));
    if (memcmp(seal, text + body, SEAL_BYTES) != 0)
        return mill_fail(err, MILL_VERIFY, "%s: its content does not match its seal: it was changed", name);
    cJSON *object;
    MILL_TRY(mill_json_parse(text, body, NULL, &object, err));
    if (object == NULL || !cJSON_IsObject(object) || text[body - 1] != '\n') {
        cJSON_Delete(object);
        return mill_fail(err, MILL_VERIFY, "%s: sealed, but not a JSON object on one line", name);
    }
    mill_status status = check_canonical(object, text, body - 1, name, err);
    if (status != MILL_OK)
        cJSON_Delete(object);
    else
        *out = object;
    return status;
}
