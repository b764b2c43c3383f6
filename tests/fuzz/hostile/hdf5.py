"""Mutate the structure of HDF5 files."""

from __future__ import annotations

import contextlib
import zlib
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hostile.trees import mutate_toml_text, odd_value

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    #: Mutates an open file and describes the mutation.
    Mutation = Callable[[h5py.File, Random, Path], str]

#: No library has this filter.
_UNKNOWN_FILTER = 511
_TEXT = h5py.string_dtype()
_SIZES = (10**9, 10**12, 2**31, 2**62)


def mutate_hdf5(path: Path, chance: Random, outside: Path) -> str:
    """Mutate the structure of a file; leave a file that is no longer HDF5 as it is."""
    try:
        file = h5py.File(path, "r+", locking=False)
    except (OSError, ValueError, RuntimeError, KeyError):
        return "nothing: it is no HDF5"
    with file:
        act = chance.choice(_MUTATIONS)
        # An earlier mutation may have removed what this one needs.
        try:
            return act(file, chance, outside)
        except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
            return f"{act.__name__.strip('_')} cannot be done: {str(error)[:60]}"


def _objects(file: h5py.File, kind: type) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, kind) else None)
    return found


def _a_dataset(file: h5py.File, chance: Random) -> tuple[h5py.Group, str, h5py.Dataset]:
    name = chance.choice(_objects(file, h5py.Dataset))
    dataset = file[name]
    return dataset.parent, name.rpartition("/")[2], dataset


def _a_group(file: h5py.File, chance: Random) -> h5py.Group:
    return file[chance.choice(["/", *_objects(file, h5py.Group)])]


def odd_arrays(chance: Random) -> tuple[Any, str]:
    """Return a value of an odd type or shape, and its description."""
    enum = h5py.enum_dtype({"a": 1, "b": 2}, basetype="i4")
    odd: dict[str, Any] = {
        "int": np.int64(chance.choice([0, -1, 3, 2**62, -(2**63)])),
        "uint64": np.uint64(2**64 - 1),
        "float": chance.choice([0.0, -1.5, np.nan, np.inf, 1e308]),
        "float16": np.float16(1),
        "bool": True,
        "text": chance.choice(["", "x", "\x1b[2J\x07", "a\nb", "complete", "3"]),
        "bytes": np.bytes_(b"abc"),
        "empty of float": h5py.Empty("f8"),
        "empty of text": h5py.Empty(_TEXT),
        "no rows": np.zeros(0),
        "no rows of text": np.array([], dtype=_TEXT),
        "array": np.arange(5.0),
        "matrix": np.ones((3, 4)),
        "cube": np.ones((2, 2, 2)),
        "six rows": np.ones(6),
        "six negative rows": np.full(6, -1, np.int64),
        "one": np.ones(1),
        "complex": np.complex128(1j),
        "compound": np.zeros(2, [("a", "f8"), ("b", "S3")]),
        "enum": np.array([1, 2], dtype=enum),
        "opaque": np.void(b"\0\1\2"),
        "texts": np.array(["a", "\x1b[2J", ""], dtype=_TEXT),
        "texts in a matrix": np.array([["a", "b"], ["c", "d"]], dtype=_TEXT),
        "bytes of fixed length": np.array([b"a", b"\xff"], dtype="S4"),
        "no UTF-8": np.array(b"\xff\xfe", dtype=_TEXT),
        "texts that are no UTF-8": np.array([b"\xff", b"ok"], dtype=_TEXT),
        "big endian": np.arange(6, dtype=">i8"),
    }
    name = chance.choice(sorted(odd))
    return odd[name], name


def _attribute(file: h5py.File, chance: Random, outside: Path) -> str:
    owner = _owner(file, chance)
    name = chance.choice(sorted(owner.attrs) or ["status"])
    value, words = odd_arrays(chance)
    del owner.attrs[name]
    owner.attrs[name] = value
    return f"attribute {name} of {owner.name} is {words}"


def _attribute_by_value(file: h5py.File, chance: Random, outside: Path) -> str:
    """Set an attribute to an odd value of the right type."""
    owner = _owner(file, chance)
    name = chance.choice(sorted(owner.attrs) or ["status"])
    old, value = owner.attrs[name], odd_value(chance, outside)
    if isinstance(old, (np.integer, np.bool_)) and isinstance(value, int):
        owner.attrs[name] = np.int64(min(max(value, -(2**63)), 2**63 - 1))
    elif isinstance(old, np.ndarray) and old.dtype.kind == "O":
        owner.attrs[name] = np.array([str(value).replace("\0", ""), *old], dtype=_TEXT)
    else:
        owner.attrs[name] = str(value).replace("\0", "")
    return f"attribute {name} of {owner.name} is {str(value)[:40]!r}"


