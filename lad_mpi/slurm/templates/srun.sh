# The PMI plug-in of the MPI library; `srun --mpi=list` lists those of the site.
MPI=${MPI:-@mpi@}
# Since SLURM 22.05, srun does not take the processors per task from the job.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
# For steps that other programs start.
export SLURM_MPI_TYPE=$MPI
