"""Costs of rules: the text is made from the terms, and says which pairs are compared."""

import doctest
import sys

import pytest

from lad_mpi.aggregation import PRE_AGGREGATIONS, RULES, Cost, Term


def test_the_examples_run():
    result = doctest.testmod(sys.modules["lad_mpi.aggregation.cost"])
    assert (result.attempted, result.failed) == (2, 0)


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (Cost(Term(Q=1)), "O(Q)"),
        (Cost(Term()), "O(1)"),
        (Cost(Term(n=1, Q=1)), "O(n Q)"),
        (Cost(Term(n=1, log_n=2, Q=1)), "O(n log² n · Q)"),
        (Cost(Term(n=1, log_n=1)), "O(n log n)"),
        (Cost(Term(n=2, Q=1), Term(f=1, n=3)), "O(n² Q + f n³)"),
        (Cost(Term(n=2, Q=1), Term(n=12, choices=1)), "O(n² Q + n¹² C(n, f))"),
        (
            Cost(Term(n=1, Q=1, steps="L"), Term(n=2, steps="T")),
            "O(L n Q + T n²), L steps, T steps",
        ),
    ],
)
def test_the_text_is_made_from_the_terms(cost, text):
    assert str(cost) == text


def test_products_of_all_pairs_are_terms_of_n_squared_and_q():
    assert not Cost(Term(n=3, choices=1), Term(n=1, Q=1)).takes_pairs
    assert Cost(Term(n=1, Q=1), Term(n=2, Q=1)).takes_pairs


def test_rules_of_the_suite_that_measure_products_of_pairs_say_so():
    members = {**RULES, **PRE_AGGREGATIONS}
    measuring = {
        kind for kind, cls in members.items() if hasattr(sys.modules[cls.__module__], "measure")
    }
    assert measuring >= {"krum", "nnm", "geometric_median"}
    assert measuring <= {kind for kind, cls in members.items() if cls.cost.takes_pairs}
