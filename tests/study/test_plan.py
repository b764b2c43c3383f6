"""Study files expand to what a reader expects, each run to a file of its own."""

from pathlib import Path

import pytest

from lad_mpi.cli.main import main
from lad_mpi.errors import SpecError, UsageError
from lad_mpi.files import longest_name
from lad_mpi.study import load_study, select_runs

STUDIES = sorted((Path(__file__).parents[2] / "jobs" / "studies").glob("*.toml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_studies_that_come_along_are_valid_and_named_after_their_files(path):
    found = load_study(path)
    assert found.runs
    assert found.name == path.stem


@pytest.fixture
def study(tmp_path):
    def write(text):
        path = tmp_path / "trial.toml"
        path.write_text(text)
        return load_study(path)

    return write


def test_axes_multiply_and_the_file_name_is_the_default_name(study):
    found = study('[axes]\nseed = [1, 2]\n"coding.load" = [1, 5, 10]\n')
    assert found.name == "trial"
    assert [(run.spec.seed, run.spec.coding.load) for run in found.runs] == [
        (1, 1),
        (1, 5),
        (1, 10),
        (2, 1),
        (2, 5),
        (2, 10),
    ]


def test_cases_change_the_base_have_axes_of_their_own_and_names_with_values(study):
    found = study(
        """
        [base]
        iterations = 7
        attack = { kind = "sign_flip", scale = -3.0 }
        [axes]
        seed = [1]
        [[cases]]
        name = "LAD d={coding.load}"
        axes = { coding.load = [2, 4] }
        [[cases]]
        name = "IPM"
        attack = { kind = "ipm" }
        """
    )
    assert [run.spec.name for run in found.runs] == ["LAD d=2", "LAD d=4", "IPM"]
    assert all(run.spec.iterations == 7 for run in found.runs)
    # A table that names a kind replaces the base's: no scale is left over.
    assert found.runs[2].spec.attack.kind == "ipm"


def test_file_names_differ_wherever_specs_do_and_equal_runs_are_one(study, tmp_path):
    found = study(
        '[axes]\nseed = [1, 1, 2]\n"attack.scale" = [-1.0, -2.0]\n[base.attack]\n'
        'kind = "sign_flip"\n'
    )
    assert len({run.locate(tmp_path) for run in found.runs}) == len(found.runs) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sed = [1]\n", "sed: unknown key of a study"),
        ("[axes]\nseed = 1\n", "axes.seed: expected a list"),
        ("[axes]\nseed = []\n", "axes.seed: expected a list"),
        ("[[cases]]\n[cases.coding]\nkind = 'cyclic'\nload = 101\n", r"cases\[0\]: coding.load"),
        ("[[cases]]\nname = 'x {coding.laod}'\n", "names no value of the spec"),
        ("cases = []\n", r"expected tables, each under \[\[cases\]\]"),
        ("[[cases]]\nname = 'x {aggregation.pre}'\n", "names a table"),
        ("cases = 3\n", r"expected tables, each under \[\[cases\]\]"),
    ],
)
def test_what_cannot_be_expanded_is_refused_before_anything_runs(study, text, words):
    with pytest.raises(SpecError, match=words):
        study(text)


def test_an_axis_over_tables_replaces_them(study):
    found = study(
        "[base]\ncompression = { kind = 'rand_k', k = 2 }\n"
        "[axes]\ncompression = [{ kind = 'qsgd', levels = 2 }, { kind = 'none' }]\n"
    )
    assert [run.spec.compression.kind for run in found.runs] == ["qsgd", "none"]


@pytest.mark.parametrize("name", ["../../x", "/absolute", "日本"])
def test_results_stay_in_their_folder_whatever_the_name(study, name, tmp_path):
    found = study(f"name = '{name}'\n[base]\nname = '{name * 90}'\n")
    path = found.runs[0].locate(tmp_path)
    assert path.parent == tmp_path
    for part in (found.name, path.name):
        assert "/" not in part
        assert not part.startswith((".", "-"))
        assert len(part.encode()) < 255


def test_an_axis_may_sweep_the_kind_of_a_component(study):
    found = study('[axes]\n"aggregation.kind" = ["median", "krum"]\n')
    assert [run.spec.aggregation.rule.kind for run in found.runs] == ["median", "krum"]


