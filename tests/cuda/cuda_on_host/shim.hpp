// What a CUDA kernel takes for granted, for an ordinary C++ compiler. It includes nothing of the
// system, so that a kernel finds no more names here than NVRTC gives it.

#include "runtime.hpp"

#define __device__
#define __host__
#define __global__
#define __constant__
// One block runs at a time.
#define __shared__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

constexpr int warpSize = 32;

#define VECTOR(TYPE, NAME)                                                                 \
    struct NAME##1 { TYPE x; };                                                            \
    struct __align__(2 * sizeof(TYPE)) NAME##2 { TYPE x, y; };                             \
    struct NAME##3 { TYPE x, y, z; };                                                      \
    struct __align__(sizeof(TYPE) < 8 ? 4 * sizeof(TYPE) : 16) NAME##4 { TYPE x, y, z, w; }; \
    inline NAME##2 make_##NAME##2(TYPE x, TYPE y) { return {x, y}; }                       \
    inline NAME##4 make_##NAME##4(TYPE x, TYPE y, TYPE z, TYPE w) { return {x, y, z, w}; }
#define uint3 uint3_of_the_runtime
VECTOR(unsigned, uint)
#undef uint3
VECTOR(char, char)
VECTOR(unsigned char, uchar)
VECTOR(short, short)
VECTOR(unsigned short, ushort)
VECTOR(int, int)
VECTOR(long long, longlong)
VECTOR(unsigned long long, ulonglong)
VECTOR(float, float)
VECTOR(double, double)
#undef VECTOR

// ---- Waiting ------------------------------------------------------------------------------

inline void __syncthreads() { cuda_on_host_barrier(0); }
inline int __syncthreads_count(int predicate) { return cuda_on_host_barrier(predicate).num_true; }
inline int __syncthreads_or(int predicate) { return cuda_on_host_barrier(predicate).num_true != 0; }
inline int __syncthreads_and(int predicate)
{
    const BlockVote vote = cuda_on_host_barrier(predicate);
    return vote.num_true == vote.num_voters;
}
inline void __syncwarp(unsigned mask = 0xffffffffu) { cuda_on_host_ballot(mask, 0); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __trap() { cuda_on_host_trap(); }

// ---- Within a warp ------------------------------------------------------------------------

inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    return cuda_on_host_ballot(mask, predicate);
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
inline unsigned __activemask() { return cuda_on_host_live(); }

// The bits travel, whatever their type; lanes that would reach outside their part get their own.
#define SHUFFLES(TYPE)                                                                           \
    inline TYPE cuda_on_host_shuffled(unsigned mask, TYPE value, int source)                     \
    {                                                                                            \
        unsigned long long bits = 0;                                                             \
        __builtin_memcpy(&bits, &value, sizeof value);                                           \
        bits = cuda_on_host_shuffle(mask, bits, source);                                         \
        __builtin_memcpy(&value, &bits, sizeof value);                                           \
        return value;                                                                            \
    }                                                                                            \
    inline TYPE __shfl_sync(unsigned mask, TYPE value, int source, int width = 32)               \
    {                                                                                            \
        const int first = cuda_on_host_lane() & -width;                                          \
        return cuda_on_host_shuffled(mask, value, first + (source & (width - 1)));               \
    }                                                                                            \
    inline TYPE __shfl_up_sync(unsigned mask, TYPE value, unsigned delta, int width = 32)        \
    {                                                                                            \
        const int lane = cuda_on_host_lane(), source = lane - (int)delta;                        \
        return cuda_on_host_shuffled(mask, value, source < (lane & -width) ? lane : source);     \
    }                                                                                            \
    inline TYPE __shfl_down_sync(unsigned mask, TYPE value, unsigned delta, int width = 32)      \
    {                                                                                            \
        const int lane = cuda_on_host_lane(), source = lane + (int)delta;                        \
        return cuda_on_host_shuffled(mask, value, source > (lane | (width - 1)) ? lane : source); \
    }                                                                                            \
    inline TYPE __shfl_xor_sync(unsigned mask, TYPE value, int bits, int width = 32)             \
    {                                                                                            \
        const int lane = cuda_on_host_lane(), source = lane ^ bits;                              \
        return cuda_on_host_shuffled(mask, value, source > (lane | (width - 1)) ? lane : source); \
    }
SHUFFLES(int)
SHUFFLES(unsigned)
SHUFFLES(long)
SHUFFLES(unsigned long)
SHUFFLES(long long)
SHUFFLES(unsigned long long)
SHUFFLES(float)
SHUFFLES(double)
#undef SHUFFLES

// ---- Atomic operations: threads never run at once -----------------------------------------

#define ATOMIC(NAME, TYPE, RESULT)                  \
    inline TYPE NAME(TYPE* address, TYPE value)     \
    {                                               \
        const TYPE old = *address;                  \
        *address = RESULT;                          \
        return old;                                 \
    }
#define ATOMIC_OF_INTEGERS(NAME, RESULT)      \
    ATOMIC(NAME, int, RESULT)                 \
    ATOMIC(NAME, unsigned, RESULT)            \
    ATOMIC(NAME, unsigned long long, RESULT)
ATOMIC_OF_INTEGERS(atomicAdd, old + value)
ATOMIC(atomicAdd, float, old + value)
ATOMIC(atomicAdd, double, old + value)
ATOMIC(atomicSub, int, old - value)
ATOMIC(atomicSub, unsigned, old - value)
ATOMIC_OF_INTEGERS(atomicExch, value)
ATOMIC(atomicExch, float, value)
ATOMIC_OF_INTEGERS(atomicMin, value < old ? value : old)
ATOMIC(atomicMin, long long, value < old ? value : old)
ATOMIC_OF_INTEGERS(atomicMax, old < value ? value : old)
ATOMIC(atomicMax, long long, old < value ? value : old)
ATOMIC_OF_INTEGERS(atomicAnd, old & value)
ATOMIC_OF_INTEGERS(atomicOr, old | value)
ATOMIC_OF_INTEGERS(atomicXor, old ^ value)
ATOMIC(atomicInc, unsigned, old >= value ? 0 : old + 1)
ATOMIC(atomicDec, unsigned, old == 0 || old > value ? value : old - 1)
#undef ATOMIC_OF_INTEGERS
#undef ATOMIC
#define COMPARE_AND_SWAP(TYPE)                                       \
    inline TYPE atomicCAS(TYPE* address, TYPE expected, TYPE value)  \
    {                                                                \
        const TYPE old = *address;                                   \
        if (old == expected) *address = value;                       \
        return old;                                                  \
    }
COMPARE_AND_SWAP(int)
COMPARE_AND_SWAP(unsigned)
COMPARE_AND_SWAP(unsigned short)
COMPARE_AND_SWAP(unsigned long long)
#undef COMPARE_AND_SWAP

// ---- Bits ---------------------------------------------------------------------------------

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned long long __brevll(unsigned long long x)
{
    unsigned long long reversed = 0;
    for (int i = 0; i < 64; ++i) reversed |= (x >> i & 1) << (63 - i);
    return reversed;
}
inline unsigned __brev(unsigned x) { return (unsigned)(__brevll(x) >> 32); }
inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)(1ull * x * y >> 32); }
inline int __mulhi(int x, int y) { return (int)(1ll * x * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y)
{
    return (unsigned long long)((unsigned __int128)x * y >> 64);
}
inline long long __mul64hi(long long x, long long y) { return (long long)((__int128)x * y >> 64); }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)((((unsigned long long)high << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((unsigned long long)high << 32 | low) >> (shift & 31));
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector)
{
    const unsigned long long both = (unsigned long long)y << 32 | x;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i) {
        const unsigned chosen = selector >> 4 * i;
        unsigned byte = (unsigned)(both >> 8 * (chosen & 7)) & 255;
        if (chosen & 8) byte = byte & 128 ? 255 : 0;
        result |= byte << 8 * i;
    }
    return result;
}

