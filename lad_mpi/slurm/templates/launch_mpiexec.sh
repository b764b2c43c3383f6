# mpiexec forwards the request to end to all ranks. If it starts its processes through srun,
# SRUN_CPUS_PER_TASK would restrict all ranks of a node to the processors of one.
unset SRUN_CPUS_PER_TASK
launch() {
  follow mpiexec@launcher_options@ "$@"
}
