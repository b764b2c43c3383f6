"""Small shared memory, as in Docker: a mount over /dev/shm in a namespace of its own."""

import shlex
import shutil
import subprocess

import pytest

from lad_mpi.logs import read_log

#: As root, and as an ordinary user in a user namespace.
UNSHARE = (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"])
MOUNT = "mount -t tmpfs -o size={} tmpfs /dev/shm"


@pytest.fixture(scope="module")
def unshare():
    """Return a command that may mount a file system; skip if there is none."""
    for words in UNSHARE:
        if shutil.which(words[0]):
            tried = [*words, "sh", "-c", MOUNT.format("1m")]
            if subprocess.run(tried, capture_output=True, check=False).returncode == 0:
                return words
    pytest.skip("mounting takes root or user namespaces")


@pytest.fixture
def small(command, unshare, tmp_path):
    """Run lad-mpi on three ranks with a given size of shared memory."""

    def call(size, *arguments, ranks=3, **environment):
        line = shlex.join(command(*arguments, ranks=ranks))
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        return subprocess.run(
            [*unshare, "sh", "-c", f"{MOUNT.format(size)} && env {settings} {line}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


def mpich(text):
    """Skip unless the need of this MPI library is known."""
    if "MPI needs" not in text:
        from lad_mpi.transport import describe_mpi
        from lad_mpi.transport.shared_memory import is_checked

        if not is_checked(describe_mpi().get("library", "")):
            pytest.skip("this MPI is not MPICH over UCX")


def test_a_run_is_refused_before_mpi_begins_and_the_fix_works(small, tmp_path):
    done = small("20m", "run", "spec.toml", "-o", "out.h5")
    mpich(done.stderr)
    assert done.returncode == 5, done.stderr
    assert done.stderr.count("lad-mpi: error") == 1
    assert "/dev/shm on " in done.stderr
    assert "has 20 MiB free, and MPI needs 29 MiB for 3 ranks" in done.stderr
    assert "docker run --shm-size=1g" in done.stderr
    assert "export UCX_TLS=^posix" in done.stderr
    assert not (tmp_path / "out.h5").exists()
    done = small("20m", "run", "spec.toml", "-o", "out.h5", UCX_TLS="^posix")
    assert done.returncode == 0, done.stderr
    assert read_log(tmp_path / "out.h5").ranks == 3
    done = small("29m", "run", "spec.toml", "-o", "out.h5", "--overwrite")
    assert done.returncode == 0, done.stderr


def test_the_doctor_reports_it_and_does_not_crash(small):
    done = small("20m", "doctor")
    mpich(done.stderr)
    assert done.returncode == 5
    assert done.stderr.count("and MPI needs 29 MiB for 3 ranks on a host: it would crash") == 1


def test_one_process_does_without_mpi(small, tmp_path):
    done = small("64k", "run", "spec.toml", "-o", "out.h5", ranks=1)
    assert done.returncode == 0, done.stderr
    assert read_log(tmp_path / "out.h5").status == "complete"
