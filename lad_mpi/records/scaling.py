"""The record of a scaling study: cases, launches, baselines, and what is void."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, FailFast, Field, TypeAdapter

from lad_mpi.errors import LogFormatError
from lad_mpi.records.baseline import DRIFT_THRESHOLD
from lad_mpi.records.files import (
    Count,
    FileInFolder,
    Line,
    NotNegative,
    read_record_as,
    write_record,
)

_KIND, _VERSION = "scaling", 2
SCALING_FILE = "scaling.json"
#: Fields that change while a study runs, or when it is judged again.
_DONE = ("launches", "baselines", "void", "drift")
_LARGEST = 2**63


def _is_small(value: Any) -> Any:
    """Refuse numbers that are too large for a key of a spec."""
    if isinstance(value, (int, float)) and not -_LARGEST < value < _LARGEST:
        raise ValueError("expected a number below 2**63")
    return value


_Value = Annotated[Any, AfterValidator(_is_small)]
_Ranks = Annotated[str, Field(pattern="^[1-9][0-9]{0,9}$")]


@dataclass(frozen=True, slots=True)
class ScalingCase:
    """A spec on a number of ranks.

    Parameters
    ----------
    name : str
        Unique in the study: ``"p3"``, ``"p3-load=10"``.
    ranks : int
        P.
    over : dict
        Values of the axes, by dotted key.
    growth : float
        Factor by which the spec was grown; 1 in the base case.
    spec : str
        File of the spec, relative to the folder of the study.
    identity : str
        Identity of the run, a hash.
    reference : str
        Log of the same spec in one process, relative to the folder.
    """

    name: Line
    ranks: Count
    over: dict[Line, _Value]
    growth: Annotated[float, Field(gt=0, le=1e30)]
    spec: FileInFolder
    identity: Line
    reference: FileInFolder


@dataclass(frozen=True, slots=True)
class ScalingLaunch:
    """A launch that ended.

    Parameters
    ----------
    case : str
        Name of the case.
    number : int
        Number of the launch within its case, from 1.
    position : int
        Position in the order of all launches, from 1.
    log : str
        Path of the log, relative to the folder of the study.
    command : list of str
        Command that was run in the folder of the study.
    wall_s : float
        Wall time of the launcher in seconds.
    void : str
        Why its times are void; empty if they are valid.
    """

    case: Line
    number: Count
    position: Count
    log: FileInFolder
    command: list[str]
    wall_s: NotNegative
    void: str = ""


@dataclass(frozen=True, slots=True)
class ScalingRecord:
    """A scaling study.

    Parameters
    ----------
    kind : {"strong", "weak"}
        Whether the total work or the work of a device rank is the same at every P.
    name : str
        Name of the spec.
    growth_rule : str
        How the spec grows with P, in words.
    base : str
        Name of the case that speed-ups refer to.
    ranks : list of int
        All values of P.
    over : dict
        Further axes: dotted keys and their values.
    launches_each : int
        Number of launches planned for each case.
    seed : int
        Seed of the order of launches.
    tolerance : float or None
        Accepted relative difference to the one-process run; None demands the same bits.
    launcher : list of str
        Command that starts ranks, the same at every P.
    cases : list of ScalingCase
    launches : list of ScalingLaunch
        Launches in the order in which they ran.
    baselines : dict of dict of str
        By P, as text: the files ``before`` and ``after``, relative to the folder.
    void : list of str
        Why the whole study is void; empty if it is valid.
    drift : float
        Relative change of a quantity between the baselines that counts as drift.
    """

    kind: Literal["strong", "weak"]
    name: Line
    growth_rule: Line
    base: Line
    ranks: Annotated[list[Count], FailFast()]
    over: dict[Line, Annotated[list[_Value], FailFast()]]
    launches_each: Count
    seed: int
    tolerance: NotNegative | None
    launcher: Annotated[list[str], FailFast()]
    cases: Annotated[list[ScalingCase], FailFast()]
    launches: Annotated[list[ScalingLaunch], FailFast()] = field(default_factory=list)
    baselines: dict[_Ranks, dict[Line, FileInFolder]] = field(default_factory=dict)
    void: Annotated[list[str], FailFast()] = field(default_factory=list)
    #: Version 0.1 of the suite did not record it.
    drift: NotNegative = DRIFT_THRESHOLD

    @property
    def plan(self) -> dict[str, Any]:
        """The fields that must not change when a study is continued."""
        whole = dataclasses.asdict(self)
        return {key: whole[key] for key in whole if key not in _DONE}

    def case(self, name: str) -> ScalingCase:
        """Return a case by its name."""
        return next(case for case in self.cases if case.name == name)


def write_scaling(folder: Path, record: ScalingRecord) -> Path:
    """Write the record of a study to its folder.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    path = folder / SCALING_FILE
    write_record(path, _KIND, _VERSION, dataclasses.asdict(record))
    return path


def read_scaling(folder: Path) -> ScalingRecord:
    """Read the record of a study from its folder.

    Raises
    ------
    UsageError, LogFormatError
        There is no record, or it is damaged.
    """
    path = Path(folder)
    path = path / SCALING_FILE if path.is_dir() else path
    record = read_record_as(path, _KIND, _VERSION, TypeAdapter(ScalingRecord))
    names = {case.name for case in record.cases}
    unknown = {record.base, *(launch.case for launch in record.launches)} - names
    if unknown or len(names) < len(record.cases):
        what = f"it has no case {min(unknown)!r}" if unknown else "two cases have the same name"
        raise LogFormatError(f"{path} is damaged or incomplete: {what}")
    return record
