"""Which lines share axes, and what they are called there."""

from __future__ import annotations

from analysis import style
from analysis.figures.panels import MOST_LINES, MOST_PANELS, Line, arrange


def line(label, *, rule="r", load=None, setting="", data="", rank=1.0):
    return Line(label, data, setting, rule, load, rank)


def names(arrangement):
    return {panel.title: list(panel.names.values()) for panel in arrangement.panels}


def grid(rules, loads, settings=("",)):
    return [
        line(f"{s}{r}{d}", rule=f"rule {r}", load=d, setting=s)
        for s in settings
        for r in range(rules)
        for d in loads
    ]


def test_few_lines_share_one_panel_under_their_own_names():
    found = arrange(grid(3, (1, 2, 5)))
    assert list(names(found)) == [""]
    assert len(found.styles) == 9
    assert len({(look.color, look.line) for look in found.styles.values()}) == 9


def test_many_loads_have_a_panel_a_rule_and_a_colour_a_load():
    found = arrange([*grid(10, (1, 2, 5, 10, 20, 41)), line("DRACO", rule="draco")])
    loads = [f"d = {load}" for load in (1, 2, 5, 10, 20, 41)]
    assert names(found) == {
        "draco": ["load set by the code"], **{f"rule {r}": loads for r in range(10)},
    }  # fmt: skip
    assert len(found.styles) == 7
    assert all(len(panel.names) + len(panel.others) == 61 for panel in found.panels)
    assert found.left_out == ()


def test_settings_have_panels_of_their_own_unless_each_has_one_line():
    found = arrange(grid(2, (1, 2, 5), ("f = 1", "f = 2", "f = 10")))
    assert list(names(found)) == ["f = 1", "f = 2", "f = 10"]
    assert names(found)["f = 2"] == [f"rule {r}, d = {d}" for r in range(2) for d in (1, 2, 5)]
    found = arrange([line("a f=1", setting="f = 1"), line("b", setting="f = 2")])
    assert names(found) == {"": ["a f=1", "b, f = 2"]}


def test_data_never_share_axes():
    found = arrange([line("a", data="x", setting="x"), line("b", data="y", setting="y")])
    assert list(names(found)) == ["x", "y"]
    assert [panel.others for panel in found.panels] == [(), ()]
    assert not found.one_data


def test_the_best_are_named_where_nothing_else_helps():
    lines = [line(f"m{n}", rule=f"rule {n}", rank=float(100 - n)) for n in range(60)]
    found = arrange(lines)
    assert sorted(found.styles) == [f"m{n}" for n in range(48, 60)]
    assert len(found.left_out) == 48
    (panel,) = found.panels
    assert sorted(panel.others) == sorted(found.left_out)
    many = [line(f"m{n}", rule=f"r{n}", setting=f"s{n}", rank=float(n)) for n in range(60)]
    found = arrange(many)
    assert len(found.panels) <= MOST_PANELS
    assert len(found.styles) == MOST_LINES


def test_a_line_counts_as_good_as_it_is_in_its_worst_panel():
    ranks = {"safe": (2.0, 2.0), "lucky": (0.0, 9.0)}
    ranks |= {f"m{n}": (3.0 + n / 100, 3.0) for n in range(40)}
    lines = [
        line(f"{rule} {setting}", rule=rule, setting=f"f = {setting}", rank=rank)
        for rule, pair in ranks.items()
        for setting, rank in enumerate(pair)
    ]
    found = arrange(lines)
    assert sorted(found.styles) == sorted(["safe", *(f"m{n}" for n in range(11))])
    assert {"lucky 0", "lucky 1"} <= set(found.left_out)


def test_styles_are_distinct_and_do_not_depend_on_order():
    keys = [(f"rule {number}", None) for number in range(28)]
    styles = style.line_styles(keys)
    assert styles == style.line_styles(reversed(keys))
    assert len({(look.color, look.line) for look in styles.values()}) == 28
    loads = [("", load) for load in (1, 2, 5, 10)]
    assert len({look.color for look in style.line_styles(loads).values()}) == 4
