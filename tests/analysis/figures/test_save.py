"""Files of figures, their captions, and the user's settings, which change neither."""

from __future__ import annotations

import os
import subprocess
import sys

import matplotlib as mpl
import pytest

from analysis.cli import main
from analysis.figures import FIGURES, save
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
    expected = {f"{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "png")}
    assert {path.name for path in folder.iterdir()} == expected | {"captions.md"}
    assert sorted(printed) == sorted(map(str, folder.iterdir()))
    assert all(path.read_bytes()[:4] in {b"%PDF", b"\x89PNG"} for path in folder.glob("*.p*"))
    captions = (folder / "captions.md").read_text(encoding="utf-8")
    assert all(f"**{name}.**" in captions for name in FIGURES)


def test_a_folder_that_cannot_be_written_is_a_usage_error(study, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["figures", str(study), "-o", str(tmp_path / "file")]) == 2
    assert "cannot write figures" in capsys.readouterr().err


def test_a_figure_with_nothing_to_show_is_not_written(write_run, tmp_path, monkeypatch):
    write_run()
    only = {name: FIGURES[name] for name in ("error_against_load", "phase_times")}
    monkeypatch.setattr(save, "FIGURES", only)
    written = save.save_figures(load_collection([tmp_path]), tmp_path / "out")
    assert [path.stem for path in written] == ["phase_times", "phase_times", "captions"]


def test_the_users_settings_change_no_byte_and_stay_as_they_are(write_run, tmp_path, monkeypatch):
    write_run(name="$a$_b")
    collection = load_collection([tmp_path])
    only = {name: FIGURES[name] for name in ("loss_against_iterations", "phase_times")}
    monkeypatch.setattr(save, "FIGURES", only)
    plain = save.save_figures(collection, tmp_path / "plain")
    with mpl.rc_context(HOSTILE):
        hostile = save.save_figures(collection, tmp_path / "hostile")
        assert mpl.rcParams["text.usetex"]
        assert mpl.rcParams["font.size"] == 30
    for one, other in zip(plain, hostile, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


@pytest.mark.parametrize("setting", ["MPLBACKEND", "MATPLOTLIBRC"])
def test_settings_that_matplotlib_cannot_read_do_not_count(tmp_path, setting):
    wrong = tmp_path / "matplotlibrc"
    wrong.write_bytes("font.family: café\n".encode("latin-1"))
    value = {"MPLBACKEND": "no such backend", "MATPLOTLIBRC": str(wrong)}[setting]
    code = (
        "import os; from analysis.plotting import import_figures; import_figures(); "
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
