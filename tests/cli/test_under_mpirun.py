"""Commands under a real launcher: one message, one exit code, and all ranks end."""

import re
import subprocess

import h5py
import numpy as np
import pytest

from lad_mpi.logs import read_log


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_run_completes_and_prints_once(lad, tmp_path, ranks):
    done = lad("run", "spec.toml", "-o", "out.h5", ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out.h5\n"
    log = read_log(tmp_path / "out.h5")
    assert log.provenance["mpi_ranks"] == ranks
    assert log.seconds.shape[1] == ranks


def test_ranks_that_read_different_data_do_not_start(command, environment, tmp_path):
    folders = [tmp_path / name for name in ("one", "two")]
    for factor, folder in enumerate(folders, start=1):
        folder.mkdir()
        values = factor * np.arange(60.0).reshape(20, 3)
        np.savetxt(folder / "d.csv", values, delimiter=",", header="a,b,y", comments="")
    data = "data={kind='file',path='d.csv'}"
    mpirun, _, _, *rest = command("run", "../spec.toml", "--set", data, "-o", "../out.h5")
    one, two = folders
    done = subprocess.run(
        [mpirun, "-n", "1", "-wdir", str(one), *rest, ":", "-n", "2", "-wdir", str(two), *rest],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("the ranks read different data: rank 0 on ") == 1
    assert done.stderr.count("sha256:") == 2
    assert not (tmp_path / "out.h5").exists()


BAD = {
    "unknown key": (["--set", "coding.laod=3"], "coding.laod"),
    "unknown kind": (["--set", "attack.kind=sing_flip"], "attack.kind"),
    "too many faults": (["--set", "devices.byzantine=5"], "devices.byzantine"),
    "load": (["--set", "coding.load=11"], "coding.load"),
    "codec": (["--set", 'compression={kind="rand_k",k=7}'], "compression.k"),
    "no data": (["--set", "data={kind='file',path='absent.csv'}"], "absent.csv"),
    "no such option": (["--fast"], "--fast"),
    "taken output": (["-o", "spec.toml/x.h5"], "spec.toml is not a folder"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_once_by_name_with_exit_code_2(lad, arguments, words):
    done = lad("run", "spec.toml", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_ranks_without_devices_are_refused(lad):
    done = lad(
        "run",
        "spec.toml",
        "--set",
        "devices={count=2,byzantine=0}",
        "--set",
        "coding.load=1",
        ranks=5,
    )
    assert done.returncode == 2
    assert done.stderr.count("2 would have nothing to do") == 1


STUDY = """
[base]
iterations = 20
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
[[cases]]
name = "diverging"
aggregation = { kind = "mean" }
optimizer = { step_size = 1e200 }
[[cases]]
name = "d={coding.load}"
axes = { coding.load = [1, 2] }
"""


def test_a_study_continues_after_a_failed_run_and_skips_complete_ones(lad, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    first = lad("study", "run", "study.toml", "-o", "out")
    assert first.returncode == 1
    assert first.stdout == "2 completed, 0 complete before, 1 not completed; logs in out\n"
    assert first.stderr.count("diverging (seed 1): diverged") == 1
    assert "no log yet" not in first.stderr
    again = lad("study", "run", "study.toml", "-o", "out", ranks=2)
    assert again.stdout == "0 completed, 2 complete before, 1 not completed; logs in out\n"


BROKEN = """
from dataclasses import dataclass
from typing import ClassVar

from lad_mpi.errors import BackendError

ERROR = NAME


@dataclass(frozen=True)
class Broken:
    kind: ClassVar[str] = "broken"

    def corrupt(self, coded, context):
        if context.iteration == 7 and context.devices[-1] >= 5:
            raise ERROR("broken on purpose")
        return coded
"""


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("ZeroDivisionError", r"ZeroDivisionError: broken on purpose \(broken.py, line \d+\)"),
        ("BackendError", "broken on purpose"),
    ],
)
@pytest.mark.parametrize("verbose", [[], ["-v"]], ids=["", "-v"])
def test_an_error_on_a_rank_names_the_rank_and_ends_the_job(lad, add_attack, error, shown, verbose):
    environment = add_attack("broken", BROKEN.replace("NAME", error))
    done = lad(
        *("run", "spec.toml", "-o", "out.h5", "--set", "devices.byzantine=4"),
        *("--set", "attack={kind='broken'}", *verbose),
        environment=environment,
    )
    assert done.returncode != 0
    assert done.stderr.count("Traceback") == len(verbose)
    assert len(re.findall(f"error on rank 2: {shown}\n", done.stderr)) == 1
    assert "error on rank 1" not in done.stderr
    # A launcher may end before its ranks.
    status = lad("show", "out.h5", ranks=1).stdout.splitlines()[1]
    assert status.split()[1] in {"interrupted", "running"}


@pytest.mark.parametrize("ranks", [1, 3])
def test_an_output_that_does_not_end_in_h5_is_refused_once(lad, tmp_path, ranks):
    done = lad("run", "spec.toml", "-o", "out.txt", ranks=ranks)
    assert done.returncode == 2
    assert done.stderr.count("lad-mpi: error") == 1
    assert "a log's name ends in .h5" in done.stderr
    assert "Abort" not in done.stderr


def test_a_study_keeps_a_log_that_it_cannot_read(lad, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.partition("[[cases]]")[0] + "[axes]\nseed = [1]\n")
    assert lad("study", "run", "study.toml", "-o", "out").returncode == 0
    (path,) = tmp_path.glob("out/*.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99
    before = path.read_bytes()
    again = lad("study", "run", "study.toml", "-o", "out")
    assert again.returncode == 1
    assert "log version 99" in again.stderr
    assert "move it away" in again.stderr
    assert path.read_bytes() == before
