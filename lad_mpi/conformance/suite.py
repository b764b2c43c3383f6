"""Classes of tests from laws, and the report of a broken law."""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest

from lad_mpi.errors import ParameterError
from lad_mpi.spec import listing, suggestion
from lad_mpi.spec.contracts import offers_all_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_PREFIX = "test_"


class LawBrokenError(AssertionError):
    """A component breaks a law. The message states the law and the failure."""


class Laws:
    """Base of the suites of all families: a method ``test_x`` is the law ``x``.

    Attributes
    ----------
    subject : type
        The class of the tested component.
    """

    subject: ClassVar[type[Any]]


Suite = TypeVar("Suite", bound=Laws)


def laws(suite: type[Laws]) -> dict[str, str]:
    """Return the laws of a suite that apply, with their statements.

    Parameters
    ----------
    suite : type
        A class of tests, as made by :func:`lad_mpi.conformance.rule` and its like.

    Returns
    -------
    dict of str to str
        Name and statement, the first paragraph of the method's docstring.
    """
    return {
        name.removeprefix(_PREFIX): _statement(method)
        for name, method in inspect.getmembers(suite, callable)
        if name.startswith(_PREFIX)
    }


def make_suite(
    family: type[Suite],
    subject: type[Any],
    without: Collection[str],
    optional: Mapping[str, type[Any]],
    inapplicable: Collection[str] = (),
    **attributes: Any,
) -> type[Suite]:
    """Make the class of tests of one component.

    Parameters
    ----------
    family : type
        The laws of its family.
    subject : type
        The component.
    without : collection of str
        Names of laws that it need not keep.
    optional : mapping of str to type
        Laws of optional protocols, with the protocol.
    inapplicable : collection of str
        Names of other laws that do not apply to the component.
    **attributes
        Further attributes of the class, which the laws use.

    Returns
    -------
    type
        A subclass of ``family`` for pytest to collect under a name ``Test…``.

    Raises
    ------
    ParameterError
        A name in ``without`` is not a law.
    """
    if isinstance(without, str):
        raise ParameterError("without", f"must be a set of names, as {{{without!r}}}")
    known = laws(family)
    for law in without:
        if law not in known:
            raise ParameterError(
                "without", f"unknown law {law!r}{suggestion(law, known)}; known: {listing(known)}"
            )
    absent = {law for law, protocol in optional.items() if not offers_all_of(subject, protocol)}
    # An attribute that is None hides the method of the base from pytest.
    methods = {
        _PREFIX + law: None
        if law in {*without, *inapplicable, *absent}
        else _reporting(family, law, statement)
        for law, statement in known.items()
    }
    contents = {"__doc__": family.__doc__, "subject": subject, **attributes, **methods}
    return type(f"Test{subject.__name__}", (family,), contents)


def _reporting(family: type[Laws], law: str, statement: str) -> Callable[..., None]:
    """Wrap a law so that its failure states it, and numerical warnings are failures."""
    method = getattr(family, _PREFIX + law)

    @functools.wraps(method)
    def test(self: Laws, *arguments: Any, **parameters: Any) -> None:
        __tracebackhide__ = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                method(self, *arguments, **parameters)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  (whatever it is)
            text = f"{self.subject.__name__} breaks the law {law!r}: {statement}"
            broken = LawBrokenError(f"{text}\n{type(error).__name__}: {error}")
            # Hypothesis adds the example in a note.
            for note in getattr(error, "__notes__", ()):
                broken.add_note(note)
            # Show the traceback of the law only.
            raise broken.with_traceback(error.__traceback__) from None

    return test


def _statement(method: Callable[..., object]) -> str:
    return " ".join((inspect.getdoc(method) or "").partition("\n\n")[0].split())
