"""Say for each quantity whether it became better or worse."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from analysis.compare.significance import LEVEL, Sample, adjusted_p, change_of_mean
from analysis.statistics import Interval, least_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.compare.replicates import Block
    from analysis.facts import Conditions
    from analysis.quantities import Quantity
    from lad_mpi.types import HostFloats

#: Units of quantities whose ratio is shown. Of others, the difference is shown.
_OF_RATIOS = ("s", "B")
_GREATEST_LOG = 700.0
#: Fewest launches on each of two sides of equal size that can decide.
_LEAST_UNPAIRED = 4


class Verdict(Enum):
    """What became of a quantity."""

    WORSE = "worse"
    BETTER = "better"
    EQUAL = "equal"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True, slots=True)
class Change:
    """The verdict on a quantity of a method.

    Parameters
    ----------
    method : str
        Label of the method, with conditions if it was timed under several.
    quantity : str
        Name of the quantity, as in ``lad-mpi analysis table --value``.
    units : str
        Its units.
    verdict : Verdict
        The verdict.
    reason : str
        Why.
    before, after : float
        Means; geometric means of times and bytes. NaN if there are no values.
    effect : Interval or None
        After over before for times and bytes, otherwise after minus before.
    is_ratio : bool
        Whether the effect is a ratio.
    replicates : tuple of int
        Numbers of replicates before and after.
    paired : bool
        Whether replicates were compared in pairs of the same seed.
    p : float
        Adjusted p-value; NaN without a test.
    regression : bool
        Whether it is worse, and by more than the tolerance.
    conditions : Conditions or None
        Conditions of a time.
    """

    method: str
    quantity: str
    units: str
    verdict: Verdict
    reason: str
    before: float = math.nan
    after: float = math.nan
    effect: Interval | None = None
    is_ratio: bool = False
    replicates: tuple[int, int] = (0, 0)
    paired: bool = False
    p: float = math.nan
    regression: bool = False
    conditions: Conditions | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """A quantity of a block."""

    block: Block
    quantity: Quantity
    before: HostFloats
    after: HostFloats

    @property
    def is_ratio(self) -> bool:
        return self.quantity.units in _OF_RATIOS

    @property
    def is_exact(self) -> bool:
        """Whether the quantity does not depend on the seed, so that no test is needed."""
        if self.quantity.is_timed:
            return False
        many = min(len(self.before), len(self.after)) > 1
        return (many or self.is_ratio) and np.ptp(self.before) == np.ptp(self.after) == 0

    @property
    def is_same(self) -> bool:
        return self.block.paired and np.array_equal(self.before, self.after)

    @property
    def sample(self) -> Sample:
        before, after = (np.log(x) if self.is_ratio else x for x in (self.before, self.after))
        return Sample(before[None], after[None], self.block.paired)

    @property
    def needs_test(self) -> bool:
        if _why_unusable(self) or self.is_same or self.is_exact or not self.quantity.better:
            return False
        return self.sample.decides


def judge(blocks: Sequence[Block], tolerance: float) -> list[Change]:
    """Return the verdicts on all quantities of all blocks.

    Parameters
    ----------
    blocks : sequence of Block
        Their quantities are tested together.
    tolerance : float
        Relative change that is no regression, 0.05 for 5 %.
    """
    rows = [
        _Row(block, *parts)
        for block in blocks
        for parts in zip(block.quantities, block.before, block.after, strict=True)
    ]
    tested = [row for row in rows if row.needs_test]
    samples = []
    for _, group in itertools.groupby(tested, key=lambda row: id(row.block)):
        of_block = [row.sample for row in group]
        before = np.concatenate([one.before for one in of_block])
        after = np.concatenate([one.after for one in of_block])
        samples.append(Sample(before, after, of_block[0].paired))
    p = dict(zip(map(id, tested), map(float, adjusted_p(samples)), strict=True))
    return [_judge(row, p.get(id(row), math.nan), tolerance) for row in rows]


def _why_unusable(row: _Row) -> str:
    missing = [int(np.isnan(side).sum()) for side in (row.before, row.after)]
    totals = [len(row.before), len(row.after)]
    if missing == totals:
        return "no log of this method has it"
    for side, other, place in (("BEFORE", "AFTER", 0), ("AFTER", "BEFORE", 1)):
        if missing[place] == totals[place]:
            return f"only {other} has it"
        if missing[place]:
            return f"{missing[place]} of {totals[place]} {row.block.unit} of {side} lack it"
    values = np.concatenate([row.before, row.after])
    if not np.isfinite(values).all():
        counts = [int(np.isinf(side).sum()) for side in (row.before, row.after)]
        return f"infinite for {counts[0]} {row.block.unit} before and {counts[1]} after"
    if row.is_ratio and (values <= 0).any():
        return "some values are 0, so that there is no ratio"
    return ""


def _judge(row: _Row, p: float, tolerance: float) -> Change:
    known = Change(
        method=row.block.label,
        quantity=row.quantity.name,
        units=row.quantity.units,
        verdict=Verdict.NOT_COMPARABLE,
        reason=_why_unusable(row),
        is_ratio=row.is_ratio,
        replicates=(len(row.before), len(row.after)),
        paired=row.block.paired,
        conditions=row.block.conditions,
    )
    if known.reason:
        return known
    sample = row.sample
    effect = change_of_mean(sample.before[0], sample.after[0], paired=sample.paired)
    means = [float(side.mean()) for side in (row.before, row.after)]
    if row.is_ratio:
        effect = Interval(_exp(effect.value), _exp(effect.low), _exp(effect.high), effect.coverage)
        means = [_geometric_mean(side) for side in (row.before, row.after)]
    relative = effect.value - 1 if row.is_ratio else _relative(effect.value, means[0])
    worse = (relative if row.quantity.better == "lower" else -relative) > 0
    verdict, reason = _decide(row, p, worse, effect, tolerance)
    return dataclasses.replace(
        known,
        verdict=verdict,
        reason=reason,
        before=means[0],
        after=means[1],
        effect=effect,
        p=p,
        regression=verdict is Verdict.WORSE and abs(relative) > tolerance,
    )


def _decide(  # noqa: PLR0911  (one line for each verdict)
    row: _Row, p: float, worse: bool, effect: Interval, tolerance: float
) -> tuple[Verdict, str]:
    changed = Verdict.WORSE if worse else Verdict.BETTER
    if row.is_same and not row.quantity.is_timed:
        return Verdict.EQUAL, f"the same bits for all seeds in common ({len(row.before)})"
    if not row.quantity.better:
        return Verdict.INCONCLUSIVE, "neither direction is better"
    if row.is_exact:
        same = row.before[0] == row.after[0]
        return Verdict.EQUAL if same else changed, "the value does not depend on the seed"
    if not row.sample.decides:
        return Verdict.INCONCLUSIVE, _too_few(row)
    if p <= LEVEL:
        return changed, "significant"
    if row.is_ratio and 1 / (1 + tolerance) <= effect.low and effect.high <= 1 + tolerance:
        return Verdict.EQUAL, "the interval is within the tolerance"
    return Verdict.INCONCLUSIVE, "no significant change"


def _too_few(row: _Row) -> str:
    unit, n, m = row.block.unit, len(row.before), len(row.after)
    if row.block.paired:
        return f"too few {unit}: {n} in common; {least_count(1 - LEVEL)} are needed"
    return f"too few {unit}: {n} and {m}; {_LEAST_UNPAIRED} on each side are needed"


def _relative(difference: float, before: float) -> float:
    if difference == 0:
        return 0.0
    return difference / abs(before) if before else math.copysign(math.inf, difference)


def _geometric_mean(values: HostFloats) -> float:
    # Without rounding if all values are equal.
    return float(values[0] * np.exp(np.log(values / values[0]).mean()))


def _exp(value: float) -> float:
    # The interval of two launches may be wider than the range of floating point.
    return math.exp(value) if value < _GREATEST_LOG else math.inf
