"""Laws that every component must keep, as tests that any package can run over its own.

One line in a test file puts a rule through all the tests that the suite's own
rules go through::

    from lad_mpi import conformance
    from mylab import HalfMean

    TestHalfMean = conformance.rule(HalfMean)

There is such a function for each family of components. All take

* ``cls``, the component;
* ``without``, names of laws that it need not keep: ``without={"translation"}``. A
  name that no law has is refused by a :class:`~lad_mpi.errors.ParameterError`;
* ``make``, which makes a component to be tested where its parameters have no
  defaults, or where those do not fit.

What comes back is a class, to be assigned to a name ``Test…`` or derived from. A
law is its method ``test_<law>``, so pytest runs it, names it, and selects it by
``-k``. Its docstring says what must hold and why. Laws of what a component does
not offer, such as a state, are left out.
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
            "pre_aggregations",
            "problems",
            "rules",
        )
    )
)

from lad_mpi.conformance.attacks import attack  # noqa: E402
from lad_mpi.conformance.codecs import codec  # noqa: E402
from lad_mpi.conformance.codes import code  # noqa: E402
from lad_mpi.conformance.pre_aggregations import pre_aggregation  # noqa: E402
from lad_mpi.conformance.problems import problem  # noqa: E402
from lad_mpi.conformance.rules import rule  # noqa: E402
from lad_mpi.conformance.suite import LawBrokenError, laws  # noqa: E402

__all__ = [
    "LawBrokenError",
    "attack",
    "code",
    "codec",
    "laws",
    "pre_aggregation",
    "problem",
    "rule",
]
