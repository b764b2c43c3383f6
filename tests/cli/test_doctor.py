"""``lad-mpi doctor``, alone and under a real launcher."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lad_mpi
from lad_mpi.cli.doctor import shorten
from lad_mpi.doctor import Finding, Severity

MPIRUN = shutil.which("mpirun", path=str(Path(sys.executable).parent)) or shutil.which("mpirun")
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("PMI_", "PMIX_"))}

IGNORED = shutil.ignore_patterns("__pycache__")
launched = pytest.mark.skipif(MPIRUN is None, reason="no mpirun beside this Python")


@pytest.fixture
def doctor(tmp_path):
    def call(*arguments, ranks=None, prefix=(), **environment):
        launcher = [] if ranks is None else [MPIRUN, "-n", str(ranks)]
        return subprocess.run(
            [*launcher, *prefix, sys.executable, "-m", "lad_mpi", "doctor", *arguments],
            cwd=tmp_path,
            env={**CLEAN, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


def found(done, check):
    return [f for f in json.loads(done.stdout)["findings"] if f["check"] == check]


def test_alone_it_prints_a_report_that_fits_a_terminal(doctor, tmp_path):
    done = doctor()
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    for check in ("ranks", "versions", "output", "hdf5"):
        assert re.search(rf"^(ok|note|warning) +{check} ", done.stdout, re.MULTILINE), check
    assert re.search(r"\d+ ok: ", done.stdout.splitlines()[-1])
    # It leaves no files.
    assert list(tmp_path.iterdir()) == []


def test_json_has_everything(doctor):
    done = doctor("--json")
    record = json.loads(done.stdout)
    assert record["exit_code"] == done.returncode == 0
    assert record["ranks"] == len(record["facts"]) == 1
    assert record["facts"][0]["hdf5"]["swmr_error"] == ""
    assert all(f["fix"] for f in record["findings"] if f["severity"] != "ok")


@launched
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_under_a_launcher_there_is_one_report_of_all_ranks(doctor, ranks):
    done = doctor("--json", ranks=ranks)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [facts["rank"] for facts in record["facts"]] == list(range(ranks))
    assert len({facts["host"] for facts in record["facts"]}) == len(record["hosts"]) == 1
    # Only rank 0 tries the folder of the logs.
    assert [facts["hdf5"] is not None for facts in record["facts"]] == [True] + [False] * (
        ranks - 1
    )


@launched
def test_more_ranks_than_processors_are_a_warning_and_not_unfit(doctor):
    ranks = len(os.sched_getaffinity(0)) + 1
    if ranks > 9:
        # Pin two ranks instead: so many ranks would take too long.
        ranks, pinned = 2, ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    else:
        pinned = []
    done = doctor("--json", ranks=ranks, prefix=pinned)
    assert done.returncode == 0
    (crowd,) = found(done, "oversubscription")
    assert crowd["severity"] == "warning"
    assert crowd["ranks"] == list(range(ranks))


@launched
def test_ranks_that_do_not_find_each_other_are_unfit_and_told_once(doctor):
    """Ranks without a connection to their launcher, as with an mpirun of another library."""
    cut = ["env", "-u", "PMI_FD", "-u", "PMI_PORT"]
    done = doctor(ranks=2, prefix=cut)
    assert done.returncode == 5
    assert done.stderr.count("started 2 ranks") == 1
    assert "use the mpirun beside this Python" in done.stderr
    assert "Traceback" not in done.stderr


def test_variables_of_a_launcher_that_is_not_there_are_unfit(doctor):
    done = doctor("--json", OMPI_COMM_WORLD_SIZE="3", PMI_SIZE="3")
    assert done.returncode == 5
    assert "started 3 ranks" in done.stderr


@pytest.mark.parametrize("place", ["/proc/x", "file/x"])
def test_a_folder_that_cannot_be_written_is_unfit(doctor, tmp_path, place):
    (tmp_path / "file").write_text("")
    done = doctor("-o", place, "--json")
    assert done.returncode == 5
    (output,) = found(done, "output")
    assert output["severity"] == "fatal"
    plain = doctor("-o", place)
    assert plain.returncode == 5
    assert plain.stdout.splitlines()[-1].startswith("1 fatal")


@launched
def test_all_ranks_end_with_the_same_code(doctor):
    done = doctor("-o", "/proc/x", ranks=3)
    assert done.returncode == 5
    assert done.stdout.count("cannot be written") == 1


@launched
def test_a_rank_of_another_version_is_unfit_and_named(tmp_path):
    """Two environments in one launch, as when a host sees another file system."""
    other = tmp_path / "other"
    shutil.copytree(Path(lad_mpi.__file__).parent, other / "lad_mpi", ignore=IGNORED)
    (other / "lad_mpi" / "_version.py").write_text('__version__ = "0.0.0"\n')
    command = [sys.executable, "-m", "lad_mpi", "doctor", "--json"]
    odd = ["env", f"PYTHONPATH={other}", *command]
    done = subprocess.run(
        [MPIRUN, "-n", "2", *command, ":", "-n", "1", *odd],
        cwd=tmp_path,
        env=CLEAN,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    (versions,) = found(done, "versions")
    assert versions["severity"] == "fatal"
    assert versions["ranks"] == [2]
    assert "0.0.0 on rank 2" in versions["found"]


def test_inherited_variables_are_found(doctor):
    done = doctor("--json", SLURM_CPU_BIND="quiet,mask_cpu:0x1", OMP_NUM_THREADS="64")
    (binding,) = found(done, "environment")
    assert "SLURM_CPU_BIND" in binding["found"]
    crowds = found(done, "oversubscription")
    assert bool(crowds) == (len(os.sched_getaffinity(0)) < 64)


def test_similar_findings_of_many_hosts_are_shortened():
    many = [Finding(Severity.NOTE, "load", f"n{n} is busy", "wait", (f"n{n}",)) for n in range(9)]
    other = Finding(Severity.OK, "output", "fine")
    short = shorten([*many, other])
    assert short[:3] == many[:3]
    assert "6 similar findings" in short[3].found
    assert short[4:] == [other]
    assert shorten(many[:3]) == many[:3]
