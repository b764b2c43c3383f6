"""The catalogue of components: what it says, and that it says so of all."""

import json
import math
import re
import subprocess
import sys
from argparse import Namespace
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from lad_mpi.cli.catalogue import describe
from lad_mpi.cli.components import components
from lad_mpi.coding import Cyclic, DracoCyclic, DracoCyclicReal, DracoRepetition
from lad_mpi.compression import CODECS, Cast, Natural, NoCompression, Qsgd, RandK, Sign, TopK
from lad_mpi.errors import UsageError
from lad_mpi.rng import Streams
from lad_mpi.spec import FAMILIES
from lad_mpi.theory import kappa

#: Nobody published these: they are what one does without a method.
WITHOUT_PAPER = {
    ("aggregation", "mean"),
    ("compression", "none"),
    ("attack", "none"),
    ("attack", "mutate"),
    ("attack", "random_bytes"),
    ("attack", "zero"),
    ("attack", "nan"),
    ("attack", "inf"),
}
OWN = [(family, kind) for family, members in FAMILIES.items() for kind in members.table]


def known(family, kind, n=100, f=20):
    cls = FAMILIES[family].table[kind]
    return describe(family, kind, cls, num_devices=n, num_byzantine=f)


def shown(capsys, kind=None, *, as_json=False, n=100, f=20):
    assert components(Namespace(kind=kind, n=n, f=f, json=as_json)) == 0
    text = capsys.readouterr().out
    return json.loads(text) if as_json else text


@dataclass(frozen=True)
class Bare:
    num_byzantine: int = 0
    strength: float = 1.0

    kind: ClassVar[str] = "bare"

    def __call__(self, messages):
        return messages.mean(axis=0)


class WithKappa(Bare):
    @staticmethod
    def kappa(num_messages, num_byzantine):
        """3 f / n."""
        return 3 * num_byzantine / num_messages


@pytest.mark.parametrize(("family", "kind"), OWN)
def test_everything_is_said_of_every_component_of_the_suite(family, kind):
    row = known(family, kind)
    assert row["summary"].endswith(".")
    # Data cost no time in an iteration, and schedules hardly any.
    assert row["cost"] or family in {"data", "schedule"}
    assert all(parameter["description"] for parameter in row["parameters"].values())
    if (family, kind) in WITHOUT_PAPER:
        assert not row["references"]
    elif family in {"coding", "compression", "attack", "aggregation", "pre"}:
        assert row["links"]
    for link in row["links"]:
        assert re.fullmatch(r"arXiv:\d{4}\.\d{4,5}|doi:10\.[^,;]*[\w]", link)
    for reference in row["references"]:
        assert '"' in reference, "a reference names authors and title"
        assert reference.endswith(".")


@pytest.mark.parametrize("kind", sorted(FAMILIES["aggregation"].table))
@pytest.mark.parametrize(("n", "f"), [(100, 20), (7, 1), (7, 0)])
def test_kappa_is_that_of_the_theory(kind, n, f):
    expected, row = kappa(kind, n, f), known("aggregation", kind, n, f)["kappa"]
    if row is None:
        assert kind == "caf"
    elif math.isfinite(expected):
        assert row["value"] == expected
    else:
        assert row["value"] is None
        assert "∞" in row["formula"]


@pytest.mark.parametrize("family", ["aggregation", "pre"])
def test_costs_of_rules_are_in_terms_that_the_legend_explains(family):
    for kind in FAMILIES[family].table:
        cost = known(family, kind)["cost"]
        order, _, meaning = cost.partition("), ")
        assert cost.startswith("O("), kind
        letters = set(re.findall(r"[A-Za-z]+", order.removeprefix("O(").replace("nQ", "n Q")))
        explained = set(re.findall(r"^[A-Z](?= )", meaning))
        assert letters <= {"n", "f", "Q", "C", "log"} | explained, kind


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("dimension", [1, 7, 64, 101])
def test_costs_of_codecs_are_their_bytes(dimension, dtype):
    codecs = [NoCompression(), RandK(1), Qsgd(5), TopK(1), Sign(), Cast(), Natural()]
    codecs += [Qsgd(5, bucket=16), Sign(bucket=16)]
    assert {type(codec) for codec in codecs} == set(CODECS.values())
    for codec in codecs:
        formula = codec.cost.removesuffix(" bytes")
        formula = re.sub(r"⌈log₂ ?\(?([^⌉]+?)\)?⌉", r" * ceil(log2(\1))", formula)
        formula = formula.replace("b ⌈Q/B⌉", "b * ceil(Q / B)")
        formula = formula.replace("2s", "2 * s").replace("b Q", "b * Q").replace("b k", "b * k")
        formula = formula.replace("2 Q", "2 * Q").replace("9 Q", "9 * Q")
        names = {
            "b": np.dtype(dtype).itemsize,
            "Q": dimension,
            "B": (codec.bucket or dimension) if isinstance(codec, Qsgd | Sign) else None,
            "k": 1,
            "s": 5,
            "ceil": math.ceil,
            "log2": math.log2,
        }
        expected = math.ceil(eval(formula, {"__builtins__": {}}, names))
        assert codec.payload_bytes(dimension, np.dtype(dtype)) == expected, codec.cost


