"""What the job scripts of ``jobs/slurm`` are for; ``sbatch`` tells them the rest."""

from __future__ import annotations

from lad_mpi.slurm.render import Job

#: By the name of the script.
READY: dict[str, Job] = {
    "run": Job("run", "lad-run", file="run.sbatch"),
    "gpu": Job("run", "lad-gpu", file="gpu.sbatch"),
    "study": Job("study", "lad-study"),
    "array": Job("array", "lad-array"),
    "strong": Job("scale", "lad-strong", kind="strong"),
    "weak": Job("scale", "lad-weak", kind="weak"),
}
