// mill_cuda.h: the dialect that the files in kernels/ are written in. The same text is compiled by nvcc for a device and, with the
// stand-in <cuda_runtime.h> of tests/simt, by any C++17 compiler for the emulator; what differs between the two stands here.
//
// Allowed: threadIdx, blockIdx, blockDim, gridDim, __syncthreads[_count|_and|_or], __syncwarp, __shfl[_up|_down|_xor]_sync,
// __ballot|any|all|match_any|reduce_*_sync, atomics on 32 and 64 bits, __ldg, uint2, uint4, popc, clz, ffs, umulhi, umul64hi,
// funnelshift, byte_perm. Not allowed, and refused by tools/dialect.py: what the emulator cannot run or check, and floating point.
#ifndef MILL_MILL_CUDA_H
#define MILL_MILL_CUDA_H

#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

// The atomics know `unsigned long long`, which is not what uint64_t is on Linux: kernels use these names throughout.
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int8_t i8;
typedef int32_t i32;
typedef long long i64;
static_assert(sizeof(u32) == 4 && sizeof(u64) == 8, "the kernels count on these sizes");

// MILL_SHARED(T, name, n): an array `T name[n]` that the threads of a block share; its first contents are anything.
// MILL_DYN_SHARED(T, name): a pointer `T *name`, 16-byte aligned, to the shared bytes that the launch asked for.
// MILL_LOAD_RELAXED(p), MILL_STORE_RELAXED(p, v): one access to memory that other threads change at the same time.
#ifdef SIMT_EMULATOR
#define MILL_SHARED(T, name, n) \
    T(&name)[n] = *static_cast<T(*)[n]>(simt::shared_array(SIMT_SITE(), sizeof(T[n]), alignof(T)))
#define MILL_DYN_SHARED(T, name) T *name = static_cast<T *>(simt::dynamic_shared())
#define MILL_LOAD_RELAXED(p) simt::load_relaxed(p)
#define MILL_STORE_RELAXED(p, v) simt::store_relaxed((p), (v))
#define MILL_NOINLINE __attribute__((noinline))
#else
#define MILL_SHARED(T, name, n) __shared__ T name[n]
#define MILL_DYN_SHARED(T, name) \
    extern __shared__ __align__(16) unsigned char mill_dynamic_shared[]; \
    T *name = reinterpret_cast<T *>(mill_dynamic_shared)
#define MILL_LOAD_RELAXED(p) mill_load_relaxed(p)
#define MILL_STORE_RELAXED(p, v) mill_store_relaxed((p), (v))
#define MILL_NOINLINE __noinline__

template <class T> static __device__ __forceinline__ T mill_load_relaxed(const T *p)
{
    return *static_cast<const volatile T *>(p);
}

template <class T, class V> static __device__ __forceinline__ void mill_store_relaxed(T *p, V value)
{
    *static_cast<volatile T *>(p) = value;
}
#endif

// Keeps a parameter out of the deduction of template arguments, so that the kernel's own types decide.
template <class T> struct mill_same {
    typedef T type;
};

// MILL_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...): queues a kernel; the arguments are converted to its
// parameter types. Returns 0 or a code of cudaError_t; the host never sees that type. `stream` is a void *.
#define MILL_LAUNCH(kernel, ...) mill_launch(#kernel, kernel, __VA_ARGS__)

template <class... P>
static inline int mill_launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, void *stream,
                              typename mill_same<P>::type... arguments)
{
    void *list[] = {static_cast<void *>(&arguments)..., nullptr};
#ifdef SIMT_EMULATOR
    simt::name_launch(name);
#else
    (void)name;
#endif
    return static_cast<int>(cudaLaunchKernel(kernel, grid, block, list, shared_bytes, static_cast<cudaStream_t>(stream)));
}

#endif
