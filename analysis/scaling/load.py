"""A scaling study's record with the logs and baselines that it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.errors import LadError, UsageError
from lad_mpi.logs import read_log
from lad_mpi.records import read_baseline, read_scaling

if TYPE_CHECKING:
    from pathlib import Path

    from lad_mpi.logs import RunLog
    from lad_mpi.records import Baseline, ScalingCase, ScalingRecord


@dataclass(frozen=True, slots=True, eq=False)
class CaseRuns:
    """A case with its launches.

    Parameters
    ----------
    case : ScalingCase
        Ranks and axes.
    runs : tuple of RunLog
        Launches whose times count.
    void : tuple of str
        Why others do not, one line each.
    """

    case: ScalingCase
    runs: tuple[RunLog, ...]
    void: tuple[str, ...]

    @property
    def oversubscribed(self) -> bool:
        """Whether some launch had more threads than processors."""
        return any(run.provenance.get("oversubscribed", False) for run in self.runs)

    @property
    def emulated_network(self) -> str:
        """The network that was emulated, in some launch at least; empty where none was."""
        return next((run.emulated_network for run in self.runs if run.emulated_network), "")

    @property
    def shared_compute(self) -> bool:
        """Whether redundant gradients were computed once a rank."""
        return any(run.spec.get("compute") == "shared" for run in self.runs)

    @property
    def overlap(self) -> bool:
        """Whether messages were gathered while the server worked."""
        return any(run.spec.get("overlap", False) for run in self.runs)


@dataclass(frozen=True, slots=True, eq=False)
class ScalingStudy:
    """All that a study's folder holds.

    Parameters
    ----------
    folder : Path
        Of the study.
    record : ScalingRecord
        What was done.
    cases : tuple of CaseRuns
        In the order of the record.
    baselines, later_baselines : dict of Baseline
        By ranks: what was measured before the launches, and after them.
    """

    folder: Path
    record: ScalingRecord
    cases: tuple[CaseRuns, ...]
    baselines: dict[int, Baseline]
    later_baselines: dict[int, Baseline]

    @property
    def void(self) -> list[str]:
        """Why the study as a whole makes no claim; empty where it makes some."""
        found = list(self.record.void)
        missing = self.record.launches_each * len(self.cases) - len(self.record.launches)
        if missing > 0:
            found.append(f"{missing} launches have not been made: the study is not finished")
        elif self.baselines.keys() != self.later_baselines.keys():
            found.append("the machine was not measured after the launches: go on with the study")
        return found


def load_scaling(folder: Path) -> ScalingStudy:
    """Read a study.

    Raises
    ------
    UsageError, LogFormatError
        The folder holds none, or no launch whose times count.
    """
    record = read_scaling(folder)
    place = folder if folder.is_dir() else folder.parent
    cases = tuple(_load_case(place, record, case) for case in record.cases)
    if not any(case.runs for case in cases):
        reasons = "\n  ".join(line for case in cases for line in case.void)
        raise UsageError(f"{folder}: no launch has times that count\n  {reasons}".rstrip())
    before, after = (
        {
            int(ranks): read_baseline(place / files[when])
            for ranks, files in record.baselines.items()
            if when in files
        }
        for when in ("before", "after")
    )
    return ScalingStudy(place, record, cases, before, after)


def _load_case(folder: Path, record: ScalingRecord, case: ScalingCase) -> CaseRuns:
    runs, void = [], []
    for launch in record.launches:
        if launch.case != case.name:
            continue
        if launch.void:
            void.append(f"{launch.log}: {launch.void}")
            continue
        try:
            run = read_log(folder / launch.log)
        except LadError as error:
            void.append(f"{launch.log}: {error.message}")
            continue
        if run.status == "complete" and run.ranks == case.ranks and len(run.iteration):
            runs.append(run)
        else:
            void.append(f"{launch.log}: {run.status}, of {run.ranks} ranks")
    return CaseRuns(case, tuple(runs), tuple(void))
