"""Runs have the same bits on all ranks as in one process."""

import numpy as np
import pytest

from lad_mpi.spec import parse_spec
from lad_mpi.training import run_spec, setup
from lad_mpi.transport import open_link

pytestmark = [pytest.mark.mpi(min_size=2), pytest.mark.timeout(100)]

SMALL = {
    "iterations": 11,
    "data": {"dimension": 9},
    "devices": {"count": 13, "byzantine": 3},
    "coding": {"kind": "cyclic", "load": 4},
    "logging": {"flush_every": 4},
}
VARIANTS = {
    "plain": {},
    "fixed": {"coding": {"kind": "cyclic", "load": 4, "assignment": "fixed"}},
    "nnm": {"aggregation": {"kind": "trimmed_mean", "pre": ["nnm"]}},
    "geometric_median": {"aggregation": {"kind": "geometric_median"}},
    "krum": {"aggregation": {"kind": "krum"}},
    "float32": {"backend": {"dtype": "float32"}},
    "rand_k": {"compression": {"kind": "rand_k", "k": 4}},
    "qsgd": {"compression": {"kind": "qsgd", "levels": 5}},
    "top_k": {"compression": {"kind": "top_k", "k": 4}},
    "sign": {"compression": {"kind": "sign"}},
    "cast": {"compression": {"kind": "cast"}},
    "natural": {"compression": {"kind": "natural"}},
    "error feedback": {"compression": {"kind": "top_k", "k": 2, "error_feedback": True}},
    "alie": {"attack": {"kind": "alie"}},
    "gaussian": {"attack": {"kind": "gaussian"}},
    "nan": {"attack": {"kind": "nan"}},
    "random_bytes": {"attack": {"kind": "random_bytes"}},
    "mutate": {"attack": {"kind": "mutate"}},
    "mutate qsgd": {
        "attack": {"kind": "mutate"},
        "compression": {"kind": "qsgd", "levels": 5},
        "iterations": 40,
    },
    "mutate top_k": {
        "attack": {"kind": "mutate"},
        "compression": {"kind": "top_k", "k": 4},
        "backend": {"dtype": "float32"},
    },
    "random payload rand_k": {
        "attack": {"kind": "random_bytes", "keep_envelope": True},
        "compression": {"kind": "rand_k", "k": 4},
    },
    "draco": {"coding": {"kind": "draco_repetition"}},
    "draco_cyclic": {"coding": {"kind": "draco_cyclic"}},
    "draco_cyclic_real": {"coding": {"kind": "draco_cyclic_real"}},
    "several samples": {"data": {"dimension": 9, "samples_per_subset": 3}},
    "wide": {"data": {"dimension": 20011}, "iterations": 3},
}

CLASSIFIER = {
    "data": {
        "kind": "synthetic_classification",
        "classes": 3,
        "dimension": 6,
        "test_samples": 700,
    },
    "model": {"kind": "softmax_regression"},
    "optimizer": {"step_size": 0.1},
}
TRAINING = {
    "batches and momentum": {
        "devices": {"count": 13, "byzantine": 3, "batch_size": 8, "momentum": 0.9}
    },
    "adam": {
        "model": {"kind": "mlp", "hidden": [5], "l2": 1e-3},
        "devices": {"count": 13, "byzantine": 3, "batch_size": 8},
        "optimizer": {"kind": "adam", "step_size": 0.01, "schedule": "cosine"},
        "backend": {"dtype": "float32"},
    },
    "label_flip": {"attack": {"kind": "label_flip"}},
    "mimic": {"attack": {"kind": "mimic", "warmup": 6}},
    "optimal_alie": {"attack": {"kind": "optimal_alie", "evaluations": 3}},
    "feedback and momentum": {
        "devices": {"count": 13, "byzantine": 3, "momentum": 0.9},
        "compression": {"kind": "top_k", "k": 4, "error_feedback": True},
    },
    "draco": {
        "coding": {"kind": "draco_repetition"},
        "devices": {"count": 13, "byzantine": 3, "batch_size": 8, "momentum": 0.9},
    },
    "ragged subsets": {
        "data": {"partition": "dirichlet", "concentration": 0.3, "test_fraction": 0.2},
        "devices": {"count": 13, "byzantine": 3, "batch_size": 4},
    },
    "almost even subsets": {"data": {"partition": "sorted", "test_fraction": 0.2}},
}


