"""Tables, figures and forecasts from logs.

The analysis reads logs, groups runs into methods, and turns them into tables and figures.
It never imports the training code. The commands are ``lad-mpi analysis`` and
``lad-mpi forecast``.
"""
