// The random words of lad_mpi.rng.Streams, by Philox-4x64-10.

struct Stream {
    Word seed, purpose, iteration;
};

constexpr int COORDINATES_A_CALL = WIDE ? 4 : 8;

__device__ inline void draw_words(const Stream& stream, Word device, Word call, Word* words)
{
    // NumPy counts before each call, not after it.
    Word a = call + 1, b = device, c = 0, d = stream.iteration;
    Word key = stream.seed, other_key = stream.purpose;
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const Word low = 0xD2E7470EE14C6C93ull * a, high = __umul64hi(0xD2E7470EE14C6C93ull, a);
        const Word other_low = 0xCA5A826395121157ull * c;
        const Word other_high = __umul64hi(0xCA5A826395121157ull, c);
        a = other_high ^ b ^ key;
        b = other_low;
        c = high ^ d ^ other_key;
        d = low;
        key += 0x9E3779B97F4A7C15ull;
        other_key += 0xBB67AE8584CAA73Bull;
    }
    words[0] = a;
    words[1] = b;
    words[2] = c;
    words[3] = d;
}

// What eight coordinates of a device draw, the first of them a multiple of eight: a word each, or
// in float32 half a word, low half first.
__device__ inline void draw(const Stream& stream, Word device, long long first, Bits* drawn)
{
    const Word call = first / COORDINATES_A_CALL;
#if WIDE
    draw_words(stream, device, call, drawn);
    draw_words(stream, device, call + 1, drawn + 4);
#else
    Word words[4];
    draw_words(stream, device, call, words);
#pragma unroll
    for (int i = 0; i < 8; ++i) drawn[i] = (Bits)(words[i / 2] >> 32 * (i % 2));
#endif
}
