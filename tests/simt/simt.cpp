// simt.cpp: runs a kernel: every CUDA thread is a fiber, all of a launch run on the calling OS thread, one at
// a time. A fiber runs until it must wait (barrier, warp operation), is preempted at an atomic, or returns.
// Fibers that wait stand in no list; when none is ready and some still live, the kernel is in a deadlock.
// What a real device would answer with a hang, with garbage or not at all ends the process here, with kernel,
// block and thread. All state belongs to the OS thread, so that threads can drive a device each.
#include "simt_runtime.h"
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace simt
{
__thread Context *current = nullptr;

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != nullptr && *text != '\0' ? strtoull(text, nullptr, 0) : otherwise;
}

static Config configure()
{
    Config c;
    c.seed = number("SIMT_SEED", 0);
    c.resident = static_cast<unsigned>(std::max<uint64_t>(1, number("SIMT_RESIDENT", c.seed != 0 ? 3 : 1)));
    c.preempt = static_cast<unsigned>(number("SIMT_PREEMPT", c.seed != 0 ? 4 : 0));
    c.lazy = static_cast<unsigned>(number("SIMT_LAZY", c.seed % 3 == 0 && c.seed != 0 ? eager
                                                       : c.seed % 3 == 2              ? at_random
                                                                                      : at_sync));
    c.fail_nth = number("SIMT_FAIL_NTH", 0);
    c.fail_lasts = number("SIMT_FAIL_LASTS", 0) != 0;
    c.fail_device =
        getenv("SIMT_FAIL_DEVICE") != nullptr ? static_cast<int>(number("SIMT_FAIL_DEVICE", 0)) : -1;
    c.devices = static_cast<int>(std::min<uint64_t>(64, number("SIMT_DEVICES", 1)));
    c.memory_bytes = static_cast<size_t>(number("SIMT_MEMORY_MIB", 8192)) << 20;
    return c;
}

const Config &config()
{
    static const Config once = configure();
    return once;
}

// ---- the state of a launch ----

static const unsigned warp_lanes = 32;
static const size_t shared_bytes_max = 48 << 10;
static const unsigned arrays_max = 16;
static const size_t array_gap = 128; // watched bytes before and behind each shared array

enum class State { ready, at_barrier, in_warp_operation, returned };

struct Block;
struct Fiber;

struct Warp {
    Fiber *lane[warp_lanes] = {};
    unsigned existing = 0, returned = 0, waiting = 0; // sets of lanes
    // What the first of those that wait is at; alike: all of them are.
    unsigned mask = 0;
    Warp_op op = Warp_op::sync;
    bool alike = true;
};

struct Fiber : Context {
    Block *home = nullptr;
    Warp *warp = nullptr;
    State state = State::ready;
    bool started = false;
    Machine machine;
    // The warp operation that it waits in, and what comes of it.
    Warp_op op = Warp_op::sync;
    unsigned mask = 0, lane_or_delta = 0, width = 0;
    uint64_t value = 0, result = 0;
    unsigned vote = 0; // what the barrier answers
    // Order by __syncwarp, for the thread sanitizer: tokens of the lowest lane that takes part, two in turn,
    // so that a lane that is slow to leave one __syncwarp learns nothing of the next.
    char sync_token[2] = {};
    unsigned syncs = 0;
};

struct Shared_array {
    const void *site; // null: the dynamic one
    char *data;
    size_t bytes;
};

struct Free_arena {
    void operator()(char *arena) const;
};

struct Block {
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    unsigned returned = 0;
    // The barrier that some of its threads wait at.
    unsigned waiting = 0, votes = 0;
    const void *site = nullptr;
    Block_op op = Block_op::sync;
    char token[2] = {};
    unsigned barriers = 0;
    // Shared memory: arrays one behind the other with gaps between, in the order of first use.
    std::unique_ptr<char, Free_arena> own_arena;
    char *arena = nullptr;
    size_t arena_used = 0, dynamic_bytes = 0;
    Shared_array arrays[arrays_max];
    unsigned array_count = 0;
};

