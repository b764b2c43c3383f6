"""Cluster files: what they may say, and where they are found."""

from pathlib import Path

import pytest

from lad_mpi.errors import SpecError, UsageError
from lad_mpi.slurm import Cluster, load_cluster

CLUSTERS = Path(__file__).parents[2] / "jobs" / "clusters"


@pytest.mark.parametrize("path", sorted(CLUSTERS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_cluster_that_ships_can_be_read(path):
    assert load_cluster(path).template("run.sbatch").is_file()


def test_the_clusters_of_jobs_are_found_by_name_outside_a_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in CLUSTERS.glob("*.toml"):
        found = load_cluster(Path(path.stem))
        assert found.cluster == load_cluster(path).cluster
        assert found.path.stem == path.stem
        assert found.template("run.sbatch").is_file()


def test_a_template_of_ones_own_goes_before_that_of_the_suite(tmp_path):
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "mine.toml").touch()
    (tmp_path / "templates").mkdir()
    own = tmp_path / "templates" / "run.sbatch"
    own.touch()
    found = load_cluster(tmp_path / "clusters" / "mine.toml")
    assert found.template("run.sbatch") == own
    assert found.template("array.sbatch").is_file()


def test_the_example_says_what_is_the_case_without_it():
    assert load_cluster(CLUSTERS / "example.toml").cluster == Cluster()


def test_the_example_has_every_key():
    text = (CLUSTERS / "example.toml").read_text()
    for name in Cluster.__dataclass_fields__:
        assert f"\n{name} = " in text or f"\n[{name}]\n" in text, name


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nodez = 2", "nodez: unknown key; did you mean 'nodes'?"),
        ("nodes = 0", "nodes: must be at least 1, not 0"),
        ("nodes = '2'", "nodes: expected a valid integer, found '2'"),
        ("gpus_per_node = -1", "gpus_per_node: must be at least 0, not -1"),
        ("launcher = 'aprun'", "launcher: expected 'srun' or 'mpiexec', found 'aprun'"),
        ("time = 'an hour'", "time: expected minutes or"),
        ("warn_s = 70000", "warn_s: must be at most 65535, not 70000"),
        ("options = ['qos=long']", "options: expected options of sbatch, found 'qos=long'"),
        ("environment = { 'A B' = 'c' }", "environment: 'A B' is not a valid variable name"),
        ("launcher = 'mpiexec'\ngpus_per_node = 4", "gpus_per_node: only srun places ranks"),
    ],
)
def test_what_cannot_be_is_named_with_its_file_and_key(tmp_path, line, said):
    path = tmp_path / "mine.toml"
    path.write_text(line)
    with pytest.raises(SpecError) as refused:
        load_cluster(path)
    assert str(refused.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    "time", ["90", "30:00", "01:30:00", "2-12", "2-12:30", "2-12:30:59", "UNLIMITED"]
)
def test_times_are_those_of_sbatch(time):
    assert Cluster(time=time).time == time


@pytest.mark.parametrize(("line", "time"), [("02:00:00", "02:00:00"), ("90", "90")])
def test_times_need_no_quotes(tmp_path, line, time):
    path = tmp_path / "mine.toml"
    path.write_text(f"time = {line}")
    assert load_cluster(path).cluster.time == time


def test_a_cluster_is_found_by_its_name_where_jobs_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="there is no cluster file mine"):
        load_cluster(Path("mine"))
    (tmp_path / "jobs" / "clusters").mkdir(parents=True)
    (tmp_path / "jobs" / "clusters" / "mine.toml").write_text("nodes = 3")
    assert load_cluster(Path("mine")).cluster.nodes == 3
    assert load_cluster(Path("mine"), ["nodes=5", "time=02:00:00"]).cluster == Cluster(
        nodes=5, time="02:00:00"
    )
    with pytest.raises(UsageError, match="there is no cluster file other") as refused:
        load_cluster(Path("other"))
    # Those in the folder, and those of the suite.
    assert "cray, example, gpu, mine, mpich, openmpi, test;" in refused.value.hint


def test_a_cluster_of_ones_own_goes_before_one_of_the_suite_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs" / "clusters").mkdir(parents=True)
    (tmp_path / "jobs" / "clusters" / "mpich.toml").write_text("nodes = 77")
    assert load_cluster(Path("mpich")).cluster.nodes == 77


def test_ranks_and_tasks_of_a_job():
    plain, gpus = Cluster(nodes=3, ranks_per_node=8), Cluster(nodes=3, gpus_per_node=4)
    assert (plain.tasks_per_node, plain.num_ranks) == (8, 24)
    # One rank a GPU on every node, and the server on the first.
    assert (gpus.tasks_per_node, gpus.num_ranks) == (5, 13)
