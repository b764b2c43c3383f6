"""Check the folder of the log: space, HDF5, SWMR and locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lad_mpi.doctor.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.doctor.facts import RankFacts

#: The log of a long study may take this much.
_LITTLE_BYTES = 2**30
_WITHOUT_SWMR = ("nfs", "nfs4", "cifs", "smb3")
_VANISHING = {
    "tmpfs": "tmpfs is memory: logs are lost when the host restarts",
    "overlay": "overlay belongs to the container: logs are lost with it",
}


def judge_output(
    facts: Sequence[RankFacts], needed_bytes: int = 0, *, swmr: bool | None = None
) -> list[Finding]:
    """Check that the folder of the log can be written, has space, and keeps the log.

    Parameters
    ----------
    facts : sequence of RankFacts
        One per rank; only the server's has a folder.
    needed_bytes : int
        Least size of the log; 0 if unknown.
    swmr : bool, optional
        Whether the run writes in SWMR mode; None if unknown.
    """
    space = facts[0].output
    if space is None:
        return []
    # The permissions of root, and some mounts, look right until something is written.
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
                "free some space, give another folder with -o, or record fewer iterations",
            )
        ]
    if space.free_bytes < _LITTLE_BYTES:
        return [
            Finding(
                Severity.WARNING,
                "output",
                f"{space.folder} has only {free} left",
                "free some space or give another folder with -o; a full disk ends a run",
            )
        ]
    where = f"{space.folder} ({space.file_system or 'unknown file system'}): {free} free"
    return [Finding(Severity.OK, "output", where), *_judge_file_system(space.file_system, swmr)]


def _judge_file_system(kind: str, swmr: bool | None) -> list[Finding]:
    if kind in _VANISHING:
        fix = "write to a disk that stays"
        return [Finding(Severity.NOTE, "file system", _VANISHING[kind], fix)]
    if kind not in _WITHOUT_SWMR or swmr is False:
        return []
    return [
        Finding(
            Severity.WARNING if swmr else Severity.NOTE,
            "file system",
            f"{kind} does not support SWMR: other hosts may not read a log that grows",
            "set logging.swmr = false, or write to another file system",
        )
    ]


def judge_hdf5(facts: Sequence[RankFacts]) -> list[Finding]:
    """Judge what HDF5, its locks, SWMR and ``flock`` did in the folder of the log."""
    tried = facts[0].hdf5
    if tried is None or tried["write_error"]:
        return []
    folder, findings = tried["folder"], []
    if tried["hdf5_error"] and tried["unlocked_error"]:
        findings.append(
            Finding(
                Severity.FATAL,
                "hdf5",
                f"HDF5 cannot write in {folder}: {tried['hdf5_error']}",
                "give another folder with -o; python -c 'import h5py; print(h5py.version.info)' "
                "shows the version of HDF5",
            )
        )
    elif tried["hdf5_error"]:
        findings.append(
            Finding(
                Severity.FATAL,
                "hdf5",
                f"HDF5 cannot lock files in {folder}: {tried['hdf5_error']}",
                "export HDF5_USE_FILE_LOCKING=FALSE, and never write one output from two runs",
            )
        )
    elif tried["swmr_error"]:
        findings.append(
            Finding(
                Severity.WARNING,
                "hdf5",
                f"a log in {folder} cannot be read while it is written: {tried['swmr_error']}",
                "write to a local disk, or set logging.swmr = false; then a kill in the middle of "
                "a write may lose the log",
            )
        )
    if tried["lock_error"]:
        findings.append(
            Finding(
                Severity.WARNING,
                "locks",
                f"locks (flock) do not work in {folder}: {tried['lock_error']}",
                "never write one output from two runs: nothing prevents it here; on Lustre, ask "
                "for a mount with -o flock",
            )
        )
    text = "a second process can read a log that grows (SWMR), and locks work"
    return findings or [Finding(Severity.OK, "hdf5", text)]


def _bytes(count: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
