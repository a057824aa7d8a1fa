// simt_nccl.cu: the emulator's collectives, on threads that drive a device each: results compared with plain
// sums, and what must not pass: ranks that ask for different things, or do not come.
#include "mill_cuda.h"
#include "selftest.h"
#include <functional>
#include <nccl.h>
#include <thread>

static const int ranks = 3;
static const u32 count = 1000;

// What a rank has to do its work with.
struct Rank {
    int rank;
    ncclComm_t comm;
    cudaStream_t stream;
};

static void must_nccl(ncclResult_t result)
{
    if (result == ncclSuccess)
        return;
    printf("NCCL error: %s\n", ncclGetErrorString(result));
    exit(1);
}

static void on_ranks(const std::function<void(const Rank &)> &work)
{
    ncclUniqueId id;
    must_nccl(ncclGetUniqueId(&id));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; rank++)
        threads.emplace_back([&, rank] {
            Rank me = {rank, nullptr, nullptr};
            must(cudaSetDevice(rank));
            must(cudaStreamCreateWithFlags(&me.stream, cudaStreamNonBlocking));
            must_nccl(ncclCommInitRank(&me.comm, ranks, id, rank));
            work(me);
            must(cudaStreamSynchronize(me.stream));
            must_nccl(ncclCommDestroy(me.comm));
            must(cudaStreamDestroy(me.stream));
        });
    for (std::thread &thread : threads)
        thread.join();
}

static u64 value_of(int rank, u32 i)
{
    return (static_cast<u64>(rank) * 0x9e3779b97f4a7c15ull + i) * 0xbf58476d1ce4e5b9ull;
}

static std::vector<u64> values_of(int rank)
{
    std::vector<u64> values(count);
    for (u32 i = 0; i < count; i++)
        values[i] = value_of(rank, i);
    return values;
}

// expect() counts without a lock: what threads see is kept, and looked at when they are gone.
static std::vector<u64> results[ranks];

static u64 reduced(u32 i, ncclRedOp_t op)
{
    u64 total = value_of(0, i);
    for (int rank = 1; rank < ranks; rank++) {
        u64 v = value_of(rank, i);
        total = op == ncclSum    ? total + v
                : op == ncclProd ? total * v
                : op == ncclMax  ? std::max(total, v)
                                 : std::min(total, v);
    }
    return total;
}

static void test_all_reduce(void)
{
    for (ncclRedOp_t op : {ncclSum, ncclProd, ncclMax, ncclMin}) {
        on_ranks([op](const Rank &me) {
            Device_array<u64> cells(values_of(me.rank)); // in place
            must_nccl(ncclAllReduce(cells.data, cells.data, count, ncclUint64, op, me.comm, me.stream));
            must(cudaStreamSynchronize(me.stream));
            results[me.rank] = cells.get();
        });
        for (int rank = 0; rank < ranks; rank++)
            for (u32 i = 0; i < count; i++)
                expect(results[rank][i] == reduced(i, op), "all-reduce %d, rank %d, cell %u", op, rank, i);
    }
}

static __global__ void halve(u64 *cells, u32 n)
{
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        cells[i] /= 2;
}

