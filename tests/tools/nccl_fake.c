// nccl_fake.c: a libnccl.so.2 that has all functions by name, and the version of NCCL_FAKE_VERSION: for the test of how
// the library is found and judged. None of them is called but the first.
#include <stdlib.h>

#define API __attribute__((visibility("default")))

API int ncclGetVersion(int *version);
int ncclGetVersion(int *version)
{
    const char *text = getenv("NCCL_FAKE_VERSION");
    *version = text != NULL ? atoi(text) : 0;
    return 0;
}

#define NEVER(name) \
    API void name(void); \
    void name(void) \
    { \
        abort(); \
    }
NEVER(ncclGetErrorString)
NEVER(ncclGetUniqueId)
NEVER(ncclCommInitRankConfig)
NEVER(ncclCommGetAsyncError)
NEVER(ncclCommAbort)
NEVER(ncclAllReduce)
#ifndef NCCL_FAKE_LACKS
NEVER(ncclAllGather)
#endif
