"""``lad-mpi baseline``, ``scale`` and the benches on several ranks, under a real launcher."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lad_mpi.cli.main import main
from lad_mpi.records import read_baseline, read_scaling

MPIRUN = shutil.which("mpirun", path=str(Path(sys.executable).parent)) or shutil.which("mpirun")
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("PMI_", "PMIX_"))}


def test_a_baseline_of_two_ranks_is_written_and_compared(lad, tmp_path):
    done = lad("baseline", "--quick", "-o", "b.json", ranks=2)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    found = read_baseline(tmp_path / "b.json")
    assert (found.ranks, found.quick) == (2, True)
    assert {q.name for q in found.quantities} >= {"bcast", "gather", "ping_pong", "hdf5_append"}
    # A machine that was a thousand times as fast has drifted.
    document = json.loads((tmp_path / "b.json").read_text())
    for quantity in document["quantities"]:
        quantity["samples"] = [1e3 * sample for sample in quantity["samples"]]
    (tmp_path / "fast.json").write_text(json.dumps(document))
    done = lad("baseline", "--quick", "-o", "now.json", "--against", "fast.json", ranks=2)
    assert done.returncode == 3, done.stderr
    assert "drift: " in done.stdout
    done = lad("baseline", "--quick", "--against", "none.json", ranks=2)
    assert done.returncode != 0
    assert "none.json cannot be read" in done.stderr


def test_only_a_drift_that_a_claim_rests_on_fails_a_study(alone, tmp_path):
    command = ("scale", "strong", "spec.toml", "--ranks", "1", "--launches", "1", "-o", "out")
    assert alone(*command).returncode in {0, 1}
    before, after = (tmp_path / f"out/baselines/{when}-p1.json" for when in ("before", "after"))

    def repeat(name=""):
        """Repeat the command, which only judges again, with a hundredth of one rate."""
        document = json.loads(before.read_text())
        for quantity in document["quantities"]:
            if quantity["name"] == name:
                quantity["samples"] = [sample / 100 for sample in quantity["samples"]]
        after.write_text(json.dumps(document))
        return alone(*command)

    for name in ("", "hdf5_append", "triad_alone"):
        done = repeat(name)
        assert (done.returncode, done.stderr) == (0, "")
        assert "VOID" not in done.stdout
    done = repeat("copy_alone")
    assert done.returncode == 1
    assert "VOID, p1: no speed-up or efficiency: the machine drifted at P = 1: " in done.stdout
    assert read_scaling(tmp_path / "out").void == []


def test_a_scaling_study_is_made_resumed_and_read(alone, tmp_path):
    arguments = (
        "scale", "strong", "spec.toml", "--ranks", "1,2", "--launches", "2", "--baseline", "none",
        "-o", "out",
    )  # fmt: skip
    done = alone(*arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    record = read_scaling(tmp_path / "out")
    assert sorted((launch.case, launch.number) for launch in record.launches) == [
        ("p1", 1), ("p1", 2), ("p2", 1), ("p2", 2),
    ]  # fmt: skip
    assert not any(launch.void for launch in record.launches)
    again = alone(*arguments, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["launches"] == [
        {**vars_of(launch)} for launch in record.launches
    ]
    assert "[1/4]" not in again.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "analysis", "scaling", "out", "--json"],
        cwd=tmp_path, env=CLEAN, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert [case["name"] for case in json.loads(shown.stdout)["cases"]] == ["p1", "p2"]


def vars_of(launch):
    return {name: getattr(launch, name) for name in launch.__slots__}


def test_a_dry_run_prints_the_launches_and_makes_nothing(alone, tmp_path):
    done = alone(
        "scale", "weak", "spec.toml", "--ranks", "2,3", "--launches", "2", "--over", "load=1,3",
        "--launcher", "srun --cpu-bind=cores", "--dry-run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert len(lines) == 8
    assert all(line.startswith("srun --cpu-bind=cores -n ") for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["spec.toml"]
    assert alone("scale", "weak", "spec.toml", "--ranks", "2,3", "--dry-run").stdout != done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ranks", "two"), "expected numbers with commas"),
        (("--ranks", "2", "--launches", "0"), "--launches 0"),
        (("--ranks", "2", "--over", "lode=1"), "no table of the spec has it"),
        (("--ranks", "2", "--grow", "devices"), "belongs to weak scaling"),
        (("--ranks", "2", "--drift", "0"), "--drift 0.0: expected a positive number"),
        (("--ranks", "99"), "would have nothing to do"),
    ],
)
def test_studies_that_make_no_sense_are_refused(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text("devices = { count = 10, byzantine = 2 }\n")
    assert main(["scale", "strong", "spec.toml", *arguments, "--dry-run"]) == 2
    assert message in capsys.readouterr().err


def test_scale_on_several_ranks_is_refused(lad):
    done = lad("scale", "strong", "spec.toml", ranks=2)
    assert done.returncode == 2
    assert "starts the ranks itself" in done.stderr


def test_collectives_are_shown_beside_those_of_mpi(lad):
    arguments = ("bench", "collectives", "--n", "10", "--dimensions", "5,50", "--repeats", "2")
    done = lad(*arguments, ranks=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("gather, by Gatherv") == 2
    rows = json.loads(lad(*arguments, "--json", ranks=2).stdout)["rows"]
    assert {row["collective"] for row in rows} >= {"bcast"}
    assert [row["bytes"] for row in rows[:2]] == [8 + 8 * 5, 10 * (32 + 8 * 5)]


def test_one_rank_has_no_collectives(alone):
    done = alone("bench", "collectives")
    assert done.returncode == 2
    assert "there is only one rank" in done.stderr


def test_an_iteration_is_split_up(lad):
    done = lad("bench", "iteration", "--set", "iterations=30", "--set", "logging.flush_every=10",
               "--set", "logging.warmup_iterations=0", ranks=2)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "untimed" in done.stdout
    found = json.loads(
        lad(
            "bench", "iteration", "spec.toml", "--set", "logging.flush_every=5", "--json", ranks=2
        ).stdout
    )
    assert found["ranks"] == 2
    assert found["overhead_s"] > 0


def test_bench_iteration_shows_phases_beside_their_bounds(capsys):
    words = "bench iteration --dimension 2e1 --load 3 --iterations 16 --set devices.count=50"
    assert main(words.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    time, bound, ratio, *_ = rows["compute"]
    assert float(ratio) == pytest.approx(float(time) / float(bound), rel=0.02)
    assert rows["pack"][3:] == ["CRC-32", "of", "9.6", "kB"]
    assert rows["training"][3:] == ["the", "sum", "of", "the", "above"]
    assert len(rows["encode"]) == 1
    assert "medians of 14 iterations" in lines[-2]


def test_bench_iteration_refuses_sizes_that_are_not_whole(capsys):
    for words in ("--dimension 1.5", "--load 1,2", "--iterations many"):
        assert main(["bench", "iteration", *words.split()]) == 2
        assert words in capsys.readouterr().err
    # The sizes of data that are read are not free.
    assert main(["bench", "iteration", "--dimension", "9", "--set", "data.kind=digits"]) == 2
    assert "data.dimension" in capsys.readouterr().err
