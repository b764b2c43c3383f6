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
from lad_mpi.attacks.mimic import Mimic
from lad_mpi.attacks.mutate import Mutate
from lad_mpi.attacks.nan import Nan
from lad_mpi.attacks.none import NoAttack
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
    "mimic": Mimic,
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
    "LocalAttack",
    "Mimic",
    "Mutate",
    "Nan",
    "NoAttack",
    "OmniscientAttack",
    "RandomBytes",
    "SignFlip",
    "StatefulAttack",
    "WireAttack",
    "Zero",
]
