// api.c: the public functions of shardmill.h that belong to no room.
#include "core/alloc.h"

void mill_text_free(mill_text *text)
{
    mill_free(text->data);
    *text = (mill_text){0};
}
