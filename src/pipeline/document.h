// document.h: building the JSON documents of the commands that only look.
#ifndef MILL_PIPELINE_DOCUMENT_H
#define MILL_PIPELINE_DOCUMENT_H

#include <cjson/cJSON.h>

#include "core/alloc.h"

// Adds a member; false without memory, also when object is NULL.
bool mill_document_text(cJSON *object, const char *name, const char *text);
bool mill_document_number(cJSON *object, const char *name, double value);
bool mill_document_flag(cJSON *object, const char *name, bool value);
bool mill_document_item(cJSON *object, const char *name, cJSON *item); // takes item; NULL: false

// Prints the document with a newline behind it. Takes json, which is NULL when there was no memory to build it.
mill_status mill_document_finish(cJSON *json, mill_text *out, mill_error *err) MILL_MUST_CHECK;

#endif
