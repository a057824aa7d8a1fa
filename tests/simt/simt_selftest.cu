// simt_selftest.cu: everything that kernels may count on, compared with plain definitions (those of the CUDA
// programming guide) on values at the borders. It asks the device that is there: the emulator, under seeds 0
// to 8, or a real one when nvcc compiles this file, which is how a stand-in that is wrong would show.
#include "mill_cuda.h"
#include "selftest.h"

// ---- functions of one thread ----

enum { SCALARS = 20 };

static __global__ void scalars(const u64 *values, u32 count, u64 *out)
{
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count * count)
        return;
    u64 a = __ldg(values + i / count), b = values[i % count], *to = out + static_cast<size_t>(i) * SCALARS;
    u32 a32 = static_cast<u32>(a), b32 = static_cast<u32>(b);
    u32 n = 0;
    to[n++] = static_cast<u32>(__popc(a32));
    to[n++] = static_cast<u32>(__popcll(a));
    to[n++] = static_cast<u32>(__clz(static_cast<i32>(a32)));
    to[n++] = static_cast<u32>(__clzll(static_cast<i64>(a)));
    to[n++] = static_cast<u32>(__ffs(static_cast<i32>(a32)));
    to[n++] = static_cast<u32>(__ffsll(static_cast<i64>(a)));
    to[n++] = __brev(a32);
    to[n++] = __umulhi(a32, b32);
    to[n++] = __umul64hi(a, b);
    to[n++] = __funnelshift_l(a32, static_cast<u32>(a >> 32), b32);
    to[n++] = __funnelshift_r(a32, static_cast<u32>(a >> 32), b32);
    to[n++] = __byte_perm(a32, static_cast<u32>(a >> 32), b32 & 0x7777u);
    to[n++] = min(a32, b32);
    to[n++] = max(a32, b32);
    to[n++] = min(a, b);
    to[n++] = max(a, b);
    to[n++] = static_cast<u32>(min(static_cast<i32>(a32), static_cast<i32>(b32)));
    to[n++] = static_cast<u32>(max(static_cast<i32>(a32), static_cast<i32>(b32)));
    to[n++] = static_cast<u64>(min(static_cast<i64>(a), static_cast<i64>(b)));
    to[n++] = static_cast<u64>(max(static_cast<i64>(a), static_cast<i64>(b)));
}

static u32 bits_set(u64 x)
{
    u32 n = 0;
    for (; x != 0; x >>= 1)
        n += static_cast<u32>(x & 1);
    return n;
}

static u32 highest(u64 x) // number of the highest bit that is set, from 1; 0: none
{
    u32 n = 0;
    for (; x != 0; x >>= 1)
        n++;
    return n;
}

static u32 lowest(u64 x) // the same of the lowest
{
    for (u32 n = 1; n <= 64; n++)
        if ((x >> (n - 1) & 1) != 0)
            return n;
    return 0;
}

static u32 reversed(u32 x)
{
    u32 y = 0;
    for (u32 i = 0; i < 32; i++)
        y = y << 1 | (x >> i & 1);
    return y;
}

