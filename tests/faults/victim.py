"""lad-mpi with an injected fault: one rank dies, raises or stops at a named point.

    mpirun -n 3 python tests/faults/victim.py '{"point": "gather", "rank": 1, "call": 20,
        "action": "kill"}' run spec.toml -o out.h5

The program itself has no code for faults: this script wraps the functions of the
points before it starts.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Import early, so that ``starve`` affects data and not imports.
import numpy.random  # noqa: F401

from lad_mpi.cli.main import main
from lad_mpi.launchers import announced_rank
from lad_mpi.training.iteration import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Name of a point -> (module, function or method, fault before or after the call, and which
#: ranks call it: the server, ranks with devices, or all).
POINTS = {
    "start": ("lad_mpi.training.run", "prepare", "before", "all"),
    "first words": ("lad_mpi.training.run", "describe_rank", "before", "all"),
    "compute": ("lad_mpi.training.device", "DeviceBlock.encode", "before", "devices"),
    "encoded": ("lad_mpi.training.device", "DeviceBlock.encode", "after", "devices"),
    "packed": ("lad_mpi.training.device", "DeviceBlock.pack", "after", "devices"),
    "broadcast": ("lad_mpi.transport.mpi", "MpiExchange.announce", "before", "all"),
    "gather": ("lad_mpi.transport.mpi", "MpiExchange.gather", "before", "all"),
    "gathered": ("lad_mpi.transport.mpi", "MpiExchange.gather", "after", "all"),
    "collect": ("lad_mpi.transport.mpi", "MpiLink.collect", "before", "all"),
    "aggregate": ("lad_mpi.training.server", "Server.aggregate", "before", "server"),
    "evaluate": ("lad_mpi.training.evaluate", "EvaluationShare.evaluate", "before", "all"),
    "update": ("lad_mpi.training.server", "Server.update", "after", "server"),
    "log drafted": ("lad_mpi.logs.writer", "create_growing", "after", "server"),
    "rows written": ("lad_mpi.logs.writer", "LogWriter._extend", "after", "server"),
    "rows flushed": ("lad_mpi.logs.writer", "LogWriter.append", "after", "server"),
    "rows carried": ("lad_mpi.logs.writer", "carry_over", "after", "server"),
    "checkpoint begun": ("lad_mpi.training.checkpoint", "_write", "before", "server"),
    "checkpoint drafted": ("lad_mpi.training.checkpoint", "_write", "after", "server"),
    "file drafted": ("lad_mpi.files", "put_in_place", "before", "server"),
    "file named": ("lad_mpi.files", "put_in_place", "after", "server"),
    "checkpoint kept": ("lad_mpi.training.checkpoint", "Checkpoints.save", "after", "server"),
    "outcome copied": ("lad_mpi.logs.writer", "_copy", "after", "server"),
    "outcome drafted": ("lad_mpi.logs.writer", "create_state", "after", "server"),
    "outcome named": ("lad_mpi.logs.writer", "LogWriter.finish", "after", "server"),
    "left": ("lad_mpi.transport.mpi", "MpiLink.close", "before", "all"),
    "checkpoints cleared": ("lad_mpi.training.checkpoint", "Checkpoints.clear", "after", "server"),
}
#: Points that allocate memory, for the action ``starve``.
MEMORY = {
    "data": ("lad_mpi.training.run", "prepare", "during", "all"),
    "buffers": ("lad_mpi.training.iteration", "_plan", "during", "all"),
    "device block": ("lad_mpi.training.device", "DeviceBlock.__init__", "during", "devices"),
    "evaluator": ("lad_mpi.training.evaluate", "Evaluator.__init__", "during", "server"),
    "messages": ("lad_mpi.training.server", "Server.receive", "during", "server"),
    "compute": ("lad_mpi.training.device", "DeviceBlock.encode", "during", "devices"),
    "evaluation": ("lad_mpi.training.iteration", "Loop.evaluate", "during", "server"),
    "state": ("lad_mpi.training.iteration", "Loop.collect_state", "during", "server"),
    "checkpoint": ("lad_mpi.training.checkpoint", "_write", "during", "server"),
}
#: Not at a call, but after ``call`` hundredths of a second.
ANYWHERE = "anywhere"
INJECTED = "injected fault"
SPARE_BYTES = 2**18
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "terminate": signal.SIGTERM}


class Progress:
    """Counts the iterations that this rank completed in this launch."""

    completed = 0


def strike(action: str, where: str) -> None:
    """Carry out the fault in this process."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"victim: {action} at {where} after {Progress.completed} iterations\n")
        sys.stderr.flush()
    if action == "raise":
        raise RuntimeError(INJECTED)
    os.kill(os.getpid(), _SIGNALS[action])


@contextlib.contextmanager
def starving() -> Iterator[None]:
    """Limit the memory of this process to less than a test needs; a context manager."""
    size_kb = next(
        int(line.split()[1])
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmSize")
    )
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, ((size_kb << 10) + SPARE_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def count_iterations() -> None:
    """Keep :class:`Progress` up to date."""
    commit = Loop.commit

    @functools.wraps(commit)
    def counted(loop: Loop) -> None:
        commit(loop)
        Progress.completed += 1

    Loop.commit = counted  # type: ignore[method-assign]


def arm(point: str, call: int, action: str) -> None:
    """Inject the fault at call number ``call`` of a point, counted from 0."""
    if point == ANYWHERE:
        timer = threading.Timer(call / 100, strike, [action, point])
        timer.daemon = True
        timer.start()
        return
    module, path, when, _ = MEMORY[point] if action == "starve" else POINTS[point]
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    @functools.wraps(original)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        now = calls == call
        calls += 1
        if now and when == "before":
            strike(action, point)
        if now and when == "during":
            with starving():
                return original(*arguments, **options)
        result = original(*arguments, **options)
        if now and when == "after":
            strike(action, point)
        return result

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    fault = json.loads(sys.argv[1])
    if fault and fault["rank"] == announced_rank():
        count_iterations()
        arm(fault["point"], fault["call"], fault["action"])
    sys.exit(main(sys.argv[2:]))
