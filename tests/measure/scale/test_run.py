"""The driver of a study, with a launcher that runs in place."""

import contextlib
import io
import json
import os
from pathlib import Path

import h5py
import pytest

from lad_mpi.cli.main import main
from lad_mpi.errors import RunFailedError, UsageError
from lad_mpi.measure.scale import ScaleOptions, plan_scaling, run_scaling
from lad_mpi.measure.scale.launcher import StoppedError
from lad_mpi.measure.scale.run import _count_cpus
from lad_mpi.records import read_scaling
from lad_mpi.spec import parse_spec

SPEC = parse_spec(
    {
        "name": "tiny",
        "iterations": 4,
        "data": {"kind": "synthetic", "dimension": 4},
        "devices": {"count": 6, "byzantine": 1},
        "coding": {"kind": "cyclic", "load": 2},
    }
)
OPTIONS = ScaleOptions(launches=2, baseline="none")


class Progress:
    def __init__(self):
        self.begun, self.ended = [], []

    def begin(self, what, position, total):
        self.begun.append(what)

    def end(self, launch):
        self.ended.append(launch)


class InPlace:
    """Runs the real command in this process, one rank whatever is asked for."""

    words = ("in-place",)

    def __init__(self, spoil=None, stop_after=None):
        self.commands, self._spoil, self._stop_after = [], spoil, stop_after

    def command(self, ranks, arguments):
        return ["in-place", "-n", str(ranks), *arguments]

    def run(self, ranks, arguments, folder, *, timeout_s, stopping):
        if self._stop_after == len(self.commands):
            raise StoppedError("stopped by a signal")
        self.commands.append((ranks, arguments))
        before = Path.cwd()
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                code = main(arguments)
            if self._spoil:
                self._spoil(folder, arguments)
        finally:
            os.chdir(before)
        return "" if code == 0 else f"exit code {code}"


def run(folder, *, launcher=None, options=OPTIONS, spec=SPEC, **changes):
    plan = plan_scaling("strong", spec, [1], over={"coding.load": [1, 2]}, **changes)
    progress = Progress()
    launcher = launcher or InPlace()
    return run_scaling(plan, launcher, folder, options, progress), progress, launcher


def test_every_case_is_launched_so_often_after_its_reference(tmp_path):
    record, progress, _ = run(tmp_path)
    assert len(record.launches) == 4
    assert not any(launch.void for launch in record.launches)
    assert record.void == []
    assert progress.begun[:2] == ["one-process run 1 of 2", "one-process run 2 of 2"]
    assert [launch.position for launch in progress.ended] == [1, 2, 3, 4]
    assert read_scaling(tmp_path) == record
    for launch in record.launches:
        assert (tmp_path / launch.log).exists()
        assert record.case(launch.case).spec in launch.command
    assert {case.ranks for case in record.cases} == {1}


def test_what_is_done_is_not_repeated_and_more_launches_are_added(tmp_path):
    first, *_ = run(tmp_path)
    again, _, launcher = run(tmp_path)
    assert (launcher.commands, again) == ([], first)
    more, _, launcher = run(tmp_path, options=ScaleOptions(launches=3, baseline="none"))
    assert len(launcher.commands) == 2
    assert more.launches[:4] == first.launches


def test_an_interrupted_study_goes_on(tmp_path):
    with pytest.raises(StoppedError):
        run(tmp_path, launcher=InPlace(stop_after=3))
    assert len(read_scaling(tmp_path).launches) == 1
    record, _, launcher = run(tmp_path)
    assert len(launcher.commands) == 3
    assert len({(launch.case, launch.number) for launch in record.launches}) == 4


def test_another_study_in_the_folder_is_left_alone(tmp_path):
    before, *_ = run(tmp_path)
    with pytest.raises(UsageError, match="contains another scaling study"):
        run(tmp_path, spec=parse_spec({"devices": {"count": 6, "byzantine": 1}}))
    assert read_scaling(tmp_path) == before


