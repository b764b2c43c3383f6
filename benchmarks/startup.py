"""Measure what each rank of a short run spends on its start, and the memory of its data.

    mpirun -n 5 python benchmarks/startup.py spec.toml

prints milliseconds of processor time a rank by part, on the server and on the median device rank,
and the memory that the data add to each rank. Shared pages count in equal parts (Pss).
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import tempfile
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: dict[str, float] = {"Python": process_time()}
INNER: list[float] = []


def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Add the processor time of a call to a part, without that of timed calls within it."""

    def wrapper(*words: Any, **keys: Any) -> Any:
        start = process_time()
        INNER.append(0.0)
        try:
            return call(*words, **keys)
        finally:
            spent = process_time() - start
            PARTS[name] = PARTS.get(name, 0.0) + spent - INNER.pop()
            if INNER:
                INNER[-1] += spent

    return wrapper


def shared_memory_mib() -> float:
    """Return the memory of this process; shared pages count in equal parts."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 2**10


def main() -> None:
    """Run the spec on all ranks, and print the table on the server."""
    for name, module in (
        ("import NumPy", "numpy"),
        ("import mpi4py", "lad_mpi.transport.mpi"),
        ("import the suite", "lad_mpi.cli.run"),
    ):
        timed(name, importlib.import_module)(module)
    mpi: Any = sys.modules["lad_mpi.transport.mpi"]
    run: Any = sys.modules["lad_mpi.training.run"]
    command: Any = sys.modules["lad_mpi.cli.run"]
    from lad_mpi.cli.main import main as lad_mpi  # noqa: PLC0415
    from lad_mpi.data import DataPlan  # noqa: PLC0415
    from lad_mpi.transport import open_link  # noqa: PLC0415

    memory = []

    def prepared(*words: Any) -> Any:
        link = words[1]
        link.meet("the start of the data")
        memory.append(shared_memory_mib())
        link.meet("the data")
        setup = prepare(*words)
        link.meet("the end of the data")
        memory.append(shared_memory_mib())
        return setup

    mpi.initialise = timed("start MPI", mpi.initialise)
    command.parse_toml_spec = timed("read the spec", command.parse_toml_spec)
    command.inspect_place = timed("check the place", command.inspect_place)
    DataPlan.load = timed("load the data", DataPlan.load)  # type: ignore[method-assign]
    prepare = timed("prepare", run.prepare)
    run.prepare = prepared
    command.run_spec = timed("the run", command.run_spec)
    with tempfile.TemporaryDirectory() as folder:
        code = lad_mpi(["run", *sys.argv[1:], "-q", "-o", folder])
    if code:
        raise SystemExit(code)
    PARTS["total"] = process_time()
    link = open_link()
    found = [
        json.loads(text) for text in link.gather_texts(json.dumps([PARTS, memory[1] - memory[0]]))
    ]
    if link.is_server:
        show(found)


def show(found: list[tuple[dict[str, float], float]]) -> None:
    """Print the parts of all ranks."""
    server, *others = (parts for parts, _ in found)
    print(f"{'CPU ms':20}{'server':>10}{'devices':>10}")
    for part in server:
        middle = statistics.median(parts.get(part, 0.0) for parts in others or [server])
        print(f"{part:20}{server[part] * 1e3:10.1f}{middle * 1e3:10.1f}")
    print("Pss of the data, MiB:", " ".join(f"{mib:.0f}" for _, mib in found))


if __name__ == "__main__":
    main()
