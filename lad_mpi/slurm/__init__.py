"""Studies as batch jobs: scripts from a cluster file, submission, and what became of the jobs.

Nothing here asks the scheduler at import.
"""

from lad_mpi.slurm.cluster import Cluster, ClusterFile, load_cluster
from lad_mpi.slurm.join import JobStatus, is_missing, join_queue, known_jobs
from lad_mpi.slurm.queue import JobKey, JobState, ask_queue, submit_script
from lad_mpi.slurm.ready import READY
from lad_mpi.slurm.record import Submission, read_submissions, write_submissions
from lad_mpi.slurm.render import Job, render
from lad_mpi.slurm.send import Layout, Prepared, prepare, send, submitting

__all__ = [
    "READY",
    "Cluster",
    "ClusterFile",
    "Job",
    "JobKey",
    "JobState",
    "JobStatus",
    "Layout",
    "Prepared",
    "Submission",
    "ask_queue",
    "is_missing",
    "join_queue",
    "known_jobs",
    "load_cluster",
    "prepare",
    "read_submissions",
    "render",
    "send",
    "submit_script",
    "submitting",
    "write_submissions",
]
