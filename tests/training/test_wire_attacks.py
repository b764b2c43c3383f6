"""Whole runs whose Byzantine devices attack the bytes of their messages."""

import numpy as np
import pytest

from lad_mpi.aggregation import RULES
from lad_mpi.compression import CODECS
from lad_mpi.logs import read_log, validate_log
from lad_mpi.logs.schema import REASONS
from lad_mpi.spec import parse_spec
from lad_mpi.training import run_spec
from lad_mpi.transport import Loopback

SMALL = {
    "iterations": 60,
    "data": {"dimension": 7},
    "devices": {"count": 12, "byzantine": 3},
    "coding": {"kind": "cyclic", "load": 3},
}
PARAMETERS = {"rand_k": {"k": 3}, "top_k": {"k": 3}, "qsgd": {"levels": 4}}
ATTACKS = {
    "random_bytes": {"kind": "random_bytes"},
    "random payload": {"kind": "random_bytes", "keep_envelope": True},
    "mutate": {"kind": "mutate"},
}
ON_THE_WIRE = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


@pytest.fixture
def run(tmp_path):
    def start(**sections):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        spec = parse_spec({**SMALL, **sections})
        outcome = run_spec(spec, Loopback(), path)
        assert outcome.status == "complete", outcome.failure
        assert validate_log(path) == []
        return read_log(path)

    return start


@ON_THE_WIRE
@pytest.mark.parametrize("kind", sorted(CODECS))
def test_a_robust_rule_learns_under_attack_with_every_codec(run, attack, kind):
    log = run(attack=attack, compression={"kind": kind, **PARAMETERS.get(kind, {})})
    assert np.isfinite(log.final.model).all()
    assert log.final.metrics["loss"] < log.metrics["loss"][0]
    counted = sum(log.refusals.values())
    np.testing.assert_array_equal(counted, log.metrics["messages_rejected"])
    assert (counted <= 3).all()


@ON_THE_WIRE
@pytest.mark.parametrize("kind", sorted(set(RULES) - {"mean", "monna"}))
def test_every_rule_that_trusts_no_single_message_goes_on(run, attack, kind):
    log = run(attack=attack, aggregation={"kind": kind})
    assert np.isfinite(log.final.model).all()


def test_noise_counts_as_zeros_to_the_bit(run):
    """A refused message becomes zeros, so only the counts of refusals differ."""
    noise, zeros = run(attack={"kind": "random_bytes"}), run(attack={"kind": "zero"})
    assert (noise.refusals["magic"] == 3).all()
    assert (noise.metrics["messages_rejected"] == 3).all()
    assert (zeros.metrics["messages_rejected"] == 0).all()
    np.testing.assert_array_equal(noise.final.model, zeros.final.model)
    np.testing.assert_array_equal(noise.metrics["loss"], zeros.metrics["loss"])


def test_mutations_are_counted_by_their_reasons(run):
    log = run(attack={"kind": "mutate"}, compression={"kind": "qsgd", "levels": 4}, iterations=200)
    counted = {reason: int(counts.sum()) for reason, counts in log.refusals.items()}
    assert tuple(counted) == REASONS
    # Payloads of this codec have no index. All other reasons occur, and some messages pass.
    assert [reason for reason, count in counted.items() if count == 0] == ["index"]
    assert sum(counted.values()) < 600
