// The threads of a CUDA kernel on the host: one block at a time, each of its threads a context
// that runs until it must wait for others. Built once; the libraries of all kernels share it.
//
// Threads never run at once, so an atomic operation is an ordinary one, and a launch is the same
// each time. Where all that are left wait in vain, the launch ends with a message; a card would
// hang, or go on with numbers that mean nothing.

#undef _FORTIFY_SOURCE  // Its longjmp refuses another stack.

#include "runtime.hpp"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
unsigned char* cuda_on_host_shared;

namespace {

constexpr unsigned WARP = 32, MAX_THREADS = 1024;
constexpr size_t STACK = 512 * 1024;
// What nobody wrote: a lane that takes no part in an exchange, memory shared by a new block.
constexpr int NOISE = 0xa5;

enum class Waits { no, for_warp, for_block, done };

struct Thread {
    jmp_buf context;
    ucontext_t start;
    bool started;
    uint3 place;
    unsigned number;
    Waits waits;
    Thread* next;
    // Of the exchange that it waits for.
    int operation, source;
    unsigned mask;
    unsigned long long offered, found;
    int predicate;
};

Thread threads[MAX_THREADS], launcher;
char* stacks;
Thread *current, *first_ready, *last_ready;
unsigned num_threads, num_live, num_at_barrier;
BlockVote vote;
void (*kernel)(void*);
void* kernel_arguments;
char message[300];

void make_ready(Thread& thread)
{
    thread.waits = Waits::no;
    thread.next = nullptr;
    (first_ready ? last_ready->next : first_ready) = &thread;
    last_ready = &thread;
}

void run_thread()
{
    for (;;) {
        kernel(kernel_arguments);
        cuda_on_host_exit();
    }
}

// A context is begun by ucontext, and left and entered again by setjmp: no call of the system.
void switch_to(Thread& thread)
{
    Thread& left = *current;
    current = &thread;
    threadIdx = thread.place;
    if (_setjmp(left.context)) return;
    if (&thread == &launcher || thread.started) _longjmp(thread.context, 1);
    thread.started = true;
    setcontext(&thread.start);
}

void fail(const char* reason)
{
    if (!message[0])
        snprintf(message, sizeof message, "thread (%u, %u, %u) of block (%u, %u, %u): %s",
                 threadIdx.x, threadIdx.y, threadIdx.z, blockIdx.x, blockIdx.y, blockIdx.z, reason);
    switch_to(launcher);
}

void run_others()
{
    Thread* next = first_ready;
    if (!next) {
        if (num_live) fail("all that are left wait for threads that do not come");
        switch_to(launcher);
        return;
    }
    first_ready = next->next;
    switch_to(*next);
}

unsigned live_lanes(unsigned warp)
{
    unsigned lanes = 0;
    for (unsigned lane = 0; lane < WARP && warp * WARP + lane < num_threads; ++lane)
        if (threads[warp * WARP + lane].waits != Waits::done) lanes |= 1u << lane;
    return lanes;
}

// Give the threads that a mask names what they exchange, if all of them are there.
bool exchange_complete(unsigned warp, unsigned mask)
{
    Thread* lanes = threads + warp * WARP;
    const unsigned named = mask & live_lanes(warp);
    unsigned ballot = 0;
    for (unsigned lane = 0; lane < WARP; ++lane) {
        if (!(named >> lane & 1)) continue;
        if (lanes[lane].waits != Waits::for_warp || lanes[lane].mask != mask) return false;
        if (lanes[lane].predicate) ballot |= 1u << lane;
    }
    const int operation = lanes[__builtin_ctz(named)].operation;
    for (unsigned lane = 0; lane < WARP; ++lane) {
        if (!(named >> lane & 1)) continue;
        Thread& thread = lanes[lane];
        if (thread.operation != operation) fail("the threads of a warp exchange different things");
        if (operation == CUDA_ON_HOST_BALLOT)
            thread.found = ballot;
        else if (named >> thread.source & 1)
            thread.found = lanes[thread.source].offered;
        else
            memset(&thread.found, NOISE, sizeof thread.found);
        if (&thread != current) make_ready(thread);
    }
    return true;
}

unsigned long long exchange(int operation, unsigned mask, unsigned long long offered, int source,
                            int predicate)
{
    Thread& thread = *current;
    const unsigned warp = thread.number / WARP, lane = thread.number % WARP;
    if (!(mask >> lane & 1)) fail("it exchanges with a mask that does not name it");
    thread.operation = operation;
    thread.mask = mask;
    thread.offered = offered;
    thread.source = source;
    thread.predicate = predicate;
    thread.waits = Waits::for_warp;
    if (exchange_complete(warp, mask))
        thread.waits = Waits::no;
    else
        run_others();
    return thread.found;
}

bool barrier_complete()
{
    if (!num_live || num_at_barrier < num_live) return false;
    vote = {0, num_at_barrier};
    for (unsigned i = 0; i < num_threads; ++i) {
        if (threads[i].waits != Waits::for_block) continue;
        vote.num_true += threads[i].predicate != 0;
        if (&threads[i] != current) make_ready(threads[i]);
    }
    num_at_barrier = 0;
    return true;
}

void prepare(dim3 block)
{
    if (!stacks) {
        stacks = (char*)mmap(nullptr, STACK * MAX_THREADS, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stacks == MAP_FAILED) abort();
        // A stack that overflows meets a page that cannot be written.
        for (unsigned i = 0; i < MAX_THREADS; ++i)
            mprotect(stacks + i * STACK, sysconf(_SC_PAGESIZE), PROT_NONE);
    }
    num_threads = block.x * block.y * block.z;
    for (unsigned i = 0; i < num_threads; ++i) {
        Thread& thread = threads[i];
        thread.number = i;
        thread.place = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
        if (thread.started) continue;
        getcontext(&thread.start);
        thread.start.uc_stack.ss_sp = stacks + i * STACK;
        thread.start.uc_stack.ss_size = STACK;
        thread.start.uc_link = nullptr;
        makecontext(&thread.start, run_thread, 0);
    }
}

void run_block(bool backwards)
{
    first_ready = nullptr;
    for (unsigned i = 0; i < num_threads; ++i)
        make_ready(threads[backwards ? num_threads - 1 - i : i]);
    num_live = num_threads;
    num_at_barrier = 0;
    current = &launcher;
    run_others();
}

}  // namespace

