// simt_runtime.h: what the files of the emulator's runtime share: configuration, sanitizers, fibers.
#ifndef SIMT_RUNTIME_H
#define SIMT_RUNTIME_H

#include "cuda_runtime.h"
#include <deque>
#include <memory>
#include <vector>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SIMT_ASAN 1
#define SIMT_POISON(p, bytes) __asan_poison_memory_region((p), (bytes))
#define SIMT_UNPOISON(p, bytes) __asan_unpoison_memory_region((p), (bytes))
#else
#define SIMT_POISON(p, bytes) static_cast<void>(0)
#define SIMT_UNPOISON(p, bytes) static_cast<void>(0)
#endif

// The thread sanitizer sees every CUDA thread as a fiber of its own and is told of the few things that order
// them. The runtime itself is compiled without -fsanitize=thread, but with -DSIMT_TSAN: its own accesses are
// not the kernel's.
#ifdef SIMT_TSAN
#include <sanitizer/tsan_interface.h>
#define SIMT_RELEASE(token) __tsan_release(token)
#define SIMT_ACQUIRE(token) __tsan_acquire(token)
#else
#define SIMT_RELEASE(token) static_cast<void>(token)
#define SIMT_ACQUIRE(token) static_cast<void>(token)
#endif

namespace simt
{
// How a run is disturbed; read from the environment once.
struct Config {
    uint64_t seed;       // SIMT_SEED: 0 = everything in order, else random orders
    unsigned resident;   // SIMT_RESIDENT: blocks of a kernel that run at the same time
    unsigned preempt;    // SIMT_PREEMPT=n: a switch before one of n atomics; 0 = never
    unsigned lazy;       // SIMT_LAZY: when queued operations run, see Lazy
    uint64_t fail_nth;   // SIMT_FAIL_NTH: this API call fails; 0 = none
    bool fail_lasts;     // SIMT_FAIL_LASTS=1: and so do all later ones, as on a device that was lost
    int fail_device;     // SIMT_FAIL_DEVICE: only calls of threads that use this device count; -1: all
    int devices;         // SIMT_DEVICES
    size_t memory_bytes; // SIMT_MEMORY_MIB: of a device
};
enum Lazy : unsigned { eager = 0, at_sync = 1, at_random = 2 };
const Config &config();

// A stream of random numbers of its own (xorshift64).
struct Random {
    uint64_t state;
    explicit Random(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15ull + 1)
    {
    }
    uint64_t next()
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }
    size_t below(size_t n)
    {
        return static_cast<size_t>((next() >> 32) * n >> 32); // n < 2^32
    }
};

// A stack and the place where it was left (simt_fiber.cpp).
struct Machine {
    void *place = nullptr; // stack pointer, or ucontext
    char *stack = nullptr;
    void *fake_stack = nullptr; // of the address sanitizer
    void *tsan_fiber = nullptr;
};

// The machines of an OS thread: its own stack ("home", where the scheduler runs) and unused ones for fibers.
class Machines
{
  public:
    Machines() = default;
    Machines(const Machines &) = delete;
    Machines &operator=(const Machines &) = delete;
    ~Machines();
    void at_home();                                // before the fibers of a launch
    void start(Machine &machine, void (*entry)()); // entry never returns
    void enter(Machine &machine);                  // home -> fiber; returns when the fiber leaves
    void leave(Machine &machine, bool for_good);   // fiber -> home
    void entered();                                // first thing that entry does
    void end(Machine &machine);                    // after it has left for good
    void launch_ended();

  private:
    Machine home;
    std::vector<Machine> unused; // a stack; for the thread sanitizer, a fiber as well
    std::deque<Machine> ended;   // thread sanitizer only: those that served in this launch
    const void *home_bottom = nullptr;
    size_t home_bytes = 0;
};

// Something that operations wait for: it has happened `done` times. Guarded by the lock of its device.
struct Occasion {
    uint64_t recorded = 0, done = 0;
};

// An operation that may start when `occasion` has happened `count` times.
struct Gate {
    std::shared_ptr<Occasion> occasion;
    uint64_t count = 0;
};

// Queues an operation that meets other threads: it runs only while its own thread synchronises, which waits
// for them, or queries, which does not. True: it is over; else it is asked again. It opens the device's memory
// when it needs it.
typedef std::function<bool(bool may_wait, const Body &open)> Meeting;
cudaError_t enqueue_meeting(cudaStream_t stream, Gate gate, Meeting meeting);
int device_here();
bool call_fails(); // counts an API call for SIMT_FAIL_NTH

void run_kernel(dim3 grid, dim3 block, size_t shared_bytes, const Body &body, const char *name);
} // namespace simt

#endif
