// Coordinates rounded at random to steps of a norm, and back.

// Squares of float64 numbers might overflow or vanish. Those of numbers scaled by a power of two,
// which is exact, do not; nor do those of float32 numbers in float64.
__device__ inline int exponent_of(Bits largest)
{
    return WIDE ? max((int)(largest >> FRACTION_BITS) - 1022, -1000) : 0;
}

// Of float64 vectors.
extern "C" __global__ void __launch_bounds__(THREADS)
find_largest(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
             long long size, Bits* largest)
{
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, size, SPAN);
    Bits magnitude = 0;
#pragma unroll 4
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS)
        magnitude = max(magnitude, vectors.at(part.row, j) & MAGNITUDE);
    raise_largest(magnitude, largest + part.bucket);
}

extern "C" __global__ void __launch_bounds__(THREADS)
sum_squares(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
            long long size, const Bits* largest, double* sums)
{
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, size, SPAN);
    const double scale = power_of_two(-exponent_of(largest[part.bucket]));
    double sum = 0.0;
#pragma unroll 4
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS) {
        const double scaled = widen(vectors.at(part.row, j)) * scale;
        sum += scaled * scaled;
    }
    sum = total_of_block(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// One block a bucket. Of a norm that is not finite NaN is made.
extern "C" __global__ void __launch_bounds__(THREADS)
find_norms(const double* sums, const Bits* largest, long long size, Bits* norms)
{
    const long long bucket = blockIdx.x;
    const double total = total_of_bucket(sums, bucket, size);
    if (threadIdx.x != 0) return;
    const int exponent = exponent_of(largest[bucket]);
    double norm = sqrt(total);
    // In two steps where the power itself would overflow; small ones round once.
    norm = exponent > 0 ? norm * power_of_two(exponent - 1) * 2.0 : norm * power_of_two(exponent);
    const Bits rounded = narrow(norm);
    norms[bucket] = is_finite(rounded) ? rounded : NOT_A_NUMBER;
}

// payloads receive of each bucket the norm, and then the signed levels plus the number of levels.
extern "C" __global__ void __launch_bounds__(THREADS)
quantize(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
         long long size, const Bits* norms, unsigned levels, int width, const long long* devices, Word seed,
         Word purpose, Word iteration, Byte* payloads, long long payload_stride)
{
    __shared__ Byte made[4 * CHUNK];
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, size, CHUNK);
    const long long first = part.first + 8 * threadIdx.x;
    if (first < part.end) {
        const double norm = widen(norms[part.bucket]), most = levels;
        // What has no norm is sent with all levels 0.
        const bool sendable = is_finite(norms[part.bucket]) && norm > 0.0;
        // Levels over a norm this small might overflow.
        const double scale = norm < power_of_two(-900) ? power_of_two(600) : 1.0;
        const double factor = sendable ? most / (norm * scale) : 0.0;
        Bits drawn[8];
        const Stream stream = {seed, purpose, iteration};
        draw(stream, devices[part.row], first, drawn);
        Packer packer(made + (long long)threadIdx.x * width, width);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            unsigned code = 0;
            if (first + i < part.end) {
                code = levels;
                if (sendable) {
                    const Bits number = vectors.at(part.row, first + i);
#if WIDE
                    const double uniform = (drawn[i] >> 11) * power_of_two(-53);
#else
                    const double uniform = drawn[i] * power_of_two(-32);
#endif
                    const double position =
                        fmin(widen(number & MAGNITUDE) * scale * factor, most);
                    const unsigned below = (unsigned)position;
                    const unsigned step = below + (uniform < position - below);
                    code = number > MAGNITUDE ? levels - step : levels + step;
                }
            }
            packer.add(code);
        }
    }
    __syncthreads();
    Byte* payload =
        payloads + part.row * payload_stride + place_of_bucket(part.bucket_first, size, width);
    const long long start = (part.first - part.bucket_first) / 8 * width;
    copy_bytes(made, payload + sizeof(Bits) + start,
               packed_bytes(part.end - part.first, width));
    if (part.first == part.bucket_first && threadIdx.x == 0) store(payload, norms[part.bucket]);
}

// Of each bucket flags tell whether the norm is not finite, it is negative or 0 beside a level
// that is not, some level is beyond the last one, and bits after the last code are not 0.
extern "C" __global__ void __launch_bounds__(THREADS)
dequantize(const Byte* payloads, long long payload_stride, long long dimension, long long size,
           unsigned levels, int width, Bits* vectors, int* flags)
{
    const Part part = part_of_block(dimension, size, CHUNK);
    const Byte* payload =
        payloads + part.row * payload_stride + place_of_bucket(part.bucket_first, size, width);
    const Byte* codes = payload + sizeof(Bits);
    const Bits sent = load<Bits>(payload);
    const double norm = widen(sent), most = levels;
    int* raised = flags + 4 * part.bucket;
    bool beyond = false, moved = false;
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS) {
        const unsigned code = unpack(codes, j - part.bucket_first, width);
        beyond |= code > 2 * levels;
        moved |= code != levels;
        const double step = (double)((long long)code - levels);
        vectors[part.row * dimension + j] = narrow(step / most * norm);
    }
    if (!is_finite(sent)) raised[0] = 1;
    if (sent > MAGNITUDE || (sent == 0 && moved)) raised[1] = 1;
    if (beyond) raised[2] = 1;
    if (part.end == part.bucket_end && threadIdx.x == 0)
        if (!is_end_clean(codes, part.bucket_end - part.bucket_first, width)) raised[3] = 1;
}
