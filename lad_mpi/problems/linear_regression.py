"""Linear regression on synthetic data of chosen heterogeneity, or on real data."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

import numpy as np
from annotated_types import Ge, Le

from lad_mpi.arrays import to_host
from lad_mpi.errors import DataError, ParameterError
from lad_mpi.parameters import Count, Example, Positive, check_parameters
from lad_mpi.problems import datasets
from lad_mpi.problems.base import GradientWork
from lad_mpi.problems.columns import TableKeys
from lad_mpi.problems.partition import PartitionKind, partition
from lad_mpi.rng import Purpose

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.problems.samples import Samples
    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, HostFloats, HostInts

_SYNTHETIC = "synthetic"
_SYNTHETIC_DEFAULTS = {"dimension": 100, "samples_per_subset": 1, "heterogeneity": 0.1}
_OF_TABLES = ("target", "header", "index")
_FEATURE_SCALE = 10.0
_CONCENTRATION = 1.0

#: Beyond it the squares of residuals leave the range of floating point.
_LARGEST_SPREAD = 1e100
_Spread: TypeAlias = Annotated[float, Ge(0), Le(_LARGEST_SPREAD)]
#: The number of a column.
_Column: TypeAlias = Annotated[int, Ge(1)]
#: Rows longer than this are worked on one by one: a gathered copy leaves the cache.
_LONG_ROW = 2**15
#: Numbers that are gathered at once on a GPU.
_GATHERED = 2**26
#: Numbers that the loss turns into float64 at once.
_LOSS_BLOCK = 2**22
#: n·Q·min(n, Q) up to which the optimum is solved for; a few seconds on one core.
_SOLVABLE = 5e9


@dataclass(frozen=True, slots=True)
class LinearRegression:
    r"""Least squares, f_k being the mean over the samples of subset k.

    Parameters
    ----------
    dimension : int, optional
        Q of synthetic data; 100 if left out. Real data bring their own.
    samples_per_subset : int, optional
        m of synthetic data; 1 if left out.
    heterogeneity : float, optional
        σ_H of synthetic data, how far the subsets' true models lie apart;
        0.1 if left out.
    data : str
        ``"synthetic"``, ``"diabetes"`` (bundled with scikit-learn), or the
        path of a ``.npz``, ``.csv``, ``.h5`` or LIBSVM text file, see
        :func:`lad_mpi.problems.datasets.read`.
    target : str or int, optional
        The column of a table that is to be predicted, by name or by number,
        counted from 1. If left out, the one named ``y``, or else the last.
    header : bool, optional
        Whether the first line of a table names the columns. If left out, as it looks.
    index : bool, str or int, optional
        The column of a table that only names or numbers the samples and is no
        feature: the first (``true``), none (``false``), or one by name or number.
        If left out, as it looks.
    partition : {"shuffled", "sorted", "dirichlet"}
        How real data are split, see :func:`lad_mpi.problems.partition.partition`.
    concentration : float, optional
        Dirichlet parameter of ``partition = "dirichlet"``; 1 if left out.
    standardize : bool
        Whether features of real data are shifted and scaled to mean 0 and
        variance 1; constant ones become 0. Targets stay as they are.
    intercept : bool
        Whether real data get a last feature that is 1 everywhere.

    Raises
    ------
    ParameterError
        A parameter is out of range, or belongs to the other kind of data.

    Notes
    -----
    The subset losses are

    .. math:: f_k(x) = \frac{1}{m_k} \sum_{j \in k} \tfrac12
              (\langle z_j, x \rangle - y_j)^2

    and F is the mean of the f_k. Where the m_k differ, the samples of small
    subsets therefore weigh more in F than those of large ones.

    Synthetic data are z ~ N(0, 10² I), x̄ ~ N(0, I), x̄_k = x̄ + σ_H ε_k with
    ε_k ~ N(0, I) and y = ⟨z, x̄_k⟩ + N(0, 1). The sizes and the role of σ_H
    follow the published comparison; the exact draw is this suite's own. Each
    subset has a random stream of its own, and problems that differ in σ_H
    alone share z, x̄, ε and the noise.

    References
    ----------
    Li, Allouah, Guerraoui, Skoglund, Xiao, "Byzantine-robust and
    communication-efficient distributed training: compressive and cyclic gradient
    coding", arXiv:2603.28780.
    """

    dimension: Annotated[Count | None, Example(100)] = None
    samples_per_subset: Annotated[Count | None, Example(1)] = None
    heterogeneity: Annotated[_Spread | None, Example(0.1)] = None
    data: str = _SYNTHETIC
    target: Annotated[str | _Column | None, Example("y")] = None
    header: Annotated[bool | None, Example(True)] = None
    index: Annotated[bool | str | _Column | None, Example(False)] = None
    partition: PartitionKind = "shuffled"
    concentration: Annotated[Positive | None, Example(0.3)] = None
    standardize: bool = True
    intercept: bool = True

    kind: ClassVar[str] = "linear_regression"
    cost: ClassVar[str] = "O(m Q) a gradient"

    def __post_init__(self) -> None:
        """Refuse values out of range and fields that would have no effect."""
        check_parameters(self)
        if self.concentration is not None and self.partition != "dirichlet":
            raise ParameterError(
                "concentration",
                f'belongs to partition = "dirichlet", and partition is "{self.partition}"',
            )
        self._check_source()
        self._check_fields_in_use()
        self._write_out_defaults()

    @property
    def synthetic(self) -> bool:
        """Whether the data are drawn and not read."""
        return self.data == _SYNTHETIC

    @property
    def declared_dimension(self) -> int | None:
        """Q where it is known before any data are read, else None."""
        return self.dimension

    @property
    def gradient_work(self) -> GradientWork | None:
        """Two products of a subset's (m, Q) features with a vector; None for real data."""
        if self.samples_per_subset is None or self.dimension is None:
            return None
        numbers = self.samples_per_subset * self.dimension
        return GradientWork(self.samples_per_subset, 4 * numbers, numbers, "gemv")

    def load(self, num_subsets: int, streams: Streams, backend: Backend) -> LinearRegressionData:
        """Draw or read the samples and split them into subsets.

        Parameters
        ----------
        num_subsets : int
            N.
        streams : Streams
            The run's random streams.
        backend : Backend
            Where the samples are kept, and in which dtype. They are drawn and
            prepared in float64 whatever it is.

        Raises
        ------
        DataError
            The data cannot be read, or have fewer samples than subsets.
        """
        if self.synthetic:
            return LinearRegressionData(*self._draw(num_subsets, streams), backend)
        samples = self._prepared(datasets.read(self.data, self._table_keys), num_subsets)
        alpha = self.concentration or _CONCENTRATION
        split = partition(
            samples.targets, num_subsets, streams, kind=self.partition, concentration=alpha
        )
        return LinearRegressionData(
            samples.features[split.order],
            samples.targets[split.order],
            split.offsets,
            backend,
            digest=samples.digest,
            reading=samples.reading,
        )

    def digest(self) -> str:
        """Identify the samples as read, before they are standardized or split.

        Returns
        -------
        str
            See :func:`lad_mpi.problems.datasets.digest`; empty for synthetic data.

        Raises
        ------
        DataError
            The data cannot be read.
        """
        return "" if self.synthetic else datasets.digest(self.data, self._table_keys)

    @property
    def _table_keys(self) -> TableKeys:
        return TableKeys(self.target, self.header, self.index)

    def _check_source(self) -> None:
        names = (_SYNTHETIC, *datasets.BUNDLED)
        if self.data in names or datasets.suffix_of(self.data) in datasets.SUFFIXES:
            return
        nearest = difflib.get_close_matches(self.data, names, n=1)
        raise ParameterError(
            "data",
            f"expected {', '.join(map(repr, names))} or a file ending in "
            f"{', '.join(datasets.SUFFIXES)}; found {self.data!r}"
            + (f"; did you mean {nearest[0]!r}?" if nearest else ""),
        )

    def _check_fields_in_use(self) -> None:
        for field in fields(self):
            belongs_to_synthetic = field.name in _SYNTHETIC_DEFAULTS
            if field.name == "data" or getattr(self, field.name) == field.default:
                continue
            if belongs_to_synthetic and not self.synthetic:
                raise ParameterError(
                    field.name,
                    f"has no effect on real data, and data is {self.data!r}",
                    hint=f"leave {field.name} out, or set data = 'synthetic'",
                )
            if self.synthetic and not belongs_to_synthetic:
                raise ParameterError(
                    field.name,
                    "has no effect on synthetic data",
                    hint=f"leave {field.name} out, or set data to a file or a bundled set",
                )
            if self.data in datasets.BUNDLED and field.name in _OF_TABLES:
                raise ParameterError(
                    field.name,
                    f"has no effect on {self.data!r}, which is bundled",
                    hint=f"leave {field.name} out",
                )

    def _write_out_defaults(self) -> None:
        # A log must name the numbers that were used, also where nobody chose them.
        defaults: dict[str, float] = _SYNTHETIC_DEFAULTS if self.synthetic else {}
        if self.partition == "dirichlet":
            defaults = {"concentration": _CONCENTRATION}
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)

    def _draw(self, num_subsets: int, streams: Streams) -> tuple[HostFloats, HostFloats, HostInts]:
        Q, m, sigma = self.dimension or 0, self.samples_per_subset or 0, self.heterogeneity or 0.0
        common = streams.generator(Purpose.PROBLEM, device=0).standard_normal(Q)
        features = np.empty((num_subsets * m, Q))
        targets = np.empty(num_subsets * m)
        offsets = np.arange(num_subsets + 1, dtype=np.int64) * m
        for k in range(num_subsets):
            rows = slice(k * m, (k + 1) * m)
            generator = streams.generator(Purpose.PROBLEM, device=k + 1)
            # σ_H scales ε and decides nothing else, so the rest is drawn alike for every σ_H.
            model = common + sigma * generator.standard_normal(Q)
            generator.standard_normal(out=features[rows])
            features[rows] *= _FEATURE_SCALE
            # A sum outside BLAS: the data must not depend on a rank's number of threads.
            targets[rows] = (features[rows] * model).sum(axis=1) + generator.standard_normal(m)
        return features, targets, offsets

    def _prepared(self, samples: Samples, num_subsets: int) -> Samples:
        """Return samples with the features that are trained on; takes the memory of the others."""
        features, count = samples.features, len(samples.targets)
        if count < num_subsets:
            raise DataError(
                f"data {self.data!r} has {count} samples, too few for {num_subsets} subsets of "
                "at least one",
                hint=f"set devices.count to {count} or less",
            )
        if self.standardize:
            _standardize(features, self.data)
        if self.intercept:
            features = np.column_stack([features, np.ones(count)])
        return replace(samples, features=features)