struct Launch {
    dim3 grid, block;
    size_t shared_bytes;
    const Body &body;
    const char *name;
};

struct Scheduler {
    Machines machines;
    Random random{config().seed};
    bool shuffled = config().seed != 0;
    const Launch *launch = nullptr;
    std::vector<Fiber *> ring; // ready fibers; its room is made before a launch: fibers must not allocate
    size_t ring_first = 0, ring_count = 0, live = 0;
    std::vector<std::unique_ptr<Block>> resident, spare;
    std::vector<char *> slabs; // thread sanitizer only: arenas of this launch's blocks
    size_t slab_left = 0;
    const char *arena_last = nullptr; // of the block that ended last
    char begin_token = 0, end_token = 0, fence_token = 0;
};

static __thread Scheduler *scheduler_here __attribute__((tls_model("initial-exec"))) = nullptr;

static Scheduler &scheduler()
{
    if (scheduler_here == nullptr) {
        static thread_local std::unique_ptr<Scheduler> owner;
        owner = std::make_unique<Scheduler>();
        scheduler_here = owner.get();
    }
    return *scheduler_here;
}

void fail(const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fprintf(stderr, "SIMT: %s", message);
    const Context *c = current;
    if (scheduler_here != nullptr && scheduler_here->launch != nullptr)
        fprintf(stderr, " [kernel %s]", scheduler_here->launch->name);
    if (c != nullptr)
        fprintf(stderr, " [block %u,%u,%u thread %u,%u,%u]", c->block.x, c->block.y, c->block.z, c->thread.x,
                c->thread.y, c->thread.z);
    fprintf(stderr, "\n");
    fflush(stderr);
    abort();
}

// ---- ready fibers ----

static size_t place_in_ring(const Scheduler &s, size_t number)
{
    size_t place = s.ring_first + number;
    return place < s.ring.size() ? place : place - s.ring.size();
}

static void make_ready(Fiber &f)
{
    Scheduler &s = scheduler();
    f.state = State::ready;
    s.ring[place_in_ring(s, s.ring_count++)] = &f;
}

static Fiber *take_ready(Scheduler &s)
{
    if (s.ring_count == 0)
        return nullptr;
    Fiber *&first = s.ring[s.ring_first];
    if (s.shuffled)
        std::swap(first, s.ring[place_in_ring(s, s.random.below(s.ring_count))]);
    s.ring_first = place_in_ring(s, 1);
    s.ring_count--;
    return first;
}

static Fiber &self()
{
    return *static_cast<Fiber *>(current);
}

static bool preempt_now()
{
    static const unsigned chance = config().preempt;
    return chance != 0 && current != nullptr && scheduler().random.below(chance) == 0;
}

void preempt()
{
    if (!preempt_now())
        return;
    Fiber &f = self();
    make_ready(f);
    scheduler().machines.leave(f.machine, false);
}

void fence()
{
    SIMT_RELEASE(&scheduler().fence_token);
    SIMT_ACQUIRE(&scheduler().fence_token);
    preempt();
}

// ---- barriers of a block ----

static unsigned vote_result(const Block &b)
{
    switch (b.op) {
    case Block_op::sync: return 0;
    case Block_op::count: return b.votes;
    case Block_op::all: return b.votes == b.fibers.size();
    case Block_op::any: return b.votes != 0;
    }
    return 0;
}

static void barrier_open(Block &b)
{
    unsigned vote = vote_result(b);
    b.waiting = b.votes = 0;
    b.site = nullptr;
    b.barriers++;
    for (Fiber &f : b.fibers) {
        f.vote = vote;
        make_ready(f);
    }
}

