"""A configuration of ReFrame for one machine, such as a laptop or a workstation.

A site uses its own configuration instead: the test asks for nothing but a partition whose
launcher starts MPI ranks and an environment in which ``lad-mpi`` is on the path.
"""

site_configuration = {
    "systems": [
        {
            "name": "laptop",
            "descr": "One machine without a scheduler",
            "hostnames": [".*"],
            "partitions": [
                {
                    "name": "mpi",
                    "descr": "Ranks under mpirun",
                    "scheduler": "local",
                    "launcher": "mpirun",
                    "environs": ["builtin"],
                    # Two launches at a time would disturb each other's times.
                    "max_jobs": 1,
                }
            ],
        }
    ],
}
