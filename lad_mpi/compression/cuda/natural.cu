// Signs and exponents of coordinates that are rounded at random to powers of two, and back.

// Exponent field of the number one, less that of float32.
constexpr Bits BIAS_SHIFT = WIDE ? 1023 - 127 : 0;

__device__ inline unsigned exponent_code(Bits magnitude, Bits drawn)
{
    if (magnitude > (BIAS_SHIFT + 254) << FRACTION_BITS) return 255;
#if WIDE
    if (magnitude < (BIAS_SHIFT + 1) << FRACTION_BITS) {
        // Of the number 2^126 |v|, all of it is fraction.
        const double uniform = (drawn >> 11) * power_of_two(-53);
        return uniform < from_bits(magnitude) * power_of_two(126);
    }
#endif
    // The fraction carries into the exponent with a probability equal to itself.
    const Bits carried = magnitude + (drawn >> (NUMBER_BITS - FRACTION_BITS));
    return (unsigned)((carried >> FRACTION_BITS) - BIAS_SHIFT);
}

extern "C" __global__ void __launch_bounds__(THREADS)
pack_powers(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
            const long long* devices, Word seed, Word purpose, Word iteration, Byte* payloads,
            long long payload_stride)
{
    __shared__ Byte made[CHUNK];
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, CHUNK);
    const long long first = part.first + 8 * threadIdx.x;
    Byte* payload = payloads + part.row * payload_stride;
    if (first < part.end) {
        Bits drawn[8];
        const Stream stream = {seed, purpose, iteration};
        draw(stream, devices[part.row], first, drawn);
        unsigned signs = 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            if (first + i >= part.end) continue;
            const Bits number = vectors.at(part.row, first + i);
            signs |= (unsigned)(number > MAGNITUDE) << i;
            made[8 * threadIdx.x + i] = (Byte)exponent_code(number & MAGNITUDE, drawn[i]);
        }
        payload[first / 8] = (Byte)signs;
    }
    __syncthreads();
    copy_bytes(made, payload + packed_bytes(dimension, 1) + part.first, part.end - part.first);
}

// Of each row flags tell whether some number is not finite, and bits after the last sign are not 0.
extern "C" __global__ void __launch_bounds__(THREADS)
unpack_powers(const Byte* payloads, long long payload_stride, long long dimension, Bits* vectors,
              int* flags)
{
    const Part part = part_of_block(dimension, CHUNK);
    const Byte* signs = payloads + part.row * payload_stride;
    const Byte* exponents = signs + packed_bytes(dimension, 1);
    bool finite = true;
#pragma unroll 4
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS) {
        const Bits code = exponents[j], sign = signs[j / 8] >> j % 8 & 1;
        finite &= code != 255;
        const Bits magnitude = code ? (code + BIAS_SHIFT) << FRACTION_BITS : 0;
        vectors[part.row * dimension + j] = sign << (NUMBER_BITS - 1) | magnitude;
    }
    if (!finite) flags[2 * part.row] = 1;
    if (part.end == dimension && threadIdx.x == 0)
        if (!is_end_clean(signs, dimension, 1)) flags[2 * part.row + 1] = 1;
}
