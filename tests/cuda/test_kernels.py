"""The host carries out CUDA's kernels as a card would, and is stricter about arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cuda_on_host import (
    COMPILER,
    CompileError,
    HostKernel,
    HostModule,
    LaunchError,
    Nvrtc,
    backwards,
    can_contract,
    options_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")


@pytest.fixture(params=["forwards", "backwards"])
def either_order(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "forwards":
        yield
    else:
        with backwards():
            yield


def kernel(body: str, parameters: str = "unsigned* out", **options: Any) -> HostKernel:
    return HostKernel(f'extern "C" __global__ void probe({parameters}) {{ {body} }}', "probe")


def test_every_thread_of_three_dimensions_runs_once(either_order: None) -> None:
    out = np.zeros((2, 3, 4, 5, 6, 7), dtype=np.uint32)
    body = """
        const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
        const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
        out[block * blockDim.x * blockDim.y * blockDim.z + thread] += block * 1000 + thread;
    """
    kernel(body)((4, 3, 2), (7, 6, 5), (out,))
    blocks, threads = np.arange(24), np.arange(210)
    assert np.array_equal(out.reshape(24, 210), np.add.outer(1000 * blocks, threads))


def test_a_barrier_holds_the_largest_block_together(either_order: None) -> None:
    """Each round reads what another thread wrote in the round before."""
    body = """
        __shared__ unsigned held[1024];
        const unsigned i = threadIdx.x;
        held[i] = i;
        for (int round = 0; round < 5; ++round) {
            __syncthreads();
            const unsigned next = held[(i + 1) % 1024];
            __syncthreads();
            held[i] = next;
        }
        out[blockIdx.x * 1024 + i] = held[i];
    """
    out = np.zeros((3, 1024), dtype=np.uint32)
    kernel(body)((3,), (1024,), (out,))
    assert np.array_equal(out, np.tile((np.arange(1024) + 5) % 1024, (3, 1)))


@pytest.mark.parametrize(
    "dtype",
    [np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64],
    ids=lambda dtype: dtype.__name__,
)
def test_shuffles_carry_all_bits_within_a_warp(either_order: None, dtype: Any) -> None:
    name = {
        np.int32: "int",
        np.uint32: "unsigned",
        np.int64: "long long",
        np.uint64: "unsigned long long",
        np.float32: "float",
        np.float64: "double",
    }[dtype]
    body = """
        const int i = threadIdx.x;
        out[i] = __shfl_xor_sync(0xffffffffu, in[i], 5);
        out[i + 96] = __shfl_up_sync(0xffffffffu, in[i], 3);
        out[i + 192] = __shfl_down_sync(0xffffffffu, in[i], 3, 8);
        out[i + 288] = __shfl_sync(0xffffffffu, in[i], 7);
    """
    given = np.random.default_rng(0).integers(0, 256, 96 * dtype().itemsize, dtype=np.uint8)
    given = given.view(dtype)
    out = np.zeros((4, 96), dtype=dtype)
    kernel(body, f"const {name}* in, {name}* out")((1,), (96,), (given, out))
    i, lane = np.arange(96), np.arange(96) % 32
    sources = [i ^ 5, np.where(lane < 3, i, i - 3), np.where(i % 8 > 4, i, i + 3), i - lane + 7]
    assert np.array_equal(out.view(np.uint8), given[np.stack(sources)].view(np.uint8))


def test_a_warp_waits_for_none_but_its_own(either_order: None) -> None:
    """The warps take a different number of votes, and half a warp takes some alone."""
    body = """
        const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        unsigned found = 0;
        for (unsigned i = 0; i <= warp; ++i)
            found += __popc(__ballot_sync(0xffffffffu, lane % 2 == 0));
        if (lane < 16) found += 1000 * __all_sync(0xffffu, lane < 16);
        out[threadIdx.x] = found;
    """
    out = np.zeros((5, 32), dtype=np.uint32)
    kernel(body)((1,), (160,), (out,))
    expected = 16 * (np.arange(5)[:, None] + 1) + np.where(np.arange(32) < 16, 1000, 0)
    assert np.array_equal(out, expected)


def test_threads_that_have_ended_are_not_waited_for(either_order: None) -> None:
    body = """
        if (threadIdx.x % 3 == 0) return;
        const unsigned voted = __ballot_sync(0xffffffffu, 1);
        out[threadIdx.x] = __syncthreads_count(1) * 100 + __popc(voted);
    """
    out = np.zeros(40, dtype=np.uint32)
    kernel(body)((1,), (40,), (out,))
    in_warp = np.where(np.arange(40) < 32, 21, 5)
    assert np.array_equal(out, np.where(np.arange(40) % 3 == 0, 0, 2600 + in_warp))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("if (threadIdx.x) __syncthreads(); else __ballot_sync(~0u, 1);", "do not come"),
        ("__shfl_sync(threadIdx.x < 3 ? 15u : 12u, 1, 0);", "do not come"),
        ("__shfl_sync(1u, 1, 0);", "does not name it"),
        ("if (threadIdx.x) __shfl_sync(~0u, 1, 0); else __ballot_sync(~0u, 1);", "different"),
        ("if (threadIdx.x == 2) __trap();", r"thread \(2, 0, 0\).*gave up"),
    ],
    ids=["barrier", "masks", "unnamed", "different", "trap"],
)
def test_a_launch_that_cannot_end_says_so(body: str, reason: str) -> None:
    with pytest.raises(LaunchError, match=reason):
        kernel(body)((2,), (4,), (np.zeros(1, dtype=np.uint32),))
    out = np.zeros(4, dtype=np.uint32)
    kernel("out[threadIdx.x] = __ballot_sync(~0u, 1);")((1,), (4,), (out,))
    assert np.array_equal(out, [15] * 4)


def test_the_order_shows_a_barrier_that_is_missing() -> None:
    body = """
        __shared__ unsigned told;
        if (threadIdx.x == 0) told = 7 + blockIdx.x;
        out[threadIdx.x] = told;
    """
    out = np.zeros(4, dtype=np.uint32)
    kernel(body)((2,), (4,), (out,))
    assert np.array_equal(out, [8] * 4)
    with backwards():
        kernel(body)((2,), (4,), (out,))
    assert not np.array_equal(out, [7] * 4)


def test_memory_of_the_size_that_a_launch_gives() -> None:
    body = """
        extern __shared__ __align__(16) unsigned held[];
        held[threadIdx.x] = threadIdx.x;
        __syncthreads();
        out[threadIdx.x] = held[blockDim.x - 1 - threadIdx.x];
    """
    out = np.zeros(64, dtype=np.uint32)
    probe = kernel(body)
    probe((1,), (64,), (out,), shared_mem=256)
    assert np.array_equal(out, np.arange(64)[::-1])
    with pytest.raises(LaunchError, match="share"):
        probe((1,), (64,), (out,), shared_mem=49153)
    probe.max_dynamic_shared_size_bytes = 65536
    probe((1,), (64,), (out,), shared_mem=49153)


INTRINSICS = """
    const unsigned i = threadIdx.x;
    atomicAdd(&out[0], i);
    atomicMax(&out[1], i);
    atomicXor(&out[2], 1u << i);
    if (i == 0) {
        out[3] = __clz(1) + 100 * __clzll(1) + 10000 * __ffs(8);
        out[4] = __brev(1u) + (unsigned)__popcll(~0ull);
        out[5] = (unsigned)__umul64hi(1ull << 63, 6);
        out[6] = __float_as_uint(-0.0f);
        out[7] = __byte_perm(0x33221100u, 0x77665544u, 0x7041u);
        out[8] = atomicCAS(&out[9], 0u, 5u);
        out[10] = __float2int_rn(2.5f) + 10 * __double2int_rz(-1.5) + 100 * isfinite(1.0 / 0.0);
        out[11] = (unsigned)(fmin(3.0f, 0.0f / 0.0f) + ldexp(1.0, 4) + sqrt(4.0f) + min(1, 2u));
    }
