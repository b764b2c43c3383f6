"""Losses of predictions and their derivatives, shared by the models."""

from __future__ import annotations

from lad_mpi.types import Metric

LOSS = Metric("loss", "1", "loss", "lower")
ACCURACY = Metric("accuracy", "1", "fraction of samples classified correctly", "higher")
