"""Run a few hundred cases of the fuzzer, and check that it detects broken commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES, SEED = 200, 1


def run(*words):
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=False
    )


def test_no_mutated_file_misleads_a_command():
    done = run(HERE / "files.py", "--cases", CASES, "--seed", SEED, "--jobs", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"cases   {CASES} in" in done.stdout


@pytest.fixture(scope="module")
def found():
    done = run(HERE / "broken.py")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("fault", "causes"),
    [
        ("none", []),
        ("raises", ["left main: KeyError"]),
        ("bug", ["bug: KeyError"]),
        ("traceback", ["'Traceback': somewhere"]),
        ("exit code", ["exit code 9"]),
        ("hangs", ["hung: no place in the suite"]),
        ("dies", ["the process died: SIGABRT: no place in the suite"]),
        ("writes to the working directory", ["changed outside"]),
        ("writes at home", ["changed outside"]),
        ("writes beside its folder", ["changed outside"]),
        ("renames outside", ["changed outside"]),
        ("copies a secret", ["copied what lies outside"]),
    ],
)
def test_broken_commands_are_detected(found, fault, causes):
    assert found[fault] == causes


def test_memory_beyond_the_limit_is_detected(found):
    assert [cause.partition(":")[0] for cause in found["memory"]] == ["memory"]