// Kernel, collective, kernel, collective on one stream; then on two streams of one communicator.
static void test_chain(void)
{
    on_ranks([](const Rank &me) {
        Device_array<u64> mine(values_of(me.rank)), all(static_cast<size_t>(count) * ranks), sums(count);
        cudaStream_t other;
        cudaEvent_t gathered;
        must(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
        must(cudaEventCreate(&gathered));
        must(MILL_LAUNCH(halve, dim3(8), dim3(128), 0, me.stream, mine.data, count));
        must_nccl(ncclAllGather(mine.data, all.data, count, ncclUint64, me.comm, me.stream));
        must(cudaEventRecord(gathered, me.stream));
        must_nccl(ncclBroadcast(mine.data, sums.data, count, ncclUint64, 1, me.comm, other));
        must(cudaStreamWaitEvent(other, gathered));
        must(MILL_LAUNCH(halve, dim3(24), dim3(128), 0, other, all.data, count * ranks));
        must(cudaDeviceSynchronize());
        results[me.rank] = all.get();
        std::vector<u64> sent = sums.get();
        results[me.rank].insert(results[me.rank].end(), sent.begin(), sent.end());
        must(cudaEventDestroy(gathered));
        must(cudaStreamDestroy(other));
    });
    for (int rank = 0; rank < ranks; rank++)
        for (u32 i = 0; i < count * (ranks + 1); i++) {
            u64 wanted = i < count * ranks ? value_of(static_cast<int>(i / count), i % count) / 4
                                           : value_of(1, i % count) / 2;
            expect(results[rank][i] == wanted, "gather and broadcast, rank %d, cell %u", rank, i);
        }
}

// Every rank sends rank r its cells r * 100 .. + 100 + r.
static void test_exchange(void)
{
    on_ranks([](const Rank &me) {
        Device_array<u64> mine(values_of(me.rank)), received(static_cast<size_t>(200) * ranks);
        must_nccl(ncclGroupStart());
        for (int peer = 0; peer < ranks; peer++) {
            must_nccl(ncclSend(mine.data + peer * 100, static_cast<size_t>(100 + peer), ncclUint64, peer,
                               me.comm, me.stream));
            must_nccl(ncclRecv(received.data + peer * 200, static_cast<size_t>(100 + me.rank), ncclUint64,
                               peer, me.comm, me.stream));
        }
        must_nccl(ncclGroupEnd());
        must(cudaStreamSynchronize(me.stream));
        results[me.rank] = received.get();
    });
    for (int rank = 0; rank < ranks; rank++)
        for (int peer = 0; peer < ranks; peer++)
            for (int i = 0; i < 100 + rank; i++)
                expect(results[rank][static_cast<size_t>(peer * 200 + i)] ==
                           value_of(peer, static_cast<u32>(rank * 100 + i)),
                       "exchange, from %d to %d, cell %d", peer, rank, i);
}

static void test_small_types(void)
{
    on_ranks([](const Rank &me) {
        std::vector<i8> bytes(count, static_cast<i8>(60 - me.rank));
        std::vector<i32> words(count, -1000000000 * (me.rank - 1));
        Device_array<i8> b(bytes);
        Device_array<i32> w(words);
        must_nccl(ncclAllReduce(b.data, b.data, count, ncclInt8, ncclSum, me.comm, me.stream));
        must_nccl(ncclAllReduce(w.data, w.data, count, ncclInt32, ncclMin, me.comm, me.stream));
        must(cudaStreamSynchronize(me.stream));
        results[me.rank] = {static_cast<u64>(b.get()[7]), static_cast<u64>(w.get()[7])};
    });
    for (int rank = 0; rank < ranks; rank++)
        expect(static_cast<i64>(results[rank][0]) == -79 && static_cast<i64>(results[rank][1]) == -1000000000,
               "small types, rank %d", rank);
}

// ---- communicators whose calls do not wait ----

// What a careful host does: asks the communicator and the stream until both are done, or one has failed.
static ncclResult_t settle(const Rank &me)
{
    ncclResult_t state = ncclInProgress;
    while (state == ncclInProgress)
        must_nccl(ncclCommGetAsyncError(me.comm, &state));
    return state;
}

static ncclResult_t begin_sum(const Rank &me, u64 *cells)
{
    ncclResult_t code = ncclAllReduce(cells, cells, count, ncclUint64, ncclSum, me.comm, me.stream);
    return code == ncclInProgress ? settle(me) : code;
}

// The memory outlives the communicator: giving it back would wait for collectives that nobody comes to.
static void on_asking_ranks(const std::function<void(const Rank &, u64 *)> &work)
{
    ncclUniqueId id;
    must_nccl(ncclGetUniqueId(&id));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; rank++)
        threads.emplace_back([&, rank] {
            Rank me = {rank, nullptr, nullptr};
            ncclConfig_t config = {sizeof config, 0xcafebeefu, 21400, 0};
            must(cudaSetDevice(rank));
            must(cudaStreamCreateWithFlags(&me.stream, cudaStreamNonBlocking));
            Device_array<u64> cells(values_of(me.rank));
            if (ncclCommInitRankConfig(&me.comm, ranks, id, rank, &config) != ncclInProgress)
                abort();
            must_nccl(settle(me));
            work(me, cells.data);
            must_nccl(ncclCommAbort(me.comm));
            must(cudaStreamSynchronize(me.stream)); // what was aborted holds nobody up
            if (results[me.rank].empty())
                results[me.rank] = cells.get();
            must(cudaStreamDestroy(me.stream));
        });
    for (std::thread &thread : threads)
        thread.join();
}

