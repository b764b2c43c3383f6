// Vectors as rows of numbers: as they are, or as numbers of 16 bits.
//
//   FORMAT  0 for numbers as they are, 1 for float16, 2 for bfloat16

#if FORMAT == 0

typedef Bits Sent;

__device__ inline Sent shorten(Bits number) { return number; }
__device__ inline Bits extend(Sent number) { return number; }
__device__ inline bool is_sent_finite(Sent number) { return is_finite(number); }

#else

typedef unsigned short Sent;

constexpr int SHORT_FRACTION = FORMAT == 1 ? 10 : 7;
constexpr int SHORT_BIAS = FORMAT == 1 ? 15 : 127;
constexpr unsigned SHORT_INFINITY = 0x7fffu >> SHORT_FRACTION << SHORT_FRACTION;

__device__ inline bool is_sent_finite(Sent number) { return (number & 0x7fff) < SHORT_INFINITY; }

// Round to nearest, of two as near to the even one.
__device__ inline Sent shorten(Bits number)
{
    const Word bits = to_bits(widen(number)), magnitude = bits & ~(1ull << 63);
    const unsigned sign = (unsigned)(bits >> 63) << 15;
    const Word infinity = 2047ull << 52, implicit = 1ull << 52;
    if (magnitude > infinity)
        // As the host does, of bfloat16 infinity, of float16 what it was, but quiet.
        return FORMAT == 1 ? sign | 0x7e00 | ((unsigned)(magnitude >> 42) & 0x1ff) : SHORT_INFINITY;
    const int exponent = (int)(magnitude >> 52) - (1023 - SHORT_BIAS);
    int cut = 52 - SHORT_FRACTION;
    Word digits = magnitude - ((Word)(1023 - SHORT_BIAS) << 52);
    if (exponent < 1) {
        // Below the normal range fractions are shorter, and all digits are written out.
        cut += 1 - exponent;
        if (cut > 53) return sign;
        digits = (magnitude & (implicit - 1)) | implicit;
    }
    // Just below half a unit, or half where the last digit that stays is odd.
    const Word rounded = (digits + ((1ull << (cut - 1)) - 1) + (digits >> cut & 1)) >> cut;
    return sign | (unsigned)min(rounded, (Word)SHORT_INFINITY);
}

__device__ inline Bits extend(Sent number)
{
    const double sign = number >> 15 ? -1.0 : 1.0;
    const int exponent = (number & 0x7fff) >> SHORT_FRACTION;
    const int fraction = number & ((1 << SHORT_FRACTION) - 1);
    const int implicit = exponent ? 1 << SHORT_FRACTION : 0;
    const int power = max(exponent, 1) - SHORT_BIAS - SHORT_FRACTION;
    return narrow(sign * (fraction + implicit) * power_of_two(power));
}

#endif

extern "C" __global__ void __launch_bounds__(THREADS)
pack_numbers(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
             Byte* payloads, long long payload_stride)
{
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, CHUNK);
    Byte* payload = payloads + part.row * payload_stride;
#pragma unroll 4
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS)
        store(payload + j * sizeof(Sent), shorten(vectors.at(part.row, j)));
}

// refused[row] becomes 1 where some number is not finite.
extern "C" __global__ void __launch_bounds__(THREADS)
unpack_numbers(const Byte* payloads, long long payload_stride, long long dimension, Bits* vectors,
               int* refused)
{
    const Part part = part_of_block(dimension, CHUNK);
    const Byte* payload = payloads + part.row * payload_stride;
    bool finite = true;
#pragma unroll 4
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS) {
        const Sent number = load<Sent>(payload + j * sizeof(Sent));
        finite &= is_sent_finite(number);
        vectors[part.row * dimension + j] = extend(number);
    }
    if (!finite) refused[part.row] = 1;
}
