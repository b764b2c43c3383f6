"""Ordeals: kill a run repeatedly, resume it each time, and compare it with an undisturbed run.

    python tests/faults/ordeal.py --ordeals 50 --seed 1

Every launch has one fault, drawn from the seed: a named point, a rank and a call.
Afterwards the log must be readable and valid, have the right status, and lack only
iterations that had not been flushed. The last launch has no fault; its log and model
must have the bits of an undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from victim import ANYWHERE, POINTS

from lad_mpi.logs import is_being_written, read_log, validate_log
from lad_mpi.training.checkpoint import Checkpoints

ITERATIONS, FLUSH_EVERY, CHECKPOINT_EVERY = 40, 6, 9
SPECS = {
    "stateful rule": '[aggregation]\nkind = "centered_clipping"\n',
    "random pre-aggregation": '[aggregation]\nkind = "median"\npre = ["bucketing"]\n',
    "compressed": '[compression]\nkind = "qsgd"\nlevels = 4\n',
    "error feedback": '[compression]\nkind = "sign"\nerror_feedback = true\n',
    "hostile bytes": '[attack]\nkind = "mutate"\n[compression]\nkind = "natural"\n',
    "decoder": '[coding]\nkind = "draco_cyclic_real"\n',
    "training": """
data.kind = "synthetic_classification"
model.kind = "mlp"
devices.batch_size = 4
devices.momentum = 0.9
compression = { kind = "top_k", k = 9, error_feedback = true }
attack = { kind = "mimic", warmup = 25 }
optimizer = { kind = "adam", schedule = "cosine" }
""",
}
SPEC = f"""
name = "ordeal"
iterations = {ITERATIONS}
data.dimension = 6
devices.count = 10
devices.byzantine = 2
logging = {{ flush_every = {FLUSH_EVERY}, evaluate_every = 2 }}
safety = {{ checkpoint_every = {CHECKPOINT_EVERY}, timeout_s = 3.0 }}
"""
RANKS = (1, 2, 3, 5)
#: A hang ends after the timeout of the spec; every other fault ends the job at once.
DEADLINE_S = 10.0
MPIRUN = shutil.which("mpirun", path=str(Path(sys.executable).parent)) or shutil.which("mpirun")
VICTIM = Path(__file__).with_name("victim.py")
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("PMI_", "PMIX_"))}


@dataclass
class Tally:
    """The results of ordeals."""

    launches: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    resumes: int = 0
    identical_ends: int = 0
    ends: int = 0
    damaged_checkpoints: int = 0
    most_lost_iterations: int = 0
    slowest_end_s: float = 0.0
    hangs: int = 0
    findings: list[str] = field(default_factory=list)

    def report(self) -> str:
        """Return all counts, one per line."""
        struck = ", ".join(f"{count} {action}" for action, count in sorted(self.faults.items()))
        return "\n".join(
            [
                f"launches              {self.launches}",
                f"faults                {struck or 'none'}",
                f"points                {len(self.points)} of {len(POINTS) + 1} were struck",
                f"resumes               {self.resumes}",
                f"damaged checkpoints   {self.damaged_checkpoints}",
                f"identical ends        {self.identical_ends} of {self.ends}",
                f"lost iterations       at most {self.most_lost_iterations} (of {FLUSH_EVERY})",
                f"slowest end           {self.slowest_end_s:.1f} s after the fault",
                f"hangs                 {self.hangs}",
                *[f"FINDING: {finding}" for finding in self.findings],
            ]
        )


@dataclass(frozen=True)
class Fault:
    """A fault: where, on which rank, at which call, and what happens."""

    point: str
    rank: int
    call: int
    action: str

    def as_json(self) -> str:
        """Return the command-line argument for victim.py."""
        return json.dumps(vars(self))


def draw(chance: random.Random, ranks: int) -> Fault:
    """Draw a fault that can occur with the given number of ranks."""
    if chance.random() < 0.15:
        return Fault(ANYWHERE, chance.randrange(ranks), chance.randrange(80), "kill")
    points = [
        name
        for name, (module, *_) in POINTS.items()
        if ranks > 1 or module != "lad_mpi.transport.mpi"
    ]
    point = chance.choice(points)
    who = POINTS[point][3]
    rank = 0
    if ranks > 1 and who != "server":
        rank = chance.randrange(0 if who == "all" else 1, ranks)
    # A launch has about forty iterations, seven flushes and five checkpoints.
    rare = point in {"start", "first words", "log drafted", "rows carried", "left"}
    often = who != "server" or point in {"aggregate", "update"}
    once = rare or "outcome" in point
    call = 0 if once else chance.randrange(30 if often else 4)
    # Only the server handles signals. A single process does not name its rank in an error.
    actions = {"kill": 8, "raise": 2 * (ranks > 1), "stop": ranks > 1, "terminate": rank == 0}
    action = chance.choices(list(actions), list(map(int, actions.values())))[0]
    return Fault(point, rank, call, action)


def launch(
    folder: Path, ranks: int, fault: Fault | None
) -> tuple[subprocess.CompletedProcess[str] | None, float]:
    """Launch the run with ``--resume``; return None as the process if it hangs."""
    launcher = [] if ranks == 1 else [str(MPIRUN), "-n", str(ranks)]
    armed = "null" if fault is None else fault.as_json()
    arguments = ["run", "spec.toml", "-o", "run.h5", "--resume", "--progress", "lines"]
    began = time.monotonic()
    process = subprocess.Popen(
        [*launcher, sys.executable, str(VICTIM), armed, *arguments],
        cwd=folder,
        env=CLEAN,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=6 * DEADLINE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return None, time.monotonic() - began
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    return done, time.monotonic() - began


def suffer(seed: int, tally: Tally, *, most_launches: int = 6) -> None:
    """Run one ordeal and add it to the tally."""
    chance = random.Random(seed)
    variant = chance.choice(sorted(SPECS))
    with tempfile.TemporaryDirectory(prefix="lad-mpi-ordeal-") as name:
        root = Path(name)
        straight, folder = root / "straight", root / "ordeal"
        for place in (straight, folder):
            place.mkdir()
            (place / "spec.toml").write_text(SPEC + SPECS[variant])
        where = f"seed {seed} ({variant})"
        reference, quick_s = launch(straight, 1, None)
        if reference is None or reference.returncode != 0:
            tally.findings.append(f"{where}: the reference run failed: {reference}")
            return
        for number in range(most_launches):
            ranks = chance.choice(RANKS)
            fault = draw(chance, ranks) if number + 1 < most_launches else None
            tally.launches += 1
            done, wall_s = launch(folder, ranks, fault)
            here = f"{where}, launch {number}, {ranks} ranks, {fault}"
            if done is None:
                tally.hangs += 1
                tally.findings.append(f"{here}: it hung")
                return
            if "continuing after" in done.stderr:
                tally.resumes += 1
            struck = re.search(r"victim: (.+) at (.+) after (\d+) iterations", done.stderr)
            if struck and fault:
                tally.faults[fault.action] += 1
                tally.points[fault.point] += 1
                tally.slowest_end_s = max(tally.slowest_end_s, wall_s - quick_s)
                _check_end(here, fault, done, wall_s - quick_s, tally)
                _count_lost(here, int(struck[3]), done.stderr, folder / "run.h5", tally)
            elif done.returncode != 0:
                tally.findings.append(f"{here}: exit code {done.returncode}: {done.stderr}")
                return
            _check_log(here, folder / "run.h5", complete=done.returncode == 0, tally=tally)
            if done.returncode == 0 and not struck:
                break
            _perhaps_damage(chance, folder / "run.h5", tally)
        _check_bits(where, straight / "run.h5", folder / "run.h5", tally)


def _check_end(
    here: str, fault: Fault, done: subprocess.CompletedProcess[str], late_s: float, tally: Tally
) -> None:
    if fault.action == "terminate":
        # A signal in the last iteration lets the run complete.
        if done.returncode not in {0, 75}:
            tally.findings.append(f"{here}: exit code {done.returncode}, not 75: {done.stderr}")
    elif done.returncode == 0 and fault.point != ANYWHERE:
        tally.findings.append(f"{here}: the launch ended as if nothing had happened")
    if late_s > DEADLINE_S:
        tally.findings.append(f"{here}: the job ended {late_s:.1f} s late")
    spoken = [line for line in done.stderr.splitlines() if line.startswith("lad-mpi: error")]
    if fault.action == "raise" and len(spoken) != 1:
        tally.findings.append(f"{here}: {len(spoken)} messages instead of one: {done.stderr}")
    # Errors of the log or a checkpoint name the file instead of the rank, the server.
    named = (f"rank {fault.rank}: ", "cannot write the log", "cannot create the log")
    if fault.action == "raise" and not any(name in line for line in spoken for name in named):
        tally.findings.append(f"{here}: the message does not name the rank: {done.stderr}")


def _count_lost(here: str, completed: int, errors: str, path: Path, tally: Tally) -> None:
    """Count the iterations that were completed but are not in the log."""
    before = re.search(r"continuing after (\d+) of", errors)
    done = completed + (int(before[1]) if before else 0)
    recorded = len(read_log(path).iteration) if path.exists() else 0
    lost = max(0, done - recorded)
    tally.most_lost_iterations = max(tally.most_lost_iterations, lost)
    if lost > FLUSH_EVERY:
        tally.findings.append(f"{here}: {done} iterations were done, {recorded} are in the log")


def _check_log(here: str, path: Path, *, complete: bool, tally: Tally) -> None:
    """Check that the log is readable and valid, and has the right status."""
    if not path.exists():
        if Checkpoints(path).paths():
            tally.findings.append(f"{here}: checkpoints without a log")
        return
    found = validate_log(path)
    if found:
        tally.findings.append(f"{here}: the log is not valid: {found}")
        return
    # A launcher may end before its last rank.
    deadline = time.monotonic() + DEADLINE_S
    while is_being_written(path) and not complete and time.monotonic() < deadline:
        time.sleep(0.02)
    log = read_log(path)
    allowed = {"complete"} if complete else {"interrupted", "failed", "complete"}
    if log.status not in allowed:
        tally.findings.append(f"{here}: the log says {log.status}")
    if log.status == "complete" and len(log.iteration) != ITERATIONS:
        tally.findings.append(f"{here}: complete with {len(log.iteration)} iterations")
    for checkpoint in Checkpoints(path).paths():
        ahead = int(checkpoint.stem[-9:]) - len(log.iteration)
        if ahead > 0:
            tally.findings.append(f"{here}: {checkpoint.name} is {ahead} iterations ahead")


def _perhaps_damage(chance: random.Random, path: Path, tally: Tally) -> None:
    found = Checkpoints(path).paths()
    if len(found) == 2 and chance.random() < 0.3:
        raw = found[0].read_bytes()
        found[0].write_bytes(raw[: chance.randrange(len(raw))])
        tally.damaged_checkpoints += 1


def _check_bits(where: str, one: Path, two: Path, tally: Tally) -> None:
    tally.ends += 1
    left, right = read_log(one), read_log(two)
    different = [
        f"{kind}/{name}"
        for kind in ("metrics", "refusals", "traffic")
        for name, values in getattr(left, kind).items()
        if values.tobytes() != getattr(right, kind)[name].tobytes()
    ]
    if left.final is None or right.final is None:
        different.append("state")
    elif left.final.model.tobytes() != right.final.model.tobytes():
        different.append("state/model")
    if different:
        tally.findings.append(f"{where}: the end differs in {different}")
    else:
        tally.identical_ends += 1


def main() -> int:
    """Run ordeals and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ordeals", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tally = Tally()
    for seed in range(options.seed, options.seed + options.ordeals):
        suffer(seed, tally)
    print(tally.report())
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
