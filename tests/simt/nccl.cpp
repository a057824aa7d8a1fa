// nccl.cpp: the collectives of the emulator. A rank brings what it sends; the one that arrives last makes the
// result of all, in rank order, and each takes it when its stream is asked. What real NCCL answers with a
// hang or with garbage ends the process: ranks that ask for different things, a call before the last one has
// ended, a rank that does not come within 30 seconds. Stricter than NCCL: an operation runs only while its
// own thread synchronises or queries, and whoever leaves a communicator waits until all have left, as NCCL
// may.
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

// A collective that ranks come to.
struct Collective {
    Request request = {};
    std::vector<std::vector<char>> given; // by the ranks
    std::vector<char> result;
    int arrived = 0, served = 0;
};

struct Message {
    std::vector<char> data;
    int type;
    bool is_taken;
};
typedef std::shared_ptr<Message> Mail;

// What the ranks of a communicator share.
struct World {
    std::mutex lock;
    std::condition_variable change;
    int ranks = 0, joined = 0, left = 0;
    std::vector<int> devices;                             // of the ranks; -1: not here yet
    std::map<uint64_t, Collective> collectives;           // by the number that the call has for each rank
    std::map<std::pair<int, int>, std::deque<Mail>> mail; // (from, to): messages that nobody has taken
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
    bool is_blocking;
    std::shared_ptr<simt_comm> self; // until it is left; operations that are queued hold it, too
    bool is_left = false;            // under the world's lock
    uint64_t collectives = 0;
    // operations of a communicator keep their order over all streams
    std::shared_ptr<Occasion> turn = std::make_shared<Occasion>();
    std::function<void()> held; // the last call's, until the communicator is asked how it goes
    ncclResult_t error = ncclSuccess;
};

