"""Geometric median by smoothed Weiszfeld iterations in n-space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Lt

from lad_mpi.aggregation.base import Aggregated, check_messages
from lad_mpi.aggregation.coordinates import num_numbers
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.gram import measure, nearest
from lad_mpi.aggregation.mixture import Mixture
from lad_mpi.aggregation.rows import is_small, lengths, measure_lengths
from lad_mpi.columns import length, serial_linear_algebra
from lad_mpi.parameters import Count, CountOrZero, Example, Positive, check_parameters
from lad_mpi.types import Metric

if TYPE_CHECKING:
    from lad_mpi.aggregation.gram import Geometry
    from lad_mpi.types import Array, HostFloats

# Below the spread by as much as distances in n-space can resolve.
_RELATIVE_SMOOTHING = 1e-6
# Within these, squares and reciprocals of ν are representable.
_SMOOTHING_RANGE = (1e-150, 1e150)
# So many numbers are read in each step faster than their Gram matrix is formed once.
_DIRECT_UP_TO = 200_000
# More numbers if the steps are few: so many in all steps.
_READ_UP_TO = 6_000_000


@dataclass(frozen=True, slots=True, eq=False)
class GeometricMedianSolution:
    """A geometric median and how it was reached.

    Parameters
    ----------
    estimate : array, shape (Q,)
        The last iterate, or a message that is nearer to the geometric median.
    num_iterations : int
        Weiszfeld steps that were taken.
    residual : float
        Norm of the mean unit vector from the iterate before the last towards
        the messages, which is zero at the geometric median; infinite where
        that iterate was the origin. Where m of the n messages are the estimate,
        what this norm over the others exceeds m/n by.
    """

    estimate: Array
    num_iterations: int
    residual: float


@dataclass(frozen=True, slots=True)
class GeometricMedian:
    r"""Find the point with the least sum of distances to all messages.

    Parameters
    ----------
    num_byzantine : int
        f. It is checked, but the result does not depend on it.
    tolerance : float
        Stop when the norm of the mean unit vector towards the messages is at most this.
        The vector is the gradient of the mean distance, with a norm from 0 to 1. With 0
        the rule takes all ``max_iterations`` steps.
    max_iterations : int
        Largest number of steps.
    smoothing : float, optional
        ν; a shorter distance counts as ν. If left out, it is 1e-6 times the radius of
        the tightest majority of messages.
    start : {"majority", "zero"}
        First point: the mean of the tightest ⌊n/2⌋ + 1 messages, or the origin.

    Notes
    -----
    .. math::

        R(x_1, …, x_n) = \arg\min_z \sum_i \lVert x_i - z \rVert, \qquad
        z ← \frac{\sum_i x_i / \max(ν, \lVert x_i - z \rVert)}
                  {\sum_i 1 / \max(ν, \lVert x_i - z \rVert)}.

    Every iterate is a convex combination :math:`z = \sum_i w_i x_i`, so with G
    the Gram matrix of the messages all distances follow from w alone,

    .. math:: \lVert x_i - z \rVert^2 = G_{ii} - 2 (G w)_i + w^⊤ G w.

    The steps shrink geometrically, unless the geometric median lies at or very near a
    message and the others almost balance there. If the steps run out and no
    ``smoothing`` is given, the rule tests the messages as well. A point at which m
    messages coincide is the geometric median if and only if the unit vectors from it
    towards the others add up to a length of at most m. The message that comes closest
    to this is returned if its residual is less than that of the last iterate.
    :meth:`solve` returns the final residual, and a run records it.

    A majority of identical messages is the geometric median itself. It is returned at
    once, unless ``smoothing`` is given. ByzFL's rule is
    ``GeometricMedian(smoothing=0.1, max_iterations=3, tolerance=0.0, start="zero")``.

    References
    ----------
    Pillutla, Kakade, Harchaoui, "Robust aggregation for federated learning",
    arXiv:1912.13445.
    Weiszfeld, Plastria, "On the point for which the sum of the distances to n given
    points is minimum", doi:10.1007/s10479-008-0352-z.
    Vardi, Zhang, "The multivariate L1-median and associated data depth",
    doi:10.1073/pnas.97.4.1423.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import GeometricMedian
    >>> square = np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]])
    >>> GeometricMedian(num_byzantine=1)(square).round(6)
    array([1., 1.])
    """

    num_byzantine: CountOrZero = 0
    tolerance: Annotated[float, Ge(0), Lt(1)] = 1e-8
    max_iterations: Count = 1000
    smoothing: Annotated[Positive | None, Example(1e-6)] = None
    start: Literal["majority", "zero"] = "majority"

    kind: ClassVar[str] = "geometric_median"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=2, Q=1), Term(n=2, steps="T"))
    reported: ClassVar[tuple[Metric, ...]] = (
        Metric("rule_iterations", "1", "steps of the rule", "lower"),
        Metric("rule_residual", "1", "residual of the rule", "lower"),
    )

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Aggregate messages of shape (n, Q) into shape (Q,)."""
        return self.solve(messages).estimate

    def aggregate(self, messages: Array, state: Array | None) -> Aggregated:  # noqa: ARG002
        """Aggregate messages of shape (n, Q), and report the steps and the residual."""
        solution = self.solve(messages)
        numbers = (float(solution.num_iterations), solution.residual)
        return Aggregated(solution.estimate, None, numbers)

    def solve(self, messages: Array) -> GeometricMedianSolution:
        """Aggregate messages of shape (n, Q), and say how many steps it took.

        Returns
        -------
        GeometricMedianSolution

        Raises
        ------
        ParameterError
            2f ≥ n.
        ValueError
            The array is not two-dimensional and floating, or is empty.
        """
        check_messages(messages, self.num_byzantine)
        most = max(_DIRECT_UP_TO, _READ_UP_TO // self.max_iterations)
        small = isinstance(messages, np.ndarray) and num_numbers(messages) <= most
        if small and self.start == "zero" and self.smoothing is not None:
            return self._solve_directly(messages, self.smoothing)
        geometry = measure(messages)
        radius = math.sqrt(geometry.squared_radii[geometry.tightest])
        if self.smoothing is not None:
            shortest = self.smoothing / geometry.rows.unit
        elif radius > 0.0:
            shortest = _RELATIVE_SMOOTHING * radius
        else:
            equal = geometry.rows.messages[geometry.tightest].copy()
            return GeometricMedianSolution(equal, 0, 0.0)
        shortest = _within_range(shortest)
        with serial_linear_algebra(messages):
            weights, num_iterations, residual = self._weights(geometry, shortest)
            if residual > self.tolerance and self.smoothing is None:
                row, at_row = _best_row(geometry, shortest)
                if at_row < residual:
                    estimate = geometry.rows.messages[row].copy()
                    return GeometricMedianSolution(estimate, num_iterations, at_row)
        estimate = geometry.combine(weights * geometry.rows.shrinkage)
        return GeometricMedianSolution(estimate, num_iterations, residual)

    def _solve_directly(self, messages: Array, smoothing: float) -> GeometricMedianSolution:
        """Iterate on z itself, from the origin: exact also where rows are far from the others."""
        # In float32 the steps would not come to rest.
        wide = messages.astype(np.float64, copy=False)
        estimate = None
        num_iterations, residual = 0, math.inf
        while estimate is None or (
            num_iterations < self.max_iterations and residual > self.tolerance
        ):
            rows, distances = measure_lengths(wide, estimate)
            pulls = 1.0 / np.maximum(distances, _within_range(smoothing / rows.unit))
            total = pulls.sum()
            moved = Mixture(rows, None, pulls / total * rows.shrinkage).whole()
            if estimate is not None:
                advance = (moved - estimate) / rows.unit
                moved_by = math.sqrt(advance @ advance) if is_small(wide) else length(advance)
                residual = float(total / len(wide) * moved_by)
            estimate = moved
            num_iterations += 1
        found = estimate.astype(messages.dtype, copy=False)
        return GeometricMedianSolution(found, num_iterations, residual)

    def _weights(self, geometry: Geometry, shortest: float) -> tuple[HostFloats, int, float]:
        """Iterate on the weights w; return them, the number of steps and the residual."""
        from lad_mpi.aggregation import kernels_gram  # noqa: PLC0415  (imports Numba)

        gram, num_iterations = geometry.gram, 0
        if self.start == "zero":
            # The origin is no combination of rows, but the first step from it is.
            weights = 1.0 / np.maximum(lengths(geometry.rows), shortest)
            weights /= weights.sum()
            num_iterations = 1
        else:
            majority = len(gram) // 2 + 1
            around = geometry.squared_distances[geometry.tightest][None]
            weights = nearest(around, majority)[0] / majority
        more, residual = kernels_gram.weiszfeld(
            gram, weights, shortest, self.tolerance, self.max_iterations - num_iterations
        )
        return weights, num_iterations + more, residual


def _best_row(geometry: Geometry, shortest: float) -> tuple[int, float]:
    """Find the row with the least residual, the lowest of several, and that residual."""
    distances = np.sqrt(geometry.squared_distances)
    away = distances > shortest
    # From row k the unit vectors towards the others add up to Σ_i p_ki (x_i − x_k).
    pulls = np.divide(1.0, distances, out=np.zeros_like(distances), where=away)
    np.fill_diagonal(pulls, -pulls.sum(axis=1))
    lengths_squared = ((pulls @ geometry.gram) * pulls).sum(axis=1)
    num_rows = len(pulls)
    equal = num_rows - away.sum(axis=1)
    excess = np.sqrt(np.maximum(lengths_squared, 0.0)) - equal
    row = int(np.argmin(np.maximum(excess, 0.0)))
    return row, max(0.0, float(excess[row])) / num_rows


def _within_range(smoothing: float) -> float:
    return min(max(smoothing, _SMOOTHING_RANGE[0]), _SMOOTHING_RANGE[1])
