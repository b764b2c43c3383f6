"""A scaling study from the first baseline to the last, able to go on after an interruption."""

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

    from lad_mpi.measure.scale.launcher import Launcher
    from lad_mpi.measure.scale.plan import Planned, ScalePlan
    from lad_mpi.spec import Spec

#: What a study makes in its folder. None of it may be a link to another place.
_FOLDERS = ("specs", "reference", "logs", "baselines")
_ONE_PROCESS_WORDS = 'the one-process run of "{}" failed: {}'


class ScaleProgress(Protocol):
    """Shown to a person while a study goes on."""

    def begin(self, what: str, position: int, total: int) -> None:
        """Tell what begins: a baseline or reference (position 0), or a launch."""

    def end(self, launch: ScalingLaunch) -> None:
        """Tell how a launch ended."""


@dataclass(frozen=True, slots=True)
class ScaleOptions:
    """How a study is made.

    Parameters
    ----------
    launches : int
        Of each case.
    seed : int
        Of the order.
    tolerance : float or None
        Relative difference to the one-process run that is accepted; None for the same bits.
    baseline : {"quick", "full", "none"}
        What is measured before and after.
    drift : float
        Relative change between the two that voids what rests on the quantity.
    timeout_s : float
        How long a launch may take.
    """

    launches: int = 5
    seed: int = 1
    tolerance: float | None = None
    baseline: str = "quick"
    drift: float = DRIFT_THRESHOLD
    timeout_s: float = 3600.0


def run_scaling(
    plan: ScalePlan,
    launcher: Launcher,
    folder: Path,
    options: ScaleOptions,
    progress: ScaleProgress,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> ScalingRecord:
    """Make all launches that a folder does not hold yet.

    Parameters
    ----------
    plan : ScalePlan
        The cases.
    launcher : Launcher
        What starts ranks.
    folder : Path
        Of the study. The record in it is renewed after every launch.
    options : ScaleOptions
        How.
    progress : ScaleProgress
        Told on the way.
    stopping : callable
        Asked whether to stop; the same call goes on later.

    Returns
    -------
    ScalingRecord
        As written.

    Raises
    ------
    UsageError
        The folder holds another study, or cannot be written.
    RunFailedError
        A run in one process fails, so nothing can be held against it, or a baseline does.
    StoppedError
        ``stopping`` said so.
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


def new_record(plan: ScalePlan, launcher: Launcher, options: ScaleOptions) -> ScalingRecord:
    """Return the record of a study of which nothing is done yet."""
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
    """One call's work on a study."""

    def __init__(
        self,
        plan: ScalePlan,
        launcher: Launcher,
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
        """Begin the study, or go on with what the folder holds."""
        if (self._folder / SCALING_FILE).exists():
            found = read_scaling(self._folder)
            # More launches of the same study are welcome: the order of the earlier ones stays.
            if {**found.plan, "launches_each": 0} != {**self._record.plan, "launches_each": 0}:
                raise UsageError(
                    f"{self._folder} holds another scaling study",
                    hint="give another folder with -o, or repeat the command that began it",
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
                hint="give a folder of yours with -o",
            ) from error
        self._save()

    def has(self, planned: Planned) -> bool:
        """Tell whether a launch has been made, whatever became of it."""
        key = (planned.case.name, planned.number)
        return any((launch.case, launch.number) == key for launch in self._record.launches)

    def measure(self, when: str, progress: ScaleProgress) -> None:
        """Measure the machine at every P, once before all launches and once after the last."""
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
        """Run a spec in one process, unless that has been done."""
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
        """Make one launch, hold it against the one-process run, and record it."""
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
        """Say what voids the whole study, and record it; the analysis judges drifts."""
        self._record.void[:] = [*self._machines(), *self._bindings()]
        self._save()
        return self._record

    def _machines(self) -> list[str]:
        """Say which pairs of baselines cannot be compared: they are of different machines."""
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
        """Compare the processors of a rank at every P: another binding fakes scaling."""
        from lad_mpi.logs import read_log  # noqa: PLC0415  (only whoever ran something reads logs)

        widths: dict[int, Counter[int]] = {}
        for launch in self._record.launches:
            if launch.void:
                continue
            try:
                log = read_log(self._folder / launch.log)
                masks = [_count_cpus(mask) for mask in log.provenance["affinity"]]
            except LadError as error:
                return [f"{launch.log} has gone: {error.message}"]
            except (KeyError, ValueError):
                return [f"{launch.log} does not say on which processors its ranks ran"]
            widths.setdefault(log.ranks, Counter()).update(masks)
        if len({width for counts in widths.values() for width in counts}) <= 1:
            return []
        listed = ", ".join(f"P = {p}: {sorted(counts)}" for p, counts in sorted(widths.items()))
        return [f"the binding is not the same everywhere; processors a rank: {listed}"]

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
    """Remove a link: a run would replace what it points to."""
    if log.is_symlink():
        log.unlink()


def _count_cpus(ranges: str) -> int:
    """Count the processors in ``0-2,5``."""
    ends = (part.partition("-") for part in ranges.split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)
