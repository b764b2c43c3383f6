// CRC-32 of every message, as zlib computes it. The threads of many blocks share a message.
//
// A CRC is linear: up to a constant, it is the sum over all words w_i of w_i x^(32 (m - i)), where m
// is the number of words and sums are exclusive ors, modulo the polynomial of the CRC. A block sums a
// stretch of words, and a thread every THREADS-th word of it, so loads coalesce. One product moves
// the sum of a thread, or of a block, to its place. The order of the additions does not matter.
//
// checksums_cuda.py defines THREADS and WORDS_A_THREAD before this file. Polynomials are reflected:
// the highest bit of a word is the coefficient of x^0.

typedef unsigned char Byte;
typedef unsigned int Word;

constexpr Word POLYNOMIAL = 0xedb88320u;
constexpr int TABLE = 4 * 256;

__device__ inline Word product(Word a, Word b)
{
    Word sum = 0;
    for (int i = 0; i < 32; ++i) {
        sum ^= (0u - (a >> 31)) & b;
        a <<= 1;
        b = (b >> 1) ^ ((0u - (b & 1)) & POLYNOMIAL);
    }
    return sum;
}

// powers[k] is x^(2^k).
__device__ inline Word power(const Word* powers, unsigned long long exponent)
{
    Word result = 1u << 31;
    for (int k = 0; exponent; ++k, exponent >>= 1)
        if (exponent & 1) result = product(powers[k], result);
    return result;
}

// Word i of a message that is padded with `missing` zero bytes at its start.
__device__ inline Word word_at(const Byte* first, long long i, int missing, bool aligned)
{
    const Byte* place = first + 4 * i - missing;
    if (i > 0 && aligned) return *(const Word*)place;
    Word word = 0;
    for (int j = i > 0 ? 0 : missing; j < 4; ++j) word |= (Word)place[j] << (8 * j);
    return word;
}

// messages has rows of row_bytes bytes; the bytes from `start` on are summed.
// shift[256 j + v] is v x^(8 j) x^(32 THREADS), places[t] is x^(32 (THREADS - 1 - t)).
// sums has one word per row, to which the result is added.
extern "C" __global__ void __launch_bounds__(THREADS)
add_checksums(const Byte* __restrict__ messages, long long row_bytes, long long start,
              long long blocks_a_row, const Word* __restrict__ shift,
              const Word* __restrict__ places, const Word* __restrict__ powers,
              Word* __restrict__ sums)
{
    __shared__ Word table[TABLE];
    __shared__ Word total;
    for (int i = threadIdx.x; i < TABLE; i += THREADS) table[i] = shift[i];
    if (threadIdx.x == 0) total = 0;
    __syncthreads();

    const long long row = blockIdx.x / blocks_a_row;
    const long long stretch = blockIdx.x % blocks_a_row;
    const long long length = row_bytes - start;
    const long long num_words = (length + 3) / 4;
    const int missing = (int)(4 * num_words - length);
    const Byte* first = messages + row * row_bytes + start;
    const bool aligned = ((unsigned long long)first - missing) % 4 == 0;

    // Stretches have equal lengths and are counted back from the end of the message, so a thread's
    // last word has the same place in each of them. The first stretch starts before the message.
    const long long words_a_block = (long long)THREADS * WORDS_A_THREAD;
    const long long behind = (blocks_a_row - 1 - stretch) * words_a_block;
    const long long from = num_words - behind - words_a_block + threadIdx.x;
    Word sum = 0;
    for (int k = 0; k < WORDS_A_THREAD; ++k) {
        const long long i = from + (long long)k * THREADS;
        if (i < 0) continue;
        sum = table[sum & 255] ^ table[256 + (sum >> 8 & 255)] ^ table[512 + (sum >> 16 & 255)] ^
              table[768 + (sum >> 24)] ^ word_at(first, i, missing, aligned);
    }
    atomicXor(&total, product(places[threadIdx.x], sum));
    __syncthreads();
    if (threadIdx.x == 0) {
        // After the last word of the stretch come `behind` words, and the 32 zeros of the CRC.
        const unsigned long long bits = 32ull * (unsigned long long)(behind + 1);
        atomicXor(&sums[row], product(power(powers, bits), total));
    }
}
