"""What a log says about models, against direct computations."""

import math
from itertools import pairwise

import numpy as np
import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.logs import read_log
from lad_mpi.rng import Streams
from lad_mpi.spec import parse_spec
from lad_mpi.training import run_spec
from lad_mpi.training.setup import prepare
from lad_mpi.transport import Loopback

#: More test samples than one block.
CLASSES, L2 = 4, 0.01
SPEC = {
    "iterations": 6,
    "data": {
        "kind": "synthetic_classification",
        "classes": CLASSES,
        "dimension": 5,
        "test_samples": 300,
    },
    "model": {"kind": "softmax_regression", "l2": L2},
    "devices": {"count": 12, "byzantine": 2},
    "coding": {"kind": "cyclic", "load": 3},
    "optimizer": {"step_size": 0.2},
}


@pytest.fixture
def run(tmp_path):
    def start(mapping):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        outcome = run_spec(parse_spec(mapping), Loopback(), path)
        assert outcome.status == "complete", outcome.failure
        return read_log(path)

    return start


def load(spec):
    return spec.data.load(
        spec.devices.count, Streams(spec.seed), task=spec.model.task, has_bias=spec.model.has_bias
    )


def measured(x, features, targets):
    """Return mean cross-entropy and accuracy."""
    scores = features @ x.reshape(CLASSES, -1).T
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(targets)), targets]
    return losses.mean(), (scores.argmax(axis=1) == targets).mean()


@pytest.mark.parametrize("devices", [{}, {"batch_size": 3, "momentum": 0.5}])
def test_losses_and_accuracies_are_those_of_all_samples(run, devices):
    mapping = {**SPEC, "devices": {**SPEC["devices"], **devices}}
    log = run(mapping)
    data, x = load(parse_spec(mapping)), log.final.model
    loss, accuracy = measured(x, data.features, data.targets)
    test_loss, test_accuracy = measured(x, data.test_features, data.test_targets)
    assert log.final.metrics["loss"] == pytest.approx(loss + L2 / 2 * (x @ x))
    assert log.final.metrics["train_accuracy"] == pytest.approx(accuracy)
    assert log.final.metrics["test_loss"] == pytest.approx(test_loss)
    assert log.final.metrics["test_accuracy"] == pytest.approx(test_accuracy)
    # Training starts at zero, where all classes have the same probability.
    assert log.metrics["loss"][0] == log.metrics["test_loss"][0] == pytest.approx(math.log(CLASSES))
    assert log.metrics["test_accuracy"][0] == (data.test_targets == 0).mean()
    assert log.final.metrics["test_accuracy"] > log.metrics["test_accuracy"][0]


def test_subsets_weigh_alike_in_the_loss_and_samples_in_the_accuracy(run, tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 90)
    features = rng.normal(size=(90, 5)) + labels[:, None]
    np.savez(tmp_path / "data.npz", X=features, y=labels)
    data = {
        "kind": "file",
        "path": str(tmp_path / "data.npz"),
        "partition": "dirichlet",
        "concentration": 0.2,
        "test_fraction": 0.25,
    }
    log = run({**SPEC, "data": data})
    loaded, x = load(parse_spec({**SPEC, "data": data})), log.final.model
    sizes = np.diff(loaded.offsets)
    assert sizes.max() > 3 * sizes.min()
    subsets = [
        (loaded.features[first:stop], loaded.targets[first:stop])
        for first, stop in pairwise(loaded.offsets)
    ]
    loss = np.mean([measured(x, *subset)[0] for subset in subsets])
    assert log.final.metrics["loss"] == pytest.approx(loss + L2 / 2 * (x @ x))
    accuracy = measured(x, loaded.features, loaded.targets)[1]
    assert log.final.metrics["train_accuracy"] == pytest.approx(accuracy)
    _, test_accuracy = measured(x, loaded.test_features, loaded.test_targets)
    assert log.final.metrics["test_accuracy"] == pytest.approx(test_accuracy)


def test_gradient_and_heterogeneity_are_those_of_all_samples(run):
    mapping = {**SPEC, "iterations": 1, "devices": {**SPEC["devices"], "batch_size": 3}}
    log = run(mapping)
    data = load(parse_spec(mapping))
    # At the first model, zero, all classes have the same probability.
    slopes = 1 / CLASSES - np.eye(CLASSES)[data.targets]
    gradients = (slopes[:, :, None] * data.features[:, None]).reshape(12, -1, 5 * CLASSES)
    subsets = gradients.mean(axis=1)
    gradient = subsets.mean(axis=0)
    assert log.metrics["gradient_norm"][0] == pytest.approx(np.linalg.norm(gradient))
    spread = ((subsets - gradient) ** 2).sum() / 12
    assert log.metrics["beta_squared"][0] == pytest.approx(spread)


def test_without_test_samples_and_classes_the_log_has_no_metrics_of_them(run):
    log = run({"iterations": 2, "data": {"dimension": 3}, "devices": {"count": 5, "byzantine": 1}})
    assert not any(name.startswith(("test_", "train_")) for name in log.metrics)
    assert not any(name.startswith(("test_", "train_")) for name in log.final.metrics)


LARGE = {
    "iterations": 300,
    "data": {"dimension": 60, "samples_per_subset": 6},
    "devices": {"count": 60, "byzantine": 12, "batch_size": 2},
    "compute": "shared",
    "optimizer": {"step_size": 3e-4},
    "logging": {"evaluate_every": 1},
}