#define REINTERPRET(NAME, FROM, TO)                 \
    inline TO NAME(FROM x)                          \
    {                                               \
        TO bits;                                    \
        __builtin_memcpy(&bits, &x, sizeof bits);   \
        return bits;                                \
    }
REINTERPRET(__float_as_uint, float, unsigned)
REINTERPRET(__float_as_int, float, int)
REINTERPRET(__uint_as_float, unsigned, float)
REINTERPRET(__int_as_float, int, float)
REINTERPRET(__double_as_longlong, double, long long)
REINTERPRET(__longlong_as_double, long long, double)
#undef REINTERPRET
inline int __double2hiint(double x) { return (int)(__double_as_longlong(x) >> 32); }
inline int __double2loint(double x) { return (int)__double_as_longlong(x); }
inline double __hiloint2double(int high, int low)
{
    return __longlong_as_double((long long)high << 32 | (unsigned)low);
}

template <typename T> inline T __ldg(const T* address) { return *address; }
template <typename T> inline T __ldcg(const T* address) { return *address; }
template <typename T> inline T __ldcs(const T* address) { return *address; }
template <typename T> inline void __stcs(T* address, T value) { *address = value; }

// ---- Numbers ------------------------------------------------------------------------------

extern "C" {
int abs(int) throw();
long long llabs(long long) throw();
int printf(const char*, ...);
void* memcpy(void*, const void*, unsigned long) throw();
void* memset(void*, int, unsigned long) throw();
}

