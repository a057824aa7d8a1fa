// text.c: results of the public API: owned text, JSON documents, escaped data.
#include "pipeline/text.h"

#include <string.h>

#include "core/log.h"

mill_status mill_text_take(mill_buf *buf, mill_text *out, mill_error *err)
{
    mill_status status = mill_buf_append(buf, "", 1, err);
    if (status != MILL_OK) {
        mill_buf_free(buf);
        return status;
    }
    *out = (mill_text){(char *)buf->data, buf->bytes - 1};
    *buf = (mill_buf){0};
    return MILL_OK;
}

mill_status mill_text_json(cJSON *json, mill_text *out, mill_error *err)
{
    mill_buf text = {0};
    char *printed = json != NULL ? cJSON_Print(json) : NULL;
    cJSON_Delete(json);
    mill_status status = printed == NULL ? mill_fail_nomem(err, "the document") : mill_buf_append_text(&text, printed, err);
    cJSON_free(printed);
    if (status == MILL_OK)
        status = mill_buf_append_text(&text, "\n", err);
    if (status != MILL_OK) {
        mill_buf_free(&text);
        return status;
    }
    return mill_text_take(&text, out, err);
}

mill_status mill_text_escape(mill_buf *out, const char *text, size_t bytes, mill_error *err)
{
    char *copy = mill_strndup(text, bytes);
    mill_status status = copy == NULL ? mill_fail_nomem(err, "showing a text") : mill_buf_reserve(out, 4 * bytes + 1, err);
    if (status == MILL_OK)
        out->bytes += mill_escape_controls(copy, (char *)out->data + out->bytes, 4 * bytes + 1);
    mill_free(copy);
    return status;
}

bool mill_json_text(cJSON *object, const char *name, const char *text)
{
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

bool mill_json_number(cJSON *object, const char *name, double value)
{
    return cJSON_AddNumberToObject(object, name, value) != NULL;
}

bool mill_json_flag(cJSON *object, const char *name, bool value)
{
    return cJSON_AddBoolToObject(object, name, value) != NULL;
}

bool mill_json_item(cJSON *object, const char *name, cJSON *item)
{
    if (item != NULL && object != NULL && cJSON_AddItemToObject(object, name, item))
        return true;
    cJSON_Delete(item);
    return false;
}
