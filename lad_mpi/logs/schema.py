"""The schema of a log file: names, dtypes, units and descriptions.

A log is one HDF5 file for one run. Every group has its own dimension scales, so
``xarray.open_dataset(path, engine="h5netcdf", group="timing")`` and ``h5dump`` show
labelled data without this package.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.coding.base import DecodeStatus
from lad_mpi.compression.base import Rejection
from lad_mpi.metrics import names
from lad_mpi.types import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Root attribute ``format`` of every log.
FORMAT = "lad_mpi-log"

#: Root attribute ``format_version`` of new logs.
VERSION = 3

#: Readable versions. Version 2 has ``name`` instead of ``names`` and ``spec_hash`` instead
#: of ``identity``, and no ``data_digest``.
READABLE = (2, 3)

#: Values of the root attribute ``status``. All but the first are final.
STATUSES = ("running", "complete", "interrupted", "failed")

#: Reasons to refuse a message, in the order of the log.
REASONS = tuple(reason.name.lower() for reason in Rejection if reason != Rejection.NONE)

#: Default number of warm-up iterations.
WARMUP_ITERATIONS = 10

#: The phase in which devices simulate attacks. It is not training time.
ATTACK_PHASE = "attack"

_TEXTS = ("format", "uuid", "status", "failure", "spec", "created")

#: Root attributes with a text, by version.
TEXT_ATTRIBUTES = {
    2: (*_TEXTS, "name", "spec_hash"),
    3: (*_TEXTS, "identity", "data_digest"),
}

#: Root attributes with a list of texts, by version.
LIST_ATTRIBUTES: dict[int, tuple[str, ...]] = {2: (), 3: ("names", "packages")}

#: Fill value of the iteration scale.
NO_ITERATION = -1


@dataclass(frozen=True, slots=True)
class Variable:
    """One dataset of the file.

    Parameters
    ----------
    name : str
        Name within its group.
    dtype : str
        ``"float64"``, ``"int64"`` or ``"str"``; empty if it depends on the run.
    units : str
        Units as UDUNITS spells them; ``"1"`` for a dimensionless number.
    long_name : str
        Description, for example for axes of figures.
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

#: Metrics of a model.
MODEL_METRICS = (
    Metric(names.LOSS, "1", "global loss F(x)", "lower"),
    Metric(names.GRADIENT_NORM, "1", "norm of the true gradient of F", "lower"),
    Metric(names.DISTANCE_TO_OPTIMUM, "1", "distance of the model to the optimum", "lower"),
)

#: Metrics of an iteration, at the model before its update.
STEP_METRICS = (
    *MODEL_METRICS,
    Metric(
        names.AGGREGATION_ERROR, "1", "norm of the aggregate minus the true gradient of F", "lower"
    ),
    Metric(names.BETA_SQUARED, "1", "mean squared deviation of the subset gradients"),
    Metric(names.HONEST_DISPERSION, "1", "mean squared deviation of the honest messages"),
    Metric(
        names.HONEST_DISPERSION_PREDICTED,
        "1",
        "expected mean squared deviation of the honest messages",
    ),
)

#: Counts in ``/metrics`` with the axis iteration; every log has them.
COUNTS = (
    Variable(names.MESSAGES_REJECTED, "int64", "1", "messages refused by the server"),
    Variable(
        names.DECODER_STATUS,
        "int64",
        "1",
        "outcome of the decoder",
        {
            "flag_values": np.array([int(status) for status in DecodeStatus], dtype=np.int64),
            "flag_meanings": " ".join(status.name.lower() for status in DecodeStatus),
        },
    ),
)

#: Dataset in ``/metrics`` with the axes (iteration, reason).
REFUSALS = Variable("refusals", "int64", "1", "messages refused by the server, by reason")

#: Dataset in ``/timing`` with the axes (iteration, rank, phase); NaN if a rank does not
#: have a phase.
SECONDS = Variable("seconds", "float64", "s", "time spent in the phase")

#: Datasets in ``/traffic`` with the axis iteration.
TRAFFIC = (
    Variable(names.UPLINK_BYTES, "int64", "bytes", "bytes sent from devices to the server"),
    Variable(names.DOWNLINK_BYTES, "int64", "bytes", "bytes sent from the server to devices"),
)

#: Dataset in ``/state``: the model after the last update. The group also has the metrics of
#: the model.
MODEL = Variable("model", "", "1", "final model")


def variable_of(metric: Metric) -> Variable:
    """Return the dataset of a metric; it is NaN in iterations that were not evaluated.

    Its attribute ``better`` is ``"lower"`` or ``"higher"`` if the metric has a better
    direction, so readers need no list of metrics.
    """
    attributes = {"better": metric.better} if metric.better else {}
    return Variable(metric.name, "float64", metric.units, metric.long_name, attributes)
