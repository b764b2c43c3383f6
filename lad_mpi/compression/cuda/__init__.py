"""Codecs on a GPU: for each a CUDA source, and what launches its kernels through CuPy.

``numbers`` is the part of ``none`` and ``cast``; the other modules have the names of
their codecs. ``launch`` is what they share. No module needs CuPy or a GPU to be
imported, and codecs import them in their methods.

A block of threads works on a part of one row, and no byte is written by two threads.
No sum depends on anything but the row that is summed.
"""
