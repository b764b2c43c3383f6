// Signs of coordinates and their mean magnitude, and back.

// payloads receive the signs; there is room for a number before them.
extern "C" __global__ void __launch_bounds__(THREADS)
pack_signs(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
           Bits* largest, Byte* payloads, long long payload_stride)
{
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, CHUNK);
    const long long first = part.first + 8 * threadIdx.x;
    Bits most = 0;
    if (first < part.end) {
        unsigned signs = 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            if (first + i >= part.end) continue;
            const Bits number = vectors.at(part.row, first + i), magnitude = number & MAGNITUDE;
            most = max(most, magnitude);
            // Neither NaN nor -0 is negative.
            const bool negative = number > MAGNITUDE && magnitude - 1 < BEYOND_FINITE;
            signs |= (unsigned)negative << i;
        }
        payloads[part.row * payload_stride + sizeof(Bits) + first / 8] = (Byte)signs;
    }
    raise_largest(most, largest + part.row);
}

// Ratios to the largest magnitude.
extern "C" __global__ void __launch_bounds__(THREADS)
sum_ratios(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
           const Bits* largest, double* sums)
{
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, SPAN);
    const Bits most = largest[part.row];
    const double divisor = most == 0 ? 1.0 : widen(most);
    double sum = 0.0;
#pragma unroll 4
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS)
        sum += widen(vectors.at(part.row, j) & MAGNITUDE) / divisor;
    sum = total_of_block(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// One block a row. Of a mean that is not finite NaN is made; beside zero no bits are set.
extern "C" __global__ void __launch_bounds__(THREADS)
write_scales(const double* sums, const Bits* largest, long long dimension, Byte* payloads,
             long long payload_stride)
{
    __shared__ Bits scale;
    const long long row = blockIdx.x;
    Byte* payload = payloads + row * payload_stride;
    const double total = total_of_row(sums, row, dimension);
    if (threadIdx.x == 0) {
        // At most 1, so that no product is larger than the largest magnitude.
        scale = narrow(total / dimension * widen(largest[row]));
        store(payload, is_finite(scale) ? scale : NOT_A_NUMBER);
    }
    __syncthreads();
    if (scale != 0) return;
    for (long long i = threadIdx.x; i < packed_bytes(dimension, 1); i += THREADS)
        payload[sizeof(Bits) + i] = 0;
}

// Of each row flags tell whether some sign is set, and bits after the last one are not 0.
extern "C" __global__ void __launch_bounds__(THREADS)
unpack_signs(const Byte* payloads, long long payload_stride, long long dimension,
             const Bits* scales, Bits* vectors, int* flags)
{
    const Part part = part_of_block(dimension, CHUNK);
    const Byte* signs = payloads + part.row * payload_stride + sizeof(Bits);
    const Bits scale = scales[part.row];
    bool set = false;
#pragma unroll 4
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS) {
        const Bits sign = signs[j / 8] >> j % 8 & 1;
        set |= sign != 0;
        vectors[part.row * dimension + j] = scale ^ sign << (NUMBER_BITS - 1);
    }
    if (set) flags[2 * part.row] = 1;
    if (part.end == dimension && threadIdx.x == 0)
        if (!is_end_clean(signs, dimension, 1)) flags[2 * part.row + 1] = 1;
}
