"""Rules with one fault each are caught by the law that they break, and a sound one by none."""

import doctest
import functools
import itertools
import random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from lad_mpi import conformance, theory
from lad_mpi.aggregation import Aggregated, check_messages, finite_rows
from lad_mpi.conformance import rules as rules_module
from lad_mpi.conformance.rules import RuleLaws
from lad_mpi.errors import ParameterError
from lad_mpi.types import Metric

counter = itertools.count()


@dataclass(frozen=True)
class Sound:
    """A trimmed mean that keeps all laws."""

    num_byzantine: int = 0

    kind: ClassVar[str] = "sound"

    def __post_init__(self):
        if self.num_byzantine < 0:
            raise ParameterError("num_byzantine", "must be at least 0")

    def __call__(self, messages):
        check_messages(messages, self.num_byzantine)
        rows = np.sort(finite_rows(messages), axis=0)
        middle = rows[self.num_byzantine : len(rows) - self.num_byzantine]
        # Divided first, so that the largest numbers do not overflow.
        return (middle / len(middle)).sum(axis=0)

    @staticmethod
    def kappa(num_messages, num_byzantine):
        return num_byzantine / (num_messages - 2 * num_byzantine)


class SortsInPlace(Sound):
    def __call__(self, messages):
        result = super().__call__(messages)
        messages.sort(axis=0)
        return result


class ReturnsItsInput(Sound):
    def __call__(self, messages):
        return super().__call__(messages) if len(messages) > 1 else messages[0]


class WidensFloat32(Sound):
    def __call__(self, messages):
        return super().__call__(messages).astype(float)


class KeepsTheMatrix(Sound):
    def __call__(self, messages):
        return super().__call__(messages)[None]


class LetsNanThrough(Sound):
    def __call__(self, messages):
        check_messages(messages, self.num_byzantine)
        rows = np.sort(messages, axis=0)
        with np.errstate(all="ignore"):
            return rows[self.num_byzantine : len(rows) - self.num_byzantine].mean(axis=0)


class UsesAGlobalGenerator(Sound):
    def __call__(self, messages):
        result = super().__call__(messages)
        return result + result.dtype.type(1e-9) * np.random.random()  # noqa: NPY002


class SeedsPython(Sound):
    def __call__(self, messages):
        random.seed(0)
        return super().__call__(messages)


class Drifts(Sound):
    def __call__(self, messages):
        return super().__call__(messages) * messages.dtype.type(1 + 1e-3 * next(counter))


