"""Run a scaling study, from the first baseline to the last, or continue one."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lad_mpi.errors import LadError, RunFailedError, UsageError
from lad_mpi.files import make_folder, whole_file
from lad_mpi.measure.scale.plan import planned_launches
from lad_mpi.measure.scale.verify import difference
from lad_mpi.records import (
    DRIFT_THRESHOLD,
    ScalingLaunch,
    ScalingRecord,
    compare_baselines,
    read_baseline,
    read_scaling,
    write_scaling,
)
from lad_mpi.records.scaling import SCALING_FILE
from lad_mpi.spec import to_toml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lad_mpi.measure.scale.launcher import LaunchCommand
    from lad_mpi.measure.scale.plan import Planned, ScalePlan
    from lad_mpi.spec import Spec

#: Folders that a study creates. None of them may be a link.
_FOLDERS = ("specs", "reference", "logs", "baselines")
_ONE_PROCESS_WORDS = 'the one-process run of "{}" failed: {}'


class ScaleProgress(Protocol):
    """Reports to the user while a study runs."""

    def begin(self, what: str, position: int, total: int) -> None:
        """Report the start of a launch, or of a baseline or reference (position 0)."""

    def end(self, launch: ScalingLaunch) -> None:
        """Report the end of a launch."""


@dataclass(frozen=True, slots=True)
class ScaleOptions:
    """Options of a study.

    Parameters
    ----------
    launches : int
        Number of launches of each case.
    seed : int
        Seed of the order of launches.
    tolerance : float or None
        Accepted relative difference to the one-process run; None demands the same bits.
    baseline : {"quick", "full", "none"}
        Baseline before and after the launches.
    drift : float
        Relative change between the two baselines that counts as drift.
    timeout_s : float
        Time limit of a launch in seconds.
    """

    launches: int = 5
    seed: int = 1
    tolerance: float | None = None
    baseline: str = "quick"
    drift: float = DRIFT_THRESHOLD
    timeout_s: float = 3600.0


def run_scaling(
    plan: ScalePlan,
    launcher: LaunchCommand,
    folder: Path,
    options: ScaleOptions,
    progress: ScaleProgress,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> ScalingRecord:
    """Make all launches of a study that its folder does not contain yet.

    Parameters
    ----------
    plan : ScalePlan
        The cases.
    launcher : LaunchCommand
        Starts the ranks.
    folder : Path
        Folder of the study. The record in it is replaced after every launch.
    options : ScaleOptions
        Options of the study.
    progress : ScaleProgress
        Receives reports.
    stopping : callable
        Returns True if the study is to stop. The same call continues it later.

    Returns
    -------
    ScalingRecord
        The record, as written.

    Raises
    ------
    UsageError
        The folder contains another study, or is not writable.
    RunFailedError
        A run in one process, or a baseline, failed.
    StoppedError
        ``stopping`` returned True.
    """
    session = _Session(plan, launcher, folder.absolute(), options, stopping)
    session.open()
    session.measure("before", progress)
    for number, (case, spec) in enumerate(plan.cases, start=1):
        session.refer(case.reference, spec, f"{number} of {len(plan.cases)}", progress)
    ordered = planned_launches([case for case, _ in plan.cases], options.launches, options.seed)
    for planned in ordered:
        if not session.has(planned):
            progress.begin(planned.log, planned.position, len(ordered))
            progress.end(session.launch(planned))
    session.measure("after", progress)
    return session.judge()


def new_record(plan: ScalePlan, launcher: LaunchCommand, options: ScaleOptions) -> ScalingRecord:
    """Return the record of a study before its first launch."""
    return ScalingRecord(
        kind=plan.kind,
        name=plan.name,
        growth_rule=plan.growth_rule,
        base=plan.base.name,
        ranks=list(plan.ranks),
        over=plan.over,
        launches_each=options.launches,
        seed=options.seed,
        tolerance=options.tolerance,
        launcher=list(launcher.words),
        cases=[case for case, _ in plan.cases],
        drift=options.drift,
    )


def run_arguments(spec: str, log: str) -> list[str]:
    """Return the arguments of ``lad-mpi`` for one launch, in the folder of the study."""
    return ["run", spec, "-o", log, "--overwrite", "--quiet", "--progress", "none"]


class _Session:
    """The state of one call of :func:`run_scaling`."""

    def __init__(
        self,
        plan: ScalePlan,
        launcher: LaunchCommand,
        folder: Path,
        options: ScaleOptions,
        stopping: Callable[[], bool],
    ) -> None:
        self._plan = plan
        self._launcher = launcher
        self._folder = folder
        self._options = options
        self._stopping = stopping
        self._launched = False
        self._record = new_record(plan, launcher, options)

    def open(self) -> None:
        """Start the study, or read what the folder contains."""
        if (self._folder / SCALING_FILE).exists():
            found = read_scaling(self._folder)
            # The number of launches may change: the order of the earlier ones stays.
            if {**found.plan, "launches_each": 0} != {**self._record.plan, "launches_each": 0}:
                raise UsageError(
                    f"{self._folder} contains another scaling study",
                    hint="choose another folder with -o, or repeat the command that started it",
                )
            self._record = dataclasses.replace(
                found, launches_each=self._options.launches, drift=self._options.drift
            )
        try:
            for name in _FOLDERS:
                make_folder(self._folder / name)
            for case, spec in self._plan.cases:
                with whole_file(self._folder / case.spec, text=True) as stream:
                    stream.write(to_toml(spec))
        except OSError as error:
            raise UsageError(
                f"cannot write {error.filename or self._folder}: {error.strerror or error}",
                hint="choose a writable folder with -o",
            ) from error
        self._save()

    def has(self, planned: Planned) -> bool:
        """Return whether a launch was made, even if it is void."""
        key = (planned.case.name, planned.number)
        return any((launch.case, launch.number) == key for launch in self._record.launches)

    def measure(self, when: str, progress: ScaleProgress) -> None:
        """Measure a baseline at every P, unless that was done."""
        if self._options.baseline == "none":
            return
        for ranks in self._plan.ranks:
            files = self._record.baselines.setdefault(str(ranks), {})
            if when in files and not (when == "after" and self._launched):
                continue
            name = f"baselines/{when}-p{ranks}.json"
            progress.begin(f"baseline {when} on {ranks} ranks", 0, 0)
            quick = ["--quick"] if self._options.baseline == "quick" else []
            failure = self._run(ranks, ["baseline", *quick, "--json", "-o", name])
            if failure:
                raise RunFailedError(f"the baseline on {ranks} ranks failed: {failure}")
            files[when] = name
            self._save()

    def refer(self, log: str, spec: Spec, which: str, progress: ScaleProgress) -> None:
        """Run a spec in one process, unless that was done."""
        path = self._folder / log
        if path.exists() and not difference(path, path, 1):
            return
        progress.begin(f"one-process run {which}", 0, 0)
        case = next(case for case, other in self._plan.cases if other == spec)
        _remove_link(path)
        failure = self._run(1, run_arguments(case.spec, log)) or difference(path, path, 1)
        if failure:
            raise RunFailedError(
                _ONE_PROCESS_WORDS.format(spec.name, failure),
                hint=f"lad-mpi run {self._folder / case.spec}",
            )

    def launch(self, planned: Planned) -> ScalingLaunch:
        """Make a launch, compare it with the one-process run, and record it."""
        case = planned.case
        arguments = run_arguments(case.spec, planned.log)
        _remove_link(self._folder / planned.log)
        start = time.perf_counter()
        void = self._run(case.ranks, arguments)
        wall_s = time.perf_counter() - start
        if not void:
            reference = self._folder / case.reference
            log = self._folder / planned.log
            void = difference(log, reference, case.ranks, self._options.tolerance)
        launch = ScalingLaunch(
            case=case.name,
            number=planned.number,
            position=planned.position,
            log=planned.log,
            command=self._launcher.command(case.ranks, arguments),
            wall_s=wall_s,
            void=void,
        )
        self._record.launches.append(launch)
        self._launched = True
        self._save()
        return launch

    def judge(self) -> ScalingRecord:
        """Record what voids the whole study. The analysis judges drift."""
        self._record.void[:] = [*self._machines(), *self._bindings()]
        self._save()
        return self._record

    def _machines(self) -> list[str]:
        """Return why baselines cannot be compared: they are of different machines."""
        found = []
        for files in self._record.baselines.values():
            if files.keys() == {"before", "after"}:
                before, after = (self._folder / files[when] for when in ("before", "after"))
                try:
                    compare_baselines(read_baseline(before), read_baseline(after))
                except UsageError as error:
                    found.append(error.message)
        return found

    def _bindings(self) -> list[str]:
        """Compare the processors of a rank at every P: a different binding would fake scaling."""
        # A dry run does not need HDF5.
        from lad_mpi.logs import read_log  # noqa: PLC0415

        widths: dict[int, Counter[int]] = {}
        for launch in self._record.launches:
            if launch.void:
                continue
            try:
                log = read_log(self._folder / launch.log)
                masks = [_count_cpus(mask) for mask in log.provenance["affinity"]]
            except LadError as error:
                return [f"{launch.log} cannot be read: {error.message}"]
            except (KeyError, ValueError):
                return [f"{launch.log} does not record the processors of its ranks"]
            widths.setdefault(log.ranks, Counter()).update(masks)
        if len({width for counts in widths.values() for width in counts}) <= 1:
            return []
        listed = ", ".join(f"P = {p}: {sorted(counts)}" for p, counts in sorted(widths.items()))
        return [f"the binding is not the same at every P; processors per rank: {listed}"]

    def _run(self, ranks: int, arguments: list[str]) -> str:
        return self._launcher.run(
            ranks,
            arguments,
            self._folder,
            timeout_s=self._options.timeout_s,
            stopping=self._stopping,
        )

    def _save(self) -> None:
        write_scaling(self._folder, self._record)


def _remove_link(log: Path) -> None:
    """Remove a log that is a link, because a run would replace its target."""
    if log.is_symlink():
        log.unlink()


def _count_cpus(ranges: str) -> int:
    """Count the processors in ``0-2,5``."""
    ends = (part.partition("-") for part in ranges.split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)