def test_networks_make_different_runs(study, tmp_path):
    found = study(
        '[base]\nname = "LAD"\n[axes]\n"network.emulate.bandwidth" = ["1GB/s", "2GB/s"]\n'
    )
    assert [run.names for run in found.runs] == [("LAD",), ("LAD",)]
    assert len({run.locate(tmp_path) for run in found.runs}) == 2


def test_cases_that_are_the_same_run_are_one_run_with_both_names(study):
    found = study(
        "[[cases]]\nname = 'LAD'\n[[cases]]\nname = 'ours'\nlogging.flush_every = 7\n"
        "[[cases]]\nname = 'LAD'\nsafety.timeout_s = 1.0\n"
    )
    assert [run.names for run in found.runs] == [("LAD", "ours")]
    assert found.runs[0].title == "LAD = ours"


def test_shares_deal_out_every_run_once(study):
    found = study("[axes]\nseed = [1, 2, 3, 4, 5, 6, 7]\n")
    for count in (1, 3, 7, 9):
        shares = [select_runs(found, share=f"{k}/{count}").runs for k in range(count)]
        assert {run for share in shares for run in share} == set(found.runs)
        assert sum(map(len, shares)) == 7
    ids = [run.run_id for run in found.runs]
    chosen = select_runs(found, [ids[5], ids[0], ids[3]], share="1/2")
    assert [run.run_id for run in chosen.runs] == [ids[3]]


def test_a_run_that_is_not_there_and_a_share_that_is_none_are_refused(study):
    found = study("[axes]\nseed = [1, 2]\n")
    with pytest.raises(UsageError, match="the study trial has no run nowhere"):
        select_runs(found, ["nowhere"])
    for share in ("2/2", "1", "-1/2", "0/0", "a/b"):
        with pytest.raises(UsageError, match="expected a share K/M"):
            select_runs(found, share=share)


def many(*lengths):
    axes = (f'"a.k{i}" = {list(range(length))}' for i, length in enumerate(lengths))
    return "[axes]\n" + "\n".join(axes)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            many(1000, 1000, 1000),
            r"axes: the study has 1000000000 .* from the axes a\.k0 \(1000 values\), a\.k1",
        ),
        (many(*[9] * 100), r"has \d{90,} runs"),
        (many(*[1] * 101), "has 101 axes, and at most 100"),
        ("[[cases]]\n" * 5001, "cases: there are 5001"),
        ("[axes]\nseed = [1, 2]\n" + "[[cases]]\n" * 2501, "has 5002 runs"),
    ],
)
def test_a_study_of_too_many_runs_is_refused_before_it_is_expanded(study, text, message):
    with pytest.raises(SpecError, match=message):
        study(text)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", [["validate"], ["study", "plan"], ["study", "status"]])
def test_commands_refuse_such_a_study(tmp_path, command, capsys):
    (tmp_path / "a.toml").write_text(many(1000, 1000, 1000))
    assert main([*command, str(tmp_path / "a.toml")]) in (1, 2)
    assert "has 1000000000 runs" in "".join(capsys.readouterr())


def test_a_placeholder_makes_no_name_that_a_spec_could_not_have(study):
    long = "x" * 1000 + ".csv"
    with pytest.raises(SpecError, match="base: name: must have at most 1000 characters"):
        study(f'[base]\nname = "{{data.path}}"\ndata.kind = "file"\ndata.path = "{long}"\n')
    with pytest.raises(SpecError, match="base: name: must be a non-empty line of printable"):
        study('[base]\nname = "{data.path}"\ndata.kind = "file"\ndata.path = "a\\u001b.csv"\n')


def test_a_description_is_a_text(study):
    with pytest.raises(SpecError, match="description: expected a text"):
        study("description = 0x" + "f" * 100)


def test_every_file_of_a_run_has_a_name_that_file_systems_take(study, tmp_path):
    found = study(f"[base]\nname = '{'日' * 900}'\nseed = {2**63 - 1}\n")
    log = found.runs[0].locate(tmp_path)
    checkpoint = log.with_name(f"{log.stem}.checkpoint-{2**31 - 1:09d}.npz")
    assert 240 < len(longest_name(checkpoint).name.encode()) + 45 <= 255  # 日 takes 3 bytes of 4
