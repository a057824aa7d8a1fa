// text.h: handing a result to the caller of the public API.
#ifndef MILL_PIPELINE_TEXT_H
#define MILL_PIPELINE_TEXT_H

#include <cjson/cJSON.h>

#include "core/alloc.h"

// Moves the bytes of buf into *out, NUL-terminated; buf is empty afterwards, also when it fails.
mill_status mill_text_take(mill_buf *buf, mill_text *out, mill_error *err) MILL_MUST_CHECK;
// Prints a JSON document, with a newline behind it. Takes json (NULL: no memory was left to build it).
mill_status mill_text_json(cJSON *json, mill_text *out, mill_error *err) MILL_MUST_CHECK;
// Appends text from the data for a terminal: controls and bytes that are no UTF-8 as \xNN.
mill_status mill_text_escape(mill_buf *out, const char *text, size_t bytes, mill_error *err) MILL_MUST_CHECK;

// The same object with one more member; false without memory.
bool mill_json_text(cJSON *object, const char *name, const char *text);
bool mill_json_number(cJSON *object, const char *name, double value);
bool mill_json_flag(cJSON *object, const char *name, bool value);
bool mill_json_item(cJSON *object, const char *name, cJSON *item); // takes item, which may be NULL

#endif
