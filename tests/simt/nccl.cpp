// nccl.cpp: the collectives of the emulator. The rank that arrives last does the work for all, in rank order.
// What real NCCL answers with a hang or with garbage ends the process: ranks that ask for different things, a
// rank that does not come within 30 seconds. Stricter than NCCL: an operation runs only while its own thread
// synchronises, so every rank must wait for its stream.
#include "nccl.h"
#include "simt_runtime.h"
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>

using namespace simt;

namespace
{
enum class Kind { all_reduce, all_gather, broadcast };

struct Request {
    uint64_t number; // of this rank's collective calls
    Kind kind;
    size_t count;
    ncclDataType_t type;
    ncclRedOp_t op;
    int root;
};

struct Message {
    const void *data;
    size_t bytes;
    int type;
    bool is_taken;
};

// What the ranks of a communicator share.
struct World {
    std::mutex lock;
    std::condition_variable change;
    int ranks = 0, joined = 0;
    std::vector<int> devices; // of the ranks; -1: not here yet
    // The collective that ranks are meeting for.
    std::vector<const void *> sources;
    std::vector<void *> targets;
    Request request = {};
    int arrived = 0;
    uint64_t meetings = 0;
    std::map<std::pair<int, int>, std::deque<Message *>> mail; // (from, to): messages that nobody has taken
};

typedef std::unique_lock<std::mutex> Lock;

std::mutex worlds_lock;
uint64_t last_id = 0;

// By the number in their ncclUniqueId; under worlds_lock. They stay: a rank may be late to leave.
std::map<uint64_t, World *> &worlds()
{
    static auto *const map = new std::map<uint64_t, World *>;
    return *map;
}
} // namespace

struct simt_comm {
    World *world;
    int rank;
    uint64_t collectives = 0;
    std::shared_ptr<Occasion> turn =
        std::make_shared<Occasion>(); // operations of a communicator keep their order over all streams
};

