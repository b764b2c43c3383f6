"""``lad-mpi components``."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from lad_mpi.cli.catalogue import describe, describe_unusable
from lad_mpi.cli.tables import print_table
from lad_mpi.errors import ExitCode, ParameterError, UsageError
from lad_mpi.spec import FAMILIES, listing, suggestion
from lad_mpi.theory import lower_bound

if TYPE_CHECKING:
    import argparse

_UNKNOWN = "–"
_LEGEND = (
    "n messages, f of them faulty, of Q numbers of b bytes; r = f/(n − 2f), k = ⌊(n + 1)/2⌋. "
    "N devices, H of them honest, d subsets a device, m samples a subset. κ bounds the squared "
    "error of a rule in units of the honest dispersion; the sharpest proven one comes first. "
    "One component in full: lad-mpi components KIND."
)


def components(options: argparse.Namespace) -> ExitCode:
    """List every component, or show one kind in full."""
    try:
        lower_bound(options.n, options.f)
    except ParameterError as error:
        raise UsageError(f"--f: {error.message}") from error
    found = {name: _rows(name, options) for name in FAMILIES}
    if options.kind is not None and not any(found.values()):
        kinds = {kind for family in FAMILIES.values() for kind in family.kinds()}
        raise UsageError(
            f"unknown component {options.kind!r}{suggestion(options.kind, kinds)}",
            hint=f"known: {listing(kinds)}",
        )
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2, default=str) + "\n")
    elif options.kind is None:
        _print_list(found, options.n, options.f)
    else:
        for name, rows in found.items():
            for row in rows:
                _print_one(name, row)
    return ExitCode.OK


def _rows(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Describe the requested members of a family, with unusable ones last."""
    family = FAMILIES[name]
    rows = [
        describe(name, kind, cls, num_devices=options.n, num_byzantine=options.f)
        for kind, cls in sorted(family.members().items())
    ]
    rows += [describe_unusable(*item) for item in sorted(family.unusable().items())]
    return [row for row in rows if options.kind in {None, row["kind"]}]


def _print_list(found: dict[str, list[dict[str, Any]]], num_devices: int, num_faults: int) -> None:
    for name, rows in found.items():
        with_kappa = any(row["kappa"] for row in rows)
        title = f"cost; κ for n={num_devices}, f={num_faults}" if with_kappa else "cost"
        sys.stdout.write(f"[{_place(name)}]\n")
        shown = [
            {
                "kind": [row["kind"], next(iter(row["links"]), _UNKNOWN)],
                "what": list(filter(None, [row["summary"], _inline(row["parameters"])])),
                "cost": [row["cost"] or _UNKNOWN]
                + (f"κ {_kappa(row['kappa'])}".split("\n") if with_kappa else []),
            }
            for row in rows
            if not row["problem"]
        ]
        columns = {"kind": "kind, reference", "what": "what it is, parameters", "cost": title}
        print_table(shown, columns=columns, spaced=True)
        for row in rows:
            _print_remarks(name, row)
        sys.stdout.write("\n")
    sys.stdout.write(_wrapped(_LEGEND, indent=0) + "\n")


def _print_remarks(family: str, row: dict[str, Any]) -> None:
    """Print why components of other packages are not used."""
    noun = FAMILIES[family].noun
    said = [
        f"ignored: {offer}: the {noun} {row['kind']!r} of the suite cannot be replaced"
        for offer in row["ignored"]
    ]
    if row["problem"]:
        said.append(f"cannot be used: {row['kind']}: {row['problem']}")
    sys.stdout.writelines(f"{_wrapped(line, indent=0, hanging=2)}\n" for line in said)


def _print_one(family: str, row: dict[str, Any]) -> None:
    title = f"{row['kind']} ({FAMILIES[family].noun}, [{_place(family)}])"
    if row["problem"]:
        sys.stdout.write(f"{title}\n\n")
        _print_remarks(family, row)
        sys.stdout.write("\n")
        return
    parts = [title, "", _wrapped(row["summary"] or _UNKNOWN, indent=0)]
    if row["parameters"]:
        parts.append("\nparameters")
        for name, parameter in row["parameters"].items():
            parts.append(f"  {_inline({name: parameter})} : {_described(parameter)}")
            parts.append(_wrapped(parameter["description"] or _UNKNOWN, indent=6))
    if row["notes"]:
        parts.append("\nnotes")
        parts.append("\n\n".join(_block(block) for block in row["notes"].split("\n\n")))
    parts.append(f"\ncost\n  {row['cost'] or _UNKNOWN}")
    if family in {"aggregation", "pre"}:
        parts.append("κ")
        if row["kappa"]:
            where = "n={n}, f={f}".format(**row["kappa"])
            meaning = "r stands for f/(n − 2f), k for ⌊(n + 1)/2⌋"
            parts.append(f"  {_kappa(row['kappa'])}\n  at {where}; {meaning}")
        else:
            parts.append(f"  {_UNKNOWN}")
    parts.append("references")
    parts += [_wrapped(text, indent=2, hanging=2) for text in row["references"] or [_UNKNOWN]]
    if row["offers"]:
        parts.append(f"optional protocols\n  {', '.join(row['offers'])}")
    parts.append(f"class\n  {row['class']}")
    sys.stdout.write("\n".join(parts) + "\n")
    _print_remarks(family, row)
    sys.stdout.write("\n")


def _kappa(kappa: dict[str, Any] | None) -> str:
    if kappa is None:
        return _UNKNOWN
    number = "" if kappa["value"] is None else f" = {kappa['value']:.3g}"
    condition = f" {kappa['condition']}" if kappa["condition"] else ""
    published = kappa["published"]
    also = f"\n  published: {published['formula']} = {published['value']:.3g}" if published else ""
    return f"{kappa['formula']}{number}{condition}{also}"


def _described(parameter: dict[str, Any]) -> str:
    return ", ".join(filter(None, (parameter[key] for key in ("type", "range", "unit"))))


def _inline(parameters: dict[str, dict[str, Any]]) -> str:
    return ", ".join(
        name
        if parameter["required"] or parameter["default"] is None
        else f"{name}={json.dumps(parameter['default'], default=str)}"
        for name, parameter in parameters.items()
    )


def _place(family: str) -> str:
    return "aggregation.pre" if family == "pre" else family


def _block(text: str) -> str:
    """Wrap a paragraph; keep equations and tables as they are."""
    if text.startswith((" ", "=")):
        return textwrap.indent(textwrap.dedent(text), "      ")
    return _wrapped(" ".join(text.split()), indent=2)


def _wrapped(text: str, *, indent: int, hanging: int = 0) -> str:
    return textwrap.fill(
        text,
        width=min(100, shutil.get_terminal_size().columns),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
    )