def _attribute_removed(file: h5py.File, chance: Random, outside: Path) -> str:
    owner = _owner(file, chance)
    name = chance.choice(sorted(owner.attrs) or ["none"])
    del owner.attrs[name]
    return f"attribute {name} of {owner.name} is removed"


def _attribute_of_references(file: h5py.File, chance: Random, outside: Path) -> str:
    owner = _owner(file, chance)
    name = chance.choice(sorted(owner.attrs) or ["status"])
    del owner.attrs[name]
    _, _, dataset = _a_dataset(file, chance)
    owner.attrs[name] = chance.choice([dataset.ref, file.ref])
    return f"attribute {name} of {owner.name} is a reference"


def _many_attributes(file: h5py.File, chance: Random, outside: Path) -> str:
    owner = _owner(file, chance)
    for number in range(count := chance.choice([50, 1000])):
        owner.attrs[f"x{number}"] = number
    return f"{owner.name} has {count} more attributes"


def _long_attribute(file: h5py.File, chance: Random, outside: Path) -> str:
    owner = _owner(file, chance)
    name = chance.choice(sorted(owner.attrs) or ["spec"])
    owner.attrs[name] = "x" * (size := chance.choice([10**5, 10**7]))
    return f"attribute {name} of {owner.name} has {size} characters"


def _spec(file: h5py.File, chance: Random, outside: Path) -> str:
    text, words = mutate_toml_text(str(file.attrs["spec"]), chance, outside)
    file.attrs["spec"] = text.replace("\0", "").encode("utf-8", "surrogatepass")
    return f"spec: {words}"


def _version(file: h5py.File, chance: Random, outside: Path) -> str:
    value = chance.choice(
        [0, 1, 2, 4, -1, 2**62, 3.0, np.nan, "3", np.array([3]), np.array([[3]]), h5py.Empty("i8"),
         True, np.uint8(3), np.float16(3), np.zeros(1, [("a", "i8")])]
    )  # fmt: skip
    file.attrs["format_version"] = value
    return f"format_version is {value!r}"


def _launches(file: h5py.File, chance: Random, outside: Path) -> str:
    name = chance.choice(
        ["launch_1", "launch_2", "a\nb", "\x1b[2J", "..", "x" * 1000, b"\xff\xfe", "1", "launch_x"]
    )
    group = file["provenance"].create_group(name)
    for key in ("first_iteration", "mpi_ranks"):
        if chance.random() < 0.8:
            group.attrs[key] = chance.choice([0, 1, 3, 6, -1, 2**62, 2.5, "x", np.array([1, 2])])
    return f"a launch {name!r}"


def _replaced(file: h5py.File, chance: Random, outside: Path) -> str:
    parent, name, dataset = _a_dataset(file, chance)
    value, words = odd_arrays(chance)
    kept = dict(dataset.attrs) if chance.random() < 0.7 else {}
    del parent[name]
    new = parent.create_dataset(name, data=value)
    _describe(new, kept)
    return f"{parent.name}/{name} is {words}"


def _values(file: h5py.File, chance: Random, outside: Path) -> str:
    parent, name, dataset = _a_dataset(file, chance)
    if dataset.dtype.kind == "O" and h5py.check_string_dtype(dataset.dtype) is None:
        return "nothing: h5py crashes when it writes other objects"
    value = chance.choice([0, 1, -1, -(2**63), 2**63 - 1, 10**12])
    if dataset.dtype.kind == "f":
        value = chance.choice([np.nan, np.inf, -np.inf, -1.0, 0.0, 1e308, 1e-308])
    if h5py.check_string_dtype(dataset.dtype) is not None:
        value = chance.choice(["", "x", "\x1b[2J", "a\nb", "compute", b"\xff"])
    where: Any = ()
    if dataset.shape and dataset.size and chance.random() < 0.6:
        where = tuple(chance.randrange(size) for size in dataset.shape)
    dataset[where] = value
    return f"{parent.name}/{name}{list(where) or ''} holds {value!r}"


def _rows(file: h5py.File, chance: Random, outside: Path) -> str:
    growing = [
        name
        for name in _objects(file, h5py.Dataset)
        # HDF5 takes extremely long to shrink a huge dataset.
        if (item := file[name]).maxshape and item.maxshape[0] is None and item.shape[0] < 10**6
    ]
    rows = chance.choice([0, 1, 5, 7, 100_000, *_SIZES])
    if not growing:
        return "nothing: no dataset can grow"
    chosen = growing if chance.random() < 0.5 else [chance.choice(growing)]
    for name in chosen:
        file[name].resize(rows, axis=0)
    what = "all datasets on iteration" if len(chosen) > 1 else chosen[0]
    return f"{what}: {rows} rows, of which most were never written"


