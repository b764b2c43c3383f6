"""``python -m lad_mpi``, the same as ``lad-mpi``."""

from lad_mpi.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
