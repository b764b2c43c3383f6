"""What ``study watch`` shows fits the terminal, and the terminal is given back."""

from __future__ import annotations

import os
import pty
import select
import struct
import sys
import termios
import time
from dataclasses import replace
from fcntl import ioctl

import numpy as np
import pytest
from rich.cells import cell_len

from lad_mpi.cli.main import main
from lad_mpi.cli.watch_view import describe, screen, sparkline
from lad_mpi.study import Look, RunStatus, WatchedRun, load_study

STUDY = """
[base]
name = "日本 d={coding.load}"
iterations = 8
data = { dimension = 3 }
devices = { count = 4, byzantine = 1 }
[axes]
coding.load = [1, 2, 3, 4]
seed = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
[[cases]]
[[cases]]
name = "diverging"
aggregation = { kind = "mean" }
optimizer = { step_size = 1e200 }
axes = { coding.load = [1], seed = [1] }
"""
NASTY = "a\x1b[2J\x1b]0;b\x07\r\nall runs complete\x9b31m\u202e\u2028"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watch")
    (folder / "study.toml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def runs(place):
    """41 runs of which nothing is known."""
    study = load_study(place / "study.toml")
    return [
        WatchedRun(RunStatus(run, run.locate(place), "pending"), written_s=float(number))
        for number, run in enumerate(study.runs)
    ]


def as_running(run):
    curves = {"loss": np.linspace(2, 1, 5), "test_accuracy": np.array([0.1, np.nan, 0.7])}
    return replace(
        run,
        state=replace(run.state, status="running", iterations=5),
        latest={"loss": 1.0, "test_accuracy": 0.7},
        curves=curves,
        rate=2.5,
    )


def as_complete(run):
    state = replace(run.state, status="complete", iterations=8)
    return replace(run, state=state, latest={"loss": 0.5})


def as_failed(run, failure="diverged: the loss is nan"):
    return replace(run, state=replace(run.state, status="failed", failure=failure))


def texts(look, width=80, height=24):
    return [line.plain.rstrip() for line in screen("trial", look, width, height)]


def mixed(runs, running=3, failed=4, complete=10):
    kinds = [as_running] * running + [as_failed] * failed + [as_complete] * complete
    return Look(
        (*(make(run) for make, run in zip(kinds, runs, strict=False)), *runs[len(kinds) :]), 7.5
    )


def test_the_screen_shows_states_paces_curves_and_reasons(runs):
    shown = texts(mixed(runs))
    assert shown[0] == "trial: 3 running, 10 complete, 24 pending, 4 failed"
    assert "7.5 it/s, about 27 s left" in shown[1]
    running = [line for line in shown if line.startswith("running")]
    assert len(running) == 3
    assert all("5/8" in line and "2.5 it/s, 1 s left" in line for line in running)
    # They stay in the order of the study.
    assert [line.split()[3] for line in running] == ["s1", "s2", "s3"]
    curves = shown[shown.index(running[0]) + 1]
    assert "loss 1 █▆▅▃▁" in curves
    assert "test_accuracy 0.7 ▁█" in curves
    failed = [line for line in shown if line.startswith("failed")]
    assert len(failed) == 4
    assert all(line.endswith("diverged: the loss is nan") for line in failed)
    # The latest is the first.
    assert next(line for line in shown if line.startswith("complete")).split()[2:4] == ["d=2", "s7"]


@pytest.mark.parametrize("numbers", [(0, 0, 0), (3, 4, 10), (41, 0, 0), (20, 20, 1), (0, 41, 0)])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 10), (20, 6), (10, 1)])
def test_every_screen_fits_and_counts_what_it_hides(runs, numbers, size):
    look = mixed(runs, *numbers)
    width, height = size
    shown = texts(look, width, height)
    assert len(shown) <= height
    assert all(cell_len(line) <= width for line in shown)
    if width >= 80:
        rows = [line for line in shown[3:] if line.split(" ")[0] in look.counts]
        (more,) = [line for line in shown if line.startswith("…")] or ["… more: 0 none"]
        hidden = sum(int(part.split()[0]) for part in more.partition(": ")[2].split(", "))
        assert len(rows) + hidden == 41
        assert {line.split(" ")[0] for line in rows} >= {"running", "failed"} & look.counts.keys()


