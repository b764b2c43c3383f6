// Signs of coordinates and their mean magnitude, and back.

// payloads receive the signs of each bucket; there is room for a number before them.
extern "C" __global__ void __launch_bounds__(THREADS)
pack_signs(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
           long long size, Bits* largest, Byte* payloads, long long payload_stride)
{
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, size, CHUNK);
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
        Byte* payload = payloads + part.row * payload_stride + place_of_bucket(part.bucket_first, size, 1);
        payload[sizeof(Bits) + (first - part.bucket_first) / 8] = (Byte)signs;
    }
    raise_largest(most, largest + part.bucket);
}

// Ratios to the largest magnitude.
extern "C" __global__ void __launch_bounds__(THREADS)
sum_ratios(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
           long long size, const Bits* largest, double* sums)
{
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, size, SPAN);
    const Bits most = largest[part.bucket];
    const double divisor = most == 0 ? 1.0 : widen(most);
    double sum = 0.0;
#pragma unroll 4
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS)
        sum += widen(vectors.at(part.row, j) & MAGNITUDE) / divisor;
    sum = total_of_block(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// One block a bucket. Of a mean that is not finite NaN is made; beside zero no bits are set.
extern "C" __global__ void __launch_bounds__(THREADS)
write_scales(const double* sums, const Bits* largest, long long dimension, long long size,
             Byte* payloads, long long payload_stride)
{
    __shared__ Bits scale;
    const long long bucket = blockIdx.x, buckets = (dimension + size - 1) / size;
    const long long row = bucket / buckets, first = (bucket - row * buckets) * size;
    const long long count = min(size, dimension - first);
    Byte* payload = payloads + row * payload_stride + place_of_bucket(first, size, 1);
    const double total = total_of_bucket(sums, bucket, size);
    if (threadIdx.x == 0) {
        // At most 1, so that no product is larger than the largest magnitude.
        scale = narrow(total / count * widen(largest[bucket]));
        store(payload, is_finite(scale) ? scale : NOT_A_NUMBER);
    }
    __syncthreads();
    if (scale != 0) return;
    for (long long i = threadIdx.x; i < packed_bytes(count, 1); i += THREADS)
        payload[sizeof(Bits) + i] = 0;
}

// Of each bucket flags tell whether the scale is not finite, bits after the last sign are not 0,
// and the scale is negative or 0 beside a sign that is set.
extern "C" __global__ void __launch_bounds__(THREADS)
unpack_signs(const Byte* payloads, long long payload_stride, long long dimension,
             long long size, Bits* vectors, int* flags)
{
    const Part part = part_of_block(dimension, size, CHUNK);
    const Byte* payload = payloads + part.row * payload_stride + place_of_bucket(part.bucket_first, size, 1);
    const Byte* signs = payload + sizeof(Bits);
    const Bits scale = load<Bits>(payload);
    int* raised = flags + 3 * part.bucket;
    bool set = false;
#pragma unroll 4
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS) {
        const long long place = j - part.bucket_first;
        const Bits sign = signs[place / 8] >> place % 8 & 1;
        set |= sign != 0;
        vectors[part.row * dimension + j] = scale ^ sign << (NUMBER_BITS - 1);
    }
    if (!is_finite(scale)) raised[0] = 1;
    if (part.end == part.bucket_end && threadIdx.x == 0)
        if (!is_end_clean(signs, part.bucket_end - part.bucket_first, 1)) raised[1] = 1;
    if (scale > MAGNITUDE || (scale == 0 && set)) raised[2] = 1;
}
