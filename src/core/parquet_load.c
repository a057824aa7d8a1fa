// parquet_load.c: opens libmill_parquet.so, the first time that somebody wants Parquet.
#include "core/parquet_load.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/library.h"

typedef struct loaded {
    const mill_parquet_api *api;
    char description[320];
} loaded;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static loaded found;

#if defined MILL_HAVE_PARQUET
static void load(void)
{
    typedef const mill_parquet_api *entry(void);
    char why[240];
    void *symbol = mill_library_symbol("libmill_parquet.so", "mill_parquet_shim", why, sizeof why);
    if (symbol == NULL) {
        snprintf(found.description, sizeof found.description, "none: %s", why);
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
