"""Laws of components of all families."""

from __future__ import annotations

import dataclasses
import random
import typing
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from lad_mpi.conformance.suite import Laws
from lad_mpi.spec import FAMILIES, INJECTED, check_type, field_names

if TYPE_CHECKING:
    from collections.abc import Callable


class ComponentLaws(Laws):
    """Laws of a frozen description that a spec can state.

    Attributes
    ----------
    family : str
        Its family's name in :data:`lad_mpi.spec.FAMILIES`.
    """

    family: ClassVar[str]

    def example(self) -> Any:
        """Return a component with any parameters."""
        raise NotImplementedError

    def test_contract(self) -> None:
        """It implements the protocol of its family, with the parameters that the suite passes.

        If it has a part of an optional protocol, it has all of it.
        """
        assert not FAMILIES[self.family].complaints(self.subject)

    def test_frozen(self) -> None:
        """Components with equal parameters are equal and have equal hashes, and are frozen.

        They are part of the identity of a run.
        """
        component = self.example()
        assert dataclasses.is_dataclass(self.subject)
        assert component == dataclasses.replace(component)
        assert hash(component) == hash(dataclasses.replace(component))
        for field in dataclasses.fields(component):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(component, field.name, None)
        with pytest.raises((AttributeError, TypeError)):
            component.misspelt_parameter = 0

    def test_spec(self) -> None:
        """A spec can describe it: it has a kind, and every default has its parameter's type.

        The spec reader checks values against the annotated types. These must be imported at
        run time, not only under TYPE_CHECKING.
        """
        assert isinstance(self.subject.kind, str)
        assert self.subject.kind
        hints = typing.get_type_hints(self.subject)
        for field in dataclasses.fields(self.subject):
            if field.init and field.default is not dataclasses.MISSING:
                check_type(hints[field.name], field.default, field.name)

    def test_misspelt(self) -> None:
        """An unknown parameter is refused.

        Otherwise a misspelt number of faults could switch off a defence silently.
        """
        names = field_names(self.subject)
        for misspelt in {f"{name}s" for name in [*names, INJECTED]} - set(names):
            with pytest.raises(TypeError, match=misspelt):
                self.subject(**{misspelt: 2})


def moves_no_global_generator(call: Callable[[], Any]) -> None:
    """Check that a result neither depends on global generators nor changes them."""
    results = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002  (the check needs the global one)
        before = _global_states()
        results.append(np.asarray(call()))
        assert _global_states() == before, "it draws from or seeds a global generator"
    np.testing.assert_array_equal(results[0], results[1])


def _global_states() -> tuple[Any, str]:
    # As text, because the arrays in it have no truth value.
    return random.getstate(), repr(np.random.get_state(legacy=True))  # noqa: NPY002
