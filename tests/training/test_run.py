"""Whole runs in one process: bits, logs, faults and outcomes."""

import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from lad_mpi.aggregation import RULES
from lad_mpi.compression import CODECS, Channel
from lad_mpi.errors import ExitCode
from lad_mpi.logs import read_log, validate_log
from lad_mpi.rng import Purpose, Streams
from lad_mpi.spec import parse_spec
from lad_mpi.training import TRAINING_PHASES, Existing, NoProgress, run_spec
from lad_mpi.training.device import DeviceBlock
from lad_mpi.transport import Loopback

SMALL = {
    "iterations": 12,
    "data": {"dimension": 7},
    "devices": {"count": 12, "byzantine": 2},
    "coding": {"kind": "cyclic", "load": 3},
    "logging": {"flush_every": 5, "warmup_iterations": 2},
}


@pytest.fixture
def run(tmp_path):
    def start(changes=(), *, progress=None, **sections):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        spec = parse_spec({**SMALL, **dict(changes), **sections})
        outcome = run_spec(spec, Loopback(), path, progress=progress)
        return outcome, read_log(path)

    return start


class LastLoss(NoProgress):
    """Records the last loss shown to the user."""

    shown = None

    def update(self, iteration, iterations, loss):
        self.shown = (iteration, iterations, loss)


@pytest.mark.parametrize(("evaluate_every", "flush_every"), [(1, 50), (5, 4), (100, 5)])
def test_the_last_loss_that_is_shown_is_that_of_the_final_model(run, evaluate_every, flush_every):
    progress = LastLoss()
    logging = {"evaluate_every": evaluate_every, "flush_every": flush_every}
    _, log = run(progress=progress, logging=logging)
    assert progress.shown == (12, 12, log.final.metrics["loss"])


def assert_same_numbers(one, two):
    for name, values in one.metrics.items():
        np.testing.assert_array_equal(values, two.metrics[name], err_msg=name)
    np.testing.assert_array_equal(one.final.model, two.final.model)


