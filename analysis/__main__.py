"""``python -m analysis``, the same as ``lad-mpi analysis``."""

import sys

from analysis.cli import main

sys.exit(main())
