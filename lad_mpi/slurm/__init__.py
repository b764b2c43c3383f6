"""Studies as SLURM jobs: scripts from a cluster file, submission, and the state of the jobs."""

from lad_mpi.slurm.cluster import Cluster, ClusterFile, load_cluster
from lad_mpi.slurm.join import JobStatus, join_queue, known_jobs, needs_submission
from lad_mpi.slurm.queue import JobKey, JobState, ask_queue, submit_script
from lad_mpi.slurm.record import Submission, read_submissions, write_submissions
from lad_mpi.slurm.render import READY, Job, render
from lad_mpi.slurm.submit import JobLayout, Prepared, prepare_job, submit_job, submitting

__all__ = [
    "READY",
    "Cluster",
    "ClusterFile",
    "Job",
    "JobKey",
    "JobLayout",
    "JobState",
    "JobStatus",
    "Prepared",
    "Submission",
    "ask_queue",
    "join_queue",
    "known_jobs",
    "load_cluster",
    "needs_submission",
    "prepare_job",
    "read_submissions",
    "render",
    "submit_job",
    "submit_script",
    "submitting",
    "write_submissions",
]
