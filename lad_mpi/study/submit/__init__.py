"""Studies as batch jobs: scripts from a cluster file, submission, and what became of the jobs.

Nothing here asks the scheduler at import.
"""

from lad_mpi.study.submit.cluster import Cluster, ClusterFile, load_cluster
from lad_mpi.study.submit.join import JobStatus, is_missing, join_queue, known_jobs
from lad_mpi.study.submit.queue import JobKey, JobState, ask_queue, submit_script
from lad_mpi.study.submit.ready import READY
from lad_mpi.study.submit.record import Submission, read_submissions, write_submissions
from lad_mpi.study.submit.render import Job, render
from lad_mpi.study.submit.send import Layout, Prepared, prepare, send, submitting

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
