"""Gathering in slices gives the same bits as gathering in one piece, for any messages."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from lad_mpi.aggregation import RULES, Pipeline
from lad_mpi.aggregation.arriving import ArrivingColumns
from lad_mpi.aggregation.gram import ArrivingProducts
from lad_mpi.arrays import open_backend
from lad_mpi.compression import Rejection
from lad_mpi.logs import read_log, validate_log
from lad_mpi.spec import parse_spec
from lad_mpi.training import run_spec
from lad_mpi.training.setup import prepare
from lad_mpi.transport import Loopback

# Six slices of at least one block of columns, and a matrix large enough for compiled kernels.
WIDE = {
    "iterations": 2,
    "data": {"dimension": 50_003},
    "devices": {"count": 21, "byzantine": 3},
    "coding": {"kind": "cyclic", "load": 2},
    "logging": {"swmr": False},
}


class Tampering(Loopback):
    """Changes a byte of a device's message during the gather."""

    def __init__(self, device, byte):
        super().__init__()
        object.__setattr__(self, "place", (device, byte))

    def plan(self, *arguments):
        exchange = super().plan(*arguments)
        gather, start_gather = exchange.gather, exchange.start_gather

        def tampered(collective):
            def collect(*edges):
                exchange.uplink[self.place] ^= 1
                return collective(*edges)

            return collect

        exchange.gather, exchange.start_gather = tampered(gather), tampered(start_gather)
        return exchange


@dataclass(frozen=True)
class Spoil:
    """Send an infinity in one column."""

    column: int
    kind: ClassVar[str] = "spoil"

    def corrupt(self, coded, context):
        sent = coded.copy()
        sent[:, self.column] = np.inf
        return sent


@pytest.fixture
def run(tmp_path):
    def start(spec, link=None):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        outcome = run_spec(spec, link or Loopback(), path)
        return outcome, read_log(path)

    return start


@pytest.fixture
def both(run):
    """Run a spec with and without overlap, compare all bits, and return the log with overlap."""

    def compare(spec, link=lambda: None):
        _, plain = run(dataclasses.replace(spec, overlap=False), link())
        outcome, log = run(dataclasses.replace(spec, overlap=True), link())
        assert outcome.status == "complete"
        for name, values in plain.metrics.items():
            np.testing.assert_array_equal(values, log.metrics[name], err_msg=name)
        for reason, counts in plain.refusals.items():
            np.testing.assert_array_equal(counts, log.refusals[reason], err_msg=reason)
        np.testing.assert_array_equal(plain.final.model, log.final.model)
        assert validate_log(log.path) == []
        return log

    return compare


def prepare_slices(spec):
    overlapped = dataclasses.replace(spec, overlap=True)
    backend = open_backend(spec.backend.kind, spec.backend.dtype)
    return prepare(overlapped, Loopback(), backend).slices


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", sorted(RULES))
def test_every_rule(both, kind, dtype):
    both(parse_spec({**WIDE, "aggregation": {"kind": kind}, "backend": {"dtype": dtype}}))


