"""Lines of methods that choose their load and of those that do not."""

import pytest

from analysis.forecast import Question, forecast
from analysis.forecast.sweep import AXES, asked_setting, lines_along

LOSS = "1e9"


@pytest.fixture
def folder(write_run, tmp_path):
    """Four loads, and a repetition code whose load grows with the number of devices."""
    for load in (1, 2, 5, 10):
        write_run(f"lad{load}.h5", coding={"load": load}, seconds={"compute": 0.1 * load})
    write_run(
        "draco.h5", name="DRACO", coding={"kind": "draco_repetition"},
        aggregation=None, seconds={"compute": 0.01},
    )  # fmt: skip
    return tmp_path / "study"


def test_a_load_that_a_code_sets_is_asked_of_no_other(folder):
    question = Question(ranks=(3, 1001), target=LOSS)
    found = forecast([folder], question)
    loads = {row.method: row.workload.load for row in found.rows if row.workload.ranks == 1001}
    # The load of the code is beyond the devices that there are on few ranks.
    assert loads["draco repetition"] > 10
    setting = asked_setting(found, question)
    assert setting.load <= 10
    for axis in AXES:
        for to_target in (False, True):
            lines = lines_along(axis, found, setting, to_target=to_target)
            for line in lines:
                if axis == "load" and line.method != "draco repetition":
                    assert max(line.places) == 10


def test_a_line_ends_where_there_are_fewer_devices_than_the_load(folder):
    question = Question(ranks=(1001,), loads=(500,))
    found = forecast([folder], question)
    setting = asked_setting(found, question)
    assert setting.load == 500
    lines = {line.method: line for line in lines_along("ranks", found, setting, to_target=False)}
    assert min(lines["trimmed mean"].places) > 500
