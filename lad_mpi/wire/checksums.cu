// CRC-32 of every message, as zlib computes it, each message shared by the threads of many blocks.
//
// A CRC is linear: but for a constant, it is the sum over all words w_i of w_i x^(32 (m - i)), where
// m is the number of words and sums are exclusive ors, all modulo the polynomial of the CRC. So a
// thread takes every THREADS-th word of a stretch, as loads like it; sums of threads and of blocks
// are brought to their places by one product each, and added in any order.
//
// checksums_cuda.py puts THREADS and WORDS_A_THREAD in front of this file. Polynomials are reflected:
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

// Word i of a message of which the first `missing` bytes, zeros, are not there.
__device__ inline Word word_at(const Byte* first, long long i, int missing, bool aligned)
{
    const Byte* place = first + 4 * i - missing;
    if (i > 0 && aligned) return *(const Word*)place;
    Word word = 0;
    for (int j = i > 0 ? 0 : missing; j < 4; ++j) word |= (Word)place[j] << (8 * j);
    return word;
}

// messages holds rows of row_bytes bytes, of which those from byte start on are summed.
// shift[256 j + v] is v x^(8 j) x^(32 THREADS), places[t] is x^(32 (THREADS - 1 - t)).
// sums has one word a row; what is found is added to what is there.
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

    // The last stretch ends with the message, and every other after as many words before it: a
    // thread's last word has the same place in all of them, and the first of all begins earlier.
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
        // The last word of the stretch is followed by `behind` words, and by its own 32 zeros.
        const unsigned long long bits = 32ull * (unsigned long long)(behind + 1);
        atomicXor(&sums[row], product(power(powers, bits), total));
    }
}
