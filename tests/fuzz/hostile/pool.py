"""Run cases in worker processes, and detect workers that hang or die."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostile.case import MOST_BYTES, TOLD_BYTES, Bench, Case
from hostile.walls import die_with_parent, protect_all_but

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DEADLINE_S = 10.0
#: Timeout of a mutation and of the start of a worker.
_PATIENCE_S = 60.0
#: Number of cases after which a worker is replaced, so that leaked memory does not add up.
_CASES_EACH = 1000
#: Limit on the growth of a worker's address space, to protect the machine.
_SPACE_BYTES = 3 * MOST_BYTES
_FORK = multiprocessing.get_context("fork")


@dataclass
class _Worker:
    """A process, its current case, and the deadline for its next message."""

    process: Any
    pipe: Any
    folder: Path
    case: Case | None = None
    number: int | None = None
    done: int = 0
    began: float = 0.0
    cpu_before_s: float = 0.0
    deadline: float = field(default_factory=lambda: time.monotonic() + _PATIENCE_S)

    def cpu_s(self) -> float:
        """Return the processor time that the process has used."""
        parts = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def is_slowed_down(self) -> bool:
        """Whether the process is slow because the machine is busy, and not because it waits."""
        wall_s, cpu_s = time.monotonic() - self.began, self.cpu_s() - self.cpu_before_s
        return wall_s / 10 < cpu_s < DEADLINE_S and wall_s < _PATIENCE_S

    @property
    def stack(self) -> Path:
        """File to which the worker writes its stack before the deadline."""
        return self.folder.with_suffix(".stack")


class Pool:
    """Runs cases in several processes.

    Parameters
    ----------
    make_bench : callable
        Creates the bench of a worker in a folder.
    folder : Path
        Folder for all files.
    jobs : int
        Number of processes.
    """

    def __init__(self, make_bench: Callable[[Path], Bench], folder: Path, jobs: int) -> None:
        self._make_bench, self._folder = make_bench, folder
        self._workers = [self._start(number) for number in range(jobs)]

    def run(self, numbers: Iterable[int]) -> Iterator[Case]:
        """Run cases and yield them as they finish."""
        left = iter(numbers)
        for worker in self._workers:
            self._give(worker, left)
        while busy := {one.pipe: one for one in self._workers if one.number is not None}:
            first = min(worker.deadline for worker in busy.values())
            heard = wait(list(busy), timeout=max(0.0, first - time.monotonic()))
            for pipe, worker in busy.items():
                case = None
                if pipe in heard:
                    case = self._hear(worker)
                elif time.monotonic() > worker.deadline:
                    case = self._perhaps_end(worker)
                if case is not None:
                    yield case
                    self._give(self._perhaps_replace(worker, case), left)

    def close(self) -> list[str]:
        """End all workers; return files outside the cases whose content has changed."""
        changed: list[str] = []
        for worker in self._workers:
            changed += self._leave(worker)
        return changed

    def _start(self, number: int) -> _Worker:
        ours, theirs = _FORK.Pipe()
        folder = self._folder / f"worker-{number}"
        process = _FORK.Process(target=_work, args=(theirs, self._make_bench, folder), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours, folder)

    def _give(self, worker: _Worker, left: Iterator[int]) -> None:
        worker.number, worker.case = next(left, None), None
        if worker.number is not None:
            worker.deadline = time.monotonic() + _PATIENCE_S
            worker.pipe.send(worker.number)

    def _hear(self, worker: _Worker) -> Case | None:
        """Receive a message of a worker; return the case if it is finished."""
        try:
            case, is_done = worker.pipe.recv()
        except EOFError:
            return self._mourn(worker)
        if is_done:
            worker.number, worker.done = None, worker.done + 1
            return case
        worker.case, worker.began = case, time.monotonic()
        worker.cpu_before_s, worker.deadline = worker.cpu_s(), worker.began + DEADLINE_S
        return None

    def _mourn(self, worker: _Worker) -> Case:
        worker.process.join()
        if worker.case is None:
            return _unmade(worker)
        case, code = worker.case, worker.process.exitcode
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        stack = _read(worker.stack)
        case.problems.append((f"the process died: {name}: {_innermost(stack)}", stack))
        return case

    def _perhaps_end(self, worker: _Worker) -> Case | None:
        """End a late worker and return its case, unless the machine is busy."""
        if worker.case is not None and worker.is_slowed_down():
            worker.deadline = time.monotonic() + 1.0
            return None
        worker.process.kill()
        worker.process.join()
        if worker.case is None:
            return _unmade(worker)
        case, stack = worker.case, _read(worker.stack)
        case.problems.append((f"hung: {_innermost(stack)}", stack))
        return case

    def _perhaps_replace(self, worker: _Worker, case: Case) -> _Worker:
        has_spoilt = case.growth_bytes > TOLD_BYTES or case.has_changed_outside
        if worker.process.is_alive() and worker.done < _CASES_EACH and not has_spoilt:
            return worker
        return self._replace(worker)

    def _replace(self, worker: _Worker) -> _Worker:
        if worker.process.is_alive():
            self._leave(worker)
        at = self._workers.index(worker)
        self._workers[at] = self._start(at)
        return self._workers[at]

    def _leave(self, worker: _Worker) -> list[str]:
        changed: list[str] = []
        if worker.process.is_alive() and worker.number is None:
            worker.pipe.send(None)
            if worker.pipe.poll(_PATIENCE_S):
                changed = worker.pipe.recv()
        worker.process.kill()
        worker.process.join()
        shutil.rmtree(worker.folder, ignore_errors=True)
        return changed


def _work(pipe: Any, make_bench: Callable[[Path], Bench], folder: Path) -> None:
    """Run the cases that arrive through a pipe."""
    die_with_parent()
    protect_all_but(folder.parent)
    bench = make_bench(folder)
    os.environ["HOME"] = str(bench.outside.folder / "home")
    os.environ["TMPDIR"] = str(bench.outside.folder / "tmp")
    # Commands must not write to the streams of the fuzzer.
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    space = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (space + _SPACE_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    stack = folder.with_suffix(".stack").open("w")
    faulthandler.enable(stack)
    # The parent reports what ended this process.
    sys.stderr = stack
    while (number := pipe.recv()) is not None:
        stack.seek(0)
        stack.truncate()
        case, command = bench.prepare(number)
        faulthandler.dump_traceback_later(0.9 * DEADLINE_S, repeat=True, file=stack)
        pipe.send((case, False))
        bench.carry_out(case, command)
        faulthandler.cancel_dump_traceback_later()
        pipe.send((case, True))
    pipe.send(bench.outside.changed_contents())


def _unmade(worker: _Worker) -> Case:
    """Return the case that a worker was preparing when it ended.

    HDF5 may crash when it opens a mutated file to mutate it again.
    """
    return Case(worker.number or 0, is_unmade=True)


def _read(path: Path) -> str:
    try:
        text = path.read_text()[-8000:]
    except OSError:
        return ""
    # Return the newest stack without the frames of the fuzzer.
    _, is_stack, last = text.rpartition("Timeout (")
    return last.partition("/tests/fuzz/hostile/case.py")[0] if is_stack else text


def _innermost(stack: str) -> str:
    """Return the innermost frame of the suite in a stack of faulthandler."""
    for line in stack.splitlines():
        if (
            "/tests/fuzz/hostile/" not in line
            and ("/lad_mpi/" in line or "/analysis/" in line)
            and '"' in line
        ):
            name = line.split('"')[1]
            root = max(name.rfind("/lad_mpi/"), name.rfind("/analysis/"))
            return f"{name[root + 1 :]}, {line.rpartition(' in ')[2]}"
    return "no place in the suite"
