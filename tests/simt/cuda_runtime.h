// cuda_runtime.h: stand-in for CUDA's header of this name. With it a C++17 compiler translates kernels/*.cu,
// and simt.cpp runs the kernels on the CPU: one fiber a CUDA thread, all checks on. Only what
// kernels/mill_cuda.h allows is here, so that a kernel which steps outside does not compile. docs/GPU.md says
// what a run under the emulator proves.
#ifndef SIMT_CUDA_RUNTIME_H
#define SIMT_CUDA_RUNTIME_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#define SIMT_EMULATOR 1
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
// __noinline__ stays undefined: libstdc++ writes __attribute__((__noinline__)).

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(8) int2 {
    int x, y;
};
struct uint3 {
    unsigned x, y, z;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(16) ulonglong2 {
    unsigned long long x, y;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

static inline uint2 make_uint2(unsigned x, unsigned y)
{
    return {x, y};
}

static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}

static inline ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y)
{
    return {x, y};
}

// ---- what the runtime gives to kernels ----

namespace simt
{
enum class Warp_op {
    sync,
    shfl,
    shfl_up,
    shfl_down,
    shfl_xor,
    ballot,
    any,
    all,
    match_any,
    add,
    min,
    max,
    imin,
    imax,
    band,
    bor,
    bxor
};
enum class Block_op { sync, count, all, any };

// Who a fiber is.
struct Context {
    uint3 thread, block, block_size, grid_size;
    int lane;
};

// The fiber that runs on this OS thread, null outside of kernels. The plainest kind of thread-local variable:
// kernels read it at every mention of threadIdx.
extern __thread Context *current __attribute__((tls_model("initial-exec")));

uint64_t warp_operation(Warp_op op, unsigned mask, uint64_t value, unsigned lane_or_delta, unsigned width);
unsigned block_barrier(Block_op op, bool predicate, const void *site);
void *shared_array(const void *site, size_t bytes, size_t alignment);
void *dynamic_shared();
void preempt(); // perhaps lets other threads run first
void fence();
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

template <class T, class... List> constexpr bool one_of = (std::is_same_v<T, List> || ...);
template <class T> struct Same {
    typedef T type;
};
template <class T> using same = typename Same<T>::type; // an argument that takes no part in deduction

template <class T> T load_relaxed(const T *p)
{
    preempt();
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

template <class T> void store_relaxed(T *p, same<T> value)
{
    preempt();
    __atomic_store_n(p, value, __ATOMIC_RELAXED);
}

// A value of 4 or 8 bytes on its way through a warp operation.
template <class T> uint64_t to_bits(T value)
{
    static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                  "warp operations take 32 or 64-bit integers");
    return static_cast<uint64_t>(static_cast<std::make_unsigned_t<T>>(value));
}
} // namespace simt

#define threadIdx (simt::current->thread)
#define blockIdx (simt::current->block)
#define blockDim (simt::current->block_size)
#define gridDim (simt::current->grid_size)
constexpr int warpSize = 32;

// An address that is this place in the source's own: barriers and shared arrays are told apart by it.
#define SIMT_SITE() \
    ([]() -> const void * { \
        static char place; \
        return &place; \
    }())
#define __syncthreads() static_cast<void>(simt::block_barrier(simt::Block_op::sync, false, SIMT_SITE()))
#define __syncthreads_count(p) \
    static_cast<int>(simt::block_barrier(simt::Block_op::count, (p) != 0, SIMT_SITE()))
#define __syncthreads_and(p) static_cast<int>(simt::block_barrier(simt::Block_op::all, (p) != 0, SIMT_SITE()))
#define __syncthreads_or(p) static_cast<int>(simt::block_barrier(simt::Block_op::any, (p) != 0, SIMT_SITE()))

// ---- warp operations ----

static inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    simt::warp_operation(simt::Warp_op::sync, mask, 0, 0, warpSize);
}

#define SIMT_SHUFFLE(name, op) \
    template <class T> T name(unsigned mask, T value, unsigned lane_or_delta, int width = warpSize) \
    { \
        return static_cast<T>(simt::warp_operation(simt::Warp_op::op, mask, simt::to_bits(value), \
                                                   lane_or_delta, static_cast<unsigned>(width))); \
    }