void cuda_on_host_exit()
{
    Thread& thread = *current;
    thread.waits = Waits::done;
    --num_live;
    // Those that wait do not wait for one that is gone.
    barrier_complete();
    Thread* lanes = threads + thread.number / WARP * WARP;
    for (unsigned lane = 0; lane < WARP && lanes + lane < threads + num_threads; ++lane)
        if (lanes[lane].waits == Waits::for_warp)
            exchange_complete(thread.number / WARP, lanes[lane].mask);
    run_others();
}

unsigned long long cuda_on_host_shuffle(unsigned mask, unsigned long long offered, int source)
{
    return exchange(CUDA_ON_HOST_SHUFFLE, mask, offered, source, 0);
}

unsigned cuda_on_host_ballot(unsigned mask, int predicate)
{
    return exchange(CUDA_ON_HOST_BALLOT, mask, 0, 0, predicate);
}

BlockVote cuda_on_host_barrier(int predicate)
{
    current->predicate = predicate;
    current->waits = Waits::for_block;
    ++num_at_barrier;
    if (barrier_complete())
        current->waits = Waits::no;
    else
        run_others();
    // The next vote ends only when all have come back from this one.
    return vote;
}

int cuda_on_host_lane() { return current->number % WARP; }

unsigned cuda_on_host_live() { return live_lanes(current->number / WARP); }

void cuda_on_host_trap() { fail("it gave up"); }

extern "C" __attribute__((visibility("default"))) const char*
cuda_on_host_launch(const unsigned* shape, unsigned shared_bytes, int backwards,
                    void (*function)(void*), void* arguments)
{
    kernel = function;
    kernel_arguments = arguments;
    gridDim = {shape[0], shape[1], shape[2]};
    blockDim = {shape[3], shape[4], shape[5]};
    message[0] = 0;
    cuda_on_host_shared = (unsigned char*)aligned_alloc(64, (shared_bytes + 63) / 64 * 64);
    prepare(blockDim);
    const unsigned long long num_blocks = 1ull * gridDim.x * gridDim.y * gridDim.z;
    for (unsigned long long i = 0; i < num_blocks && !message[0]; ++i) {
        const unsigned long long block = backwards ? num_blocks - 1 - i : i;
        blockIdx = {unsigned(block % gridDim.x), unsigned(block / gridDim.x % gridDim.y),
                    unsigned(block / gridDim.x / gridDim.y)};
        memset(cuda_on_host_shared, NOISE, shared_bytes);
        run_block(backwards);
    }
    // Threads that stopped on their way begin anew.
    if (message[0])
        for (Thread& thread : threads) thread.started = false;
    free(cuda_on_host_shared);
    return message[0] ? message : nullptr;
}
