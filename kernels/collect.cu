// collect.cu: what devices tell each other without the host between them: NCCL. Its library is opened when it
// is first asked for: a machine without it, or with one device, needs none. Communicators are such that no
// call waits, since a rank that fails must not hold up the others: whoever waits asks, and can give up
// (src/backend/gpu_circle.h tells how).
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "launchers.h"
#include "nccl_abi.h"

#ifdef SIMT_EMULATOR
#include <nccl.h>

static void *find_symbol(const char *name, const char **why)
{
    void *address = simt_nccl_symbol(name);
    *why = address == nullptr ? "not in the emulator" : nullptr;
    return address;
}
#else
#include <dlfcn.h>

static void *find_symbol(const char *name, const char **why)
{
    static void *library; // stays open: device code of it may be loaded
    void *address = nullptr;
    if (library == nullptr)
        library = dlopen(MILL_NCCL_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr)
        address = dlsym(library, name);
    *why = address == nullptr ? dlerror() : nullptr;
    return address;
}
#endif

static Nccl nccl;

static bool find_functions(Nccl *found, char *why, size_t capacity)
{
    const struct {
        void **member;
        const char *name;
    } list[] = {
#define X(member, name) {reinterpret_cast<void **>(&found->member), #name},
        MILL_NCCL_MAP(X)
#undef X
    };
    for (const auto &function : list) {
        const char *reason;
        *function.member = find_symbol(function.name, &reason);
        if (*function.member == nullptr) {
            snprintf(why, capacity, "%s", reason != nullptr ? reason : function.name);
            return false;
        }
    }
    return true;
}

extern "C" int mill_gpu_collect_version(char *why, size_t capacity)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int version;
    pthread_mutex_lock(&lock);
    Nccl found;
    int seen = 0;
    if (version == 0 && find_functions(&found, why, capacity)) {
        int code = found.version(&seen);
        if (code == MILL_NCCL_SUCCESS && seen >= MILL_NCCL_OLDEST && seen < MILL_NCCL_END) {
            nccl = found;
            version = seen;
        } else {
            snprintf(why, capacity, "%s has version number %d, not %d to %d", MILL_NCCL_LIBRARY, seen,
                     MILL_NCCL_OLDEST, MILL_NCCL_END - 1);
        }
    }
    int usable = version;
    pthread_mutex_unlock(&lock);
    return usable;
}

static int answer(int code)
{
    return code == MILL_NCCL_IN_PROGRESS ? MILL_GPU_PENDING : code;
}

extern "C" const char *mill_gpu_collect_text(int code)
{
    return nccl.text(code);
}

extern "C" int mill_gpu_collect_name(uint8_t *name)
{
    Nccl_id id;
    int code = nccl.unique_id(&id);
    memcpy(name, id.bytes, sizeof id.bytes);
    return code;
}
static_assert(sizeof(Nccl_id) == MILL_GPU_COLLECT_NAME, "a name is an id of NCCL's");

extern "C" int mill_gpu_collect_join(void **group, const uint8_t *name, uint32_t ranks, uint32_t rank)
{
    Nccl_config config = {sizeof config, MILL_NCCL_MAGIC, MILL_NCCL_OLDEST, 0};
    Nccl_id id;
    memcpy(id.bytes, name, sizeof id.bytes);
    *group = nullptr;
    return answer(nccl.join(group, static_cast<int>(ranks), id, static_cast<int>(rank), &config));
}

extern "C" int mill_gpu_collect_ask(void *group)
{
    int state = MILL_NCCL_IN_PROGRESS, code = nccl.async_error(group, &state);
    return answer(code != MILL_NCCL_SUCCESS ? code : state);
}

extern "C" int mill_gpu_collect_sum(void *group, uint64_t *values, size_t count, void *stream)
{
    return answer(nccl.all_reduce(values, values, count, MILL_NCCL_UINT64, MILL_NCCL_SUM, group,
                                  static_cast<cudaStream_t>(stream)));
}

extern "C" int mill_gpu_collect_gather(void *group, const void *own, void *all, size_t bytes, void *stream)
{
    return answer(
        nccl.all_gather(own, all, bytes, MILL_NCCL_UINT8, group, static_cast<cudaStream_t>(stream)));
}

extern "C" int mill_gpu_collect_leave(void *group)
{
    return nccl.abort(group);
}
