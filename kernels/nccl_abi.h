// nccl_abi.h: as much of NCCL as collect.cu calls, so that neither its header is needed to build nor its
// library to run. tests/simt/nccl_check.cu compares this with a real header.
#ifndef MILL_NCCL_ABI_H
#define MILL_NCCL_ABI_H

#include "mill_cuda.h"

#define MILL_NCCL_LIBRARY "libnccl.so.2"
#define MILL_NCCL_OLDEST 21400 // the first with communicators whose calls do not wait
#define MILL_NCCL_END 30000    // of major version 2

enum { // results, types, operations
    MILL_NCCL_SUCCESS = 0,
    MILL_NCCL_IN_PROGRESS = 7,
    MILL_NCCL_UINT8 = 1,
    MILL_NCCL_UINT64 = 5,
    MILL_NCCL_SUM = 0
};

struct Nccl_id {
    u8 bytes[128];
};

#define MILL_NCCL_MAGIC 0xcafebeefu
struct Nccl_config { // its beginning: a library reads as much of it as size says, as of this version
    size_t size;
    u32 magic, version;
    int blocking;
};

struct Nccl { // a communicator is a void *
    int (*version)(int *version);
    const char *(*text)(int code);
    int (*unique_id)(Nccl_id *id);
    int (*join)(void **comm, int ranks, Nccl_id id, int rank, Nccl_config *config);
    int (*async_error)(void *comm, int *code);
    int (*abort)(void *comm);
    int (*all_reduce)(const void *send, void *receive, size_t count, int type, int op, void *comm,
                      cudaStream_t stream);
    int (*all_gather)(const void *send, void *receive, size_t count, int type, void *comm,
                      cudaStream_t stream);
};

// X(member, name in the library)
#define MILL_NCCL_MAP(X) \
    X(version, ncclGetVersion) \
    X(text, ncclGetErrorString) \
    X(unique_id, ncclGetUniqueId) \
    X(join, ncclCommInitRankConfig) \
    X(async_error, ncclCommGetAsyncError) \
    X(abort, ncclCommAbort) \
    X(all_reduce, ncclAllReduce) \
    X(all_gather, ncclAllGather)

#endif
