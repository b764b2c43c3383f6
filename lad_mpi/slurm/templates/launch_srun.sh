@srun@

launch() {
  srun --mpi="$MPI" --cpu-bind=cores --kill-on-bad-exit=1@launcher_options@ "$@"
}
