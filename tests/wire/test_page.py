"""docs/wire-format.md agrees with the source."""

import re
from pathlib import Path

import numpy as np
import pytest

from lad_mpi.compression import CODECS, Rejection
from lad_mpi.wire import MessageFormat
from lad_mpi.wire.message import HEADER

PAGE = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text()
PARAMETERS = {"rand_k": {"k": 4}, "top_k": {"k": 4}, "qsgd": {"levels": 5}}


def table(title):
    """Return the cells of the first table below a heading, without the header row."""
    section = PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.search(r"((?:^\|.*\n)+)", section, re.MULTILINE)[1].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


def test_the_header_is_laid_out_as_the_page_has_it():
    stated = [(name, int(offset), int(size)) for offset, size, name, _ in table("Header")]
    fields = [
        (name, HEADER.fields[name][1], HEADER.fields[name][0].itemsize) for name in HEADER.names
    ]
    assert stated == fields


@pytest.mark.parametrize("kind", sorted(CODECS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_codec_has_its_number_and_its_bytes(kind, dtype):
    rows = {row[0]: row[1:] for row in table("Payloads")}
    number, _, formula = rows[kind]
    codec = CODECS[kind](**PARAMETERS.get(kind, {}))
    assert int(number) == codec.wire_code
    # Turn the formula into Python: b, k, w and Q are variables, and products have no sign.
    expression = re.sub(r"(?<=[\dbkQ])(?=[kwQ])", "*", formula)
    expression = re.sub(r"⌈(.*?)/8⌉", r"-(-(\1)//8)", expression)
    width = {"qsgd": 4, "top_k": 4}.get(kind)  # ⌈log₂ 11⌉ and ⌈log₂ 13⌉
    letters = {"b": np.dtype(dtype).itemsize, "k": 4, "w": width, "Q": 13}
    stated = eval(expression, {"__builtins__": {}}, letters)
    assert stated == MessageFormat(codec, 13, np.dtype(dtype)).payload_bytes


def test_every_reason_has_its_number():
    stated = [(int(number), name) for number, name, _ in table("Refusals")]
    assert stated == [(int(r), r.name.lower()) for r in Rejection if r != Rejection.NONE]
