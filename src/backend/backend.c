// backend.c: the choice of a backend by name.
#include "backend/backend.h"

#include <string.h>

const mill_backend_ops *mill_backend_find(const char *name)
{
    if (strcmp(name, "ref") == 0)
        return &mill_backend_ref;
    if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0)
        return &mill_backend_cpu;
    return NULL;
}
