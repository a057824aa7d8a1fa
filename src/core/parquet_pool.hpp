// parquet_pool.hpp: Arrow's memory from the host, and what a failure was; for the parts of libmill_parquet.so.
#ifndef MILL_CORE_PARQUET_POOL_HPP
#define MILL_CORE_PARQUET_POOL_HPP

#include <algorithm>
#include <cstring>
#include <string>

#include <arrow/memory_pool.h>

#include "core/parquet_shim.h"

const mill_parquet_write_api *mill_parquet_write(); // parquet_write.cpp

namespace
{

// What a failure was, noted where it happened: Arrow turns all of them into exceptions with a text.
struct Faults {
    bool memory = false, io = false;
};

class HostPool : public arrow::MemoryPool
{
  public:
    using Allocate_ = void *(*)(size_t);
    using Release_ = void (*)(void *);
    HostPool(Allocate_ allocate, Release_ release, uint64_t most, Faults &faults)
        : allocate_(allocate), release_(release), most_(most), faults_(faults)
    {
    }
    arrow::Status Allocate(int64_t size, int64_t alignment, uint8_t **out) override
    {
        if (size < 0 || static_cast<uint64_t>(size) > most_)
            return arrow::Status::Invalid("a page of ", size, " bytes");
        // The block that the host gave stands right before what is handed out.
        size_t room = static_cast<size_t>(size) + static_cast<size_t>(alignment) + sizeof(void *);
        void *block = allocate_(room);
        if (block == nullptr) {
            faults_.memory = true;
            return arrow::Status::OutOfMemory("no memory");
        }
        uintptr_t at = reinterpret_cast<uintptr_t>(block) + sizeof(void *);
        at = (at + static_cast<uintptr_t>(alignment) - 1) / static_cast<uintptr_t>(alignment) *
             static_cast<uintptr_t>(alignment);
        *out = reinterpret_cast<uint8_t *>(at);
        std::memcpy(*out - sizeof block, &block, sizeof block);
        bytes_ += size;
        total_ += size;
        calls_++;
        return arrow::Status::OK();
    }
    arrow::Status Reallocate(int64_t old_size, int64_t new_size, int64_t alignment, uint8_t **pointer) override
    {
        uint8_t *fresh = nullptr;
        ARROW_RETURN_NOT_OK(Allocate(new_size, alignment, &fresh));
        std::memcpy(fresh, *pointer, static_cast<size_t>(std::min(old_size, new_size)));
        Free(*pointer, old_size, alignment);
        *pointer = fresh;
        return arrow::Status::OK();
    }
    void Free(uint8_t *buffer, int64_t size, int64_t) override
    {
        void *block;
        std::memcpy(&block, buffer - sizeof block, sizeof block);
        release_(block);
        bytes_ -= size;
    }
    int64_t bytes_allocated() const override
    {
        return bytes_;
    }
    int64_t total_bytes_allocated() const override
    {
        return total_;
    }
    int64_t num_allocations() const override
    {
        return calls_;
    }
    std::string backend_name() const override
    {
        return "host";
    }

  private:
    Allocate_ allocate_;
    Release_ release_;
    uint64_t most_; // bytes at once; more is damage, not a lack of memory
    Faults &faults_;
    int64_t bytes_ = 0, total_ = 0, calls_ = 0;
};

// Runs call; no exception leaves it.
template <class Call> mill_parquet_result guard(Faults &faults, char *why, Call call) noexcept
{
    faults = {};
    try {
        return call();
    } catch (const std::bad_alloc &) {
        faults.memory = true;
    } catch (const std::exception &error) {
        const char *text = error.what();
        std::snprintf(why, MILL_PARQUET_WHY, "%.*s", static_cast<int>(std::strcspn(text, "\n")), text);
    } catch (...) {
        std::snprintf(why, MILL_PARQUET_WHY, "an unknown failure");
    }
    return faults.memory ? MILL_PARQUET_NO_MEMORY : faults.io ? MILL_PARQUET_IO : MILL_PARQUET_DAMAGED;
}

} // namespace

#endif
