"""Runs are chosen by names, patterns, ids and conditions, and the base is changed by --set."""

import pytest

from lad_mpi.cli.main import main
from lad_mpi.errors import SpecError, UsageError
from lad_mpi.study import load_study, select_runs

STUDY = """
[base]
name = "CWTM d={coding.load}, f={devices.byzantine}"
devices = { count = 4, byzantine = 1 }
data = { dimension = 3 }
[axes]
seed = [1, 2]
[[cases]]
axes = { coding.load = [1, 2] }
[[cases]]
name = "LAD"
attack = { kind = "ipm", tau = 1.5 }
[[cases]]
name = "LAD [1]"
optimizer = { step_size = 0.1 }
"""


@pytest.fixture
def study(tmp_path):
    def load(*overrides):
        (tmp_path / "trial.toml").write_text(STUDY)
        return load_study(tmp_path / "trial.toml", overrides)

    return load


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ([], ["CWTM d=1, f=1", "CWTM d=2, f=1", "LAD", "LAD [1]"]),
        (["LAD"], ["LAD"]),
        (["LAD*"], ["LAD", "LAD [1]"]),
        (["LAD [1]"], ["LAD [1]"]),  # As a pattern it would mean "LAD 1".
        (["CWTM d=2, f=1"], ["CWTM d=2, f=1"]),
        (["LAD,LAD [1]"], ["LAD", "LAD [1]"]),
        (["LAD [1]", "CWTM d=1*"], ["CWTM d=1, f=1", "LAD [1]"]),
    ],
)
def test_names_and_patterns_choose_all_their_seeds(study, only, names):
    chosen = select_runs(study(), only)
    assert list(dict.fromkeys(run.title for run in chosen.runs)) == names
    assert len(chosen.runs) == 2 * len(names)


def test_an_id_chooses_one_run(study):
    found = study()
    assert select_runs(found, [found.runs[3].run_id, "LAD"]).runs == tuple(
        run for run in found.runs if run == found.runs[3] or run.title == "LAD"
    )


@pytest.mark.parametrize(
    ("where", "count"),
    [
        (["attack=ipm"], 2),
        (["attack.tau > 1", "seed = 2"], 1),
        (["coding.load = 2 or optimizer.step_size = 0.1"], 4),
        (["not attack.kind = ipm and seed in (1, 3)"], 3),
    ],
)
def test_conditions_choose_by_the_keys_of_the_spec(study, where, count):
    assert len(select_runs(study(), where=where).runs) == count


def test_names_conditions_and_shares_apply_one_after_another(study):
    chosen = select_runs(study(), ["CWTM*"], ["seed=2"], "1/2")
    assert [(run.title, run.spec.seed) for run in chosen.runs] == [("CWTM d=2, f=1", 2)]


@pytest.mark.parametrize(
    ("choice", "message", "hint"),
    [
        ({"only": ["LAD [2]"]}, r"no run LAD \[2\]; did you mean 'LAD \[1\]'\?", "'CWTM d=1, f=1'"),
        ({"only": [","]}, "--only is empty", "leave the option out"),
        ({"where": ["seed > 2"]}, "none of 8 runs .* fulfils --where 'seed > 2'", "seed = 1, 2"),
        ({"where": ["seed=1", "seed=2"]}, "'seed=1' and 'seed=2'", "the runs have seed = 1, 2"),
        ({"where": ["codng.load=1"]}, "'codng.load'; did you mean 'coding.load'?", "keys"),
        ({"where": ["seed is 2"]}, "is not a condition", "write for example"),
        ({"only": ["LAD"], "where": ["coding.load=2"]}, "none of 2 runs", "coding.load = 1"),
    ],
)
def test_a_choice_without_runs_says_what_there_is(study, choice, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        select_runs(study(), **choice)
    assert hint in caught.value.hint


def test_overrides_change_the_base_of_all_runs(study):
    changed = study("iterations=7", "aggregation={kind='mean'}", "devices.count=6")
    assert len(changed.runs) == 8
    for run in changed.runs:
        assert (run.spec.iterations, run.spec.devices.count) == (7, 6)
        assert run.spec.aggregation.rule.kind == "mean"
    # A case adds a key to a table that the base now has.
    last = study("optimizer={kind='momentum'}").runs[-1]
    assert last.spec.optimizer.method.kind == "momentum"
    assert last.spec.optimizer.step_size == 0.1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=3", r"--set seed: \[axes\] sets seed"),
        ("coding.load=3", r"--set coding.load: cases\[0\].axes sets coding.load"),
        ("coding={load=3}", r"--set coding.load: cases\[0\].axes sets coding.load"),
        # The table of the case has a kind and replaces the whole table of the base.
        ("attack.epsilon=3", r"--set attack.epsilon: cases\[1\] sets attack,"),
        ("optimizer.step_size=3", r"cases\[2\] sets optimizer.step_size"),
        ("coding.laod=3", r"coding.laod: unknown key; did you mean 'load'\?"),
        ("iterations", "expected table.key=value"),
    ],
)
def test_an_override_without_effect_or_meaning_is_refused(study, override, message):
    with pytest.raises(SpecError, match=message):
        study(override)


@pytest.mark.parametrize("action", ["plan", "status", "submit"])
def test_every_action_takes_the_same_choice(study, tmp_path, monkeypatch, capsys, action):
    runs = study().runs
    monkeypatch.chdir(tmp_path)
    words = ["--cluster", "mpich", "--dry-run"] if action == "submit" else ["--json"]
    choice = ["--only", "LAD*", "--where", "seed=2"]
    assert main(["study", action, "trial.toml", *choice, *words]) == 0
    output = capsys.readouterr().out
    chosen = {run.run_id for run in runs if run.title.startswith("LAD") and run.spec.seed == 2}
    assert {run.run_id for run in runs if run.run_id in output} == chosen
