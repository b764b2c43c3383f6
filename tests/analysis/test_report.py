import base64
import hashlib
import html.parser
import itertools
import json
import re
import shlex
import sys

import numpy as np
import pytest

from analysis.cli import main
from analysis.figures.convergence import median_curve
from analysis.keys import KeyTable
from analysis.metrics import choose_metrics
from analysis.pivot import pivot
from analysis.quantities import parse_quantity
from analysis.report import tables
from analysis.runs import load_collection
from analysis.summary import summarise
from analysis.target import seconds_before
from lad_mpi.errors import ExitCode

HOSTILE = "<script>alert(1)</script>\u202e$x$ {{ 7*7 }} \"'&"
VOID = {"meta", "link", "input", "br", "hr", "img"}


class Page(html.parser.HTMLParser):
    """The elements of a page, in order, with their attributes and all text inside."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert not self._open, "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self._open.append(self.elements[-1])

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        opened = self._open.pop()
        assert opened[0] == tag

    def handle_data(self, data):
        for _, _, inside in self._open:
            inside.append(data)

    def all(self, *tags):
        return [(attrs, "".join(text)) for tag, attrs, text in self.elements if tag in tags]

    def tags(self, *tags):
        return [tag for tag, _, _ in self.elements if tag in tags]


def write(folder, output, *options):
    assert main(["report", str(folder), "-o", str(output), *options]) == ExitCode.OK
    return output.read_text(encoding="utf-8")


@pytest.fixture
def small(write_run, tmp_path):
    """Two rules at two loads."""
    for load in (2, 5):
        for rule in ("trimmed_mean", "median"):
            write_run(
                f"{load}-{rule}.h5", coding={"load": load}, aggregation={"kind": rule}, ranks=2
            )
    return tmp_path / "study"


def test_nothing_outside_the_file_is_needed_and_only_our_script_may_run(small, tmp_path):
    text = write(small, tmp_path / "report.html")
    page = Page(text)
    # The same logs give the same bytes.
    assert write(small, tmp_path / "again.html") == text
    assert "http:" not in text
    assert "https:" not in text
    links = [attrs[key] for _, attrs, _ in page.elements for key in ("href", "src") if key in attrs]
    assert links
    assert all(link.startswith("#") for link in links)
    # A strict policy refuses these.
    assert not [attrs for _, attrs, _ in page.elements if "style" in attrs]
    assert not [key for _, attrs, _ in page.elements for key in attrs if key.startswith("on")]
    (policy,) = [attrs["content"] for attrs, _ in page.all("meta") if "http-equiv" in attrs]
    (style,) = page.all("style")
    script = [text for attrs, text in page.all("script") if "type" not in attrs]
    for kind, inlined in (("style", style[1]), ("script", *script)):
        digest = base64.b64encode(hashlib.sha256(inlined.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_the_page_is_accessible(small, tmp_path):
    page = Page(write(small, tmp_path / "report.html"))
    assert "None." in page.all("section")[0][1], "a clean study has no warnings"
    headings = [int(tag[1]) for tag in page.tags("h1", "h2", "h3", "h4")]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(later <= before + 1 for before, later in itertools.pairwise(headings))
    assert page.all("html")[0][0]["lang"] == "en"
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs, _ in page.elements:
        for key in ("aria-describedby", "aria-labelledby", "aria-controls"):
            assert set(attrs.get(key, "").split()) <= set(ids)
        if attrs.get("href", "").startswith("#"):
            assert attrs["href"][1:] in ids
    assert len(page.all("table")) == len(page.all("caption")) == len(page.all("input")) == 4
    assert all(text.strip() for _, text in page.all("caption"))
    assert all("scope" in attrs for attrs, _ in page.all("th"))
    assert {attrs["role"] for attrs, _ in page.all("svg")} == {"img"}
    assert all(attrs["aria-label"] and attrs["aria-describedby"] for attrs, _ in page.all("svg"))
    # Each field stands inside of its label.
    assert len([text for _, text in page.all("label") if "Filter rows" in text]) == 4


def test_texts_from_logs_are_escaped(write_run, tmp_path):
    for seed in (1, 2):
        write_run(f"a{seed}.h5", name=HOSTILE, seed=seed, provenance={"hosts": [HOSTILE]})
        write_run(f"b{seed}.h5", name="plain", seed=seed, coding={"load": 5})
    write_run("<img src=x>.h5", name=HOSTILE, seed=3, status="failed")
    text = write(tmp_path / "study", tmp_path / "report.html", "--title", HOSTILE)
    page = Page(text)
    shown = HOSTILE.replace("\u202e", "\\u202e")
    assert page.all("h1")[0][1] == page.all("title")[0][1] == shown
    assert shown in page.all("tbody")[0][1]
    # Figures fold long names.
    assert any(
        text.startswith("<script>alert(1)</script>\\u202e$x$") for _, text in page.all("text")
    )
    assert any("<img src=x>.h5" in text for _, text in page.all("li"))
    assert "alert(1)" in str([json.loads(t) for a, t in page.all("script") if "type" in a])
    assert "\u202e" not in text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert len([attrs for attrs, _ in page.all("script") if "type" not in attrs]) == 1


def test_warnings_come_first_and_name_every_reason(write_run, tmp_path):
    crowded = {"oversubscribed": True, "remarks": ["warning: load: busy 2.8", "a hint"]}
    dirty = {"git_revision": "abc", "git_dirty": True, "remarks": ["warning: load: busy 3.1"]}
    emulated = {"emulate": {"latency": "1ms"}}
    write_run("a.h5", name="a", provenance=crowded, compute="shared")
    write_run("b.h5", name="b", provenance=dirty, coding={"load": 5}, network=emulated)
    write_run("failed.h5", status="failed", seed=2)
    write_run("stopped.h5", status="interrupted", seed=3)
    (tmp_path / "study" / "broken.h5").write_bytes(b"no log")
    (tmp_path / "study" / "scaling.json").write_text("{}")
    page = Page(write(tmp_path / "study", tmp_path / "report.html"))
    sections = [attrs["id"] for attrs, _ in page.all("section")]
    assert sections[0] == "warnings"
    said = page.all("section")[0][1]
    for words in (
        r"Void: .*scaling\.json",
        r"failed: .*failed\.h5: LAD d=2, seed 2: the disk is full \(5 of 12 iterations\)",
        r"interrupted: .*stopped\.h5",
        r"unreadable: .*broken\.h5",
        r"uncommitted changes: b\.",
        r"Oversubscribed: .* \(a\)",
        r"[Ee]mulated network \(latency=1ms\)",
        r'[Cc]ompute = "shared"',
        r"before 2 of 2 launches said: warning: load: busy 2\.8\.",
        r"before 1 of 2 launches said: a hint\.",
    ):
        assert re.search(words, said), (words, said)
    # Both numbers of a remark are in the list below it.
    assert "busy 3.1" in said


def test_tables_have_the_numbers_of_the_analysis(accuracies, tmp_path):
    collection = load_collection([accuracies])
    runs = collection.runs
    metrics = choose_metrics(runs)
    rows = summarise(collection, metrics=metrics)
    keys = KeyTable(runs)
    assert tables.varying_keys(keys, runs) == ["coding.load"]
    table = tables.methods_table(rows, collection, keys, "")
    titles = [column.title for column in table.columns]
    for row, cells in zip(rows, table.rows, strict=True):
        found = dict(zip(titles, cells, strict=True))
        accuracy = row.metrics[0].final
        assert found["method"].text == row.label
        assert found["final loss"].value == row.final_loss.median
        assert found["test accuracy"].value == accuracy.median
        assert found["test accuracy"].note == f"({accuracy.low:#.4g} … {accuracy.high:#.4g})"
        assert f"d={found['coding.load'].text}" in row.label
    costs = tables.costs_table(rows, "")
    place = [column.title for column in costs.columns].index("iteration (ms)")
    assert [cells[place].value for cells in costs.rows] == [
        1e3 * time.seconds.median for row in rows for time in row.times
    ]
    # Only one key varies.
    assert tables.pivot_table(runs, keys, metrics, "") is None


def test_the_pivot_table_takes_the_key_with_most_values_as_columns(small, write_run):
    write_run("three.h5", coding={"load": 1})
    runs = load_collection([small]).runs
    keys = KeyTable(runs)
    table = tables.pivot_table(runs, keys, choose_metrics(runs), "table")
    assert table.command == "table --rows aggregation --columns coding.load --value loss"
    assert table.group == "coding.load"
    assert [column.title for column in table.columns] == ["aggregation", "1", "2", "5"]
    quantity = parse_quantity("loss", runs)
    found = pivot(runs, quantity, rows=["aggregation"], columns=["coding.load"])
    for row in table.rows:
        for column, cell in zip(("1", "2", "5"), row[1:], strict=True):
            known = found.cells.get(((row[0].text,), (column,)))
            assert cell.text == "–" if known is None else cell.value == known.median
    # The loss falls with the load here, so the colours become stronger.
    shades = [cell.shade for cell in table.rows[1][1:]]
    assert shades == sorted(shades)
    assert shades[0] < shades[-1]


def test_the_pointer_shows_the_numbers_behind_a_figure(accuracies, tmp_path):
    page = Page(write(accuracies, tmp_path / "report.html", "--metric", "test_accuracy"))
    panels = {
        attrs["id"]: json.loads(text)
        for (attrs, _), (_, text) in zip(
            page.all("figure"),
            [found for found in page.all("script") if "type" in found[0]],
            strict=True,
        )
    }
    drawn = {attrs.get("id") for attrs, _ in page.all("g")}
    lines = panels["test_accuracy_against_seconds"][0]["lines"]
    assert {line["id"] for line in lines} <= drawn
    collection = load_collection([accuracies])
    assert len(lines) == len(collection.methods)
    for method in collection.methods:
        runs = list(method.by_seed.values())
        curve = median_curve(runs, "test_accuracy", seconds_before)
        load = method.table("coding")["load"]
        (line,) = [line for line in lines if line["name"] == f"LAD d={load}"]
        # A logarithmic axis has no zero.
        np.testing.assert_allclose(line["x"], curve.x[-len(line["x"]) :], rtol=1e-4)
        np.testing.assert_allclose(line["y"], curve.median[-len(line["y"]) :], rtol=1e-4)
    # Marks stand beside each other, but the pointer shows the loads as they are.
    (family,) = panels["test_accuracy_against_load"][0]["lines"]
    assert family["at"] == [1, 2, 5, 10]
    tips = [attrs["data-tip"] for _, attrs, _ in page.elements if "data-tip" in attrs]
    assert any(re.fullmatch(r"LAD d=2\ncompute: [0-9.]+ ms", tip) for tip in tips)


def test_the_commands_in_a_report_run(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = Page(write(small, tmp_path / "report.html"))
    commands = dict.fromkeys(text.partition(" #")[0] for _, text in page.all("code"))
    ours = [command for command in commands if command.startswith("lad-mpi analysis ")]
    assert len(ours) == 5
    for command in ours:
        assert main(shlex.split(command)[2:]) == ExitCode.OK, command
    for attrs, _ in page.all("figure"):
        assert (tmp_path / "figures" / f"{attrs['id']}.png").exists()


def test_errors_say_what_to_do(write_run, tmp_path, monkeypatch, capsys):
    log = str(write_run())
    assert main(["report", log, "-o", str(tmp_path / "no" / "r.html")]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert main(["report", log, "--metric", "gradient_nrm"]) == 2
    assert "gradient_norm" in capsys.readouterr().err
    for name in [name for name in sys.modules if name.startswith("analysis.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["report", log]) == 2
    assert "pip install 'lad_mpi[analysis]'" in capsys.readouterr().err
