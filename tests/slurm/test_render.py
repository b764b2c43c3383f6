"""Job scripts: their text, and what bash and sbatch make of the words in them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from lad_mpi.errors import UsageError
from lad_mpi.slurm import READY, Job, load_cluster, prepare_job, render
from lad_mpi.slurm.cluster import control_character
from lad_mpi.slurm.render import default_word, path_word, sbatch_word
from lad_mpi.study import load_study

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "slurm" / "golden"
CLUSTERS = ROOT / "jobs" / "clusters"
STUDY = """
name = "tiny"
[base]
iterations = 20
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
[axes]
seed = [1, 2, 3, 4, 5, 6, 7, 8, 9]
"""


def hold(path, text):
    """Compare with a golden file; LAD_MPI_UPDATE_GOLDEN=1 writes it, for people to read.

    Ids of runs change with every version of the suite, so they are numbered.
    """
    ids = dict.fromkeys(re.findall(r"\b[0-9a-f]{10}\b", text))
    for number, run_id in enumerate(ids):
        text = text.replace(run_id, f"run-{number:06d}")
    if os.environ.get("LAD_MPI_UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


def prepared(tmp_path, cluster, layout, overrides=(), runs=slice(None)):
    (tmp_path / "tiny.toml").write_text(STUDY)
    study = load_study(tmp_path / "tiny.toml")
    file = load_cluster(CLUSTERS / f"{cluster}.toml", overrides)
    return prepare_job(
        study, study.runs[runs], file, layout, path=Path("tiny.toml"), folder=Path("results/tiny")
    )


@pytest.mark.parametrize("name", READY)
def test_the_ready_scripts_are_renderings(name):
    cluster = "gpu" if name == "gpu" else "mpich"
    text = render(load_cluster(CLUSTERS / f"{cluster}.toml"), READY[name])
    hold(ROOT / "jobs" / "slurm" / f"{name}.sbatch", text)


def test_every_script_that_ships_is_a_rendering():
    shipped = {path.stem for path in (ROOT / "jobs" / "slurm").iterdir()}
    assert shipped == set(READY)


@pytest.mark.parametrize(
    ("cluster", "layout", "overrides"),
    [
        ("test", "packed", ()),
        ("test", "array", ("array_parallel=3",)),
        ("cray", "packed", ()),
        ("openmpi", "array", ("array_tasks=4", "requeue=false")),
        ("gpu", "packed", ()),
        ("openmpi", "packed", ("launcher=mpiexec", "launcher_options=['--bind-to', 'core']")),
    ],
    ids=["test-packed", "test-array", "cray-packed", "openmpi-array", "gpu-packed", "mpiexec"],
)
def test_submitted_scripts_are_those_that_were_read(tmp_path, request, cluster, layout, overrides):
    script = prepared(tmp_path, cluster, layout, overrides).script
    hold(GOLDEN / f"{request.node.callspec.id}.sbatch", script)


@pytest.mark.parametrize(
    "path",
    [*GOLDEN.glob("*.sbatch"), *(ROOT / "jobs" / "slurm").iterdir()],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_bash_reads_them(path):
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not [line for line in path.read_text().splitlines() if line != line.rstrip()]


def test_tasks_are_dealt_as_the_script_deals_them(tmp_path):
    job = prepared(tmp_path, "test", "array", ["array_tasks=4"])
    assert list(job.tasks.values()) == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert '--share "$SLURM_ARRAY_TASK_ID/4"' in job.script
    assert "#SBATCH --array=0-3\n" in job.script


def test_only_the_runs_that_are_asked_for_are_in_the_script(tmp_path):
    everything = prepared(tmp_path, "test", "packed").tasks
    some = prepared(tmp_path, "test", "packed", runs=slice(2, 4))
    ids = list(everything)
    assert list(some.tasks) == ids[2:4]
    assert [name for name in ids if name in some.script] == ids[2:4]


def run_bash(script, folder, *arguments):
    """Run the part of a script after its options, with programs that print their arguments."""
    for name in ("srun", "mpiexec", "lad-mpi", "module", "scontrol"):
        program = folder / name
        program.write_text(f'#!/bin/bash\nprintf "%s\\n" {name} "$@" >>"$SHOWN"\n')
        program.chmod(0o755)
    shown = folder / "shown"
    done = subprocess.run(
        ["bash", "-c", script, "job", *arguments],
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "SHOWN": str(shown),
            "VENV": "",
            "SLURM_CPUS_PER_TASK": "1",
            "SLURM_ARRAY_TASK_ID": "2",
            "SLURM_ARRAY_TASK_MAX": "7",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return shown.read_text().splitlines()


def test_names_with_spaces_and_signs_reach_the_command_whole(tmp_path):
    path, folder = Path("my $tudy's.toml"), Path("re sults 100%")
    (tmp_path / path).write_text(STUDY)
    study = load_study(tmp_path / path)
    file = load_cluster(CLUSTERS / "test.toml")
    job = prepare_job(study, study.runs, file, "packed", path=path, folder=folder)
    assert "#SBATCH --output='re sults 100%%/jobs/%x_%j.out'\n" in job.script
    shown = run_bash(job.script, tmp_path, "--quiet")
    start = shown.index("run")
    assert shown[start + 1 : start + 4] == [str(path), "--progress", "lines"]
    assert shown[start + 4 : start + 6] == ["-o", str(folder)]
    assert shown[-1] == "--quiet"


def test_a_ready_array_shares_by_the_size_that_sbatch_was_told(tmp_path):
    script = (ROOT / "jobs" / "slurm" / "array.sbatch").read_text()
    shown = run_bash(script, tmp_path, "my.toml", "-o", "out")
    assert shown[-4:] == ["-o", "out", "--share", "2/8"]


def test_options_modules_and_variables_of_a_cluster_reach_the_script(tmp_path):
    (tmp_path / "clusters").mkdir()
    mine = tmp_path / "clusters" / "mine.toml"
    mine.write_text(
        'options = ["--qos=long"]\nmodules = ["gcc/12", "mpich"]\nsetup = ["ulimit -s 1000"]\n'
        'partition = "p"\naccount = "a"\nrequeue = false\nwarn_s = 9\n'
        '[environment]\nA = "it\'s"\n'
    )
    text = render(load_cluster(mine), READY["run"])
    for line in (
        "#SBATCH --qos=long",
        "#SBATCH --partition=p",
        "#SBATCH --account=a",
        "#SBATCH --signal=USR2@9",
        "module load gcc/12 mpich || exit 1",
        "export A='it'\"'\"'s'",
        "ulimit -s 1000",
    ):
        assert f"\n{line}\n" in text
    assert "scontrol requeue" not in text
    assert text.index("#SBATCH --partition=p") < text.index("module load")


def test_a_missing_template_and_a_meaningless_placeholder_are_named(tmp_path):
    (tmp_path / "clusters").mkdir()
    mine = tmp_path / "clusters" / "mine.toml"
    mine.write_text("")
    with pytest.raises(UsageError, match=r"templates/nil\.sbatch cannot be read: No such file"):
        render(load_cluster(mine), Job("nil", "x"))
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "run.sbatch").write_text("@options@\n@wrong@\n")
    with pytest.raises(UsageError, match="unknown placeholder @wrong@") as refused:
        render(load_cluster(mine), Job("run", "x"))
    assert "@options@" in refused.value.hint


TEXTS = [
    "", "a", " a  b ", "it's", 'a"b', "a\\b", "a\\\\b", "$(touch PWNED)", "`touch PWNED`", "a}b",
    "${a}", "~", "*", "a;b&c|d>e<f", "#a", "a#b", "!a", "é", "-a", "$'a\\nb'", "=(a)",
]  # fmt: skip


def read_by_sbatch(line):
    """Read a word as ``_get_argument`` of SLURM's src/sbatch/opt.c does."""
    word, quote, is_escaped = "", "", False
    for character in line:
        if not quote and character.isspace():
            break
        if is_escaped:
            is_escaped = False
            word += character
        elif character == "\\":
            is_escaped = True
        elif quote and character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote = character
        elif not quote and character == "#":
            break
        else:
            word += character
    return word


