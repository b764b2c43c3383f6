"""Run one case: mutate files of the corpus, and call a command on them."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import shutil
import stat
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import cli as analysis_cli
from hostile.commands import COMMANDS
from hostile.outside import SECRET, Outside
from lad_mpi.cli import main as suite
from lad_mpi.errors import ExitCode, as_lad_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hostile.commands import Command

MOST_BYTES = 10**9
#: Growth that is reported. It also replaces the worker, so that it does not hide later growth.
TOLD_BYTES = 10**8
CHANGED = "changed outside"
_CODES = {int(code) for code in ExitCode}
_PLACE = re.compile(r"\((\w+\.py), line \d+\)")
_NOT_COMPLETE = ("none of the logs is of a complete run", "is of a complete run")
_WEIGHTS = [command.weight for command in COMMANDS]


@dataclass(slots=True)
class Case:
    """A case and its findings.

    Parameters
    ----------
    number : int
        Number of the case; with the seed it determines the case.
    command : str
        The command line.
    mutations : list of str
        Descriptions of the mutations.
    problems : list of (str, str)
        The findings: a short text that is the same for the same cause, and details.
    code : int or None
        Exit code.
    peak_bytes, growth_bytes : int
        Peak resident memory, and its growth during the case.
    is_unmade : bool
        Whether the worker ended while it mutated the files, before it called the command.
    """

    number: int
    command: str = ""
    mutations: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    code: int | None = None
    peak_bytes: int = 0
    growth_bytes: int = 0
    is_unmade: bool = False

    @property
    def has_changed_outside(self) -> bool:
        """Whether the case has changed files outside its folder."""
        return any(cause == CHANGED for cause, _ in self.problems)

    def describe(self) -> str:
        """Return the command and the mutations."""
        return "\n".join([self.command, *(f"  {words}" for words in self.mutations)])


class Bench:
    """Runs cases one after another in this process.

    Parameters
    ----------
    corpus : Path
        The files before mutation.
    folder : Path
        Folder for the files of a case; its contents are removed.
    seed : int
        Seed of all cases.
    """

    def __init__(self, corpus: Path, folder: Path, seed: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._corpus, self._seed = corpus, seed
        self._outside = Outside(folder)
        self._folder = self._outside.case
        self._bugs: list[BaseException] = []
        self._watch_bugs()

    @property
    def outside(self) -> Outside:
        """The files that no case may change."""
        return self._outside

    def prepare(self, number: int) -> tuple[Case, Command]:
        """Draw a case and mutate its files."""
        chance = random.Random(f"{self._seed}/{number}")
        command = chance.choices(COMMANDS, _WEIGHTS)[0]
        if self._folder.exists():
            shutil.rmtree(self._folder)
        shutil.copytree(self._corpus / command.folder, self._folder)
        case = Case(number, command.words.replace("{}", "."))
        spoilt: set[Path] = set()
        for _ in range(chance.choice([1, 1, 2, 3])):
            words = command.mutate(self._folder, chance, self._outside.folder, spoilt)
            case.mutations.append(words)
        self._outside.restore()
        return case, command

    def carry_out(self, case: Case, command: Command) -> None:
        """Call the command and check its effects."""
        words = command.arguments(self._folder)
        before = _sizes(self._folder)
        _forget_peak()
        resident = _memory("VmRSS")
        code, output = self._call(words, case)
        case.code = code
        case.peak_bytes = _memory("VmHWM")
        case.growth_bytes = max(0, case.peak_bytes - resident)
        self._check(case, code, output)
        if words[0] == "validate" and code == 0:
            self._check_valid(case, words)
        self._check_files(case, before)

    def _call(self, words: Sequence[str], case: Case) -> tuple[int | None, str]:
        main: Callable[..., int] = suite.main
        if words[0] == "analysis":
            main, words = analysis_cli.main, words[1:]
        streams = io.StringIO(), io.StringIO()
        os.chdir(self._outside.folder / "cwd")
        self._bugs.clear()
        code: int | None = None
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            try:
                code = main(list(words))
            except BaseException as error:  # noqa: BLE001  (any exception is a finding)
                case.problems.append((f"left main: {_cause(error)}", _trace(error)))
        return code, streams[0].getvalue() + streams[1].getvalue()

    def _check(self, case: Case, code: int | None, output: str) -> None:
        for bug in self._bugs:
            case.problems.append((f"bug: {_cause(bug)}", _trace(bug)))
        if code is not None and code not in _CODES:
            case.problems.append((f"exit code {code}", output[-500:]))
        if not self._bugs:
            for words in ("this is a bug in lad_mpi", "Traceback"):
                if words in output:
                    place = _PLACE.search(output)
                    where = place[1] if place else "somewhere"
                    case.problems.append((f"{words!r}: {where}", output[-500:]))
        if case.peak_bytes > MOST_BYTES:
            what = f"{case.command.split()[0]}: {_kind(case)}"
            case.problems.append((f"memory: {what}", f"{case.peak_bytes / 1e6:.0f} MB"))
        if "not enough memory" in output:
            # Without the memory limit of the worker the command would have taken it.
            what = f"{case.command.split()[0]}: {_kind(case)}"
            case.problems.append((f"memory was refused: {what}", output[-500:]))

    def _check_valid(self, case: Case, words: Sequence[str]) -> None:
        """Check that other commands can read a log that validate accepts."""
        logs = [word for word in words[1:] if word.endswith(".h5")]
        for log in logs:
            for command in (["show", log], ["show", "--json", log], ["analysis", "table", log]):
                code, output = self._call(command, case)
                if command[0] == "analysis" and any(words in output for words in _NOT_COMPLETE):
                    code = 0
                if self._bugs or code != 0:
                    self._check(case, code, output)
                    text = f"called valid, but {' '.join(command[:-1])} ends with {code}"
                    case.problems.append((f"{text}: {_masked(output)}", output[-500:]))

    def _check_files(self, case: Case, before: dict[Path, tuple[int, int]]) -> None:
        if changes := self._outside.changes():
            case.problems.append((CHANGED, ", ".join(changes)))
        for path, state in _sizes(self._folder).items():
            if before.get(path) != state and state[0] < 10**7 and SECRET in path.read_bytes():
                case.problems.append(("copied what lies outside", path.name))

    def _watch_bugs(self) -> None:
        """Record the errors that are reported as bugs of lad_mpi."""
        from lad_mpi import terminal
        from lad_mpi.cli import world

        describe = terminal.describe

        def watched(error: BaseException):
            known = isinstance(error, (KeyboardInterrupt, UnicodeEncodeError))
            if as_lad_error(error) is None and not known:
                self._bugs.append(error)
            return describe(error)

        terminal.describe = watched
        world.describe = watched


def _sizes(folder: Path) -> dict[Path, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            about = path.lstat()
            if stat.S_ISREG(about.st_mode):
                found[path] = (about.st_size, about.st_mtime_ns)
    return found


def _cause(error: BaseException) -> str:
    """Return the type of an error and the last place in the suite that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if re.search(r"/(lad_mpi|analysis)/", f.filename)]
    if not own:
        return type(error).__name__
    place = re.search(r"(?:lad_mpi|analysis)/(?!.*(?:lad_mpi|analysis)/).*", own[-1].filename)
    return f"{type(error).__name__} in {place[0] if place else '?'}, {own[-1].name}"


def _trace(error: BaseException) -> str:
    lines = traceback.format_exception(error, limit=-8)
    return "".join(lines)[-2500:]


def _masked(output: str) -> str:
    lines = [line for line in output.splitlines() if "error" in line] or ["?"]
    return re.sub(r"/\S+|\d+", "…", lines[-1])[:100]


def _kind(case: Case) -> str:
    """Return the mutations without numbers, for grouping."""
    return "; ".join(re.sub(r"[\d.]+", "", words)[:60] for words in case.mutations[-1:])


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _forget_peak() -> None:
    """Reset the kernel's peak of resident memory (VmHWM)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