@pytest.mark.parametrize(("load", "k"), [(1, 60), (5, 60), (5, 20)])
def test_dispersion_with_batches_follows_the_law(run, load, k):
    codec = {"kind": "none"} if k == 60 else {"kind": "rand_k", "k": k}
    log = run({**LARGE, "coding": {"kind": "cyclic", "load": load}, "compression": codec})
    ratio = log.metrics["honest_dispersion"] / log.metrics["honest_dispersion_predicted"]
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)


def test_the_law_includes_the_noise_of_batches(run):
    """With load 1 the variance is β², that of the whole data if batches are not smaller."""
    whole = {**LARGE["devices"], "batch_size": 6}
    log, without = run(LARGE), run({**LARGE, "devices": whole, "iterations": 5})
    of_batches, of_all = (
        run.metrics["honest_dispersion_predicted"] / run.metrics["beta_squared"]
        for run in (log, without)
    )
    np.testing.assert_allclose(of_all, of_all[0])
    assert (of_batches > 1.1 * of_all[0]).mean() > 0.9


def test_with_momentum_the_law_adds_up_over_the_iterations(run):
    devices = {**LARGE["devices"], "momentum": 0.6}
    log = run({**LARGE, "devices": devices})
    ratio = log.metrics["honest_dispersion"] / log.metrics["honest_dispersion_predicted"]
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)
    assert log.provenance["dispersion_prediction"] == "exact"
    # The first message is (1 − μ) g.
    plain = run({**LARGE, "iterations": 1}).metrics["honest_dispersion_predicted"]
    first = log.metrics["honest_dispersion_predicted"][0]
    assert first == pytest.approx(0.4**2 * plain[0], rel=1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        {"logging": {"evaluate_every": 2}},
        {"compression": {"kind": "rand_k", "k": 3}},
        {"coding": {"assignment": "fixed"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_with_momentum_no_law_is_known_if_something_is_missing(run, changes):
    devices = {**SPEC["devices"], "momentum": 0.5}
    log = run({**SPEC, "devices": devices, **changes})
    assert np.isnan(log.metrics["honest_dispersion_predicted"]).all()
    assert (log.metrics["honest_dispersion"][::2] > 0).all()
    assert log.provenance["dispersion_prediction"] == "none"


FED_BACK = """
from dataclasses import dataclass
from typing import ClassVar

from lad_mpi.compression import RandK


@dataclass(frozen=True)
class Fed(RandK):
    kind: ClassVar[str] = "fed"
    wire_code: ClassVar[int] = 211
    error_feedback: ClassVar[bool] = True
"""


def test_with_error_feedback_no_law_is_known_even_if_the_codec_is_unbiased(run, install):
    install("mylab", FED_BACK, codecs={"fed": "Fed"})
    log = run({**SPEC, "compression": {"kind": "fed", "k": 5}})
    assert np.isnan(log.metrics["honest_dispersion_predicted"]).all()


def evaluate_every(**sections):
    mapping = {**SPEC, **sections}
    return prepare(parse_spec(mapping), Loopback(), open_backend("numpy", "float64")).evaluate_every


def test_a_given_interval_is_kept_and_small_models_are_evaluated_always():
    assert evaluate_every(logging={"evaluate_every": 7}) == 7
    assert evaluate_every() == evaluate_every(iterations=3000) == 1
    many_tests = {"kind": "synthetic_classification", "test_samples": 100_000}
    assert evaluate_every(data=many_tests, iterations=3000) > 1


def every_of_large(iterations, batch, load):
    large = {"dimension": 50, "samples_per_subset": 200}
    return evaluate_every(
        data={"kind": "synthetic_classification", "test_samples": 1000, **large},
        devices={"count": 20, "byzantine": 2, "batch_size": batch},
        coding={"load": load},
        iterations=iterations,
    )


@pytest.mark.parametrize("iterations", [1, 19, 20, 100, 300, 1500, 2999, 40_000])
@pytest.mark.parametrize("batch", [1, 8, 1000])
@pytest.mark.parametrize("load", [1, 10])
def test_a_run_is_evaluated_at_least_20_times(iterations, batch, load):
    every = every_of_large(iterations, batch, load)
    assert -(-iterations // every) >= min(iterations, 20)


def test_the_less_devices_compute_the_rarer_is_evaluation():
    by_batch = [every_of_large(40_000, batch, 1) for batch in (1, 8, 64, 200)]
    assert by_batch == sorted(by_batch, reverse=True)
    assert by_batch[0] > by_batch[-1]
    assert every_of_large(40_000, 8, 10) < every_of_large(40_000, 8, 1)


def test_test_losses_that_overflow_end_the_run(tmp_path):
    spec = parse_spec(
        {
            "iterations": 3,
            "data": {"dimension": 3, "test_samples": 1000},
            "devices": {"count": 5, "byzantine": 1},
            "aggregation": {"kind": "mean"},
            "optimizer": {"step_size": 1e150},
        }
    )
    outcome = run_spec(spec, Loopback(), tmp_path / "log.h5")
    assert outcome.status == "failed"
    assert "diverged" in outcome.failure
    assert read_log(tmp_path / "log.h5").status == "failed"
