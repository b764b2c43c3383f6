"""What a log tells of the machine, the user and the command line, and how to leave it out."""

from __future__ import annotations

import json
import socket

import pytest

from lad_mpi.logs import read_log, validate_log
from lad_mpi.spec import identify, load_spec

SECRETS = {
    "SLURM_JWT": "hush-1",
    "SLURM_MY_TOKEN": "hush-2",
    "MPICH_FOO_AUTH": "hush-3",
    "OMPI_MCA_plm_rsh_password": "hush-4",
    "SOME_PROGRAM": "hush-5",
}
PLACE = {"SLURM_JOB_PARTITION": "secret-queue", "SLURM_CPU_BIND": "cores"}
STUDY = """
[base]
iterations = 5
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
"""


def test_no_secret_of_the_environment_is_in_a_log(lad, tmp_path):
    done = lad("run", "spec.toml", "-o", "run.h5", environment={**SECRETS, **PLACE})
    assert done.returncode == 0, done.stderr
    assert b"hush" not in (tmp_path / "run.h5").read_bytes()
    provenance = read_log(tmp_path / "run.h5").provenance
    assert {"SLURM_JOB_PARTITION=secret-queue", "SLURM_CPU_BIND=cores"} < {*provenance["scheduler"]}
    assert provenance["hosts"] == [socket.gethostname()] * 3
    assert "run spec.toml -o run.h5" in provenance["command"]


@pytest.mark.parametrize("way", ["run", "key", "study"])
def test_host_details_are_left_out_on_demand(lad, alone, tmp_path, way):
    if way == "key":
        spec = tmp_path / "spec.toml"
        spec.write_text(spec.read_text() + "logging = { host_details = false }\n")
    (tmp_path / "study.toml").write_text(STUDY)
    arguments = {
        "run": ("run", "spec.toml", "-o", "out/run.h5", "--no-host-details"),
        "key": ("run", "spec.toml", "-o", "out/run.h5"),
        "study": ("study", "run", "study.toml", "-o", "out", "--no-host-details"),
    }[way]
    done = lad(*arguments, environment=PLACE)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out").glob("*.h5")
    provenance = read_log(path).provenance
    assert provenance["hosts"] == ["host-0"] * 3
    assert (provenance["command"], list(provenance["processes"])) == ("", [])
    assert len(provenance["affinity"]) == len(provenance["blas_threads"]) == 3
    assert "SLURM_CPU_BIND=cores" in provenance["scheduler"]
    content = path.read_bytes()
    for hidden in (socket.gethostname(), "secret-queue", ".toml", str(tmp_path)):
        assert hidden.encode() not in content
    # Commands that read logs have what they need.
    assert validate_log(path) == []
    shown = json.loads(alone("show", "--json", str(path)).stdout)
    assert (shown["hosts"], shown["command"], shown["processes"]) == ("host-0", "", [])
    (row,) = json.loads(alone("analysis", "table", "--json", str(path)).stdout)["records"]
    assert row["hosts"] == 1


def test_host_details_are_no_part_of_a_run(lad, tmp_path):
    (tmp_path / "spec.toml").write_text("iterations = 5\nlogging = { host_details = false }\n")
    spec = load_spec(tmp_path / "spec.toml", ["logging.host_details=true"])
    assert identify(spec) == identify(spec.without_host_details())
    assert identify(spec).digest == identify(spec.without_host_details()).digest
