"""Scripts whose values look like commands: bash and shellcheck find nothing but values."""

import dataclasses
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lad_mpi.errors import SpecError, UsageError
from lad_mpi.measure.scale.launcher import parse_launcher
from lad_mpi.slurm import READY, ClusterFile, load_cluster, prepare_job, render, submitting
from lad_mpi.study import load_study

ROOT = Path(__file__).parents[2]
CLUSTERS = sorted((ROOT / "jobs" / "clusters").glob("*.toml"))
CASES = list(itertools.product(CLUSTERS, ["packed", "array"]))
IDS = [f"{path.stem}-{layout}" for path, layout in CASES]
NASTY = "$(touch PWNED) `touch PWNED` ';touch PWNED;' \" } ${x-y} #&|<>(*?~! é"
STUDY = Path(f"-{NASTY}.toml")
FOLDER = Path(f"-o {NASTY} 100%")
#: What a script may call besides the programs that are looked at.
TOOLS = ("basename", "realpath", "mktemp", "rm", "seq", "cat")
PROGRAMS = ("srun", "mpiexec", "scontrol", "sbatch")


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    STUDY.write_text(
        "[base]\niterations = 20\ndata = { dimension = 6 }\n"
        "devices = { count = 10, byzantine = 2 }\n[axes]\nseed = [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
    )
    return load_study(STUDY)


def hostile_cluster(path):
    """Read a cluster file that ships, with other texts in all its values but code."""
    file = load_cluster(path)
    return ClusterFile(
        path,
        dataclasses.replace(
            file.cluster,
            mpi=NASTY,
            venv=NASTY,
            partition=NASTY,
            account=NASTY,
            launcher_options=(f"--x={NASTY}", NASTY),
            options=(f"--comment={NASTY}", "--exclusive", "-Cgpu"),
            modules=(NASTY,),
            environment={"NASTY": NASTY},
        ),
    )


