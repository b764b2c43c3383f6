"""How often DRACO's cyclic codes locate the wrong messages, how exactly, and at what cost.

Reproduces the figures of docs/draco.md::

    python benchmarks/draco.py --trials 1000 --output draco.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lad_mpi.coding import Assignment, DecodeStatus, DracoCyclic, DracoCyclicReal
from lad_mpi.coding.checks import fourier_checks
from lad_mpi.rng import Streams

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = ((15, 2), (45, 5), (100, 5), (100, 20))
DIMENSION = 50

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]


def sign_flip(honest: Floats, rng: np.random.Generator) -> Floats:  # noqa: ARG001
    """Send the negative of the own message."""
    return -honest


def identical(honest: Floats, rng: np.random.Generator) -> Floats:
    """Send one vector, the same from all."""
    return np.tile(rng.normal(size=honest.shape[1]), (len(honest), 1))


def shared(honest: Floats, rng: np.random.Generator) -> Floats:
    """Add one vector, the same for all, to the own message: errors of rank one."""
    return honest + rng.normal(size=honest.shape[1])


def tiny(honest: Floats, rng: np.random.Generator) -> Floats:
    """Add errors of 1e-8."""
    return honest + 1e-8 * rng.normal(size=honest.shape)


def large(honest: Floats, rng: np.random.Generator) -> Floats:
    """Send random vectors of size 1e8."""
    return 1e8 * rng.normal(size=honest.shape)


def scattered(honest: Floats, rng: np.random.Generator) -> Floats:
    """Add errors whose sizes spread over 28 orders of magnitude."""
    return honest + 10.0 ** rng.uniform(-8, 20, (len(honest), 1)) * rng.normal(size=honest.shape)


def far_and_near(honest: Floats, rng: np.random.Generator) -> Floats:
    """Add errors of which some are of size 1e12 and the others of size 1e-12."""
    sizes = 10.0 ** rng.choice([-12.0, 12.0], (len(honest), 1))
    corrupted: Floats = honest + sizes * rng.normal(size=honest.shape)
    return corrupted


CORRUPTIONS: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    corruption.__name__: corruption
    for corruption in (sign_flip, identical, shared, tiny, large, scattered, far_and_near)
}
#: Those that are tried in every way.
COMMON = ("sign_flip", "identical", "shared", "tiny", "large", "scattered", "codeword")
#: Loads above the least, for float32.
LOADS = ((45, 5, 15), (100, 5, 20), (100, 20, 50), (100, 20, 60))


def weakest(honest: Floats, wrong_rows: Ints, size: int) -> Floats:
    """Add the errors of unit length that the checks see least, which the wrong rows can compute."""
    load = 2 * len(wrong_rows) + 1 + (size + 1) % 2
    rows = np.arange(size)
    checks, _ = fourier_checks(rows, (size - load + 2) // 2, load - 1)
    _, _, directions = np.linalg.svd(np.vstack([checks.real, checks.imag])[:, wrong_rows])
    corrupted: Floats = honest + directions[-1][:, None]
    return corrupted


def confusable(honest: Floats, wrong_rows: Ints, size: int, rng: np.random.Generator) -> Floats:
    """Add errors that the checks can hardly tell from errors of other rows, found by search.

    The worst that devices can do who know the code and their own rows: f honest rows are
    chosen, one after another, whose errors explain those of the wrong rows best.
    """
    load = 2 * len(wrong_rows) + 1 + (size + 1) % 2
    checks, _ = fourier_checks(np.arange(size), (size - load + 2) // 2, load - 1)
    seen = np.vstack([checks.real, checks.imag])
    honest_rows = np.setdiff1d(np.arange(size), wrong_rows)
    for _ in range(len(wrong_rows)):
        lengths = np.linalg.norm(seen[:, honest_rows], axis=0)
        directions = seen[:, honest_rows] / lengths
        # What is left of the wrong rows' errors once an honest row explains its part.
        left = [
            np.linalg.svd(
                seen[:, wrong_rows] - np.outer(unit, unit @ seen[:, wrong_rows]),
                compute_uv=False,
            )[-1]
            for unit in directions.T
        ]
        best = int(np.argmin(left))
        unit = directions[:, best]
        seen = seen - np.outer(unit, unit @ seen)
        honest_rows = np.delete(honest_rows, best)
    errors = np.linalg.svd(seen[:, wrong_rows])[2][-1]
    size_of_errors = 10.0 ** rng.uniform(-2, 8)
    corrupted: Floats = honest + size_of_errors * np.outer(errors, rng.normal(size=honest.shape[1]))
    return corrupted


def trial(
    code: DracoCyclic | DracoCyclicReal,
    num_devices: int,
    num_byzantine: int,
    corruption: str,
    *,
    seed: int,
    num_wrong: int | None = None,
    contiguous: bool = False,
    dtype: str = "float64",
) -> tuple[bool, bool, float, bool]:
    """Corrupt messages and decode them.

    Returns
    -------
    located : bool
        Whether all wrong messages were left out.
    exact : bool
        Whether the decoder believes its result.
    error : float
        Relative error of ∇F.
    broken : bool
        Whether it believes a result with a larger error than it promises.
    """
    rng, streams = np.random.default_rng(seed), Streams(seed)
    gradients = rng.normal(size=(num_devices, DIMENSION))
    assignment = code.assign(num_devices, num_byzantine, streams, seed)
    messages = assignment.encode(gradients)
    count = num_byzantine if num_wrong is None else num_wrong
    wrong = _wrong_devices(assignment, count, rng, contiguous=contiguous)
    if corruption == "weakest":
        messages[wrong] = weakest(messages[wrong], assignment.subsets[wrong, 0], num_devices)
    elif corruption == "confusable":
        rows = assignment.subsets[wrong, 0]
        messages[wrong] = confusable(messages[wrong], rows, num_devices, rng)
    elif corruption == "codeword":
        messages[wrong] = assignment.encode(rng.normal(size=gradients.shape))[wrong]
    else:
        messages[wrong] = CORRUPTIONS[corruption](messages[wrong], rng)
    decoded = code.decode(
        messages.astype(dtype), assignment, num_byzantine, streams=streams, iteration=seed
    )
    truth = gradients.mean(axis=0)
    distance = float(np.linalg.norm(decoded.gradient - truth))
    exact = decoded.status == DecodeStatus.EXACT
    promised = np.finfo(dtype).eps ** 0.4 * np.linalg.norm(gradients, axis=1).max()
    return (
        set(wrong) <= set(decoded.located),
        exact,
        distance / float(np.linalg.norm(truth)),
        bool(exact and distance > promised),
    )


def _wrong_devices(
    assignment: Assignment, count: int, rng: np.random.Generator, *, contiguous: bool
) -> Ints:
    size = len(assignment.subsets)
    if not contiguous:
        return rng.choice(size, count, replace=False)
    rows = (rng.integers(size) + np.arange(count)) % size
    wrong: Ints = np.argsort(assignment.subsets[:, 0])[rows]
    return wrong


def measure_accuracy(trials: int) -> list[dict[str, Any]]:
    """Repeat the trials of every case and summarise them."""
    cases: list[tuple[Any, int, int, str, dict[str, Any]]] = []
    real, published = DracoCyclicReal(), DracoCyclic()
    for size, faults in SIZES:
        for name in COMMON:
            for options in ({}, {"contiguous": True}):
                cases += [
                    (real, size, faults, name, options),
                    (real, size, faults, name, {**options, "dtype": "float32"}),
                    (published, size, faults, name, options),
                ]
        for number in (0, faults // 2):
            options = {"num_wrong": number}
            cases += [(code, size, faults, "sign_flip", options) for code in (real, published)]
        cases += [
            (real, size, faults, name, {"dtype": dtype})
            for name in ("weakest", "confusable", "far_and_near")
            for dtype in ("float64", "float32")
        ]
        cases.append((real, size, faults, "sign_flip", {"dtype": "float32", "num_wrong": 0}))
        cases.append((published, size, faults, "sign_flip", {"dtype": "float32", "num_wrong": 0}))
    cases += [
        (DracoCyclicReal(load), size, faults, name, {"dtype": "float32"})
        for size, faults, load in LOADS
        for name in ("sign_flip", "shared")
    ]
    return [_summary(*case, trials=trials) for case in cases]


def _summary(
    code: DracoCyclic | DracoCyclicReal,
    size: int,
    faults: int,
    name: str,
    options: dict[str, Any],
    *,
    trials: int,
) -> dict[str, Any]:
    outcomes = [trial(code, size, faults, name, seed=seed, **options) for seed in range(trials)]
    errors = [error for _, _, error, _ in outcomes]
    believed = [error for _, exact, error, _ in outcomes if exact]
    load = code.load if isinstance(code, DracoCyclicReal) else None
    result = {
        "code": code.kind,
        "num_devices": size,
        "num_byzantine": faults,
        "corruption": name,
        **({} if load is None else {"load": load}),
        **options,
        "trials": trials,
        "located": sum(located for located, _, _, _ in outcomes),
        "exact": len(believed),
        "exact_beyond_promise": sum(broken for _, _, _, broken in outcomes),
        "median_error": statistics.median(errors),
        "largest_error": max(errors),
        "largest_error_if_exact": max(believed, default=None),
    }
    print(_line(result), flush=True)
    return result


def measure_cost(dimension: int, repetitions: int = 9) -> dict[str, float]:
    """Time decoding beside reading the messages twice, interleaved, in one process."""
    num_devices, num_byzantine = 100, 20
    rng, streams, code = np.random.default_rng(0), Streams(0), DracoCyclicReal()
    assignment = code.assign(num_devices, num_byzantine, streams, 0)
    messages = np.empty((num_devices, dimension))
    mixing = assignment.mixing_matrix(num_devices)
    for first in range(0, dimension, 10_000):
        columns = messages[:, first : first + 10_000]
        columns[...] = mixing @ rng.normal(size=columns.shape)
    messages[:num_byzantine] *= -1.0

    def decode() -> None:
        code.decode(messages, assignment, num_byzantine, streams=streams, iteration=0)

    reading, decoding = [], []
    for _ in range(repetitions):
        reading.append(_seconds(lambda: messages.mean(axis=0)))
        decoding.append(_seconds(decode))
    read_s, decode_s = statistics.median(reading), statistics.median(decoding)
    return {
        "dimension": dimension,
        "read_once_s": read_s,
        "decode_s": decode_s,
        "decode_over_reading_twice": decode_s / (2 * read_s),
    }


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _line(result: dict[str, Any]) -> str:
    options = [
        f"{key}={result[key]}"
        for key in ("load", "contiguous", "dtype", "num_wrong")
        if key in result
    ]
    return (
        f"{result['code']:18s} ({result['num_devices']}, {result['num_byzantine']}) "
        f"{' '.join([result['corruption'], *options]):28s} "
        f"located {result['located']}/{result['trials']}  exact {result['exact']}  "
        f"error {result['median_error']:.1e} (largest {result['largest_error']:.1e}, "
        f"if exact {result['largest_error_if_exact'] or 0.0:.1e})  "
        f"beyond the promise {result['exact_beyond_promise']}"
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000, help="trials a case (default 1000)")
    parser.add_argument("--dimension", type=int, default=10**6, help="Q of the cost measurement")
    parser.add_argument("--output", type=Path, help="write all figures as JSON to this file")
    options = parser.parse_args()
    cost = measure_cost(options.dimension)
    print(
        f"decode {1e3 * cost['decode_s']:.0f} ms, read once {1e3 * cost['read_once_s']:.0f} ms, "
        f"decode over reading twice {cost['decode_over_reading_twice']:.2f}",
        flush=True,
    )
    accuracy = measure_accuracy(options.trials)
    if options.output is not None:
        options.output.write_text(json.dumps({"cost": cost, "accuracy": accuracy}, indent=2) + "\n")


if __name__ == "__main__":
    main()
