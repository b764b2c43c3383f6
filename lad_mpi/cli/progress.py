"""Progress of runs: a bar on a terminal, or lines in a batch log."""

from __future__ import annotations

import math
import sys
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from lad_mpi.text import one_line
from lad_mpi.training import NoProgress

if TYPE_CHECKING:
    import argparse
    from types import TracebackType

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from lad_mpi.study import Run
    from lad_mpi.training import Outcome
    from lad_mpi.transport import Link

_LINE_EVERY_S = 10.0


class Display(Protocol):
    """Display of one run or of a whole study."""

    def begin_run(self, name: str, seed: int, iterations: int) -> None:
        """Show the start of a run."""

    def end_run(self, outcome: Outcome) -> None:
        """Show the end of a run."""

    def note(self, text: str) -> None:
        """Show a remark."""

    def update(self, iteration: int, iterations: int, loss: float) -> None:
        """Show the number of completed iterations."""

    def start(self, run: Run, position: int, total: int) -> None:
        """Show the start of a run of a study."""

    def end(self, run: Run, outcome: Outcome) -> None:
        """Show the end of a run of a study."""

    def __enter__(self) -> Display:
        """Start the display."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the display."""


def open_progress(options: argparse.Namespace, link: Link) -> Display:
    """Return the display that the options choose; a silent one on all ranks but the server."""
    kind = options.progress
    if options.quiet or not link.is_server or kind == "none":
        return SilentDisplay()
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() else "lines"
    return BarDisplay() if kind == "bar" else LineDisplay()


class SilentDisplay(NoProgress):
    """Shows nothing."""

    def begin_run(self, name: str, seed: int, iterations: int) -> None:
        """Ignore it."""

    def end_run(self, outcome: Outcome) -> None:
        """Ignore it."""

    def start(self, run: Run, position: int, total: int) -> None:
        """Begin a run of a study."""
        self.begin_run(_numbered(run, position, total), run.spec.seed, run.spec.iterations)

    def end(self, run: Run, outcome: Outcome) -> None:  # noqa: ARG002
        """End a run of a study."""
        self.end_run(outcome)

    def __enter__(self) -> SilentDisplay:
        """Begin to display."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the display."""


class LineDisplay(SilentDisplay):
    """Plain lines: one when a run ends, and one every ten seconds of a long run."""

    def __init__(self) -> None:
        self._title = ""
        self._began = 0.0
        self._spoke = 0.0
        self._loss = float("nan")

    def begin_run(self, name: str, seed: int, iterations: int) -> None:  # noqa: ARG002
        """Remember the name and the start of a run."""
        self._title = one_line(f"{name} (seed {seed})")
        self._began = self._spoke = monotonic()
        self._loss = float("nan")

    def note(self, text: str) -> None:
        """Write it."""
        self._write(text)

    def update(self, iteration: int, iterations: int, loss: float) -> None:
        """Write a line, at most every ten seconds."""
        self._loss = loss
        if monotonic() - self._spoke >= _LINE_EVERY_S:
            self._spoke = monotonic()
            self._write(f"{iteration}/{iterations} iterations, loss {loss:.3e}")

    def end_run(self, outcome: Outcome) -> None:
        """Write the end of a run."""
        seconds = monotonic() - self._began
        known = outcome.status == "complete" and math.isfinite(self._loss)
        loss = f", loss {self._loss:.3e}" if known else ""
        self._write(f"{outcome.status}{loss}, {seconds:.1f} s")

    def _write(self, text: str) -> None:
        # Before its first run, a study has no title.
        title = f"{self._title}: " if self._title else ""
        sys.stderr.write(f"{title}{one_line(text)}\n")
        sys.stderr.flush()


class BarDisplay(SilentDisplay):
    """A bar for the run and, in a study, its place among all runs."""

    def __init__(self) -> None:
        from rich.progress import (  # noqa: PLC0415  (not needed in a batch job)
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        from lad_mpi.console import open_console  # noqa: PLC0415

        self._progress: RichProgress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(compact=True),
            # Under a launcher the stream is a pipe, but the user chose a bar.
            console=open_console(stderr=True, force_terminal=True),
            refresh_per_second=5,
            transient=True,
        )
        self._task: TaskID | None = None

    def begin_run(self, name: str, seed: int, iterations: int) -> None:
        """Replace the bar by one for the new run."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        title = one_line(f"{name} (seed {seed})")
        self._task = self._progress.add_task(title, total=iterations, loss="")

    def note(self, text: str) -> None:
        """Write a remark above the bar."""
        self._progress.console.print(one_line(text))

    def update(self, iteration: int, iterations: int, loss: float) -> None:  # noqa: ARG002
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=iteration, loss=f"loss {loss:.2e}")

    def __enter__(self) -> BarDisplay:
        """Begin to display."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the display and clear the line."""
        self._progress.stop()


def _numbered(run: Run, position: int, total: int) -> str:
    return f"[{position:>{len(str(total))}}/{total}] {run.title}"