unsigned block_barrier(Block_op op, bool predicate, const void *site)
{
    Fiber &f = self();
    Block &b = *f.home;
    if (b.returned != 0)
        fail("__syncthreads, although %u threads of the block have returned", b.returned);
    if (b.site != nullptr && b.site != site)
        fail("divergent __syncthreads: threads of the block wait at another one");
    char *token =
        &b.token[b.barriers &
                 1]; // two in turn: a slow thread must not learn what happens behind the next barrier
    SIMT_RELEASE(token);
    b.site = site;
    b.op = op;
    b.votes += predicate;
    if (++b.waiting == b.fibers.size())
        barrier_open(b);
    else
        f.state = State::at_barrier;
    scheduler().machines.leave(f.machine, false);
    SIMT_ACQUIRE(token);
    return f.vote;
}

// ---- warp operations ----

static const uint64_t no_value = 0xdeaddeaddeaddeadull; // of a lane that takes no part

// The lane that a shuffle reads, as PTX defines it (shfl.sync).
static unsigned source_lane(const Fiber &f)
{
    unsigned lane = static_cast<unsigned>(f.lane), first = lane & ~(f.width - 1), last = first + f.width - 1;
    switch (f.op) {
    case Warp_op::shfl: return first + (f.lane_or_delta & (f.width - 1));
    case Warp_op::shfl_up: return lane >= first + f.lane_or_delta ? lane - f.lane_or_delta : lane;
    case Warp_op::shfl_down: return lane + f.lane_or_delta <= last ? lane + f.lane_or_delta : lane;
    case Warp_op::shfl_xor: return (lane ^ f.lane_or_delta) <= last ? lane ^ f.lane_or_delta : lane;
    default: return lane;
    }
}

static unsigned lowest_lane(unsigned lanes)
{
    return static_cast<unsigned>(__builtin_ctz(lanes));
}

static uint64_t reduce(const Warp &warp, unsigned mask, Warp_op op)
{
    uint64_t total = 0;
    for (unsigned left = mask, first = 1; left != 0; left &= left - 1) {
        uint64_t value = warp.lane[lowest_lane(left)]->value;
        auto a = static_cast<int32_t>(total), b = static_cast<int32_t>(value);
        switch (op) {
        case Warp_op::add: total += value; break;
        case Warp_op::min: total = first ? value : std::min(total, value); break;
        case Warp_op::max: total = std::max(total, value); break;
        case Warp_op::imin: total = first || b < a ? value : total; break;
        case Warp_op::imax: total = first || b > a ? value : total; break;
        case Warp_op::band: total = first ? value : total & value; break;
        case Warp_op::bor: total |= value; break;
        default: total ^= value; break;
        }
        first = 0;
    }
    return total;
}

// The members of `mask` whose value is `value`.
static unsigned lanes_with(const Warp &warp, unsigned mask, uint64_t value)
{
    unsigned lanes = 0;
    for (unsigned left = mask; left != 0; left &= left - 1)
        if (warp.lane[lowest_lane(left)]->value == value)
            lanes |= left & -left;
    return lanes;
}

static void give(Warp &warp, unsigned lanes, uint64_t result)
{
    for (; lanes != 0; lanes &= lanes - 1)
        warp.lane[lowest_lane(lanes)]->result = result;
}

static void give_results(Warp &warp, unsigned mask, Warp_op op)
{
    switch (op) {
    case Warp_op::sync: break;
    case Warp_op::shfl:
    case Warp_op::shfl_up:
    case Warp_op::shfl_down:
    case Warp_op::shfl_xor:
        for (unsigned left = mask; left != 0; left &= left - 1) {
            Fiber &f = *warp.lane[lowest_lane(left)];
            unsigned source = source_lane(f);
            f.result = (mask >> source & 1) != 0 ? warp.lane[source]->value : no_value;
        }
        break;
    case Warp_op::ballot: give(warp, mask, lanes_with(warp, mask, 1)); break;
    case Warp_op::any: give(warp, mask, lanes_with(warp, mask, 1) != 0); break;
    case Warp_op::all: give(warp, mask, lanes_with(warp, mask, 1) == mask); break;
    case Warp_op::match_any:
        for (unsigned left = mask; left != 0;) {
            unsigned same = lanes_with(warp, mask, warp.lane[lowest_lane(left)]->value);
            give(warp, same, same);
            left &= ~same;
        }
        break;
    default: give(warp, mask, reduce(warp, mask, op)); break;
    }
}