@pytest.mark.parametrize("text", TEXTS)
def test_sbatch_reads_what_was_meant(text):
    assert read_by_sbatch(f"--comment={sbatch_word(text)} --other") == f"--comment={text}"


def test_bash_reads_defaults_as_they_were_meant(tmp_path):
    lines = [f"X=${{NAME:-{default_word(text)}}}\nprintf '%s\\n' \"$X\"" for text in TEXTS]
    done = subprocess.run(
        ["bash", "-u", "-c", "\n".join(lines)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:-1] == TEXTS
    assert list(tmp_path.iterdir()) == []


def test_words_that_need_no_quotes_have_none():
    for text in ("/scratch/a_b-1.0/%x_%j.out", "gcc/12:x", "afterok:7,8@9+1hour=2"):
        assert sbatch_word(text) == text
    assert default_word(".venv") == ".venv"


def test_no_path_is_taken_for_an_option():
    assert path_word(Path("-rf")) == path_word(Path("./-rf")) == "./-rf"
    assert path_word(Path("a/-rf")) == "a/-rf"
    assert path_word(Path("/-rf")) == "/-rf"


@pytest.mark.parametrize("text", ["\n", "a\rb", "a\x1b[2J", "\x00", "\x85", "\u2028", "\t"])
def test_control_characters_are_found_and_shown_as_escapes(text):
    assert control_character(text).startswith("'\\")
    assert control_character("a b é \U0001f600 \\n") == ""
