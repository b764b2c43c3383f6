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
        The formula, for people; r stands for f/(n − 2f), k for ⌊(n + 1)/2⌋. Empty where
        none is known.
    value : callable
        The number for n and f: infinity where there is none, NaN where none is known.
    condition : str
        The parameters of the rule that it is proven for, to follow the formula: "with …". Empty
        if it holds for all.
    """

    formula: str
    value: Callable[[int, int], float]
    condition: str = ""


def kappa(
    kind: str,
    num_devices: int,
    num_byzantine: int,
    *,
    nnm: bool = False,
    published: bool = False,
) -> float:
    r"""Return the sharpest proven κ of a rule, or the published one.

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
    published : bool
        Whether to return the κ of Allouah et al., which four rules have, instead of the
        sharpest.

    Returns
    -------
    float
        Infinity if the rule is known to have no finite κ, NaN if none is known to this
        table.

    Raises
    ------
    ParameterError
        Faults are negative in number or not a minority.

    Notes
    -----
    With r = f/(n − 2f) and k = ⌊(n + 1)/2⌋:

    ==================  =========================  ===========
    rule                sharpest                   published
    ==================  =========================  ===========
    trimmed_mean        r                          6 r (1 + r)
    krum                6 (1 + r)                  6 (1 + r)
    geometric_median    4 (1 + r)²                 4 (1 + r)²
    median              (k − 1) / (n − f − k + 1)  4 (1 + r)²
    meamed              4 f / (n − f − k + 1)      none
    smea                4 r                        none
    mda                 8 f² / (n − f)             none
    after nnm           8 f / (n − f) (κ + 1)      the same
    ==================  =========================  ===========

    Those of ``trimmed_mean`` and ``median`` are attained: no smaller κ holds.

    *Trimmed mean.* Sort the honest values of one coordinate. At most f hostile values lie
    below or above an honest one, so the value that is kept in place f + i lies between the
    honest ones in places i and f + i. The result thus lies between the means of the
    n − 2f lowest and of the n − 2f highest honest values, and each of these differs from
    the honest mean by at most √r of the standard deviation (Cauchy and Schwarz).

    *Median.* For n odd the result lies between the honest values in places k − f and k.
    If n − f − k + 1 of n − f numbers lie at least a above the mean of all, a² is at most
    (k − 1)/(n − f − k + 1) of their variance; below the mean it is the mirror image. For n
    even the result is the mean of two adjacent places. The bound is the same, because the
    worst case has equal values in both.

    *Meamed.* The n − f values that are kept and the n − f honest ones differ in at most f
    pairs, and of each pair the kept value x is no further from the median m than the
    honest value y, so :math:`|x - y| ≤ 2 |y - m|`. With Cauchy and Schwarz κ is at most
    4 f/(n − f) (1 + κ of the median), which is the formula above.

    *Krum.* The bound is for the count of n − f − 1 neighbours. Its proof carries over to
    ``multi_krum``, which selects at most n − f rows: each selected row is bounded by its
    own score, the lowest scores are on average no greater than the honest ones, and the
    squared norm is convex. The proof bounds a selected row through the honest rows it was
    scored against, of which there are n − 2f; with the count of n − f − 2 there is one
    fewer, and the same steps give (3 + 2√2)(n − f)/(n − 2f − 1), which is below 6 (1 + r)
    from n − 2f = 35 on. For n = 2f + 1 and f ≥ 2 there is no finite κ with that count: f
    equal hostile rows have f − 1 others at distance zero, as many as are counted, and
    win. For n = 3 and f = 1 both counts are one neighbour, and 6 (1 + r) holds.

    *Geometric median.* The bound is for a smoothing that follows the spread of the
    messages, as by default. With a fixed ``smoothing`` there is none: if the honest
    messages are equal, hostile ones within that length of them still move the result.

    *SMEA.* The mean of n − 2f of n − f numbers differs from the mean of all by at most √r
    of their standard deviation. S and the chosen subset share n − 2f rows at least, and
    the latter's top eigenvalue is no greater than that of S, which is no greater than the
    dispersion: two steps of √r. *MDA.* At most f rows of S are exchanged for others, each
    within two diameters, by a row that both share; and the squared diameter of S is at
    most 2 (n − f) dispersions.

    ``centered_clipping`` has none for a threshold that does not depend on the messages: if
    all are equal it moves towards them and need not arrive. ``monna`` has none, because
    the row that it trusts may lie outside S. ``mean`` and ``norm_threshold`` have no
    finite κ for f > 0: one vector moves the mean anywhere, and f zeros among equal honest
    vectors, whose dispersion is nil, are the shortest. For f = 0 both are the mean, κ = 0.

    Examples
    --------
    >>> from lad_mpi.theory import kappa
    >>> kappa("krum", num_devices=100, num_byzantine=20)
    8.0
    >>> kappa("krum", num_devices=100, num_byzantine=20, nnm=True)
    18.0
    >>> round(kappa("median", 100, 20), 2)
    1.58
    >>> round(kappa("median", 100, 20, published=True), 2)
    7.11
    """
    lower_bound(num_devices, num_byzantine)
    table = PUBLISHED if published else KAPPA
    alone = table[kind].value(num_devices, num_byzantine) if kind in table else math.nan
    if not nnm or not math.isfinite(alone):
        return alone
    return 8 * num_byzantine / (num_devices - num_byzantine) * (alone + 1.0)


def _of_r(function: Callable[[float], float]) -> Callable[[int, int], float]:
    return lambda n, f: function(lower_bound(n, f))


def _median(n: int, f: int) -> float:
    k = (n + 1) // 2
    return (k - 1) / (n - f - k + 1)


def _meamed(n: int, f: int) -> float:
    return 4.0 * f / (n - f - (n + 1) // 2 + 1)


_MEAN = Bound("0 for f = 0, else ∞", lambda n, f: math.inf if f > 0 else 0.0)  # noqa: ARG005
_KRUM = Bound("6 (1 + r)", _of_r(lambda r: 6.0 * (1.0 + r)), 'with neighbours="n-f-1"')
_MEDIAN = Bound("4 (1 + r)²", _of_r(lambda r: 4.0 * (1.0 + r) ** 2))
_GEOMETRIC_MEDIAN = Bound(_MEDIAN.formula, _MEDIAN.value, "without a fixed smoothing")
_UNKNOWN = Bound("", lambda n, f: math.nan if f > 0 else 0.0)  # noqa: ARG005

#: The sharpest proven κ of each rule, in words and as a function of n and f.
KAPPA: dict[str, Bound] = {
    "mean": _MEAN,
    "trimmed_mean": Bound("r", lower_bound),
    "median": Bound("(k − 1) / (n − f − k + 1)", _median),
    "meamed": Bound("4 f / (n − f − k + 1)", _meamed),
    "geometric_median": _GEOMETRIC_MEDIAN,
    "krum": _KRUM,
    "multi_krum": _KRUM,
    "centered_clipping": Bound("∞", lambda n, f: math.inf),  # noqa: ARG005
    "mda": Bound("8 f² / (n − f)", lambda n, f: 8.0 * f**2 / (n - f)),
    "monna": _MEAN,
    "caf": _UNKNOWN,
    "smea": Bound("4 r", _of_r(lambda r: 4.0 * r)),
    "norm_threshold": _MEAN,
}

#: κ as published by Allouah et al., of the rules that they treat.
PUBLISHED: dict[str, Bound] = {
    "trimmed_mean": Bound("6 r (1 + r)", _of_r(lambda r: 6.0 * r * (1.0 + r))),
    "median": _MEDIAN,
    "geometric_median": _GEOMETRIC_MEDIAN,
    "krum": _KRUM,
}

#: κ of a rule after nearest-neighbour mixing, κ being that of the rule alone.
AFTER_NNM = "8 f / (n − f) (κ + 1)"
