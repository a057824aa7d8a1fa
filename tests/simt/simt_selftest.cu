// simt_selftest.cu: what kernels may count on, asked of the device that is there: the emulator here, a real
// one when nvcc compiles this file.
#include "mill_cuda.h"
#include <stdio.h>
#include <stdlib.h>

static int failures = 0;

static void expect(bool holds, const char *what)
{
    if (holds)
        return;
    printf("FAILED: %s\n", what);
    failures++;
}

static void must(int code)
{
    if (code == 0)
        return;
    printf("CUDA error %d: %s\n", code, cudaGetErrorString(static_cast<cudaError_t>(code)));
    exit(1);
}

static __global__ void block_sums(const u32 *values, u32 count, u32 *sums)
{
    MILL_SHARED(u32, tile, 128);
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    tile[threadIdx.x] = i < count ? values[i] : 0;
    __syncthreads();
    for (u32 step = 64; step >= 32; step /= 2) {
        if (threadIdx.x < step)
            tile[threadIdx.x] += tile[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x < 32) {
        u32 sum = __reduce_add_sync(0xffffffffu, tile[threadIdx.x]);
        if (threadIdx.x == 0)
            atomicAdd(sums, sum);
    }
}

static void test_block_sums(void)
{
    const u32 count = 1000;
    u32 host[count], sum = 0, *values, *sums;
    for (u32 i = 0; i < count; i++)
        host[i] = i * i;
    must(cudaMalloc(&values, sizeof host));
    must(cudaMalloc(&sums, sizeof sum));
    must(cudaMemcpy(values, host, sizeof host, cudaMemcpyHostToDevice));
    must(cudaMemset(sums, 0, sizeof sum));
    must(MILL_LAUNCH(block_sums, dim3((count + 127) / 128), dim3(128), 0, nullptr, values, count, sums));
    must(cudaMemcpy(&sum, sums, sizeof sum, cudaMemcpyDeviceToHost));
    expect(sum == 332833500, "the sum over blocks");
    must(cudaFree(values));
    must(cudaFree(sums));
}

int main(void)
{
    test_block_sums();
    printf("%d failures\n", failures);
    return failures != 0;
}
