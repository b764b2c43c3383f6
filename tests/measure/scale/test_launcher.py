"""Commands that start ranks."""

import sys
import time
from pathlib import Path

import pytest

from lad_mpi.errors import UsageError
from lad_mpi.launchers import module_words
from lad_mpi.measure.scale import LaunchCommand, default_launcher
from lad_mpi.measure.scale.launcher import StoppedError, parse_launcher


@pytest.fixture
def stub(tmp_path):
    """Stands in for a launcher and the suite: it runs Python code that is given as a word."""

    def make(code):
        path = tmp_path / "stub.py"
        path.write_text(code)
        return LaunchCommand((sys.executable, str(path)))

    return make


def test_the_same_words_at_every_p():
    launcher = LaunchCommand(("mpiexec", "-bind-to", "core"), python="py")
    assert launcher.command(3, ["run", "a.toml"]) == [
        "mpiexec", "-bind-to", "core", "-n", "3", *module_words("lad_mpi", "py"), "run", "a.toml",
    ]  # fmt: skip


def test_the_mpiexec_of_this_python_then_srun_inside_a_job_then_any_mpiexec(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for folder in (tmp_path, tmp_path / "bin"):
        (folder / "mpiexec").write_text("#!/bin/sh\n")
        (folder / "mpiexec").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    job = {"SLURM_JOB_ID": "7", "PATH": str(tmp_path)}
    assert default_launcher(job) == (str(tmp_path / "bin" / "mpiexec"),)
    (tmp_path / "bin" / "mpiexec").unlink()
    assert default_launcher(job)[0] == "srun"
    assert default_launcher({"PATH": str(tmp_path)}) == (str(tmp_path / "mpiexec"),)


def test_words_of_a_launcher_are_those_of_a_shell():
    assert parse_launcher("srun --mpi=pmi2 --comment 'a b'")[-1] == "a b"
    for text in ("", "mpiexec -n 3", "mpirun -np 2"):
        with pytest.raises(UsageError, match="without the number of ranks"):
            parse_launcher(text)
    with pytest.raises(UsageError, match="No closing quotation"):
        parse_launcher("mpiexec --comment 'a")


def test_a_failure_is_told_by_its_last_words(stub, tmp_path):
    done = stub("").run(2, [], tmp_path, timeout_s=30)
    failed = stub("import sys; sys.exit('no such\\n thing')").run(2, [], tmp_path, timeout_s=30)
    assert (done, failed) == ("", "exit code 1: no such thing")


def test_what_takes_too_long_is_ended(stub, tmp_path):
    start = time.monotonic()
    failure = stub("import time; time.sleep(60)").run(1, [], tmp_path, timeout_s=0.3)
    assert failure == "it took longer than 0.3 s and was ended"
    assert time.monotonic() - start < 50


def test_nothing_that_a_launch_leaves_behind_is_waited_for(stub, tmp_path):
    # It holds the output open, is deaf to SIGTERM, and outlives the launcher.
    code = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    open("left", "w").write(str(os.getpid()))
    time.sleep(300)
while not os.path.exists("left") or not open("left").read():
    time.sleep(0.01)
sys.exit("the end")
"""
    assert stub(code).run(1, [], tmp_path, timeout_s=60) == "exit code 1: the end"
    left = Path(f"/proc/{(tmp_path / 'left').read_text()}/stat")
    # Killed; who must fetch its exit code is another matter.
    deadline = time.monotonic() + 20
    while left.exists() and left.read_text().rpartition(") ")[2][0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_of_an_endless_output_the_last_words_are_kept(stub, tmp_path):
    code = "import sys; print('x' * 10**6, 'the end'); sys.exit(1)"
    failure = stub(code).run(1, [], tmp_path, timeout_s=60)
    assert failure.startswith("exit code 1: xx")
    assert failure.endswith("xx the end")
    assert len(failure) < 500


def test_ranks_import_nothing_from_the_folder_of_the_study(tmp_path):
    (tmp_path / "start.sh").write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    (tmp_path / "start.sh").chmod(0o755)
    for name in ("json", "runpy", "numpy", "lad_mpi"):
        (tmp_path / f"{name}.py").write_text("open('PWNED', 'w')")
    launcher = LaunchCommand((str(tmp_path / "start.sh"),))
    assert launcher.run(1, ["--version"], tmp_path, timeout_s=60) == ""
    assert not (tmp_path / "PWNED").exists()


def test_a_signal_ends_the_launch(stub, tmp_path):
    with pytest.raises(StoppedError):
        stub("import time; time.sleep(60)").run(
            1, [], tmp_path, timeout_s=30, stopping=lambda: True
        )


def test_a_launcher_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot start no-such-launcher"):
        LaunchCommand(("no-such-launcher",)).run(1, [], tmp_path, timeout_s=1)
