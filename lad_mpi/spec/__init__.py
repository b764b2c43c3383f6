"""Specs: TOML in, frozen components out, and back."""

from lad_mpi.spec.build import INJECTED, build, check_type, field_names, listing, suggestion
from lad_mpi.spec.document import (
    apply_override,
    is_study,
    load_spec,
    parse_toml_spec,
    parse_value,
    read_toml,
    set_dotted,
    to_mapping,
    to_toml,
)
from lad_mpi.spec.families import FAMILIES, Family
from lad_mpi.spec.identity import (
    UNREADABLE_DATA,
    Identity,
    component_packages,
    flatten,
    identify,
    identity_of,
)
from lad_mpi.spec.model import BackendChoice, Devices, Logging, NetworkChoice, Spec
from lad_mpi.spec.parse import (
    build_model,
    check_dimension,
    default_kinds,
    parse_component,
    parse_devices,
    parse_spec,
)
from lad_mpi.spec.where import Where, check_key, parse_where, spec_facts

__all__ = [
    "FAMILIES",
    "INJECTED",
    "UNREADABLE_DATA",
    "BackendChoice",
    "Devices",
    "Family",
    "Identity",
    "Logging",
    "NetworkChoice",
    "Spec",
    "Where",
    "apply_override",
    "build",
    "build_model",
    "check_dimension",
    "check_key",
    "check_type",
    "component_packages",
    "default_kinds",
    "field_names",
    "flatten",
    "identify",
    "identity_of",
    "is_study",
    "listing",
    "load_spec",
    "parse_component",
    "parse_devices",
    "parse_spec",
    "parse_toml_spec",
    "parse_value",
    "parse_where",
    "read_toml",
    "set_dotted",
    "spec_facts",
    "suggestion",
    "to_mapping",
    "to_toml",
]
