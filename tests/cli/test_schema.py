"""The JSON Schemas and the reference page: fresh, complete, and of one mind with the reader."""

import json
import math
import sys
from argparse import Namespace
from pathlib import Path

import jsonschema
import pytest
import tomli_w

from lad_mpi import parameters
from lad_mpi.cli import reference
from lad_mpi.cli.schema import SCHEMAS, schema
from lad_mpi.errors import ExitCode, SpecError
from lad_mpi.slurm.cluster import Cluster
from lad_mpi.spec import FAMILIES, Spec, parse_spec
from lad_mpi.study import load_study

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent.parent
FOLDERS = {"studies": "study", "scaling": "spec", "clusters": "cluster"}
READY = {
    str(path.relative_to(ROOT)): name
    for folder, name in FOLDERS.items()
    for path in sorted((ROOT / "jobs" / folder).glob("*.toml"))
}


@pytest.fixture(scope="module")
def validators():
    return {name: jsonschema.Draft202012Validator(make()) for name, make in SCHEMAS.items()}


def printed(capsys, **options):
    assert schema(Namespace(**{"file": "spec", "markdown": False, **options})) == ExitCode.OK
    return capsys.readouterr().out


def test_the_committed_files_are_what_the_command_prints(capsys):
    for name in SCHEMAS:
        committed = (ROOT / "docs" / "schema" / f"{name}.json").read_text()
        assert committed == printed(capsys, file=name), "run make reference"
    assert (ROOT / "docs" / "reference.md").read_text() == printed(capsys, markdown=True)


def test_schemas_are_valid_json_schemas_without_infinite_numbers(capsys):
    def refuse(constant):
        raise AssertionError(constant)

    for name, make in SCHEMAS.items():
        jsonschema.Draft202012Validator.check_schema(make())
        json.loads(printed(capsys, file=name), parse_constant=refuse)


@pytest.mark.parametrize(("path", "name"), READY.items(), ids=READY)
def test_a_ready_file_is_valid_and_names_its_schema(validators, path, name):
    text = (ROOT / path).read_text()
    validators[name].validate(tomllib.loads(text))
    directive, _, place = text.splitlines()[0].partition(" ")
    assert directive == "#:schema"
    assert ((ROOT / path).parent / place).resolve() == ROOT / "docs" / "schema" / f"{name}.json"


def test_there_are_ready_files_of_every_sort():
    assert set(READY.values()) == set(SCHEMAS)


WRONG = {
    "table": ("spec", {"agregation": {}}),
    "key": ("spec", {"coding": {"kind": "cyclic", "laod": 3}}),
    "key of a section": ("spec", {"devices": {"cuont": 3}}),
    "kind": ("spec", {"aggregation": {"kind": "trimed_mean"}}),
    "parameter of another kind": ("spec", {"attack": {"kind": "ipm", "scale": -2.0}}),
    "missing parameter": ("spec", {"compression": {"kind": "rand_k"}}),
    "missing kind": ("spec", {"fallback": {}}),
    "word": ("spec", {"compute": "fast"}),
    "type": ("spec", {"iterations": "many"}),
    "truth for a count": ("spec", {"iterations": True}),
    "f given to a rule": ("spec", {"aggregation": {"kind": "median", "num_byzantine": 3}}),
    "pre": ("spec", {"aggregation": {"pre": ["nmm"]}}),
    "quantity": ("spec", {"network": {"emulate": {"bandwith": "1GB/s"}}}),
    "empty network": ("spec", {"network": {"emulate": {}}}),
    "key of a study": ("study", {"axis": {}}),
    "key of the base": ("study", {"base": {"coding": {"laod": 3}}}),
    "axis": ("study", {"axes": {"coding.laod": [1]}}),
    "nested axis": ("study", {"axes": {"coding": {"laod": [1]}}}),
    "axis without a list": ("study", {"axes": {"seed": 3}}),
    "value of an axis": ("study", {"axes": {"seed": ["one"]}}),
    "key of a case": ("study", {"cases": [{"codnig": {"load": 3}}]}),
    "dotted key of a case": ("study", {"cases": [{"coding.laod": 3}]}),
    "axis of a case": ("study", {"cases": [{"axes": {"coding.laod": [3]}}]}),
    "key of a cluster": ("cluster", {"node": 3}),
    "type in a cluster": ("cluster", {"modules": "gcc"}),
    "launcher": ("cluster", {"launcher": "mpirun"}),
}