@pytest.fixture
def stored(tmp_path_factory):
    """Return a table for data that are read; each rank writes a copy of its own."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 203)
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, X=rng.normal(size=(203, 6)) + labels[:, None], y=labels)
    return {"kind": "file", "path": str(path)}


def training_spec(name, stored):
    variant = TRAINING[name]
    data = {**stored, **variant["data"]} if "data" in variant else CLASSIFIER["data"]
    return parse_spec({**SMALL, **CLASSIFIER, **variant, "data": data})


@pytest.mark.usefixtures("evaluated_together")
@pytest.mark.parametrize("name", TRAINING)
def test_training_does_not_depend_on_the_number_of_ranks(same_bits, stored, name):
    logs = same_bits(training_spec(name, stored))
    if logs is not None:
        ranks, _ = logs
        assert np.isfinite(ranks.metrics["test_accuracy"]).all()
        assert ranks.final.metrics["loss"] < ranks.metrics["loss"][0]


SHARED = ("plain", "fixed", "float32", "draco", "draco_cyclic", "several samples", "wide")


@pytest.mark.parametrize(
    ("name", "compute"),
    [*((name, "faithful") for name in VARIANTS), *((name, "shared") for name in SHARED)],
)
def test_metrics_and_model_do_not_depend_on_the_number_of_ranks(world, same_bits, name, compute):
    logs = same_bits(parse_spec({**SMALL, **VARIANTS[name], "compute": compute}))
    if logs is not None:
        ranks, _ = logs
        assert ranks.seconds.shape[1] == world.size


@pytest.mark.usefixtures("evaluated_together")
def test_a_server_that_evaluates_alone_finds_the_same(same_bits, monkeypatch):
    spec = parse_spec({**SMALL, "data": {"dimension": 9, "test_samples": 5}})
    together = same_bits(spec)
    monkeypatch.setattr(setup, "_SMALL", 10**5)
    alone = same_bits(spec)
    if together is not None:
        for log in (together[0], alone[0]):
            assert log.metrics["loss"].tolist() == together[0].metrics["loss"].tolist()
            assert log.final.metrics == pytest.approx(together[0].final.metrics, rel=0, abs=0)


@pytest.mark.parametrize("flush_every", [1, 2, 3, 50])
def test_a_failure_on_the_server_ends_all_ranks_with_the_same_outcome(
    world, tmp_path_factory, flush_every
):
    folder = tmp_path_factory.mktemp("failure")
    diverging = {"optimizer": {"step_size": 1e200}, "aggregation": {"kind": "mean"}}
    spec = parse_spec({**SMALL, **diverging, "logging": {"flush_every": flush_every}})
    link = open_link()
    outcome = run_spec(spec, link, folder / "log.h5")
    assert outcome.status == "failed"
    assert "diverged" in outcome.failure
    assert link.gather_texts(outcome.failure) == [outcome.failure] * link.size
    # The ranks are still in step, so another run succeeds.
    again = run_spec(parse_spec(SMALL), link, folder / "next.h5")
    assert again.status == "complete"


def test_data_missing_on_one_rank_only_are_reported_with_the_rank(world, tmp_path_factory):
    link = open_link()
    folder = tmp_path_factory.mktemp("data")
    data = folder / "data.csv"
    if link.rank != link.size - 1:
        lines = ["a,b,y"] + [f"{i % 3},{i * i % 7},{i % 5}" for i in range(40)]
        data.write_text("\n".join(lines) + "\n")
    spec = parse_spec({**SMALL, "data": {"kind": "file", "path": str(data)}})
    outcome = run_spec(spec, link, folder / "log.h5")
    assert outcome.exit_code == 2
    assert outcome.failure.startswith(f"rank {link.size - 1}: ")
