"""Linear regression on synthetic data of chosen heterogeneity, or on real data."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

from annotated_types import Ge, Le

from lad_mpi.errors import ParameterError
from lad_mpi.parameters import Count, Example, Positive, check_parameters
from lad_mpi.data import datasets
from lad_mpi.data.base import GradientWork
from lad_mpi.data.columns import TableKeys
from lad_mpi.models.linear_regression import LeastSquares
from lad_mpi.data.partition import PartitionKind, partition
from lad_mpi.data.prepare import draw, with_features

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.rng import Streams

_SYNTHETIC = "synthetic"
_SYNTHETIC_DEFAULTS = {"dimension": 100, "samples_per_subset": 1, "heterogeneity": 0.1}
_OF_TABLES = ("target", "header", "index")
_CONCENTRATION = 1.0

#: Beyond it the squares of residuals leave the range of floating point.
_LARGEST_SPREAD = 1e100
_Spread: TypeAlias = Annotated[float, Ge(0), Le(_LARGEST_SPREAD)]
#: The number of a column.
_Column: TypeAlias = Annotated[int, Ge(1)]


@dataclass(frozen=True, slots=True)
class LinearRegression:
    r"""Least squares; f_k is the mean loss over the samples of subset k.

    Parameters
    ----------
    dimension : int, optional
        Q of synthetic data; 100 if left out. Real data have their own.
    samples_per_subset : int, optional
        m, the samples of a subset of synthetic data; 1 if left out.
    heterogeneity : float, optional
        σ_H of synthetic data: how far the true models of the subsets lie apart; 0.1 if
        left out.
    data : str
        ``"synthetic"``, ``"diabetes"`` (bundled with scikit-learn), or the path of a
        ``.npz``, ``.csv``, ``.h5`` or LIBSVM text file; see docs/data.md.
    target : str or int, optional
        The column of a table to predict, by name or by number, counted from 1. If left
        out, the column named ``y``, or else the last.
    header : bool, optional
        Whether the first line of a table names the columns. If left out, the line itself
        decides.
    index : bool, str or int, optional
        The column of a table that only names or numbers the samples and is not a feature:
        the first (``true``), none (``false``), or one by name or number. If left out, the
        file decides.
    partition : {"shuffled", "sorted", "dirichlet"}
        How real data are split: at random, by target, or each tenth of the targets in
        proportions drawn from a Dirichlet distribution.
    concentration : float, optional
        Parameter of the Dirichlet distribution of ``partition = "dirichlet"``; 1 if left
        out. A smaller one makes the subsets less alike.
    standardize : bool
        Whether features of real data are shifted and scaled to mean 0 and variance 1.
        Constant features become 0. Targets are not changed.
    intercept : bool
        Whether a last feature that is 1 everywhere is added to real data.

    Raises
    ------
    ParameterError
        A parameter is out of range, or belongs to the other kind of data.

    Notes
    -----
    The subset losses are

    .. math:: f_k(x) = \frac{1}{m_k} \sum_{j \in k} \tfrac12
              (\langle z_j, x \rangle - y_j)^2

    and F is the mean of the f_k. If the m_k differ, samples of small subsets therefore
    have more weight in F than samples of large ones.

    Synthetic data are z ~ N(0, 10² I), x̄ ~ N(0, I), x̄_k = x̄ + σ_H ε_k with
    ε_k ~ N(0, I) and y = ⟨z, x̄_k⟩ + N(0, 1). The sizes and the role of σ_H
    follow the published comparison. The exact draw is this suite's own. Each subset has a
    random stream of its own, and problems that differ only in σ_H share z, x̄, ε and the
    noise.

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
        """Refuse values out of range, and parameters that would have no effect."""
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
        """Whether the data are drawn, not read."""
        return self.data == _SYNTHETIC

    @property
    def declared_dimension(self) -> int | None:
        """Q if it is known before the data are read, else None."""
        return self.dimension

    @property
    def gradient_work(self) -> GradientWork | None:
        """Two products of a subset's (m, Q) features with a vector; None for real data."""
        if self.samples_per_subset is None or self.dimension is None:
            return None
        numbers = self.samples_per_subset * self.dimension
        return GradientWork(self.samples_per_subset, 4 * numbers, numbers, "gemv")

    def load(self, num_subsets: int, streams: Streams, backend: Backend) -> LeastSquares:
        """Draw or read the samples and split them into subsets.

        Parameters
        ----------
        num_subsets : int
            N.
        streams : Streams
            The run's random streams.
        backend : Backend
            Memory and dtype of the samples. They are always drawn and prepared in float64.

        Raises
        ------
        DataError
            The data cannot be read, or have fewer samples than subsets.
        """
        if self.synthetic:
            Q, m, sigma = self.dimension, self.samples_per_subset, self.heterogeneity
            # The constructor has filled in the defaults.
            return LeastSquares(*draw(num_subsets, Q or 0, m or 0, sigma or 0.0, streams), backend)
        samples = with_features(
            datasets.read(self.data, self._table_keys),
            num_subsets,
            self.data,
            standardize=self.standardize,
            intercept=self.intercept,
        )
        alpha = self.concentration or _CONCENTRATION
        split = partition(
            samples.targets, num_subsets, streams, kind=self.partition, concentration=alpha
        )
        return LeastSquares(
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
            See :func:`lad_mpi.data.readers.digest`; empty for synthetic data.

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
        # The log must name the numbers that are used, including defaults.
        defaults: dict[str, float] = _SYNTHETIC_DEFAULTS if self.synthetic else {}
        if self.partition == "dirichlet":
            defaults = {"concentration": _CONCENTRATION}
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