static u64 product_high(u64 a, u64 b) // by 32-bit digits
{
    u64 a0 = static_cast<u32>(a), a1 = a >> 32, b0 = static_cast<u32>(b), b1 = b >> 32;
    u64 middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + static_cast<u32>(middle);
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

static u32 shifted(u64 x, u32 shift, bool left) // one bit at a time
{
    for (u32 i = 0; i < shift % 32; i++)
        x = left ? x << 1 : x >> 1;
    return static_cast<u32>(left ? x >> 32 : x);
}

static u32 permuted(u64 bytes, u32 selector)
{
    u32 result = 0;
    for (u32 i = 0; i < 4; i++)
        result += (static_cast<u32>(bytes >> (selector >> (4 * i) & 7) * 8) & 0xff) << (8 * i);
    return result;
}

static void expected_scalars(u64 a, u64 b, u64 *to)
{
    u32 a32 = static_cast<u32>(a), b32 = static_cast<u32>(b);
    i32 as = static_cast<i32>(a32), bs = static_cast<i32>(b32);
    i64 al = static_cast<i64>(a), bl = static_cast<i64>(b);
    const u64 values[SCALARS] = {bits_set(a32),
                                 bits_set(a),
                                 32 - highest(a32),
                                 64 - highest(a),
                                 lowest(a32),
                                 lowest(a),
                                 reversed(a32),
                                 static_cast<u64>(a32) * b32 >> 32,
                                 product_high(a, b),
                                 shifted(a, b32, true),
                                 shifted(a, b32, false),
                                 permuted(a, b32 & 0x7777u),
                                 a32 < b32 ? a32 : b32,
                                 a32 > b32 ? a32 : b32,
                                 a < b ? a : b,
                                 a > b ? a : b,
                                 static_cast<u32>(as < bs ? as : bs),
                                 static_cast<u32>(as > bs ? as : bs),
                                 static_cast<u64>(al < bl ? al : bl),
                                 static_cast<u64>(al > bl ? al : bl)};
    memcpy(to, values, sizeof values);
}

static void test_scalars(void)
{
    std::vector<u64> values = {0,
                               1,
                               2,
                               3,
                               31,
                               32,
                               33,
                               0x3210,
                               0x7654,
                               0x80,
                               0xff,
                               0x7fffffff,
                               0x80000000,
                               0x80000001,
                               0xfffffffe,
                               0xffffffff,
                               0x100000000,
                               0x7fffffffffffffff,
                               0x8000000000000000,
                               0xffffffffffffffff};
    for (int i = 0; i < 12; i++)
        values.push_back(draw());
    u32 count = static_cast<u32>(values.size()), pairs = count * count;
    Device_array<u64> in(values), out(static_cast<size_t>(pairs) * SCALARS);
    must(MILL_LAUNCH(scalars, dim3((pairs + 63) / 64), dim3(64), 0, nullptr, in.data, count, out.data));
    std::vector<u64> got = out.get();
    for (u32 i = 0; i < pairs; i++) {
        u64 wanted[SCALARS];
        expected_scalars(values[i / count], values[i % count], wanted);
        for (u32 k = 0; k < SCALARS; k++)
            expect(got[static_cast<size_t>(i) * SCALARS + k] == wanted[k],
                   "scalar %u of %llx, %llx: %llx, not %llx", k, values[i / count], values[i % count],
                   got[static_cast<size_t>(i) * SCALARS + k], wanted[k]);
    }
}

// ---- shuffles ----

template <class T>
static __global__ void shuffles(const T *values, const u32 *aux, u32 mask, u32 width, T *out)
{
    u32 lane = threadIdx.x & 31u, i = threadIdx.x, stride = blockDim.x;
    int w = static_cast<int>(width);
    if ((mask >> lane & 1u) == 0)
        return;
    out[i] = __shfl_sync(mask, values[i], static_cast<int>(aux[i]), w);
    out[stride + i] = __shfl_up_sync(mask, values[i], aux[0] & 31u, w);
    out[2 * stride + i] = __shfl_down_sync(mask, values[i], aux[0] & 31u, w);
    out[3 * stride + i] = __shfl_xor_sync(mask, values[i], static_cast<int>(aux[0] & 31u), w);
}

// The lane that a shuffle of kind 0 .. 3 reads.
static u32 shuffle_source(u32 kind, u32 lane, u32 aux, u32 width)
{
    u32 begin = lane / width * width;
    if (kind == 0)
        return begin + aux % width;
    if (kind == 1)
        return lane < begin + aux ? lane : lane - aux;
    u32 other = kind == 2 ? lane + aux : lane ^ aux;
    return other >= begin + width ? lane : other;
}

template <class T> static void try_shuffles(u32 threads, u32 mask, u32 width, u32 distance)
{
    std::vector<T> values(threads);
    std::vector<u32> aux(threads);
    for (u32 i = 0; i < threads; i++) {
        values[i] = static_cast<T>(draw());
        aux[i] = i == 0 ? distance : static_cast<u32>(draw()) % 64;
    }
    Device_array<T> in(values), out(static_cast<size_t>(4) * threads);
    Device_array<u32> lanes(aux);
    must(MILL_LAUNCH(shuffles<T>, dim3(1), dim3(threads), 0, nullptr, in.data, lanes.data, mask, width,
                     out.data));
    std::vector<T> got = out.get();
    for (u32 kind = 0; kind < 4; kind++)
        for (u32 i = 0; i < threads; i++) {
            u32 source = shuffle_source(kind, i % 32, kind == 0 ? aux[i] : distance & 31u, width);
            if ((mask >> (i % 32) & 1u) == 0 || (mask >> source & 1u) == 0)
                continue; // takes no part, or the result is undefined
            expect(got[kind * threads + i] == values[i / 32 * 32 + source],
                   "shuffle %u of thread %u, mask %x width %u distance %u", kind, i, mask, width, distance);
        }
}

static const u32 masks[] = {0xffffffffu, 0x00000001u, 0x80000000u, 0x0000ffffu,
                            0xffff0000u, 0xaaaaaaaau, 0x7fffffffu, 0x12345679u};

static void test_shuffles(void)
{
    for (u32 mask : masks)
        for (u32 width = 1; width <= 32; width *= 2) {
            static const u32 distances[] = {0, 1, 5, 16, 31};
            u32 distance = distances[(mask + width) % 5];
            try_shuffles<u32>(32, mask, width, distance);
            try_shuffles<i32>(64, mask, width, (distance + 7) & 31u);
            try_shuffles<u64>(64, mask, width, distance);
            try_shuffles<i64>(32, mask, width, (distance + 3) & 31u);
        }
    try_shuffles<u32>(17, 0x1ffffu, 32, 2); // a warp that is not full
    try_shuffles<u64>(1, 1u, 32, 0);
}

// ---- votes, matches, reductions ----

enum { VOTES = 14 };

static __global__ void votes(const i32 *values, const i64 *wide, u32 mask, u64 *out)
{
    u32 lane = threadIdx.x & 31u;
    u64 *to = out + static_cast<size_t>(threadIdx.x) * VOTES;
    i32 v = values[threadIdx.x];
    if ((mask >> lane & 1u) == 0)
        return;
    u32 n = 0;
    to[n++] = __ballot_sync(mask, v);
    to[n++] = __any_sync(mask, v) != 0;
    to[n++] = __all_sync(mask, v) != 0;
    to[n++] = __match_any_sync(mask, v);
    to[n++] = __match_any_sync(mask, wide[threadIdx.x]);
    to[n++] = __reduce_add_sync(mask, static_cast<u32>(v));
    to[n++] = static_cast<u32>(__reduce_add_sync(mask, v));
    to[n++] = __reduce_min_sync(mask, static_cast<u32>(v));
    to[n++] = __reduce_max_sync(mask, static_cast<u32>(v));
    to[n++] = static_cast<u32>(__reduce_min_sync(mask, v));
    to[n++] = static_cast<u32>(__reduce_max_sync(mask, v));
    to[n++] = __reduce_and_sync(mask, static_cast<u32>(v));
    to[n++] = __reduce_or_sync(mask, static_cast<u32>(v));
    to[n++] = __reduce_xor_sync(mask, static_cast<u32>(v));
}

static void expected_votes(const i32 *values, const i64 *wide, u32 mask, u32 lane, u64 *to)
{
    u32 ballot = 0, same = 0, same_wide = 0, sum = 0, low = ~0u, high = 0, all = ~0u, any = 0, odd = 0;
    i32 slow = 0x7fffffff, shigh = -0x7fffffff - 1;
    for (u32 i = 0; i < 32; i++) {
        if ((mask >> i & 1u) == 0)
            continue;
        i32 v = values[i];
        u32 u = static_cast<u32>(v), bit = 1u << i;
        ballot |= v != 0 ? bit : 0;
        same |= v == values[lane] ? bit : 0;
        same_wide |= wide[i] == wide[lane] ? bit : 0;
        sum += u;
        low = u < low ? u : low;
        high = u > high ? u : high;
        slow = v < slow ? v : slow;
        shigh = v > shigh ? v : shigh;
        all &= u;
        any |= u;
        odd ^= u;
    }
    const u64 result[VOTES] = {ballot,
                               ballot != 0,
                               ballot == mask,
                               same,
                               same_wide,
                               sum,
                               sum,
                               low,
                               high,
                               static_cast<u32>(slow),
                               static_cast<u32>(shigh),
                               all,
                               any,
                               odd};
    memcpy(to, result, sizeof result);
}

static void try_votes(u32 threads, u32 mask, u32 kind)
{
    static const i32 edges[] = {0, 1, 2, -1, 256, 0x7fffffff, -0x7fffffff - 1, 0x40000000};
    std::vector<i32> values(threads);
    std::vector<i64> wide(threads);
    for (u32 i = 0; i < threads; i++) {
        i32 edge = edges[draw() % 8], any = static_cast<i32>(draw());
        values[i] = kind == 0 ? 0 : kind == 1 ? 0x100 : kind == 2 ? edge : any;
        wide[i] =
            static_cast<i64>((draw() % 2) << 40 | draw() % 2); // equal in one half, different in the other
    }
    Device_array<i32> in(values);
    Device_array<i64> in_wide(wide);
    Device_array<u64> out(static_cast<size_t>(threads) * VOTES);
    must(MILL_LAUNCH(votes, dim3(1), dim3(threads), 0, nullptr, in.data, in_wide.data, mask, out.data));
    std::vector<u64> got = out.get();
    for (u32 i = 0; i < threads; i++) {
        u64 wanted[VOTES];
        if ((mask >> (i % 32) & 1u) == 0)
            continue;
        expected_votes(&values[i / 32 * 32], &wide[i / 32 * 32], mask, i % 32, wanted);
        for (u32 k = 0; k < VOTES; k++)
            expect(got[i * VOTES + k] == wanted[k], "vote %u of thread %u, mask %x: %llx, not %llx", k, i,
                   mask, got[i * VOTES + k], wanted[k]);
    }
}

static void test_votes(void)
{
    for (u32 mask : masks)
        for (u32 kind = 0; kind < 4; kind++)
            try_votes(kind % 2 != 0 ? 32 : 96, mask, kind);
    try_votes(5, 0x1fu, 3);
}

// Groups of a warp that do different things at the same time, then all together again.
static __global__ void split_warp(u32 *out)
{
    u32 lane = threadIdx.x & 31u, sum;
    if (lane % 3 == 0)
        sum = __reduce_add_sync(0x49249249u, lane);
    else if (lane % 3 == 1)
        sum = static_cast<u32>(__shfl_xor_sync(0x92492492u, lane, 0)) + __reduce_max_sync(0x92492492u, lane);
    else
        sum = __ballot_sync(0x24924924u, lane > 15u);
    __syncwarp();
    out[threadIdx.x] = sum + __reduce_min_sync(0xffffffffu, lane + 7u);
}

static void test_split_warp(void)
{
    Device_array<u32> out(64);
    must(MILL_LAUNCH(split_warp, dim3(1), dim3(64), 0, nullptr, out.data));
    std::vector<u32> got = out.get();
    for (u32 i = 0; i < 64; i++) {
        u32 lane = i % 32, wanted = lane % 3 == 0 ? 165 : lane % 3 == 1 ? lane + 31 : 0x24920000u;
        expect(got[i] == wanted + 7, "split warp, thread %u: %u, not %u", i, got[i], wanted + 7);
    }
}

// What lanes write before __syncwarp, others read behind it.
static __global__ void warp_memory(u32 *out)
{
    MILL_SHARED(u32, tile, 64);
    u32 i = threadIdx.x, first = i & ~31u;
    for (u32 round = 0; round < 5; round++) {
        tile[i] = i * 10 + round;
        __syncwarp();
        u32 next = tile[first + (i + 1) % 32];
        __syncwarp();
        out[round * 64 + i] = next;
    }
}

static void test_warp_memory(void)
{
    Device_array<u32> out(5 * 64);
    must(MILL_LAUNCH(warp_memory, dim3(1), dim3(64), 0, nullptr, out.data));
    std::vector<u32> got = out.get();
    for (u32 i = 0; i < 5 * 64; i++) {
        u32 thread = i % 64, next = thread / 32 * 32 + (thread + 1) % 32;
        expect(got[i] == next * 10 + i / 64, "warp memory, round %u thread %u: %u", i / 64, thread, got[i]);
    }
}

// ---- blocks ----

static __global__ void barriers(const i32 *predicates, u32 rounds, u32 *out)
{
    MILL_SHARED(u32, ring, 1024);
    u32 n = blockDim.x * blockDim.y * blockDim.z;
    u32 i = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    i32 p = predicates[i];
    u32 sum = static_cast<u32>(__syncthreads_count(p));
    sum += __syncthreads_and(p) != 0 ? 10000u : 0u;
    sum += __syncthreads_or(p) != 0 ? 20000u : 0u;
    ring[i] = i;
    for (u32 round = 0; round < rounds; round++) { // the ring turns by one place a round
        __syncthreads();
        u32 next = ring[(i + 1) % n];
        __syncthreads();
        ring[i] = next;
    }
    out[i] = sum + ring[i] * 100000u;
}

static void try_barriers(dim3 block, u32 kind)
{
    u32 n = block.x * block.y * block.z, count = 0, rounds = n < 64 ? n + 3 : 5;
    std::vector<i32> predicates(n);
    for (i32 &p : predicates) {
        p = kind == 0 ? 0 : kind == 1 ? 2 : static_cast<i32>(draw() % 2) * 0x10000;
        count += p != 0;
    }
    Device_array<i32> in(predicates);
    Device_array<u32> out(n);
    must(MILL_LAUNCH(barriers, dim3(1), block, 0, nullptr, in.data, rounds, out.data));
    std::vector<u32> got = out.get();
    for (u32 i = 0; i < n; i++) {
        u32 wanted =
            count + (count == n ? 10000u : 0u) + (count != 0 ? 20000u : 0u) + (i + rounds) % n * 100000u;
        expect(got[i] == wanted, "barriers, %u threads, thread %u: %u, not %u", n, i, got[i], wanted);
    }
}

static void test_barriers(void)
{
    static const dim3 blocks[] = {dim3(1),   dim3(31),   dim3(32),      dim3(33),
                                  dim3(255), dim3(1024), dim3(8, 4, 2), dim3(3, 5, 7)};
    u32 kind = 0;
    for (const dim3 &block : blocks)
        try_barriers(block, kind++ % 3);
    try_barriers(dim3(64), 0);
    try_barriers(dim3(64), 1);
}

static __global__ void places(u32 *out)
{
    u32 block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    u32 thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    out[block * (blockDim.x * blockDim.y * blockDim.z) + thread] =
        (blockIdx.x | blockIdx.y << 4 | blockIdx.z << 8) << 16 |
        (threadIdx.x | threadIdx.y << 4 | threadIdx.z << 8);
}

static void test_places(void)
{
    dim3 grid(3, 2, 4), block(5, 3, 2);
    Device_array<u32> out(24 * 30);
    must(MILL_LAUNCH(places, grid, block, 0, nullptr, out.data));
    std::vector<u32> got = out.get();
    u32 i = 0;
    for (u32 b = 0; b < 24; b++)
        for (u32 t = 0; t < 30; t++, i++) {
            u32 wanted = (b % 3 | b / 3 % 2 << 4 | b / 6 << 8) << 16 | (t % 5 | t / 5 % 3 << 4 | t / 15 << 8);
            expect(got[i] == wanted, "place of block %u thread %u: %x, not %x", b, t, got[i], wanted);
        }
}

struct Pair {
    u64 key;
    u32 value;
};

// Arrays of a block: apart from each other, of any type, the same in all its threads, not those of other
// blocks.
static MILL_NOINLINE __device__ u32 *shared_of_callee(void)
{
    MILL_SHARED(u32, total, 1);
    return total;
}

static __global__ void shared_arrays(u32 *out)
{
    MILL_SHARED(u8, bytes, 33);
    MILL_SHARED(Pair, pairs, 7);
    MILL_DYN_SHARED(uint4, lines);
    u32 *total = shared_of_callee(), i = threadIdx.x;
    if (i == 0)
        *total = 0;
    if (i < 33)
        bytes[i] = static_cast<u8>(i);
    if (i < 7)
        pairs[i] = {i * 3ull << 33, i};
    lines[i] = make_uint4(i, blockIdx.x, i + 2, i + 3);
    __syncthreads();
    uint4 other = lines[(i + 1) % blockDim.x];
    u32 sum = bytes[i % 33] + pairs[i % 7].value + static_cast<u32>(pairs[i % 7].key >> 33) + other.x +
              other.y + other.z + other.w;
    atomicAdd(shared_of_callee(), sum);
    __syncthreads();
    if (i == 0)
        out[blockIdx.x] = *total;
}

static void test_shared_arrays(void)
{
    const u32 blocks = 9, threads = 48;
    Device_array<u32> out(blocks);
    must(MILL_LAUNCH(shared_arrays, dim3(blocks), dim3(threads), threads * sizeof(uint4), nullptr, out.data));
    std::vector<u32> got = out.get();
    for (u32 b = 0; b < blocks; b++) {
        u32 wanted = 0;
        for (u32 i = 0; i < threads; i++)
            wanted += i % 33 + i % 7 * 4 + 3 * ((i + 1) % threads) + 5 + b;
        expect(got[b] == wanted, "shared arrays of block %u: %u, not %u", b, got[b], wanted);
    }
}

// ---- atomics ----

template <class T> static __device__ __host__ T spread(u32 i) // some value of any sign
{
    return static_cast<T>(static_cast<u64>(i * 2654435761u) << (sizeof(T) == 8 ? 17 : 0));
}

template <class T> static __global__ void atomics(T *cells, T *olds)
{
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    T v = spread<T>(i);
    olds[i] = atomicAdd(&cells[0], 1);
    atomicAdd(&cells[1], v);
    atomicMin(&cells[2], v);
    atomicMax(&cells[3], v);
    atomicAnd(&cells[4], static_cast<T>(v | 1));
    atomicOr(&cells[5], v);
    atomicXor(&cells[6], v);
    T mine = static_cast<T>(i + 1), before = atomicExch(&cells[7], mine);
    atomicXor(&cells[8], static_cast<T>(before ^ mine)); // every value but the last comes back
    for (T seen = MILL_LOAD_RELAXED(&cells[9]);;) {      // a sum by compare and swap
        T was = atomicCAS(&cells[9], seen, static_cast<T>(seen + 3));
        if (was == seen)
            break;
        seen = was;
    }
    if (i % 64 == 5)
        MILL_STORE_RELAXED(&cells[10], static_cast<T>(77));
}

template <class T> static void try_atomics(void)
{
    const u32 threads = 6 * 64;
    const T top = static_cast<T>(sizeof(T) == 8 ? 0x8000000000000000ull : 0x80000000ull);
    std::vector<T> start = {0, 5, static_cast<T>(~top), top, static_cast<T>(-1), 0, 0, 0, 0, 1, 0};
    if (static_cast<T>(-1) > 0) {
        start[2] = static_cast<T>(-1);
        start[3] = 0;
    }
    std::vector<T> wanted = start;
    for (u32 i = 0; i < threads; i++) {
        T v = spread<T>(i);
        wanted[1] = static_cast<T>(static_cast<u64>(wanted[1]) + static_cast<u64>(v));
        wanted[2] = v < wanted[2] ? v : wanted[2];
        wanted[3] = v > wanted[3] ? v : wanted[3];
        wanted[4] = static_cast<T>(wanted[4] & (v | 1));
        wanted[5] = static_cast<T>(wanted[5] | v);
        wanted[6] = static_cast<T>(wanted[6] ^ v);
    }
    wanted[0] = threads;
    wanted[9] = 1 + 3 * threads;
    wanted[10] = 77;
    Device_array<T> cells(start), olds(threads);
    must(MILL_LAUNCH(atomics<T>, dim3(6), dim3(64), 0, nullptr, cells.data, olds.data));
    std::vector<T> got = cells.get(), old = olds.get();
    wanted[7] = got[7];
    wanted[8] = got[7]; // the values that came back cancel all but the one that stayed
    expect(got[7] >= 1 && got[7] <= static_cast<T>(threads), "atomicExch leaves a value that was put");
    for (u32 k = 0; k < 11; k++)
        expect(got[k] == wanted[k], "atomic %u of %zu bytes: %llx, not %llx", k, sizeof(T),
               static_cast<u64>(got[k]), static_cast<u64>(wanted[k]));
    std::sort(old.begin(), old.end());
    for (u32 i = 0; i < threads; i++)
        expect(old[i] == static_cast<T>(i), "the old values of atomicAdd");
}

// Subtraction has no 64-bit form; 64-bit signed values only have minimum and maximum; shared memory has them
// all.
static __global__ void more_atomics(u32 *cells, i64 *wide)
{
    MILL_SHARED(u32, counts, 3);
    MILL_SHARED(u64, sum, 1);
    u32 i = threadIdx.x;
    if (i < 3)
        counts[i] = 0;
    if (i == 0)
        sum[0] = 0;
    __syncthreads();
    atomicSub(&cells[0], i);
    atomicMin(&wide[0], static_cast<i64>(i) - 100);
    atomicMax(&wide[1], static_cast<i64>(i) - 100);
    atomicAdd(&counts[i % 3], 1u);
    atomicAdd(&sum[0], 0x100000001ull);
    __syncthreads();
    if (i < 3)
        cells[1 + i] = counts[i];
    if (i == 0)
        cells[4] = static_cast<u32>(sum[0] >> 32) + static_cast<u32>(sum[0]);
}

static void test_atomics(void)
{
    try_atomics<u32>();
    try_atomics<i32>();
    try_atomics<u64>();
    Device_array<u32> cells(std::vector<u32>{1, 0, 0, 0, 0});
    Device_array<i64> wide(std::vector<i64>{5, -500});
    must(MILL_LAUNCH(more_atomics, dim3(1), dim3(100), 0, nullptr, cells.data, wide.data));
    std::vector<u32> got = cells.get();
    std::vector<i64> far = wide.get();
    expect(got[0] == static_cast<u32>(1 - 4950), "atomicSub wraps");
    expect(got[1] == 34 && got[2] == 33 && got[3] == 33 && got[4] == 200, "atomics on shared memory");
    expect(far[0] == -100 && far[1] == -1, "minimum and maximum of signed 64-bit values");
}

// What a thread writes before a fence, a thread that sees the sign behind it may read: the last block sums up
// what all have left.
static __global__ void last_block(u32 *parts, u32 *ticket, u32 *sum)
{
    MILL_SHARED(u32, is_last, 1);
    if (threadIdx.x == 0) {
        MILL_STORE_RELAXED(&parts[blockIdx.x], blockIdx.x * blockIdx.x);
        __threadfence();
        is_last[0] = atomicAdd(ticket, 1u) == gridDim.x - 1;
        __threadfence();
    }
    __syncthreads();
    if (is_last[0] != 0 && threadIdx.x < 32) {
        u32 mine = 0;
        for (u32 i = threadIdx.x; i < gridDim.x; i += 32)
            mine += MILL_LOAD_RELAXED(&parts[i]);
        mine = __reduce_add_sync(0xffffffffu, mine);
        if (threadIdx.x == 0)
            *sum = mine;
    }
}

static void test_last_block(void)
{
    Device_array<u32> parts(40), cells(std::vector<u32>{0, 0});
    must(MILL_LAUNCH(last_block, dim3(40), dim3(64), 0, nullptr, parts.data, cells.data, cells.data + 1));
    expect(cells.get()[1] == 20540, "the last block's sum");
}

// ---- the host's side ----

static __global__ void add_to(u32 *cells, u32 count, u32 value)
{
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        cells[i] = cells[i] * 3 + value;
}

static void test_limits(void)
{
    static const struct {
        dim3 grid, block;
        size_t shared_bytes;
    } refused[] = {{dim3(1), dim3(1025), 0},        {dim3(1), dim3(0), 0},
                   {dim3(0), dim3(1), 0},           {dim3(1), dim3(32, 33), 0},
                   {dim3(1), dim3(1, 1, 65), 0},    {dim3(1, 65536), dim3(1), 0},
                   {dim3(1, 1, 65536), dim3(1), 0}, {dim3(1), dim3(1), 1 << 20}};
    Device_array<u32> cells(std::vector<u32>{1});
    for (const auto &r : refused) {
        int code = MILL_LAUNCH(add_to, r.grid, r.block, r.shared_bytes, nullptr, cells.data, 1u, 1u);
        expect(code == cudaErrorInvalidConfiguration || code == cudaErrorInvalidValue,
               "a launch beyond the limits: code %d", code);
        expect(cudaGetLastError() == code && cudaGetLastError() == cudaSuccess,
               "the last error is told once");
    }
#ifndef __SANITIZE_THREAD__ // which cannot make so many fibers
    must(MILL_LAUNCH(add_to, dim3(1, 65535), dim3(1), 0, nullptr, cells.data, 0u, 1u));
#endif
    must(MILL_LAUNCH(add_to, dim3(1), dim3(16, 1, 64), 0, nullptr, cells.data, 0u, 1u));
    expect(cells.get()[0] == 1, "nothing but the refused launches ran");
    expect(cudaSetDevice(-1) == cudaErrorInvalidDevice && cudaGetLastError() == cudaErrorInvalidDevice,
           "there is no device -1");
    expect(cudaFree(nullptr) == cudaSuccess, "cudaFree(nullptr)");
    expect(cudaGetErrorString(cudaErrorMemoryAllocation)[0] != 0, "errors have a text");
}

// Two streams of work, joined by events, while the host waits only for the second.
static void test_streams(void)
{
    const u32 count = 1000;
    cudaStream_t first, second;
    cudaEvent_t ready;
    u32 *pinned;
    must(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
    must(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    must(cudaEventCreateWithFlags(&ready, cudaEventDisableTiming));
    must(cudaHostAlloc(&pinned, 2 * count * sizeof(u32), cudaHostAllocDefault));
    Device_array<u32> a(count), b(count);
    for (u32 round = 1; round <= 4; round++) {
        for (u32 i = 0; i < count; i++)
            pinned[i] = i;
        must(cudaMemcpyAsync(a.data, pinned, count * sizeof(u32), cudaMemcpyHostToDevice, first));
        must(MILL_LAUNCH(add_to, dim3(8), dim3(128), 0, first, a.data, count, round));
        must(cudaMemcpyAsync(b.data, a.data, count * sizeof(u32), cudaMemcpyDeviceToDevice, first));
        must(cudaEventRecord(ready, first));
        must(cudaStreamWaitEvent(second, ready, 0));
        must(MILL_LAUNCH(add_to, dim3(8), dim3(128), 0, second, b.data, count, 0u));
        must(cudaMemcpyAsync(pinned + count, b.data, count * sizeof(u32), cudaMemcpyDeviceToHost, second));
        must(cudaStreamSynchronize(second));
        expect(cudaEventQuery(ready) == cudaSuccess, "the event is over");
        for (u32 i = 0; i < count; i++)
            expect(pinned[count + i] == (i * 3 + round) * 3, "streams, round %u: %u", round,
                   pinned[count + i]);
    }
    must(cudaMemsetAsync(a.data, 0x5a, 5, first));
    must(cudaEventRecord(ready, first));
    while (cudaEventQuery(ready) == cudaErrorNotReady) {
    }
    while (cudaStreamQuery(first) == cudaErrorNotReady) {
    }
    (void)cudaGetLastError();
    std::vector<u32> got = a.get();
    expect(got[0] == 0x5a5a5a5a && got[1] == ((1u * 3 + 4) & ~0xffu) + 0x5a, "memset of five bytes");
    must(cudaStreamDestroy(first));
    must(cudaStreamDestroy(second));
    must(cudaEventDestroy(ready));
    must(cudaFreeHost(pinned));
}

// The default stream and blocking streams keep the order in which the host asks.
static void test_default_stream(void)
{
    cudaStream_t blocking;
    must(cudaStreamCreate(&blocking));
    Device_array<u32> cells(std::vector<u32>{1});
    u32 wanted = 1;
    for (u32 i = 0; i < 12; i++) {
        void *stream = i % 3 == 0 ? nullptr : blocking;
        must(MILL_LAUNCH(add_to, dim3(1), dim3(32), 0, stream, cells.data, 1u, i));
        wanted = wanted * 3 + i;
    }
    expect(cells.get()[0] == wanted, "order with the default stream");
    must(cudaStreamDestroy(blocking));
}

static void test_memory(void)
{
    size_t free_bytes = 0, total = 0;
    int devices = 0, lanes = 0;
    cudaDeviceProp properties;
    must(cudaGetDeviceCount(&devices));
    must(cudaMemGetInfo(&free_bytes, &total));
    must(cudaDeviceGetAttribute(&lanes, cudaDevAttrWarpSize, 0));
    must(cudaGetDeviceProperties(&properties, 0));
    expect(devices >= 1 && free_bytes <= total && lanes == 32 && properties.major >= 8,
           "what the device says of itself");
    for (size_t bytes = 1; bytes < 5000; bytes = bytes * 3 + 1) {
        u8 *data;
        std::vector<u8> out(bytes), in(bytes);
        for (u8 &byte : in)
            byte = static_cast<u8>(draw());
        must(cudaMalloc(&data, bytes));
        expect(reinterpret_cast<uintptr_t>(data) % 256 == 0, "cudaMalloc aligns to 256 bytes");
        must(cudaMemcpy(data, in.data(), bytes, cudaMemcpyHostToDevice));
        must(cudaMemcpy(out.data(), data, bytes, cudaMemcpyDefault));
        expect(in == out, "%zu bytes there and back", bytes);
        must(cudaMemset(data, 7, bytes));
        must(cudaMemcpy(out.data(), data, bytes, cudaMemcpyDeviceToHost));
        expect(out == std::vector<u8>(bytes, 7), "memset of %zu bytes", bytes);
        must(cudaFree(data));
    }
    void *much = nullptr;
    expect(cudaMalloc(&much, static_cast<size_t>(1) << 60) == cudaErrorMemoryAllocation,
           "too much memory is refused");
    expect(cudaGetLastError() == cudaErrorMemoryAllocation, "and told");
}

static void run_tests(void)
{
    test_scalars();
    test_shuffles();
    test_votes();
    test_split_warp();
    test_warp_memory();
    test_barriers();
    test_places();
    test_shared_arrays();
    test_atomics();
    test_last_block();
    test_limits();
    test_streams();
    test_default_stream();
    test_memory();
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    const char last_seed = '1'; // in the time that there is
#else
    const char last_seed = '8';
#endif
    return selftest_main(run_tests, last_seed);
}
