"""Benchmarks, the baseline of a machine, and scaling studies."""
