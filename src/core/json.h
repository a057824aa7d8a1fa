// json.h: canonical JSON: one spelling for one value, so that equal values have equal bytes and can be sealed.
#ifndef MILL_CORE_JSON_H
#define MILL_CORE_JSON_H

#include <cjson/cJSON.h>

#include "core/alloc.h"

// Largest number that is written: every integer up to it survives any reader's doubles. Larger ones are strings.
#define MILL_JSON_INTEGER_MAX (((uint64_t)1 << 53) - 1)
#define MILL_JSON_DEPTH_MAX 64

// Sends cJSON's memory through core/alloc.h, once for the process.
void mill_json_use_alloc(void);
// Parses text. *out is NULL with MILL_OK when it is no JSON; the only failure is MILL_NOMEM. end: see cJSON_ParseWithLengthOpts;
// may be NULL.
mill_status mill_json_parse(const void *text, size_t bytes, const char **end, cJSON **out, mill_error *err) MILL_MUST_CHECK;
// Adds item under name and takes it over in every case; false if there is no memory, or if item or object is NULL.
bool mill_json_add_item(cJSON *object, const char *name, cJSON *item) MILL_MUST_CHECK;

// Appends value without blanks, the keys of each object sorted bytewise, strings as mill_buf_append_json writes them. Numbers
// must be integers of magnitude <= MILL_JSON_INTEGER_MAX. MILL_INTERNAL: a fraction, a larger number, a key that occurs twice,
// raw items, deeper nesting than MILL_JSON_DEPTH_MAX. A failure leaves out as it was.
mill_status mill_json_canonical(const cJSON *value, mill_buf *out, mill_error *err) MILL_MUST_CHECK;

// Adds "name": value to an object: a number, or beyond MILL_JSON_INTEGER_MAX a string of its decimal digits.
mill_status mill_json_add_u64(cJSON *object, const char *name, uint64_t value, mill_error *err) MILL_MUST_CHECK;
// Reads either form; false if name is absent or is no such integer.
bool mill_json_get_u64(const cJSON *object, const char *name, uint64_t *value);

#endif
