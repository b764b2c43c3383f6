"""Read a scaling study: its record, logs and baselines."""

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
        The case.
    runs : tuple of RunLog
        Logs of the valid launches.
    void : tuple of str
        Why other launches are void, one line for each.
    """

    case: ScalingCase
    runs: tuple[RunLog, ...]
    void: tuple[str, ...]

    @property
    def oversubscribed(self) -> bool:
        """Whether any launch had more threads than processors."""
        return any(run.provenance.get("oversubscribed", False) for run in self.runs)

    @property
    def emulated_network(self) -> str:
        """The emulated network; empty if there was none."""
        return next((run.emulated_network for run in self.runs if run.emulated_network), "")

    @property
    def shared_compute(self) -> bool:
        """Whether each rank computed redundant gradients only once."""
        return any(run.spec.get("compute") == "shared" for run in self.runs)

    @property
    def servers(self) -> int:
        """Number of server ranks."""
        return self.runs[0].servers


@dataclass(frozen=True, slots=True, eq=False)
class ScalingStudy:
    """The contents of the folder of a study.

    Parameters
    ----------
    folder : Path
        Folder of the study.
    record : ScalingRecord
        Its record.
    cases : tuple of CaseRuns
        Cases, in the order of the record.
    baselines, later_baselines : dict of Baseline
        Baselines before and after the launches, by P.
    """

    folder: Path
    record: ScalingRecord
    cases: tuple[CaseRuns, ...]
    baselines: dict[int, Baseline]
    later_baselines: dict[int, Baseline]

    @property
    def void(self) -> list[str]:
        """Why the whole study is void; empty if it is valid."""
        found = list(self.record.void)
        missing = self.record.launches_each * len(self.cases) - len(self.record.launches)
        if missing > 0:
            found.append(f"{missing} launches are missing: the study is not finished")
        elif self.baselines.keys() != self.later_baselines.keys():
            found.append("there is no baseline after the launches: the study is not finished")
        return found


def load_scaling(folder: Path) -> ScalingStudy:
    """Read a study.

    Raises
    ------
    UsageError, LogFormatError
        The folder contains no study, or the study has no valid launch.
    """
    record = read_scaling(folder)
    place = folder if folder.is_dir() else folder.parent
    cases = tuple(_load_case(place, record, case) for case in record.cases)
    if not any(case.runs for case in cases):
        reasons = "\n  ".join(line for case in cases for line in case.void)
        raise UsageError(f"{folder}: all launches are void\n  {reasons}".rstrip())
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
            void.append(f"{launch.log}: {run.status}, with {run.ranks} ranks")
    return CaseRuns(case, tuple(runs), tuple(void))
