"""Laws that every component must keep, as tests that other packages can run.

One line in a test file runs all tests of the suite's own rules on another rule::

    from lad_mpi import conformance
    from mylab import HalfMean

    TestHalfMean = conformance.rule(HalfMean)

There is such a function for each family of components. All have these parameters:

* ``cls``: the component.
* ``without``: names of laws that it need not keep, ``without={"translation"}``. An unknown
  name raises a :class:`~lad_mpi.errors.ParameterError`.
* ``make``: a function that builds the component, if its parameters have no defaults or the
  defaults do not fit.

They return a class. Assign it to a name ``Test…``, or derive from it. A law is a method
``test_<law>``, which pytest runs and selects by ``-k``. Its docstring says what must hold and
why. Laws of optional protocols that a component does not implement are left out.
This package imports pytest and hypothesis, and nothing in the suite imports it.
"""

import pytest

# Before they are imported: failures then show the values in an assertion.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "aggregation",
            "attacks",
            "codecs",
            "codes",
            "component",
            "data",
            "models",
            "optimizers",
            "pre_aggregations",
            "rules",
        )
    )
)

from lad_mpi.conformance.attacks import attack  # noqa: E402
from lad_mpi.conformance.codecs import codec  # noqa: E402
from lad_mpi.conformance.codes import code  # noqa: E402
from lad_mpi.conformance.data import data  # noqa: E402
from lad_mpi.conformance.models import model  # noqa: E402
from lad_mpi.conformance.optimizers import optimizer  # noqa: E402
from lad_mpi.conformance.pre_aggregations import pre_aggregation  # noqa: E402
from lad_mpi.conformance.rules import rule  # noqa: E402
from lad_mpi.conformance.suite import LawBrokenError, laws  # noqa: E402

__all__ = [
    "LawBrokenError",
    "attack",
    "code",
    "codec",
    "data",
    "laws",
    "model",
    "optimizer",
    "pre_aggregation",
    "rule",
]
