"""Specs: TOML in, frozen components out, and back."""

from lad_mpi.spec.components import FAMILIES, Family
from lad_mpi.spec.dump import to_mapping, to_toml
from lad_mpi.spec.identity import UNREADABLE_DATA, Identity, flatten, identify, identity_of
from lad_mpi.spec.load import is_study, load_spec, parse_toml_spec, read_toml, set_dotted
from lad_mpi.spec.model import BackendChoice, Devices, Logging, NetworkChoice, Optimizer, Spec
from lad_mpi.spec.packages import component_packages
from lad_mpi.spec.parse import (
    check_data,
    check_dimension,
    default_kinds,
    parse_component,
    parse_devices,
    parse_spec,
)

__all__ = [
    "FAMILIES",
    "UNREADABLE_DATA",
    "BackendChoice",
    "Devices",
    "Family",
    "Identity",
    "Logging",
    "NetworkChoice",
    "Optimizer",
    "Spec",
    "check_data",
    "check_dimension",
    "component_packages",
    "default_kinds",
    "flatten",
    "identify",
    "identity_of",
    "is_study",
    "load_spec",
    "parse_component",
    "parse_devices",
    "parse_spec",
    "parse_toml_spec",
    "read_toml",
    "set_dotted",
    "to_mapping",
    "to_toml",
]
