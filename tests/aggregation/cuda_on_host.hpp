// What a CUDA kernel needs of its compiler, for an ordinary C++ compiler: one block at a time,
// each of its threads a thread of the host, so that lanes really wait for each other.

#include <pthread.h>

#define __device__ static
#define __global__
#define __launch_bounds__(threads)
#define fminf __builtin_fminf
#define fmaxf __builtin_fmaxf

struct Place {
    unsigned x;
};
static Place blockDim;
static thread_local Place blockIdx, threadIdx;

constexpr unsigned MAX_THREADS = 128;
static pthread_barrier_t meeting;
static double offered[MAX_THREADS];

// Values pass through double, which holds every float; a mask of the whole warp is meant.
template <typename Value>
static Value __shfl_xor_sync(unsigned, Value value, int mask)
{
    offered[threadIdx.x] = value;
    pthread_barrier_wait(&meeting);
    const Value found = (Value)offered[threadIdx.x ^ mask];
    pthread_barrier_wait(&meeting);
    return found;
}

template <typename Kernel>
struct Task {
    unsigned thread, num_blocks;
    const Kernel* kernel;

    static void* run(void* address)
    {
        const Task& task = *(Task*)address;
        threadIdx.x = task.thread;
        for (blockIdx.x = 0; blockIdx.x < task.num_blocks; ++blockIdx.x) (*task.kernel)();
        return nullptr;
    }
};

template <typename Kernel>
static void launch(unsigned num_blocks, unsigned num_threads, const Kernel& kernel)
{
    pthread_t threads[MAX_THREADS];
    Task<Kernel> tasks[MAX_THREADS];
    blockDim.x = num_threads;
    pthread_barrier_init(&meeting, nullptr, num_threads);
    for (unsigned i = 0; i < num_threads; ++i) {
        tasks[i] = {i, num_blocks, &kernel};
        pthread_create(&threads[i], nullptr, Task<Kernel>::run, &tasks[i]);
    }
    for (unsigned i = 0; i < num_threads; ++i) pthread_join(threads[i], nullptr);
    pthread_barrier_destroy(&meeting);
}
