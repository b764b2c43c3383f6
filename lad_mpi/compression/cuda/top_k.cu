// The largest coordinates of vectors and where they are, and back.
//
//   DIGITS  binary digits of a magnitude that are found by one look at the vectors

constexpr int BINS = 1 << DIGITS;

// Magnitudes are ordered as their bits are. NaN has no order; it counts as infinity.
__device__ inline Bits size_of(Bits number) { return min(number & MAGNITUDE, BEYOND_FINITE); }

// Count, of the magnitudes that begin as prefixes[row] does, what the digits after that are: those
// from bit ``shift`` on, num_digits of them.
extern "C" __global__ void __launch_bounds__(THREADS)
count_digits(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
             const long long* prefixes, int shift, int num_digits, unsigned* counts)
{
    __shared__ unsigned held[BINS];
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, BINS * 8);
    const Bits prefix = (Bits)prefixes[part.row];
    for (int i = threadIdx.x; i < BINS; i += THREADS) held[i] = 0;
    __syncthreads();
#pragma unroll 4
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS) {
        const Bits size = size_of(vectors.at(part.row, j));
        if ((size ^ prefix) >> shift >> num_digits == 0)
            atomicAdd(&held[(unsigned)(size >> shift) & ((1u << num_digits) - 1)], 1u);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < BINS; i += THREADS)
        if (held[i]) atomicAdd(&counts[part.row * BINS + i], held[i]);
}

// Find the next digits of each row's bound, one block a row: those that the rooms[row]-th largest of
// the magnitudes that were counted has. Room is left for it among its like.
extern "C" __global__ void __launch_bounds__(THREADS)
choose_digits(const unsigned* counts, int shift, long long* bounds, long long* rooms)
{
    __shared__ long long held[THREADS];
    // Bins from above: each thread has some that are adjacent.
    constexpr int OWN = BINS / THREADS;
    const unsigned* last = counts + (blockIdx.x + 1ll) * BINS - 1;
    const int first = threadIdx.x * OWN;
    const long long room = rooms[blockIdx.x];
    long long own = 0, before = 0;
    for (int i = first; i < first + OWN; ++i) own += last[-i];
    held[threadIdx.x] = own;
    __syncthreads();
    for (int i = 0; i < threadIdx.x; ++i) before += held[i];
    if (room <= before || before + own < room) return;
    int bin = first;
    while (before + last[-bin] < room) before += last[-bin++];
    bounds[blockIdx.x] |= (long long)(BINS - 1 - bin) << shift;
    rooms[blockIdx.x] = room - before;
}

// Mark what is larger than bounds[row], and what is as large; rows of marks are whole words.
extern "C" __global__ void __launch_bounds__(THREADS)
mark_sizes(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
           const long long* bounds, Byte* above, Byte* tied)
{
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, CHUNK);
    const long long first = part.first + 8 * threadIdx.x;
    if (first >= part.end) return;
    const Bits bound = (Bits)bounds[part.row];
    unsigned larger = 0, equal = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        if (first + i >= part.end) continue;
        const Bits size = size_of(vectors.at(part.row, first + i));
        larger |= (unsigned)(size > bound) << i;
        equal |= (unsigned)(size == bound) << i;
    }
    const long long place = part.row * ((dimension + 63) / 64 * 8) + first / 8;
    above[place] = (Byte)larger;
    tied[place] = (Byte)equal;
}

// The number of marks in each chunk, one thread a chunk.
extern "C" __global__ void __launch_bounds__(THREADS)
count_marks(const Word* words, long long num_rows, long long dimension, long long* counts)
{
    const long long chunks = (dimension + CHUNK - 1) / CHUNK, num_words = (dimension + 63) / 64;
    const long long place = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (place >= num_rows * chunks) return;
    const long long row = place / chunks, first = (place - row * chunks) * (CHUNK / 64);
    const long long end = min(first + CHUNK / 64, num_words);
    long long count = 0;
    for (long long i = first; i < end; ++i) count += __popcll(words[row * num_words + i]);
    counts[place] = count;
}

// Of those that are as large as the bound, the first ones are chosen, as far as there is room.
extern "C" __global__ void __launch_bounds__(THREADS)
gather_largest(const Bits* bits, long long row_stride, long long column_stride,
               long long dimension, const Word* above, const long long* above_before,
               const Word* tied, const long long* tied_before, const long long* rooms, long long k,
               Byte* payloads, long long payload_stride, unsigned* places)
{
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, CHUNK);
    const Marks larger(above, above_before, part.row, dimension);
    const Marks equal(tied, tied_before, part.row, dimension);
    const long long room = rooms[part.row];
    Byte* payload = payloads + part.row * payload_stride;
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS) {
        if (!larger.at(j) && !equal.at(j)) continue;
        const long long equal_before = equal.rank(j);
        if (!larger.at(j) && equal_before >= room) continue;
        const long long place = larger.rank(j) + min(equal_before, room);
        store(payload + place * sizeof(Bits), vectors.at(part.row, j));
        places[part.row * k + place] = (unsigned)j;
    }
}

// payloads receive the indices; there is room for k numbers before them.
extern "C" __global__ void __launch_bounds__(THREADS)
pack_places(const unsigned* places, long long k, int width, Byte* payloads,
            long long payload_stride)
{
    __shared__ Byte made[4 * CHUNK];
    const Part part = part_of_block(k, CHUNK);
    const long long first = part.first + 8 * threadIdx.x;
    Packer packer(made + (long long)threadIdx.x * width, width);
#pragma unroll
    for (int i = 0; i < 8; ++i)
        packer.add(first + i < part.end ? places[part.row * k + first + i] : 0);
    __syncthreads();
    Byte* payload = payloads + part.row * payload_stride + k * sizeof(Bits);
    copy_bytes(made, payload + part.first / 8 * width, packed_bytes(part.end - part.first, width));
}

// vectors begin as zeros. Of each row flags tell whether some value is not finite, some index is
// not above the one before it or is beyond the dimension, and bits after the last one are not 0.
extern "C" __global__ void __launch_bounds__(THREADS)
scatter_values(const Byte* payloads, long long payload_stride, long long dimension, long long k,
               int width, Bits* vectors, int* flags)
{
    const Part part = part_of_block(k, CHUNK);
    const Byte* values = payloads + part.row * payload_stride;
    const Byte* indices = values + k * sizeof(Bits);
    int* row_flags = flags + 3 * part.row;
    bool finite = true, misplaced = false;
    for (long long i = part.first + threadIdx.x; i < part.end; i += THREADS) {
        const Bits value = load<Bits>(values + i * sizeof(Bits));
        const long long index = unpack(indices, i, width);
        finite &= is_finite(value);
        misplaced |= index >= dimension || (i > 0 && index <= unpack(indices, i - 1, width));
        // Where several threads write to one place the row is refused.
        if (index < dimension) vectors[part.row * dimension + index] = value;
    }
    if (!finite) row_flags[0] = 1;
    if (misplaced) row_flags[1] = 1;
    if (part.end == k && threadIdx.x == 0)
        if (!is_end_clean(indices, k, width)) row_flags[2] = 1;
}
