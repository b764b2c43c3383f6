// The mean of some ranks of every column, each column held in the registers of a thread or of two.
//
// kernels_cuda_source.py puts in front of this file what holds for one case:
//
//   Real         float or double; LARGEST is its largest number
//   ROWS         n, the numbers in a column
//   LANES        adjacent threads that share a column, 1 or 2
//   FIRST, LAST  ranks FIRST … LAST - 1 of a column are averaged,
//   JOINED       with the so many values of the others that are nearest the median
//   THREADS      threads in a block
//   SORT(X), SEPARATE(X)   X(i, j) for every exchange of a network
//
// All indices into held[] are constants once loops are unrolled, so it has no address in memory.

constexpr int HELD = (ROWS + LANES - 1) / LANES;
constexpr int PADDING = HELD * LANES - ROWS;
constexpr int COUNT = LAST - FIRST + JOINED;
constexpr unsigned WHOLE_WARP = 0xffffffffu;

#define EXCHANGE(i, j) exchange(held[i], held[j]);

__device__ inline float least(float a, float b) { return fminf(a, b); }
__device__ inline float greatest(float a, float b) { return fmaxf(a, b); }
// There is no instruction for doubles; in these forms both results come from one comparison.
__device__ inline double least(double a, double b) { return a < b ? a : b; }
__device__ inline double greatest(double a, double b) { return a < b ? b : a; }

__device__ inline void exchange(Real& a, Real& b)
{
    const Real low = least(a, b);
    b = greatest(a, b);
    a = low;
}

// Lane 1 holds its numbers negated, so that both lanes do the same: held[i] has rank i from below
// in lane 0 and from above in lane 1, where the padding, if any, is above all.
__device__ inline bool is_averaged(int i, int lane)
{
    const int rank = lane == 0 ? i : 2 * HELD - 1 - i;
    return FIRST <= rank && rank < LAST;
}

// Of the i-th value inwards at one end and outwards at the other, the nearer one joins: these are
// the JOINED nearest of the 2 JOINED outer values. Of two equally near the lower one does: their
// middle is rounded as the median is, so that equal distances are seen to be equal.
__device__ inline double joined_total(const Real* held, int lane)
{
    double total = 0.0;
    if (LANES == 1) {
        const double median = 0.5 * held[(ROWS - 1) / 2] + 0.5 * held[ROWS / 2];
#pragma unroll
        for (int i = 0; i < JOINED; ++i) {
            const double low = held[i], high = held[ROWS - JOINED + i];
            total += median <= 0.5 * low + 0.5 * high ? low : high;
        }
    } else {
        const double innermost = held[HELD - 1];
        const double opposite = -__shfl_xor_sync(WHOLE_WARP, innermost, 1);
        // Of an odd number, lane 0 has the median; each lane sees it with its own sign.
        const double median = PADDING == 0 ? 0.5 * innermost + 0.5 * opposite
                              : lane == 0  ? innermost
                                           : opposite;
#pragma unroll
        for (int i = 0; i < JOINED; ++i) {
            const Real own = lane == 0 ? held[i] : held[PADDING + JOINED - 1 - i];
            const Real other = __shfl_xor_sync(WHOLE_WARP, own, 1);
            const double excess = 0.5 * own - 0.5 * other - median;
            const bool joins = lane == 0 ? excess >= 0.0 : excess > 0.0;
            total += joins ? own : 0.0;
        }
    }
    return total;
}

// messages has ROWS rows, and strides in numbers, not bytes; result has one number a column.
// *refused becomes 1 where a number, or the sum of those averaged, is not finite.
extern "C" __global__ void __launch_bounds__(THREADS)
column_means(const Real* __restrict__ messages, int row_stride, long long column_stride,
             long long num_columns, Real* __restrict__ result, int* __restrict__ refused)
{
    const int lane = threadIdx.x % LANES;
    const long long place = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / LANES;
    // Lanes wait for each other, so threads that are left over do the last column again.
    const long long column = place < num_columns ? place : num_columns - 1;
    const Real* first = messages + column * column_stride + (long long)row_stride * lane;
    const Real sign = lane == 0 ? 1 : -1;

    Real held[HELD];
    Real check = 0;
#pragma unroll
    for (int i = 0; i < HELD; ++i) {
        if (i * LANES + lane < ROWS) {
            held[i] = sign * first[(long long)row_stride * (i * LANES)];
            // NaN if not finite; multiplications use a pipeline that exchanges leave idle.
            check += held[i] * 0;
        } else {
            held[i] = -LARGEST;
        }
    }

    SORT(EXCHANGE)
    if (LANES == 2) {
        // Of two sorted halves, lane 0 takes the lower numbers and lane 1 the higher ones.
#pragma unroll
        for (int i = 0; i < HELD; ++i)
            held[i] = least(held[i], -__shfl_xor_sync(WHOLE_WARP, held[i], 1));
    }
    SEPARATE(EXCHANGE)

    // Several sums, since an addition waits for the one before it.
    double sums[4] = {0.0, 0.0, 0.0, 0.0};
#pragma unroll
    for (int i = 0; i < HELD; ++i)
        if (is_averaged(i, lane)) sums[i % 4] += held[i];
    double total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    if (JOINED > 0) total += joined_total(held, lane);
    if (LANES == 2) {
        const double other = __shfl_xor_sync(WHOLE_WARP, total, 1);
        total = lane == 0 ? total - other : other - total;
    }

    if (!(check + total * 0 == 0)) *refused = 1;
    if (lane == 0 && place < num_columns) result[column] = (Real)(total / COUNT);
}