def test_texts_from_logs_command_no_terminal(runs):
    look = Look((as_failed(runs[0], NASTY), *runs[1:3]), float("nan"))
    shown = [*texts(look, 400), *describe("trial", look, {})]
    assert all(line.isprintable() for line in shown)
    assert sum(r"a\u001b[2J" in line for line in shown) == 2


def test_lines_say_what_has_changed(runs):
    known = {}
    first = Look((runs[0], as_running(runs[1]), as_complete(runs[2]), as_failed(runs[3])), 3.0)
    assert [line.split(",")[0] for line in describe("trial", first, known)] == [
        "日本 d=1 (seed 2): running",
        "日本 d=1 (seed 4): failed",
        "trial: 4 runs: 1 running",
    ]
    assert len(list(describe("trial", first, known))) == 1
    second = Look((as_running(runs[0]), as_complete(runs[1]), *first.runs[2:]), 3.0)
    assert [line.split(",")[0] for line in describe("trial", second, known)] == [
        "日本 d=1 (seed 1): running",
        "日本 d=1 (seed 2): complete",
        "trial: 4 runs: 1 running",
    ]


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([np.nan, np.inf], ""),
        ([3.0], "▁"),
        ([1.0, np.nan, 3.0], "▁█"),
        ([1.0, 10.0, 100.0], "▁▅█"),  # logarithmic
        ([-1e308, 1e308], "▁▁"),  # The range is not a number.
        (np.arange(1000.0), "▁▂▃▄▅▆▇█"),
    ],
)
def test_curves_are_drawn_from_what_is_finite(values, drawn):
    assert sparkline(np.array(values, dtype=float), 8) == drawn


def test_once_prints_the_states_and_the_exit_code_tells_of_failed_runs(place, capsys):
    study, out = str(place / "study.toml"), str(place / "out")
    watch = ["study", "watch", study, "-o", out, "--once"]
    assert main(watch) == 0
    assert "41 runs: 41 pending; no run is in progress" in capsys.readouterr().out
    few = ["--where", "coding.load=1 and seed=1"]
    assert main(["study", "run", study, "-o", out, "-q", *few]) == 1
    capsys.readouterr()
    # Without --once it ends as well, because no run of the selection is left.
    assert main([*watch[:-1], *few]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "diverging (seed 1): failed, " in lines[0]
    assert lines[1].endswith("2 runs: 1 complete, 1 failed; all runs have ended")
    assert main([*watch, "--only", "日本*"]) == 0


@pytest.mark.parametrize("every", ["0", "nan", "soon"])
def test_times_that_are_none_are_refused(place, every, capsys):
    assert main(["study", "watch", str(place / "study.toml"), "--every", every]) == 2
    assert "expected seconds from 0.1 on" in capsys.readouterr().err


def test_a_folder_in_place_of_a_study_is_refused_with_the_way_to_list_its_logs(place, capsys):
    assert main(["study", "watch", str(place), "--once"]) == 2
    assert f"`lad-mpi show {place}` lists the logs" in capsys.readouterr().err


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("leave", "code"), [(b"q", 0), (b"\x03", 130)])
def test_a_key_ends_the_live_view_and_gives_the_terminal_back(place, leave, code):
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm"
        words = ["lad_mpi", "study", "watch", str(place / "study.toml"), "-o", str(place / "no")]
        os.execv(sys.executable, [sys.executable, "-m", *words])
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(terminal)
    received, is_asked = b"", False
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            received += os.read(terminal, 65536)
        except OSError:  # The process has ended.
            break
        if not is_asked and b"q leaves" in received:
            assert termios.tcgetattr(terminal) != before
            os.write(terminal, leave)
            is_asked = True
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == code
    assert termios.tcgetattr(terminal) == before
    entered, left = b"\x1b[?1049h", b"\x1b[?1049l"
    assert received.count(entered) == received.count(left) == 1
    assert received.rindex(b"\x1b[?25h") > received.rindex(b"\x1b[?25l")
    assert (b"41 runs: 41 pending" in received.partition(left)[2]) == (code == 0)
    os.close(terminal)
