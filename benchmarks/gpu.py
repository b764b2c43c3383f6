"""Time the rules on a GPU beside the bandwidth at which it copies memory.

    pip install 'lad_mpi[cuda12]'
    python benchmarks/gpu.py

needs CuPy, a CUDA device and, at the default sizes, 40 GB of its memory; with
--dtypes float32, half of that. It prints a table and writes
``benchmarks/results/gpu-<card>.json``.

A rule's bandwidth is the bytes of the messages, read once, over the median
time of a call, all launches and checks included; × copy is that over the bytes
a device-to-device copy reads and writes in the same time. Columns repeat those of a
block that the host can aggregate too, and where blocks fit without rest, so that
rules choose the same rows, results are compared with its.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.aggregation import PRE_AGGREGATIONS, RULES
from lad_mpi.arrays import open_backend, to_host
from lad_mpi.cli.tables import print_table
from lad_mpi.errors import ExitCode, LadError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lad_mpi.arrays import Backend

_KINDS = "mean,median,trimmed_mean,meamed,krum,geometric_median,nnm"
_COPIED_BYTES = 2**31
_BLOCK_COLUMNS = 100_000
_RESULTS = Path(__file__).parent / "results"


def measure_s(xp: Any, call: Callable[[], object], repeats: int) -> list[float]:
    """Time a call on the device, in seconds, after two calls for compiling and warming up."""
    for _ in range(2):
        call()
    times_s = []
    for _ in range(repeats):
        start, end = xp.cuda.Event(), xp.cuda.Event()
        start.record()
        call()
        end.record()
        end.synchronize()
        times_s.append(1e-3 * xp.cuda.get_elapsed_time(start, end))
    return times_s


def measure_copy(xp: Any, repeats: int) -> float:
    """Return the bytes that a copy within the device reads and writes in a second."""
    source, target = (xp.ones(_COPIED_BYTES, dtype=np.uint8) for _ in range(2))
    return 2 * _COPIED_BYTES / median(measure_s(xp, lambda: xp.copyto(target, source), repeats))


def fill(backend: Backend, block: Any, dimension: int) -> Any:
    """Return messages on the device, shape (n, dimension), that repeat a block of the host's."""
    messages = backend.xp.empty((len(block), dimension), dtype=block.dtype)
    columns = backend.asarray(block, dtype=block.dtype)
    for first in range(0, dimension, block.shape[1]):
        part = messages[:, first : first + block.shape[1]]
        part[...] = columns[:, : part.shape[1]]
    return messages


def time_rules(
    backend: Backend, kinds: Sequence[str], *, n: int, f: int, dimension: int, repeats: int
) -> list[dict[str, Any]]:
    """Time rules and pre-aggregations on messages of one dtype."""
    table: dict[str, Any] = {**RULES, **PRE_AGGREGATIONS}
    dtype = backend.dtype
    width = min(dimension, _BLOCK_COLUMNS)
    block = np.random.default_rng(0).standard_normal((n, width)).astype(dtype)
    messages = fill(backend, block, dimension)
    results = []
    for kind in kinds:
        rule = table[kind](num_byzantine=f)
        times_s = measure_s(backend.xp, lambda rule=rule: rule(messages), repeats)
        # Of whole blocks all rules choose the same rows as of one; columns are standard normal.
        difference = None
        if dimension % width == 0:
            found = to_host(rule(messages)[..., :width])
            difference = float(np.abs(found - rule(block)).max())
        results.append(
            {
                "rule": kind,
                "dtype": dtype.name,
                "median_s": median(times_s),
                "times_s": times_s,
                "read_bytes_per_s": messages.nbytes / median(times_s),
                "largest_difference_from_host": difference,
            }
        )
    return results


def place(backend: Backend) -> dict[str, Any]:
    """Return what a result depends on besides the sizes."""
    runtime = backend.xp.cuda.runtime
    driver = None
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        found = subprocess.run(query, capture_output=True, text=True, check=False)  # noqa: S603
        driver = next(iter(found.stdout.split()), None)
    return {
        "gpu_model": backend.device_name,
        "driver_version": driver,
        "driver_cuda_version": runtime.driverGetVersion(),
        "cuda_runtime_version": runtime.runtimeGetVersion(),
        "cupy_version": backend.xp.__version__,
        "numpy_version": np.__version__,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--f", type=int, default=20)
    parser.add_argument("--dimension", type=int, default=10_000_000)
    parser.add_argument("--dtypes", default="float32,float64")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rules", default=_KINDS, help=f"between commas; default {_KINDS}")
    parser.add_argument("--output", type=Path, help="default benchmarks/results/gpu-<card>.json")
    options = parser.parse_args(arguments)
    kinds, results = options.rules.split(","), []
    try:
        for dtype in options.dtypes.split(","):
            backend = open_backend("cupy", dtype)
            if not results:
                copy = measure_copy(backend.xp, options.repeats)
            results += time_rules(
                backend,
                kinds,
                n=options.n,
                f=options.f,
                dimension=options.dimension,
                repeats=options.repeats,
            )
    except LadError as error:
        sys.stderr.write(f"error: {error}\n")
        return int(error.exit_code)
    for result in results:
        result["read_over_copy"] = result["read_bytes_per_s"] / copy
    record = {
        "num_messages": options.n,
        "num_byzantine": options.f,
        "dimension": options.dimension,
        "repeats": options.repeats,
        **place(backend),
        "copy_bytes_per_s": copy,
        "results": results,
    }
    show(record)
    path = options.output or _RESULTS / f"gpu-{slug(backend.device_name)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    return int(ExitCode.OK)


def show(record: dict[str, Any]) -> None:
    """Print a record as a table."""
    sys.stdout.write(
        f"{record['gpu_model']}: n = {record['num_messages']}, f = {record['num_byzantine']}, "
        f"Q = {record['dimension']}; copies at {1e-9 * record['copy_bytes_per_s']:.0f} GB/s; "
        f"medians of {record['repeats']}\n\n"
    )
    rows = [
        {
            "rule": result["rule"],
            "dtype": result["dtype"],
            "ms": f"{1e3 * result['median_s']:.4g}",
            "read": f"{1e-9 * result['read_bytes_per_s']:.0f}",
            "ratio": f"{result['read_over_copy']:.2f}",
            "difference": _scientific(result["largest_difference_from_host"]),
        }
        for result in record["results"]
    ]
    columns = {
        "rule": "rule",
        "dtype": "dtype",
        "ms": "median (ms)",
        "read": "read (GB/s)",
        "ratio": "× copy",
        "difference": "from host",
    }
    print_table(rows, columns=columns, right=("ms", "read", "ratio", "difference"))


def _scientific(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"


def slug(name: str) -> str:
    """Return a card's name as part of a file name: ``NVIDIA H100 PCIe`` is nvidia-h100-pcie."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main())
