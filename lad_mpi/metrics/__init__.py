"""Measures of a run: how far gradients, messages and models lie apart."""

from lad_mpi.metrics.spread import dispersion
from lad_mpi.metrics.vectors import distance, norm

__all__ = ["dispersion", "distance", "norm"]
