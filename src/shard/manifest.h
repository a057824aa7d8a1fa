// manifest.h: the sealed manifest: one line of canonical JSON, then one line "#sha256:<64 hex digits>" over all bytes before it.
#ifndef MILL_SHARD_MANIFEST_H
#define MILL_SHARD_MANIFEST_H

#include "core/json.h"

// Appends the canonical JSON of an object, a newline, and the seal.
mill_status mill_manifest_append(const cJSON *object, mill_buf *out, mill_error *err) MILL_MUST_CHECK;

// Checks the seal and parses. The bytes must be exactly what mill_manifest_append makes: whatever was changed, cut off or added
// is MILL_VERIFY, naming `name`. Free *out with cJSON_Delete.
mill_status mill_manifest_parse(const void *data, size_t bytes, const char *name, cJSON **out, mill_error *err)
    MILL_MUST_CHECK;

#endif
