"""Names of any printable text, and names of files of any bytes, work everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lad_mpi.cli.main import main
from lad_mpi.logs import read_log
from lad_mpi.study import load_study

#: Not UTF-8, as in the name of a file or a job that was made under another locale.
NAME = b"g\xfcnstig"
NAMES = (
    "Q=10²",
    "_private",
    "[bold]x[/bold] :warning: %s %d",
    "../a/b",
    "..",
    "$x_1$ \\alpha {",
    "'\"🎉",
    "İstanbul ß",
    "-x --help",
    "𝐐" * 60,
)
STUDY = """
[base]
iterations = 3
seed = 9000000000000000000
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
"""


@pytest.fixture
def call(command, tmp_path):
    """Run lad-mpi in a folder, and on files, whose names are not UTF-8."""
    folder = tmp_path / os.fsdecode(NAME)
    folder.mkdir()
    for name, text in (("spec", STUDY.replace("[base]", "")), ("study", STUDY)):
        (folder / os.fsdecode(NAME + name.encode())).write_text(text)

    def run(*arguments, ranks=1, **environment):
        return subprocess.run(
            [*command(ranks=ranks)[: 3 * (ranks > 1)], sys.executable, "-m", "lad_mpi", *arguments],
            cwd=folder,
            env={**os.environb, **{key.encode(): value for key, value in environment.items()}},
            capture_output=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize("ranks", [1, 3])
def test_files_and_jobs_may_have_names_of_any_bytes(call, ranks):
    spec, study, log = NAME + b"spec", NAME + b"study", NAME + b".h5"
    job = {"SLURM_JOB_NAME": NAME, "SLURM_SUBMIT_DIR": NAME}
    done = call("run", spec, "-o", log, ranks=ranks, **job)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"g\\udcfcnstig.h5\n"
    shown = call("show", log)
    assert shown.returncode == 0
    assert b"run 'g\\udcfcnstigspec' -o 'g\\udcfcnstig.h5'" in shown.stdout
    done = call("study", "run", study, "-o", NAME + b"out", ranks=ranks, **job)
    assert done.returncode == 0, done.stderr
    status = call("study", "status", study, "-o", NAME + b"out", "--json")
    assert [run["status"] for run in json.loads(status.stdout)] == ["complete"]
    again = call("run", spec, "-o", log, ranks=ranks)
    assert again.returncode == 2
    assert b"g\\udcfcnstig.h5 already exists" in again.stderr


def test_a_value_of_the_spec_must_be_utf8_and_is_so_in_any_locale(call):
    done = call("run", NAME + b"spec", "--set", b"name=" + NAME)
    assert done.returncode == 2
    assert b"--set: expected text in UTF-8, found 'name=g\\udcfcnstig'" in done.stderr
    bare = {"LC_ALL": b"C", "PYTHONUTF8": b"0", "PYTHONCOERCECLOCALE": b"0"}
    done = call("run", NAME + b"spec", "--set", "name=günstig".encode(), "-o", "out.h5", **bare)
    assert done.returncode == 0, done.stderr
    assert "name                          günstig".encode() in call("show", "out.h5").stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_run_may_have_any_printable_name(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    label = json.dumps(name, ensure_ascii=False)
    (tmp_path / "study.toml").write_text(f"{STUDY}name = {label}\n")
    study = load_study(tmp_path / "study.toml")
    assert main(["study", "plan", "study.toml", "--json"]) == 0
    (planned,) = json.loads(capsys.readouterr().out)
    assert planned["name"] == name
    assert main(["study", "run", "study.toml", "-o", "out", "--progress", "lines"]) == 0
    assert f"[1/1] {name} (seed 9000000000000000000): complete" in capsys.readouterr().err
    (path,) = (tmp_path / "out").iterdir()
    assert path == study.runs[0].locate(tmp_path / "out")
    assert read_log(path).names == (name,)
    monkeypatch.setenv("COLUMNS", "300")
    for arguments in (["study", "status", "study.toml", "-o", "out"], ["show", str(path)]):
        assert main(arguments) == 0
        assert name in capsys.readouterr().out


def test_a_name_that_leaves_no_place_for_a_checkpoint_is_refused_at_the_start(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text(STUDY.replace("[base]", ""))
    safety = ["--set", "safety.checkpoint_every=1", "-q"]
    most = os.pathconf(tmp_path, "PC_NAME_MAX") - len("..checkpoint-000000003.npz.00000000.part")
    assert main(["run", "spec.toml", "-o", f"{'x' * most}.h5", *safety]) == 0
    assert main(["run", "spec.toml", "-o", f"{'κ' * (most // 2 + 1)}.h5", *safety]) == 2
    told = capsys.readouterr().err
    assert "the name of its checkpoints would be too long for the file system, which allows" in told
    assert "use -o to choose a name that is" in told
    folder = "y" * 200 + "/"
    deep = folder * (os.pathconf(tmp_path, "PC_PATH_MAX") // len(folder))
    assert main(["run", "spec.toml", "-o", f"{deep}x.h5", *safety]) == 2
    assert "the path of its checkpoints would be too long" in capsys.readouterr().err
    assert [path.suffix for path in tmp_path.iterdir() if path.name != "spec.toml"] == [".h5"]
