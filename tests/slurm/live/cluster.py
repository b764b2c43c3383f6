"""A real SLURM of four nodes on this machine, for as long as the tests last.

Debian's packages ``slurm-wlm`` and ``munge`` are all that is needed. Everything
lives in one folder: its own munge socket, key, state and spools, so that a
SLURM that is here already is left alone.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

NODES = 4
CORES = 4
GPUS = 2
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "sacct")
_SYSTEM = ("/usr/sbin", "/sbin", "/usr/local/sbin")
_START_S = 60.0
# Job numbers are below 67043328; no test has so many jobs, and no job so many steps.
_NUMBERS = (1_000_000, 67_000_000)
_MOST_JOBS = 200
_MOST_STEPS = 40
_SHARED_MEMORY = Path("/dev/shm")


def find_missing() -> list[str]:
    """List the programs of SLURM and munge that are not installed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM])
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


class Cluster:
    """Daemons of one cluster; a context manager that ends them."""

    def __init__(self) -> None:
        # Short: sockets have names of at most 108 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._is_started = False
        # MPICH names its shared memory after job and step, and leaves it behind when it is
        # killed. On a cluster that counts from 1 each time, jobs would find that of others.
        self._first_job = _NUMBERS[0] + secrets.randbelow(_NUMBERS[1] - _NUMBERS[0] - _MOST_JOBS)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "PMI", "SRUN"))},
            "PATH": os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM]),
            "SLURM_CONF": str(self.folder / "slurm.conf"),
        }

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(RuntimeError, OSError, subprocess.SubprocessError):
            self._end_jobs()
        for daemon in reversed(self._daemons):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(daemon.pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while any(daemon.poll() is None for daemon in self._daemons):
            if time.monotonic() > deadline:
                for daemon in self._daemons:
                    daemon.kill()
            time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)
        for file in self.find_left_behind():
            file.unlink(missing_ok=True)

    def find_left_behind(self) -> list[Path]:
        """List the shared memory that MPICH has left of jobs of this cluster."""
        present = {path.name.rpartition("_")[0] for path in _SHARED_MEMORY.glob("mpich_shm_*")}
        worlds = (
            f"mpich_shm_{_fnv(f'{job}.{step}'):x}"
            for job in range(self._first_job, self._first_job + _MOST_JOBS)
            for step in range(_MOST_STEPS)
        )
        found = present.intersection(worlds)
        return [file for name in found for file in _SHARED_MEMORY.glob(f"{name}_*")]

    def call(self, *command: str, folder: Path | None = None) -> str:
        """Run a command of SLURM and return what it prints."""
        done = subprocess.run(
            command,
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def submit(self, *arguments: str, folder: Path) -> str:
        """Submit a job and return its number."""
        return self.call("sbatch", "--parsable", *arguments, folder=folder).strip()

    def job(self, number: str) -> dict[str, object]:
        """Return what the controller knows of a job."""
        shown = self.call("scontrol", "show", "job", number, "--oneliner")
        return dict(field.split("=", 1) for field in shown.split() if "=" in field)

    def wait(self, number: str, states: tuple[str, ...], timeout_s: float = 90.0) -> str:
        """Wait until a job is in one of the states, and return which."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            state = str(self.job(number)["JobState"])
            if state in states:
                return state
            time.sleep(0.2)
        raise TimeoutError(f"job {number} is {state} and not one of {states} after {timeout_s} s")

    def _start(self) -> None:
        munge = self.folder / "munge"
        munge.mkdir(mode=0o755)
        key = munge / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self.folder.chmod(0o755)
        self._daemon(
            "munged", "--foreground", "--force", f"--socket={munge}/socket", f"--key-file={key}",
            f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed",
        )  # fmt: skip
        (self.folder / "slurm.conf").write_text(self._configuration())
        # The scheduler counts them, and looks no further than that there is a file.
        for number in range(GPUS):
            (self.folder / f"gpu{number}").touch()
        (self.folder / "gres.conf").write_text(
            f"NodeName=n[1-{NODES}] Name=gpu File={self.folder}/gpu[0-{GPUS - 1}]\n"
        )
        (self.folder / "state").mkdir()
        _wait_for((munge / "socket").exists, "munged")
        self._daemon("slurmctld", "-D")
        for number in range(1, NODES + 1):
            (self.folder / f"spool_n{number}").mkdir()
            self._daemon("slurmd", "-D", "-N", f"n{number}")
        _wait_for(self._is_idle, "four idle nodes")
        self._is_started = True

    def _end_jobs(self) -> None:
        """Kill the remaining job steps, which would outlive the daemons and wait for them."""
        if not self._is_started:
            return
        self.call("scancel", "--user", getpass.getuser())
        deadline = time.monotonic() + 15
        while self.call("squeue", "--noheader") and time.monotonic() < deadline:
            time.sleep(0.1)

    def _is_idle(self) -> bool:
        try:
            nodes = self.call("sinfo", "--noheader", "--Node", "--format=%t").split()
        except RuntimeError:
            return False
        return nodes == ["idle"] * NODES

    def _daemon(self, *command: str) -> None:
        log = (self.folder / f"{command[0]}_{len(self._daemons)}.out").open("wb")
        with log:
            self._daemons.append(
                subprocess.Popen(
                    command,
                    env=self.environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _configuration(self) -> str:
        here, host, user = self.folder, socket.gethostname().partition(".")[0], getpass.getuser()
        first = _free_port()
        return f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={first}
FirstJobId={self._first_job}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={here}/munge/socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=pmi2
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
StateSaveLocation={here}/state
SlurmdSpoolDir={here}/spool_%n
SlurmdPidFile={here}/slurmd_%n.pid
SlurmctldPidFile={here}/slurmctld.pid
SlurmdLogFile={here}/slurmd_%n.log
SlurmctldLogFile={here}/slurmctld.log
SchedulerParameters=sched_interval=1,requeue_delay=1
KillWait=5
MinJobAge=3600
JobAcctGatherType=jobacct_gather/none
NodeName=n[1-{NODES}] NodeHostname={host} NodeAddr=127.0.0.1 \
Port=[{first + 1}-{first + NODES}] CPUs={CORES} CoresPerSocket={CORES} \
RealMemory=2000 Gres=gpu:{GPUS}
PartitionName=main Nodes=ALL Default=YES State=UP MaxTime=INFINITE
"""


def _fnv(text: str) -> int:
    """Return the 32-bit FNV-1a hash by which MPICH calls a set of ranks."""
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def _free_port() -> int:
    """Return the first of a row of ports that are probably free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(happened: object, what: str) -> None:
    deadline = time.monotonic() + _START_S
    while not happened():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {_START_S:.0f} s")
        time.sleep(0.1)


if __name__ == "__main__":
    with Cluster() as cluster:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        print(json.dumps({"SLURM_CONF": cluster.environment["SLURM_CONF"]}), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
