"""Laws of codecs."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.compression import CODECS, Channel, Codec, ColumnCodec, Rejection
from lad_mpi.conformance.component import ComponentLaws, moves_no_global_generator
from lad_mpi.conformance.suite import make_suite
from lad_mpi.rng import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lad_mpi.types import HostFloats, HostInts

_ROWS = 7
_DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
_DIMENSIONS = pytest.mark.parametrize("dimension", [1, 2, 7, 64, 101])


class CodecLaws(ComponentLaws):
    """Laws of codecs.

    Attributes
    ----------
    maker : callable
        Builds a codec for a dimension.
    """

    family: ClassVar[str] = "compression"
    maker: ClassVar[Callable[[int], Any]]

    def example(self) -> Any:
        """Return a codec for 30 numbers."""
        return self.make(30)

    def make(self, dimension: int) -> Any:
        """Return a codec for vectors of a dimension."""
        return type(self).maker(dimension)

    def test_protocol(self) -> None:
        """It is a codec, with a unique number for message headers."""
        assert isinstance(self.example(), Codec)
        assert 0 <= self.subject.wire_code < 256
        taken = {c.wire_code for c in CODECS.values() if c is not self.subject}
        assert self.subject.wire_code not in taken

    @_DTYPES
    @_DIMENSIONS
    def test_shapes_and_dtypes(self, dtype: str, dimension: int) -> None:
        """Payloads have the declared size, and decode to as many vectors, all accepted.

        The server allocates slots of this size before the first message.
        """
        codec = self.make(dimension)
        codec.check(dimension)
        vectors = _normal(dimension, dtype)
        payloads = codec.encode(vectors, _channel(dimension, dtype))
        assert payloads.dtype == np.uint8
        assert payloads.shape == (_ROWS, codec.payload_bytes(dimension, np.dtype(dtype)))
        decoded, rejections = codec.decode(payloads, _channel(dimension, dtype))
        assert decoded.dtype == np.dtype(dtype)
        assert decoded.shape == vectors.shape
        assert rejections.dtype == np.int64
        np.testing.assert_array_equal(rejections, np.zeros(_ROWS))

    def test_own_memory(self) -> None:
        """Arguments are neither changed nor returned."""
        codec = self.make(30)
        vectors = _normal(30, "float64")
        vectors[2] = np.nan
        vectors.setflags(write=False)
        payloads = codec.encode(vectors, _channel(30, "float64"))
        assert not np.shares_memory(payloads, vectors)
        payloads.setflags(write=False)
        decoded, _ = codec.decode(payloads, _channel(30, "float64"))
        assert decoded.flags.writeable
        assert not np.shares_memory(decoded, payloads)

    @_DTYPES
    def test_block(self, dtype: str) -> None:
        """A device's payload does not depend on the block of devices that it is encoded in.

        Results must not depend on the number of ranks.
        """
        codec = self.make(101)
        vectors = _normal(101, dtype)
        whole = codec.encode(vectors, _channel(101, dtype))
        first, second = _channel(101, dtype, 3), _channel(101, dtype, 4, first_device=3)
        head, tail = codec.encode(vectors[:3], first), codec.encode(vectors[3:], second)
        np.testing.assert_array_equal(whole, np.concatenate([head, tail]))
        decoded, _ = codec.decode(whole, _channel(101, dtype))
        head, tail = codec.decode(whole[:3], first)[0], codec.decode(whole[3:], second)[0]
        np.testing.assert_array_equal(decoded, np.concatenate([head, tail]))

    @_DTYPES
    def test_columns(self, dtype: str) -> None:
        """Decoding by columns gives the vectors and refusals of decoding whole messages.

        Results must not depend on the number of server ranks. Messages are cut at multiples
        of ``column_unit``.
        """
        codec, channel = self.make(101), _channel(101, dtype)
        if codec.column_unit is None:
            cuts = [0, 101]
        else:
            assert codec.column_unit >= 1
            cuts = [0, *(cut for cut in (1, 8, 56, 61, 96, 100) if cut % codec.column_unit == 0)]
            cuts.append(101)
        vectors = _normal(101, dtype)
        vectors[1, 0], vectors[3, 60], vectors[4, 100] = np.nan, np.inf, -np.inf
        payloads = codec.encode(vectors, channel)
        whole, expected = codec.decode(payloads, channel)
        decoded, reasons = np.empty_like(whole), np.zeros_like(expected)
        end = 0
        for start, stop in itertools.pairwise(cuts):
            where = codec.column_bytes(slice(start, stop), np.dtype(dtype))
            assert where.start == end
            end, columns = where.stop, slice(start, stop)
            found = codec.decode_columns(payloads[:, where], columns, channel, decoded[:, columns])
            assert np.isfinite(decoded[:, columns]).all()
            reasons = np.where(reasons == int(Rejection.NONE), found, reasons)
        assert end == payloads.shape[1]
        np.testing.assert_array_equal(reasons, expected)
        decoded[reasons != int(Rejection.NONE)] = 0
        np.testing.assert_array_equal(decoded, whole)

    def test_named_rows(self) -> None:
        """Chosen rows of a block are encoded as in the whole block."""
        codec = self.make(101)
        vectors = _normal(101, "float64")
        rows = np.array([1, 2, 6])
        whole = codec.encode(vectors, _channel(101, "float64"))
        some = codec.encode(vectors[rows], _channel(101, "float64", rows=rows))
        np.testing.assert_array_equal(some, whole[rows])
        decoded, _ = codec.decode(whole, _channel(101, "float64"))
        part, _ = codec.decode(some, _channel(101, "float64", rows=rows))
        np.testing.assert_array_equal(part, decoded[rows])

    def test_no_rows(self) -> None:
        """Zero rows give zero payloads, and zero payloads give zero rows."""
        codec = self.make(30)
        empty = _channel(30, "float64", rows=np.array([], dtype=np.int64))
        payloads = codec.encode(np.zeros((0, 30)), empty)
        assert payloads.shape == (0, codec.payload_bytes(30, np.dtype("float64")))
        decoded, rejections = codec.decode(payloads, empty)
        assert decoded.shape == (0, 30)
        assert rejections.shape == (0,)

    def test_memory_layout(self) -> None:
        """The memory layout of the vectors does not matter."""
        codec = self.make(101)
        vectors = _normal(101, "float64")
        np.testing.assert_array_equal(
            codec.encode(np.asfortranarray(vectors), _channel(101, "float64")),
            codec.encode(vectors, _channel(101, "float64")),
        )

    def test_repeatable(self) -> None:
        """The same vectors, seed and iteration give the same bytes."""
        codec = self.make(101)
        vectors = _normal(101, "float64")
        first = codec.encode(vectors, _channel(101, "float64"))
        again = codec.encode(vectors, _channel(101, "float64"))
        np.testing.assert_array_equal(first, again)

    def test_global_generators(self) -> None:
        """It neither uses nor seeds a global generator of random numbers.

        It uses ``channel.words`` and ``channel.uniforms``, which sender and receiver share.
        """
        codec = self.make(101)
        vectors, wire = _normal(101, "float64"), _channel(101, "float64")
        moves_no_global_generator(lambda: codec.encode(vectors, wire))
        payloads = codec.encode(vectors, wire)
        moves_no_global_generator(lambda: codec.decode(payloads, wire)[0])

    @_DIMENSIONS
    def test_zeros(self, dimension: int) -> None:
        """Vectors of zeros arrive as zeros, although their norm is zero."""
        codec = self.make(dimension)
        payloads = codec.encode(np.zeros((_ROWS, dimension)), _channel(dimension, "float64"))
        decoded, rejections = codec.decode(payloads, _channel(dimension, "float64"))
        np.testing.assert_array_equal(decoded, 0)
        np.testing.assert_array_equal(rejections, 0)

    @_DTYPES
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, dtype: str, value: float) -> None:
        """Vectors that are not finite are sent without a warning, and refused on arrival.

        They do not affect the other messages of the block.
        """
        codec = self.make(30)
        wire = _channel(30, dtype)
        vectors = _normal(30, dtype)
        healthy, _ = codec.decode(codec.encode(vectors, wire), wire)
        vectors[2] = value
        vectors[4, 11] = value  # A codec that leaves the value out may send the others.
        with np.errstate(all="raise"):
            payloads = codec.encode(vectors, wire)
            decoded, rejections = codec.decode(payloads, wire)
        assert rejections[2] == Rejection.NOT_FINITE
        assert rejections[4] in {Rejection.NONE, Rejection.NOT_FINITE}
        np.testing.assert_array_equal(decoded[2], 0)
        assert np.isfinite(decoded).all()
        others = [0, 1, 3, 5, 6]
        np.testing.assert_array_equal(rejections[others], 0)
        np.testing.assert_array_equal(decoded[others], healthy[others])

    @_DTYPES
    @pytest.mark.parametrize("end", ["max", "tiny", "smallest_subnormal"])
    @pytest.mark.parametrize("dimension", [1, 4, 30])
    def test_ends_of_range(self, dtype: str, end: str, dimension: int) -> None:
        """The largest and smallest numbers arrive with their signs, or the largest are refused."""
        codec = self.make(dimension)
        vectors = np.full((_ROWS, dimension), getattr(np.finfo(dtype), end), dtype=dtype)
        vectors[:, 1::2] *= -1
        with np.errstate(all="raise"):
            payloads = codec.encode(vectors, _channel(dimension, dtype))
            decoded, rejections = codec.decode(payloads, _channel(dimension, dtype))
        assert np.isfinite(decoded).all()
        refused = {Rejection.NONE, Rejection.NOT_FINITE} if end == "max" else {Rejection.NONE}
        assert set(rejections.tolist()) <= refused
        assert (decoded * np.sign(vectors) >= 0).all()

    @_DTYPES
    def test_hostile_payloads(self, dtype: str) -> None:
        """No payload causes an error, a warning, or a vector that is not finite.

        A Byzantine device can send any bytes. A refused payload gives zeros, and an accepted
        one an ordinary vector.
        """

        @settings(max_examples=40, deadline=None)
        @given(
            seed=st.integers(0, 2**32),
            dimension=st.integers(1, 40),
            damage=st.sampled_from(["everything", "one byte", "one bit", "ones", "zeros"]),
        )
        def holds(seed: int, dimension: int, damage: str) -> None:
            codec = self.make(dimension)
            wire = _channel(dimension, dtype)
            payloads = codec.encode(_normal(dimension, dtype), wire)
            payloads = _damaged(payloads, damage, np.random.default_rng(seed))
            with np.errstate(all="raise"):
                decoded, rejections = codec.decode(payloads, wire)
            assert np.isfinite(decoded).all()
            assert set(rejections.tolist()) <= set(map(int, Rejection))
            np.testing.assert_array_equal(decoded[rejections != 0], 0)
            with np.errstate(all="raise"):
                again, _ = codec.decode(codec.encode(decoded, wire), wire)
            assert np.isfinite(again).all()

        holds()

    @_DTYPES
    def test_bias_and_variance(self, dtype: str) -> None:
        """It is unbiased if it declares this, and its relative variance is within δ.

        The predicted dispersion of messages uses δ. A biased codec has none.
        """
        # Bounds of 6 standard errors on at most 12 + 1 averages of 20000 draws each: with a
        # random seed, a false alarm once in 10⁷ runs.
        replicates, dimension = 20_000, 12
        codec = self.make(dimension)
        wire = _channel(dimension, dtype, replicates)
        vector = np.linspace(-2.0, 3.0, dimension).astype(dtype)
        payloads = codec.encode(np.tile(vector, (replicates, 1)), wire)
        vector = vector.astype(np.float64)
        errors = codec.decode(payloads, wire)[0] - vector
        root = math.sqrt(replicates)
        standard_errors = errors.std(axis=0, ddof=1) / root
        centred = np.abs(errors.mean(axis=0)) <= 6 * standard_errors + 1e-12
        assert centred.all() == codec.unbiased
        if not codec.unbiased:
            assert math.isnan(codec.delta(dimension))
            assert not codec.delta_is_exact
            return
        relative = (errors**2).sum(axis=1) / (vector @ vector)
        slack = 6 * relative.std(ddof=1) / root + 1e-12
        assert relative.mean() <= codec.delta(dimension) + slack
        if codec.delta_is_exact:
            assert relative.mean() >= codec.delta(dimension) - slack


def codec(
    cls: type[Any], *, without: Collection[str] = (), make: Callable[[int], Any] | None = None
) -> type[CodecLaws]:
    """Make the class of tests of a codec.

    See :mod:`lad_mpi.conformance` for what all such functions take and return.

    Parameters
    ----------
    cls : type
    without : collection of str
    make : callable, optional
        Builds a codec for a dimension Q ≥ 1.
    """
    maker = make or (lambda dimension: cls())  # noqa: ARG005
    return make_suite(CodecLaws, cls, without, {"columns": ColumnCodec}, maker=staticmethod(maker))


def _channel(
    dimension: int,
    dtype: str,
    num_devices: int = _ROWS,
    *,
    first_device: int = 0,
    rows: HostInts | None = None,
) -> Channel:
    return Channel(Streams(11), 3, first_device, num_devices, dimension, np.dtype(dtype), rows)


def _normal(dimension: int, dtype: str) -> HostFloats:
    return np.random.default_rng(4).standard_normal((_ROWS, dimension)).astype(dtype)


def _damaged(payloads: Any, damage: str, generator: np.random.Generator) -> Any:
    if damage == "everything":
        return generator.integers(0, 256, payloads.shape, dtype=np.uint8)
    if damage == "ones":
        return np.full_like(payloads, 255)
    if damage == "zeros":
        return np.zeros_like(payloads)
    places = generator.integers(0, payloads.shape[1], _ROWS)
    masks = generator.integers(1, 256, _ROWS)
    if damage == "one bit":
        masks = 1 << (np.arange(_ROWS) + 1)
    payloads[np.arange(_ROWS), places] ^= masks.astype(np.uint8)
    return payloads
