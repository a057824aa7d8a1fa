// library.c: finds and opens shared objects of ours.
#include "core/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *open_object(const char *file)
{
    static const char *const places[] = {"", "tests/", "../", "../" MILL_LIBDIR "/shardmill/"};
    char program[3072], path[4096];
    ssize_t bytes = readlink("/proc/self/exe", program, sizeof program - 1);
    program[bytes > 0 ? bytes : 0] = '\0';
    char *slash = strrchr(program, '/');
    for (size_t i = 0; slash != NULL && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%.*s/%s%s", (int)(slash - program), program, places[i], file);
        if (access(path, R_OK) == 0)
            return dlopen(path, RTLD_NOW | RTLD_LOCAL); // there, so its own failure is the one to tell
    }
    return dlopen(file, RTLD_NOW | RTLD_LOCAL);
}

void *mill_library_symbol(const char *file, const char *symbol, char *why, size_t capacity)
{
    void *object = open_object(file);
    void *address = object != NULL ? dlsym(object, symbol) : NULL;
    if (address == NULL) {
        const char *reason = dlerror();
        snprintf(why, capacity, "%s", reason != NULL ? reason : "nothing in it");
    }
    return address;
}
