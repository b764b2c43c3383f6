"""What commands print with --json follows the schemas in docs/schema/output."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import jsonschema
import pytest

from analysis.cli import build_parser as analysis_parser
from lad_mpi.cli.main import build_parser, main

SCHEMAS = Path(__file__).parents[2] / "docs" / "schema" / "output"

SPEC = "iterations = 100\ndata = { dimension = 4 }\n"
STUDY = """
name = "loads"
[base]
iterations = 20
data = { dimension = 20 }
devices = { count = 10, byzantine = 2 }
[[cases]]
name = "LAD d={coding.load}"
coding = { kind = "cyclic" }
axes = { "coding.load" = [1, 2, 5], seed = [1, 2, 3] }
[[cases]]
name = "too far"
optimizer = { kind = "gd", step_size = 1e300 }
"""

#: The command line that each command is tested with. ``{log}`` is a log of the study.
SCALE = "scale strong spec.toml --ranks 1 --launches 1 --baseline none -o scaling"
CASES = {
    "analysis-cheapest": "analysis cheapest logs --target 10",
    "analysis-compare": "analysis compare logs logs",
    "analysis-scaling": "analysis scaling scaling",
    "analysis-table": "analysis table logs --target 10",
    "analysis-table --rows": "analysis table logs --rows name --columns coding.load",
    "baseline": "baseline --quick -o baseline.json",
    "bench-codecs": "bench codecs --devices 2 --dimension 20 --repeats 1 --codecs none,sign",
    "bench-collectives": "bench collectives --n 2 --dimensions 10 --repeats 2",
    "bench-iteration": "bench iteration spec.toml",
    "bench-rules": "bench rules --n 8 --f 1 --dimension 20 --repeats 1 --rules mean,median",
    "components": "components",
    "doctor": "doctor",
    "forecast": "forecast logs --ranks 10 --network latency=2us,bandwidth=1GB/s --target 10",
    "scale": SCALE,
    "scale --dry-run": f"{SCALE} --dry-run",
    "show": "show {log}",
    "study-plan": "study plan study.toml",
    "study-status": "study status study.toml -o logs",
    "study-submit": "study submit study.toml --cluster mpich -o logs --dry-run",
    "validate": "validate spec.toml study.toml",
}
#: Commands that need several ranks.
PARALLEL = {"bench-collectives"}


def commands(parser, words=()):
    """Return the names of the commands that have --json, with dashes between their words."""
    found = set()
    for action in parser._actions:
        if "--json" in action.option_strings:
            found.add("-".join(words))
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                found |= commands(command, (*words, name))
    return found


def closed(schema):
    """Allow no keys but those that the schema describes."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **found} if schema.get("type") == "object" else found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a folder with a spec, a study and its logs, and a scaling study."""
    found = tmp_path_factory.mktemp("json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(found)
        Path("spec.toml").write_text(SPEC)
        Path("study.toml").write_text(STUDY)
        assert main(["study", "run", "study.toml", "-o", "logs", "-q"]) == 1
        assert main([*SCALE.split(), "--json"]) == 0
    return found


@pytest.mark.parametrize("case", CASES)
def test_output_follows_its_schema(folder, monkeypatch, capsys, lad, case):
    monkeypatch.chdir(folder)
    log = min(folder.glob("logs/lad*.h5"))
    words = [*CASES[case].format(log=log).split(), "--json"]
    if case in PARALLEL:
        output = lad(*words, ranks=2).stdout
    else:
        # The check of a forecast may fail, because it depends on what was measured.
        assert main(words) in ({0, 1} if case == "forecast" else {0})
        output = capsys.readouterr().out
    schema = json.loads((SCHEMAS / f"{case.partition(' ')[0]}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(closed(schema))
    document = json.loads(output, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [error.message for error in validator.iter_errors(document)] == []


def test_every_command_with_json_has_a_schema_and_is_tested():
    analyses = {f"analysis-{name}" for name in commands(analysis_parser())}
    found = commands(build_parser()) | analyses
    assert found == {case.partition(" ")[0] for case in CASES}
    assert found == {path.stem for path in SCHEMAS.glob("*.json")}
