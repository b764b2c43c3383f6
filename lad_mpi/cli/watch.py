"""``lad-mpi study watch``."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from datetime import datetime
from time import monotonic, sleep
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.text import Text

from lad_mpi.cli.arguments import refuse_ranks
from lad_mpi.cli.study import chosen_study, study_folder
from lad_mpi.cli.watch_view import describe, screen
from lad_mpi.console import open_console
from lad_mpi.errors import ExitCode
from lad_mpi.study import StudyWatch

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from lad_mpi.study import Look

_LIVE_EVERY_S = 2.0
_LINES_EVERY_S = 30.0
#: How quickly the live view reacts to a key and to a new size of the terminal.
_REACTION_S = 0.2


def watch(options: argparse.Namespace) -> ExitCode:
    """Show the runs of a study until they have ended."""
    refuse_ranks("a study is watched by one process")
    study = chosen_study(options)
    watcher = StudyWatch(study, study_folder(options, study))
    console = open_console()
    if not options.once and _is_foreground(console):
        look = _show_live(study.name, watcher, console, options.every or _LIVE_EVERY_S)
    else:
        every_s = 0.0 if options.once else options.every or _LINES_EVERY_S
        look = _show_lines(study.name, watcher, every_s)
    return ExitCode.FAILED if look.has_failed else ExitCode.OK


def _show_lines(name: str, watcher: StudyWatch, every_s: float) -> Look:
    """Print what has changed at each look, until all runs have ended; once for 0 seconds."""
    known: dict[str, str] = {}
    while True:
        look = watcher.look()
        for line in describe(name, look, known):
            sys.stdout.write(f"{datetime.now().astimezone():%H:%M:%S} {line}\n")
        sys.stdout.flush()
        if look.is_over or not every_s:
            return look
        sleep(every_s)


def _show_live(name: str, watcher: StudyWatch, console: Console, every_s: float) -> Look:
    """Draw the runs on the whole terminal, until all have ended or a key is pressed."""
    with _keys() as leaves, Live(console=console, screen=True, auto_refresh=False) as live:
        live.update(Text(f"reading the logs of {name} …"), refresh=True)
        while True:
            look = watcher.look()
            if _draw(name, look, live, leaves, every_s):
                break
    # The terminal shows again what it showed before.
    for line in describe(name, look, {}):
        sys.stdout.write(f"{line}\n")
    return look


def _draw(
    name: str, look: Look, live: Live, leaves: Callable[[float], bool], seconds: float
) -> bool:
    """Draw the runs for some time, or once if all have ended; return whether to leave."""
    size = None
    until_s = monotonic() + seconds
    while monotonic() < until_s:
        # The terminal may have a new size.
        if live.console.size != size:
            size = live.console.size
            live.update(Group(*screen(name, look, *size)), refresh=True)
        if look.is_over or leaves(_REACTION_S):
            return True
    return False


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Read single keys; yield a function that waits and returns whether to leave."""
    descriptor = sys.__stdin__.fileno() if sys.__stdin__ is not None else -1
    has_keys = os.isatty(descriptor)
    saved = termios.tcgetattr(descriptor) if has_keys else None

    is_interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal is_interrupted
        is_interrupted = True

    def leaves(seconds: float) -> bool:
        nonlocal has_keys
        if is_interrupted:
            raise KeyboardInterrupt
        if not has_keys:
            sleep(seconds)
            return False
        if not select.select([descriptor], [], [], seconds)[0]:
            return False
        pressed = os.read(descriptor, 1)
        has_keys = bool(pressed)
        return pressed in {b"q", b"Q"}

    # An exception in a signal handler may be lost, for instance in a callback of the garbage
    # collector. A terminated process must give the terminal back, too.
    signals = (signal.SIGINT, signal.SIGTERM)
    earlier = [signal.signal(number, interrupt) for number in signals]
    try:
        if has_keys:
            tty.setcbreak(descriptor)
        yield leaves
    finally:
        for number, handler in zip(signals, earlier, strict=True):
            signal.signal(number, handler)
        if saved is not None:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, saved)


def _is_foreground(console: Console) -> bool:
    """Return whether there is a terminal that this process may draw on."""
    if not console.is_terminal or console.is_dumb_terminal:
        return False
    try:
        return os.tcgetpgrp(sys.stdout.fileno()) == os.getpgrp()
    except OSError:
        return False
