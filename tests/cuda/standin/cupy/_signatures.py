"""Arguments as CuPy has them, from tables."""

from __future__ import annotations

import inspect


def parse(table: str) -> dict[str, inspect.Signature]:
    """Return the signatures that stand in a table, one a line."""
    found = {}
    for line in filter(None, map(str.strip, table.splitlines())):
        name, parameters = line[:-1].split("(", 1)
        found[name] = inspect.signature(eval(f"lambda {parameters}: None"))
    return found