class LinearRegressionData:
    """Samples of a linear regression, grouped by subset, in a backend's memory.

    Parameters
    ----------
    features : ndarray of float64, shape (n, Q)
        One row a sample, those of subset 0 first.
    targets : ndarray of float64, shape (n,)
        Their targets.
    offsets : ndarray of int64, shape (N + 1,)
        Subset k holds the rows ``offsets[k]`` to ``offsets[k + 1]``, at least one.
    backend : Backend
        Array library and dtype.
    digest, reading : str
        Of the data that were read; empty if they were drawn.

    Raises
    ------
    DataError
        A number is too large for the backend's dtype.
    """

    def __init__(
        self,
        features: HostFloats,
        targets: HostFloats,
        offsets: HostInts,
        backend: Backend,
        *,
        digest: str = "",
        reading: str = "",
    ) -> None:
        self.digest = digest
        self.reading = reading
        sizes = np.diff(offsets)
        self._backend = backend
        self._features = backend.asarray(_narrowed(features, backend))
        self._targets = backend.asarray(_narrowed(targets, backend))
        self._offsets: list[int] = offsets.tolist()
        self._weights = np.repeat(1.0 / (len(sizes) * sizes), sizes)
        self._weights_there = backend.asarray(self._weights, dtype=np.float64)
        equal = bool((sizes == sizes[0]).all())
        if backend.kind == "cupy":
            self._write = self._equal_sizes if equal else self._one_by_one
        else:
            gather = equal and sizes[0] == 1 and self.dimension <= _LONG_ROW
            self._write = self._single_samples if gather else self._one_by_one

    @property
    def num_subsets(self) -> int:
        """N, the number of data subsets."""
        return len(self._offsets) - 1

    @property
    def dimension(self) -> int:
        """Q, the number of features, the intercept included."""
        return int(self._features.shape[1])

    @property
    def num_samples(self) -> int:
        """Number of samples in all subsets together."""
        return int(self._features.shape[0])

    @cached_property
    def optimum(self) -> HostFloats | None:
        """The minimiser of F of least norm, shape (Q,), float64 on the host, read-only.

        It is solved for when first asked for, from the samples as the backend
        holds them. None where n·Q·min(n, Q) > 5·10⁹, with n samples in all,
        which would take more than a few seconds.
        """
        n, Q = self._features.shape
        if n * Q * min(n, Q) > _SOLVABLE:
            return None
        roots = np.sqrt(self._weights)
        A = to_host(self._features) * roots[:, None]
        b = to_host(self._targets) * roots
        solution: HostFloats = np.linalg.lstsq(A, b)[0]
        solution.flags.writeable = False
        return solution

    def initial_model(self) -> Array:
        """Return zeros, shape (Q,), in the backend's dtype."""
        return self._backend.xp.zeros(self.dimension, dtype=self._backend.dtype)

    def gradients(self, model: Array, subsets: HostInts, out: Array) -> None:
        """Write ∇f_k(model) for each named subset.

        Parameters
        ----------
        model : array, shape (Q,)
            The point x.
        subsets : ndarray of int64, shape (n,)
            Subset numbers, repetitions allowed.
        out : array, shape (n, Q)
            Receives the gradients; C-contiguous, in the backend's dtype.

        Raises
        ------
        IndexError
            There is no such subset.
        ValueError
            ``out`` is of another shape, layout or dtype.

        Notes
        -----
        ∇f_k(x) = (1/m_k) Σ_j (⟨z_j, x⟩ − y_j) z_j. On the host, every sum is
        one BLAS call whose operands have the same shape and layout however
        many rows are asked for, so row i has the same bits in every batch,
        given the same number of BLAS threads.
        """
        if subsets.size and (subsets.min() < 0 or subsets.max() >= self.num_subsets):
            raise IndexError(f"subset numbers must lie in 0…{self.num_subsets - 1}")
        shape = (len(subsets), self.dimension)
        if out.shape != shape or out.dtype != self._backend.dtype or not out.flags.c_contiguous:
            raise ValueError(
                f"out must be a C-contiguous {self._backend.dtype} array of shape {shape}"
            )
        x = self._backend.xp.ascontiguousarray(model, dtype=self._backend.dtype)
        # A run that diverges is seen in its values, not in warnings on every rank.
        with np.errstate(over="ignore", invalid="ignore"):
            self._write(x, subsets, out)

    def loss(self, model: Array) -> float:
        """Return F(model), accumulated in float64 whatever the dtype."""
        xp = self._backend.xp
        x = xp.asarray(model, dtype=np.float64)
        step = max(1, _LOSS_BLOCK // self.dimension)
        total = 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, self.num_samples, step):
                rows = slice(start, start + step)
                features = self._features[rows].astype(np.float64, copy=False)
                residuals = features @ x - self._targets[rows]
                total += float(xp.dot(self._weights_there[rows], residuals * residuals))
        return total / 2

    def _single_samples(self, x: Array, subsets: HostInts, out: Array) -> None:
        np.take(self._features, subsets, axis=0, out=out, mode="clip")
        residuals = np.vecdot(out, x)
        residuals -= self._targets[subsets]
        np.multiply(out, residuals[:, None], out=out)

    def _one_by_one(self, x: Array, subsets: HostInts, out: Array) -> None:
        dot = self._backend.xp.dot
        for row, k in zip(out, subsets.tolist(), strict=True):
            start, stop = self._offsets[k], self._offsets[k + 1]
            features = self._features[start:stop]
            residuals = dot(features, x)
            residuals -= self._targets[start:stop]
            residuals /= stop - start
            dot(residuals, features, out=row)

    def _equal_sizes(self, x: Array, subsets: HostInts, out: Array) -> None:
        blocks = self._features.reshape(self.num_subsets, -1, self.dimension)
        targets = self._targets.reshape(self.num_subsets, -1)
        step = max(1, _GATHERED // int(blocks[0].size))
        for start in range(0, len(subsets), step):
            chosen = self._backend.xp.asarray(subsets[start : start + step])
            features = blocks[chosen]
            residuals = (features * x).sum(axis=2) - targets[chosen]
            features *= residuals[:, :, None]
            out[start : start + step] = features.mean(axis=1)


def _standardize(features: HostFloats, source: str) -> None:
    """Shift and scale columns to mean 0 and variance 1, in place."""
    largest = np.maximum(features.max(axis=0), -features.min(axis=0))
    with np.errstate(over="ignore", invalid="ignore"):
        features -= features.mean(axis=0)
        deviations = features.std(axis=0)
    if not np.isfinite(deviations).all():
        column = int(np.argmin(np.isfinite(deviations)))
        raise DataError(
            f"data {source!r}: feature {column} (counted from 0) has values too large to "
            "standardize",
            hint="rescale that feature",
        )
    # Rounding leaves a constant feature with a tiny deviation, which must not be blown up.
    constant = deviations <= 1e-13 * largest
    features /= np.where(constant, 1.0, deviations)
    features[:, constant] = 0.0


def _narrowed(values: HostFloats, backend: Backend) -> HostFloats:
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(values, dtype=backend.dtype)
    if not np.isfinite(narrow).all():
        raise DataError(
            f"the data hold numbers too large for {backend.dtype}",
            hint='rescale the data, or set backend.dtype = "float64"',
        )
    return narrow
