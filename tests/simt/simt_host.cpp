// simt_host.cpp: the runtime API of the emulator: devices, memory, streams, events. A device belongs to no OS
// thread: any thread may use it, under its lock. Operations are only queued; they run on a thread that
// synchronises, in random order among the streams that no event holds back, so that a host which forgets to
// wait, or refills a buffer too early, sees wrong data every time. Device memory can be touched only while
// operations run.
#include "simt_runtime.h"
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

using namespace simt;

namespace
{
struct Operation {
    uint64_t serial; // order of queueing on the device
    Meeting meeting; // see enqueue_meeting; most are none
    Body run;        // may be empty: only the gate counts
    Gate gate;
};

struct Device;
} // namespace

struct simt_stream {
    Device *device;
    bool is_blocking; // keeps the order with the default stream
    bool is_dropped;  // destroyed by its owner; what is queued still runs
    std::deque<Operation> queue;
};

struct simt_event {
    std::shared_ptr<Occasion> occasion;
    int device;
};

namespace
{
struct Allocation {
    char *map;        // a guard, room, the data, slack up to 256 bytes, a guard
    size_t map_bytes; // all of it
    size_t bytes;
};

struct Device {
    std::mutex lock;
    int index = 0;
    std::map<char *, Allocation> memory;
    size_t memory_used = 0;
    std::deque<Allocation>
        freed;            // their addresses stay taken for a while, so that a use after cudaFree is noticed
    bool is_open = false; // operations run, its memory may be touched (without a protection key)
    simt_stream default_stream{this, true, false, {}};
    std::vector<simt_stream *> streams{&default_stream};
    std::vector<simt_stream *> dropped; // kept, so that their use is noticed
    uint64_t serial = 0;
    Random random{0};
};

typedef std::lock_guard<std::mutex> Hold;

const unsigned char fresh_fill = 0xcb, pinned_fill = 0xca;
const size_t alignment = 256;        // of cudaMalloc
const size_t guard_bytes = 1u << 20; // a multiple of any page

__thread int device_index = 0;
__thread cudaError_t last_error = cudaSuccess;
__thread const char *launch_name = nullptr;

cudaError_t refuse(cudaError_t code)
{
    last_error = code;
    return code;
}

Device *make_devices(char *token)
{
    size_t count = static_cast<size_t>(std::max(1, config().devices));
    auto *made = new Device[count];
    for (size_t i = 0; i < count; i++) {
        made[i].index = static_cast<int>(i);
        made[i].random = Random(config().seed * 64 + i);
    }
    SIMT_RELEASE(token);
    return made;
}

Device &device(int index)
{
    static char token; // the thread sanitizer does not see how C++ orders the making of a static variable
    static Device *const devices = make_devices(&token); // never destroyed: threads may outlive main
    SIMT_ACQUIRE(&token);
    return devices[index];
}

Device &here()
{
    return device(device_index);
}

simt_stream &stream_of(cudaStream_t stream)
{
    if (stream == nullptr)
        return here().default_stream;
    if (stream->is_dropped)
        fail("a stream is used after cudaStreamDestroy");
    return *stream;
}

// ---- memory ----

int make_memory_key()
{
#ifdef SIMT_ASAN // has its own way
    return -1;
#else
    return getenv("SIMT_PAGES") != nullptr ? -1 : pkey_alloc(0, PKEY_DISABLE_ACCESS);
#endif
}

// The processor's protection key of all device memory: each thread opens and closes it for itself by a register. -1 where it has
// none, or with SIMT_PAGES: pages are protected, for all threads, which takes half of the time of a training on several devices.
const int memory_key = make_memory_key();

void allocation_open(char *data, const Allocation &a, bool open)
{
    if (memory_key >= 0) {
        pkey_set(memory_key, open ? 0 : PKEY_DISABLE_ACCESS);
        return;
    }
#ifdef SIMT_ASAN
    SIMT_POISON(a.map + guard_bytes, a.map_bytes - 2 * guard_bytes);
    if (open)
        SIMT_UNPOISON(data, a.bytes);
#else
    static_cast<void>(data);
    mprotect(a.map + guard_bytes, a.map_bytes - 2 * guard_bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
#endif
}

void device_open(Device &d, bool open)
{
    if (memory_key >= 0)
        pkey_set(memory_key, open ? 0 : PKEY_DISABLE_ACCESS);
    if (memory_key >= 0 || d.is_open == open)
        return;
    d.is_open = open;
    for (const auto &entry : d.memory)
        allocation_open(entry.first, entry.second, open);
}

// A map with the data so far to the right that the first byte behind its slack is in the guard.
char *allocation_make(Allocation &a, size_t bytes)
{
    static const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_t room = (bytes + alignment - 1) & ~(alignment - 1);
    a.bytes = bytes;
    a.map_bytes = ((room + page - 1) & ~(page - 1)) + 2 * guard_bytes;
    void *map = mmap(nullptr, a.map_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return nullptr;
    a.map = static_cast<char *>(map);
    if (memory_key < 0)
        madvise(map, a.map_bytes, MADV_HUGEPAGE); // opening and closing goes by pages: let there be few
    memset(a.map + guard_bytes, fresh_fill, a.map_bytes - 2 * guard_bytes);
    mprotect(a.map, guard_bytes, PROT_NONE);
    mprotect(a.map + a.map_bytes - guard_bytes, guard_bytes, PROT_NONE);
    if (memory_key >= 0)
        pkey_mprotect(a.map + guard_bytes, a.map_bytes - 2 * guard_bytes, PROT_READ | PROT_WRITE, memory_key);
    return a.map + a.map_bytes - guard_bytes - room;
}

void allocation_check([[maybe_unused]] const char *data, [[maybe_unused]] const Allocation &a)
{
#ifndef SIMT_ASAN
    const char *first = a.map + guard_bytes, *end = a.map + a.map_bytes - guard_bytes;
    for (const char *p = first; p < end; p++) {
        if (p == data)
            p += a.bytes;
        if (p < end && static_cast<unsigned char>(*p) != fresh_fill)
            fail("a write %s a device buffer of %zu bytes", p < data ? "before" : "past the end of", a.bytes);
    }
#endif
}

void allocation_end(Device &d, const Allocation &a)
{
    static const size_t freed_max = 256;
    mmap(a.map, a.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    SIMT_POISON(a.map + guard_bytes, a.map_bytes - 2 * guard_bytes);
    d.freed.push_back(a);
    if (d.freed.size() <= freed_max)
        return;
    const Allocation &oldest = d.freed.front();
    SIMT_UNPOISON(oldest.map + guard_bytes, oldest.map_bytes - 2 * guard_bytes);
    munmap(oldest.map, oldest.map_bytes);
    d.freed.pop_front();
}

// The allocation that an address lies in, or end().
std::map<char *, Allocation>::iterator allocation_of(Device &d, const void *p)
{
    auto *address = static_cast<char *>(const_cast<void *>(p));
    auto at = d.memory.upper_bound(address);
    if (at == d.memory.begin())
        return d.memory.end();
    --at;
    return address < at->second.map + at->second.map_bytes ? at : d.memory.end();
}

void check_device_range(Device &d, const void *p, size_t bytes, const char *what)
{
    auto at = allocation_of(d, p);
    if (at == d.memory.end())
        fail("%s: %p is no memory of device %d", what, p, d.index);
    size_t offset = static_cast<size_t>(static_cast<const char *>(p) - at->first);
    if (offset > at->second.bytes || bytes > at->second.bytes - offset)
        fail("%s: %zu bytes at %zu of a device buffer of %zu bytes", what, bytes, offset, at->second.bytes);
}

void check_host(Device &d, const void *p, const char *what)
{
    if (allocation_of(d, p) != d.memory.end())
        fail("%s: %p is memory of device %d, but the kind of copy says host", what, p, d.index);
}

void check_copy(Device &d, void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind == cudaMemcpyDefault) {
        to_device = allocation_of(d, to) != d.memory.end();
        from_device = allocation_of(d, from) != d.memory.end();
    }
    if (to_device)
        check_device_range(d, to, bytes, "cudaMemcpy, destination");
    else
        check_host(d, to, "cudaMemcpy, destination");
    if (from_device)
        check_device_range(d, from, bytes, "cudaMemcpy, source");
    else
        check_host(d, from, "cudaMemcpy, source");
}

// ---- queues ----

bool is_passed(const Gate &gate)
{
    return gate.occasion == nullptr || gate.occasion->done >= gate.count;
}

// The default stream waits for earlier work of all blocking streams, and they for its.
bool keeps_default_order(const simt_stream &s)
{
    uint64_t serial = s.queue.front().serial;
    const simt_stream *standard = &s.device->default_stream;
    for (const simt_stream *other : s.device->streams) {
        bool is_bound = &s == standard ? other->is_blocking : s.is_blocking && other == standard;
        if (is_bound && other != &s && !other->queue.empty() && other->queue.front().serial < serial)
            return false;
    }
    return true;
}

std::vector<simt_stream *> runnable(Device &d, bool with_meetings)
{
    std::vector<simt_stream *> found;
    for (simt_stream *s : d.streams)
        if (!s->queue.empty() && is_passed(s->queue.front().gate) &&
            (with_meetings || !s->queue.front().meeting) && keeps_default_order(*s))
            found.push_back(s);
    return found;
}

void forget(simt_stream &s)
{
    Device &d = *s.device;
    d.streams.erase(std::find(d.streams.begin(), d.streams.end(), &s));
    d.dropped.push_back(&s);
}

void run_first(simt_stream &s, bool may_wait)
{
    Device &d = *s.device;
    if (s.queue.front().meeting && !s.queue.front().meeting(may_wait, [&d] { device_open(d, true); }))
        return; // the others are not here yet
    Operation operation = std::move(s.queue.front());
    s.queue.pop_front();
    device_open(d, true);
    if (operation.run)
        operation.run();
    if (s.is_dropped && s.queue.empty())
        forget(s);
}

template <class Done> void run_until(Device &d, Done done)
{
    while (!done()) {
        std::vector<simt_stream *> ready = runnable(d, true);
        if (ready.empty())
            fail("device %d: the host waits for work that nothing will do", d.index);
        run_first(*ready[config().seed != 0 ? d.random.below(ready.size()) : 0], true);
    }
    device_open(d, false);
}

bool is_idle(const Device &d)
{
    return std::all_of(d.streams.begin(), d.streams.end(),
                       [](const simt_stream *s) { return s->queue.empty(); });
}

void run_all(Device &d)
{
    run_until(d, [&d] { return is_idle(d); });
}

// One step of a device that works while the host does something else.
void run_one(Device &d, bool with_meetings)
{
    std::vector<simt_stream *> ready = runnable(d, with_meetings);
    if (!ready.empty())
        run_first(*ready[d.random.below(ready.size())], false);
}

// A few steps, at a query: to open and close the memory takes the time of many.
void run_some(Device &d)
{
    for (size_t steps = 1 + d.random.below(12); steps != 0; steps--)
        run_one(d, true);
    device_open(d, false);
}

void push(simt_stream &s, Meeting meeting, Gate gate, Body run)
{
    Device &d = *s.device;
    s.queue.push_back({++d.serial, std::move(meeting), std::move(run), std::move(gate)});
    while (config().lazy == eager && !runnable(d, false).empty())
        run_one(d, false);
    while (config().lazy == at_random && d.random.below(2) != 0 && !runnable(d, false).empty())
        run_one(d, false);
    device_open(d, false);
}

bool is_limit_kept(dim3 grid, dim3 block, size_t shared_bytes)
{
    return block.x >= 1 && block.y >= 1 && block.z >= 1 && block.x <= 1024 && block.y <= 1024 &&
           block.z <= 64 && static_cast<uint64_t>(block.x) * block.y * block.z <= 1024 && grid.x >= 1 &&
           grid.y >= 1 && grid.z >= 1 && grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535 &&
           shared_bytes <= (48u << 10);
}
} // namespace

namespace simt
{
bool call_fails()
{
    static std::atomic<uint64_t> calls{0};
    if (config().fail_device >= 0 && config().fail_device != device_index)
        return false;
    uint64_t nth = ++calls;
    return config().fail_nth != 0 &&
           (config().fail_lasts ? nth >= config().fail_nth : nth == config().fail_nth);
}

int device_here()
{
    return device_index;
}

void name_launch(const char *name)
{
    launch_name = name;
}

cudaError_t launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, Body body)
{
    const char *name = launch_name != nullptr ? launch_name : "(cudaLaunchKernel)";
    launch_name = nullptr;
    if (call_fails())
        return refuse(cudaErrorLaunchOutOfResources);
    if (!is_limit_kept(grid, block, shared_bytes))
        return refuse(cudaErrorInvalidConfiguration);
    simt_stream &s = stream_of(stream);
    if (s.device != &here())
        return refuse(cudaErrorInvalidResourceHandle);
    Hold hold(s.device->lock);
    push(s, {}, {}, [=, kernel = std::move(body)] { run_kernel(grid, block, shared_bytes, kernel, name); });
    return cudaSuccess;
}

cudaError_t enqueue_meeting(cudaStream_t stream, Gate gate, Meeting meeting)
{
    simt_stream &s = stream_of(stream);
    Hold hold(s.device->lock);
    push(s, std::move(meeting), std::move(gate), {});
    return cudaSuccess;
}
} // namespace simt

// ---- the API: memory ----

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    if (call_fails())
        return refuse(cudaErrorMemoryAllocation);
    Device &d = here();
    Hold hold(d.lock);
    *p = nullptr;
    if (bytes == 0)
        return cudaSuccess;
    Allocation a;
    char *data = bytes <= config().memory_bytes - d.memory_used ? allocation_make(a, bytes) : nullptr;
    if (data == nullptr)
        return refuse(cudaErrorMemoryAllocation);
    d.memory_used += bytes;
    d.memory[data] = a;
    allocation_open(data, a, false);
    *p = data;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    bool failing = call_fails();
    Device *d = nullptr;
    for (int i = 0; p != nullptr && i < config().devices && d == nullptr; i++) {
        Hold hold(device(i).lock);
        if (device(i).memory.count(static_cast<char *>(p)) != 0)
            d = &device(i);
    }
    if (p != nullptr && d == nullptr)
        fail("cudaFree: %p did not come from cudaMalloc", p);
    if (d != nullptr) {
        Hold hold(d->lock);
        run_all(*d);
        auto at = d->memory.find(static_cast<char *>(p));
        allocation_open(at->first, at->second, true);
        allocation_check(at->first, at->second);
        allocation_open(at->first, at->second, false);
        allocation_end(*d, at->second);
        d->memory_used -= at->second.bytes;
        d->memory.erase(at);
    }
    return failing ? refuse(cudaErrorUnknown) : cudaSuccess;
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned)
{
    *p = nullptr;
    if (call_fails() || posix_memalign(p, alignment, bytes != 0 ? bytes : 1) != 0)
        return refuse(cudaErrorMemoryAllocation);
    memset(*p, pinned_fill, bytes);
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p)
{
    bool failing = call_fails();
    Device &d = here();
    Hold hold(d.lock);
    run_all(d);
    free(p);
    return failing ? refuse(cudaErrorUnknown) : cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    Hold hold(here().lock);
    *total_bytes = config().memory_bytes;
    *free_bytes = config().memory_bytes - here().memory_used;
    return cudaSuccess;
}