namespace
{
std::chrono::seconds patience()
{
    const char *text = getenv("SIMT_NCCL_SECONDS");
    return std::chrono::seconds(text != nullptr ? atoi(text) : 30);
}

size_t type_bytes(ncclDataType_t type)
{
    return type <= ncclUint8 ? 1 : type <= ncclUint32 ? 4 : 8;
}

const char *kind_name(Kind kind)
{
    return kind == Kind::all_reduce   ? "ncclAllReduce"
           : kind == Kind::all_gather ? "ncclAllGather"
                                      : "ncclBroadcast";
}

template <class T> void combine(void *total, const void *part, size_t count, ncclRedOp_t op)
{
    auto *a = static_cast<T *>(total);
    auto *b = static_cast<const T *>(part);
    for (size_t i = 0; i < count; i++) {
        auto x = static_cast<uint64_t>(a[i]), y = static_cast<uint64_t>(b[i]);
        switch (op) {
        case ncclSum: a[i] = static_cast<T>(x + y); break;
        case ncclProd: a[i] = static_cast<T>(x * y); break;
        case ncclMax: a[i] = std::max(a[i], b[i]); break;
        case ncclMin: a[i] = std::min(a[i], b[i]); break;
        }
    }
}

void combine(void *total, const void *part, const Request &r)
{
    switch (r.type) {
    case ncclInt8: combine<int8_t>(total, part, r.count, r.op); break;
    case ncclUint8: combine<uint8_t>(total, part, r.count, r.op); break;
    case ncclInt32: combine<int32_t>(total, part, r.count, r.op); break;
    case ncclUint32: combine<uint32_t>(total, part, r.count, r.op); break;
    case ncclInt64: combine<int64_t>(total, part, r.count, r.op); break;
    case ncclUint64: combine<uint64_t>(total, part, r.count, r.op); break;
    }
}

// All ranks are here and none goes on: sends may be receives of the same rank, so the result is made aside.
void perform(World &w)
{
    const Request &r = w.request;
    size_t bytes = r.count * type_bytes(r.type);
    std::vector<char> result;
    auto append = [&](int rank) {
        auto *from = static_cast<const char *>(w.sources[static_cast<size_t>(rank)]);
        result.insert(result.end(), from, from + bytes);
    };
    append(r.kind == Kind::broadcast ? r.root : 0);
    for (int rank = 1; rank < w.ranks && r.kind == Kind::all_gather; rank++)
        append(rank);
    for (int rank = 1; rank < w.ranks && r.kind == Kind::all_reduce; rank++)
        combine(result.data(), w.sources[static_cast<size_t>(rank)], r);
    for (void *target : w.targets)
        memcpy(target, result.data(), result.size());
}

void check_same(const simt_comm &c, const Request &mine, const Request &theirs)
{
    if (mine.number == theirs.number && mine.kind == theirs.kind && mine.count == theirs.count &&
        mine.type == theirs.type && mine.op == theirs.op && mine.root == theirs.root)
        return;
    fail("nccl: rank %d's call %llu is %s (count %zu, type %d, op %d, root %d), another rank's call %llu is "
         "%s (count %zu, type %d, "
         "op %d, root %d)",
         c.rank, static_cast<unsigned long long>(mine.number), kind_name(mine.kind), mine.count, mine.type,
         mine.op, mine.root, static_cast<unsigned long long>(theirs.number), kind_name(theirs.kind),
         theirs.count, theirs.type, theirs.op, theirs.root);
}

void meet(simt_comm &c, const Request &request, const void *send, void *receive)
{
    World &w = *c.world;
    Lock lock(w.lock);
    if (w.arrived == 0)
        w.request = request;
    check_same(c, request, w.request);
    w.sources[static_cast<size_t>(c.rank)] = send;
    w.targets[static_cast<size_t>(c.rank)] = receive;
    uint64_t meeting = w.meetings;
    if (++w.arrived == w.ranks) {
        perform(w);
        w.arrived = 0;
        w.meetings++;
        w.change.notify_all();
    } else if (!w.change.wait_for(lock, patience(), [&] { return w.meetings != meeting; })) {
        fail("nccl: rank %d waits in call %llu, %s of %zu: only %d of %d ranks came", c.rank,
             static_cast<unsigned long long>(request.number), kind_name(request.kind), request.count,
             w.arrived, w.ranks);
    }
}

// Queues an operation behind this communicator's earlier ones.
template <class Operation> ncclResult_t post(simt_comm &c, cudaStream_t stream, Operation operation)
{
    uint64_t count = c.turn->recorded++;
    enqueue_meeting(stream, {c.turn, count}, [turn = c.turn, count, operation] {
        operation();
        turn->done = count + 1;
    });
    return ncclSuccess;
}

ncclResult_t post_collective(ncclComm_t comm, Request request, const void *send, void *receive,
                             cudaStream_t stream)
{
    if (call_fails())
        return ncclUnhandledCudaError;
    if (request.root < 0 || request.root >= comm->world->ranks ||
        comm->world->devices[static_cast<size_t>(comm->rank)] != device_here())
        return ncclInvalidArgument;
    request.number = comm->collectives++;
    return post(*comm, stream, [comm, request, send, receive] { meet(*comm, request, send, receive); });
}

// ---- sends and receives: those of a group are one operation ----

struct Transfer {
    bool is_send;
    void *data;
    size_t bytes;
    ncclDataType_t type;
    int peer;
};

struct Group {
    ncclComm_t comm;
    cudaStream_t stream;
    std::vector<Transfer> transfers;
};

thread_local std::vector<Group> groups;
thread_local int group_depth = 0;

void take(World &w, Lock &lock, int rank, const Transfer &t)
{
    auto &box = w.mail[{t.peer, rank}];
    if (!w.change.wait_for(lock, patience(), [&] { return !box.empty(); }))
        fail("nccl: rank %d waits in ncclRecv of %zu bytes from rank %d, which sends nothing", rank, t.bytes,
             t.peer);
    Message &m = *box.front();
    if (m.bytes != t.bytes || m.type != t.type)
        fail("nccl: rank %d receives %zu bytes of type %d, rank %d sends %zu of type %d", rank, t.bytes,
             t.type, t.peer, m.bytes, m.type);
    memcpy(t.data, m.data, t.bytes);
    m.is_taken = true;
    box.pop_front();
    w.change.notify_all();
}

void transfer_all(simt_comm &c, const std::vector<Transfer> &transfers)
{
    World &w = *c.world;
    Lock lock(w.lock);
    std::deque<Message> sent;
    for (const Transfer &t : transfers) {
        if (!t.is_send)
            continue;
        sent.push_back({t.data, t.bytes, t.type, false});
        w.mail[{c.rank, t.peer}].push_back(&sent.back());
    }
    w.change.notify_all();
    for (const Transfer &t : transfers)
        if (!t.is_send)
            take(w, lock, c.rank, t);
    auto all_taken = [&] {
        return std::all_of(sent.begin(), sent.end(), [](const Message &m) { return m.is_taken; });
    };
    if (!w.change.wait_for(lock, patience(), all_taken))
        fail("nccl: rank %d waits in ncclSend for a rank that receives nothing", c.rank);
}

void post_groups()
{
    for (const Group &g : groups)
        post(*g.comm, g.stream, [comm = g.comm, transfers = g.transfers] { transfer_all(*comm, transfers); });
    groups.clear();
}

ncclResult_t add_transfer(const Transfer &t, ncclComm_t comm, cudaStream_t stream)
{
    if (call_fails())
        return ncclUnhandledCudaError;
    if (t.peer < 0 || t.peer >= comm->world->ranks)
        return ncclInvalidArgument;
    auto at = std::find_if(groups.begin(), groups.end(),
                           [&](const Group &g) { return g.comm == comm && g.stream == stream; });
    if (at == groups.end())
        at = groups.insert(at, Group{comm, stream, {}});
    at->transfers.push_back(t);
    if (group_depth == 0)
        post_groups();
    return ncclSuccess;
}
} // namespace

