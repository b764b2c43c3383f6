"""Run the example of docs/pytorch.md as it is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lad_mpi.logs import read_log

pytest.importorskip("torch", reason="PyTorch is missing: make test-torch")

PAGE = (Path(__file__).parents[2] / "docs" / "pytorch.md").read_text()


def block(language):
    (found,) = re.findall(rf"^```{language}\n(# (\S+)\n.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return found


def test_the_network_of_the_page_learns(tmp_path):
    pytest.importorskip("sklearn")
    for text, name in map(block, ("python", "toml")):
        (tmp_path / name).write_text(text)
    # As the page says, but on one rank.
    path = os.pathsep.join([".", *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "lad_mpi", "run", "small.toml", "-o", "small.h5"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    log = read_log(tmp_path / "small.h5")
    assert log.final.metrics["test_accuracy"] > 0.9
    assert [package.split()[0] for package in log.packages] == ["lad_mpi", "mynets", "torch"]
