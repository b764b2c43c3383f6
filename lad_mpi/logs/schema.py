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

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Root attribute ``format`` of every log.
FORMAT = "lad_mpi-log"

#: Root attribute ``format_version``. A reader reads its own version and no other.
VERSION = 2

#: Values of the root attribute ``status``; all but the first end a log.
STATUSES = ("running", "complete", "interrupted", "failed")

#: Reasons for which the server refuses messages, in the order of the log.
REASONS = tuple(reason.name.lower() for reason in Rejection if reason != Rejection.NONE)

#: Iterations that are marked as warm-up unless the writer is told otherwise.
WARMUP_ITERATIONS = 10

#: The phase in which devices carry out attacks of their own; simulation, not training.
ATTACK_PHASE = "attack"

#: Root attributes that are text.
TEXT_ATTRIBUTES = (
    "format",
    "uuid",
    "status",
    "failure",
    "name",
    "spec",
    "spec_hash",
    "created",
)

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

#: Datasets of ``/metrics``, on iteration: at the iterate before the update of
#: the iteration; NaN where it was not evaluated.
METRICS = (
    Variable("loss", "float64", "1", "global loss F(x)"),
    Variable("gradient_norm", "float64", "1", "norm of the true gradient of F"),
    Variable("distance_to_optimum", "float64", "1", "distance of the model to the optimum"),
    Variable(
        "aggregation_error", "float64", "1", "norm of the aggregate minus the true gradient of F"
    ),
    Variable("beta_squared", "float64", "1", "mean squared deviation of the subset gradients"),
    Variable("honest_dispersion", "float64", "1", "mean squared deviation of the honest messages"),
    Variable(
        "honest_dispersion_predicted",
        "float64",
        "1",
        "expected mean squared deviation of the honest messages",
    ),
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

#: Datasets of ``/state``, after the last update.
MODEL = Variable("model", "", "1", "final model")
FINAL = (
    Variable("loss", "float64", "1", "global loss F of the final model"),
    Variable("gradient_norm", "float64", "1", "norm of the true gradient at the final model"),
    Variable("distance_to_optimum", "float64", "1", "distance of the final model to the optimum"),
)
