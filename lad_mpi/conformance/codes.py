"""Laws of gradient codes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from lad_mpi.coding import Code, DecodeStatus, DecodingCode, DispersionCode, ExactCode
from lad_mpi.columns import WorksOnColumns
from lad_mpi.conformance.component import ComponentLaws, moves_no_global_generator
from lad_mpi.conformance.servers import on_servers
from lad_mpi.conformance.suite import make_suite
from lad_mpi.rng import Streams
from lad_mpi.theory import sampled_dispersion

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lad_mpi.coding import Assignment, Decoded
    from lad_mpi.types import HostFloats

_N, _F, _Q = 23, 3, 5
#: Iterations that the dispersion is averaged over, and devices that count as honest.
_DRAWS, _FIRST = 400, 9
_DECODING = (
    "exact",
    "faults",
    "too_many_faults",
    "overflow",
    "zeros",
)


class CodeLaws(ComponentLaws):
    """Laws of assignments and decoders.

    Attributes
    ----------
    maker : callable
        Builds a code for 23 devices with 3 faults.
    """

    family: ClassVar[str] = "coding"
    maker: ClassVar[Callable[[], Any]]

    def example(self) -> Any:
        """Return a code."""
        return type(self).maker()

    def test_protocol(self) -> None:
        """It is a code, and accepts 23 devices with 3 faults."""
        code = self.example()
        assert isinstance(code, Code)
        code.check(_N, _F)

    def test_repeatable(self) -> None:
        """The assignment is a function of seed and iteration, or fixed if it does not vary.

        Every rank draws it separately.
        """
        code = self.example()
        one, two = (code.assign(_N, _F, Streams(1), 4) for _ in range(2))
        np.testing.assert_array_equal(one.subsets, two.subsets)
        np.testing.assert_array_equal(one.weights, two.weights)
        if not code.varies:
            np.testing.assert_array_equal(one.subsets, code.assign(_N, _F, Streams(1), 5).subsets)

    def test_global_generators(self) -> None:
        """It neither uses nor seeds a global generator of random numbers."""
        code = self.example()
        moves_no_global_generator(lambda: code.assign(_N, _F, Streams(1), 4).subsets)

    def test_subsets(self) -> None:
        """The subsets of a device are distinct, and padding is last."""
        assignment = self._assign()
        for row, load in zip(assignment.subsets, assignment.loads, strict=True):
            assert (row[:load] >= 0).all()
            assert (row[load:] == -1).all()
            assert len(set(row[:load])) == load

    def test_columns(self) -> None:
        """A part of the assignment equals that part of the whole assignment."""
        assignment = self._assign()
        load = assignment.max_load
        assert assignment.subsets.shape == (_N, load)
        for devices in (slice(0, _N), slice(3, 11), slice(_N - 1, _N)):
            for columns in (slice(0, load), slice(0, 1), slice(load - 1, load + 5)):
                part = assignment.part(devices, columns)
                np.testing.assert_array_equal(part, assignment.subsets[devices, columns])

    def test_weights(self) -> None:
        """If all gradients are equal, messages equal them: the weights of a device sum to one.

        Messages are then as large as gradients, for any load.
        """
        sums = self._assign().mixing_matrix(_N).sum(axis=1)
        np.testing.assert_allclose(sums, 1.0, rtol=1e-12)

    def test_parts(self) -> None:
        """Messages have the declared number of parts: two if weights are complex."""
        code, assignment = self.example(), self._assign()
        gradients = np.random.default_rng(0).normal(size=(_N, _Q))
        messages = assignment.encode(gradients)
        assert len(assignment.weight_parts) == code.message_parts
        assert messages.shape == (_N, code.message_parts * _Q)
        expected = assignment.mixing_matrix(_N) @ gradients
        np.testing.assert_allclose(messages[:, :_Q], expected.real, atol=1e-12)
        np.testing.assert_allclose(messages[:, _Q:], expected.imag[:, : messages.shape[1] - _Q])

    def test_recovers_exactly(self) -> None:
        """It gives ∇F exactly if and only if it declares this.

        Honest devices send ∇F itself, or a decoder recovers it in spite of f other messages.
        """
        code = self.example()
        gradients = np.random.default_rng(0).normal(size=(_N, _Q))
        gradient, assignment = gradients.mean(axis=0), self._assign()
        messages = assignment.encode(gradients)
        claimed = code.recovers_exactly(_N, _F)
        if not isinstance(code, DecodingCode):
            sent = messages.shape == gradients.shape and np.allclose(messages, gradient, atol=1e-12)
            assert claimed == sent
        elif claimed:
            messages[[2, 5, 11]] *= -3.0
            decoded = self._decode(messages, assignment, _F)
            np.testing.assert_allclose(decoded.gradient, gradient, atol=1e-10)

    def test_variance_factor(self) -> None:
        """Messages have the declared variance V about ∇F, whichever devices are honest.

        This holds in units of β², on average over iterations. In each iteration the mean of
        all N messages is ∇F.
        """
        code = self.example()
        factor = code.variance_factor(_N, _F)
        if math.isnan(factor):
            return
        gradients = np.random.default_rng(0).normal(size=(_N, _Q))
        gradient = gradients.mean(axis=0)
        unit = float(((gradients - gradient) ** 2).sum(axis=1).mean())
        drawn = np.empty((_DRAWS, 2))
        for iteration in range(_DRAWS):
            messages = self._assign(iteration).encode(gradients)
            assert messages.shape == gradients.shape
            np.testing.assert_allclose(messages.mean(axis=0), gradient, atol=1e-12)
            first = messages[:_FIRST] - messages[:_FIRST].mean(axis=0)
            drawn[iteration] = [
                ((messages - gradient) ** 2).sum(axis=1).mean(),
                (first**2).sum(axis=1).mean(),
            ]
        about_its_mean = sampled_dispersion(factor, 0.0, num_devices=_N, num_honest=_FIRST)
        slack = 6 * drawn.std(axis=0, ddof=1) / math.sqrt(_DRAWS) / unit + 1e-12
        off = np.abs(drawn.mean(axis=0) / unit - [factor, about_its_mean])
        assert (off <= slack).all()

    @pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-12)])
    @pytest.mark.parametrize("num_byzantine", [0, _F])
    @pytest.mark.parametrize("size", [_N, _N + 1])
    def test_exact(self, size: int, num_byzantine: int, dtype: str, tolerance: float) -> None:
        """The decoder recovers ∇F from honest messages, and does not change them."""
        code = self.example()
        code.check(size, num_byzantine)
        gradients = np.random.default_rng(0).normal(size=(size, _Q))
        assignment = code.assign(size, num_byzantine, Streams(1), 0)
        messages = assignment.encode(gradients).astype(dtype)
        before = messages.copy()
        decoded = self._decode(messages, assignment, num_byzantine)
        assert decoded.status == DecodeStatus.EXACT
        assert decoded.detail == ""
        assert decoded.gradient.dtype == np.dtype(dtype)
        np.testing.assert_allclose(decoded.gradient, gradients.mean(axis=0), atol=tolerance)
        np.testing.assert_array_equal(messages, before)

    @pytest.mark.parametrize("size", [1.0, 1e200])
    def test_servers(self, size: float) -> None:
        """Servers that share the columns decode to the bits of one that has all."""
        generator = np.random.default_rng(1)
        assignment = self._assign(7)
        messages = assignment.encode(generator.normal(size=(_N, 40_001)))
        messages[[2, 9], 5:] = size

        def decode(columns: slice) -> Any:
            return self._decode(messages[:, columns], assignment, _F, iteration=7)

        alone, parts = decode(slice(40_001)), on_servers(40_001, 3, decode)
        for part in parts:
            assert (part.status, part.located) == (alone.status, alone.located)
        together = np.concatenate([part.gradient for part in parts])
        np.testing.assert_array_equal(together, alone.gradient)

    @pytest.mark.parametrize(
        "corruption", ["flipped", "identical", "codeword", "tiny", "large", "overflowing"]
    )
    @pytest.mark.parametrize("num_wrong", [1, _F])
    def test_faults(self, num_wrong: int, corruption: str) -> None:
        """The decoder finds up to f wrong messages of any kind and leaves them out."""
        generator = np.random.default_rng(1)
        gradients = generator.normal(size=(_N, _Q))
        assignment = self._assign(7)
        messages = assignment.encode(gradients)
        wrong = generator.choice(_N, num_wrong, replace=False)
        noise = generator.normal(size=(num_wrong, messages.shape[1]))
        messages[wrong] = {
            "flipped": -messages[wrong],
            "identical": noise[:1],
            # What the same devices would send for other gradients.
            "codeword": assignment.encode(generator.normal(size=(_N, _Q)))[wrong],
            "tiny": messages[wrong] + 1e-6 * noise,
            "large": 1e10 * noise,
            "overflowing": np.sign(noise) * np.finfo(float).max,
        }[corruption]
        decoded = self._decode(messages, assignment, _F, iteration=7)
        assert decoded.status == DecodeStatus.EXACT
        assert set(wrong) <= set(decoded.located)
        assert len(decoded.located) <= _F
        np.testing.assert_allclose(decoded.gradient, gradients.mean(axis=0), atol=1e-10)

    @pytest.mark.parametrize("size", [1.0, 1e308])
    def test_too_many_faults(self, size: float) -> None:
        """If the decoder cannot recover ∇F, it says so and why, and stays finite.

        The run then continues with another rule, or stops. It must not continue unaware.
        """
        generator = np.random.default_rng(2)
        parts = self.example().message_parts
        messages = size * generator.uniform(-1, 1, size=(_N, parts * _Q))
        decoded = self._decode(messages, self._assign(), _F)
        assert decoded.status == DecodeStatus.FAILED
        assert decoded.detail
        assert decoded.gradient.shape == (_Q,)
        assert np.isfinite(decoded.gradient).all()

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_overflow(self, dtype: str) -> None:
        """Messages near overflow cause no errors, no warnings and no infinities."""
        for seed in range(40):
            generator = np.random.default_rng(seed)
            assignment = self._assign()
            messages = assignment.encode(generator.normal(size=(_N, _Q)).astype(dtype))
            wrong = generator.choice(_N, generator.integers(1, _N), replace=False)
            exponents = generator.uniform(-4, 0, size=(len(wrong), 1))
            signs = generator.choice([-1.0, 1.0], size=(len(wrong), messages.shape[1]))
            messages[wrong] = float(np.finfo(dtype).max) * 10.0**exponents * signs
            decoded = self._decode(messages, assignment, _F)
            assert np.isfinite(decoded.gradient).all()
            assert decoded.status == DecodeStatus.EXACT or len(wrong) > _F

    def test_zeros(self) -> None:
        """Messages of zeros decode to zero."""
        parts = self.example().message_parts
        decoded = self._decode(np.zeros((_N, parts * _Q)), self._assign(), _F)
        assert decoded.status == DecodeStatus.EXACT
        assert not decoded.gradient.any()

    def _assign(self, iteration: int = 0) -> Assignment:
        assignment: Assignment = self.example().assign(_N, _F, Streams(1), iteration)
        return assignment

    def _decode(
        self, messages: HostFloats, assignment: Assignment, num_byzantine: int, iteration: int = 0
    ) -> Decoded:
        decoded: Decoded = self.example().decode(
            messages, assignment, num_byzantine, streams=Streams(1), iteration=iteration
        )
        return decoded


def code(
    cls: type[Any], *, without: Collection[str] = (), make: Callable[[], Any] | None = None
) -> type[CodeLaws]:
    """Make the class of tests of a gradient code.

    See :mod:`lad_mpi.conformance` for what all such functions take and return.

    Parameters
    ----------
    cls : type
        Laws of decoding apply if it has a method ``decode``.
    without : collection of str
    make : callable, optional
        Builds a code for 23 devices with 3 faulty ones.
    """
    optional = {
        **dict.fromkeys(_DECODING, DecodingCode),
        "recovers_exactly": ExactCode,
        "servers": WorksOnColumns,
        "variance_factor": DispersionCode,
    }
    return make_suite(CodeLaws, cls, without, optional, maker=staticmethod(make or cls))