static void warp_finish(Warp &warp, unsigned mask, Warp_op op)
{
    give_results(warp, mask, op);
    warp.waiting &= ~mask;
    for (unsigned left = mask; left != 0; left &= left - 1)
        make_ready(*warp.lane[lowest_lane(left)]);
}

static const char *warp_op_name(Warp_op op)
{
    static const char *const names[] = {"__syncwarp",        "__shfl_sync",       "__shfl_up_sync",
                                        "__shfl_down_sync",  "__shfl_xor_sync",   "__ballot_sync",
                                        "__any_sync",        "__all_sync",        "__match_any_sync",
                                        "__reduce_add_sync", "__reduce_min_sync", "__reduce_max_sync",
                                        "__reduce_min_sync", "__reduce_max_sync", "__reduce_and_sync",
                                        "__reduce_or_sync",  "__reduce_xor_sync"};
    return names[static_cast<size_t>(op)];
}

static void check_warp_operation(const Fiber &f, const char *name)
{
    const Warp &warp = *f.warp;
    if ((f.mask >> f.lane & 1) == 0)
        fail("%s: lane %d is not in its own mask %08x", name, f.lane, f.mask);
    if ((f.mask & ~warp.existing) != 0)
        fail("%s: mask %08x names lanes that do not exist (there are %08x)", name, f.mask, warp.existing);
    if ((f.mask & warp.returned) != 0)
        fail("%s: mask %08x names lanes that have returned (%08x)", name, f.mask, warp.returned);
    if (f.width == 0 || f.width > warp_lanes || (f.width & (f.width - 1)) != 0)
        fail("%s: width %u is no power of two up to 32", name, f.width);
    if (f.lane_or_delta >= warp_lanes && f.op != Warp_op::shfl)
        fail("%s: a distance of %u lanes", name, f.lane_or_delta);
    if (warp.alike && warp.mask == f.mask && warp.op == f.op)
        return;
    // A member that waits in another operation may come later, unless that one waits for this lane.
    for (unsigned left = f.mask & warp.waiting; left != 0; left &= left - 1) {
        const Fiber *other = warp.lane[lowest_lane(left)];
        if ((other->mask >> f.lane & 1) != 0 && (other->mask != f.mask || other->op != f.op))
            fail("warp operations differ: lane %d is at %s with mask %08x, lane %u at %s with mask %08x",
                 f.lane, name, f.mask, lowest_lane(left), warp_op_name(other->op), other->mask);
    }
}

static bool all_have_come(const Warp &warp, const Fiber &f)
{
    if ((warp.waiting & f.mask) != f.mask)
        return false;
    for (unsigned left = warp.alike ? 0 : f.mask; left != 0; left &= left - 1)
        if (warp.lane[lowest_lane(left)]->mask != f.mask || warp.lane[lowest_lane(left)]->op != f.op)
            return false;
    return true;
}

