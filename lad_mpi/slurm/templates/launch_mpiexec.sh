# mpiexec tells all ranks when it is asked to end. Where it starts processes by srun, these
# share all processors of their node: SRUN_CPUS_PER_TASK would leave them those of one rank.
unset SRUN_CPUS_PER_TASK
launch() {
  follow mpiexec@launcher_options@ "$@"
}
