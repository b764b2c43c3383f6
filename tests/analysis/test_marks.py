"""Times that are not those of a real network say so wherever they are shown."""

import pytest

from analysis import style
from analysis.cli import main
from analysis.figures import canvas, drawings_of
from analysis.runs import load_collection
from lad_mpi.training.clock import TRAINING_PHASES

EMULATED = {"network": {"emulate": {"latency": "1ms", "bandwidth": "2MB/s"}}}
NOTE = "emulated network (latency=1ms,bandwidth=2MB/s)"


def one_line(text):
    return " ".join(text.split())


def test_the_table_marks_them(write_run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    path = write_run(**EMULATED, provenance={"oversubscribed": True})
    assert main(["table", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "3.60e+03†‡" in shown
    assert f"‡ {NOTE}" in one_line(shown)


@pytest.mark.parametrize(
    ("change", "sign", "words"),
    [
        ({"compute": "shared"}, "§", "computes a gradient once for all of its devices"),
    ],
)
def test_times_that_mean_something_else_are_marked(write_run, capsys, change, sign, words):
    assert main(["table", str(write_run(**change))]) == 0
    shown = capsys.readouterr().out
    assert f"3.60e+03{sign}" in shown
    assert f"{sign} " in one_line(shown)
    assert words in one_line(shown)
    assert main(["table", str(write_run("plain.h5"))]) == 0
    assert sign not in capsys.readouterr().out


def test_times_of_networks_stay_apart(write_run, tmp_path):
    write_run("real.h5")
    write_run("emulated.h5", **EMULATED)
    (method,) = load_collection([tmp_path]).methods
    assert {timing.conditions.emulated_network for timing in method.timings} == {
        "",
        "latency=1ms,bandwidth=2MB/s",
    }
    assert {timing.label for timing in method.timings} == {
        "LAD d=2 (network=latency=1ms,bandwidth=2MB/s)",
        "LAD d=2 (network=real)",
    }


def test_no_two_phases_share_a_colour():
    phases = ["communication", *TRAINING_PHASES]
    colors = style.phase_colors(phases, rest="communication")
    assert list(colors) == phases
    assert len(set(colors.values())) == len(phases)
    assert colors["communication"] == style.REST_COLOR


@pytest.mark.parametrize("name", ["loss_against_seconds", "phase_times"])
def test_figures_of_times_say_it_above_and_below(write_run, name):
    with canvas.settings():
        figure, caption = drawings_of(load_collection([write_run(**EMULATED)]))[name]()
        plain, said = drawings_of(load_collection([write_run("real.h5")]))[name]()
    assert "emulated network: latency=1ms,bandwidth=2MB/s" in figure.get_suptitle()
    assert f"E{NOTE[1:]}" in caption
    assert "mulated" not in plain.get_suptitle() + said