@pytest.mark.parametrize(
    ("code", "load"),
    [(Cyclic(9), 9), (DracoCyclic(), 7), (DracoCyclicReal(9), 9), (DracoRepetition(9), 23 / 2)],
)
def test_costs_of_codes_are_their_gradients(code, load):
    stated = {"d gradients": 9, "2f+1 gradients": 7, "N/⌊N/d⌋ gradients": 23 / (23 // 9)}
    assert stated[code.cost.partition(";")[0]] == load
    loads = code.assign(23, 3, Streams(0), 0).loads
    assert loads.max() == math.ceil(load)


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("kind", [None, "krum", "qsgd", "linear_regression", "none"])
def test_it_fits_the_terminal(capsys, monkeypatch, columns, kind):
    monkeypatch.setenv("COLUMNS", columns)
    lines = shown(capsys, kind).splitlines()
    assert max(map(len, lines)) <= int(columns)


def test_the_list_has_reference_cost_and_kappa(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = shown(capsys)
    places = ("data", "model", "optimizer", "aggregation", "aggregation.pre")
    assert all(f"[{name}]" in text for name in places)
    entry = text.partition("\ntrimmed_mean ")[2].partition("\n\n")[0]
    assert "arXiv:1803.01498" in entry
    assert "O(n log² n · Q)" in entry
    assert "κ r = 0.333" in entry
    assert "published: 6 r (1 + r) =" in entry
    text = shown(capsys, n=18, f=1)
    assert "κ r = 0.0625" in text
    assert "k = ⌊(n + 1)/2⌋" in text.replace("\n", " ")


def test_one_component_in_full(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = shown(capsys, "krum")
    for part in (
        "krum (rule, [aggregation])",
        'neighbours="n-f-2" : "n-f-2" or "n-f-1"',
        "Number of nearest others in the score",
        "\\sum_{j \\in N_i}",
        "O(n² Q)",
        '6 (1 + r) = 8 with neighbours="n-f-1"',
        '"Machine learning with adversaries"',
        "lad_mpi.aggregation.krum.Krum",
    ):
        assert part in text
    # A codec and an attack have this name.
    assert re.findall(r"^none \((\w+),", shown(capsys, "none"), re.MULTILINE) == ["codec", "attack"]


def test_json_has_everything(capsys):
    found = shown(capsys, "multi_krum", as_json=True)
    (row,) = found.pop("aggregation")
    assert not any(found.values())
    assert row["parameters"]["num_selected"] == {
        "type": "integer",
        "range": "at least 1",
        "unit": "",
        "required": False,
        "default": None,
        "description": "m, from 1 to n − f; n − f if left out. A larger mean would always include "
        "a hostile row, which could move the result anywhere.",
    }
    assert "num_byzantine" not in row["parameters"]
    assert row["kappa"]["value"] == 8.0
    assert row["kappa"]["published"] is None
    (median,) = shown(capsys, "median", as_json=True)["aggregation"]
    assert median["kappa"]["published"] == {"formula": "4 (1 + r)²", "value": 64 / 9}
    assert row["links"] == ["arXiv:1703.02757"]
    (codec,) = shown(capsys, "rand_k", as_json=True)["compression"]
    assert codec["parameters"]["k"]["required"]
    assert codec["kappa"] is None


def test_a_component_that_says_nothing_is_shown_with_dashes(capsys, monkeypatch):
    family = FAMILIES["aggregation"]
    monkeypatch.setattr(type(family), "members", lambda self: {"bare": Bare, "own": WithKappa})
    row = describe("aggregation", "bare", Bare, num_devices=10, num_byzantine=2)
    assert (row["summary"], row["cost"], row["kappa"], row["references"]) == ("", None, None, [])
    assert re.search(r"^bare +strength=1\.0 +–\n– +κ –$", _squeezed(shown(capsys)), re.MULTILINE)
    assert "references\n  –" in shown(capsys, "bare")
    assert "κ 3 f / n = 0.6" in shown(capsys)


def _squeezed(text):
    return "\n".join(line.rstrip() for line in text.splitlines())


def test_an_unknown_kind_and_impossible_faults_are_refused():
    options = Namespace(kind="meamd", n=100, f=20, json=False)
    with pytest.raises(UsageError, match="unknown component 'meamd'; did you mean 'meamed'"):
        components(options)
    with pytest.raises(UsageError, match="--f: must be at least 0 and fewer than half of 10"):
        components(Namespace(kind=None, n=10, f=5, json=False))
    done = subprocess.run(
        [sys.executable, "-m", "lad_mpi", "components", "meamd"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'meamed'?" in done.stderr


def test_what_other_packages_offer_and_is_not_there_is_shown_with_the_reason(capsys, install):
    install("broken", "import not_there", rules={"half_mean": "HalfMean"})
    install("mylab", "", rules={"mean": "Mean"})
    install("lab", "class Bare: pass", version="2.0", attacks={"bare": "Bare"})
    reason = "broken:HalfMean of broken 1.0 cannot be imported: ModuleNotFoundError: No module"
    ignored = "ignored: mylab:Mean of mylab 1.0: the rule 'mean' of the suite cannot be replaced"
    text = _in_one_line(shown(capsys))
    assert f"cannot be used: half_mean: {reason}" in text
    assert ignored in text
    broken = "cannot be used: bare: lab:Bare of lab 2.0: class lab.Bare is not a dataclass"
    assert broken in text
    one = _in_one_line(shown(capsys, "half_mean"))
    assert one.startswith("half_mean (rule, [aggregation])")
    assert reason in one
    assert ignored in _in_one_line(shown(capsys, "mean"))
    rows = {row["kind"]: row for row in shown(capsys, as_json=True)["aggregation"]}
    assert rows["half_mean"]["problem"].startswith(reason)
    assert rows["mean"]["ignored"] == ["mylab:Mean of mylab 1.0"]
    assert rows["mean"]["problem"] == rows["median"]["problem"] == ""
    assert rows["half_mean"].keys() == rows["mean"].keys()


def _in_one_line(text):
    return " ".join(text.split())


def test_the_optional_protocols_of_a_component_are_named(capsys):
    assert "optional protocols\n  CostedRule" in shown(capsys, "krum")
