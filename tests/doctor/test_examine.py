"""Whole reports, and the checks at the start of a run."""

import json
import subprocess

import pytest

from lad_mpi.doctor import (
    Finding,
    Severity,
    cheap_checks,
    examine,
    judge,
    refuse_unfit,
)
from lad_mpi.doctor.examine import least_log_bytes
from lad_mpi.doctor.facts import cheap_facts
from lad_mpi.errors import ExitCode, UnfitError
from lad_mpi.logs import read_log
from lad_mpi.spec import parse_spec
from lad_mpi.training import run_spec
from lad_mpi.transport import Loopback

CHECKS = {"ranks", "versions", "placement", "gpu", "output", "hdf5"}


@pytest.mark.parametrize("count", [1, 3, 16])
def test_a_sound_machine_gives_one_finding_per_check_at_any_number_of_ranks(ranks, count):
    report = judge(ranks(count))
    assert {f.check for f in report.findings} == CHECKS
    assert len(report.findings) == len(CHECKS)
    assert {f.severity for f in report.findings} == {Severity.OK}
    assert report.exit_code == ExitCode.OK


def test_every_check_of_a_real_machine_is_in_the_report(tmp_path):
    report = examine(Loopback("made up"), tmp_path)
    told = {f.check for f in report.findings}
    # Problems with these have names of their own.
    assert told >= CHECKS - {"placement", "gpu"}
    assert json.loads(json.dumps(report.to_record()))["facts"][0]["rank"] == 0
    assert list(tmp_path.iterdir()) == []


def test_the_record_has_its_keys(ranks):
    record = judge(ranks(2)).to_record()
    assert list(record) == [
        "report_version",
        "exit_code",
        "ranks",
        "hosts",
        "counts",
        "findings",
        "facts",
    ]
    assert record["report_version"] == 2
    assert (record["ranks"], record["hosts"]) == (2, ["n1"])
    assert list(record["counts"]) == ["ok", "note", "warning", "fatal"]
    assert sum(record["counts"].values()) == len(record["findings"])
    for finding in record["findings"]:
        assert list(finding) == ["severity", "check", "found", "fix", "hosts", "ranks"]


class Pair(Loopback):
    """A server with one more rank, which sends a given answer."""

    def __init__(self, answer):
        super().__init__(library="made up", size=2)
        object.__setattr__(self, "answer", answer)

    def gather_texts(self, text):
        return [text, self.answer(text)]


def other_rank(**changes):
    def answer(text):
        return json.dumps({**json.loads(text), "rank": 1, "output": None, **changes})

    return answer


def test_the_cheap_checks_find_a_rank_of_another_version(tmp_path):
    facts = cheap_facts(Loopback("made up"), tmp_path)
    versions = {**facts.versions, "lad_mpi": "0.0.0"}
    findings = cheap_checks(Pair(other_rank(versions=versions)), tmp_path)
    fatal = [f for f in findings if f.severity == Severity.FATAL]
    assert [(f.check, f.ranks) for f in fatal] == [("versions", (1,))]
    same = cheap_checks(Pair(other_rank()), tmp_path)
    assert not [f for f in same if f.severity == Severity.FATAL]


def test_the_cheap_checks_write_nothing_and_start_nothing(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    findings = cheap_checks(Loopback(), tmp_path / "new")
    assert all(f.severity > Severity.OK for f in findings)
    assert list(tmp_path.iterdir()) == []


def test_the_cheap_checks_refuse_a_log_that_cannot_fit(tmp_path):
    endless = parse_spec({"iterations": 2**31 - 1})
    wide = Pair(other_rank())
    object.__setattr__(wide, "size", 100_000)
    (fatal,) = [f for f in cheap_checks(wide, tmp_path, endless) if f.severity == Severity.FATAL]
    assert fatal.check == "output"
    assert "the log takes" in fatal.found


def test_a_folder_that_cannot_be_written_is_left_to_the_run(tmp_path):
    """The run refuses it with the exit code for usage."""
    (tmp_path / "file").write_text("")
    findings = cheap_checks(Loopback(), tmp_path / "file")
    assert not [f for f in findings if f.check == "output"]


def test_only_fatal_findings_stop_a_run_and_the_message_names_fix_and_override():
    warning = Finding(Severity.WARNING, "load", "busy", "wait")
    refuse_unfit([])
    refuse_unfit([warning])
    fatal = [Finding(Severity.FATAL, name, "differs", "one environment") for name in ("a", "b")]
    with pytest.raises(UnfitError, match="a: differs; b: differs") as caught:
        refuse_unfit([warning, *fatal])
    assert caught.value.exit_code == ExitCode.UNFIT
    assert caught.value.relayed
    assert caught.value.hint.startswith("one environment; lad-mpi doctor")
    assert "--force" in caught.value.hint


def test_the_least_size_of_a_log_is_below_its_size(tmp_path):
    spec = parse_spec(
        {"iterations": 3000, "data": {"dimension": 2}, "devices": {"count": 4, "byzantine": 1}}
    )
    run_spec(spec, Loopback(), tmp_path / "x.h5")
    assert len(read_log(tmp_path / "x.h5").iteration) == 3000
    size = (tmp_path / "x.h5").stat().st_size
    assert size / 4 < least_log_bytes(spec, 1) <= size
