"""Docstrings of all sorts are read without complaint."""

from dataclasses import dataclass

import pytest

from lad_mpi.cli import numpydoc


class Full:
    r"""What it is,
    on two lines.

    More words.

    Parameters
    ----------
    num_byzantine, size : int
        Two of them,
        with :math:`x_i` and ``code``.
    scale : float, optional
        One.

    Notes
    -----
    See :class:`~lad_mpi.attacks.Ipm`.

    .. math:: a = b

    .. math::

        c = d

    References
    ----------
    .. [1] First, "Title over
       two lines", arXiv:1234.56789.
    .. [2] Second, "Another" (doi:10.1007/abc-1)
    Third, "Last"
    """


class Plain:
    """Only this."""


class Lines:
    """Refs by lines.

    References
    ----------
    A, "One", arXiv:1234.5678.
    B, "Two",
    doi:10.1/x.

    C, "Three", 1990
    """


@dataclass
class Silent:
    number: int = 1


class Odd:
    """Odd.

    Parameters
    ----------

    References
    ----------
    """


def test_a_full_docstring():
    read = numpydoc.read_docstring(Full)
    assert read.summary == "What it is, on two lines."
    assert read.parameters == {
        "num_byzantine": "Two of them, with x_i and code.",
        "size": "Two of them, with x_i and code.",
        "scale": "One.",
    }
    assert read.notes == "See Ipm.\n\n    a = b\n\n    c = d"
    assert read.references[0] == 'First, "Title over two lines", arXiv:1234.56789.'
    assert read.links == ("arXiv:1234.56789", "doi:10.1007/abc-1")


def test_references_by_lines():
    read = numpydoc.read_docstring(Lines)
    assert read.references == (
        'A, "One", arXiv:1234.5678.',
        'B, "Two", doi:10.1/x.',
        'C, "Three", 1990',
    )
    assert read.links == ("arXiv:1234.5678", "doi:10.1/x")


@pytest.mark.parametrize(("cls", "summary"), [(Plain, "Only this."), (Silent, ""), (Odd, "Odd.")])
def test_what_is_absent_is_empty(cls, summary):
    assert numpydoc.read_docstring(cls) == numpydoc.Documentation(summary, {}, "", ())
