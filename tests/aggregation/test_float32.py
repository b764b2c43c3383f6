"""In float32, with a mean a thousand times the spread, rules choose as float64 would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lad_mpi.aggregation import PRE_AGGREGATIONS, RULES

N, F = 14, 3
#: Few numbers, enough for compiled sums, and enough for a Gram matrix in blocks.
COLUMNS = [50, 9_000, 150_000]
#: That of a mean of numbers of a thousand, give or take a few spreads.
ROUNDING = 1e-3
COMPONENTS: dict[str, Any] = {**RULES, **PRE_AGGREGATIONS}


def messages(columns: int, seed: int = 0) -> np.ndarray:
    """Float32 rows; three of them lie off the others by a fraction of the spread."""
    generator = np.random.default_rng(seed)
    x = 1000.0 * generator.normal(size=columns) + generator.normal(size=(N, columns))
    x[[2, 5, 11]] += 0.3 * generator.normal(size=columns)
    return x.astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("kind", sorted(COMPONENTS))
def test_float32_chooses_the_rows_of_float64(kind: str, columns: int, seed: int) -> None:
    """Another row in a mean of eleven would move it by a tenth of the spread, 100 roundings."""
    x = messages(columns, seed)
    component = COMPONENTS[kind](num_byzantine=F)
    found, expected = component(x), component(x.astype(np.float64))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < ROUNDING
    if kind == "krum":
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("columns", COLUMNS)
def test_the_textbook_form_chooses_others(columns: int) -> None:
    """So the messages above are a trap: ‖a‖² + ‖b‖² − 2⟨a, b⟩ in float32 falls into it."""
    x = messages(columns)
    gram = x @ x.T
    textbook = np.diag(gram)[:, None] + np.diag(gram) - 2.0 * gram
    chosen = np.argsort(textbook, axis=1, kind="stable")[:, : N - F]
    means = x.astype(np.float64)[chosen].mean(axis=1)
    mixed = COMPONENTS["nnm"](num_byzantine=F)(x)
    assert np.abs(means - mixed).max() > 100 * ROUNDING
