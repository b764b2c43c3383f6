"""Test benchmarks/gpu.py without a GPU."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lad_mpi.arrays import Backend
from lad_mpi.errors import BackendError, ExitCode

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"


@pytest.fixture
def gpu():
    spec = spec_from_file_location("benchmarks_gpu", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class StandIn:
    """NumPy in place of CuPy, on a device where every interval takes two milliseconds."""

    __version__ = "0.0"

    def __getattr__(self, name):
        return getattr(np, name)

    class Event:
        def record(self):
            pass

        def synchronize(self):
            pass

    cuda = SimpleNamespace(
        Event=Event,
        get_elapsed_time=lambda start, end: 2.0,
        runtime=SimpleNamespace(driverGetVersion=lambda: 12040, runtimeGetVersion=lambda: 12040),
    )


def test_measures_prints_and_writes(gpu, monkeypatch, capsys, tmp_path):
    def open_backend(kind, dtype):
        # A backend that copies within host memory.
        return Backend("numpy", np.dtype(dtype), StandIn(), "NVIDIA H100 80GB HBM3")

    monkeypatch.setattr(gpu, "open_backend", open_backend)
    monkeypatch.setattr(gpu, "_RESULTS", tmp_path)
    monkeypatch.setattr(gpu, "_BLOCK_COLUMNS", 50)
    monkeypatch.setattr(gpu, "_COPIED_BYTES", 1000)
    arguments = ["--n", "12", "--f", "2", "--dimension", "100", "--repeats", "3"]
    assert gpu.main([*arguments, "--rules", "trimmed_mean,nnm"]) == ExitCode.OK
    record = json.loads((tmp_path / "gpu-nvidia-h100-80gb-hbm3.json").read_text())
    assert record["copy_bytes_per_s"] == pytest.approx(2 * 1000 / 2e-3)
    shown = capsys.readouterr().out
    for result, (rule, dtype, size) in zip(
        record["results"],
        [
            ("trimmed_mean", "float32", 4),
            ("nnm", "float32", 4),
            ("trimmed_mean", "float64", 8),
            ("nnm", "float64", 8),
        ],
        strict=True,
    ):
        assert (result["rule"], result["dtype"]) == (rule, dtype)
        assert result["read_bytes_per_s"] == pytest.approx(12 * 100 * size / 2e-3)
        assert len(result["times_s"]) == 3
        assert rule in shown
        assert result["largest_difference_from_host"] < 1e-5
    assert gpu.main([*arguments, "--rules", "median", "--dimension", "70"]) == ExitCode.OK
    assert "–" in capsys.readouterr().out


def test_says_what_is_missing_where_there_is_no_gpu(gpu, monkeypatch, capsys, tmp_path):
    def open_backend(kind, dtype):
        raise BackendError("no device", hint="find one")

    monkeypatch.setattr(gpu, "open_backend", open_backend)
    assert gpu.main(["--output", str(tmp_path / "none.json")]) == ExitCode.UNFIT
    assert "no device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_refuses_arguments_it_does_not_know():
    done = subprocess.run([sys.executable, SCRIPT, "--size", "3"], capture_output=True, check=False)
    assert done.returncode == ExitCode.USAGE
