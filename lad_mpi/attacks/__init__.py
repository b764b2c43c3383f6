"""Attacks: what Byzantine devices send instead of their own vectors or messages."""

from lad_mpi.attacks.alie import Alie
from lad_mpi.attacks.base import (
    AttackContext,
    DataAttack,
    Envelope,
    LocalAttack,
    OmniscientAttack,
    StatefulAttack,
    WireAttack,
)
from lad_mpi.attacks.gaussian import Gaussian
from lad_mpi.attacks.inf import Inf
from lad_mpi.attacks.ipm import Ipm
from lad_mpi.attacks.label_flip import LabelFlip
from lad_mpi.attacks.mimic import Mimic, MimicFixed
from lad_mpi.attacks.min_max import MinMax, MinSum
from lad_mpi.attacks.mutate import Mutate
from lad_mpi.attacks.nan import Nan
from lad_mpi.attacks.none import NoAttack
from lad_mpi.attacks.optimal import OptimalAlie, OptimalIpm
from lad_mpi.attacks.random_bytes import RandomBytes
from lad_mpi.attacks.sign_flip import SignFlip
from lad_mpi.attacks.zero import Zero

#: Every attack of the suite by the name that a spec uses.
ATTACKS: dict[str, type[LocalAttack | OmniscientAttack | DataAttack | WireAttack]] = {
    "none": NoAttack,
    "sign_flip": SignFlip,
    "gaussian": Gaussian,
    "zero": Zero,
    "nan": Nan,
    "inf": Inf,
    "ipm": Ipm,
    "alie": Alie,
    "optimal_ipm": OptimalIpm,
    "optimal_alie": OptimalAlie,
    "min_max": MinMax,
    "min_sum": MinSum,
    "mimic": Mimic,
    "mimic_fixed": MimicFixed,
    "label_flip": LabelFlip,
    "random_bytes": RandomBytes,
    "mutate": Mutate,
}

__all__ = [
    "ATTACKS",
    "Alie",
    "AttackContext",
    "DataAttack",
    "Envelope",
    "Gaussian",
    "Inf",
    "Ipm",
    "LabelFlip",
    "LocalAttack",
    "Mimic",
    "MimicFixed",
    "MinMax",
    "MinSum",
    "Mutate",
    "Nan",
    "NoAttack",
    "OmniscientAttack",
    "OptimalAlie",
    "OptimalIpm",
    "RandomBytes",
    "SignFlip",
    "StatefulAttack",
    "WireAttack",
    "Zero",
]
