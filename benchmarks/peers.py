"""Time the rules of lad_mpi and of ByzFL side by side, in one process.

    pip install --no-deps byzfl==0.0.11
    pip install torch scipy
    OMP_NUM_THREADS=2 python benchmarks/peers.py

Calls alternate between the two sides, so that a busy machine slows both.
float64 is compared with ByzFL on NumPy, float32 with ByzFL on PyTorch.
"""

from __future__ import annotations

import argparse
import json
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

from lad_mpi.aggregation import PRE_AGGREGATIONS, RULES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_MAX_PEER_BYTES = 16e9
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


def compare(
    ours: Any, theirs: Any, messages: Any, peer_messages: Any, repeats: int
) -> dict[str, Any]:
    """Time both sides in turn, after one call of each, and return seconds."""
    sides = {"ours": (ours, messages), "theirs": (theirs, peer_messages)}
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    calls = calls_per_timing(lambda: ours(messages))
    for repeat in range(repeats + 1):
        for name, (call, given) in sides.items():
            if call is None:
                continue
            start = time.perf_counter()
            for _ in range(calls):
                call(given)
            if repeat > 0:
                times[name].append((time.perf_counter() - start) / calls)
    medians = {name: median(found) if found else None for name, found in times.items()}
    ratio = medians["theirs"] / medians["ours"] if medians["theirs"] and medians["ours"] else None
    return {
        "ours_median_s": medians["ours"],
        "theirs_median_s": medians["theirs"],
        "theirs_over_ours": ratio,
        "ours_s": times["ours"],
        "theirs_s": times["theirs"],
    }


def calls_per_timing(call: Callable[[], Any]) -> int:
    """Return how many calls make a timing of a few milliseconds."""
    call()
    start = time.perf_counter()
    call()
    return max(1, int(5e-3 / (time.perf_counter() - start)))


def main() -> None:
    """Compare, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--f", type=int, default=20)
    parser.add_argument("--dimensions", default="100,10000,1000000")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rules", default="", help="names as printed, between commas; default all")
    parser.add_argument("--output", type=Path, default=_RESULTS / "peers.json")
    options = parser.parse_args()
    byzfl, _ = import_byzfl()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    chosen = pairs(byzfl, options.f)
    if options.rules:
        chosen = {name: chosen[name] for name in options.rules.split(",")}
    results = []
    sys.stdout.write(
        f"{'rule':<26}{'Q':>9}  {'dtype':<8}{'ours ms':>10}{'ByzFL ms':>10}{'ratio':>8}\n"
    )
    for dimension in map(int, options.dimensions.split(",")):
        for dtype in ("float64", "float32"):
            generator = np.random.default_rng(0)
            messages = generator.standard_normal((options.n, dimension), dtype=np.dtype(dtype).type)
            given = messages if dtype == "float64" else torch.from_numpy(messages)
            for name, (ours, theirs) in chosen.items():
                gathered = messages.nbytes * (options.n - options.f)
                too_large = name.startswith("nnm") and gathered > _MAX_PEER_BYTES
                peer = None if too_large else theirs()
                found = compare(ours(), peer, messages, given, options.repeats)
                results.append({"rule": name, "dimension": dimension, "dtype": dtype, **found})
                sys.stdout.write(_line(results[-1]))
                sys.stdout.flush()
    record = {
        "num_messages": options.n,
        "num_byzantine": options.f,
        "repeats": options.repeats,
        **_place(),
        "results": results,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")


def _kind(name: str) -> str:
    return name.replace("+", ",").partition(",")[0].strip()


def _line(result: dict[str, Any]) -> str:
    theirs, ratio = result["theirs_median_s"], result["theirs_over_ours"]
    return (
        f"{result['rule']:<26}{result['dimension']:>9}  {result['dtype']:<8}"
        f"{1e3 * result['ours_median_s']:>10.4g}"
        + (f"{1e3 * theirs:>10.4g}{ratio:>8.2f}\n" if theirs else f"{'–':>10}{'–':>8}\n")
    )


def _place() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu_model": models[0] if models else platform.processor(),
        "num_cpus": os.cpu_count(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "torch_threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "python_version": platform.python_version(),
        **{f"{name}_version": version(name) for name in ("numpy", "numba", "torch", "byzfl")},
    }


if __name__ == "__main__":
    main()
