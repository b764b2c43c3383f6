"""The page of a report: gather everything, and fill the template."""

from __future__ import annotations

import base64
import hashlib
import shlex
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

import lad_mpi
from analysis.families import setting_of
from analysis.keys import KeyTable
from analysis.metrics import choose_metrics
from analysis.report import about, tables
from analysis.report.drawings import dark_rules, draw
from analysis.runs import load_collection
from analysis.summary import summarise
from lad_mpi.errors import UsageError
from lad_mpi.files import whole_file
from lad_mpi.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lad_mpi.spec import Where

#: Seeds, keys and names with more values are shortened in the summary of a study.
_FEW = 12


def write_report(
    paths: Sequence[Path],
    output: Path,
    *,
    where: Where | None = None,
    title: str = "",
    metrics: Sequence[str] = (),
) -> None:
    """Write a report on some logs.

    Parameters
    ----------
    paths : sequence of Path
        Logs, and folders with logs.
    output : Path
        The HTML file. It needs no other file and no network.
    where : Where, optional
        Only use the runs that fulfil this condition.
    title : str
        Title of the report; the names of ``paths`` if it is empty.
    metrics : sequence of str
        Names of metrics; those of :data:`~analysis.metrics.SHOWN` if there are none.

    Raises
    ------
    UsageError
        No complete run fulfils the condition, no log has one of the metrics, or the file cannot
        be written.
    """
    page = render(_contents(paths, where, title, metrics))
    try:
        with whole_file(output, text=True) as stream:
            stream.write(page)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror or error}") from error


def render(contents: dict[str, Any]) -> str:
    """Fill the template. All texts are escaped, and only our own style and script may run."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Characters that reverse or hide text are shown as escapes, as in a terminal.
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    style = _own("report.css") + dark_rules(contents["drawings"])
    script = _own("report.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    own = {"style": Markup(style), "script": Markup(script)}  # noqa: S704  (not from logs)
    template = environment.from_string(_own("report.html"))
    return template.render(contents, policy=policy, **own)


def _contents(
    paths: Sequence[Path], where: Where | None, title: str, names: Sequence[str]
) -> dict[str, Any]:
    collection = load_collection(paths, where)
    runs = collection.runs
    metrics = choose_metrics(runs, names)
    rows = summarise(collection, metrics=metrics)
    keys = KeyTable(runs)
    chosen = "".join(f" --metric {name}" for name in names)
    selected = shlex.join(map(str, paths))
    selected += f" --where {shlex.quote(where.text)}" if where else ""
    titled = f" --title {shlex.quote(title)}" if title else ""
    tabulate = f"lad-mpi analysis table {selected}"
    pivot = tables.pivot_table(runs, keys, metrics, tabulate)
    return {
        "title": title or ", ".join("/".join(path.resolve().parts[-2:]) for path in paths),
        "version": lad_mpi.__version__,
        "few": _FEW,
        "collection": collection,
        "seeds": len({run.spec.get("seed") for run in runs}),
        "setting": setting_of(method.spec for method in collection.methods),
        "warnings": about.warnings_of(collection, rows, paths),
        "study": about.study(runs, keys),
        "spec": about.spec_keys(runs, keys),
        "where": about.where(runs),
        "provenance": about.provenance(runs),
        "methods": tables.methods_table(rows, collection, keys, f"{tabulate}{chosen} --csv"),
        "costs": tables.costs_table(rows, f"{tabulate}{chosen} --csv"),
        "runs": tables.runs_table(collection, keys, metrics, tabulate),
        "pivot": pivot,
        "notes": about.notes_of(collection, rows),
        "drawings": list(draw(collection, names)),
        "figures": f"lad-mpi analysis figures {selected}{chosen} -o figures",
        "report": f"lad-mpi analysis report {selected}{chosen}{titled} -o report.html",
    }


def _own(name: str) -> str:
    return files("analysis.report").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Return the hash by which a browser recognises an inlined style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
