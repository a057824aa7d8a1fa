// document.c: JSON documents of the commands that only look.
#include "pipeline/document.h"

#include "core/json.h"
#include "pipeline/finished.h"

bool mill_document_text(cJSON *object, const char *name, const char *text)
{
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

bool mill_document_number(cJSON *object, const char *name, double value)
{
    return cJSON_AddNumberToObject(object, name, value) != NULL;
}

bool mill_document_flag(cJSON *object, const char *name, bool value)
{
    return cJSON_AddBoolToObject(object, name, value) != NULL;
}

bool mill_document_item(cJSON *object, const char *name, cJSON *item)
{
    return mill_json_add_item(object, name, item);
}

mill_status mill_document_finish(cJSON *json, mill_text *out, mill_error *err)
{
    mill_buf text = {0};
    char *printed = json != NULL ? cJSON_Print(json) : NULL;
    cJSON_Delete(json);
    mill_status status = printed == NULL ? mill_fail_nomem(err, "the document") : mill_buf_append_text(&text, printed, err);
    cJSON_free(printed);
    if (status == MILL_OK)
        status = mill_buf_append_text(&text, "\n", err);
    if (status == MILL_OK)
        status = mill_text_take(&text, out, err);
    mill_buf_free(&text);
    return status;
}
