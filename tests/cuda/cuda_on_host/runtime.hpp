// What the threads of a kernel ask of runtime.cpp.

#pragma once

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
};

struct BlockVote {
    unsigned num_true, num_voters;
};

enum { CUDA_ON_HOST_SHUFFLE, CUDA_ON_HOST_BALLOT };

#pragma GCC visibility push(default)
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
extern unsigned char* cuda_on_host_shared;

extern "C" {
unsigned long long cuda_on_host_shuffle(unsigned mask, unsigned long long offered, int source);
unsigned cuda_on_host_ballot(unsigned mask, int predicate);
struct BlockVote cuda_on_host_barrier(int predicate);
int cuda_on_host_lane();
unsigned cuda_on_host_live();
void cuda_on_host_trap();
void cuda_on_host_exit();
const char* cuda_on_host_launch(const unsigned* shape, unsigned shared_bytes, int backwards,
                                void (*function)(void*), void* arguments);
}
#pragma GCC visibility pop
