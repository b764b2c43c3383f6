"""The range in a type is the range that is checked, shown and written to the schema."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt, MultipleOf, Unit
from pydantic import TypeAdapter, ValidationError

from lad_mpi.coding import DracoCyclicReal, DracoRepetition
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import (
    Count,
    Example,
    Finite,
    NotNegative,
    Positive,
    Seconds,
    bounds_of,
    check_parameters,
    choices_of,
    examples_of,
    is_exactly,
    unit_of,
)


@dataclass(frozen=True, slots=True)
class Anything:
    count: Count = 1
    maybe: Annotated[Count | None, Example(3)] = None
    share: Annotated[float, Ge(0), Lt(1)] = 0.5
    angle: Annotated[float, Gt(0), Le(180), Unit("degree")] = 90.0
    wait: Seconds = 1.0
    step: Positive = 1.0
    shift: Finite = 0.0
    size: NotNegative = 0.0
    bucket: Annotated[int, Ge(8), MultipleOf(8)] | None = None
    column: Annotated[bool | str | int | None, Ge(1)] = None
    way: Literal["up", "down"] = "up"
    other_way: Literal["up", "down"] | None = None

    def __post_init__(self):
        check_parameters(self)


REFUSED = {
    "below": ("count", 0, "must be at least 1, not 0"),
    "far above": ("count", 2**31, "must be at most 2147483647, not 2147483648"),
    "below, in a union": ("maybe", 0, "must be at least 1, not 0"),
    "the open end": ("share", 1.0, "must be below 1, not 1.0"),
    "the other open end": ("angle", 0.0, "must be above 0, not 0.0"),
    "above": ("angle", 180.5, "must be at most 180, not 180.5"),
    "negative": ("wait", -1.0, "must be at least 0, not -1.0"),
    "infinite": ("step", math.inf, "must be finite, not inf"),
    "NaN": ("step", math.nan, "must be finite, not nan"),
    "minus infinity": ("shift", -math.inf, "must be finite, not -inf"),
    "not a multiple": ("bucket", 12, "must be a multiple of 8, not 12"),
    "a number among texts": ("column", 0, "must be at least 1, not 0"),
    "another word": ("way", "left", "must be 'up' or 'down', not 'left'"),
    "another word, in a union": ("other_way", "left", "must be 'up' or 'down', not 'left'"),
}


@pytest.mark.parametrize(("field", "value", "message"), REFUSED.values(), ids=REFUSED)
def test_a_value_out_of_range_is_refused_by_its_field(field, value, message):
    with pytest.raises(ParameterError) as caught:
        Anything(**{field: value})
    assert (caught.value.parameter, caught.value.message) == (field, message)


@pytest.mark.parametrize(
    "values",
    [
        {"count": 2**31 - 1, "maybe": 1, "share": 0.0, "angle": 180.0, "wait": 0.0},
        {"column": "name"},
        {"bucket": 24},
        {"column": False},
        {"other_way": "down", "size": 0.0, "shift": -1e300},
    ],
)
def test_a_value_in_range_is_accepted(values):
    assert Anything(**values)


def test_a_type_tells_its_range_unit_and_examples():
    assert [str(bound) for bound in bounds_of(Annotated[float, Ge(0), Lt(1)])] == [
        "at least 0",
        "below 1",
    ]
    assert unit_of(Seconds) == "s"
    assert unit_of(Count) == ""
    assert examples_of(Annotated[Count | None, Example(3)]) == [3]
    assert choices_of(Literal["up", "down"] | None) == ("up", "down")


@pytest.mark.parametrize("code", [DracoCyclicReal, DracoRepetition])
def test_a_code_without_a_load_is_refused(code):
    with pytest.raises(ParameterError, match="load: must be at least 1, not 0"):
        code(0)


TYPES = (
    bool,
    int,
    float,
    str,
    float | None,
    str | int | None,
    bool | str | None,
    tuple[int, ...],
    tuple[str, ...] | None,
    Literal["up", "down"],
    Literal["up", "down"] | None,
)
VALUES = (True, 0, 1, 2, 1.0, 0.5, "up", "", None, (), (1, 2), (1, "up"), (True,), [1], {"up": 1})


@pytest.mark.parametrize("hint", TYPES, ids=str)
def test_a_value_of_exactly_a_type_is_what_pydantic_returns_unchanged(hint):
    adapter, accepted = TypeAdapter(hint), 0
    for value in VALUES:
        if is_exactly(value, hint):
            found = adapter.validate_python(value, strict=True)
            assert (type(found), found) == (type(value), value)
            accepted += 1
            continue
        # Otherwise pydantic refuses the value, or converts an integer.
        try:
            found = adapter.validate_python(value, strict=True)
        except ValidationError:
            continue
        assert type(value) is int
        assert type(found) is float
    assert accepted
