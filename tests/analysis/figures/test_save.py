"""Files of figures, their captions, and the user's settings, which change neither."""

from __future__ import annotations

import os
import subprocess
import sys

import matplotlib as mpl
import pytest

from analysis.cli import main
from analysis.figures import canvas, drawings_of, save
from analysis.runs import load_collection

#: What people have in their matplotlibrc, as far as it could show.
HOSTILE = {
    "text.usetex": True,
    "font.family": "serif",
    "font.sans-serif": ["Comic Sans MS"],
    "font.size": 30,
    "figure.constrained_layout.use": False,
    "figure.autolayout": True,
    "axes.grid": False,
    "lines.linewidth": 7.0,
    "legend.loc": "upper left",
    "savefig.bbox": "tight",
    "savefig.dpi": 30,
    "pdf.fonttype": 3,
}


def test_the_command_writes_all_figures_and_captions(study, tmp_path, capsys):
    folder = tmp_path / "new" / "figures"
    assert main(["figures", str(study), "-o", str(folder)]) == 0
    printed = capsys.readouterr().out.split()
    names = drawings_of(load_collection([study]))
    expected = {f"{name}.{suffix}" for name in names for suffix in ("pdf", "png")}
    assert {path.name for path in folder.iterdir()} == expected | {"captions.md"}
    assert sorted(printed) == sorted(map(str, folder.iterdir()))
    assert all(path.read_bytes()[:4] in {b"%PDF", b"\x89PNG"} for path in folder.glob("*.p*"))
    captions = (folder / "captions.md").read_text(encoding="utf-8")
    assert all(f"**{name}.**" in captions for name in names)


def test_a_condition_and_formats_are_obeyed(study, tmp_path, capsys):
    folder = tmp_path / "figures"
    where = ["--where", "coding.load=5 and aggregation.pre=nnm", "--metric", "loss"]
    assert main(["figures", str(study), "-o", str(folder), *where, "--format", "svg"]) == 0
    printed = capsys.readouterr()
    assert {path.suffix for path in folder.iterdir()} == {".svg", ".md"}
    # matplotlib notes each text beside its outlines.
    drawn = (folder / "loss_against_iterations.svg").read_text(encoding="utf-8")
    assert "<!-- LAD-NNM d=5 -->" in drawn
    assert "<!-- LAD d=5 -->" not in drawn
    assert str(folder / "phase_times.svg") in printed.out


def test_a_condition_that_no_run_fulfils_writes_nothing(study, tmp_path, capsys):
    folder = tmp_path / "figures"
    assert main(["figures", str(study), "-o", str(folder), "--where", "coding.load=7"]) == 2
    assert "coding.load is 1, 2, 5, 10" in capsys.readouterr().err
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_a_usage_error(study, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["figures", str(study), "-o", str(tmp_path / "file")]) == 2
    assert "cannot write figures" in capsys.readouterr().err


def test_a_figure_with_nothing_to_show_is_not_written(write_run, tmp_path):
    write_run()
    written = save.save_figures(load_collection([tmp_path]), tmp_path / "out")
    drawn = {path.stem for path in written}
    assert drawn == {*drawings_of(load_collection([tmp_path])), "captions"} - {"error_against_load"}


def test_the_users_settings_change_no_byte_and_stay_as_they_are(write_run, tmp_path, monkeypatch):
    write_run(name="$a$_b")
    collection = load_collection([tmp_path])
    drawings = drawings_of(collection)
    only = {name: drawings[name] for name in ("loss_against_iterations", "phase_times")}
    monkeypatch.setattr(save, "drawings_of", lambda *_: only)
    plain = save.save_figures(collection, tmp_path / "plain")
    with mpl.rc_context(HOSTILE):
        hostile = save.save_figures(collection, tmp_path / "hostile")
        assert mpl.rcParams["text.usetex"]
        assert mpl.rcParams["font.size"] == 30
    for one, other in zip(plain, hostile, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


#: Markup of matplotlib, of Markdown and of HTML, and what a terminal obeys.
NASTY = "$\\frac{1}{0}$ ^_% \x1b[31m\n\u202e[a](http://b.c) <img src=x> `c` www.d.e {0}"


@pytest.mark.filterwarnings("error")
def test_any_name_is_drawn_as_it_is(write_run, tmp_path):
    for seed in (1, 2):
        for load, name in ((1, NASTY), (2, f"_{NASTY}"), (5, r"\\begin{x} #1 & ~")):
            write_run(
                f"{load}-{seed}.h5",
                names=[name],
                seed=seed,
                coding={"load": load, "assignment": NASTY},
                aggregation={"kind": NASTY},
                data={"kind": NASTY, "heterogeneity": float(seed)},
                model={"kind": NASTY},
                provenance={"cpu_model": f"{load}{NASTY}", "mpi_library": f"{load}{NASTY}"},
                phases=["broadcast", NASTY, "gather", "aggregate", "evaluate"],
            )
    written = save.save_figures(load_collection([tmp_path]), tmp_path / "out")
    assert {path.stem for path in written} == {
        *drawings_of(load_collection([tmp_path])),
        "captions",
    }
    captions = (tmp_path / "out" / "captions.md").read_text()
    assert captions.replace("\n", "").isprintable()


def test_captions_are_no_markup(write_run, tmp_path, monkeypatch):
    drawings = {"nasty": lambda: (canvas.new_figure(1.0), NASTY)}
    monkeypatch.setattr(save, "drawings_of", lambda *_: drawings)
    write_run()
    save.save_figures(load_collection([tmp_path]), tmp_path / "out")
    assert (tmp_path / "out" / "captions.md").read_text() == (
        r"**nasty.** \$\\frac{1}{0}\$ ^\_% \\u001b\[31m\\u000a\\u202e\[a\](http\://b.c)"
        r" \<img src=x\> \`c\` www\.d.e {0}"
        "\n"
    )


def test_a_link_in_the_folder_is_replaced_and_not_followed(write_run, tmp_path):
    write_run()
    mine = tmp_path / "mine"
    mine.write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("phase_times.png", "phase_times.pdf", "captions.md"):
        (folder / name).symlink_to(mine)
    save.save_figures(load_collection([tmp_path]), folder)
    assert mine.read_text() == "mine"
    assert not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.parametrize("setting", ["MPLBACKEND", "MATPLOTLIBRC"])
def test_settings_that_matplotlib_cannot_read_do_not_count(tmp_path, setting):
    wrong = tmp_path / "matplotlibrc"
    wrong.write_bytes("font.family: café\n".encode("latin-1"))
    value = {"MPLBACKEND": "no such backend", "MATPLOTLIBRC": str(wrong)}[setting]
    code = (
        "import os; from analysis.commands import import_figures; import_figures(); "
        f"print(os.environ[{setting!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, setting: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, value, "")
