// selftest.h: what the emulator's tests share: expectations, arrays on the device, runs under several seeds,
// children that must fail.
#ifndef SIMT_SELFTEST_H
#define SIMT_SELFTEST_H

#include "mill_cuda.h"
#include <algorithm>
#include <initializer_list>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <sys/resource.h>
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

// Runs the tests once on a device; on the emulator under seeds 0 to last_seed, unless SIMT_SEED chooses one.
// The seed is read when a process begins, so each has a process of its own.
static inline int selftest_main(void (*tests)(void), [[maybe_unused]] char last_seed)
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
                exit(failures != 0); // not _exit: the sanitizers have their say there
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

#ifdef SIMT_EMULATOR
struct Ending {
    int status;          // as of waitpid
    std::string message; // what it wrote to stderr
};

// How a process ends that calls `body` with these variables in its environment ("NAME=VALUE", up to a null).
static inline Ending child_ending(void (*body)(void), std::initializer_list<const char *> environment)
{
    int ends[2];
    fflush(stdout);
    if (pipe(ends) != 0)
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        for (const char *variable : environment)
            putenv(const_cast<char *>(variable));
        failures = 0;
        body();
        fflush(stdout);
        exit(failures != 0);
    }
    Ending ending = {0, {}};
    char buffer[4096];
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
        ending.message.append(buffer, static_cast<size_t>(n));
    close(ends[0]);
    waitpid(child, &ending.status, 0);
    return ending;
}

// The child must not come to its end, and must say why.
static inline void expect_failure(const char *name, void (*body)(void), const char *reason,
                                  std::initializer_list<const char *> environment)
{
    Ending ending = child_ending(body, environment);
    expect(ending.status != 0, "%s: nothing happened", name);
    expect(ending.status == 0 || ending.message.find(reason) != std::string::npos,
           "%s: it does not say \"%s\", but:\n%s", name, reason, ending.message.c_str());
}
#endif

#endif