def check_shell(folder, scripts, *options):
    """Have shellcheck find nothing, and return how many files it has read."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / f"{name}.sh").write_text(script)
    files = sorted(folder.iterdir())
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shellcheck = shutil.which("shellcheck", path=places)
    assert shellcheck, "no shellcheck: pip install -e '.[test]'"
    done = subprocess.run(
        [shellcheck, "--norc", "--shell=bash", *options, *files],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stdout[:4000], done.stderr) == (0, "", "")
    return len(files)


def test_shellcheck_has_nothing_to_say_of_any_script(study, tmp_path):
    scripts = {path.stem: path.read_text() for path in (ROOT / "jobs" / "slurm").iterdir()}
    for path, layout in CASES:
        file = load_cluster(path)
        job = prepare_job(study, study.runs, file, layout, path=Path("a.toml"), folder=Path("a"))
        scripts[f"{path.stem}-{layout}"] = job.script
        scripts |= {f"{path.stem}-ready-{name}": render(file, READY[name]) for name in READY}
    assert check_shell(tmp_path / "scripts", scripts) == 6 + 2 * 6 + 6 * 6


def test_shellcheck_finds_no_code_in_hostile_values(study, tmp_path):
    scripts = {}
    for path, layout in CASES:
        file = hostile_cluster(path)
        job = prepare_job(study, study.runs, file, layout, path=STUDY, folder=FOLDER)
        scripts[f"{path.stem}-{layout}"] = job.script
        scripts[f"{path.stem}-scale"] = render(file, READY["weak"])
    # SC2016 says that nothing is expanded in single quotes, which is what they are for.
    assert check_shell(tmp_path / "scripts", scripts, "--exclude=SC2016") == 18


def record_calls(folder):
    """Make programs that note name and arguments, and return a PATH that has them alone."""
    programs = folder / "programs"
    programs.mkdir()
    note = '#!/bin/bash\nprintf "%s\\0" "${0##*/}" "$@" END >>"$CALLS"\n'
    for name in PROGRAMS:
        (programs / name).write_text(note)
    (programs / "scontrol").write_text(f"{note}printf 'n1\\nn2\\n'\n")
    # The environment of the cluster file has this one.
    inside = folder / NASTY / "bin"
    inside.mkdir(parents=True)
    (inside / "lad-mpi").write_text(f'{note}printf "%s\\0" "$NASTY" >"$CALLS.variable"\n')
    for made in (*programs.iterdir(), inside / "lad-mpi"):
        made.chmod(0o755)
    for name in TOOLS:
        (programs / name).symlink_to(shutil.which(name))
    return programs


def calls(path):
    found, words = [], []
    for word in path.read_text().split("\0")[:-1]:
        if word == "END":
            found.append(words)
            words = []
        else:
            words.append(word)
    return found


def run_script(folder, script, *arguments):
    """Run a script with nothing on its PATH but what records its calls, and return these."""
    programs = record_calls(folder)
    (folder / "job.sh").write_text(script)
    (folder / "scratch").mkdir()
    before = {*folder.rglob("*")}
    note = 'module() { printf "%s\\0" module "$@" END >>"$CALLS"; }; export -f module; exec "$@"'
    done = subprocess.run(
        ["/bin/bash", "-c", note, "bash", "/bin/bash", "job.sh", *arguments],
        cwd=folder,
        env={
            "PATH": str(programs),
            "CALLS": str(folder / "calls"),
            "TMPDIR": str(folder / "scratch"),
            "SLURM_CPUS_PER_TASK": "1",
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NODELIST": "n[1-2]",
            "SLURM_ARRAY_TASK_ID": "2",
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made = {path.name for path in {*folder.rglob("*")} - before}
    assert made <= {"calls", "calls.variable"}
    return calls(folder / "calls")


@pytest.mark.parametrize(("path", "layout"), CASES, ids=IDS)
def test_bash_hands_every_value_on_and_does_nothing_else(study, tmp_path, path, layout):
    file = hostile_cluster(path)
    job = prepare_job(study, study.runs, file, layout, path=STUDY, folder=FOLDER)
    found = run_script(tmp_path, job.script, "--quiet")
    assert found[0] == ["module", "load", NASTY]
    launched = found[-1]
    if file.cluster.launcher == "mpiexec":
        assert launched[:3] == ["mpiexec", f"--x={NASTY}", NASTY]
    else:
        assert launched[:2] == ["srun", f"--mpi={NASTY}"]
        assert launched[4:6] == [f"--x={NASTY}", NASTY]
    start = launched.index("lad-mpi")
    assert launched[start : start + 8] == [
        "lad-mpi", "study", "run", f"./{STUDY}", "--progress", "lines", "-o", f"./{FOLDER}",
    ]  # fmt: skip
    last = ["--quiet", "--share", "2/9"] if layout == "array" else ["--quiet"]
    only = launched[start + 8 : -len(last)]
    assert [word for word in only if word != "--only"] == [
        ",".join(run.run_id for run in study.runs[at : at + 7]) for at in (0, 7)
    ]
    assert launched[-len(last) :] == last
    if layout == "packed":
        assert ["lad-mpi", "validate", f"./{STUDY}"] in found
        assert (tmp_path / "calls.variable").read_text() == f"{NASTY}\0"


def test_a_scaling_job_hands_the_launcher_on_as_one_word(tmp_path):
    script = render(hostile_cluster(CLUSTERS[0]), READY["weak"])
    spec = f"folder/{NASTY}.toml"
    *_, called = run_script(tmp_path, script, spec)
    launcher = called.index("--launcher") + 1
    assert called[:4] == ["lad-mpi", "scale", "weak", spec]
    assert parse_launcher(called[launcher])[-2:] == (f"--x={NASTY}", NASTY)
    assert called[-2:] == ["-o", f"results/{NASTY}-weak"]


@pytest.mark.parametrize(
    "text", ["a\nb", "a\rb", "\x1b]0;x\x07", "\u2028#SBATCH --uid=0", "\x9b2J"]
)
@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("mpi", "mpi = {}"),
        ("partition", "partition = {}"),
        ("account", "account = {}"),
        ("time", "time = {}"),
        ("venv", "venv = {}"),
        ("options", "options = [{}]"),
        ("launcher_options", "launcher_options = [{}]"),
        ("modules", "modules = ['gcc', {}]"),
        ("environment.A", "environment = {{ A = {} }}"),
    ],
)
def test_control_characters_of_a_cluster_file_are_refused_by_key(tmp_path, key, line, text):
    path = tmp_path / "mine.toml"
    path.write_text(line.format(toml(text)))
    with pytest.raises(SpecError) as refused:
        load_cluster(path)
    assert str(refused.value).startswith(f"{path}: {key}: must not have control characters")
    assert text not in str(refused.value)


def toml(text):
    return '"' + "".join(f"\\u{ord(character):04x}" for character in text) + '"'


@pytest.mark.parametrize("option", ["--a\x20b", "-C gpu", "--qos=a\tb", "- x", "--", "-", "qos=a"])
def test_an_option_is_one_word(tmp_path, option):
    path = tmp_path / "mine.toml"
    path.write_text(f"options = [{toml(option)}]")
    with pytest.raises(SpecError, match="options: "):
        load_cluster(path)


def test_what_would_be_two_folders_on_the_path_is_no_environment(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("venv = 'a:b'")
    with pytest.raises(SpecError, match="venv: must not have a colon"):
        load_cluster(path)


@pytest.mark.parametrize("name", ["a\nb", "a\n#SBATCH --uid=0", "\x1b[2J", "a\u2028b"])
def test_control_characters_of_paths_are_refused_before_anything_is_written(study, tmp_path, name):
    file = load_cluster(CLUSTERS[0])
    before = {*tmp_path.rglob("*")}
    for path, folder in ((Path(f"{name}.toml"), Path("out")), (STUDY, Path(name))):
        with pytest.raises(UsageError, match="has the control character") as refused:
            prepare_job(study, study.runs, file, "packed", path=path, folder=folder)
        assert name not in str(refused.value)
    with pytest.raises(UsageError, match="has the control character"), submitting(Path(name)):
        pass
    assert {*tmp_path.rglob("*")} == before


def test_a_folder_into_which_slurm_cannot_write_is_refused(study):
    with pytest.raises(UsageError, match="has a backslash, which SLURM reads as an escape"):
        prepare_job(
            study, study.runs, load_cluster(CLUSTERS[0]), "packed", path=STUDY, folder=Path("a\\b")
        )


@pytest.mark.parametrize("what", ["fifo", "folder", "large"])
def test_a_template_that_is_no_file_is_refused_at_once(tmp_path, what):
    for name in ("clusters", "templates"):
        (tmp_path / name).mkdir()
    (tmp_path / "clusters" / "mine.toml").touch()
    template = tmp_path / "templates" / "run.sbatch"
    if what == "fifo":
        os.mkfifo(template)
    elif what == "folder":
        template.mkdir()
    else:
        with template.open("wb") as file:
            file.truncate(2**40)
    with pytest.raises(UsageError, match=r"templates/run\.sbatch cannot be read"):
        render(load_cluster(tmp_path / "clusters" / "mine.toml"), READY["run"])
