"""The probe of GPU transfers: processes that crash, hang or lie are outlived."""

import json
import os
import sys

import pytest

from lad_mpi.doctor.gpu_probe import GpuTransfers, probe_gpu_transfers

GPU = json.dumps({"gpu": "made up"})


@pytest.fixture
def no_launcher(monkeypatch):
    """Leave out what the launcher of the tests has set, if there is one."""
    for name in list(os.environ):
        if name.startswith(("OMPI_", "PRTE_", "PMI", "PBS_", "FLUX_", "SLURM_", "CUDA_VISIBLE")):
            monkeypatch.delenv(name)


def probe(code, **options):
    return probe_gpu_transfers(command=[sys.executable, "-c", code], **options)


def test_a_verdict_is_taken_as_it_is_told():
    told = {"kind": "direct", "reason": "20 GB/s", "direct_bytes_per_s": 2e10}
    code = f"print({GPU!r}); print('noise'); print({json.dumps(told)!r})"
    assert probe(code) == GpuTransfers("direct", "20 GB/s", 2e10)


def test_a_crash_with_an_array_in_hand_means_staged_and_names_the_signal():
    found = probe(f"import os; print({GPU!r}, flush=True); os.kill(os.getpid(), 11)")
    assert found.kind == "staged"
    assert "killed by SIGSEGV" in found.reason


def test_an_error_with_an_array_in_hand_means_staged_and_is_quoted():
    found = probe(f"print({GPU!r}, flush=True); raise RuntimeError('no CUDA in this MPI')")
    assert found.kind == "staged"
    assert "exit code 1: RuntimeError: no CUDA in this MPI" in found.reason


def test_a_hang_is_ended_with_all_its_children():
    code = (
        "import subprocess, sys, time\n"
        f"print({GPU!r}, flush=True)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        "time.sleep(100)"
    )
    # The pipes close only when the grandchild is gone, too.
    found = probe(code, timeout_s=1.0)
    assert found == GpuTransfers(
        "staged", "MPI failed when it was handed an array of the GPU (it did not end within 1 s)"
    )


def test_a_crash_before_a_gpu_was_opened_means_none():
    assert probe("import os; os.kill(os.getpid(), 11)").kind == "none"


@pytest.mark.usefixtures("no_launcher")
def test_the_launcher_of_the_ranks_is_hidden_from_the_probe(monkeypatch):
    for name in ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE", "SLURM_PROCID", "PALS_RANKID"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    code = (
        "import json, os\n"
        "ours = ('PM', 'OMPI', 'SLURM', 'PALS', 'CUDA_VISIBLE')\n"
        "found = ' '.join(sorted(name for name in os.environ if name.startswith(ours)))\n"
        "print(json.dumps({'kind': 'none', 'reason': found}))"
    )
    assert probe(code).reason == "CUDA_VISIBLE_DEVICES"


@pytest.mark.usefixtures("no_launcher")
def test_the_probe_has_the_settings_of_the_library_that_the_ranks_have(monkeypatch):
    """As ``mpirun --mca`` sets them, but not what tells a rank of Open MPI who it is."""
    for name in ("OMPI_MCA_pml", "OMPI_MCA_opal_cuda_support", "PRTE_MCA_x", "MPIR_CVAR_X"):
        monkeypatch.setenv(name, "1")
    for name in ("OMPI_MCA_ess_base_jobid", "PRTE_MCA_plm", "PBS_NODEFILE", "FLUX_URI"):
        monkeypatch.setenv(name, "1")
    code = (
        "import json, os\n"
        "ours = ('OMPI_', 'PRTE_', 'MPIR_CVAR_X', 'PBS_', 'FLUX')\n"
        "found = ' '.join(sorted(name for name in os.environ if name.startswith(ours)))\n"
        "print(json.dumps({'kind': 'none', 'reason': found}))"
    )
    kept = "MPIR_CVAR_X OMPI_MCA_opal_cuda_support OMPI_MCA_pml PRTE_MCA_x"
    assert probe(code).reason == kept


def test_what_libraries_print_is_passed_over():
    told = json.dumps({"kind": "direct", "reason": "20 GB/s"})
    code = (
        "import sys\n"
        "sys.stdout.buffer.write(b'{UCX} warning\\n\\xff\\xfe\\n[1, 2]\\n')\n"
        f"sys.stdout.buffer.write({told.encode()!r})"
    )
    assert probe(code) == GpuTransfers("direct", "20 GB/s")


def test_a_command_that_cannot_be_started_means_none():
    found = probe_gpu_transfers(command=["/no/such/mpiexec"])
    assert found.kind == "none"
    assert "No such file" in found.reason


def test_how_far_it_came_is_told():
    up = json.dumps({"mpi": 2})
    assert "MPI could not be started" in probe("import time; time.sleep(9)", timeout_s=0.5).reason
    code = f"print({up!r}, flush=True); import time; time.sleep(9)"
    assert "no GPU could be opened (it did not" in probe(code, timeout_s=0.5).reason


def test_the_real_probe_ends_in_a_verdict():
    found = probe_gpu_transfers()
    assert found.kind in {"direct", "staged", "none"}
    assert found.reason
    assert (found.kind == "none") == (found.direct_bytes_per_s is None is found.staged_bytes_per_s)
