"""What a log file holds: names, dtypes, units and descriptions, in one place.

A log is one HDF5 file for one run. Every group carries its own dimension
scales, so that ``xarray.open_dataset(path, engine="h5netcdf", group="timing")``
and ``h5dump`` show labelled data without this package.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.coding.base import DecodeStatus
from lad_mpi.compression.base import Rejection
from lad_mpi.types import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Root attribute ``format`` of every log.
FORMAT = "lad_mpi-log"

#: Root attribute ``format_version`` of the logs that are written.
VERSION = 3

#: Versions that are read. Version 2 has a ``name`` instead of ``names`` and a
#: ``spec_hash`` instead of ``identity``; it does not tell which data were read.
READABLE = (2, 3)

#: Values of the root attribute ``status``; all but the first end a log.
STATUSES = ("running", "complete", "interrupted", "failed")

#: Reasons for which the server refuses messages, in the order of the log.
REASONS = tuple(reason.name.lower() for reason in Rejection if reason != Rejection.NONE)

#: Iterations that are marked as warm-up unless the writer is told otherwise.
WARMUP_ITERATIONS = 10

#: The phase in which devices carry out attacks of their own; simulation, not training.
ATTACK_PHASE = "attack"

_TEXTS = ("format", "uuid", "status", "failure", "spec", "created")

#: Root attributes that are text, by version.
TEXT_ATTRIBUTES = {
    2: (*_TEXTS, "name", "spec_hash"),
    3: (*_TEXTS, "identity", "data_digest"),
}

#: Root attributes that are lists of text, by version.
LIST_ATTRIBUTES: dict[int, tuple[str, ...]] = {2: (), 3: ("names", "packages")}

#: Value of the iteration scale where nothing was written.
NO_ITERATION = -1


@dataclass(frozen=True, slots=True)
class Variable:
    """One dataset of the file.

    Parameters
    ----------
    name : str
        Name within its group.
    dtype : str
        ``"float64"``, ``"int64"`` or ``"str"``; empty where the run decides it.
    units : str
        Units in the spelling of UDUNITS; ``"1"`` for a number without one.
    long_name : str
        What it is, for axes and readers.
    attributes : mapping
        Further attributes.
    """

    name: str
    dtype: str
    units: str
    long_name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


ITERATION = Variable("iteration", "int64", "1", "iteration, counted from 0")
RANK = Variable("rank", "int64", "1", "MPI rank; 0 is the server")
PHASE = Variable("phase", "str", "1", "phase of the iteration")
REASON = Variable("reason", "str", "1", "reason for which a message is refused")
PARAMETER = Variable("parameter", "", "1", "model parameter")

#: What is known of a model alone.
MODEL_METRICS = (
    Metric("loss", "1", "global loss F(x)", "lower"),
    Metric("gradient_norm", "1", "norm of the true gradient of F", "lower"),
    Metric("distance_to_optimum", "1", "distance of the model to the optimum", "lower"),
)

#: What is known of an iteration, at the model before its update.
STEP_METRICS = (
    *MODEL_METRICS,
    Metric("aggregation_error", "1", "norm of the aggregate minus the true gradient of F", "lower"),
    Metric("beta_squared", "1", "mean squared deviation of the subset gradients"),
    Metric("honest_dispersion", "1", "mean squared deviation of the honest messages"),
    Metric(
        "honest_dispersion_predicted",
        "1",
        "expected mean squared deviation of the honest messages",
    ),
)

#: Counts of ``/metrics``, on iteration, which every log has.
COUNTS = (
    Variable("messages_rejected", "int64", "1", "messages refused by the server"),
    Variable(
        "decoder_status",
        "int64",
        "1",
        "outcome of the decoder",
        {
            "flag_values": np.array([int(status) for status in DecodeStatus], dtype=np.int64),
            "flag_meanings": " ".join(status.name.lower() for status in DecodeStatus),
        },
    ),
)

#: Dataset of ``/metrics`` on (iteration, reason).
REFUSALS = Variable("refusals", "int64", "1", "messages refused by the server, by reason")

#: Dataset of ``/timing``, on (iteration, rank, phase); NaN where a rank has no such phase.
SECONDS = Variable("seconds", "float64", "s", "time spent in the phase")

#: Datasets of ``/traffic``, on iteration.
TRAFFIC = (
    Variable("uplink_bytes", "int64", "bytes", "bytes sent from devices to the server"),
    Variable("downlink_bytes", "int64", "bytes", "bytes sent from the server to devices"),
)

#: Dataset of ``/state``, after the last update; beside it a number for every metric of the model.
MODEL = Variable("model", "", "1", "final model")


def variable_of(metric: Metric) -> Variable:
    """Return the dataset of a metric, which is NaN where the metric was not evaluated.

    It says itself which way is better, so that readers need no list of metrics.
    """
    attributes = {"better": metric.better} if metric.better else {}
    return Variable(metric.name, "float64", metric.units, metric.long_name, attributes)
