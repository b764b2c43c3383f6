"""Data that are drawn from the seed, with one knob for how much the subsets differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

import numpy as np
from annotated_types import Ge, Le

from lad_mpi.data.base import Dataset
from lad_mpi.parameters import Count, CountOrZero, check_parameters
from lad_mpi.rng import Purpose
from lad_mpi.types import LARGEST_COUNT, SampleForm, Task

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.rng import Streams
    from lad_mpi.types import HostFloats, HostInts

#: Beyond it the squares of residuals leave the range of floating point.
_LARGEST_SPREAD = 1e100
_Spread: TypeAlias = Annotated[float, Ge(0), Le(_LARGEST_SPREAD)]

#: Standard deviation of the features of the regression problem.
_FEATURE_SCALE = 10.0
#: Standard deviation of a logit of the common model.
_LOGIT_SCALE = 10.0


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Linear regression on drawn samples, whose true models differ between subsets.

    Parameters
    ----------
    dimension : int
        p, the number of features.
    samples_per_subset : int
        m, the number of samples of each subset.
    heterogeneity : float
        σ_H: how far the true models of the subsets lie apart.
    test_samples : int
        Number of samples for testing.

    Raises
    ------
    ParameterError
        A parameter is out of range.

    Notes
    -----
    The samples of subset k are z ~ N(0, 10² I) and y = ⟨z, x̄_k⟩ + N(0, 1), with
    x̄_k = x̄ + σ_H ε_k, x̄ ~ N(0, I) and ε_k ~ N(0, I). The sizes and the role of σ_H follow
    the published comparison. The exact draw is this suite's own. Each subset has a random
    stream of its own. Data that differ only in σ_H share z, x̄, ε and the noise.

    The test samples follow the common model, y = ⟨z, x̄⟩ + N(0, 1). They have a stream of
    their own, so the training samples do not depend on their number.

    References
    ----------
    Li, Allouah, Guerraoui, Skoglund, Xiao, "Byzantine-robust and
    communication-efficient distributed training: compressive and cyclic gradient
    coding", arXiv:2603.28780.
    """

    dimension: Count = 100
    samples_per_subset: Count = 1
    heterogeneity: _Spread = 0.1
    test_samples: CountOrZero = 0

    kind: ClassVar[str] = "synthetic"
    task: ClassVar[Task] = "regression"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        check_parameters(self)

    @property
    def form(self) -> SampleForm:
        """A row of ``dimension`` features."""
        return SampleForm((self.dimension,))

    def draw(self, num_subsets: int, streams: Streams) -> Dataset:
        """Draw the samples of each subset, and those for testing.

        Parameters
        ----------
        num_subsets : int
            N.
        streams : Streams
            The run's random streams.
        """
        return self.draw_subsets(num_subsets, streams, np.arange(num_subsets))

    def draw_subsets(
        self,
        num_subsets: int,
        streams: Streams,
        subsets: HostInts,
        dtype: npt.DTypeLike = np.float64,
    ) -> Dataset:
        """Draw the samples of some subsets; see :class:`~lad_mpi.data.PartlyDrawnData`."""
        p, m = self.dimension, self.samples_per_subset
        common = streams.generator(Purpose.PROBLEM, device=0).standard_normal(p)
        features, targets = np.empty((num_subsets * m, p), dtype), np.zeros(num_subsets * m)
        for k in subsets.tolist():
            rows = slice(k * m, (k + 1) * m)
            generator = streams.generator(Purpose.PROBLEM, device=k + 1)
            # σ_H only scales ε, so everything else is the same for every σ_H.
            model = common + self.heterogeneity * generator.standard_normal(p)
            drawn = np.empty((m, p))
            targets[rows] = _responses(generator, model, drawn)
            features[rows] = drawn
        test = np.empty((self.test_samples, p))
        generator = streams.generator(Purpose.TEST_SPLIT)
        test_targets = _responses(generator, common, test)
        offsets = _even_offsets(num_subsets, m)
        return Dataset(features, targets, offsets, self.form, test, test_targets)


