"""Codecs on a GPU: a CUDA source for each, and the code that launches its kernels by CuPy.

``numbers`` serves ``none`` and ``cast``. The other modules have the names of their codecs, and
share ``launch``. They can be imported without CuPy or a GPU. Codecs import them in their
methods.

A block of threads works on a part of one row, and no two threads write the same byte. A sum only
depends on its row.
"""