// Sums of sums, between them kernels, and only queries.
static void test_queries(void)
{
    for (std::vector<u64> &result : results)
        result.clear();
    on_asking_ranks([](const Rank &me, u64 *cells) {
        for (int round = 0; round < 3; round++) {
            must_nccl(begin_sum(me, cells));
            must(MILL_LAUNCH(halve, dim3(8), dim3(128), 0, me.stream, cells, count));
            cudaError_t state = cudaErrorNotReady;
            while (state == cudaErrorNotReady)
                state = cudaStreamQuery(me.stream);
            must(state);
        }
    });
    for (u32 i = 0; i < count; i++) {
        u64 wanted = reduced(i, ncclSum) / 2;
        wanted = wanted * ranks / 2;
        wanted = wanted * ranks / 2;
        for (int rank = 0; rank < ranks; rank++)
            expect(results[rank][i] == wanted, "three sums, rank %d, cell %u", rank, i);
    }
}

// A rank that never comes: the others give up, and nobody waits for ever.
static void test_giving_up(void)
{
    on_asking_ranks([](const Rank &me, u64 *cells) {
        results[me.rank] = {0};
        if (me.rank == 1)
            return;
        must_nccl(begin_sum(me, cells));
        for (int asked = 0; asked < 50; asked++)
            results[me.rank][0] += cudaStreamQuery(me.stream) == cudaErrorNotReady;
    });
    expect(results[0][0] == 50 && results[2][0] == 50, "a collective without a rank comes to no end");
}

// A call that comes too early, while the last one is in progress.
static void one_is_early(void)
{
    on_asking_ranks([](const Rank &me, u64 *cells) {
        for (int i = 0; i < 2; i++)
            (void)ncclAllReduce(cells, cells, count, ncclUint64, ncclSum, me.comm, me.stream);
    });
}

// One stays although the others have left.
static void one_stays(void)
{
    on_asking_ranks([](const Rank &me, u64 *) { sleep(me.rank == 1 ? 9 : 0); });
}

// With SIMT_FAIL_NTH=3: the third call, which asks for errors.
static void third_call_fails(void)
{
    ncclUniqueId id;
    ncclComm_t comm;
    ncclConfig_t config = {sizeof config, 0xcafebeefu, 21400, 0};
    ncclResult_t state;
    must_nccl(ncclGetUniqueId(&id));
    expect(ncclCommInitRankConfig(&comm, 1, id, 0, &config) == ncclInProgress, "in progress");
    for (int asked = 0; asked < 2; asked++) {
        must_nccl(ncclCommGetAsyncError(comm, &state));
        expect(state == ncclRemoteError, "an error that came later, and stays");
    }
    expect(ncclAllReduce(nullptr, nullptr, 0, ncclUint64, ncclSum, comm, nullptr) == ncclRemoteError,
           "a call after an error");
    must_nccl(ncclCommAbort(comm));
}

// With SIMT_FAIL_DEVICE=2: the calls of other devices do not count.
static void second_call_of_a_device_fails(void)
{
    ncclUniqueId id;
    for (int device = 1; device < 3; device++) {
        must(device == 1 ? cudaSetDevice(device) : cudaSuccess);
        for (int call = 0; call < 4; call++) {
            if (device == 2 && call == 0)
                must(cudaSetDevice(device)); // still a call of device 1
            ncclResult_t code = ncclGetUniqueId(&id);
            expect((code != ncclSuccess) == (device == 2 && call == 1), "device %d, call %d", device, call);
        }
    }
}

// ---- what must not pass ----

static void one_kind(const std::function<void(const Rank &, u64 *)> &call)
{
    on_ranks([&](const Rank &me) {
        Device_array<u64> cells(static_cast<size_t>(count) * ranks);
        call(me, cells.data);
        must(cudaStreamSynchronize(me.stream));
    });
}

static void other_count(void)
{
    one_kind([](const Rank &me, u64 *cells) {
        must_nccl(ncclAllReduce(cells, cells, me.rank == 1 ? count - 1 : count, ncclUint64, ncclSum, me.comm,
                                me.stream));
    });
}

static void other_type(void)
{
    one_kind([](const Rank &me, u64 *cells) {
        must_nccl(ncclAllReduce(cells, cells, count, me.rank == 1 ? ncclUint32 : ncclUint64, ncclSum, me.comm,
                                me.stream));
    });
}

static void other_op(void)
{
    one_kind([](const Rank &me, u64 *cells) {
        must_nccl(ncclAllReduce(cells, cells, count, ncclUint64, me.rank == 2 ? ncclMax : ncclSum, me.comm,
                                me.stream));
    });
}