@dataclass(frozen=True, slots=True)
class SyntheticClassification:
    """Classification of drawn samples, whose true models differ between subsets.

    Parameters
    ----------
    classes : int
        C, the number of classes.
    dimension : int
        p, the number of features.
    samples_per_subset : int
        m, the number of samples of each subset.
    heterogeneity : float
        σ_H: how far the true models of the subsets lie apart. With 0 all subsets are alike.
        With 1 the difference from the common model is as large as the common model.
    test_samples : int
        Number of samples for testing.

    Raises
    ------
    ParameterError
        A parameter is out of range.

    Notes
    -----
    The features of all samples are z ~ N(0, I). The label of a sample of subset k is c with a
    probability proportional to exp((10/√p) (X_k z)_c), where X_k = X̄ + σ_H E_k. The entries of
    the C × p matrices X̄ and E_k are drawn from N(0, 1). A logit of the common model then has
    standard deviation 10, whatever the number of features. Each subset has a random stream of
    its own. Data that differ only in σ_H share the features, X̄, E and the random numbers
    that decide the labels.

    The test samples follow the common model X̄. They have a stream of their own, so the
    training samples do not depend on their number.
    """

    classes: Annotated[int, Ge(2), Le(LARGEST_COUNT)] = 10
    dimension: Count = 20
    samples_per_subset: Count = 20
    heterogeneity: _Spread = 0.1
    test_samples: CountOrZero = 1000

    kind: ClassVar[str] = "synthetic_classification"
    task: ClassVar[Task] = "classification"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        check_parameters(self)

    @property
    def form(self) -> SampleForm:
        """A row of ``dimension`` features, and ``classes`` classes."""
        return SampleForm((self.dimension,), self.classes)

    def draw(self, num_subsets: int, streams: Streams) -> Dataset:
        """Draw the samples of each subset, and those for testing.

        Parameters
        ----------
        num_subsets : int
            N.
        streams : Streams
            The run's random streams.
        """
        return self.draw_subsets(num_subsets, streams, np.arange(num_subsets))

    def draw_subsets(
        self,
        num_subsets: int,
        streams: Streams,
        subsets: HostInts,
        dtype: npt.DTypeLike = np.float64,
    ) -> Dataset:
        """Draw the samples of some subsets; see :class:`~lad_mpi.data.PartlyDrawnData`."""
        p, m, sizes = self.dimension, self.samples_per_subset, (self.classes, self.dimension)
        common = streams.generator(Purpose.PROBLEM, device=0).standard_normal(sizes)
        features = np.empty((num_subsets * m, p), dtype)
        targets = np.zeros(num_subsets * m, dtype=np.int64)
        for k in subsets.tolist():
            rows = slice(k * m, (k + 1) * m)
            generator = streams.generator(Purpose.PROBLEM, device=k + 1)
            # σ_H only scales E, so everything else is the same for every σ_H.
            model = common + self.heterogeneity * generator.standard_normal(sizes)
            drawn = np.empty((m, p))
            targets[rows] = _labels(generator, model, drawn)
            features[rows] = drawn
        test = np.empty((self.test_samples, p))
        test_targets = _labels(streams.generator(Purpose.TEST_SPLIT), common, test)
        return Dataset(
            features,
            targets,
            _even_offsets(num_subsets, m),
            self.form,
            test,
            test_targets,
            classes=tuple(map(str, range(self.classes))),
        )


def _responses(
    generator: np.random.Generator, model: HostFloats, features: HostFloats
) -> HostFloats:
    """Draw the features of a regression in place, and return their targets."""
    generator.standard_normal(out=features)
    features *= _FEATURE_SCALE
    # A sum outside BLAS: the data must not depend on a rank's number of threads.
    exact = (features * model).sum(axis=1)
    return np.asarray(exact + generator.standard_normal(len(features)))


def _labels(generator: np.random.Generator, model: HostFloats, features: HostFloats) -> HostInts:
    """Draw the features of a classification in place, and return their class numbers."""
    generator.standard_normal(out=features)
    # The largest logit plus Gumbel noise has the distribution of the softmax.
    scores = generator.gumbel(size=(len(features), len(model)))
    scale = _LOGIT_SCALE / np.sqrt(features.shape[1])
    for number, weights in enumerate(model):
        # A sum outside BLAS, as in _responses.
        scores[:, number] += scale * (features * weights).sum(axis=1)
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def _even_offsets(num_subsets: int, samples_per_subset: int) -> HostInts:
    return np.arange(num_subsets + 1, dtype=np.int64) * samples_per_subset
