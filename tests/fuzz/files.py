"""Fuzz all commands that read files, with mutated logs, checkpoints, records, TOML and data.

    python tests/fuzz/files.py --cases 100000 --seed 1 --jobs 2

Each case mutates some files of a small valid study and calls a command on them. The
command must end within 10 s with a documented exit code and a message, take less than
1 GB of memory, and write only in its folder. A log that `validate` accepts must be
readable by the other commands. ``--only 17`` repeats one case of a seed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))
os.environ["MPLBACKEND"] = "Agg"

from hostile.case import TOLD_BYTES, Bench, Case
from hostile.corpus import make_corpus
from hostile.pool import Pool

_PROGRAMS = {
    "sbatch": "echo 4713",
    "squeue": "echo '4711|1|PENDING|Priority'",
    "sacct": "exit 1",
    "fuzz-launcher": "exit 1",
}


@dataclass
class Tally:
    """The results of cases."""

    cases: int = 0
    unmade: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    groups: dict[str, list[tuple[Case, str]]] = field(default_factory=dict)
    grown: list[Case] = field(default_factory=list)
    peak: Case = field(default_factory=lambda: Case(0))
    began: float = field(default_factory=time.monotonic)

    def add(self, case: Case) -> None:
        """Count a case."""
        if case.is_unmade:
            self.unmade += 1
            return
        self.cases += 1
        self.codes[str(case.code)] += 1
        for cause, details in case.problems:
            self.groups.setdefault(cause, []).append((case, details))
        if case.growth_bytes > TOLD_BYTES:
            self.grown.append(case)
        self.peak = max(self.peak, case, key=lambda one: one.peak_bytes)

    def report(self, *, details: bool = True) -> str:
        """Return all findings by cause, each with its first case."""
        lasted = time.monotonic() - self.began
        codes = ", ".join(f"{count} with {code}" for code, count in sorted(self.codes.items()))
        lines = [
            f"cases   {self.cases} in {lasted:.0f} s, {self.cases / lasted:.1f} a second",
            f"unmade  {self.unmade} cases: the worker ended while it mutated the files",
            f"exits   {codes}",
            (
                f"memory  at most {self.peak.peak_bytes / 1e6:.0f} MB, in case {self.peak.number}; "
                f"{len(self.grown)} cases took more than {TOLD_BYTES / 1e6:.0f} MB"
            ),
            *(
                f"  case {case.number}: +{case.growth_bytes / 1e6:.0f} MB: {case.describe()}"
                for case in sorted(self.grown, key=lambda one: -one.growth_bytes)[:3]
            ),
            f"causes  {len(self.groups)}",
        ]
        for cause, found in sorted(self.groups.items(), key=lambda item: -len(item[1])):
            case, text = found[0]
            lines += ["", f"FINDING, {len(found)} times: {cause}"]
            lines += [f"  first in case {case.number}: {case.describe()}"]
            lines += [f"  | {line[:200]}" for line in text.strip().splitlines()] if details else []
        return "\n".join(lines)


def fuzz(numbers: list[int], *, seed: int, jobs: int, folder: Path, progress: bool) -> Tally:
    """Create the corpus, run cases, and return the results."""
    _prepare(folder)
    pool = Pool(lambda place: Bench(folder / "corpus", place, seed), folder, jobs)
    tally = Tally()
    try:
        for case in pool.run(numbers):
            tally.add(case)
            if progress and tally.cases % 500 == 0:
                print(f"{tally.cases} cases, {len(tally.groups)} causes", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped by a signal: the results are incomplete", file=sys.stderr)
    if changed := pool.close():
        case = Case(-1, mutations=["seen at the end"])
        tally.groups["changed outside, at the end"] = [(case, ", ".join(changed))]
    return tally


def _prepare(folder: Path) -> None:
    """Create the corpus, and fakes of the programs that commands call."""
    programs = folder / "bin"
    programs.mkdir()
    for name, text in _PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    os.environ["PATH"] = f"{programs}:/usr/bin:/bin"
    os.environ["MPLCONFIGDIR"] = str(folder / "matplotlib")
    (folder / "corpus").mkdir()
    make_corpus(folder / "corpus")
    _import_all()
    # Test the comparison with an earlier baseline without measuring a new one.
    from lad_mpi.cli import baseline
    from lad_mpi.records import read_baseline

    known = read_baseline(folder / "corpus/scaling/baselines/before-p1.json")
    mock.patch.object(baseline, "measure_baseline", return_value=known).start()


def _import_all() -> None:
    """Import modules that commands import late once, before workers are forked."""
    import analysis.figures
    import analysis.forecast.table
    import analysis.scaling.table
    import analysis.table  # noqa: F401
    import lad_mpi.cli.scale
    import lad_mpi.cli.submit  # noqa: F401


def main() -> int:
    """Run cases and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", type=int, metavar="CASE", help="run only this case")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="folder for the files, which are kept"
    )
    options = parser.parse_args()
    numbers = list(range(options.first, options.first + options.cases))
    if options.only is not None:
        numbers = [options.only]
    # On SIGTERM, print the findings so far.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="lad-mpi-fuzz-") as name:
        folder = Path(name)
        if options.keep is not None:
            folder = options.keep.absolute()
            folder.mkdir(parents=True)
        tally = fuzz(
            numbers,
            seed=options.seed,
            jobs=options.jobs,
            folder=folder,
            progress=sys.stderr.isatty(),
        )
    print(tally.report())
    return 1 if tally.groups or tally.unmade > len(numbers) // 1000 else 0


if __name__ == "__main__":
    sys.exit(main())
