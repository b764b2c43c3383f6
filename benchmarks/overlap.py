"""What ``overlap = true`` hides, gains or loses on this machine.

Launches runs with and without it in turn, and compares the server's clocks::

    python benchmarks/overlap.py --ranks 3 --rounds 5 --output benchmarks/results/overlap.json

Launches are the replicates: of each, the median over the iterations after warm-up
is kept; what is printed is the median over launches. ``iteration`` is training time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lad_mpi.logs import read_log
from lad_mpi.network import parse_network

NUM_DEVICES, NUM_BYZANTINE = 100, 20
ITERATIONS, WARMUP = 8, 3
SERVER_PHASES = ("gather", "unpack", "aggregate", "overlapped")

#: Median seconds of one launch, by phase.
Seconds = dict[str, float]


def launch(ranks: int, output: Path, settings: dict[str, str]) -> Seconds:
    """Run once and return what the server's clock says of a usual iteration."""
    mpirun = shutil.which("mpirun", path=str(Path(sys.executable).parent)) or "mpirun"
    changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    spec = output.with_suffix(".toml")
    spec.write_text("")
    command = [sys.executable, "-m", "lad_mpi", "run", str(spec), "-q", "-o", str(output)]
    subprocess.run([mpirun, "-n", str(ranks), *command, *changes], check=True)  # noqa: S603
    log = read_log(output)
    output.unlink()
    server = log.seconds[WARMUP:, 0]
    medians = {
        phase: float(np.median(server[:, log.phases.index(phase)])) for phase in SERVER_PHASES
    }
    return {"iteration": float(np.median(log.training_seconds()[WARMUP:])), **medians}


def compare(ranks: int, rounds: int, settings: dict[str, str]) -> dict[str, list[Seconds]]:
    """Launch with and without overlap in turn, the other one first in every other round."""
    found: dict[str, list[Seconds]] = {"false": [], "true": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            order = ("false", "true") if number % 2 == 0 else ("true", "false")
            for overlap in order:
                path = Path(folder) / f"{number}-{overlap}.h5"
                found[overlap].append(launch(ranks, path, {**settings, "overlap": overlap}))
    return found


def main() -> None:
    """Compare at all sizes and by all rules, print medians in milliseconds, and keep all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dimensions", default="100000,300000,1000000")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--rules", default="trimmed_mean,krum")
    parser.add_argument("--network", help="emulate one: latency=50us,bandwidth=400MB/s")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    results = []
    names = ("iteration", *SERVER_PHASES)
    print("  ".join(f"{name:>12}" for name in ("Q", "rule", "overlap", *names)), flush=True)
    for dimension, rule in itertools.product(
        options.dimensions.split(","), options.rules.split(",")
    ):
        settings = {
            "iterations": str(ITERATIONS),
            "data.dimension": dimension,
            "devices": f"{{count={NUM_DEVICES},byzantine={NUM_BYZANTINE}}}",
            "coding.load": "1",
            "aggregation.kind": repr(rule),
            "backend.dtype": repr(options.dtype),
            "optimizer.step_size": "1e-9",
            "logging.evaluate_every": "1000",
        }
        if options.network:
            settings["network.emulate"] = options.network
        found = compare(options.ranks, options.rounds, settings)
        for overlap, launches in found.items():
            medians = [1e3 * statistics.median(one[name] for one in launches) for name in names]
            row = [dimension, rule, overlap, *(f"{value:.1f}" for value in medians)]
            print("  ".join(f"{cell:>12}" for cell in row), flush=True)
        results.append(
            {"dimension": int(dimension), "rule": rule, "dtype": options.dtype, "launches": found}
        )
    if options.output is not None:
        place: dict[str, object] = {
            "ranks": options.ranks,
            "processors": len(os.sched_getaffinity(0)),
        }
        place["load_average"] = os.getloadavg()[0]
        if options.network:
            place["emulated_network"] = str(parse_network(options.network))
        options.output.write_text(json.dumps({**place, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
