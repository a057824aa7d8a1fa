// selftest.h: what the emulator's tests share: expectations, arrays on the device, runs under several seeds,
// children that must fail.
#ifndef SIMT_SELFTEST_H
#define SIMT_SELFTEST_H

#include "mill_cuda.h"
#include <algorithm>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

static unsigned checks = 0, failures = 0;

__attribute__((format(printf, 2, 3))) static inline void expect(bool holds, const char *format, ...)
{
    checks++;
    if (holds || ++failures > 20)
        return;
    va_list arguments;
    va_start(arguments, format);
    printf("FAILED: ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

static inline void must(int code)
{
    if (code == 0)
        return;
    printf("CUDA error %d: %s\n", code, cudaGetErrorString(static_cast<cudaError_t>(code)));
    exit(1);
}

static inline u64 draw(void) // splitmix64
{
    static u64 state = 42;
    u64 z = state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

// An array in device memory.
template <class T> struct Device_array {
    T *data = nullptr;
    size_t count;

    explicit Device_array(size_t n) : count(n)
    {
        must(cudaMalloc(&data, n * sizeof(T)));
    }
    explicit Device_array(const std::vector<T> &values) : Device_array(values.size())
    {
        must(cudaMemcpy(data, values.data(), count * sizeof(T), cudaMemcpyHostToDevice));
    }
    Device_array(const Device_array &) = delete;
    Device_array &operator=(const Device_array &) = delete;
    ~Device_array()
    {
        (void)cudaFree(data);
    }
    std::vector<T> get() const
    {
        std::vector<T> values(count);
        must(cudaMemcpy(values.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost));
        return values;
    }
};

// Runs the tests once on a device; on the emulator under seeds 0 to 8, unless SIMT_SEED chooses one. The seed
// is read when a process begins, so each has a process of its own.
#ifdef __SANITIZE_THREAD__
static const char last_seed = '3'; // all fillings of memory, in the time that there is
#else
static const char last_seed = '8';
#endif

static inline int selftest_main(void (*tests)(void))
{
#ifdef SIMT_EMULATOR
    if (getenv("SIMT_SEED") == nullptr) {
        int bad = 0;
        for (char seed = '0'; seed <= last_seed; seed++) {
            fflush(stdout);
            pid_t child = fork();
            if (child == 0) {
                const char text[] = {seed, '\0'};
                setenv("SIMT_SEED", text, 1);
                tests();
                printf("seed %c: %u checks, %u failures\n", seed, checks, failures);
                fflush(stdout);
                _exit(failures != 0);
            }
            int status = 0;
            waitpid(child, &status, 0);
            bad += status != 0;
        }
        return bad != 0;
    }
#endif
    tests();
    printf("%u checks, %u failures\n", checks, failures);
    return failures != 0;
}

#endif
