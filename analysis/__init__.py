"""What is said of runs afterwards, computed from their logs alone.

Nothing here runs or imports a training: logs are read, grouped into methods and
turned into tables and figures. ``lad-mpi analysis`` is the command.
"""
