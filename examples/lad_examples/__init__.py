"""Components for lad_mpi, to copy and to change: a network, a rule and an attack."""