#define OF_ONE(NAME)                                      \
    extern "C" double NAME(double) throw();               \
    extern "C" float NAME##f(float) throw();              \
    inline float NAME(float x) { return NAME##f(x); }
#define OF_TWO(NAME)                                      \
    extern "C" double NAME(double, double) throw();       \
    extern "C" float NAME##f(float, float) throw();       \
    inline float NAME(float x, float y) { return NAME##f(x, y); }
OF_ONE(sqrt) OF_ONE(cbrt) OF_ONE(exp) OF_ONE(exp2) OF_ONE(expm1) OF_ONE(log) OF_ONE(log2)
OF_ONE(log10) OF_ONE(log1p) OF_ONE(sin) OF_ONE(cos) OF_ONE(tan) OF_ONE(tanh) OF_ONE(erf)
OF_ONE(floor) OF_ONE(ceil) OF_ONE(trunc) OF_ONE(round) OF_ONE(rint) OF_ONE(nearbyint)
OF_ONE(fabs)
OF_TWO(fmin) OF_TWO(fmax) OF_TWO(fmod) OF_TWO(pow) OF_TWO(copysign) OF_TWO(hypot)
OF_TWO(nextafter)
#undef OF_TWO
#undef OF_ONE
#define WITH_AN_INT(NAME, TYPE)                           \
    extern "C" double NAME(double, TYPE) throw();         \
    extern "C" float NAME##f(float, TYPE) throw();        \
    inline float NAME(float x, TYPE y) { return NAME##f(x, y); }
WITH_AN_INT(ldexp, int) WITH_AN_INT(scalbn, int) WITH_AN_INT(frexp, int*)
#undef WITH_AN_INT
extern "C" double fma(double, double, double) throw();
extern "C" float fmaf(float, float, float) throw();
inline float fma(float x, float y, float z) { return fmaf(x, y, z); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float abs(float x) { return fabsf(x); }
inline double abs(double x) { return fabs(x); }
inline long long abs(long long x) { return llabs(x); }

#define CLASSES(TYPE)                                                   \
    inline bool isfinite(TYPE x) { return __builtin_isfinite(x); }      \
    inline bool isnan(TYPE x) { return __builtin_isnan(x); }            \
    inline bool isinf(TYPE x) { return __builtin_isinf(x); }            \
    inline bool signbit(TYPE x) { return __builtin_signbit(x); }
CLASSES(float)
CLASSES(double)
#undef CLASSES

#define SMALLER_AND_LARGER(TYPE)                                        \
    inline TYPE min(TYPE x, TYPE y) { return y < x ? y : x; }           \
    inline TYPE max(TYPE x, TYPE y) { return x < y ? y : x; }
SMALLER_AND_LARGER(int)
SMALLER_AND_LARGER(unsigned)
SMALLER_AND_LARGER(long)
SMALLER_AND_LARGER(unsigned long)
SMALLER_AND_LARGER(long long)
SMALLER_AND_LARGER(unsigned long long)
#undef SMALLER_AND_LARGER
inline unsigned min(int x, unsigned y) { return min((unsigned)x, y); }
inline unsigned min(unsigned x, int y) { return min(x, (unsigned)y); }
inline unsigned max(int x, unsigned y) { return max((unsigned)x, y); }
inline unsigned max(unsigned x, int y) { return max(x, (unsigned)y); }
inline float min(float x, float y) { return fmin(x, y); }
inline float max(float x, float y) { return fmax(x, y); }
inline double min(double x, double y) { return fmin(x, y); }
inline double max(double x, double y) { return fmax(x, y); }

// Single operations, which a compiler does not contract.
#define ROUNDED(TYPE, NAME, EXPRESSION)                                          \
    __attribute__((noinline)) inline TYPE NAME(TYPE x, TYPE y) { return EXPRESSION; }
ROUNDED(float, __fadd_rn, x + y)
ROUNDED(float, __fsub_rn, x - y)
ROUNDED(float, __fmul_rn, x* y)
ROUNDED(float, __fdiv_rn, x / y)
ROUNDED(double, __dadd_rn, x + y)
ROUNDED(double, __dsub_rn, x - y)
ROUNDED(double, __dmul_rn, x* y)
ROUNDED(double, __ddiv_rn, x / y)
#undef ROUNDED
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }

// To integers: what is out of range becomes the nearest end of it, and NaN zero, or the least
// number of 64 bits.
#define TO_INTEGER(TYPE, FROM, NAME, SUFFIX, LEAST, LARGEST, OF_NAN, BEYOND)           \
    inline TYPE cuda_on_host_##NAME(FROM x)                                            \
    {                                                                                  \
        return x != x ? OF_NAN : x >= BEYOND ? LARGEST : x <= (FROM)LEAST ? LEAST : (TYPE)x; \
    }                                                                                  \
    inline TYPE NAME##_rn(FROM x) { return cuda_on_host_##NAME(rint##SUFFIX(x)); }     \
    inline TYPE NAME##_rz(FROM x) { return cuda_on_host_##NAME(trunc##SUFFIX(x)); }    \
    inline TYPE NAME##_rd(FROM x) { return cuda_on_host_##NAME(floor##SUFFIX(x)); }    \
    inline TYPE NAME##_ru(FROM x) { return cuda_on_host_##NAME(ceil##SUFFIX(x)); }
#define TO_INTEGERS(FROM, PREFIX, SUFFIX)                                                        \
    TO_INTEGER(int, FROM, PREFIX##2int, SUFFIX, (-2147483647 - 1), 2147483647, 0, 0x1p31##SUFFIX) \
    TO_INTEGER(unsigned, FROM, PREFIX##2uint, SUFFIX, 0u, 4294967295u, 0u, 0x1p32##SUFFIX)       \
    TO_INTEGER(long long, FROM, PREFIX##2ll, SUFFIX, (-9223372036854775807ll - 1),               \
               9223372036854775807ll, (-9223372036854775807ll - 1), 0x1p63##SUFFIX)              \
    TO_INTEGER(unsigned long long, FROM, PREFIX##2ull, SUFFIX, 0ull, 18446744073709551615ull,    \
               0x8000000000000000ull, 0x1p64##SUFFIX)
TO_INTEGERS(float, __float, f)
TO_INTEGERS(double, __double, )
#undef TO_INTEGERS
#undef TO_INTEGER
inline float __double2float_rn(double x) { return (float)x; }
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned x) { return (float)x; }
inline float __ll2float_rn(long long x) { return (float)x; }
inline float __ull2float_rn(unsigned long long x) { return (float)x; }
inline double __int2double_rn(int x) { return x; }
inline double __uint2double_rn(unsigned x) { return x; }
inline double __ll2double_rn(long long x) { return (double)x; }
inline double __ull2double_rn(unsigned long long x) { return (double)x; }

// ---- How the host calls a kernel ----------------------------------------------------------

namespace cuda_on_host {

struct Parameter {
    // Whether it is a pointer; of what is pointed to, or of a number: 'i', 'u', 'f', 'b' as NumPy
    // has them, 'V' of anything else; its size, 0 of void; whether it is const.
    int pointer, kind, size, constant;
};

template <typename T> struct Kind { static constexpr int value = 'V', size = sizeof(T); };
template <> struct Kind<void> { static constexpr int value = 'V', size = 0; };
template <typename T> struct Kind<const T> : Kind<T> {};
template <typename T> struct Kind<volatile T> : Kind<T> {};
template <typename T> struct Kind<const volatile T> : Kind<T> {};
#define KIND(TYPE, LETTER) \
    template <> struct Kind<TYPE> { static constexpr int value = LETTER, size = sizeof(TYPE); };
KIND(bool, 'b') KIND(char, 'i') KIND(signed char, 'i') KIND(short, 'i') KIND(int, 'i')
KIND(long, 'i') KIND(long long, 'i') KIND(unsigned char, 'u') KIND(unsigned short, 'u')
KIND(unsigned, 'u') KIND(unsigned long, 'u') KIND(unsigned long long, 'u') KIND(float, 'f')
KIND(double, 'f')
#undef KIND

template <typename T> struct Constant { static constexpr int value = 0; };
template <typename T> struct Constant<const T> { static constexpr int value = 1; };

template <typename T> struct Described {
    static constexpr Parameter value = {0, Kind<T>::value, Kind<T>::size, 1};
};
template <typename T> struct Described<T*> {
    static constexpr Parameter value = {1, Kind<T>::value, Kind<T>::size, Constant<T>::value};
};

template <unsigned... I> struct Indices {};
template <unsigned N, unsigned... I> struct UpTo : UpTo<N - 1, N - 1, I...> {};
template <unsigned... I> struct UpTo<0, I...> { typedef Indices<I...> type; };

template <typename... P> struct Call {
    void (*kernel)(P...);
    void** arguments;

    template <unsigned... I> void make(Indices<I...>) const { kernel(*(P*)arguments[I]...); }

    static void run(void* address)
    {
        ((const Call*)address)->make(typename UpTo<sizeof...(P)>::type());
    }
};

template <typename... P>
int describe(void (*)(P...), Parameter* into)
{
    // One more, since no array is empty.
    const Parameter all[] = {Described<P>::value..., {}};
    for (unsigned i = 0; into && i < sizeof...(P); ++i) into[i] = all[i];
    return sizeof...(P);
}

template <typename... P>
const char* launch(void (*kernel)(P...), const unsigned* shape, unsigned shared_bytes,
                   int backwards, void** arguments)
{
    Call<P...> call = {kernel, arguments};
    return cuda_on_host_launch(shape, shared_bytes, backwards, Call<P...>::run, &call);
}

}  // namespace cuda_on_host
