"""What a person sees while runs go on: a bar on a terminal, lines in a batch log."""

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
    """Progress of one run or of a whole study."""

    def begin_run(self, name: str, seed: int, iterations: int) -> None:
        """Tell that a run begins."""

    def end_run(self, outcome: Outcome) -> None:
        """Tell how it ended."""

    def note(self, text: str) -> None:
        """Tell something that a person should know."""

    def update(self, iteration: int, iterations: int, loss: float) -> None:
        """Tell how far the run is."""

    def start(self, run: Run, position: int, total: int) -> None:
        """Tell that a run of a study begins."""

    def end(self, run: Run, outcome: Outcome) -> None:
        """Tell how a run of a study ended."""

    def __enter__(self) -> Display:
        """Begin to display."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the display."""


def open_progress(options: argparse.Namespace, link: Link) -> Display:
    """Return the display that the options ask for; silent on all ranks but the server."""
    kind = options.progress
    if options.quiet or not link.is_server or kind == "none":
        return Silent()
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() else "lines"
    return Bar() if kind == "bar" else Lines()


class Silent(NoProgress):
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

    def __enter__(self) -> Silent:
        """Begin to display."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the display."""


class Lines(Silent):
    """Plain lines: one when a run ends, and one every ten seconds of a long run."""

    def __init__(self) -> None:
        self._title = ""
        self._began = 0.0
        self._spoke = 0.0
        self._loss = float("nan")

    def begin_run(self, name: str, seed: int, iterations: int) -> None:  # noqa: ARG002
        """Remember what runs."""
        self._title = one_line(f"{name} (seed {seed})")
        self._began = self._spoke = monotonic()
        self._loss = float("nan")

    def note(self, text: str) -> None:
        """Write it."""
        self._write(text)

    def update(self, iteration: int, iterations: int, loss: float) -> None:
        """Write a line if the last one is long ago."""
        self._loss = loss
        if monotonic() - self._spoke >= _LINE_EVERY_S:
            self._spoke = monotonic()
            self._write(f"{iteration}/{iterations} iterations, loss {loss:.3e}")

    def end_run(self, outcome: Outcome) -> None:
        """Write how the run ended."""
        seconds = monotonic() - self._began
        known = outcome.status == "complete" and math.isfinite(self._loss)
        loss = f", loss {self._loss:.3e}" if known else ""
        self._write(f"{outcome.status}{loss}, {seconds:.1f} s")

    def _write(self, text: str) -> None:
        # A study says some things before its first run.
        title = f"{self._title}: " if self._title else ""
        sys.stderr.write(f"{title}{one_line(text)}\n")
        sys.stderr.flush()


class Bar(Silent):
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
            # Under a launcher the stream is a pipe, but the person asked for a bar.
            console=open_console(stderr=True, force_terminal=True),
            refresh_per_second=5,
            transient=True,
        )
        self._task: TaskID | None = None

    def begin_run(self, name: str, seed: int, iterations: int) -> None:
        """Show a new bar in place of the last."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        title = one_line(f"{name} (seed {seed})")
        self._task = self._progress.add_task(title, total=iterations, loss="")

    def note(self, text: str) -> None:
        """Write it above the bar."""
        self._progress.console.print(one_line(text))

    def update(self, iteration: int, iterations: int, loss: float) -> None:  # noqa: ARG002
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=iteration, loss=f"loss {loss:.2e}")

    def __enter__(self) -> Bar:
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