static void push_copy(simt_stream &s, void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    if (bytes == 0)
        return;
    check_copy(*s.device, to, from, bytes, kind);
    push(s, {}, {}, [=] { memmove(to, from, bytes); });
}

static void push_fill(simt_stream &s, void *to, int value, size_t bytes)
{
    if (bytes == 0)
        return;
    check_device_range(*s.device, to, bytes, "cudaMemset");
    push(s, {}, {}, [=] { memset(to, value, bytes); });
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    simt_stream &s = stream_of(stream);
    Hold hold(s.device->lock);
    push_copy(s, to, from, bytes, kind);
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    Device &d = here();
    Hold hold(d.lock);
    push_copy(d.default_stream, to, from, bytes, kind);
    run_until(d, [&d] { return d.default_stream.queue.empty(); });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    simt_stream &s = stream_of(stream);
    Hold hold(s.device->lock);
    push_fill(s, to, value, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    return cudaMemsetAsync(to, value, bytes, nullptr); // on a device, too, the host does not wait
}

// ---- the API: streams and events ----

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    Device &d = here();
    Hold hold(d.lock);
    *stream = new simt_stream{&d, flags != cudaStreamNonBlocking, false, {}};
    d.streams.push_back(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    bool failing = call_fails();
    if (stream == nullptr)
        return refuse(cudaErrorInvalidResourceHandle);
    simt_stream &s = stream_of(stream);
    Hold hold(s.device->lock);
    s.is_dropped = true;
    if (s.queue.empty())
        forget(s);
    return failing ? refuse(cudaErrorUnknown) : cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (call_fails())
        return refuse(cudaErrorLaunchFailure);
    simt_stream &s = stream_of(stream);
    Hold hold(s.device->lock);
    run_until(*s.device, [&s] { return s.queue.empty(); });
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    if (call_fails())
        return refuse(cudaErrorLaunchFailure);
    simt_stream &s = stream_of(stream);
    Hold hold(s.device->lock);
    run_some(*s.device);
    return s.queue.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    simt_stream &s = stream_of(stream);
    if (s.device->index != event->device)
        fail("cudaStreamWaitEvent between devices is not emulated");
    Hold hold(s.device->lock);
    push(s, {}, {event->occasion, event->occasion->recorded}, {});
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    *event = new simt_event{std::make_shared<Occasion>(), device_index};
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    bool failing = call_fails();
    delete event; // queued operations keep its occasion
    return failing ? refuse(cudaErrorUnknown) : cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    simt_stream &s = stream_of(stream);
    if (s.device->index != event->device)
        return refuse(cudaErrorInvalidResourceHandle);
    Hold hold(s.device->lock);
    uint64_t count = ++event->occasion->recorded;
    push(s, {}, {},
         [occasion = event->occasion, count] { occasion->done = std::max(occasion->done, count); });
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (call_fails())
        return refuse(cudaErrorLaunchFailure);
    Device &d = device(event->device);
    Hold hold(d.lock);
    const Occasion &occasion = *event->occasion;
    run_until(d, [&occasion, count = occasion.recorded] { return occasion.done >= count; });
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    if (call_fails())
        return refuse(cudaErrorLaunchFailure);
    Device &d = device(event->device);
    Hold hold(d.lock);
    const Occasion &occasion = *event->occasion;
    if (occasion.done < occasion.recorded)
        run_some(d);
    return occasion.done >= occasion.recorded ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize()
{
    if (call_fails())
        return refuse(cudaErrorLaunchFailure);
    Hold hold(here().lock);
    run_all(here());
    return cudaSuccess;
}

// ---- the API: errors and devices ----

cudaError_t cudaGetLastError()
{
    cudaError_t code = last_error;
    last_error = cudaSuccess;
    return code;
}

cudaError_t cudaPeekAtLastError()
{
    return last_error;
}

static const struct {
    cudaError_t code;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "the driver is too old for the runtime"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "there is no device"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "no device has this number"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "not ready"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources for a launch"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "launch failure"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

const char *cudaGetErrorString(cudaError_t code)
{
    for (const auto &error : errors)
        if (error.code == code)
            return error.text;
    return "a code that the emulator does not know";
}

const char *cudaGetErrorName(cudaError_t code)
{
    for (const auto &error : errors)
        if (error.code == code)
            return error.name;
    return "a code that the emulator does not know";
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 0;
    if (call_fails())
        return refuse(cudaErrorInsufficientDriver);
    *count = config().devices;
    return *count != 0 ? cudaSuccess : refuse(cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int *index)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    *index = device_index;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int index)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    if (index < 0 || index >= config().devices)
        return refuse(cudaErrorInvalidDevice);
    device_index = index;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int index)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    if (index < 0 || index >= config().devices)
        return refuse(cudaErrorInvalidDevice);
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 48 << 10; return cudaSuccess;
    case cudaDevAttrWarpSize: *value = warpSize; return cudaSuccess;
    case cudaDevAttrMultiProcessorCount: *value = 2; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor: *value = 8; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; return cudaSuccess;
    }
    return refuse(cudaErrorInvalidValue);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int index)
{
    if (call_fails())
        return refuse(cudaErrorUnknown);
    if (index < 0 || index >= config().devices)
        return refuse(cudaErrorInvalidDevice);
    *properties = cudaDeviceProp{"SIMT emulator", config().memory_bytes, 8, 0, 2};
    return cudaSuccess;
}
