"""docs/doctor.md explains every check, and its examples run."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "doctor.md").read_text()


#: Makers of findings, and which argument is the name of the check.
CHECKS = {"Finding": 1, "Finding.on": 2}


def names():
    """The check of every finding in the source."""
    found = set()
    for path in (ROOT / "lad_mpi" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in CHECKS:
                check = node.args[CHECKS[ast.unparse(node.func)]]
                parts = [check.body, check.orelse] if isinstance(check, ast.IfExp) else [check]
                found |= {part.value for part in parts if isinstance(part, ast.Constant)}
    return found


def test_every_check_is_explained():
    assert len(names()) > 12
    assert names() == set(re.findall(r"\*\*([a-z0-9 ]+)\*\*", PAGE))


def test_the_commands_run(tmp_path):
    commands = re.findall(r"^    (lad-mpi doctor.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        done = lad(*command.split()[1:], folder=tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_example_runs(tmp_path, code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0 ['")
    assert "ok output: " in done.stdout


def lad(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "lad_mpi", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
