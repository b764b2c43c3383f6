// What the kernels of all codecs share. launch.py puts in front of it
//
//   WIDE     1 where numbers are float64, 0 where they are float32
//   THREADS  threads in a block
//   CHUNK    coordinates that most blocks work on
//   SPAN     coordinates that a block works on where it makes one number of them
//
// and what holds for one codec behind it. Numbers are read and written as their bits, and all
// arithmetic is in float64: CuPy has whatever it compiles count float32 numbers below 2^-126 as
// zeros, and the host does not.

typedef unsigned char Byte;
typedef unsigned long long Word;

#if WIDE
typedef Word Bits;
constexpr int FRACTION_BITS = 52;
#else
typedef unsigned Bits;
constexpr int FRACTION_BITS = 23;
#endif

constexpr int NUMBER_BITS = 8 * sizeof(Bits);
constexpr Bits MAGNITUDE = ((Bits)1 << (NUMBER_BITS - 1)) - 1;
constexpr Bits BEYOND_FINITE = MAGNITUDE >> FRACTION_BITS << FRACTION_BITS;

__device__ inline bool is_finite(Bits number) { return (number & MAGNITUDE) < BEYOND_FINITE; }

__device__ inline double from_bits(Word bits) { return __longlong_as_double((long long)bits); }
__device__ inline Word to_bits(double number) { return (Word)__double_as_longlong(number); }

// 2^exponent, from 2^-1074 to 2^1023.
__device__ inline double power_of_two(int exponent)
{
    return from_bits(exponent < -1022 ? 1ull << (exponent + 1074) : (Word)(exponent + 1023) << 52);
}

// A number as float64, which is exact.
__device__ inline double widen(Bits number)
{
#if WIDE
    return from_bits(number);
#else
    const Bits magnitude = number & MAGNITUDE;
    const double sign = number > MAGNITUDE ? -1.0 : 1.0;
    if (magnitude >> FRACTION_BITS == 0) return sign * magnitude * power_of_two(-149);
    return __uint_as_float(number);
#endif
}

// Round to the dtype.
__device__ inline Bits narrow(double number)
{
#if WIDE
    return to_bits(number);
#else
    const double magnitude = fabs(number);
    const Bits sign = (Bits)(to_bits(number) >> 32) & ~MAGNITUDE;
    if (magnitude < power_of_two(-126))
        return sign | __double2uint_rn(magnitude * power_of_two(149));
    return __float_as_uint(__double2float_rn(number));
#endif
}

// The part of a bucket that a block works on, when each works on a span of coordinates. Buckets
// are counted through all rows. The last bucket of a row may be smaller, and a part of it empty;
// then end is not after first.
struct Part {
    long long row, first, end, bucket, bucket_first, bucket_end;
};

__device__ inline Part part_of_block(long long dimension, long long size, int span)
{
    const long long parts = (size + span - 1) / span, buckets = (dimension + size - 1) / size;
    const long long bucket = blockIdx.x / parts, row = bucket / buckets;
    const long long bucket_first = (bucket - row * buckets) * size;
    const long long bucket_end = min(bucket_first + size, dimension);
    const long long first = bucket_first + (blockIdx.x - bucket * parts) * span;
    return {row, first, min(first + span, bucket_end), bucket, bucket_first, bucket_end};
}

// When there are no buckets.
__device__ inline Part part_of_block(long long dimension, int span)
{
    return part_of_block(dimension, dimension, span);
}

// Vectors, with strides in numbers.
struct Vectors {
    const Bits* bits;
    long long row_stride, column_stride;

    __device__ Bits at(long long row, long long column) const
    {
        return bits[row * row_stride + column * column_stride];
    }
};

// Little-endian numbers, which need not be aligned.
template <typename T>
__device__ inline void store(Byte* place, T number)
{
    if ((Word)place % sizeof(T) == 0) {
        *(T*)place = number;
        return;
    }
#pragma unroll
    for (int i = 0; i < (int)sizeof(T); ++i) place[i] = (Byte)(number >> 8 * i);
}

template <typename T>
__device__ inline T load(const Byte* place)
{
    if ((Word)place % sizeof(T) == 0) return *(const T*)place;
    T number = 0;
#pragma unroll
    for (int i = 0; i < (int)sizeof(T); ++i) number |= (T)((T)place[i] << 8 * i);
    return number;
}
