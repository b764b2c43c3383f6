"""The training loop: one iteration, the states of server and devices, one run."""

from lad_mpi.training.clock import PHASE_NAMES, TRAINING_PHASES, Phase
from lad_mpi.training.outcome import Existing, NoProgress, Outcome, Progress
from lad_mpi.training.run import run_spec

__all__ = [
    "PHASE_NAMES",
    "TRAINING_PHASES",
    "Existing",
    "NoProgress",
    "Outcome",
    "Phase",
    "Progress",
    "run_spec",
]
