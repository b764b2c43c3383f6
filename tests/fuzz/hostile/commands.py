"""The commands that read files, and the files to mutate for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostile.archives import mutate_archive, rename_checkpoint
from hostile.corpus import LAUNCHER, LAUNCHES, LOADS, RANKS
from hostile.hdf5 import mutate_hdf5
from hostile.nodes import mutate_bytes, replace_node
from hostile.trees import mutate_json, mutate_toml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

#: Mutators by file suffix, with their weights.
_MUTATORS: dict[str, dict[Callable[[Path, Random, Path], str], int]] = {
    ".h5": {mutate_hdf5: 16, mutate_bytes: 4, replace_node: 1},
    ".npz": {mutate_archive: 12, mutate_bytes: 3, replace_node: 1, rename_checkpoint: 2},
    ".json": {mutate_json: 16, mutate_bytes: 2, replace_node: 1},
    ".toml": {mutate_toml: 16, mutate_bytes: 2, replace_node: 1},
    "": {mutate_bytes: 4, replace_node: 1},
}


@dataclass(frozen=True, slots=True)
class Command:
    """A command on files of the corpus.

    Parameters
    ----------
    folder : str
        Part of the corpus that is copied for the command.
    words : str
        The arguments; ``{}`` is replaced by the copy's folder.
    targets : tuple of str
        Patterns of the files to mutate.
    outputs : tuple of str
        Files that the command writes. Something else may be there before.
    weight : float
        Relative frequency of the command.
    """

    folder: str
    words: str
    targets: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    weight: float = 10

    def arguments(self, copy: Path) -> list[str]:
        """Return the arguments for one copy."""
        return [word.replace("{}", str(copy)) for word in self.words.split()]

    def mutate(self, copy: Path, chance: Random, outside: Path, spoilt: set[Path]) -> str:
        """Mutate one file of a copy once; return a description.

        ``spoilt`` has the files whose bytes were mutated. Libraries must not open these to
        mutate them again, because they may crash.
        """
        if self.outputs and chance.random() < 0.1:
            path = copy / chance.choice(self.outputs)
            if path.parent.is_dir():
                return f"{path.name}: {replace_node(path, chance, outside)}"
        found = sorted(path for target in self.targets for path in copy.glob(target))
        if not found:
            return "nothing: no file is left"
        path = chance.choice(found)
        if path.is_symlink() or not path.is_file() or path.stat().st_size > 2**28:
            return f"{path.name}: {replace_node(path, chance, outside)}"
        mutators = _MUTATORS.get(path.suffix, _MUTATORS[""])
        act = chance.choices(list(mutators), list(mutators.values()))[0]
        if act is mutate_bytes or path in spoilt:
            spoilt.add(path)
            act = mutate_bytes
        return f"{path.name}: {act(path, chance, outside)}"


_LOGS, _ONE = ("*.h5",), ("one.h5",)
_RESUMED = ("*.h5", "*.npz")
_OUT = ("out/*.h5", "out/*.npz", "out/submissions.json", "out/jobs/*")
_RESUME_OUT = (".run.h5.lock", "run.checkpoint-000000006.npz", "run.failure.txt")
_STUDY_OUT = (
    "out/jobs/lad-small-1.sbatch", "out/submissions.json", "out/.submissions.lock",
    "out/jobs", "out/d-2-s3.failure.txt",
)  # fmt: skip
_SCALING = ("scaling.json", "scaling.json", "baselines/*.json", "*.h5", "**/*.h5")
_FIGURES = tuple(
    f"figures/{name}" for name in ("captions.md", "loss_against_iterations.pdf", "phase_times.png")
)
_SCALE = (
    f"scale strong {{}}/spec.toml --ranks {','.join(map(str, RANKS))} --launches {LAUNCHES} "
    f"--over coding.load={','.join(map(str, LOADS))} -o {{}} --launcher {LAUNCHER} --baseline none"
)

COMMANDS = (
    Command("logs", "show {}/one.h5", _ONE, weight=25),
    Command("logs", "show {}/two.h5", ("two.h5",)),
    Command("logs", "show {}/half.h5", ("half.h5",)),
    Command("logs", "show {}/one.h5 --json", _ONE),
    Command("logs", "show {}/one.h5 --spec", _ONE, weight=5),
    Command("logs", "show {}", _LOGS, weight=1),
    Command("logs", "validate {}/one.h5", _ONE, weight=45),
    Command("logs", "validate {}/two.h5", ("two.h5",), weight=20),
    Command("logs", "validate {}/half.h5", ("half.h5",), weight=20),
    Command("logs", "validate --json {}/half.h5 {}/one.h5", _LOGS),
    Command("logs", "analysis table {}", _LOGS, weight=15),
    Command("logs", "analysis table --json {} --target 30", _LOGS, weight=8),
    Command("logs", "analysis table --csv {}/one.h5", _ONE, weight=10),
    Command("logs", "analysis figures {} -o {}/figures", _LOGS, _FIGURES, weight=0.1),
    Command("resume", "run {}/spec.toml -o {}/run.h5 --resume", _RESUMED, _RESUME_OUT, 15),
    # With --overwrite a link to a log replaces its target on request, so do not mutate the log.
    Command("resume", "run {}/spec.toml -o {}/run.h5 --overwrite", ("*.npz",), _RESUME_OUT, 3),
    Command("resume", "run {}/spec.toml -o {}/run.h5 --resume -q", ("*.npz",), _RESUME_OUT, 15),
    Command("resume", "run {}/spec.toml --dry-run", ("spec.toml",), weight=20),
    Command("resume", "validate {}/spec.toml", ("spec.toml",)),
    Command("study", "study plan {}/study.toml -o {}/out", ("study.toml",), weight=25),
    Command("study", "study plan {}/study.toml --json -o {}/out", ("study.toml",), weight=5),
    Command("study", "validate {}/study.toml", ("study.toml",)),
    Command("study", "study status {}/study.toml -o {}/out", ("study.toml", *_OUT), weight=20),
    Command("study", "study status {}/study.toml -o {}/out", _OUT, weight=20),
    Command("study", "study status {}/study.toml -o {}/out --json", _OUT),
    Command("study", "study run {}/study.toml -o {}/out -q", _OUT, _STUDY_OUT, 3),
    Command(
        "study", "study submit {}/study.toml -o {}/out --cluster {}/cluster.toml --dry-run",
        ("cluster.toml", "study.toml", *_OUT), weight=15,
    ),
    Command(
        "study", "study submit {}/study.toml -o {}/out --cluster {}/cluster.toml",
        ("cluster.toml", *_OUT), _STUDY_OUT, 10,
    ),
    Command("scaling", "analysis scaling {}", _SCALING, weight=4),
    Command("scaling", "analysis scaling {} --json", _SCALING, weight=2),
    Command("scaling", "analysis scaling {} -o {}/figures", _SCALING, _FIGURES, weight=0.2),
    Command("scaling", "forecast {}", _SCALING, weight=1.5),
    Command(
        "scaling", "forecast {} --json --network latency=1ms --target 30", _SCALING, weight=1
    ),
    Command("scaling", "forecast {}/logs", ("logs/*.h5",), weight=1),
    Command("scaling", _SCALE, _SCALING, ("scaling.json", "logs", "specs", "baselines"), 1.5),
    Command("scaling", f"{_SCALE} --dry-run", ("spec.toml",), weight=2),
    Command(
        "scaling", "baseline --quick -o {}/new.json --against {}/baselines/after-p1.json",
        ("baselines/after-p1.json",), ("new.json",), 8,
    ),
    *(
        Command(
            "data", f"run {{}}/spec-{name}.toml --set data.path={{}}/data.{name} -o {{}}/new.h5",
            (f"data.{name}",), weight=4,
        )
        for name in ("npz", "h5", "csv", "svm")
    ),
    Command("data", "validate {}/spec-npz.toml", ("data.npz", "spec-npz.toml"), weight=2),
)  # fmt: skip