class TakesAnyNumberOfFaults(Sound):
    def __call__(self, messages):
        rows = finite_rows(messages)
        most = min(self.num_byzantine, (len(rows) - 1) // 2)
        return Sound(most)(rows)


class TakesNegativeFaults(Sound):
    def __post_init__(self):
        pass

    def __call__(self, messages):
        return Sound(max(0, self.num_byzantine))(messages)


class TakesIntegers(Sound):
    def __call__(self, messages):
        return super().__call__(messages.astype(float))


class ForgetsItsFaults(Sound):
    def __call__(self, messages):
        check_messages(messages, self.num_byzantine)
        return Sound()(messages)


class TrustsTheFirst(Sound):
    def __call__(self, messages):
        return 0.5 * (super().__call__(messages) + finite_rows(messages)[0])


class Shrinks(Sound):
    def __call__(self, messages):
        result = super().__call__(messages)
        return result / (1 + np.abs(result))


class AddsOne(Sound):
    def __call__(self, messages):
        return super().__call__(messages) + messages.dtype.type(1)


class PullsToZero(Sound):
    def __call__(self, messages):
        return super().__call__(messages) * messages.dtype.type(0.9)


class AlwaysTrims(Sound):
    def __call__(self, messages):
        return Sound(max(self.num_byzantine, (len(messages) - 1) // 4))(messages)


class DividesByTheLength(Sound):
    def __call__(self, messages):
        result = super().__call__(messages)
        length = np.abs(result).max()
        return result / length * length


@dataclass(frozen=True)
class AssumesAFault(Sound):
    num_byzantine: int = 1


@dataclass(frozen=True)
class HasNoKind:
    num_byzantine: int = 0

    def __call__(self, messages):
        return Sound(self.num_byzantine)(messages)


class Normalises(Sound):
    """Squares what it should scale first."""

    def __call__(self, messages):
        rows = finite_rows(messages)
        lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True))
        return super().__call__(np.where(lengths > 0, rows / lengths * lengths, rows))


class ReadsMemoryOrder(Sound):
    def __call__(self, messages):
        result = super().__call__(messages)
        return result if messages.flags.c_contiguous else 2 * result


class SumsFirst(Sound):
    def __call__(self, messages):
        check_messages(messages, self.num_byzantine)
        rows = np.sort(finite_rows(messages), axis=0)
        return rows[self.num_byzantine : len(rows) - self.num_byzantine].mean(axis=0)


class Boasts(ForgetsItsFaults):
    """Declares the κ of a trimmed mean, and is a mean."""


class BoastsBelowWhatIsPossible(Sound):
    @staticmethod
    def kappa(num_messages, num_byzantine):
        return 0.0


class BoastsALittle(Sound):
    """Declares nine tenths of the κ of a median, which the median attains."""

    def __call__(self, messages):
        check_messages(messages, self.num_byzantine)
        return np.median(finite_rows(messages), axis=0)

    @staticmethod
    def kappa(num_messages, num_byzantine):
        return 0.9 * theory.kappa("median", num_messages, num_byzantine)


@dataclass
class CanBeChanged:
    num_byzantine: int = 0

    kind: ClassVar[str] = "can_be_changed"

    def __call__(self, messages):
        return Sound(self.num_byzantine)(messages)


@dataclass(frozen=True)
class DefaultOfAnotherType(Sound):
    threshold: float = "1.0"


class SwallowsMisspeltParameters(Sound):
    def __init__(self, num_byzantine=0, **others):
        object.__setattr__(self, "num_byzantine", num_byzantine)


class ChangesItsState(Sound):
    def advance(self, messages, state):
        estimate = self(messages)
        if state is not None:
            state += 1
            estimate = 0.5 * (state + estimate)
        return estimate, estimate.copy()


@dataclass(frozen=True)
class ByColumns(Sound):
    """Sound, and adds rows one by one, so that it rounds alike whatever the number of columns."""

    def __call__(self, messages):
        check_messages(messages, self.num_byzantine)
        rows = np.sort(finite_rows(messages), axis=0)
        middle = rows[self.num_byzantine : len(rows) - self.num_byzantine]
        return functools.reduce(np.add, middle / len(middle))

    def column_kernel(self, num_messages):
        assert num_messages > 2 * self.num_byzantine
        return self


class AddsSingleColumnsPairwise(ByColumns):
    """What NumPy does where the rows of one column are adjacent in memory."""

    def __call__(self, messages):
        return Sound(self.num_byzantine)(messages)


class LooksAcrossColumns(ByColumns):
    def column_kernel(self, num_messages):
        return lambda block: self(block) + 1e-3 * block[0].mean(dtype=block.dtype)


class AnotherRuleByColumns(ByColumns):
    def column_kernel(self, num_messages):
        return ByColumns(max(0, self.num_byzantine - 1))


class WiderByColumns(ByColumns):
    def column_kernel(self, num_messages):
        return lambda block: self(block).astype(np.float64)


class SortsColumnsInPlace(ByColumns):
    def column_kernel(self, num_messages):
        def kernel(block):
            result = self(block)
            block.sort(axis=0)
            return result

        return kernel


class ComparesItsOwnColumns(Sound):
    works_on_columns: ClassVar = True

    def __call__(self, messages):
        return messages[np.argmin(np.linalg.norm(messages, axis=1))].copy()


@dataclass(frozen=True)
class Reports(Sound):
    """Sound, and reports how many rows it trimmed."""

    reported: ClassVar = (Metric("rule_trimmed", "1", "rows trimmed"),)

    def aggregate(self, messages, state):
        return Aggregated(self(messages), None, (2.0 * self.num_byzantine,))


class ReportsTooMuch(Reports):
    def aggregate(self, messages, state):
        return Aggregated(self(messages), None, (1.0, 2.0))


class ReportsUnderAnyName(Reports):
    reported: ClassVar = (Metric("loss", "1", "rows trimmed"),)


class ReportsOfAnotherRule(Reports):
    def aggregate(self, messages, state):
        return Aggregated(messages.mean(axis=0), None, (0.0,))


#: Each law, and the rules that break it.
class ForgetsTheNumberOfMessages(Sound):
    def column_kernel(self):
        return self


class SaysItsCostInWords(Sound):
    cost: ClassVar[str] = "O(n log n Q)"


BROKEN = {
    "contract": [HasNoKind, ForgetsTheNumberOfMessages, SaysItsCostInWords],
    "frozen": [CanBeChanged],
    "spec": [DefaultOfAnotherType],
    "misspelt": [SwallowsMisspeltParameters],
    "protocol": [HasNoKind],
    "knows_its_faults": [AssumesAFault],
    "negative_faults": [TakesNegativeFaults],
    "minority": [TakesAnyNumberOfFaults],
    "matrix": [TakesIntegers],
    "shape": [KeepsTheMatrix],
    "dtype": [WidensFloat32],
    "input": [SortsInPlace, ReturnsItsInput],
    "repeatable": [Drifts],
    "global_generators": [UsesAGlobalGenerator, SeedsPython],
    "memory_layout": [ReadsMemoryOrder],
    "scaling": [Shrinks],
    "scaling_to_the_ends": [Normalises],
    "translation": [PullsToZero],
    "order": [TrustsTheFirst],
    "equal_messages": [AddsOne],
    "mean_without_faults": [AlwaysTrims],
    "zeros": [DividesByTheLength],
    "huge_rows": [ForgetsItsFaults, Normalises],
    "largest_numbers": [SumsFirst],
    "largest_float32": [Normalises],
    "not_finite": [LetsNanThrough],
    "only_row_not_finite": [LetsNanThrough],
    "kappa": [Boasts, BoastsALittle, BoastsBelowWhatIsPossible],
    "state": [ChangesItsState],
    "servers": [ComparesItsOwnColumns],
    "report": [ReportsTooMuch, ReportsUnderAnyName, ReportsOfAnotherRule],
    "column_kernel": [
        AddsSingleColumnsPairwise,
        LooksAcrossColumns,
        AnotherRuleByColumns,
        WiderByColumns,
        SortsColumnsInPlace,
    ],
}


@pytest.mark.parametrize(
    ("law", "rule"), [(law, rule) for law, rules in BROKEN.items() for rule in rules]
)
def test_a_broken_rule_is_caught(complaint, law, rule):
    text = complaint(conformance.rule(rule), law)
    assert text.startswith(f"{rule.__name__} breaks the law {law!r}: ")


def test_every_law_of_rules_has_been_seen_to_fail():
    assert set(BROKEN) == set(conformance.laws(RuleLaws))


@pytest.mark.parametrize("rule", [Sound, ByColumns, Reports])
def test_the_sound_rule_keeps_all_laws(complaint, rule):
    suite = conformance.rule(rule)
    said = {law: complaint(suite, law) for law in conformance.laws(suite)}
    assert not {law: text for law, text in said.items() if text}


def test_a_complaint_says_the_law_in_words(complaint):
    words, _, details = complaint(conformance.rule(SortsInPlace), "input").partition("\n")
    assert words == (
        "SortsInPlace breaks the law 'input': The messages are not changed, and the result "
        "has its own memory."
    )
    assert details.startswith("ValueError: ")


def test_only_laws_that_apply_are_tried():
    laws = conformance.laws(conformance.rule(LetsNanThrough))
    assert "kappa" in laws
    assert "state" not in laws
    assert "column_kernel" not in laws
    assert "report" not in laws
    assert "report" in conformance.laws(conformance.rule(Reports))
    assert "column_kernel" in conformance.laws(conformance.rule(ByColumns))
    assert "kappa" not in conformance.laws(conformance.rule(CanBeChanged))
    assert "state" in conformance.laws(conformance.rule(ChangesItsState))


def test_an_unknown_law_is_refused_with_the_nearest():
    with pytest.raises(
        ParameterError, match=r"unknown law 'transltion'; did you mean 'translation'\?"
    ):
        conformance.rule(Sound, without={"transltion"})
    with pytest.raises(ParameterError, match=r"a set of names, as \{'order'\}"):
        conformance.rule(Sound, without="order")


@pytest.mark.parametrize(
    "family", ["rule", "pre_aggregation", "codec", "attack", "code", "data", "model"]
)
def test_every_law_has_a_statement_and_can_be_switched_off(family):
    make = getattr(conformance, family)
    laws = conformance.laws(make(Sound))
    assert all(statement.endswith(".") for statement in laws.values())
    assert len(laws) >= 8
    assert not conformance.laws(make(Sound, without=set(laws)))


def test_docstring_examples():
    result = doctest.testmod(rules_module)
    assert result.attempted > 0
    assert result.failed == 0
