# How srun greets the MPI library; `srun --mpi=list` names what the site has.
MPI=${MPI:-@mpi@}
# srun does not take the processors of a task from the job since SLURM 22.05.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
# For steps that others start.
export SLURM_MPI_TYPE=$MPI
