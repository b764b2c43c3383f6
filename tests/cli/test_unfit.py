"""A run checks the machine before it begins, and records the findings in its log."""

from lad_mpi.doctor import Finding, Severity
from lad_mpi.logs import read_log

SPEC = "iterations = 5\ndata = { dimension = 6 }\ndevices = { count = 6, byzantine = 1 }\n"
FATAL = Finding(Severity.FATAL, "versions", "two versions of lad_mpi", "install one everywhere")
NOTE = Finding(Severity.NOTE, "affinity", "not bound", "bind ranks")


def run(monkeypatch, capsys, tmp_path, findings, *arguments):
    from lad_mpi.cli import world
    from lad_mpi.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(world, "cheap_checks", lambda *_: findings)
    code = main([*arguments])
    return code, capsys.readouterr()


def test_a_fatal_finding_ends_a_run_before_it_begins(monkeypatch, capsys, tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC)
    code, said = run(monkeypatch, capsys, tmp_path, [NOTE, FATAL], "run", "spec.toml")
    assert code == 5
    assert "lad-mpi: error: versions: two versions of lad_mpi\n" in said.err
    assert "install one everywhere" in said.err
    assert "--force" in said.err
    assert not (tmp_path / "results").exists()


def test_a_run_that_is_forced_says_so_in_its_log(monkeypatch, capsys, tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC)
    arguments = ("run", "spec.toml", "-o", "run.h5", "--force")
    code, _ = run(monkeypatch, capsys, tmp_path, [NOTE, FATAL], *arguments)
    assert code == 0
    assert read_log(tmp_path / "run.h5").provenance["remarks"] == [
        "note: affinity: not bound",
        "fatal: versions: two versions of lad_mpi",
    ]


def test_a_study_is_checked_as_well(monkeypatch, capsys, tmp_path):
    (tmp_path / "study.toml").write_text(f"[base]\n{SPEC}[axes]\nseed = [1]\n")
    arguments = ("study", "run", "study.toml", "-o", "logs")
    code, said = run(monkeypatch, capsys, tmp_path, [FATAL], *arguments)
    assert code == 5
    assert "two versions of lad_mpi" in said.err
    code, _ = run(monkeypatch, capsys, tmp_path, [FATAL], *arguments, "--force")
    assert code == 0
    (path,) = tmp_path.glob("logs/*.h5")
    assert read_log(path).provenance["remarks"] == ["fatal: versions: two versions of lad_mpi"]