VARIANTS = {
    "nnm": {"aggregation": {"kind": "trimmed_mean", "pre": ["nnm"]}},
    "nnm and krum": {"aggregation": {"kind": "krum", "pre": ["nnm"]}},
    "bucketing": {
        "aggregation": {"kind": "median", "pre": [{"kind": "bucketing", "size": 2}, "nnm"]}
    },
    "arc": {"aggregation": {"kind": "krum", "pre": ["arc"]}},
    "omniscient": {"attack": {"kind": "alie"}},
    "gaussian": {"attack": {"kind": "gaussian"}},
    "nan": {"attack": {"kind": "nan"}, "aggregation": {"kind": "geometric_median"}},
    "random bytes": {"attack": {"kind": "random_bytes"}},
    "random payload": {"attack": {"kind": "random_bytes", "keep_envelope": True}},
    "mutate": {"attack": {"kind": "mutate"}, "iterations": 12},
    "cast": {"compression": {"kind": "cast"}, "backend": {"dtype": "float32"}},
    "cast, mutated": {
        "compression": {"kind": "cast"},
        "attack": {"kind": "mutate"},
        "aggregation": {"kind": "krum", "pre": ["nnm"]},
        "iterations": 12,
    },
    "draco_repetition": {"coding": {"kind": "draco_repetition"}},
    "draco_cyclic": {"coding": {"kind": "draco_cyclic"}},
    "short": {"data": {"dimension": 7}},
    "one column": {"data": {"dimension": 1}},
    "two slices": {"data": {"dimension": 12_000}},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_every_combination_of_components(both, variant):
    both(parse_spec({**WIDE, **variant}))


AGGREGATIONS = {
    "by columns": {"kind": "trimmed_mean"},
    "in Gram space": {"kind": "multi_krum"},
    "mixed": {"kind": "median", "pre": ["nnm"]},
}


@pytest.mark.parametrize("aggregation", AGGREGATIONS.values(), ids=AGGREGATIONS)
@pytest.mark.parametrize("column", [0, 20_000, 50_002])
def test_a_value_that_is_not_finite_in_any_slice(both, column, aggregation):
    spec = parse_spec({**WIDE, "aggregation": aggregation})
    log = both(dataclasses.replace(spec, attack=Spoil(column)))
    assert refused(log, Rejection.NOT_FINITE) == [3, 3]


@pytest.fixture
def begun(monkeypatch):
    """The argument ``begun`` of each step."""
    seen = []
    step = Pipeline.step

    def record(self, messages, *, begun, **rest):
        seen.append(type(begun))
        return step(self, messages, begun=begun, **rest)

    monkeypatch.setattr(Pipeline, "step", record)
    return seen


BEGUN = {
    "by columns": ({"kind": "trimmed_mean"}, {}, ArrivingColumns),
    "in Gram space": ({"kind": "krum"}, {}, ArrivingProducts),
    "mixed": ({"kind": "median", "pre": ["nnm"]}, {}, ArrivingProducts),
    "by lengths": ({"kind": "norm_threshold"}, {}, type(None)),
    "every message needed first": ({"kind": "median"}, {"attack": {"kind": "alie"}}, type(None)),
    "refused at once": ({"kind": "median"}, {"attack": {"kind": "nan"}}, ArrivingColumns),
}


@pytest.mark.parametrize(("aggregation", "changes", "expected"), BEGUN.values(), ids=BEGUN)
def test_aggregation_begins_early_where_it_can(run, begun, aggregation, changes, expected):
    run(parse_spec({**WIDE, "overlap": True, "aggregation": aggregation, **changes}))
    assert begun == [expected] * 2


def test_aggregation_starts_again_if_a_used_message_is_refused(run, begun):
    spec = parse_spec({**WIDE, "overlap": True})
    run(dataclasses.replace(spec, attack=Spoil(50_002)))
    assert begun == [type(None)] * 2


def refused(log, reason):
    return log.refusals[reason.name.lower()].tolist()


PLACES = {
    "magic": (0, Rejection.MAGIC),
    "checksum": (5, Rejection.CHECKSUM),
    "first": (32, Rejection.CHECKSUM),
    "last": (-1, Rejection.CHECKSUM),
}


@pytest.mark.parametrize("aggregation", AGGREGATIONS.values(), ids=AGGREGATIONS)
@pytest.mark.parametrize(("byte", "reason"), PLACES.values(), ids=PLACES)
def test_a_message_that_is_refused_for_its_header_or_checksum(both, byte, reason, aggregation):
    spec = parse_spec({**WIDE, "aggregation": aggregation})
    backend = open_backend("numpy", "float64")
    device = int(prepare(spec, Loopback(), backend).byzantine[0])
    log = both(spec, lambda: Tampering(device, byte))
    assert refused(log, reason) == [1, 1]


def test_an_honest_message_that_is_refused_ends_the_run(run):
    spec = parse_spec({**WIDE, "overlap": True})
    device = int(prepare(spec, Loopback(), open_backend("numpy", "float64")).honest[0])
    outcome, _ = run(spec, Tampering(device, 40))
    assert outcome.status == "failed"
    assert f"the first is device {device}" in outcome.failure


def test_an_error_of_the_rule_amid_slices_is_named(run, monkeypatch):
    from lad_mpi.aggregation import TrimmedMean
    from lad_mpi.errors import ParameterError

    def kernel(self, num_messages):
        def fail(messages):
            raise ParameterError("num_byzantine", "is not to its liking")

        return fail

    monkeypatch.setattr(TrimmedMean, "column_kernel", kernel)
    outcome, _ = run(parse_spec({**WIDE, "overlap": True}))
    assert outcome.status == "failed"
    assert outcome.failure.startswith("aggregation.num_byzantine: is not to its liking")


def test_a_state_survives_the_next_iterations_messages(both):
    @dataclass(frozen=True)
    class Previous:
        """Return the first message of the previous iteration, which is kept without a copy."""

        num_byzantine: int = 0
        kind: ClassVar[str] = "previous"

        def __call__(self, messages):
            return messages[0]

        def advance(self, messages, state):
            return (messages[0] if state is None else state), messages[0]

    spec = parse_spec({**WIDE, "iterations": 4})
    both(dataclasses.replace(spec, aggregation=type(spec.aggregation)((), Previous())))


def test_overlapped_time_is_part_of_other_phases_and_not_of_totals(both):
    log = both(parse_spec(WIDE))
    assert "overlapped" in log.phases
    assert "overlapped" not in log.training_phases
    # In one process there is nothing to wait for, so nothing overlaps.
    assert not log.seconds[:, 0, log.phases.index("overlapped")].any()


def test_slices_cover_all_columns_in_order_and_short_messages_have_none():
    slices = prepare_slices(parse_spec(WIDE))
    assert len(slices) == 6
    assert [columns.start for columns in slices[1:]] == [columns.stop for columns in slices[:-1]]
    assert (slices[0].start, slices[-1].stop) == (0, 50_003)
    assert prepare_slices(parse_spec({**WIDE, "data": {"dimension": 9000}})) == []
