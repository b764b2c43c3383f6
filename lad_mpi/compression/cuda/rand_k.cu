// Chosen coordinates of vectors, and back.

extern "C" __global__ void __launch_bounds__(THREADS)
gather_chosen(const Bits* bits, long long row_stride, long long column_stride, long long dimension,
              const Word* words, const long long* before, Byte* payloads, long long payload_stride)
{
    const Vectors vectors = {bits, row_stride, column_stride};
    const Part part = part_of_block(dimension, CHUNK);
    const Marks chosen(words, before, part.row, dimension);
    Byte* payload = payloads + part.row * payload_stride;
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS)
        if (chosen.at(j))
            store(payload + chosen.rank(j) * sizeof(Bits), vectors.at(part.row, j));
}

// refused[row] becomes 1 where some product is not finite.
extern "C" __global__ void __launch_bounds__(THREADS)
scatter_chosen(const Byte* payloads, long long payload_stride, long long dimension,
               const Word* words, const long long* before, double factor, Bits* vectors,
               int* refused)
{
    const Part part = part_of_block(dimension, CHUNK);
    const Marks chosen(words, before, part.row, dimension);
    const Byte* payload = payloads + part.row * payload_stride;
    bool finite = true;
    for (long long j = part.first + threadIdx.x; j < part.end; j += THREADS) {
        Bits number = 0;
        if (chosen.at(j)) {
            const Bits value = load<Bits>(payload + chosen.rank(j) * sizeof(Bits));
            // Of two float32 numbers the product is exact, and rounded once.
            number = narrow(widen(value) * factor);
        }
        finite &= is_finite(number);
        vectors[part.row * dimension + j] = number;
    }
    if (!finite) refused[part.row] = 1;
}
