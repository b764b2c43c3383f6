// Integers of a few bits each, without gaps, the least significant bit of each byte first.

// Writes integers one after the other; eight of them fill whole bytes.
struct Packer {
    Byte* place;
    int width;
    Word held;
    int num_held;

    __device__ Packer(Byte* place, int width) : place(place), width(width), held(0), num_held(0) {}

    // Of integers of at most 32 bits.
    __device__ void add(unsigned code)
    {
        held |= (Word)code << num_held;
        for (num_held += width; num_held >= 8; num_held -= 8) {
            *place++ = (Byte)held;
            held >>= 8;
        }
    }
};

__device__ inline unsigned unpack(const Byte* bytes, long long place, int width)
{
    const long long first = place * width;
    const int shift = first % 8;
    Word found = 0;
    // No byte is read that the integer has no bit in.
    for (int i = 0; 8 * i < shift + width; ++i) found |= (Word)bytes[first / 8 + i] << 8 * i;
    return (unsigned)(found >> shift & ((1ull << width) - 1));
}

__device__ inline long long packed_bytes(long long count, int width)
{
    return (count * width + 7) / 8;
}

// Whether the bits after the last integer are zero.
__device__ inline bool is_end_clean(const Byte* bytes, long long count, int width)
{
    const long long used = count * width;
    return used % 8 == 0 || bytes[used / 8] >> used % 8 == 0;
}

// Where a bucket begins in a payload: with a number, before the integers.
__device__ inline long long place_of_bucket(long long first, long long size, int width)
{
    return first / size * ((long long)sizeof(Bits) + packed_bytes(size, width));
}

// Bytes that a block has made, each thread some, go to memory in their order.
__device__ inline void copy_bytes(const Byte* made, Byte* target, long long count)
{
    for (long long i = threadIdx.x; i < count; i += THREADS) target[i] = made[i];
}
