"""The probe of GPU transfers survives processes that crash, hang, or print anything."""

import json
import sys

from lad_mpi.doctor.gpu_probe import GpuTransfers, probe_gpu_transfers


def probe(code, **options):
    return probe_gpu_transfers(command=[sys.executable, "-c", code], **options)


def test_the_result_of_the_trial_is_returned():
    told = {"kind": "direct", "reason": "20 GB/s", "direct_bytes_per_s": 2e10}
    code = f"print('noise'); print({json.dumps(told)!r})"
    assert probe(code) == GpuTransfers("direct", "20 GB/s", 2e10)


def test_a_crash_means_staged_and_names_the_signal():
    found = probe("import os; os.kill(os.getpid(), 11)")
    assert found.kind == "staged"
    assert "killed by SIGSEGV" in found.reason


def test_an_error_means_staged_and_is_quoted():
    found = probe("raise RuntimeError('no CUDA in this MPI')")
    assert found.kind == "staged"
    assert "exit code 1: RuntimeError: no CUDA in this MPI" in found.reason


def test_a_hang_is_ended_with_all_its_children():
    code = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        "time.sleep(100)"
    )
    # The pipes close only when the grandchild is gone, too.
    found = probe(code, timeout_s=1.0)
    assert found == GpuTransfers(
        "staged", "the trial of direct transfers failed (it did not end within 1 s)"
    )


def test_the_launcher_of_the_ranks_is_hidden_from_the_trial(monkeypatch):
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("MPIR_CVAR_X", "1")
    code = (
        "import json, os\n"
        "names = [name for name in ('PMI_RANK', 'MPIR_CVAR_X') if name in os.environ]\n"
        "print(json.dumps({'kind': 'staged', 'reason': ' '.join(names)}))"
    )
    assert probe(code).reason == "MPIR_CVAR_X"


def test_other_output_is_ignored():
    told = json.dumps({"kind": "direct", "reason": "20 GB/s"})
    code = (
        "import sys\n"
        "sys.stdout.buffer.write(b'{UCX} warning\\n\\xff\\xfe\\n[1, 2]\\n')\n"
        f"sys.stdout.buffer.write({told.encode()!r})"
    )
    assert probe(code) == GpuTransfers("direct", "20 GB/s")


def test_a_command_that_cannot_be_started_means_staged():
    found = probe_gpu_transfers(command=["/no/such/mpiexec"])
    assert found.kind == "staged"
    assert "No such file" in found.reason


def test_without_an_mpiexec_it_is_staged(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert "no mpiexec" in probe_gpu_transfers().reason


def test_the_real_probe_has_a_result():
    found = probe_gpu_transfers()
    assert found.kind in {"direct", "staged"}
    assert found.reason
