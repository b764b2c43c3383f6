"""Run the examples in the documentation exactly as printed."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lad_mpi.data import File
from lad_mpi.logs import read_log
from lad_mpi.study import load_study, plan

ROOT = Path(__file__).parent.parent
DOCS = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
EXTENDING = ROOT / "docs" / "extending.md"


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def run(arguments, folder, *, path=None, **environment):
    """Run Python in a folder, optionally with another folder on its path."""
    if path is not None:
        others = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
        environment["PYTHONPATH"] = os.pathsep.join([str(path), *others])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture
def mylab(tmp_path):
    """The package of docs/extending.md, installed in a separate folder."""
    *modules, tests = blocks(EXTENDING, "python")
    (tmp_path / "mylab.py").write_text("\n\n".join(modules))
    (tmp_path / "test_mylab.py").write_text(tests)
    entry_points, spec = blocks(EXTENDING, "toml")
    metadata = tmp_path / "mylab-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1.0\n")
    groups = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", entry_points)
    (metadata / "entry_points.txt").write_text(groups.replace('"', ""))
    (tmp_path / "mine.toml").write_text(spec)
    return tmp_path


def test_components_of_another_package_run_and_are_listed(mylab):
    done = run(["-m", "lad_mpi", "run", "mine.toml", "-o", "mine.h5"], mylab, path=mylab)
    assert done.returncode == 0, done.stderr
    shown = json.loads(run(["-m", "lad_mpi", "show", "mine.h5", "--json"], mylab).stdout)
    assert shown["status"] == "complete"
    # Each of 20 devices sends a header and two coordinates of two bytes: slope and intercept.
    assert shown["uplink_bytes_per_iteration"] == 20 * (32 + 4)
    listed = run(["-m", "lad_mpi", "components", "--json"], mylab, path=mylab)
    found = {row["kind"]: row for rows in json.loads(listed.stdout).values() for row in rows}
    offered = set(re.findall(r'^(\w+) = "mylab:', blocks(EXTENDING, "toml")[0], re.MULTILINE))
    assert found.keys() >= offered
    assert found["half_mean"]["cost"] == "O(n log n · Q)"
    offers = {kind: row["offers"] for kind, row in found.items()}
    assert offers["half_mean"] == ["CostedRule"]
    assert offers["spread"] == ["ExactCode", "DispersionCode"]
    assert offers["stale"] == ["StatefulAttack"]
    # The codec is listed although it does not declare all properties.
    assert found["half_mean"]["kappa"] is None
    assert found["shift"]["cost"] is None
    shown = run(["-m", "lad_mpi", "components", "half_mean"], mylab, path=mylab)
    assert "half_mean (rule, [aggregation])" in shown.stdout
    assert "mylab.HalfMean" in shown.stdout


@pytest.mark.parametrize("attack", ["stale", "wrong_targets"])
def test_a_metric_of_another_package_is_recorded_and_shown(mylab, attack):
    spec = (
        (mylab / "mine.toml").read_text().replace('kind = "shift"\nby = 50.0', f'kind = "{attack}"')
    )
    assert attack in spec
    (mylab / "mine.toml").write_text(spec)
    done = run(["-m", "lad_mpi", "run", "mine.toml", "-o", "mine.h5"], mylab, path=mylab)
    assert done.returncode == 0, done.stderr
    log = read_log(mylab / "mine.h5")
    for name in ("train_outliers", "test_outliers"):
        values = log.metrics[name]
        assert ((values >= 0) & (values <= 1)).all()
        # The model starts at zero, and most of the distances exceed 20 feet.
        assert values[0] > 0.5 > values[-1]
    (command,) = blocks(EXTENDING, "sh")[0].splitlines()
    shown = run(["-m", "lad_mpi", *command.split()[1:]], mylab)
    assert shown.returncode == 0, shown.stderr
    words = " ".join(shown.stdout.split())
    assert "Test outliers: fraction of samples with an error above delta on the test" in words
    assert "lower is better" in words


def test_components_of_another_package_keep_the_laws_by_one_line_each(mylab):
    arguments = ["-m", "pytest", "-p", "no:cacheprovider", "-q", "-rs", "-W", "error"]
    done = run([*arguments, "test_mylab.py"], mylab)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 250
    # Huber regression has no classes, and its optimum is not computed.
    reasons = re.findall(r"^SKIPPED .*: (.*)$", done.stdout, re.MULTILINE)
    assert sorted(reasons) == [
        "it computes no optimum",
        "it predicts numbers",
        "its gradient is not a sum of samples",
    ]


def test_a_misspelt_method_is_refused_in_the_words_of_the_documentation(mylab):
    module = mylab / "mylab.py"
    module.write_text(module.read_text().replace("def corrupt(", "def corrupted("))
    done = run(["-m", "lad_mpi", "run", "mine.toml"], mylab, path=mylab)
    assert done.returncode == 2
    (message,) = (b for b in blocks(EXTENDING, "text") if "lacks" in b)
    words = "class mylab.Shift lacks corrupt(self, coded, context); did you misspell it as"
    assert words in message
    assert words in done.stderr
    hint = message.splitlines()[1]
    assert hint in done.stderr


def test_a_broken_law_is_named_in_the_last_lines_of_the_report(mylab):
    module = mylab / "mylab.py"
    sound = "namespace(messages).sort(messages, axis=0)"
    assert sound in module.read_text()
    module.write_text(module.read_text().replace(sound, "messages; messages.sort(axis=0)"))
    arguments = ["-m", "pytest", "-p", "no:cacheprovider", "-q", "-k", "HalfMean and input"]
    done = run([*arguments, "test_mylab.py"], mylab, COLUMNS="200")
    assert done.returncode == 1
    assert "LawBrokenError: HalfMean breaks the law 'input': " in done.stdout
    # pytest shows the assertion with its values, as in a local test file.
    assert "AssertionError: the messages were changed" in done.stdout
    # One line of the message, or all of it if pytest detects CI.
    _, _, summary = done.stdout.rpartition("short test summary info")
    assert re.search(r"FAILED .*TestHalfMean::test_input.* HalfMean breaks the law", summary)


def test_getting_started_runs_as_it_is_printed(tmp_path):
    pytest.importorskip("xarray")
    page = ROOT / "docs" / "getting-started.md"
    (spec,) = blocks(page, "toml")
    (tmp_path / "digits.toml").write_text(spec)
    commands = next(block for block in blocks(page, "sh") if "digits.toml" in block)
    for command in commands.splitlines():
        _, *arguments = shlex.split(command, comments=True)
        done = run(["-m", "lad_mpi", *arguments], tmp_path)
        assert done.returncode == 0, done.stderr
    (printed,) = blocks(page, "text")
    rows = re.findall(r"^(\w.*?)  +1  (0\.\d+) ", printed, re.MULTILINE)
    accuracies = {method: float(text) for method, text in rows}
    table = json.loads(run(["-m", "lad_mpi", *arguments, "--json"], tmp_path).stdout)
    found = {row["method"]: row["final_test_accuracy_median"] for row in table["records"]}
    # Five images of 359: other libraries round differently.
    assert found == pytest.approx(accuracies, abs=0.015)
    shown = [run(["-W", "error", "-c", code], tmp_path) for code in blocks(page, "python")]
    assert [done.returncode for done in shown] == [0, 0], [done.stderr for done in shown]
    first, last = json.loads(re.sub(r"\s+", ",", shown[0].stdout.splitlines()[0].strip()))
    assert first < 0.2
    assert last == pytest.approx(accuracies["LAD-CWTM-NNM d=20"], abs=0.015)
    # The rule trims 20 rows with values of a million.
    assert max(abs(float(x)) for x in shown[1].stdout.strip("[]\n ").split()) < 1


def test_every_worked_example_is_under_40_lines():
    for block in blocks(EXTENDING, "python"):
        assert len([line for line in block.splitlines() if line.strip()]) < 40


def test_the_log_is_read_by_xarray_as_documented(tmp_path):
    pytest.importorskip("xarray")
    done = run(["-m", "lad_mpi", "run", *SHORT, "-o", "run.h5"], tmp_path / spec(tmp_path))
    assert done.returncode == 0, done.stderr
    for code in blocks(ROOT / "docs" / "log-format.md", "python"):
        shown = run(["-W", "error", "-c", code], tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert "compute" in shown.stdout


SHORT = ["spec.toml"]


def spec(folder):
    (folder / "spec.toml").write_text("iterations = 12\n")
    return folder


def test_files_of_the_documented_writers_are_read_alike(tmp_path):
    pytest.importorskip("pandas")
    writers, digest = blocks(ROOT / "docs" / "data.md", "python")
    done = run(["-c", writers], tmp_path)
    assert done.returncode == 0, done.stderr
    digests = {path.name: File(str(path)).digest() for path in tmp_path.iterdir()}
    assert len(digests) == writers.count("to_csv(") + writers.count("np.save")
    assert len(set(digests.values())) == 1
    printed = run(["-c", digest], tmp_path)
    assert printed.stdout.strip() == digests["numpy.csv"]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_commands_in_the_documentation_exist(page):
    help_text = run(["-m", "lad_mpi", "--help"], ROOT).stdout
    for command in re.findall(r"\blad-mpi ([a-z]+)\b", page.read_text()):
        assert re.search(rf"^ +{command}\b", help_text, re.MULTILINE), command


STUDIES_PAGE = (ROOT / "docs" / "studies.md").read_text()
EXAMPLES = re.findall(r"^```toml\n(.*?)^```\n\n(\|.*?)\n\n", STUDIES_PAGE, re.DOTALL | re.MULTILINE)


def test_every_example_of_a_study_is_followed_by_its_runs():
    assert len(EXAMPLES) == STUDIES_PAGE.count("```toml") > 3


def test_the_page_of_studies_lists_those_that_come_with_the_suite():
    listed = dict(re.findall(r"^\| `(\w+\.toml)` \|.*\| (\d+) \|$", STUDIES_PAGE, re.MULTILINE))
    found = {path.name: path for path in ROOT.glob("jobs/studies/*.toml")}
    assert listed == {name: str(len(load_study(path).runs)) for name, path in found.items()}


@pytest.mark.parametrize(("text", "table"), EXAMPLES)
def test_a_study_has_the_runs_that_the_page_lists(tmp_path, text, table):
    (tmp_path / "study.toml").write_text(text)
    runs = load_study(tmp_path / "study.toml").runs
    rows = [f"| {run.title} | {run.spec.seed} |" for run in runs]
    assert table.splitlines() == ["| run | seed |", "|---|---|", *rows]


def test_the_page_of_studies_states_the_limits_that_are_checked():
    assert f"at most {plan._MOST_RUNS} runs and {plan._MOST_AXES} axes" in STUDIES_PAGE
