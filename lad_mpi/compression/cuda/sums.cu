// Sums and largest magnitudes of buckets. Which numbers a thread adds, and in which order, depends
// on the size of a bucket alone. Every SPAN coordinates have a sum of their own; then these are
// added.

constexpr Bits NOT_A_NUMBER = BEYOND_FINITE | (Bits)1 << (FRACTION_BITS - 1);

// What the threads of a block have, added; in the first thread.
__device__ inline double total_of_block(double value)
{
    __shared__ double held[THREADS];
    held[threadIdx.x] = value;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) held[threadIdx.x] += held[threadIdx.x + half];
    }
    return held[threadIdx.x];
}

// The sum of a bucket from its parts; in the first thread.
__device__ inline double total_of_bucket(const double* sums, long long bucket, long long size)
{
    const long long parts = (size + SPAN - 1) / SPAN;
    double sum = 0.0;
    for (long long i = threadIdx.x; i < parts; i += THREADS) sum += sums[bucket * parts + i];
    return total_of_block(sum);
}

// Magnitudes are ordered as their bits are, with NaN above infinity.
__device__ inline void raise_largest(Bits magnitude, Bits* largest)
{
    __shared__ Bits held[THREADS];
    held[threadIdx.x] = magnitude;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            held[threadIdx.x] = max(held[threadIdx.x], held[threadIdx.x + half]);
    }
    if (threadIdx.x == 0) atomicMax(largest, held[0]);
}
