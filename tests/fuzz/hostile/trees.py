"""Mutate JSON and TOML, as trees and as text."""

from __future__ import annotations

import copy
import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Any

import tomli_w

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

DEEP, LARGE, NULL = "@deep@", "@large@", "@null@"
_DEPTH, _DIGITS = 100_000, 5_000

_NUMBERS = (
    0, 1, -1, 2, 7, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**12, 10**30, 0.5, -0.0, 1e-300,
    1e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
_TEXTS = (
    "", " ", "x", "nan", "1e999", "1", "../../../x", "..", ".", "a\nb", "\x1b[31mred\x1b[0m\x07",
    "a\tb\rc", "\x00", "=1+1", "@x",
    "-x", "--help", "$(touch PWNED)", "`touch PWNED`", "';touch PWNED;'",
    "{coding.load}", "{", "%s%n", "κ" * 300, "\u202eabc", "<script>", r"$\frac{",
    DEEP, LARGE, "x" * 10**6, "cyclic", "run.h5", "spec.toml",
)  # fmt: skip


def odd_value(chance: Random, outside: Path) -> Any:
    """Return an unexpected value."""
    kind = chance.randrange(8)
    if kind <= 2:
        return chance.choice(_NUMBERS)
    if kind <= 4:
        names = ("notes.txt", "new.txt", "other.h5", "folder", "fifo", "zero", "full")
        return chance.choice([*_TEXTS, *(str(outside / name) for name in names)])
    if kind == 5:
        return chance.choice([True, False, NULL])
    if kind == 6:
        return chance.choice([[], {}, [[]], [{}], {"": {}}, {"a": {"b": {"c": [1, "x"]}}}])
    return [odd_value(chance, outside) for _ in range(chance.randrange(1, 4))]


def mutate_json(path: Path, chance: Random, outside: Path) -> str:
    """Mutate one node of a JSON file; leave a file that is no longer JSON as it is."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return "nothing: it is no JSON"
    tree, words = mutate_tree(tree, chance, outside)
    text = json.dumps(tree, indent=1, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.03:
        opening = chance.choice(["[", '{"a":', '[{"":'])
        text, words = opening * _DEPTH, f"only {_DEPTH} times {opening}"
    elif chance.random() < 0.03 and isinstance(tree, dict):
        # Readers use the last of duplicate keys.
        text = '{"format": 3, ' + text.lstrip()[1:]
        words += ", and a key twice"
    path.write_text(_expand(text), encoding="utf-8", errors="surrogatepass")
    return words


def mutate_toml(path: Path, chance: Random, outside: Path) -> str:
    """Mutate one node of a TOML file, or its text."""
    try:
        text, words = mutate_toml_text(path.read_text(encoding="utf-8"), chance, outside)
    except (ValueError, RecursionError):
        return "nothing: it is no TOML"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return words


def mutate_toml_text(text: str, chance: Random, outside: Path) -> tuple[str, str]:
    """Mutate one node of TOML, or the text; return the text and a description."""
    if chance.random() < 0.15:
        return _odd_toml(text, chance)
    tree, words = mutate_tree(tomllib.loads(text), chance, outside)
    if chance.random() < 0.05:
        tree[chance.choice(sorted(tree) or ["a"])] = chance.choice(
            [dt.time(1, 2), dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)]
        )
        words += ", and a time"
    return _expand(tomli_w.dumps(_without_null(tree))), words


def mutate_tree(tree: Any, chance: Random, outside: Path) -> tuple[Any, str]:
    """Return a tree with one mutated node, and a description."""
    tree = copy.deepcopy(tree)
    places = list(_places(tree))
    if not places:
        return odd_value(chance, outside), "the whole replaced"
    parent, key, name = chance.choice(places)
    act = chance.choice([_replace, _replace, _replace, _cast, _scale, _remove, _add, _grow, _move])
    return tree, f"{name}: {act(parent, key, places, chance, outside)}"


def _replace(parent: Any, key: Any, places: Any, chance: Random, outside: Path) -> str:
    parent[key] = odd_value(chance, outside)
    return f"becomes {_short(parent[key])}"


def _cast(parent: Any, key: Any, places: Any, chance: Random, outside: Path) -> str:
    old = parent[key]
    casts = [lambda x: [x], lambda x: {"a": x}, lambda x: str(x)[:1000], lambda x: NULL]
    if isinstance(old, (int, float)):
        casts += [float, bool, str]
    if isinstance(old, str):
        casts += [list, lambda x: x + chance.choice(_TEXTS), len]
    if isinstance(old, dict):
        casts += [lambda x: list(x.items()), list]
    if isinstance(old, list):
        casts += [lambda x: dict(enumerate(x)), lambda x: x[0] if x else 0]
    parent[key] = chance.choice(casts)(old)
    if isinstance(parent[key], dict):
        parent[key] = {str(name): value for name, value in parent[key].items()}
    return f"is cast to {_short(parent[key])}"


def _scale(parent: Any, key: Any, places: Any, chance: Random, outside: Path) -> str:
    old = parent[key]
    if isinstance(old, bool) or not isinstance(old, (int, float)):
        return _replace(parent, key, places, chance, outside)
    parent[key] = chance.choice(
        [-old, old + 1, old - 1, old * 10**6, old + 0.5, old * 10**18, old * 1e300, old * 1e-300]
    )
    return f"becomes {_short(parent[key])}"


def _remove(parent: Any, key: Any, places: Any, chance: Random, outside: Path) -> str:
    del parent[key]
    return "is removed"


def _add(parent: Any, key: Any, places: Any, chance: Random, outside: Path) -> str:
    value = odd_value(chance, outside)
    name = chance.choice(["x", "", "kind", "axes", "a.b", "a\nb", "../x", "\x1b[2J", "é" * 200])
    if isinstance(parent, list):
        parent.append(value)
    else:
        parent[name] = value
    return f"has a new neighbour {name!r}: {_short(value)}"


def _grow(parent: Any, key: Any, places: Any, chance: Random, outside: Path) -> str:
    old = parent[key]
    count = chance.choice([2, 100, 1000, 10_000])
    if isinstance(old, list):
        # Counts are moderate, because several axes multiply to millions of runs.
        parent[key] = (old or [0]) * count if chance.random() < 0.3 else list(range(count))
        return f"has {len(parent[key])} items"
    if isinstance(old, dict):
        if len(old) < 4 and chance.random() < 0.5:
            parent[key] = {f"{name}": list(range(1000)) for name in ("seed", "iterations", "x.y")}
            return "has three axes of a thousand values"
        old.update({f"k{i}": i for i in range(count)})
        return f"has {count} more keys"
    parent[key] = old * min(count, 1000) if isinstance(old, str) else [old] * count
    return f"is repeated {count} times"


def _move(parent: Any, key: Any, places: Any, chance: Random, outside: Path) -> str:
    other, name, words = chance.choice(places)
    parent[key] = copy.deepcopy(other[name])
    return f"becomes a copy of {words}"


def _places(tree: Any, name: str = "") -> Any:
    items: Any = ()
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, list):
        items = enumerate(tree[:20])
    for key, value in list(items):
        yield tree, key, f"{name}.{key}"[-60:]
        yield from _places(value, f"{name}.{key}")


def _odd_toml(text: str, chance: Random) -> tuple[str, str]:
    long = ".".join("a" * 10_000)
    many = "".join(f"[t{i}]\nx = {i}\n" for i in range(10_000))
    odd = {
        "deep array": f"{text}\n[deep]\nx = " + "[" * _DEPTH,
        "deep array, closed": f"x = {'[' * 5000}{']' * 5000}\n{text}",
        "deep inline table": "x = " + "{a=" * _DEPTH + "1" + "}" * _DEPTH + "\n" + text,
        "long dotted key": f"{long} = 1\n{text}",
        "long header": f"{text}\n[{long}]\n",
        "many tables": f"{text}\n{many}",
        "huge integer": f"x = {'9' * _DIGITS}\n{text}",
        "huge exponent": f"x = 1e999999999\n{text}",
        "table twice": f"{text}\n{text}",
        "byte order mark": f"\ufeff{text}",
        "control characters": f'x = "\x1b[2J"\n{text}',
        "escaped control characters": f'"\\u001b[2J\\n" = "\\u0007"\n{text}',
        "surrogate": f'x = "\ud800"\n{text}',
        "no end of text": f'x = """{text}',
        "only zero bytes": "\0" * 1000,
        "long line": f"{text}\n#{'x' * 10**7}",
    }
    name = chance.choice(sorted(odd))
    return odd[name], f"TOML text: {name}"


def _without_null(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(k): _without_null(v) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_without_null(item) for item in tree]
    return "null" if tree is None or tree == NULL else tree


def _expand(text: str) -> str:
    text = text.replace(f'"{NULL}"', "null").replace(f'"{LARGE}"', "9" * _DIGITS)
    return text.replace(f'"{DEEP}"', "[" * _DEPTH + "]" * _DEPTH)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}… ({len(text)} characters)"