def _huge(file: h5py.File, chance: Random, outside: Path) -> str:
    parent, name, dataset = _a_dataset(file, chance)
    size = chance.choice(_SIZES)
    dtype, kept, ndim = dataset.dtype, dict(dataset.attrs), max(1, dataset.ndim)
    shape = chance.choice([(size,) * ndim, (size, *(1,) * (ndim - 1)), (1,) * (ndim - 1) + (size,)])
    if np.prod([float(part) for part in shape]) >= 2.0**60:
        shape = (2**30,) if ndim == 1 else (2**15,) * ndim
    del parent[name]
    options = {"chunks": (8,) * len(shape)} if chance.random() < 0.7 else {}
    with contextlib.suppress(TypeError):
        options |= {"compression": "gzip"} if options and chance.random() < 0.5 else {}
    new = parent.create_dataset(name, shape=shape, dtype=dtype, **options)
    _describe(new, kept)
    return f"{parent.name}/{name} has the shape {shape}, unwritten, {options}"


def _bomb(file: h5py.File, chance: Random, outside: Path) -> str:
    """Replace a dataset by up to 1000 chunks of 64 MiB, one of them stored as compressed zeros."""
    parent, name, dataset = _a_dataset(file, chance)
    kept, elements = dict(dataset.attrs), 2**23
    tail = dataset.shape[1:] if dataset.shape else ()
    if np.prod(tail) > elements:
        tail = ()
    rows = elements // max(1, int(np.prod(tail)))
    count = chance.choice([1, 1, 16, 1000])
    dtype = dataset.dtype if dataset.dtype.itemsize == 8 and dataset.dtype.kind in "fi" else "f8"
    del parent[name]
    new = parent.create_dataset(
        name, (rows * count, *tail), dtype, chunks=(rows, *(max(1, n) for n in tail)),
        compression="gzip", fillvalue=0,
    )  # fmt: skip
    new.id.write_direct_chunk((0,) * new.ndim, _zeros(rows * max(1, int(np.prod(tail))) * 8))
    _describe(new, kept)
    return f"{parent.name}/{name} is {count} chunks of 64 MiB, of which one is written"


