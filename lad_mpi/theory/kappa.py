r"""Robustness coefficients κ of aggregation rules.

A rule R is (f, κ)-robust if for all :math:`x_1 … x_n` and every set S of n − f of them

.. math::

    \lVert R(x_1, …, x_n) - \bar x_S \rVert^2
    ≤ \frac{κ}{|S|} \sum_{i \in S} \lVert x_i - \bar x_S \rVert^2 .

With r = f/(n − 2f), no rule has κ < r.

References
----------
Allouah, Farhadkhani, Guerraoui, Gupta, Pinot, Stephan, "Fixing by mixing",
arXiv:2302.01772.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable


def lower_bound(num_devices: int, num_byzantine: int) -> float:
    """Return r = f/(n − 2f), the κ below which no rule can be.

    Parameters
    ----------
    num_devices : int
        n.
    num_byzantine : int
        f.

    Raises
    ------
    ParameterError
        Faults are negative in number or not a minority.
    """
    if not 0 <= 2 * num_byzantine < num_devices:
        raise ParameterError(
            "num_byzantine",
            f"must be at least 0 and fewer than half of {num_devices}, not {num_byzantine}",
        )
    return num_byzantine / (num_devices - 2 * num_byzantine)


@dataclass(frozen=True, slots=True)
class Bound:
    """A proven κ.

    Parameters
    ----------
    formula : str
        The formula, for people; r stands for f/(n − 2f). Empty where none is known.
    value : callable
        The number for n and f: infinity where there is none, NaN where none is known.
    condition : str
        The parameters of the rule for which it is proven; empty where for all.
    """

    formula: str
    value: Callable[[int, int], float]
    condition: str = ""


def kappa(kind: str, num_devices: int, num_byzantine: int, *, nnm: bool = False) -> float:
    r"""Return the best κ that is proven for a rule.

    Parameters
    ----------
    kind : str
        Name of the rule, ``"trimmed_mean"``.
    num_devices : int
        n.
    num_byzantine : int
        f.
    nnm : bool
        Whether nearest-neighbour mixing comes first.

    Returns
    -------
    float
        Infinity where the rule is known to have no finite κ, NaN where none
        is known to this table.

    Raises
    ------
    ParameterError
        Faults are negative in number or not a minority.

    Notes
    -----
    Published for the first four and for ``nnm``, with r = f/(n − 2f):

    ==================  =====================
    trimmed_mean        6 r (1 + r)
    krum                6 (1 + r)
    geometric_median    4 (1 + r)²
    median              4 (1 + r)²
    smea                4 r
    mda                 8 f² / (n − f)
    after nnm           8 f / (n − f) (κ + 1)
    ==================  =====================

    Krum's is for the count of n − f − 1 neighbours. Its proof carries over to
    ``multi_krum`` with m ≤ n − f rows: each selected row is bounded by its own
    score, the m lowest scores are on average no greater than the honest ones,
    and the squared norm is convex. The proof bounds a selected row through the
    honest rows it was scored against, of which there are n − 2f; with the
    count of n − f − 2 there is one fewer, and the same steps give
    (3 + 2√2)(n − f)/(n − 2f − 1), which is below 6 (1 + r) from n − 2f = 35 on.
    It is infinite for n = 2f + 1, and rightly: f equal hostile rows then have
    f − 1 others at distance zero, as many as are counted, and win.

    That of ``smea`` follows from a fact about one direction: the mean of n − 2f
    of n − f numbers differs from the mean of all by at most √r of their standard
    deviation. S and the subset that is chosen share n − 2f rows at least, and
    the latter's top eigenvalue is no greater than that of S, which is no greater
    than the dispersion: two steps of √r. For ``mda``, at most f rows of S are
    exchanged for others, each within two diameters, by a row that both share;
    and the squared diameter of S is at most 2 (n − f) dispersions.

    ``centered_clipping`` has none for a threshold that does not depend on the
    messages: where all are equal it moves towards them and need not arrive.
    ``monna`` has none, because the row that it trusts may lie outside S.

    ``mean`` and ``norm_threshold`` have no finite κ for f > 0: one vector
    moves the mean anywhere, and f zeros among equal honest vectors, whose
    dispersion is nil, are the shortest. For f = 0 both are the mean, κ = 0.

    Examples
    --------
    >>> from lad_mpi.theory import kappa
    >>> kappa("krum", num_devices=100, num_byzantine=20)
    8.0
    >>> kappa("krum", num_devices=100, num_byzantine=20, nnm=True)
    18.0
    """
    lower_bound(num_devices, num_byzantine)
    alone = KAPPA[kind].value(num_devices, num_byzantine) if kind in KAPPA else math.nan
    if not nnm or not math.isfinite(alone):
        return alone
    return 8 * num_byzantine / (num_devices - num_byzantine) * (alone + 1.0)


def _of_r(function: Callable[[float], float]) -> Callable[[int, int], float]:
    return lambda n, f: function(lower_bound(n, f))


_MEAN = Bound("0 for f = 0, else ∞", lambda n, f: math.inf if f > 0 else 0.0)  # noqa: ARG005
_KRUM = Bound("6 (1 + r)", _of_r(lambda r: 6.0 * (1.0 + r)), 'neighbours="n-f-1"')
_MEDIAN = Bound("4 (1 + r)²", _of_r(lambda r: 4.0 * (1.0 + r) ** 2))
_UNKNOWN = Bound("", lambda n, f: math.nan if f > 0 else 0.0)  # noqa: ARG005

#: κ of each rule, in words and as a function of n and f.
KAPPA: dict[str, Bound] = {
    "mean": _MEAN,
    "trimmed_mean": Bound("6 r (1 + r)", _of_r(lambda r: 6.0 * r * (1.0 + r))),
    "median": _MEDIAN,
    "meamed": _UNKNOWN,
    "geometric_median": _MEDIAN,
    "krum": _KRUM,
    "multi_krum": _KRUM,
    "centered_clipping": Bound("∞", lambda n, f: math.inf),  # noqa: ARG005
    "mda": Bound("8 f² / (n − f)", lambda n, f: 8.0 * f**2 / (n - f)),
    "monna": _MEAN,
    "caf": _UNKNOWN,
    "smea": Bound("4 r", _of_r(lambda r: 4.0 * r)),
    "norm_threshold": _MEAN,
}

#: κ of a rule after nearest-neighbour mixing, κ being that of the rule alone.
AFTER_NNM = "8 f / (n − f) (κ + 1)"
