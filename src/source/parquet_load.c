// parquet_load.c: opens libmill_parquet.so, the first time that somebody wants Parquet.
#include "source/parquet_load.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "source/source.h"

typedef struct loaded {
    const mill_parquet_api *api;
    char description[320];
} loaded;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static loaded found;

#if defined MILL_HAVE_PARQUET
// Beside the program, above it (a build's tests), or where `make install` puts it; else wherever the dynamic linker looks.
static void *open_object(void)
{
    static const char *const places[] = {"", "../", "../" MILL_LIBDIR "/shardmill/"};
    char program[3072], path[4096];
    ssize_t bytes = readlink("/proc/self/exe", program, sizeof program - 1);
    program[bytes > 0 ? bytes : 0] = '\0';
    char *slash = strrchr(program, '/');
    for (size_t i = 0; slash != NULL && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%.*s/%slibmill_parquet.so", (int)(slash - program), program, places[i]);
        if (access(path, R_OK) == 0)
            return dlopen(path, RTLD_NOW | RTLD_LOCAL); // there, so its own failure is the one to tell
    }
    return dlopen("libmill_parquet.so", RTLD_NOW | RTLD_LOCAL);
}

static void load(void)
{
    typedef const mill_parquet_api *entry(void);
    void *object = open_object();
    void *symbol = object != NULL ? dlsym(object, "mill_parquet_shim") : NULL;
    if (symbol == NULL) {
        const char *why = dlerror();
        snprintf(found.description, sizeof found.description, "none: %.240s",
                 why != NULL ? why : "libmill_parquet.so is empty");
        return;
    }
    entry *shim;
    memcpy(&shim, &symbol, sizeof shim); // ISO C has no cast from data to code
    const mill_parquet_api *api = shim();
    if (api->abi != MILL_PARQUET_ABI) {
        snprintf(found.description, sizeof found.description, "none: libmill_parquet.so is of another build");
        return;
    }
    found.api = api;
    snprintf(found.description, sizeof found.description, "Arrow C++ %.40s", api->version);
}
#else
static void load(void)
{
    snprintf(found.description, sizeof found.description, "none: this build is without it (cmake -DMILL_PARQUET=ON tells why)");
}
#endif

mill_status mill_parquet_load(const mill_parquet_api **api, mill_error *err)
{
    pthread_once(&once, load);
    *api = found.api;
    if (found.api != NULL)
        return MILL_OK;
    return mill_fail(err, MILL_INPUT, "no Parquet reader here (%s); convert the file to JSON lines, or build with Parquet",
                     found.description);
}

const char *mill_parquet_description(void)
{
    pthread_once(&once, load);
    return found.description;
}