uint64_t warp_operation(Warp_op op, unsigned mask, uint64_t value, unsigned lane_or_delta, unsigned width)
{
    Fiber &f = self();
    Warp &warp = *f.warp;
    f.op = op;
    f.mask = mask;
    f.value = value;
    f.lane_or_delta = lane_or_delta;
    f.width = width;
    if (warp.waiting == 0) {
        warp.mask = mask;
        warp.op = op;
        warp.alike = true;
    }
    check_warp_operation(f, warp_op_name(op));
    warp.alike = warp.alike && warp.mask == mask && warp.op == op;
    Fiber &lowest = *warp.lane[__builtin_ctz(mask)];
    char *token = &lowest.sync_token[lowest.syncs & 1];
    if (op == Warp_op::sync)
        SIMT_RELEASE(token);
    f.state = State::in_warp_operation;
    warp.waiting |= 1u << f.lane;
    if (all_have_come(warp, f)) {
        lowest.syncs += op == Warp_op::sync;
        warp_finish(warp, mask, op);
    }
    scheduler().machines.leave(f.machine, false);
    if (op == Warp_op::sync)
        SIMT_ACQUIRE(token);
    return f.result;
}

// ---- shared memory ----
// A block's arena is invisible to the sanitizers but for the arrays themselves. Fresh contents differ by
// seed, since a kernel that reads them may be lucky with any one filling: 0xcd, 0x00, 0xff, or what the last
// block left.

static const size_t arena_bytes = shared_bytes_max + (arrays_max + 1) * 2 * array_gap;
static const unsigned char gap_fill = 0xa5;

void Free_arena::operator()(char *p) const
{
    SIMT_UNPOISON(p, arena_bytes);
    free(p);
}

// memset, but not seen by the thread sanitizer: the filling is nobody's write.
static void fill(char *p, unsigned char value, size_t bytes)
{
#ifdef SIMT_TSAN
    for (size_t i = 0; i < bytes; i++)
        static_cast<volatile char *>(p)[i] = static_cast<char>(value);
#else
    memset(p, value, bytes);
#endif
}

#ifdef SIMT_TSAN
// Memory that two blocks of one launch use in turn would look like a race between them: each gets its own,
// cut from slabs that live as long as the launch. Slabs are so large that the sanitizer does not count their
// allocation as a write to all of it.
static void arena_begin(Block &b)
{
    static const size_t slab_arenas = 128;
    Scheduler &s = scheduler();
    if (s.slab_left == 0) {
        s.slabs.push_back(static_cast<char *>(malloc(slab_arenas * arena_bytes)));
        s.slab_left = slab_arenas;
    }
    b.arena = s.slabs.back() + --s.slab_left * arena_bytes;
    b.arena_used = b.array_count = 0;
}

static void array_leftovers(char *data, size_t offset, size_t bytes)
{
    const char *last = scheduler().arena_last;
    for (size_t i = 0; i < bytes; i++)
        static_cast<volatile char *>(data)[i] = last != nullptr ? last[offset + i] : static_cast<char>(0xcd);
}
#else
static void arena_begin(Block &b)
{
    if (b.own_arena == nullptr) {
        b.own_arena.reset(static_cast<char *>(aligned_alloc(array_gap, arena_bytes)));
        if (b.own_arena == nullptr)
            fail("no memory for the shared arrays of a block");
        memset(b.own_arena.get(), 0xcd, arena_bytes);
    }
    b.arena = b.own_arena.get();
    b.arena_used = b.array_count = 0;
    SIMT_POISON(b.arena, arena_bytes);
}

static void array_leftovers(char *, size_t, size_t)
{
    // A block of another launch, or an earlier one of this, had the same memory.
}
#endif

static char *array_place(Block &b, const void *site, size_t bytes)
{
    static const unsigned char fills[] = {0xcd, 0x00, 0xff};
    if (b.array_count == arrays_max)
        fail("more than %u shared arrays", arrays_max);
    size_t place = (b.arena_used + array_gap + array_gap - 1) & ~(array_gap - 1);
    size_t sum = bytes;
    for (unsigned i = 0; i < b.array_count; i++)
        sum += b.arrays[i].bytes;
    if (sum > shared_bytes_max)
        fail("%zu bytes of shared memory in a block; a device has %zu", sum, shared_bytes_max);
    char *data = b.arena + place;
#ifndef SIMT_ASAN
    fill(b.arena + b.arena_used, gap_fill, place - b.arena_used);
    fill(data + bytes, gap_fill, array_gap);
#endif
    SIMT_UNPOISON(data, bytes);
    if (config().seed % 4 < 3)
        fill(data, fills[config().seed % 4], bytes);
    else
        array_leftovers(data, place, bytes);
    b.arrays[b.array_count++] = {site, data, bytes};
    b.arena_used = place + bytes;
    return data;
}