def test_links_in_the_folder_lead_no_launch_elsewhere(tmp_path):
    folder, precious = tmp_path / "study", tmp_path / "precious.h5"
    record, *_ = run(folder)
    (folder / "scaling.json").unlink()
    precious.write_bytes((folder / record.launches[0].log).read_bytes())
    before = precious.read_bytes()
    for name in (record.launches[0].log, record.cases[0].spec, record.cases[0].reference):
        (folder / name).unlink()
        (folder / name).symlink_to(precious if name.endswith("h5") else tmp_path / "new.toml")
    # It is of another spec, so that the reference is run again.
    (folder / record.cases[0].reference).unlink()
    (folder / record.cases[0].reference).symlink_to(tmp_path / "new.h5")
    again, *_ = run(folder)
    assert not any(launch.void for launch in again.launches)
    assert precious.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"study", "precious.h5"}
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("name", ["specs", "logs", "reference", "baselines"])
def test_a_folder_that_is_a_link_is_refused(tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=f"cannot write .*/study/{name}: is a link"):
        run(tmp_path / "study")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("affinity", [[""], ["0,"], None])
def test_a_log_that_does_not_tell_its_binding_voids_the_study(tmp_path, affinity):
    def spoil(folder, arguments):
        with h5py.File(folder / arguments[arguments.index("-o") + 1], "r+") as file:
            del file["provenance"].attrs["affinity"]
            if affinity is not None:
                file["provenance"].attrs["affinity"] = affinity

    record, *_ = run(tmp_path, launcher=InPlace(spoil))
    (void,) = record.void
    assert "does not record the processors of its ranks" in void


def test_a_wrong_launch_is_void_and_its_times_count_for_nothing(tmp_path):
    def spoil(folder, arguments):
        log = folder / arguments[arguments.index("-o") + 1]
        if log.name == "p1-load=2-1.h5":
            with h5py.File(log, "r+") as file:
                file["metrics/loss"][1] = 0.5

    record, progress, _ = run(tmp_path, launcher=InPlace(spoil))
    void = [launch for launch in record.launches if launch.void]
    assert [launch.log for launch in void] == ["logs/p1-load=2-1.h5"]
    assert "loss differs from the one-process run from iteration 1" in void[0].void
    assert [launch for launch in progress.ended if launch.void] == void


def test_a_reference_that_fails_ends_the_study(tmp_path):
    spec = parse_spec(
        {"iterations": 200, "devices": {"count": 6, "byzantine": 1},
         "optimizer": {"step_size": 1e300}}
    )  # fmt: skip
    with (
        contextlib.redirect_stderr(io.StringIO()),
        pytest.raises(RunFailedError, match='the one-process run of "run" failed'),
    ):
        run(tmp_path, spec=spec)


@pytest.mark.parametrize("other", [False, True], ids=["drifted", "another"])
def test_baselines_are_measured_before_and_after(tmp_path, other):
    def spoil(folder, arguments):
        name = arguments[arguments.index("-o") + 1]
        if name == "baselines/after-p1.json":
            found = json.loads((folder / name).read_text())
            # A thousand times as fast as before, or another machine.
            for quantity in found["quantities"]:
                quantity["samples"] = [1e3 * sample for sample in quantity["samples"]]
            found["machine"]["cpu_model"] += " II" if other else ""
            (folder / name).write_text(json.dumps(found))

    options = ScaleOptions(launches=1, baseline="quick", drift=0.3)
    record, progress, _ = run(tmp_path, launcher=InPlace(spoil), options=options)
    assert progress.begun[0] == "baseline before on 1 ranks"
    assert progress.begun[-1] == "baseline after on 1 ranks"
    assert record.baselines == {
        "1": {"before": "baselines/before-p1.json", "after": "baselines/after-p1.json"}
    }
    assert record.drift == 0.3
    # What a drift voids depends on the claim: the analysis judges it.
    assert [line.partition(":")[0] for line in record.void] == (
        ["the baselines are of different machines"] if other else []
    )


def test_another_binding_at_another_p_voids_the_study(tmp_path):
    def spoil(folder, arguments):
        log = folder / arguments[arguments.index("-o") + 1]
        if log.name == "p1-load=2-1.h5":
            with h5py.File(log, "r+") as file:
                file["provenance"].attrs["affinity"] = ["0-63"]

    record, *_ = run(tmp_path, launcher=InPlace(spoil))
    (void,) = record.void
    assert "the binding is not the same at every P" in void


@pytest.mark.parametrize(("ranges", "count"), [("0", 1), ("0-3", 4), ("0-1,4,6-7", 5)])
def test_processors_of_an_affinity_are_counted(ranges, count):
    assert _count_cpus(ranges) == count
