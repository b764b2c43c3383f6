"""What is said of a process that died, by whom, and what the launcher is told."""

import os
import select
import signal
import socket
import subprocess
import sys

import pytest

from lad_mpi.launchers import hydra_descriptor
from lad_mpi.transport import Guardian, last_word

HYDRA = {"PMI_FD": "9", "HYDI_CONTROL_FD": "7", "PMI_RANK": "2"}
SLEEPS = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
KILLS_ITSELF = "import os; os.kill(os.getpid(), 9)"


@pytest.fixture
def witness():
    """Let the program look at the end of a process; return its word and what hydra hears."""

    def see(program, end, *, mpi_is_up):
        ours, theirs = socket.socketpair()
        process = subprocess.Popen(program)
        descriptor = theirs.fileno()
        handle = os.pidfd_open(process.pid)
        numbers = map(str, (2, process.pid, handle, descriptor))
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            looking = subprocess.Popen(
                [sys.executable, "-I", "-S", last_word.__file__, *numbers],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=[handle, descriptor],
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()
        os.close(handle)
        if mpi_is_up:
            looking.send_signal(last_word.MPI_IS_UP)
        # What schedulers send to the whole group.
        looking.terminate()
        end(process)
        output, errors = looking.communicate(timeout=20)
        process.wait()
        heard = ours.recv(4096).decode()
        ours.close()
        assert (output, looking.returncode) == ("", 0)
        return process.pid, errors, heard

    return see


@pytest.mark.parametrize(
    ("number", "how"),
    [(signal.SIGKILL, "was killed by SIGKILL"), (signal.SIGSEGV, "crashed with SIGSEGV")],
)
def test_a_death_without_a_word_is_told_with_its_cause(witness, number, how):
    process, errors, heard = witness(
        SLEEPS, lambda process: process.send_signal(number), mpi_is_up=True
    )
    first, hint = errors.splitlines()
    host = os.uname().nodename
    assert first == f"lad-mpi: error on rank 2: its process ({process} on host {host}) {how}"
    assert hint.startswith("  hint: ")
    assert heard == f"cmd=abort exitcode={int(number)}\n"


def test_who_is_asked_to_end_needs_no_word(witness):
    _, errors, heard = witness(SLEEPS, lambda process: process.terminate(), mpi_is_up=True)
    assert (errors, heard) == ("", "cmd=abort exitcode=15\n")


@pytest.mark.parametrize(("code", "told"), [(3, 3), (0, 1)])
def test_an_exit_needs_no_word_but_must_end_the_job(witness, code, told):
    program = [sys.executable, "-S", "-c", f"raise SystemExit({code})"]
    _, errors, heard = witness(program, lambda process: None, mpi_is_up=True)
    assert (errors, heard) == ("", f"cmd=abort exitcode={told}\n")


def test_before_mpi_hydra_is_told_nothing_that_it_does_not_expect(witness):
    _, errors, heard = witness(SLEEPS, lambda process: process.kill(), mpi_is_up=False)
    assert "was killed by SIGKILL" in errors
    assert heard == ""


@pytest.mark.parametrize("program", [["-c", "raise SystemExit(3)"], ["-c", KILLS_ITSELF]])
def test_a_death_is_known_before_and_on_newer_kernels_after_somebody_waited(program):
    process = subprocess.Popen([sys.executable, "-S", *program])
    handle = os.pidfd_open(process.pid)
    select.select([handle], [], [], 20)
    before = last_word.read_end(process.pid, handle)
    code = process.wait()
    after = last_word.read_end(process.pid, handle)
    os.close(handle)
    assert before == ((0, 3) if code == 3 else (signal.SIGKILL, 0))
    assert after in (before, (0, 0))
    assert last_word.describe(2, process.pid, 0) == ""


@pytest.mark.parametrize("number", [0, -1, 1000, int(signal.SIGRTMIN), int(signal.SIGUSR2)])
def test_signals_that_mean_no_harm_are_no_errors(number):
    assert last_word.describe(0, 1, number) == ""


@pytest.mark.parametrize("missing", ["PMI_FD", "HYDI_CONTROL_FD"])
def test_other_launchers_name_the_rank_themselves(missing):
    environ = {name: value for name, value in HYDRA.items() if name != missing}
    assert hydra_descriptor(HYDRA) == 9
    assert hydra_descriptor(environ) is None
    guardian = Guardian(environ)
    assert guardian.process == 0
    guardian.tell_that_mpi_is_up()


def test_a_python_that_cannot_be_started_harms_nobody(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert Guardian(HYDRA).process == 0