namespace
{
std::chrono::seconds patience()
{
    const char *text = getenv("SIMT_NCCL_SECONDS");
    return std::chrono::seconds(text != nullptr ? atoi(text) : 30);
}

// SIMT_NCCL: how the library is: "none", "old", "lacks" a function, "stuck": collectives never end.
bool is_library(const char *what)
{
    const char *text = getenv("SIMT_NCCL");
    return text != nullptr && strcmp(text, what) == 0;
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

void make_result(Collective &all)
{
    const Request &r = all.request;
    const size_t root = r.kind == Kind::broadcast ? static_cast<size_t>(r.root) : 0;
    all.result = all.given[root];
    for (size_t rank = 1; rank < all.given.size(); rank++) {
        if (r.kind == Kind::all_gather)
            all.result.insert(all.result.end(), all.given[rank].begin(), all.given[rank].end());
        if (r.kind == Kind::all_reduce)
            combine(all.result.data(), all.given[rank].data(), r);
    }
}

void check_same(const simt_comm &c, const Request &mine, const Request &theirs)
{
    if (mine.kind == theirs.kind && mine.count == theirs.count && mine.type == theirs.type &&
        mine.op == theirs.op && mine.root == theirs.root)
        return;
    fail("nccl: rank %d's call %llu is %s (count %zu, type %d, op %d, root %d), another rank's is "
         "%s (count %zu, type %d, op %d, root %d)",
         c.rank, static_cast<unsigned long long>(mine.number), kind_name(mine.kind), mine.count, mine.type,
         mine.op, mine.root, kind_name(theirs.kind), theirs.count, theirs.type, theirs.op, theirs.root);
}

// With the world's lock held.
void come(const simt_comm &c, Collective &all, const Request &request, const void *send)
{
    if (all.arrived == 0) {
        all.request = request;
        all.given.resize(static_cast<size_t>(c.world->ranks));
    }
    check_same(c, request, all.request);
    auto *from = static_cast<const char *>(send);
    all.given[static_cast<size_t>(c.rank)].assign(from, from + request.count * type_bytes(request.type));
    if (++all.arrived == c.world->ranks) {
        make_result(all);
        c.world->change.notify_all();
    }
}

bool meet(simt_comm &c, const Request &request, const void *send, void *receive, bool &has_come,
          bool may_wait, const Body &open)
{
    World &w = *c.world;
    Lock lock(w.lock);
    if (c.is_left)
        return true;
    Collective &all = w.collectives[request.number];
    if (!has_come) {
        open();
        come(c, all, request, send);
    }
    has_come = true;
    auto is_over = [&] { return c.is_left || (all.arrived == w.ranks && !is_library("stuck")); };
    if (!may_wait && !is_over())
        return false;
    if (!w.change.wait_for(lock, patience(), is_over))
        fail("nccl: rank %d waits in call %llu, %s of %zu: only %d of %d ranks came", c.rank,
             static_cast<unsigned long long>(request.number), kind_name(request.kind), request.count,
             all.arrived, w.ranks);
    if (c.is_left)
        return true;
    open();
    memcpy(receive, all.result.data(), all.result.size());
    if (++all.served == w.ranks)
        w.collectives.erase(request.number);
    return true;
}

// Queues an operation behind this communicator's earlier ones. Where calls do not wait, every other one is
// queued only when the communicator is next asked how it goes: until then the stream knows nothing of it.
ncclResult_t post(simt_comm &c, cudaStream_t stream, Meeting meeting)
{
    uint64_t count = c.turn->recorded++;
    auto queue = [turn = c.turn, count, stream, meeting] {
        enqueue_meeting(stream, {turn, count}, [turn, count, meeting](bool may_wait, const Body &open) {
            bool is_over = meeting(may_wait, open);
            if (is_over)
                turn->done = count + 1;
            return is_over;
        });
    };
    if (!c.is_blocking && (count + static_cast<uint64_t>(c.rank)) % 2 != 0) {
        c.held = queue;
        return ncclInProgress;
    }
    queue();
    return ncclSuccess;
}

bool all_have_joined(World &w)
{
    Lock lock(w.lock);
    return w.joined == w.ranks;
}

// What a call on the communicator says before it begins.
ncclResult_t begin_call(simt_comm &c)
{
    if (call_fails())
        return ncclUnhandledCudaError;
    if (c.held || !all_have_joined(*c.world))
        fail("nccl: rank %d makes a call before its last one has ended", c.rank);
    return c.error;
}

ncclResult_t post_collective(ncclComm_t comm, Request request, const void *send, void *receive,
                             cudaStream_t stream)
{
    ncclResult_t code = begin_call(*comm);
    if (code != ncclSuccess)
        return code;
    if (request.root < 0 || request.root >= comm->world->ranks ||
        comm->world->devices[static_cast<size_t>(comm->rank)] != device_here())
        return ncclInvalidArgument;
    request.number = comm->collectives++;
    return post(
        *comm, stream,
        [c = comm->self, request, send, receive, has_come = false](bool may_wait, const Body &open) mutable {
            return meet(*c, request, send, receive, has_come, may_wait, open);
        });
}

// ---- sends and receives: those of a group are one operation ----

struct Transfer {
    bool is_send;
    void *data;
    size_t bytes;
    ncclDataType_t type;
    int peer;
    Mail sent;
    bool is_received;
};

struct Group {
    ncclComm_t comm;
    cudaStream_t stream;
    std::vector<Transfer> transfers;
};

thread_local std::vector<Group> groups;
thread_local int group_depth = 0;

void send(World &w, int rank, Transfer &t)
{
    auto *from = static_cast<const char *>(t.data);
    t.sent = std::make_shared<Message>(Message{{from, from + t.bytes}, t.type, false});
    w.mail[{rank, t.peer}].push_back(t.sent);
    w.change.notify_all();
}

void receive(World &w, int rank, Transfer &t)
{
    auto &box = w.mail[{t.peer, rank}];
    if (box.empty())
        return;
    Message &m = *box.front();
    if (m.data.size() != t.bytes || m.type != t.type)
        fail("nccl: rank %d receives %zu bytes of type %d, rank %d sends %zu of type %d", rank, t.bytes,
             t.type, t.peer, m.data.size(), m.type);
    memcpy(t.data, m.data.data(), t.bytes);
    t.is_received = m.is_taken = true;
    box.pop_front();
    w.change.notify_all();
}

bool transfer_all(simt_comm &c, std::vector<Transfer> &transfers, bool may_wait)
{
    World &w = *c.world;
    Lock lock(w.lock);
    for (Transfer &t : transfers)
        if (t.is_send && t.sent == nullptr)
            send(w, c.rank, t);
    const Transfer *open = nullptr;
    auto is_over = [&] {
        open = nullptr;
        for (Transfer &t : transfers) {
            if (!t.is_send && !t.is_received)
                receive(w, c.rank, t);
            if (t.is_send ? !t.sent->is_taken : !t.is_received)
                open = &t;
        }
        return c.is_left || open == nullptr;
    };
    if (!may_wait)
        return is_over();
    if (!w.change.wait_for(lock, patience(), is_over))
        fail(open->is_send
                 ? "nccl: rank %d waits in ncclSend of %zu bytes for rank %d, which receives nothing"
                 : "nccl: rank %d waits in ncclRecv of %zu bytes from rank %d, which sends nothing",
             c.rank, open->bytes, open->peer);
    return true;
}

void post_groups()
{
    for (const Group &g : groups)
        post(*g.comm, g.stream,
             [c = g.comm->self, transfers = g.transfers](bool may_wait, const Body &open) mutable {
                 open();
                 return transfer_all(*c, transfers, may_wait);
             });
    groups.clear();
}

ncclResult_t add_transfer(const Transfer &t, ncclComm_t comm, cudaStream_t stream)
{
    ncclResult_t code = begin_call(*comm);
    if (code != ncclSuccess)
        return code;
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

// ---- the API: communicators ----

ncclResult_t ncclGetVersion(int *version)
{
    *version = is_library("old") ? 2708 : NCCL_VERSION_CODE;
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
    }
    return w;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    *comm = nullptr;
    if (call_fails())
        return ncclSystemError;
    if (ranks < 1 || rank < 0 || rank >= ranks)
        return ncclInvalidArgument;
    if (config != nullptr && (config->size < sizeof *config || config->magic != 0xcafebeefu))
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
    const bool is_blocking = config == nullptr || config->blocking != 0;
    if (is_blocking && !w->change.wait_for(lock, patience(), [&] { return w->joined == ranks; }))
        fail("nccl: rank %d waits in ncclCommInitRank: only %d of %d ranks came", rank, w->joined, ranks);
    auto made = std::make_shared<simt_comm>();
    made->world = w;
    made->rank = rank;
    made->is_blocking = is_blocking;
    made->self = made;
    *comm = made.get();
    return is_blocking ? ncclSuccess : ncclInProgress;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank)
{
    return ncclCommInitRankConfig(comm, ranks, id, rank, nullptr);
}

// Whoever leaves waits for the others, if there were all once.
static ncclResult_t leave(ncclComm_t comm, const char *what)
{
    const bool failing = call_fails();
    std::shared_ptr<simt_comm> self = comm->self;
    World &w = *comm->world;
    Lock lock(w.lock);
    comm->is_left = true;
    comm->held = nullptr;
    w.left++;
    w.change.notify_all();
    if (!w.change.wait_for(lock, patience(), [&] { return w.left == w.joined || w.joined != w.ranks; }))
        fail("nccl: rank %d waits in %s: only %d of %d ranks left", comm->rank, what, w.left, w.ranks);
    comm->self.reset();
    return failing ? ncclSystemError : ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    return leave(comm, "ncclCommDestroy");
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    return leave(comm, "ncclCommAbort");
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error)
{
    if (call_fails())
        comm->error = ncclRemoteError; // stays
    *error = comm->error;
    if (comm->error != ncclSuccess)
        return ncclSuccess;
    if (!all_have_joined(*comm->world))
        *error = ncclInProgress;
    if (comm->held)
        comm->held();
    comm->held = nullptr;
    return ncclSuccess;
}

// ---- the API: collectives ----

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
    return add_transfer(
        {true, const_cast<void *>(send), count * type_bytes(type), type, peer, nullptr, false}, comm, stream);
}

ncclResult_t ncclRecv(void *receive, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    return add_transfer({false, receive, count * type_bytes(type), type, peer, nullptr, false}, comm, stream);
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
    static const char *const texts[] = {
        "no error",      "unhandled CUDA error",      "system error", "internal error", "invalid argument",
        "invalid usage", "a failure of another rank", "in progress"};
    return result <= ncclInProgress ? texts[result] : "a result that the emulator does not know";
}

void *simt_nccl_symbol(const char *name)
{
    static const struct {
        const char *name;
        void *address;
    } symbols[] = {
#define SYMBOL(name) {#name, reinterpret_cast<void *>(name)}
        SYMBOL(ncclGetVersion),         SYMBOL(ncclGetErrorString),    SYMBOL(ncclGetUniqueId),
        SYMBOL(ncclCommInitRankConfig), SYMBOL(ncclCommGetAsyncError), SYMBOL(ncclCommAbort),
        SYMBOL(ncclAllReduce),          SYMBOL(ncclAllGather),
#undef SYMBOL
    };
    if (is_library("none") || (is_library("lacks") && strcmp(name, "ncclCommInitRankConfig") == 0))
        return nullptr;
    for (const auto &symbol : symbols)
        if (strcmp(symbol.name, name) == 0)
            return symbol.address;
    return nullptr;
}
