"""Where the log and temporary files go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lad_mpi.doctor.facts import RankFacts, Space, by_host
from lad_mpi.doctor.finding import Finding, Severity
from lad_mpi.transport.shared_memory import is_checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What a log of a long study may take.
_LITTLE_BYTES = 2**30
_LITTLE_TEMPORARY_BYTES = 2**28
#: MPI libraries take some MB a rank; containers are given 64 MiB unless told otherwise.
_SHARED_BYTES_PER_RANK = 2**23
_SLOW_SYNC_S = 1.0
#: File systems that are known for something, and what it is.
_KNOWN = {
    "nfs": "NFS has no SWMR, and locks only where the server grants them",
    "nfs4": "NFS has no SWMR, and locks only where the server grants them",
    "cifs": "CIFS has no SWMR",
    "smb3": "CIFS has no SWMR",
    "lustre": "Lustre locks only where it is mounted with -o flock; many small files are slow",
    "gpfs": "GPFS locks across hosts; many small files are slow",
    "beegfs": "BeeGFS locks across hosts only where tuneUseGlobalFileLocks is set",
    "tmpfs": "tmpfs is memory: logs are lost when the host restarts",
    "overlay": "overlay belongs to the container: logs are lost with it",
}
_PARALLEL = ("lustre", "gpfs", "beegfs")
_SWMR = ("nfs", "nfs4", "cifs", "smb3")


def judge_output(
    facts: Sequence[RankFacts], needed_bytes: int = 0, *, swmr: bool | None = None
) -> list[Finding]:
    """Judge whether the folder of the log may be written, and has room.

    Parameters
    ----------
    facts : sequence of RankFacts
        One a rank; only the server's has a folder.
    needed_bytes : int
        What the run is known to write at least; 0 where nothing is known.
    swmr : bool, optional
        Whether the run writes in SWMR mode; None where it is not known.
    """
    space = facts[0].output
    if space is None:
        return []
    # Root may write anywhere, and some places refuse all the same: what was tried counts more.
    error = (facts[0].hdf5 or {}).get("write_error") or space.error
    if error:
        return [
            Finding(
                Severity.FATAL,
                "output",
                f"{space.folder} cannot be written: {error}",
                "give a folder of yours with -o; quota -s and df -h show what is left",
            )
        ]
    free = _bytes(space.free_bytes)
    if space.free_bytes < needed_bytes:
        return [
            Finding(
                Severity.FATAL,
                "output",
                f"{space.folder} has {free} left, and the log takes {_bytes(needed_bytes)}",
                "make room, give another folder with -o, or record fewer iterations",
            )
        ]
    if space.free_bytes < _LITTLE_BYTES:
        return [
            Finding(
                Severity.WARNING,
                "output",
                f"{space.folder} has only {free} left",
                "make room or give another folder with -o; a full disk ends a run",
            )
        ]
    where = f"{space.folder} ({space.file_system or 'unknown file system'}): {free} free"
    return [Finding(Severity.OK, "output", where), *_file_system(space.file_system, swmr)]


def _file_system(kind: str, swmr: bool | None) -> list[Finding]:
    if kind not in _KNOWN or (kind in _SWMR and swmr is False):
        return []
    severity, fix = Severity.NOTE, "put results on a disk that stays"
    if kind in _SWMR:
        severity = Severity.WARNING if swmr else Severity.NOTE
        fix = "set logging.swmr = false, or write to another file system"
    elif kind in _PARALLEL:
        fix = "see what lad-mpi doctor finds when it tries; pack many runs into one study"
    return [Finding(severity, "file system", _KNOWN[kind], fix)]


def judge_hdf5(facts: Sequence[RankFacts]) -> list[Finding]:
    """Judge what was tried in the folder of the log: HDF5, its locks, SWMR, and flock."""
    tried = facts[0].hdf5
    if tried is None or tried["write_error"]:
        return []
    findings = _created(tried) + _locks(tried)
    if tried["sync_s"] > _SLOW_SYNC_S:
        findings.append(
            Finding(
                Severity.NOTE,
                "output",
                f"{tried['folder']} takes {tried['sync_s']:.1f} s to write 1 MiB to the disk",
                "raise logging.flush_every, or write to a local disk and copy at the end",
            )
        )
    if not findings:
        text = "a second process reads a log that grows (SWMR), and locks hold"
        findings.append(Finding(Severity.OK, "hdf5", text))
    return findings


def judge_temporary(facts: Sequence[RankFacts]) -> list[Finding]:
    """Judge the folder of temporary files, and shared memory, on every host."""
    findings = []
    for host, ranks in by_host(facts).items():
        spaces = [r.temporary for r in ranks if r.temporary is not None]
        bad = [space for space in spaces if _is_tight(space)]
        if bad:
            trouble = bad[0].error or f"only {_bytes(bad[0].free_bytes)} left"
            findings.append(
                Finding(
                    Severity.WARNING,
                    "temporary files",
                    f"{bad[0].folder} on {host}: {trouble}",
                    "make room, or set TMPDIR to a local folder that can be written",
                    (host,),
                )
            )
        findings += _shared_memory(host, ranks)
    spaces = [r.temporary for r in facts if r.temporary is not None]
    if spaces and not findings:
        least = min(spaces, key=lambda space: space.free_bytes)
        text = f"{least.folder}: {_bytes(least.free_bytes)} free"
        findings.append(Finding(Severity.OK, "temporary files", text))
    return findings


def _shared_memory(host: str, ranks: Sequence[RankFacts]) -> list[Finding]:
    spaces = [r.shared_memory for r in ranks if r.shared_memory is not None]
    # Of libraries whose need is known it was looked at before MPI began.
    if not spaces or len(ranks) == 1 or is_checked(ranks[0].mpi.get("library", "")):
        return []
    least = min(space.free_bytes for space in spaces)
    if least >= _SHARED_BYTES_PER_RANK * len(ranks):
        return []
    return [
        Finding(
            Severity.WARNING,
            "shared memory",
            f"{spaces[0].folder} on {host} has {_bytes(least)} for {len(ranks)} ranks: MPI may "
            "fail, or take a slower way",
            "give the container more (docker --shm-size=1g), or remove what dead jobs left there",
            (host,),
        )
    ]


def _created(tried: Mapping[str, Any]) -> list[Finding]:
    folder, error = tried["folder"], tried["hdf5_error"]
    if not error:
        if not tried["swmr_error"]:
            return []
        return [
            Finding(
                Severity.WARNING,
                "hdf5",
                f"a log in {folder} cannot be read while it is written: {tried['swmr_error']}",
                "set logging.swmr = false (a kill in the middle of a write may then lose the "
                "log), or write to a local disk",
            )
        ]
    if not tried["unlocked_error"]:
        return [
            Finding(
                Severity.FATAL,
                "hdf5",
                f"HDF5 cannot lock files in {folder}: {error}",
                "export HDF5_USE_FILE_LOCKING=FALSE, and let no two runs write one output",
            )
        ]
    return [
        Finding(
            Severity.FATAL,
            "hdf5",
            f"HDF5 cannot write in {folder}: {error}",
            "give another folder with -o; python -c 'import h5py; print(h5py.version.info)' says "
            "which HDF5 it is",
        )
    ]


def _locks(tried: Mapping[str, Any]) -> list[Finding]:
    if not tried["lock_error"]:
        return []
    return [
        Finding(
            Severity.WARNING,
            "locks",
            f"locks (flock) do not hold in {tried['folder']}: {tried['lock_error']}",
            "let no two runs write one output, for nothing keeps them apart here; on Lustre ask "
            "for a mount with -o flock",
        )
    ]


def _is_tight(space: Space) -> bool:
    return bool(space.error) or space.free_bytes < _LITTLE_TEMPORARY_BYTES


def _bytes(count: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
