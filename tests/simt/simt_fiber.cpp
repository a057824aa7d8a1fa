// simt_fiber.cpp: switching stacks. On x86-64 by six pushes and a swap of the stack pointer (about 2 ns);
// elsewhere, or with -DSIMT_UCONTEXT, by swapcontext. The sanitizers are told of every switch.
#include "simt_runtime.h"
#include <sys/mman.h>
#include <unistd.h>

#if !defined(__x86_64__) && !defined(SIMT_UCONTEXT)
#define SIMT_UCONTEXT 1
#endif
#ifdef SIMT_UCONTEXT
#include <ucontext.h>
#endif

namespace simt
{
#if defined(SIMT_ASAN) || defined(SIMT_TSAN)
static const size_t stack_bytes = 256 << 10; // sanitizers widen every frame
#else
static const size_t stack_bytes = 64 << 10;
#endif
#ifdef SIMT_TSAN
static const size_t guard_bytes =
    0; // there are so many stacks that with guards the kernel would run out of mappings
#else
static const size_t guard_bytes = 64 << 10; // a page of any size that Linux has
#endif

// With the thread sanitizer, threads of one launch that have a machine in turn look like one thread: no race
// between them is seen. A new machine is dear, though, so after this many threads the one that has rested
// longest serves again. Another launch may have all.
static const size_t ended_max = 256;

// ---- the switch itself ----

#ifdef SIMT_UCONTEXT
static void place_start(Machine &machine, void (*entry)())
{
    auto *context = new ucontext_t;
    getcontext(context);
    context->uc_stack.ss_sp = machine.stack;
    context->uc_stack.ss_size = stack_bytes;
    context->uc_link = nullptr;
    makecontext(context, entry, 0);
    machine.place = context;
}

static void place_switch(Machine &from, Machine &to)
{
    if (from.place == nullptr)
        from.place = new ucontext_t;
    swapcontext(static_cast<ucontext_t *>(from.place), static_cast<ucontext_t *>(to.place));
}

static void place_end(Machine &machine)
{
    delete static_cast<ucontext_t *>(machine.place);
    machine.place = nullptr;
}
#else
extern "C" void simt_switch(void **from, void *to);
asm(".text\n"
    ".globl simt_switch\n"
    ".hidden simt_switch\n"
    ".type simt_switch, @function\n"
    "simt_switch:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n"
    ".size simt_switch, .-simt_switch\n");

static void place_start(Machine &machine, void (*entry)())
{
    // As if entry had been called by nobody and had switched away: a return address of 0 ends backtraces, six
    // registers below.
    auto **top = reinterpret_cast<void **>(machine.stack + stack_bytes);
    *--top = nullptr;
    *--top = reinterpret_cast<void *>(entry);
    for (int i = 0; i < 6; i++)
        *--top = nullptr;
    machine.place = top;
}

static void place_switch(Machine &from, Machine &to)
{
    simt_switch(&from.place, to.place);
}

static void place_end(Machine &)
{
}
#endif

// ---- stacks ----

static char *stack_make()
{
    void *map = mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED || (guard_bytes != 0 && mprotect(map, guard_bytes, PROT_NONE) != 0))
        fail("no memory for the stack of a fiber");
    return static_cast<char *>(map) + guard_bytes;
}

static void machine_destroy(Machine &machine)
{
#ifdef SIMT_TSAN
    if (machine.tsan_fiber != nullptr)
        __tsan_destroy_fiber(machine.tsan_fiber);
#endif
    munmap(machine.stack - guard_bytes, guard_bytes + stack_bytes);
}

Machines::~Machines()
{
    for (Machine &machine : unused)
        machine_destroy(machine);
    place_end(home);
}

void Machines::at_home()
{
#ifdef SIMT_TSAN
    home.tsan_fiber = __tsan_get_current_fiber();
#endif
}

void Machines::start(Machine &machine, void (*entry)())
{
    if (unused.empty() && ended.size() >= ended_max) {
        machine = ended.front();
        ended.pop_front();
    } else if (unused.empty()) {
        machine.stack = stack_make();
#ifdef SIMT_TSAN
        machine.tsan_fiber = __tsan_create_fiber(0);
#endif
    } else {
        machine = unused.back();
        unused.pop_back();
    }
    place_start(machine, entry);
}

void Machines::enter(Machine &machine)
{
#ifdef SIMT_ASAN
    __sanitizer_start_switch_fiber(&home.fake_stack, machine.stack, stack_bytes);
#endif
#ifdef SIMT_TSAN
    __tsan_switch_to_fiber(machine.tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
    place_switch(home, machine);
#ifdef SIMT_ASAN
    __sanitizer_finish_switch_fiber(home.fake_stack, nullptr, nullptr);
#endif
}

void Machines::entered()
{
#ifdef SIMT_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &home_bottom, &home_bytes);
#endif
}

void Machines::leave(Machine &machine, [[maybe_unused]] bool for_good)
{
#ifdef SIMT_ASAN
    __sanitizer_start_switch_fiber(for_good ? nullptr : &machine.fake_stack, home_bottom, home_bytes);
#endif
#ifdef SIMT_TSAN
    __tsan_switch_to_fiber(home.tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
    place_switch(machine, home);
#ifdef SIMT_ASAN
    __sanitizer_finish_switch_fiber(machine.fake_stack, &home_bottom, &home_bytes);
#endif
}

void Machines::end(Machine &machine)
{
    place_end(machine);
    machine.place = machine.fake_stack = nullptr;
#ifdef SIMT_TSAN
    ended.push_back(machine);
#else
    unused.push_back(machine);
#endif
    machine = Machine();
}

void Machines::launch_ended()
{
    for (const Machine &machine : ended)
        unused.push_back(machine);
    ended.clear();
}
} // namespace simt
