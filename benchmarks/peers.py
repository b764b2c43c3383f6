"""Time the rules of lad_mpi and of ByzFL side by side, in one process.

    pip install --no-deps byzfl==0.0.11
    pip install torch scipy
    python benchmarks/peers.py

For each number of columns, dtype and number of threads, calls alternate between the two sides,
so that a busy machine slows both. Ratios are those of the shortest times. float64 is compared
with ByzFL on NumPy, float32 with ByzFL on PyTorch. A cell in which ByzFL needs more memory than
there is, or more than --limit seconds a call, names the reason instead of a time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from byzfl_alone import import_byzfl
from threadpoolctl import threadpool_limits

from lad_mpi.aggregation import PRE_AGGREGATIONS, RULES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import TypeAlias

    #: A rule, and messages.
    Side: TypeAlias = tuple[Callable[[Any], Any], Any]
    #: Seconds a call, of ours and of theirs.
    Times: TypeAlias = tuple[list[float], list[float]]

# Alternate at least for so long: short timings are often disturbed by other programs.
_CELL_S = 0.5
_RESULTS = Path(__file__).parent / "results"


def pairs(byzfl: ModuleType, f: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Return makers of (ours, theirs) for all rules that both have, at the same parameters."""

    def ours(kind: str, **parameters: Any) -> Callable[[], Any]:
        table: dict[str, Any] = {**RULES, **PRE_AGGREGATIONS}
        return lambda: table[kind](num_byzantine=f, **parameters)

    def nnm_then_trim() -> Any:
        nnm, rule = ours("nnm")(), ours("trimmed_mean")()
        return lambda messages: rule(nnm(messages))

    def peers_nnm_then_trim() -> Any:
        nnm, rule = byzfl.NNM(f), byzfl.TrMean(f)
        return lambda messages: rule(nnm(messages))

    steps = {"tolerance": 0.0, "max_iterations": 3, "smoothing": 0.1, "start": "zero"}
    found = {
        "mean": (ours("mean"), byzfl.Average),
        "trimmed_mean": (ours("trimmed_mean"), lambda: byzfl.TrMean(f)),
        "median": (ours("median"), byzfl.Median),
        "meamed": (ours("meamed"), lambda: byzfl.Meamed(f)),
        # Ours runs to its tolerance of 1e-8, theirs takes three steps.
        "geometric_median": (ours("geometric_median"), byzfl.GeometricMedian),
        "geometric_median, 3 steps": (ours("geometric_median", **steps), byzfl.GeometricMedian),
        "krum": (ours("krum"), lambda: byzfl.Krum(f)),
        "multi_krum": (ours("multi_krum"), lambda: byzfl.MultiKrum(f)),
        "centered_clipping": (ours("centered_clipping"), byzfl.CenteredClipping),
        "monna": (ours("monna"), lambda: byzfl.MoNNA(f)),
        "caf": (ours("caf"), lambda: byzfl.CAF(f)),
        "nnm + trimmed_mean": (nnm_then_trim, peers_nnm_then_trim),
    }
    known = {**RULES, **PRE_AGGREGATIONS}
    return {name: pair for name, pair in found.items() if _kind(name) in known}


def compare(ours: Side, theirs: Side, repeats: int) -> Times:
    """Time both sides in turn, after one call of each, and return seconds a call."""
    sides = (ours, theirs)
    times: Times = ([], [])
    counts = [calls_per_timing(call, given) for call, given in sides]
    begin = time.perf_counter()
    while len(times[0]) < repeats or time.perf_counter() - begin < _CELL_S:
        for (call, given), calls, found in zip(sides, counts, times, strict=True):
            start = time.perf_counter()
            for _ in range(calls):
                call(given)
            found.append((time.perf_counter() - start) / calls)
    return times


def calls_per_timing(call: Callable[[Any], Any], given: Any) -> int:
    """Call twice if that is fast, and return how many calls make a timing of a millisecond."""
    taken = 0.0
    for _ in range(2):
        if taken < _CELL_S:
            start = time.perf_counter()
            call(given)
            taken = time.perf_counter() - start
    return max(1, int(1e-3 / taken))


def why_not(name: str, theirs: Any, messages: Any, options: argparse.Namespace) -> str | None:
    """Return why ByzFL cannot be timed: it takes too much memory, or too long for one call."""
    if name.startswith("nnm"):
        gathered = messages.nbytes if isinstance(messages, np.ndarray) else messages.numpy().nbytes
        gathered *= options.n - options.f
        if 1.5 * gathered > _available_bytes():
            return f"ByzFL gathers {gathered / 1e9:.0f} GB"
    start = time.perf_counter()
    theirs(messages)
    taken = time.perf_counter() - start
    return f"ByzFL takes {taken:.0f} s a call" if taken > options.limit else None


