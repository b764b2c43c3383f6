"""Facts about this machine, and their way through JSON."""

import json
import os
import subprocess
import sys

import pytest

from lad_mpi.doctor.facts import (
    Space,
    all_facts,
    cheap_facts,
    describe_space,
    file_system_of,
    from_text,
    to_text,
)
from lad_mpi.doctor.gpu_probe import GpuTransfers
from lad_mpi.transport import Loopback


def test_facts_arrive_as_they_were_sent(rank, tmp_path):
    full = rank(
        3,
        output=Space("/x", "é"),
        gpus=("A", "B"),
        transfers=GpuTransfers("staged", "why", None, 1e9),
    )
    for facts in (full, cheap_facts(Loopback(), None), all_facts(Loopback(), tmp_path)):
        assert from_text(to_text(facts)) == facts


def test_unknown_and_missing_facts_of_another_version_are_ignored(rank):
    record = json.loads(to_text(rank(1)))
    record["output"] = {"folder": "/x", "colour": "red"}
    record["colour"] = "red"
    del record["python"], record["cores"]
    found = from_text(json.dumps(record))
    assert (found.rank, found.output, found.python, found.cores) == (1, Space("/x"), "", ())


def test_cheap_facts_are_part_of_all(tmp_path):
    cheap, everything = cheap_facts(Loopback(), tmp_path), all_facts(Loopback(), tmp_path)
    for name in ("host", "cpus", "blas_threads", "kernel_threads", "versions", "environment"):
        assert getattr(cheap, name) == getattr(everything, name)
    assert everything.cpus == tuple(sorted(os.sched_getaffinity(0)))
    assert len(everything.cores) == len(everything.cpus)
    assert everything.hdf5["swmr_error"] == ""


def test_a_folder_need_not_exist_and_is_not_made(tmp_path):
    space = describe_space(tmp_path / "a" / "b")
    assert (space.folder, space.error) == (str(tmp_path), "")
    assert space.free_bytes > 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_and_a_forbidden_folder_are_errors(tmp_path):
    (tmp_path / "file").write_text("")
    assert describe_space(tmp_path / "file" / "x").error == "it is a file"
    assert describe_space(tmp_path / ("x" * 300)).error != ""


MOUNTS = r"""
/dev/vda / ext4 rw 0 0
tmpfs /scratch tmpfs rw 0 0
server:/home /scratch/home nfs4 rw 0 0
server:/b /scratch/with\040blank lustre rw 0 0
overlay /scratch overlay rw 0 0
""".lstrip()


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/scratchy", "ext4"),
        ("/scratch", "overlay"),
        ("/scratch/x", "overlay"),
        ("/scratch/home/me", "nfs4"),
        ("/scratch/with blank/x", "lustre"),
    ],
)
def test_the_deepest_and_latest_mount_counts(tmp_path, folder, kind):
    (tmp_path / "mounts").write_text(MOUNTS)
    path = type(tmp_path)(folder)
    assert file_system_of(path, tmp_path / "mounts") == kind
    assert file_system_of(path, tmp_path / "absent") == ""


def test_ranks_of_devices_need_not_import_what_only_the_server_uses():
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from lad_mpi.doctor.facts import all_facts\n"
        "from lad_mpi.doctor import cheap_checks, examine\n"
        "from lad_mpi.transport import Loopback\n"
        "all_facts(Loopback(rank=1, size=2, is_server=False), Path('x'))\n"
        "print(*[name for name in ('h5py', 'numba', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_names_that_are_not_utf_8_survive_the_exchange(rank):
    facts = rank(0, environment={"SLURM_JOB_NAME": "caf\udce9"})
    assert from_text(to_text(facts)) == facts