"""


def test_atomic_operations_and_bits() -> None:
    out = np.zeros(12, dtype=np.uint32)
    kernel(INTRINSICS)((1,), (32,), (out,))
    assert list(out[:3]) == [496, 31, 2**32 - 1]
    assert list(out[3:8]) == [46331, 2**31 + 64, 3, 2**31, 0x77004411]
    assert list(out[8:11]) == [0, 5, (2 - 10) % 2**32]
    assert out[11] == 3 + 16 + 2 + 1


def test_nvrtc_has_them_too(nvrtc: Nvrtc) -> None:
    code = f'extern "C" __global__ void probe(unsigned* out) {{ {INTRINSICS} }}'
    assert "registers" in nvrtc(code, *options_for("sm_80", ()))


class TestArguments:
    PROBE = kernel(
        "", "const float* in, int count, unsigned long long mask, double* out, void* any"
    )
    GIVEN = (
        np.zeros(1, dtype=np.float32),
        np.int32(1),
        np.uint64(1),
        np.zeros(1),
        np.zeros(1, dtype=np.int8),
    )

    def test_those_that_fit(self) -> None:
        self.PROBE((1,), (1,), self.GIVEN)
        # A Python int has 64 bits, and None is no place.
        self.PROBE((1,), (1,), (None, np.uint32(1), 1, None, None))

    @pytest.mark.parametrize(
        ("number", "value"),
        [
            (0, np.zeros(1)),
            (0, np.zeros(1, dtype=np.int32)),
            (0, np.int64(0)),
            (1, np.int64(1)),
            (1, 1),
            (1, np.float32(1)),
            (1, np.zeros((), dtype=np.int32)),
            (2, np.uint32(1)),
            (2, 1.0),
            (3, np.zeros(1, dtype=np.float32)),
            (3, [0.0]),
            (4, 1),
        ],
    )
    def test_those_that_do_not(self, number: int, value: Any) -> None:
        given = list(self.GIVEN)
        given[number] = value
        with pytest.raises(TypeError, match=f"argument {number} "):
            self.PROBE((1,), (1,), tuple(given))

    def test_too_few_and_too_many(self) -> None:
        for given in (self.GIVEN[:-1], (*self.GIVEN, 1)):
            with pytest.raises(TypeError, match="takes 5 arguments"):
                self.PROBE((1,), (1,), given)


def test_the_limits_of_a_launch() -> None:
    code = 'extern "C" __global__ void __launch_bounds__(2 * 32, 4) probe() {}'
    bounded = HostKernel(code, "probe")
    bounded((1,), (64,), ())
    with pytest.raises(LaunchError, match="at most 64"):
        bounded((1,), (65,), ())
    for grid, block in (((1, 65536), (1,)), ((1,), (1025,)), ((1,), (1, 1, 65))):
        with pytest.raises(LaunchError):
            HostKernel('extern "C" __global__ void probe() {}', "probe")(grid, block, ())
    with pytest.raises(TypeError, match="grid"):
        bounded(1, (1,), ())  # type: ignore[arg-type]


def test_a_module_has_kernels_that_macros_made() -> None:
    code = """
        #define MAKE(NAME, TYPE) \\
            extern "C" __global__ void NAME(TYPE* out) { *out = SEVEN; }
        MAKE(of_float, float) MAKE(of_double, double)
    """
    module = HostModule(code=code, options=("-DSEVEN=7", "--std=c++14"))
    for name, dtype in (("of_float", np.float32), ("of_double", np.float64)):
        out = np.zeros(1, dtype=dtype)
        module.get_function(name)((1,), (1,), (out,))
        assert out == 7
    with pytest.raises(LaunchError, match="no kernel 'of_int'"):
        module.get_function("of_int")((1,), (1,), ())


def test_what_nvrtc_would_refuse() -> None:
    for code, options in (
        ('extern "C" __global__ void probe() { nonsense; }', ()),
        ('extern "C" __global__ void probe(uint32_t* out) {}', ()),
        ("__global__ void probe() {}", ()),
        ('extern "C" __global__ void probe() {}', ("--no-such-option",)),
    ):
        with pytest.raises(CompileError):
            HostKernel(code, "probe", options).compile()


@pytest.mark.skipif(not can_contract(), reason="this processor cannot")
def test_products_and_sums_contract_unless_told() -> None:
    code = """extern "C" __global__ void probe(const double* in, double* out)
    { out[0] = in[0] * in[1] - in[2]; out[1] = __dadd_rn(__dmul_rn(in[0], in[1]), -in[2]); }"""
    x = 1 + 2.0**-30
    given, out = np.array([x, x, x * x]), np.zeros(2)
    HostKernel(code, "probe", ("--fmad=false",))((1,), (1,), (given, out))
    assert list(out) == [0, 0]
    HostKernel(code, "probe")((1,), (1,), (given, out))
    assert list(out) == [2.0**-60, 0]
