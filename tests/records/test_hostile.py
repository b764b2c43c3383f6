"""Records that anybody may have written: one message, or values that every command can take."""

import dataclasses
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lad_mpi.errors import LogFormatError, UsageError
from lad_mpi.records import (
    Baseline,
    Quantity,
    ScalingCase,
    ScalingLaunch,
    ScalingRecord,
    compare_baselines,
    read_baseline,
    read_scaling,
    write_baseline,
    write_scaling,
)

CASE = ScalingCase("p2", 2, {"coding.load": 3}, 1.0, "specs/a.toml", "hash", "reference/a.h5")
RECORD = ScalingRecord(
    "strong", "n", "nothing grows", "p2", [2], {"coding.load": [3]}, 5, 1, None, ["mpiexec"],
    [CASE], [ScalingLaunch("p2", 1, 1, "logs/p2-1.h5", ["mpiexec"], 0.5, "it\nfailed")],
    {"2": {"before": "b.json"}}, ["the machine drifted"],
)  # fmt: skip
BASELINE = Baseline(
    "2026-01-01", True, 2, False, {"hosts": ["a", "a"], "cpu_model": "x"},
    (Quantity("gather", "s", (2e-6, 4e-6, 1.0), 10), Quantity("gather", "s", (1.0,), 0)),
)  # fmt: skip
#: Where in scaling.json files are named.
FILES = [
    ("cases", 0, "spec"),
    ("cases", 0, "reference"),
    ("launches", 0, "log"),
    ("baselines", "2", "before"),
]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(),
    st.just([]), st.just({}), st.just([[]]), st.just("x" * 10**5), st.just({"a": {"b": 1}}),
)  # fmt: skip


def inner(document, place):
    for part in place:
        document = document[part]
    return document


def places(document, place=()):
    """Yield where every value of a document is."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*place, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*place, key))


@pytest.mark.parametrize("place", FILES, ids=lambda place: ".".join(map(str, place)))
@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../a.h5", "logs/../../a.h5", "a\nb", "a\x1b[2J", "", ".", "a\x00", 3]
)
def test_files_are_in_the_folder_of_their_record(tmp_path, place, name):
    path = write_scaling(tmp_path, RECORD)
    document = json.loads(path.read_text())
    inner(document, place[:-1])[place[-1]] = name
    path.write_text(json.dumps(document))
    with pytest.raises(LogFormatError, match=rf"{'.'.join(map(str, place))}: "):
        read_scaling(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": "p9"}, "it has no case 'p9'"),
        ({"launches": [dataclasses.replace(RECORD.launches[0], case="p9")]}, "no case 'p9'"),
        ({"cases": [CASE, CASE]}, "two cases have the same name"),
        ({"cases": []}, "it has no case 'p2'"),
        ({"baselines": {"x": {}}}, "baselines.x"),
        ({"ranks": [10**10]}, "ranks.0"),
        ({"ranks": [2.5]}, "ranks.0"),
        ({"ranks": [True]}, "ranks.0"),
        ({"over": {"coding.load": [1e300]}}, "over.coding.load.0"),
        ({"kind": "other"}, "kind"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(tmp_path, change, message):
    path = write_scaling(tmp_path, dataclasses.replace(RECORD, **change))
    with pytest.raises(LogFormatError, match=message):
        read_scaling(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_record_with_any_value_is_refused_or_can_be_used(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("r")
    write, read, record = data.draw(
        st.sampled_from(
            [
                (lambda: write_scaling(folder, RECORD), read_scaling, RECORD),
                (lambda: write_baseline(folder / "b.json", BASELINE), read_baseline, BASELINE),
            ]
        )
    )
    path = write() or folder / "b.json"
    document = json.loads(path.read_text())
    place = data.draw(st.sampled_from(list(places(document))))
    inner(document, place[:-1])[place[-1]] = data.draw(VALUES)
    path.write_text(json.dumps(document))
    try:
        found = read(path)
    except (LogFormatError, UsageError) as error:
        assert len(str(error)) < 2000  # noqa: PT017
        return
    if record is RECORD:
        assert all(found.case(launch.case) for launch in found.launches)
        write_scaling(folder, found)
        return
    for quantity in found.quantities:
        assert all(found.at(quantity.name, size) > 0 for size in (0, 1, 5.0, 1e18))
        assert quantity.quartiles[0] <= quantity.quartiles[1]
    try:
        compare_baselines(BASELINE, found)
    except UsageError as error:
        assert len(str(error)) < 2000  # noqa: PT017


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ' * 10**5,
        "[" * 10**5,
        '{"a": NaN}',
        '{"a": 1e400}',
        '{"a": ' + "9" * 10**5 + "}",
        '{"format": "lad_mpi-scaling", "format_version": 2, "kind": ' + "[" * 500 + "]" * 500 + "}",
    ],
)
def test_odd_json_is_refused(tmp_path, text):
    (tmp_path / "scaling.json").write_text(text)
    with pytest.raises(LogFormatError, match=r"scaling\.json is"):
        read_scaling(tmp_path)


def test_only_regular_files_of_some_size_are_read(tmp_path):
    path = tmp_path / "b.json"
    os.mkfifo(path)
    with pytest.raises(UsageError, match="not a regular file"):
        read_baseline(path)
    path.unlink()
    with path.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(UsageError, match="larger than 8388608 bytes"):
        read_baseline(path)


def test_a_large_list_of_errors_takes_no_memory(tmp_path):
    path = tmp_path / "scaling.json"
    write_scaling(tmp_path, RECORD)
    document = json.loads(path.read_text())
    for key in ("cases", "launches", "ranks", "void", "launcher"):
        path.write_text(json.dumps({**document, key: [{}] * 10**6}))
        with pytest.raises(LogFormatError, match=rf"damaged or incomplete: {key}\.0"):
            read_scaling(tmp_path)
