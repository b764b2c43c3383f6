"""Commands on a GPU, with a stand-in for CuPy under a real launcher."""

import json

import pytest
from cuda_on_host import COMPILER, standin_environment

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")

ON_GPU = ("--set", "backend={kind='cupy',gpu_transfers='staged'}")


@pytest.fixture
def gpu_lad(lad):
    path = {"PYTHONPATH": standin_environment()["PYTHONPATH"]}
    return lambda *arguments, ranks=3: lad(*arguments, ranks=ranks, environment=path)


def test_the_doctor_tries_transfers_and_recommends_one(gpu_lad):
    done = gpu_lad("doctor", "--json")
    findings = json.loads(done.stdout)["findings"]
    (finding,) = [f for f in findings if f["check"] == "gpu transfers"]
    assert "GB/s directly" in finding["found"], finding
    direct = finding["fix"].startswith('set backend.gpu_transfers = "direct"')
    assert direct or 'stay with backend.gpu_transfers = "staged"' in finding["found"]


def test_show_names_the_transfers_of_a_run(gpu_lad):
    done = gpu_lad("run", "spec.toml", "-o", "log.h5", "--force", *ON_GPU)
    assert done.returncode == 0, done.stderr
    shown = json.loads(gpu_lad("show", "log.h5", "--json", ranks=1).stdout)
    assert shown["gpu_transfers"] == "staged"
    assert shown["devices"] == "stand-in (host memory)"


def test_show_names_no_transfers_without_a_gpu(gpu_lad):
    assert gpu_lad("run", "spec.toml", "-o", "log.h5", "--force").returncode == 0
    assert "gpu" not in gpu_lad("show", "log.h5", ranks=1).stdout


def test_codecs_are_timed_beside_the_way_to_the_host(gpu_lad):
    small = ("--devices", "2", "--dimension", "50", "--repeats", "2", "--backend", "cupy")
    found = json.loads(gpu_lad("bench", "codecs", *small, "--json", ranks=1).stdout)
    assert found["device_name"] == "stand-in (host memory)"
    assert found["crossing"]["gb_per_s"] > 0
    shown = gpu_lad("bench", "codecs", *small, ranks=1).stdout
    assert "on stand-in (host memory), with header" in shown
    assert "to pinned memory of the host" in shown


def test_without_a_gpu_the_bench_says_what_is_missing(lad):
    refused = lad("bench", "codecs", "--backend", "cupy", "--devices", "1", ranks=1)
    if refused.returncode == 0:
        pytest.skip("there is a GPU")
    assert refused.returncode == 5
    assert 'set backend.kind = "numpy"' in refused.stderr
