"""Running one law outside pytest, to see it fail."""

import itertools

import pytest

from lad_mpi.conformance import LawBrokenError


def _cases(suite, law):
    """Yield the calls that pytest would make of one law."""
    method = getattr(suite, f"test_{law}")
    axes = []
    for mark in getattr(method, "pytestmark", []):
        names, values = mark.args
        names = names.split(",") if isinstance(names, str) else names
        tuples = values if len(names) > 1 else [(value,) for value in values]
        axes.append([dict(zip(names, value, strict=True)) for value in tuples])
    for chosen in itertools.product(*axes):
        parameters = {key: value for part in chosen for key, value in part.items()}
        yield lambda parameters=parameters: method(suite(), **parameters)


def _complaint(suite, law):
    """What a law says of a component that breaks it; nothing where it keeps it."""
    try:
        for call in _cases(suite, law):
            call()
    except LawBrokenError as error:
        return str(error)
    return ""


@pytest.fixture
def complaint():
    return _complaint
