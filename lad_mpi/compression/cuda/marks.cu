// Marks of coordinates, one bit each: bit j % 64 of word j / 64. Of every CHUNK coordinates it is
// known how many marks of the row are before them.

struct Marks {
    const Word* words;
    const long long* before;

    // Those of one of many rows.
    __device__ Marks(const Word* words, const long long* before, long long row, long long dimension)
        : words(words + row * ((dimension + 63) / 64)),
          before(before + row * ((dimension + CHUNK - 1) / CHUNK))
    {
    }

    __device__ bool at(long long place) const { return words[place / 64] >> place % 64 & 1; }

    // The number of marks before a place.
    __device__ long long rank(long long place) const
    {
        const long long chunk = place / CHUNK, last = place / 64;
        long long found = before[chunk];
        for (long long i = chunk * (CHUNK / 64); i < last; ++i) found += __popcll(words[i]);
        return found + __popcll(words[last] & ((1ull << place % 64) - 1));
    }
};