static char *array_find(Block &b, const void *site, size_t bytes)
{
    for (unsigned i = 0; i < b.array_count; i++)
        if (b.arrays[i].site == site)
            return b.arrays[i].data;
    return array_place(b, site, bytes);
}

void *shared_array(const void *site, size_t bytes, size_t alignment)
{
    if (alignment > array_gap)
        fail("a shared array aligned to %zu bytes", alignment);
    return array_find(*self().home, site, bytes);
}

void *dynamic_shared()
{
    Block &b = *self().home;
    return array_find(b, nullptr, b.dynamic_bytes);
}

// Stray writes next to the arrays. The address sanitizer has seen them at once, and reads, too.
static void arena_end([[maybe_unused]] Block &b)
{
#ifndef SIMT_ASAN
    size_t from = 0;
    for (unsigned i = 0; i <= b.array_count && b.array_count != 0; i++) {
        bool behind_last = i == b.array_count;
        size_t to = behind_last ? b.arena_used + array_gap : static_cast<size_t>(b.arrays[i].data - b.arena);
        for (size_t at = from; at < to; at++)
            if (static_cast<unsigned char>(b.arena[at]) != gap_fill)
                fail("a write %s a shared array of %zu bytes, by block %u,%u,%u",
                     i > 0 ? "past the end of" : "before", b.arrays[i > 0 ? i - 1 : 0].bytes,
                     b.fibers[0].block.x, b.fibers[0].block.y, b.fibers[0].block.z);
        if (!behind_last)
            from = to + b.arrays[i].bytes;
    }
#endif
#ifdef SIMT_TSAN
    scheduler().arena_last = b.arena;
#endif
}

// ---- a launch ----

static void fiber_returns(Fiber &f)
{
    Block &b = *f.home;
    Warp &warp = *f.warp;
    b.returned++;
    warp.returned |= 1u << f.lane;
    if (b.waiting != 0)
        fail("a thread returns while %u threads of its block wait at __syncthreads", b.waiting);
    for (unsigned left = warp.waiting; left != 0; left &= left - 1) {
        const Fiber &other = *warp.lane[lowest_lane(left)];
        if ((other.mask >> f.lane & 1) != 0)
            fail("a thread returns while lane %u waits for it at %s with mask %08x", lowest_lane(left),
                 warp_op_name(other.op), other.mask);
    }
    f.state = State::returned;
}

#ifdef SIMT_ASAN
__attribute__((no_sanitize("address"))) // its frame is never left, and must leave no marks on the stack
#endif
static void
fiber_main()
{
    Scheduler &s = scheduler();
    Fiber &f = self();
    s.machines.entered();
    SIMT_ACQUIRE(&s.begin_token);
    s.launch->body();
    SIMT_RELEASE(&s.end_token);
    fiber_returns(f);
    s.machines.leave(f.machine, true);
    abort();
}

static uint3 place_in(size_t index, dim3 size)
{
    return {static_cast<unsigned>(index % size.x), static_cast<unsigned>(index / size.x % size.y),
            static_cast<unsigned>(index / size.x / size.y)};
}