def main() -> None:
    """Compare, print a table and a summary, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--f", type=int, default=20)
    parser.add_argument("--dimensions", default="100,1000,10000,100000,1000000")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--limit", type=float, default=30.0, help="seconds of a call of ByzFL")
    parser.add_argument("--rules", default="", help="names as printed, between commas; default all")
    parser.add_argument("--output", type=Path, default=_RESULTS / "peers.json")
    options = parser.parse_args()
    byzfl, _ = import_byzfl()
    chosen = pairs(byzfl, options.f)
    if options.rules:
        chosen = {name: chosen[name] for name in options.rules.split(",")}
    results: list[dict[str, Any]] = []
    sys.stdout.write(f"{'rule':<26}{'Q':>9}  {'dtype':<8}{'threads':>8}")
    sys.stdout.write(f"{'ours ms':>11}{'ByzFL ms':>11}{'ratio':>8}\n")
    for dimension in map(int, options.dimensions.split(",")):
        for dtype in ("float64", "float32"):
            generator = np.random.default_rng(0)
            messages = generator.standard_normal((options.n, dimension), dtype=np.dtype(dtype).type)
            given = messages if dtype == "float64" else torch.from_numpy(messages)
            for threads in map(int, options.threads.split(",")):
                place = {"dimension": dimension, "dtype": dtype, "threads": threads}
                for name, makers in chosen.items():
                    cell = _cell(name, makers, (messages, given), threads, options)
                    results.append({"rule": name, **place, **cell})
                    sys.stdout.write(_line(results[-1]))
                    sys.stdout.flush()
    summary = summarise(results)
    sys.stdout.write(_shown(summary))
    record = {
        "num_messages": options.n,
        "num_byzantine": options.f,
        "repeats": options.repeats,
        **_place(),
        "summary": summary,
        "results": results,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")


def _cell(
    name: str,
    makers: tuple[Callable[[], Any], Callable[[], Any]],
    messages: tuple[Any, Any],
    threads: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Time one rule with a number of threads, each side on its own form of the messages."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    ours, theirs = (make() for make in makers)
    with threadpool_limits(threads, user_api="blas"):
        reason = why_not(name, theirs, messages[1], options)
        if reason is not None:
            return {"skipped": reason}
        times = compare((ours, messages[0]), (theirs, messages[1]), options.repeats)
    return {
        "ours_s": min(times[0]),
        "theirs_s": min(times[1]),
        "theirs_over_ours": min(times[1]) / min(times[0]),
        "ours_median_s": median(times[0]),
        "theirs_median_s": median(times[1]),
        "timings": len(times[0]),
    }


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median ratio, and the cells in which ByzFL is faster or was not timed."""
    timed = [result for result in results if "skipped" not in result]
    behind = [result for result in timed if result["theirs_over_ours"] < 1.0]
    return {
        "cells": len(results),
        "median_theirs_over_ours": median(result["theirs_over_ours"] for result in timed),
        "behind": [[*_name(result), result["theirs_over_ours"]] for result in behind],
        "skipped": [
            [*_name(result), result["skipped"]] for result in results if "skipped" in result
        ],
    }


def _shown(summary: dict[str, Any]) -> str:
    behind, skipped = summary["behind"], summary["skipped"]
    counts = f"{len(behind)} below 1.0, {len(skipped)} not timed"
    ratio = summary["median_theirs_over_ours"]
    lines = [f"\n{summary['cells']} cells: {counts}, median {ratio:.2f}"]
    lines += [f"  {_words(cell)}: {ratio:.2f}" for *cell, ratio in behind]
    lines += [f"  {_words(cell)}: {reason}" for *cell, reason in skipped]
    return "\n".join(lines) + "\n"


def _words(cell: list[Any]) -> str:
    rule, dimension, dtype, threads = cell
    return f"{rule}, Q = {dimension}, {dtype}, {threads} thread{'s' * (threads > 1)}"


def _name(result: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(result[key] for key in ("rule", "dimension", "dtype", "threads"))


def _available_bytes() -> float:
    """Return how much memory Linux can give to a process; infinite elsewhere."""
    found = Path("/proc/meminfo")
    lines = found.read_text().splitlines() if found.exists() else []
    sizes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024.0 * int(sizes[0]) if sizes else math.inf


def _kind(name: str) -> str:
    return name.replace("+", ",").partition(",")[0].strip()


def _line(result: dict[str, Any]) -> str:
    rule, dimension, dtype, threads = _name(result)
    start = f"{rule:<26}{dimension:>9}  {dtype:<8}{threads:>8}"
    if "skipped" in result:
        return f"{start}   {result['skipped']}\n"
    ours, theirs = 1e3 * result["ours_s"], 1e3 * result["theirs_s"]
    return f"{start}{ours:>11.4g}{theirs:>11.4g}{result['theirs_over_ours']:>8.2f}\n"


def _place() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu_model": models[0] if models else platform.processor(),
        "num_cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python_version": platform.python_version(),
        **{f"{name}_version": version(name) for name in ("numpy", "numba", "torch", "byzfl")},
    }


if __name__ == "__main__":
    main()