def _zeros(size: int) -> bytes:
    packer = zlib.compressobj(1)
    block = bytes(2**20)
    parts = [packer.compress(block) for _ in range(size // 2**20)]
    return b"".join([*parts, packer.compress(bytes(size % 2**20)), packer.flush()])


def _unknown_filter(file: h5py.File, chance: Random, outside: Path) -> str:
    parent, name, dataset = _a_dataset(file, chance)
    kept, shape = dict(dataset.attrs), dataset.shape or (6,)
    shape = tuple(max(1, size) for size in shape)
    del parent[name]
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk(shape)
    plan.set_filter(_UNKNOWN_FILTER, h5py.h5z.FLAG_OPTIONAL, (1, 2))
    space = h5py.h5s.create_simple(shape)
    low = h5py.h5d.create(
        parent.id, name.encode(), h5py.h5t.py_create(np.dtype("f8")), space, dcpl=plan
    )
    new = h5py.Dataset(low)
    new.id.write_direct_chunk((0,) * len(shape), b"\1\2\3", filter_mask=0)
    _describe(new, kept)
    return f"{parent.name}/{name} has an unknown filter"


def _damaged_chunk(file: h5py.File, chance: Random, outside: Path) -> str:
    parent, name, dataset = _a_dataset(file, chance)
    kept, shape, dtype = dict(dataset.attrs), dataset.shape or (6,), dataset.dtype
    shape = tuple(max(1, size) for size in shape)
    del parent[name]
    new = parent.create_dataset(
        name, shape, dtype, chunks=shape, compression="gzip", fletcher32=chance.random() < 0.5
    )
    new.id.write_direct_chunk((0,) * len(shape), chance.randbytes(40))
    _describe(new, kept)
    return f"{parent.name}/{name} has a chunk that gzip did not write"


def _removed(file: h5py.File, chance: Random, outside: Path) -> str:
    names = [*_objects(file, h5py.Dataset), *_objects(file, h5py.Group)]
    name = chance.choice(names)
    del file[name]
    return f"/{name} is removed"


def _link(file: h5py.File, chance: Random, outside: Path) -> str:
    names = [*_objects(file, h5py.Dataset), *_objects(file, h5py.Group)]
    name, other = chance.choice(names), chance.choice(names)
    outer = str(outside / "other.h5")
    links: dict[str, Any] = {
        "an external link to a dataset": h5py.ExternalLink(outer, "/secret"),
        "an external link to the same name": h5py.ExternalLink(outer, f"/{name}"),
        "an external link to a group": h5py.ExternalLink(outer, "/"),
        "an external link to a FIFO": h5py.ExternalLink(str(outside / "fifo"), "/"),
        "an external link to nothing": h5py.ExternalLink("none.h5", "/x"),
        "an external link to itself": h5py.ExternalLink(file.filename, f"/{other}"),
        "a soft link to itself": h5py.SoftLink(f"/{name}"),
        "a soft link to nothing": h5py.SoftLink("/none"),
        f"a soft link to {other}": h5py.SoftLink(f"/{other}"),
        "a soft link to the root": h5py.SoftLink("/"),
    }
    words = chance.choice([*links, f"a hard link to {other}", "a hard link to the root", "a type"])
    if words in links:
        new = links[words]
    else:
        new = np.dtype("f8") if words == "a type" else file[other if other in words else "/"]
    if chance.random() < 0.7:
        del file[name]
    else:
        name = f"{name}-more" if isinstance(file[name], h5py.Dataset) else f"{name}/more"
    file[name] = new
    return f"/{name} is {words}"


def _storage(file: h5py.File, chance: Random, outside: Path) -> str:
    parent, name, dataset = _a_dataset(file, chance)
    kept, shape = dict(dataset.attrs), dataset.shape or (1,)
    dtype = dataset.dtype if dataset.dtype.kind in "fi" else np.dtype("f8")
    shape = tuple(max(1, size) for size in shape)
    del parent[name]
    if chance.random() < 0.5:
        raw = chance.choice([outside / "notes.txt", outside / "new.txt", outside / "fifo"])
        size = int(np.prod(shape)) * dtype.itemsize
        new = parent.create_dataset(name, shape, dtype, external=[(str(raw), 0, size)])
        words = f"lies in the file {raw.name}"
    else:
        layout = h5py.VirtualLayout(shape, dtype)
        from_file = chance.choice([str(outside / "other.h5"), ".", "none.h5"])
        layout[...] = h5py.VirtualSource(from_file, "secret", shape)
        new = parent.create_virtual_dataset(name, layout)
        words = f"is virtual, from {from_file.rpartition('/')[2]}"
    _describe(new, kept)
    return f"{parent.name}/{name} {words}"


def _groups(file: h5py.File, chance: Random, outside: Path) -> str:
    group = _a_group(file, chance)
    kind = chance.choice(["deep", "many", "odd names", "in place of a dataset"])
    if kind == "deep":
        for _ in range(depth := chance.choice([50, 1500])):
            group = group.create_group("d")
        return f"groups nested {depth} deep"
    if kind == "many":
        for number in range(count := chance.choice([100, 3000])):
            group.create_group(f"g{number}")
        return f"{group.name} has {count} more groups"
    if kind == "odd names":
        for name in ("a\nb", "\x1b[2J", b"\xff\xfe", "x" * 5000, " ", "="):
            group.create_group(name)
        return f"{group.name} has groups with odd names"
    parent, name, _ = _a_dataset(file, chance)
    del parent[name]
    parent.create_group(name)
    return f"{parent.name}/{name} is a group"


def _renamed(file: h5py.File, chance: Random, outside: Path) -> str:
    parent, name, _ = _a_dataset(file, chance)
    other, there, _ = _a_dataset(file, chance)
    if parent == other and name == there:
        return "nothing"
    del other[there]
    file.move(f"{parent.name}/{name}", f"{other.name}/{there}")
    return f"{parent.name}/{name} is called {other.name}/{there}"


def _sequence(file: h5py.File, chance: Random, outside: Path) -> str:
    parent, name, dataset = _a_dataset(file, chance)
    kept, rows = dict(dataset.attrs), dataset.shape[0] if dataset.shape else 1
    del parent[name]
    new = parent.create_dataset(name, (rows,), h5py.vlen_dtype("f8"))
    _describe(new, kept)
    return f"{parent.name}/{name} is of sequences"


def _describe(dataset: h5py.Dataset, attributes: dict[str, Any]) -> None:
    """Copy the attributes of the earlier dataset, except those of dimension scales."""
    for key, value in attributes.items():
        if key not in {"DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"}:
            dataset.attrs[key] = value


def _owner(file: h5py.File, chance: Random) -> Any:
    if chance.random() < 0.5:
        return file
    if chance.random() < 0.4 and "provenance" in file:
        return file["provenance"]
    return file[chance.choice([*_objects(file, h5py.Dataset), *_objects(file, h5py.Group)])]


_MUTATIONS: tuple[Mutation, ...] = (
    _attribute, _attribute, _attribute, _attribute_by_value, _attribute_by_value,
    _attribute_removed, _attribute_of_references, _many_attributes, _long_attribute, _spec, _spec,
    _version, _launches, _replaced, _replaced, _replaced, _values, _values, _values, _rows, _rows,
    _huge, _bomb, _unknown_filter, _damaged_chunk, _removed, _link, _link, _link, _storage,
    _groups, _renamed, _sequence,
)  # fmt: skip