static void other_kind(void)
{
    one_kind([](const Rank &me, u64 *cells) {
        if (me.rank == 0)
            must_nccl(ncclAllGather(cells, cells, count, ncclUint64, me.comm, me.stream));
        else
            must_nccl(ncclAllReduce(cells, cells, count, ncclUint64, ncclSum, me.comm, me.stream));
    });
}

static void other_root(void)
{
    one_kind([](const Rank &me, u64 *cells) {
        must_nccl(ncclBroadcast(cells, cells, count, ncclUint64, me.rank % 2, me.comm, me.stream));
    });
}

static void one_is_missing(void)
{
    one_kind([](const Rank &me, u64 *cells) {
        if (me.rank != 1)
            must_nccl(ncclAllReduce(cells, cells, count, ncclUint64, ncclSum, me.comm, me.stream));
        else
            sleep(9);
    });
}

static void nobody_receives(void)
{
    one_kind([](const Rank &me, u64 *cells) {
        if (me.rank == 0)
            must_nccl(ncclSend(cells, count, ncclUint64, 1, me.comm, me.stream));
        else
            sleep(9);
    });
}

static void less_is_received(void)
{
    one_kind([](const Rank &me, u64 *cells) {
        if (me.rank == 0)
            must_nccl(ncclSend(cells, count, ncclUint64, 1, me.comm, me.stream));
        if (me.rank == 1)
            must_nccl(ncclRecv(cells, count / 2, ncclUint64, 0, me.comm, me.stream));
    });
}

static void rank_stays_away(void)
{
    ncclUniqueId id;
    ncclComm_t comm;
    must_nccl(ncclGetUniqueId(&id));
    must_nccl(ncclCommInitRank(&comm, ranks, id, 0));
}

static void two_on_one_device(void)
{
    ncclUniqueId id;
    ncclResult_t second = ncclSuccess;
    must_nccl(ncclGetUniqueId(&id));
    std::thread first([id] {
        ncclComm_t comm;
        must_nccl(ncclCommInitRank(&comm, 2, id, 0));
    });
    sleep(1);
    ncclComm_t comm;
    second = ncclCommInitRank(&comm, 2, id, 1);
    fprintf(stderr, "the second gets: %s\n", ncclGetErrorString(second));
    first.join();
}

static void test_faults(void)
{
    expect_failure("another count", other_count, "nccl: rank", {});
    expect_failure("another type", other_type, "nccl: rank", {});
    expect_failure("another operation", other_op, "nccl: rank", {});
    expect_failure("another kind", other_kind, "nccl: rank", {});
    expect_failure("another root", other_root, "nccl: rank", {});
    expect_failure("less is received", less_is_received, "rank 1 receives 4000 bytes", {});
    expect_failure("a call too early", one_is_early, "before its last one has ended", {});
    expect(child_ending(third_call_fails, {"SIMT_FAIL_NTH=3"}).status == 0, "the third call fails");
    expect(child_ending(second_call_of_a_device_fails, {"SIMT_FAIL_NTH=2", "SIMT_FAIL_DEVICE=2"}).status == 0,
           "a call of a device fails");
    if (getenv("SIMT_SEED")[0] != '0')
        return; // those that wait for somebody: once is enough
    expect_failure("one is missing", one_is_missing, "only 2 of 3 ranks came", {"SIMT_NCCL_SECONDS=1"});
    expect_failure("nobody receives", nobody_receives, "ncclSend", {"SIMT_NCCL_SECONDS=1"});
    expect_failure("a rank stays", one_stays, "ncclCommAbort: only 2 of 3 ranks left",
                   {"SIMT_NCCL_SECONDS=1"});
    expect_failure("a rank stays away", rank_stays_away, "only 1 of 3 ranks came", {"SIMT_NCCL_SECONDS=1"});
    expect_failure("two ranks on a device", two_on_one_device, "the second gets: invalid usage",
                   {"SIMT_NCCL_SECONDS=3"});
}

static void run_tests(void)
{
    test_faults(); // first: children are made while there is one thread
    test_all_reduce();
    test_chain();
    test_exchange();
    test_small_types();
    test_queries();
    test_giving_up();
    int version = 0;
    expect(ncclGetVersion(&version) == ncclSuccess && version >= 20000, "ncclGetVersion");
}

int main(void)
{
    setenv("SIMT_DEVICES", "3", 1);
    return selftest_main(run_tests, '2');
}