@pytest.mark.parametrize(("name", "mapping"), WRONG.values(), ids=WRONG)
def test_a_slip_is_found(validators, name, mapping):
    assert not validators[name].is_valid(mapping)


RIGHT = {
    "nothing": ("spec", {}),
    "default kind": ("spec", {"coding": {"load": 4}, "attack": {"scale": -5}}),
    "fallback": ("spec", {"coding": {"kind": "draco_repetition"}, "fallback": {"kind": "median"}}),
    "steps": ("spec", {"aggregation": {"pre": ["nnm", {"kind": "bucketing", "size": 2}]}}),
    "columns": ("spec", {"data": {"kind": "file", "path": "d.csv", "target": 3, "index": False}}),
    "network": ("spec", {"network": {"emulate": "latency=50us"}}),
    "no network": ("spec", {"network": {"emulate": False}}),
    "a case adds what the base lacks": (
        "study",
        {"base": {"compression": {"kind": "rand_k"}}, "cases": [{"compression": {"k": 3}}]},
    ),
    "an axis of tables": ("study", {"axes": {"attack": [{"kind": "ipm"}, {"kind": "zero"}]}}),
    "dots": ("study", {"axes": {"coding.load": [1, 2]}, "cases": [{"coding.load": 3}]}),
    "deep axis": ("study", {"axes": {"network": {"emulate": {"latency": ["1us", "1ms"]}}}}),
}


@pytest.mark.parametrize(("name", "mapping"), RIGHT.values(), ids=RIGHT)
def test_a_file_that_can_be_read_is_valid(validators, tmp_path, name, mapping):
    validators[name].validate(mapping)
    if name == "spec":
        assert parse_spec(mapping)
        return
    (tmp_path / "study.toml").write_text(tomli_w.dumps(mapping))
    assert load_study(tmp_path / "study.toml").runs


def places():
    for key in reference.scalars():
        yield key.name, key, lambda value, key=key: {key.name: value}
    for section, cls in reference.sections().items():
        for key in reference.keys_of(cls) if section != "network" else []:
            name = f"{section}.{key.name}"
            yield name, key, lambda v, s=section, k=key: {s: {k.name: v}}
    for family in FAMILIES:
        for kind, keys in reference.kinds(family).items():
            needed = {key.name: key.examples[0] for key in keys if key.required}
            for key in keys:
                table = {"kind": kind, **needed}
                yield (
                    f"{family}.{kind}.{key.name}",
                    key,
                    lambda v, f=family, t=table, k=key: of(f, {**t, k.name: v}),
                )


def of(family, table):
    nested = {"pre": ("aggregation", [table]), "schedule": ("optimizer", table)}
    if family in nested:
        outer, inner = nested[family]
        return {outer: {family: inner}}
    return {family: table}


PLACES = {name: (key, build) for name, key, build in places()}


@pytest.mark.parametrize("place", PLACES)
def test_reader_and_schema_refuse_the_same_values(validators, place):
    key, build = PLACES[place]
    for bound in parameters.bounds_of(key.hint):
        if math.isinf(bound.limit):
            continue
        beyond = bound.limit - 1 if bound.words in {"at least", "above"} else bound.limit + 1
        if beyond == bound.limit:
            beyond = bound.limit * 2
        mapping = build(beyond)
        assert not validators["spec"].is_valid(mapping)
        with pytest.raises(SpecError):
            parse_spec(mapping)


@pytest.mark.parametrize("place", PLACES)
def test_every_key_has_a_meaning_and_an_example_that_is_valid(validators, place):
    key, build = PLACES[place]
    assert key.meaning
    assert key.examples
    for example in key.examples:
        validators["spec"].validate(build(example))


def test_every_key_of_a_cluster_has_a_meaning():
    assert all(key.meaning for key in reference.keys_of(Cluster))


def test_every_table_of_a_spec_is_in_the_reference():
    page = reference.reference_page()
    for key in reference.keys_of(Spec):
        assert f"### `[{key.name}]`" in page or f"| `{key.name}` |" in page
