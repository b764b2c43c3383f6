"""The tests for a GPU, on the stand-in: they show that the code runs, and nothing of a card."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cuda_on_host import COMPILER, standin_environment

# A card has registers to ask for, and is quick enough for long columns.
ONLY_ON_A_CARD = "not registers and not large_arrays"


def run_tests(*options: str, **more: Any) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "tests/gpu"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        **more,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
@pytest.mark.timeout(400)
def test_the_tests_for_a_gpu_pass_on_the_standin() -> None:
    # The kernels are long, and few numbers go through them.
    environment = standin_environment(KERNELS_ON_HOST_LEVEL="0")
    several = ("-n", "auto", "--maxprocesses", "8")
    shown = run_tests(*several, "-m", "gpu", "-k", ONLY_ON_A_CARD, env=environment)
    assert "GPU: stand-in (host memory)" in shown
    counts = re.search(r"= (\d+) passed in", shown)
    assert counts, shown
    assert int(counts[1]) >= 100


def test_nothing_takes_the_standin_unasked() -> None:
    shown = run_tests("--collect-only")
    assert "GPU: " in shown
    assert "stand-in" not in shown
