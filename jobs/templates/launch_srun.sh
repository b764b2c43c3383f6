launch() {
  srun --mpi="$MPI" @launcher_options@ "$@"
}