ncclResult_t ncclGetVersion(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    if (call_fails())
        return ncclSystemError;
    Lock lock(worlds_lock);
    memset(id, 0, sizeof *id);
    uint64_t value = ++last_id;
    memcpy(id->internal, &value, sizeof value);
    return ncclSuccess;
}

static World *world_of(ncclUniqueId id, int ranks)
{
    uint64_t value;
    memcpy(&value, id.internal, sizeof value);
    Lock lock(worlds_lock);
    World *&w = worlds()[value];
    if (w == nullptr) {
        w = new World;
        w->ranks = ranks;
        w->devices.assign(static_cast<size_t>(ranks), -1);
        w->sources.resize(static_cast<size_t>(ranks));
        w->targets.resize(static_cast<size_t>(ranks));
    }
    return w;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank)
{
    if (call_fails())
        return ncclSystemError;
    if (ranks < 1 || rank < 0 || rank >= ranks)
        return ncclInvalidArgument;
    World *w = world_of(id, ranks);
    Lock lock(w->lock);
    if (w->ranks != ranks || w->devices[static_cast<size_t>(rank)] >= 0)
        fail("nccl: rank %d of %d joins a communicator of %d ranks%s", rank, ranks, w->ranks,
             w->ranks == ranks ? " that has this rank already" : "");
    if (std::count(w->devices.begin(), w->devices.end(), device_here()) != 0)
        return ncclInvalidUsage; // two ranks on one device
    w->devices[static_cast<size_t>(rank)] = device_here();
    w->joined++;
    w->change.notify_all();
    if (!w->change.wait_for(lock, patience(), [&] { return w->joined == ranks; }))
        fail("nccl: rank %d waits in ncclCommInitRank: only %d of %d ranks came", rank, w->joined, ranks);
    *comm = new simt_comm{w, rank};
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    return ncclCommDestroy(comm);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t *error)
{
    *error = ncclSuccess;
    return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void *send, void *receive, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream)
{
    return post_collective(comm, {0, Kind::all_reduce, count, type, op, 0}, send, receive, stream);
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream)
{
    return post_collective(comm, {0, Kind::all_gather, count, type, ncclSum, 0}, send, receive, stream);
}

ncclResult_t ncclBroadcast(const void *send, void *receive, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream)
{
    return post_collective(comm, {0, Kind::broadcast, count, type, ncclSum, root}, send, receive, stream);
}

ncclResult_t ncclSend(const void *send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    return add_transfer({true, const_cast<void *>(send), count * type_bytes(type), type, peer}, comm, stream);
}

ncclResult_t ncclRecv(void *receive, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    return add_transfer({false, receive, count * type_bytes(type), type, peer}, comm, stream);
}

ncclResult_t ncclGroupStart(void)
{
    group_depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    if (group_depth == 0)
        return ncclInvalidUsage;
    if (--group_depth == 0)
        post_groups();
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const texts[] = {"no error",       "unhandled CUDA error", "system error",
                                        "internal error", "invalid argument",     "invalid usage"};
    return result <= ncclInvalidUsage ? texts[result] : "a result that the emulator does not know";
}