VARIANTS = {
    "plain": {},
    "nnm": {"aggregation": {"kind": "trimmed_mean", "pre": ["nnm"]}},
    "float32": {"backend": {"dtype": "float32"}},
    "rand_k": {"compression": {"kind": "rand_k", "k": 3}},
    "qsgd": {"compression": {"kind": "qsgd", "levels": 4}},
    "top_k": {"compression": {"kind": "top_k", "k": 3}},
    "sign": {"compression": {"kind": "sign", "error_feedback": True}},
    "cast": {"compression": {"kind": "cast"}},
    "natural": {"compression": {"kind": "natural"}},
    "omniscient": {"attack": {"kind": "alie"}},
    "gaussian": {"attack": {"kind": "gaussian"}},
    "draco": {"coding": {"kind": "draco_repetition"}},
    "draco_cyclic": {"coding": {"kind": "draco_cyclic"}},
    "draco_cyclic_real": {"coding": {"kind": "draco_cyclic_real"}},
    "bucketing and clipping": {
        "devices": {"count": 12, "byzantine": 1},
        "aggregation": {"kind": "centered_clipping", "pre": [{"kind": "bucketing", "size": 2}]},
    },
    "uneven groups": {
        "coding": {"kind": "draco_repetition"},
        "devices": {"count": 13, "byzantine": 1},
    },
    "several samples": {"data": {"dimension": 7, "samples_per_subset": 4}},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_runs_that_compute_each_gradient_once_are_reproducible(run, variant):
    _, one = run(variant, compute="shared")
    _, other = run(variant, compute="shared", logging={"flush_every": 1})
    assert_same_numbers(one, other)


@pytest.mark.parametrize("variant", ["plain", "nnm", "omniscient", "several samples"])
def test_computing_each_gradient_once_changes_results_by_rounding_only(run, variant):
    """Codecs that round or choose may turn a rounding error into another message."""
    _, faithful = run(VARIANTS[variant])
    _, shared = run(VARIANTS[variant], compute="shared")
    np.testing.assert_allclose(shared.final.model, faithful.final.model, rtol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_the_log_of_a_run_is_valid_and_complete(run, variant):
    outcome, log = run(variant)
    assert outcome.status == log.status == "complete"
    assert validate_log(log.path) == []
    assert len(log.iteration) == 12
    assert np.isfinite(log.metrics["loss"]).all()


def test_the_seed_changes_everything_and_the_name_nothing(run):
    _, one = run()
    _, renamed = run(name="other")
    _, reseeded = run(seed=2)
    assert_same_numbers(one, renamed)
    assert (one.metrics["loss"] != reseeded.metrics["loss"]).all()


def test_how_often_records_are_flushed_changes_no_number(run):
    _, one = run()
    _, other = run(logging={"flush_every": 1})
    assert_same_numbers(one, other)


def exact_descent(spec):
    """Gradient descent on F itself, from its definition for subsets of equal size."""
    form = {"task": spec.model.task, "has_bias": spec.model.has_bias}
    data = spec.data.load(spec.devices.count, Streams(spec.seed), **form)
    model = np.zeros(data.form.num_features)
    for _ in range(spec.iterations):
        residuals = data.features @ model - data.targets
        model = model - spec.optimizer.step_size * residuals @ data.features / len(residuals)
    return model


@pytest.mark.parametrize(
    "coding",
    [
        {"kind": "cyclic", "load": 12},
        {"kind": "draco_repetition"},
        {"kind": "draco_cyclic"},
        {"kind": "draco_cyclic_real"},
    ],
    ids=["load N", "draco_repetition", "draco_cyclic", "draco_cyclic_real"],
)
def test_full_redundancy_and_draco_follow_the_exact_gradient(run, coding):
    changes = {"coding": coding, "iterations": 60}
    _, log = run(changes)
    exact = exact_descent(parse_spec({**SMALL, **changes}))
    np.testing.assert_allclose(log.final.model, exact, rtol=1e-10)
    # Rounding errors are relative to the gradient, which is large.
    assert (log.metrics["aggregation_error"] <= 1e-12 * log.metrics["gradient_norm"].max()).all()


@pytest.mark.parametrize(
    ("load", "codec"),
    [
        (1, {"kind": "none"}),
        (5, {"kind": "none"}),
        (20, {"kind": "none"}),
        (5, {"kind": "rand_k", "k": 30}),
    ],
)
def test_measured_dispersion_follows_the_law(run, load, codec):
    _, log = run(
        iterations=300,
        data={"dimension": 100},
        devices={"count": 100, "byzantine": 20},
        coding={"kind": "cyclic", "load": load},
        compression=codec,
        compute="shared",
        optimizer={"step_size": 3e-4},
    )
    ratio = log.metrics["honest_dispersion"] / log.metrics["honest_dispersion_predicted"]
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)


def test_dispersion_vanishes_at_full_load(run):
    _, log = run(coding={"kind": "cyclic", "load": 12})
    assert (log.metrics["honest_dispersion"] <= 1e-20 * log.metrics["gradient_norm"] ** 2).all()
    assert (log.metrics["honest_dispersion_predicted"] == 0).all()


@pytest.mark.parametrize("attack", ["nan", "inf"])
def test_messages_that_are_not_finite_are_refused_counted_and_survived(run, attack):
    outcome, log = run(attack={"kind": attack})
    assert outcome.status == "complete"
    assert (log.metrics["messages_rejected"] == 2).all()
    assert log.final.metrics["loss"] < log.metrics["loss"][0]


@pytest.mark.parametrize("kind", sorted(RULES))
def test_messages_that_are_not_finite_change_nothing_but_a_count(run, kind):
    """The result has the same bits as with messages of zeros, and the log counts refusals."""
    rule = {"aggregation": {"kind": kind}}
    _, zeros = run(rule, attack={"kind": "zero"})
    assert (zeros.metrics["messages_rejected"] == 0).all()
    for attack in ("nan", "inf"):
        _, log = run(rule, attack={"kind": attack})
        assert (log.metrics["messages_rejected"] == 2).all()
        np.testing.assert_array_equal(log.final.model, zeros.final.model)
        for name, values in log.metrics.items():
            if name != "messages_rejected":
                np.testing.assert_array_equal(values, zeros.metrics[name], err_msg=name)


@pytest.mark.parametrize("kind", sorted(set(RULES) - {"mean", "monna"}))
def test_messages_of_1e300_are_accepted_and_survived(run, kind):
    """The messages are valid, so only rules that are not robust or follow one row fail."""
    attack = {"kind": "gaussian", "standard_deviation": 1e300}
    outcome, log = run({"aggregation": {"kind": kind}}, attack=attack)
    assert outcome.status == "complete"
    assert (log.metrics["messages_rejected"] == 0).all()
    assert log.final.metrics["loss"] < log.metrics["loss"][0]


@pytest.mark.parametrize("codec", [{"kind": "rand_k", "k": 2}, {"kind": "qsgd", "levels": 1}])
def test_omniscient_attackers_pass_through_the_codec(run, codec):
    outcome, log = run(attack={"kind": "ipm"}, compression=codec)
    assert outcome.status == "complete"
    assert (log.metrics["messages_rejected"] == 0).all()


def test_uplink_bytes_are_payload_and_header_of_every_device(run):
    _, plain = run()
    _, sparse = run(compression={"kind": "rand_k", "k": 2})
    assert (plain.traffic["uplink_bytes"] == 12 * (32 + 7 * 8)).all()
    assert (sparse.traffic["uplink_bytes"] == 12 * (32 + 2 * 8)).all()


PAYLOADS = {
    "none": ({}, lambda q: 8 * q),
    "rand_k": ({"k": 2}, lambda q: 8 * 2),
    "qsgd": ({"levels": 4}, lambda q: 8 + math.ceil(q * math.ceil(math.log2(2 * 4 + 1)) / 8)),
    "top_k": ({"k": 2}, lambda q: 8 * 2 + math.ceil(2 * math.ceil(math.log2(q)) / 8)),
    "sign": ({}, lambda q: 8 + math.ceil(q / 8)),
    "cast": ({}, lambda q: 2 * q),
    "natural": ({}, lambda q: math.ceil(9 * q / 8)),
}


@pytest.mark.parametrize("kind", sorted(CODECS))
def test_logged_bytes_are_those_that_are_sent(run, kind):
    parameters, formula = PAYLOADS[kind]
    spec = {"compression": {"kind": kind, **parameters}}
    _, log = run(spec)
    assert (log.traffic["uplink_bytes"] == 12 * (32 + formula(7))).all()
    codec = parse_spec({**SMALL, **spec}).compression
    channel = Channel(Streams(1), 0, 0, 12, 7, np.dtype("float64"))
    assert codec.encode(np.ones((12, 7)), channel).nbytes == 12 * formula(7)


def test_error_feedback_comes_nearer_to_the_optimum(run):
    codec = {"kind": "top_k", "k": 1}
    settings = {
        "iterations": 400,
        "aggregation": {"kind": "mean"},
        "attack": {"kind": "none"},
        "devices": {"count": 12, "byzantine": 0},
        "data": {"dimension": 7, "samples_per_subset": 20},
        "optimizer": {"step_size": 3e-3},
    }
    _, without = run(settings, compression=codec)
    _, with_it = run(settings, compression={**codec, "error_feedback": True})
    _, plain = run(settings)
    excess = [log.final.metrics["loss"] - plain.final.metrics["loss"] for log in (without, with_it)]
    assert excess[1] < excess[0] / 2


def test_residuals_are_kept_for_honest_devices_alone(monkeypatch, run):
    blocks = []
    pack = DeviceBlock.pack

    def watched(self, coded, iteration):
        pack(self, coded, iteration)
        blocks.append((self.state["residuals"].copy(), self._byzantine))

    monkeypatch.setattr(DeviceBlock, "pack", watched)
    run(compression={"kind": "sign", "error_feedback": True})
    for residuals, byzantine in blocks:
        assert residuals.shape == (12, 7)
        assert len(byzantine) == 2
        assert not residuals[byzantine].any()
        assert np.delete(residuals, byzantine, axis=0).any(axis=1).all()


FEEDBACK = """
from dataclasses import dataclass
from typing import ClassVar

from lad_mpi.compression import TopK


@dataclass(frozen=True)
class Fed(TopK):
    kind: ClassVar[str] = "fed"
    wire_code: ClassVar[int] = 211
    error_feedback: ClassVar[bool] = True
"""


def test_a_codec_of_another_package_can_feed_errors_back(run, install):
    install("mylab", FEEDBACK, codecs={"fed": "Fed"})
    _, own = run(compression={"kind": "top_k", "k": 2, "error_feedback": True})
    _, other = run(compression={"kind": "fed", "k": 2})
    assert_same_numbers(own, other)


@pytest.mark.parametrize("attack", ["nan", "inf"])
def test_attackers_spoil_no_residual(run, attack):
    codec = {"kind": "cast", "error_feedback": True}
    outcome, log = run(attack={"kind": attack}, compression=codec)
    assert outcome.status == "complete"
    assert (log.refusals["not_finite"] == 2).all()


def test_honest_gradients_beyond_a_codec_end_the_run_by_name(run):
    codec = {"kind": "cast", "format": "float16", "error_feedback": True}
    outcome, _ = run(compression=codec, data={"dimension": 7, "heterogeneity": 1e6})
    assert outcome.status == "failed"
    assert "not finite" in outcome.failure
    assert "exceed the range of compression 'cast'" in outcome.failure


def test_evaluation_may_be_rare_but_ends_are_evaluated(run):
    _, log = run(logging={"evaluate_every": 5})
    evaluated = np.flatnonzero(np.isfinite(log.metrics["loss"]))
    assert evaluated.tolist() == [0, 5, 10, 11]
    assert validate_log(log.path) == []


def test_every_training_phase_is_timed(run):
    _, log = run()
    training = [log.phases.index(phase) for phase in TRAINING_PHASES]
    assert log.seconds.shape == (12, 1, len(log.phases))
    assert (log.seconds[:, 0, training] >= 0).all()
    assert (log.seconds[:, 0, log.phases.index("compute")] > 0).all()


def test_divergence_is_reported_and_earlier_records_are_kept(run):
    outcome, log = run(optimizer={"step_size": 1e200}, aggregation={"kind": "mean"})
    assert outcome.status == log.status == "failed"
    assert outcome.exit_code == ExitCode.FAILED
    assert "diverged" in outcome.failure
    assert "optimizer.step_size" in outcome.failure
    assert "diverged" in log.failure
    assert 0 < len(log.iteration) < 12


@pytest.mark.parametrize("rule", ["trimmed_mean", "median", "geometric_median", "krum"])
@pytest.mark.parametrize("step_size", [0.05, 1.0, 1e3])
def test_rules_that_would_survive_honest_overflow_do_not_hide_it(run, rule, step_size):
    outcome, log = run(
        devices={"count": 7, "byzantine": 2},
        data={"dimension": 4},
        iterations=2000,
        optimizer={"step_size": step_size},
        aggregation={"kind": rule},
    )
    assert outcome.status == log.status == "failed"
    assert "diverged" in outcome.failure
    assert np.isfinite(log.metrics["loss"]).all()
    assert validate_log(log.path) == []


MISJUDGED = {
    "devices": {"count": 12, "byzantine": 5, "assumed_byzantine": 1},
    "coding": {"kind": "draco_repetition"},
    # A colluding majority would look honest; these attackers do not collude.
    "attack": {"kind": "gaussian"},
}


def test_a_decoder_that_fails_stops_a_run_without_fallback(run):
    outcome, log = run(MISJUDGED)
    assert outcome.status == log.status == "failed"
    assert "could not decode in iteration 0" in outcome.failure
    assert "[fallback]" in outcome.failure


def test_a_decoder_that_fails_is_logged_if_a_fallback_rule_is_used(run):
    outcome, log = run(MISJUDGED, fallback={"kind": "median"})
    assert outcome.status == "complete"
    assert (log.metrics["decoder_status"] == 2).all()


class SignalAfter:
    """Sends a signal at the first update."""

    def __init__(self, number):
        self.number = number

    def note(self, text):
        pass

    def update(self, iteration, iterations, loss):
        if self.number is not None:
            number, self.number = self.number, None
            os.kill(os.getpid(), number)


def test_a_signal_in_the_last_iteration_leaves_a_complete_run(run):
    outcome, log = run(progress=SignalAfter(signal.SIGTERM), logging={"flush_every": 12})
    assert outcome.status == log.status == "complete"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_ends_a_run_in_order_and_handlers_are_put_back(run, number):
    before = signal.getsignal(number)
    outcome, log = run(progress=SignalAfter(number))
    assert signal.getsignal(number) == before
    assert outcome.status == log.status == "interrupted"
    assert outcome.exit_code == ExitCode.CHECKPOINTED
    assert len(log.iteration) == 5
    assert number.name in log.failure


def test_an_existing_log_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "log.h5"
    spec = parse_spec(SMALL)
    run_spec(spec, Loopback(), path)
    before = path.read_bytes()
    outcome = run_spec(spec, Loopback(), path)
    assert outcome.exit_code == ExitCode.USAGE
    assert "--overwrite" in outcome.failure
    assert path.read_bytes() == before
    replaced = run_spec(spec, Loopback(), path, existing=Existing.REPLACE)
    assert replaced.failure == ""
    assert path.read_bytes() != before


def test_a_run_that_is_refused_or_complete_prepares_nothing(tmp_path, monkeypatch):
    spec, path = parse_spec({"iterations": 2, "data": {"dimension": 5}}), tmp_path / "log.h5"
    assert run_spec(spec, Loopback(), path).status == "complete"

    def fail(*_):
        raise AssertionError("data are read and a GPU is opened")

    monkeypatch.setattr("lad_mpi.training.run.prepare", fail)
    assert run_spec(spec, Loopback(), path).exit_code == ExitCode.USAGE
    assert run_spec(spec, Loopback(), path, existing=Existing.RESUME).status == "complete"


def test_an_output_that_cannot_be_written_is_refused_before_work(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    outcome = run_spec(parse_spec(SMALL), Loopback(), blocker / "log.h5")
    assert outcome.exit_code == ExitCode.USAGE
    assert "not a folder" in outcome.failure


def test_missing_data_are_an_outcome_that_names_the_file(tmp_path):
    spec = parse_spec({**SMALL, "data": {"kind": "file", "path": str(tmp_path / "absent.csv")}})
    outcome = run_spec(spec, Loopback(), tmp_path / "log.h5")
    assert outcome.exit_code == ExitCode.USAGE
    assert "absent.csv" in outcome.failure
    assert not (tmp_path / "log.h5").exists()


def test_an_error_of_cupy_at_the_start_is_one_message_and_no_traceback(tmp_path, monkeypatch):
    class CUDADriverError(RuntimeError):
        __module__ = "cupy_backends.cuda.api.driver"

    def fail(*_):
        raise CUDADriverError("CUDA_ERROR_INVALID_PTX")

    monkeypatch.setattr("lad_mpi.training.run.prepare", fail)
    outcome = run_spec(parse_spec({}), Loopback(), tmp_path / "log.h5")
    assert (outcome.status, outcome.exit_code) == ("failed", ExitCode.UNFIT)
    assert "the GPU cannot be used: CUDADriverError: CUDA_ERROR_INVALID_PTX" in outcome.failure
    assert "lad-mpi doctor" in outcome.failure
    assert not (tmp_path / "log.h5").exists()


def test_ranks_of_devices_do_not_pay_for_what_only_the_server_needs():
    code = (
        "import sys, lad_mpi.cli.run, lad_mpi.cli.study, lad_mpi.training\n"
        "print(sorted({'h5py', 'numba', 'rich'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_kind_of_prediction_is_recorded(run):
    fixed = {"coding": {"kind": "cyclic", "load": 3, "assignment": "fixed"}}
    variants = [({}, "exact"), ({"compression": {"kind": "qsgd", "levels": 4}}, "upper bound")]
    variants += [(fixed, "none"), ({"coding": {"kind": "draco_repetition"}}, "none")]
    for changes, expected in variants:
        _, log = run(changes)
        assert log.provenance["dispersion_prediction"] == expected
        predicted = log.metrics["honest_dispersion_predicted"]
        assert np.isnan(predicted).all() == (expected == "none")


def test_byzantine_devices_are_drawn_from_the_seed():
    draws = {tuple(Streams(seed).permutation(Purpose.BYZANTINE, 0, 12)[:2]) for seed in range(5)}
    assert len(draws) > 1
