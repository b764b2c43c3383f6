"""The folder of the log: space, file systems, HDF5 and locks."""

import pytest

from lad_mpi.doctor import Severity
from lad_mpi.doctor.facts import Space
from lad_mpi.doctor.storage import judge_hdf5, judge_output

GIB = 2**30


def found(findings):
    return [(f.severity, f.check) for f in findings]


def test_a_sound_disk_is_ok(ranks):
    assert found(judge_output(ranks(2))) == [(Severity.OK, "output")]
    assert found(judge_hdf5(ranks(2))) == [(Severity.OK, "hdf5")]


def test_missing_facts_are_not_judged(ranks):
    cheap = ranks(2, output=None, hdf5=None)
    assert judge_output(cheap) == judge_hdf5(cheap) == []


def test_a_folder_that_cannot_be_written_is_fatal(ranks):
    (finding,) = judge_output(ranks(2, output=Space("/proc", "no permission to write in it")))
    assert finding.severity == Severity.FATAL
    assert "no permission" in finding.found
    assert "-o" in finding.fix


def test_a_folder_that_refuses_a_file_is_one_fatal_finding(ranks, hdf5):
    facts = ranks(2, hdf5=hdf5(write_error="Disk quota exceeded"))
    (finding,) = judge_output(facts)
    assert finding.severity == Severity.FATAL
    assert "Disk quota exceeded" in finding.found
    assert judge_hdf5(facts) == []


@pytest.mark.parametrize(
    ("free", "needed", "severity"),
    [
        (100 * GIB, 0, Severity.OK),
        (100 * GIB, 99 * GIB, Severity.OK),
        (GIB // 2, 0, Severity.WARNING),
        (GIB // 2, GIB // 4, Severity.WARNING),
        (GIB // 2, GIB, Severity.FATAL),
        (100 * GIB, 101 * GIB, Severity.FATAL),
    ],
)
def test_a_log_must_fit(ranks, free, needed, severity):
    (finding,) = judge_output(ranks(2, output=Space("/scratch", "", "ext4", free)), needed)
    assert finding.severity == severity


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "tmpfs", "overlay"])
def test_file_systems_without_swmr_or_that_vanish_are_a_note(ranks, kind):
    findings = judge_output(ranks(1, output=Space("/scratch", "", kind, 100 * GIB)))
    assert found(findings) == [(Severity.OK, "output"), (Severity.NOTE, "file system")]


def test_only_file_systems_without_swmr_recommend_to_switch_it_off(ranks):
    for kind, told in (("nfs4", True), ("tmpfs", False)):
        note = judge_output(ranks(1, output=Space("/scratch", "", kind, 100 * GIB)))[1]
        assert ("logging.swmr = false" in note.fix) == told


@pytest.mark.parametrize(
    ("swmr", "severity"), [(None, Severity.NOTE), (True, Severity.WARNING), (False, Severity.OK)]
)
def test_nfs_is_judged_by_how_the_run_writes(ranks, swmr, severity):
    facts = ranks(1, output=Space("/home", "", "nfs4", 100 * GIB))
    assert max(f.severity for f in judge_output(facts, swmr=swmr)) == severity


HDF5 = {
    "cannot write": (
        {"hdf5_error": "Input/output error", "unlocked_error": "Input/output error"},
        (Severity.FATAL, "hdf5"),
        "-o",
    ),
    "cannot lock": (
        {"hdf5_error": "No locks available", "unlocked_error": ""},
        (Severity.FATAL, "hdf5"),
        "HDF5_USE_FILE_LOCKING=FALSE",
    ),
    "no swmr": ({"swmr_error": "0 of 2000 rows"}, (Severity.WARNING, "hdf5"), "logging.swmr"),
    "no flock": ({"lock_error": "Not implemented"}, (Severity.WARNING, "locks"), "flock"),
}


@pytest.mark.parametrize(("changes", "expected", "fix"), HDF5.values(), ids=HDF5)
def test_each_failure_of_hdf5_has_its_fix(ranks, hdf5, changes, expected, fix):
    (finding,) = judge_hdf5(ranks(2, hdf5=hdf5(**changes)))
    assert (finding.severity, finding.check) == expected
    assert fix in finding.fix