SIMT_SHUFFLE(__shfl_up_sync, shfl_up)
SIMT_SHUFFLE(__shfl_down_sync, shfl_down)
#undef SIMT_SHUFFLE
#define SIMT_SHUFFLE(name, op) \
    template <class T> T name(unsigned mask, T value, int lane, int width = warpSize) \
    { \
        return static_cast<T>(simt::warp_operation(simt::Warp_op::op, mask, simt::to_bits(value), \
                                                   static_cast<unsigned>(lane), \
                                                   static_cast<unsigned>(width))); \
    }
SIMT_SHUFFLE(__shfl_sync, shfl)
SIMT_SHUFFLE(__shfl_xor_sync, shfl_xor)
#undef SIMT_SHUFFLE

static inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    return static_cast<unsigned>(
        simt::warp_operation(simt::Warp_op::ballot, mask, predicate != 0, 0, warpSize));
}

static inline int __any_sync(unsigned mask, int predicate)
{
    return static_cast<int>(simt::warp_operation(simt::Warp_op::any, mask, predicate != 0, 0, warpSize));
}

static inline int __all_sync(unsigned mask, int predicate)
{
    return static_cast<int>(simt::warp_operation(simt::Warp_op::all, mask, predicate != 0, 0, warpSize));
}

template <class T> unsigned __match_any_sync(unsigned mask, T value)
{
    return static_cast<unsigned>(
        simt::warp_operation(simt::Warp_op::match_any, mask, simt::to_bits(value), 0, warpSize));
}

#define SIMT_REDUCE(name, T, op) \
    static inline T name(unsigned mask, T value) \
    { \
        return static_cast<T>( \
            simt::warp_operation(simt::Warp_op::op, mask, simt::to_bits(value), 0, warpSize)); \
    }
SIMT_REDUCE(__reduce_add_sync, unsigned, add)
SIMT_REDUCE(__reduce_add_sync, int, add)
SIMT_REDUCE(__reduce_min_sync, unsigned, min)
SIMT_REDUCE(__reduce_min_sync, int, imin)
SIMT_REDUCE(__reduce_max_sync, unsigned, max)
SIMT_REDUCE(__reduce_max_sync, int, imax)
SIMT_REDUCE(__reduce_and_sync, unsigned, band)
SIMT_REDUCE(__reduce_or_sync, unsigned, bor)
SIMT_REDUCE(__reduce_xor_sync, unsigned, bxor)
#undef SIMT_REDUCE

// ---- atomics: relaxed, as on the device, for the types that the device has ----

#define SIMT_ATOMIC(name, builtin, ...) \
    template <class T> T name(T *p, simt::same<T> value) \
    { \
        static_assert(simt::one_of<T, __VA_ARGS__>, #name " has no form for this type on a device"); \
        simt::preempt(); \
        return builtin(p, value, __ATOMIC_RELAXED); \
    }
SIMT_ATOMIC(atomicAdd, __atomic_fetch_add, int, unsigned, unsigned long long)
SIMT_ATOMIC(atomicSub, __atomic_fetch_sub, int, unsigned)
SIMT_ATOMIC(atomicAnd, __atomic_fetch_and, int, unsigned, unsigned long long)
SIMT_ATOMIC(atomicOr, __atomic_fetch_or, int, unsigned, unsigned long long)
SIMT_ATOMIC(atomicXor, __atomic_fetch_xor, int, unsigned, unsigned long long)
SIMT_ATOMIC(atomicExch, __atomic_exchange_n, int, unsigned, unsigned long long)
#undef SIMT_ATOMIC

template <class T> T atomicCAS(T *p, simt::same<T> expected, simt::same<T> value)
{
    static_assert(simt::one_of<T, int, unsigned, unsigned long long>,
                  "atomicCAS has no form for this type on a device");
    simt::preempt();
    __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}

#define SIMT_ATOMIC(name, better) \
    template <class T> T name(T *p, simt::same<T> value) \
    { \
        static_assert(simt::one_of<T, int, unsigned, long long, unsigned long long>, \
                      #name " has no form for this type"); \
        simt::preempt(); \
        T seen = __atomic_load_n(p, __ATOMIC_RELAXED); \
        while (value better seen && \
               !__atomic_compare_exchange_n(p, &seen, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) { \
        } \
        return seen; \
    }
SIMT_ATOMIC(atomicMin, <)
SIMT_ATOMIC(atomicMax, >)
#undef SIMT_ATOMIC

static inline void __threadfence()
{
    simt::fence();
}

static inline void __threadfence_block()
{
    simt::fence();
}

// ---- plain functions of integers ----

template <class T> T __ldg(const T *p)
{
    return *p;
}

static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

static inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}

static inline int __clz(int x)
{
    return x ? __builtin_clz(static_cast<unsigned>(x)) : 32;
}

static inline int __clzll(long long x)
{
    return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64;
}

static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}

static inline int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}