static void block_start(Scheduler &s, size_t index)
{
    const Launch &launch = *s.launch;
    size_t threads = static_cast<size_t>(launch.block.x) * launch.block.y * launch.block.z;
    if (s.spare.empty())
        s.spare.push_back(std::make_unique<Block>());
    s.resident.push_back(std::move(s.spare.back()));
    s.spare.pop_back();
    Block &b = *s.resident.back();
    b.fibers.assign(threads, Fiber());
    b.warps.assign((threads + warp_lanes - 1) / warp_lanes, Warp());
    b.returned = b.waiting = b.votes = b.barriers = 0;
    b.site = nullptr;
    b.dynamic_bytes = launch.shared_bytes;
    arena_begin(b);
    SIMT_RELEASE(&s.begin_token);
    for (size_t i = 0; i < threads; i++) {
        Fiber &f = b.fibers[i];
        f.thread = place_in(i, launch.block);
        f.block = place_in(index, launch.grid);
        f.block_size = {launch.block.x, launch.block.y, launch.block.z};
        f.grid_size = {launch.grid.x, launch.grid.y, launch.grid.z};
        f.lane = static_cast<int>(i % warp_lanes);
        f.home = &b;
        f.warp = &b.warps[i / warp_lanes];
        f.warp->lane[f.lane] = &f;
        f.warp->existing |= 1u << f.lane;
        make_ready(f);
    }
    s.live += threads;
}

static void block_end(Scheduler &s, Block &b)
{
    arena_end(b);
    auto at = std::find_if(s.resident.begin(), s.resident.end(),
                           [&b](const std::unique_ptr<Block> &p) { return p.get() == &b; });
    s.spare.push_back(std::move(*at));
    s.resident.erase(at);
}

static void resume(Scheduler &s, Fiber &f)
{
    if (!f.started) {
        f.started = true;
        s.machines.start(f.machine, fiber_main);
    }
    current = &f;
    s.machines.enter(f.machine);
    current = nullptr;
    if (f.state != State::returned)
        return;
    s.machines.end(f.machine);
    s.live--;
    if (f.home->returned == f.home->fibers.size())
        block_end(s, *f.home);
}

[[noreturn]] static void deadlock(const Scheduler &s)
{
    for (const auto &b : s.resident)
        for (const Fiber &f : b->fibers)
            if (f.state == State::at_barrier || f.state == State::in_warp_operation)
                fail("deadlock: %zu threads wait, none can run; block %u,%u,%u thread %u,%u,%u is at %s",
                     s.live, f.block.x, f.block.y, f.block.z, f.thread.x, f.thread.y, f.thread.z,
                     f.state == State::at_barrier ? "__syncthreads" : warp_op_name(f.op));
    fail("deadlock: no thread can run");
}

static std::vector<size_t> block_order(Scheduler &s, size_t blocks)
{
    std::vector<size_t> order(blocks);
    for (size_t i = 0; i < blocks; i++)
        order[i] = i;
    for (size_t i = blocks; config().seed != 0 && i > 1; i--)
        std::swap(order[i - 1], order[s.random.below(i)]);
    return order;
}

static void launch_end(Scheduler &s)
{
    SIMT_ACQUIRE(&s.end_token);
    s.machines.launch_ended();
    for (char *slab : s.slabs)
        free(slab);
    s.slabs.clear();
    s.slab_left = 0;
    s.arena_last = nullptr;
    s.launch = nullptr;
}

void run_kernel(dim3 grid, dim3 block, size_t shared_bytes, const Body &body, const char *name)
{
    Scheduler &s = scheduler();
    Launch launch = {grid, block, shared_bytes, body, name};
    size_t blocks = static_cast<size_t>(grid.x) * grid.y * grid.z, next = 0;
    s.launch = &launch;
    std::vector<size_t> order = block_order(s, blocks);
    s.ring.assign(static_cast<size_t>(config().resident) * block.x * block.y * block.z, nullptr);
    s.ring_first = s.ring_count = 0;
    s.machines.at_home();
    while (next < blocks || s.live != 0) {
        while (next < blocks && s.resident.size() < config().resident)
            block_start(s, order[next++]);
        Fiber *f = take_ready(s);
        if (f == nullptr)
            deadlock(s);
        resume(s, *f);
    }
    launch_end(s);
}
} // namespace simt
