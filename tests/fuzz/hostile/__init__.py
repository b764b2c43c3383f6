"""A fuzzer for the files that the suite reads: see ``tests/fuzz/files.py``."""
