"""The version of the suite, read by the build and written into every log."""

__version__ = "0.2.0"
