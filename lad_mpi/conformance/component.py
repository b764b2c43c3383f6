"""What components of all families have to be."""

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
        """Return a component with parameters of no importance."""
        raise NotImplementedError

    def test_contract(self) -> None:
        """It offers what its family asks for, with the parameters that the suite passes.

        That goes for optional protocols too: who offers a part of one has to offer it all.
        """
        assert not FAMILIES[self.family].complaints(self.subject)

    def test_frozen(self) -> None:
        """A component is a frozen value: equal to and hashed as another of equal parameters.

        It is part of the run's description, from which the run's identity is made.
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
        """A spec can state it: it has a kind, and every default is of its parameter's type.

        The reader of specs checks values against the annotated types, so these must
        be importable when the program runs, and not under TYPE_CHECKING alone.
        """
        assert isinstance(self.subject.kind, str)
        assert self.subject.kind
        hints = typing.get_type_hints(self.subject)
        for field in dataclasses.fields(self.subject):
            if field.init and field.default is not dataclasses.MISSING:
                check_type(hints[field.name], field.default, field.name)

    def test_misspelt(self) -> None:
        """A parameter that does not exist is refused.

        Elsewhere a misspelt number of faults has switched a defence off unnoticed.
        """
        names = field_names(self.subject)
        for misspelt in {f"{name}s" for name in [*names, INJECTED]} - set(names):
            with pytest.raises(TypeError, match=misspelt):
                self.subject(**{misspelt: 2})


def moves_no_global_generator(call: Callable[[], Any]) -> None:
    """Check that a result depends on no global generator, and leaves them as they were."""
    results = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002  (the global one is what is watched)
        before = _global_states()
        results.append(np.asarray(call()))
        assert _global_states() == before, "it draws from or seeds a global generator"
    np.testing.assert_array_equal(results[0], results[1])


def _global_states() -> tuple[Any, str]:
    # As text, because the arrays in it have no truth value.
    return random.getstate(), repr(np.random.get_state(legacy=True))  # noqa: NPY002