static inline unsigned __brev(unsigned x)
{
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++)
        reversed |= (x >> i & 1) << (31 - i);
    return reversed;
}

static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32);
}

static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    __extension__ typedef unsigned __int128 wide;
    return static_cast<unsigned long long>((static_cast<wide>(a) * b) >> 64);
}

static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return static_cast<unsigned>(((static_cast<uint64_t>(high) << 32 | low) << (shift & 31)) >> 32);
}

static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) >> (shift & 31));
}

static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector)
{
    if (selector & 0x8888u)
        simt::fail("__byte_perm: selector %08x has a top bit set, of which CUDA promises nothing", selector);
    uint64_t bytes = static_cast<uint64_t>(y) << 32 | x;
    unsigned result = 0;
    for (unsigned i = 0; i < 4; i++)
        result |= static_cast<unsigned>(bytes >> (8 * (selector >> (4 * i) & 7)) & 255) << (8 * i);
    return result;
}

template <class T> T min(T a, T b)
{
    return b < a ? b : a;
}

template <class T> T max(T a, T b)
{
    return a < b ? b : a;
}

// ---- the host's side: the part of the runtime API that the launchers use ----

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorNotReady = 600,
    cudaErrorLaunchOutOfResources = 701,
    cudaErrorLaunchFailure = 719,
    cudaErrorUnknown = 999
};
enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
enum { cudaStreamDefault = 0, cudaStreamNonBlocking = 1 };
enum { cudaHostAllocDefault = 0, cudaHostAllocPortable = 1 };
enum { cudaEventDefault = 0, cudaEventDisableTiming = 2 };
enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMaxSharedMemoryPerBlock = 8,
    cudaDevAttrWarpSize = 10,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76
};
struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor, multiProcessorCount;
};
typedef struct simt_stream *cudaStream_t;
typedef struct simt_event *cudaEvent_t;

cudaError_t cudaMalloc(void **p, size_t bytes);
cudaError_t cudaFree(void *p);
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void *to, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream = nullptr);
cudaError_t cudaStreamCreate(cudaStream_t *stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
const char *cudaGetErrorString(cudaError_t code);
const char *cudaGetErrorName(cudaError_t code);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);

template <class T> cudaError_t cudaMalloc(T **p, size_t bytes)
{
    return cudaMalloc(reinterpret_cast<void **>(p), bytes);
}

template <class T> cudaError_t cudaHostAlloc(T **p, size_t bytes, unsigned flags)
{
    return cudaHostAlloc(reinterpret_cast<void **>(p), bytes, flags);
}

namespace simt
{
typedef std::function<void()> Body; // a kernel with its arguments

void name_launch(const char *name); // of the next launch of this OS thread, for messages
cudaError_t launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, Body body);

// The arguments are copied at the launch, as CUDA does.
template <class... P, size_t... I>
Body bind(void (*kernel)(P...), [[maybe_unused]] void **arguments, std::index_sequence<I...>)
{
    std::tuple<std::remove_cv_t<P>...> values{*static_cast<std::remove_cv_t<P> *>(arguments[I])...};
    return [kernel, values] { std::apply(kernel, values); };
}
} // namespace simt

template <class... P>
cudaError_t cudaLaunchKernel(void (*kernel)(P...), dim3 grid, dim3 block, void **arguments,
                             size_t shared_bytes = 0, cudaStream_t stream = nullptr)
{
    return simt::launch(grid, block, shared_bytes, stream,
                        simt::bind(kernel, arguments, std::index_sequence_for<P...>{}));
}

#endif
