import gzip

import pytest

from lad_mpi.data.text import open_lines
from lad_mpi.errors import DataError


def read(path):
    with open_lines(path, "d.csv") as (lines, notes):
        return list(lines), notes


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines(tmp_path, ends, encoding, pack):
    path = tmp_path / "d"
    path.write_bytes(pack(ends.join(["größe,y", "", "1,2"]).encode(encoding)))
    lines, notes = read(path)
    assert lines == ["größe,y\n", "\n", "1,2"]
    gzip_note = ["gzip"] if pack is gzip.compress else []
    assert notes == gzip_note + ([encoding.upper()] if encoding in ("utf-16", "utf-32") else [])


def test_an_empty_file(tmp_path):
    (tmp_path / "d").touch()
    assert read(tmp_path / "d") == ([], [])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1\nß\n".encode("latin-1"), "line 2: byte 0xdf at character 1 is not UTF-8"),
        ("1\n2\n".encode("utf-16-le"), "line 1: there is a zero byte"),
        (b"1\n2\0\n", "line 2: there is a zero byte"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, not text"),
        (gzip.compress(b"\x89HDF\r\n\x1a\n", mtime=0), "is an HDF5 file inside gzip"),
        (gzip.compress(b"PK\x03\x04", mtime=0), "is a zip archive, .*inside gzip"),
        (b"BZh9", "compressed by bzip2"),
        (b"\xfd7zXZ\0", "compressed by xz"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
        (b"\x93NUMPY\x01\0", "a single NumPy array"),
        (b"\xd0\xcf\x11\xe0\xa1", "an Excel workbook"),
        (b"PAR1", "a Parquet file"),
    ],
)
def test_what_is_not_text_is_named(tmp_path, content, words):
    path = tmp_path / "d"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read(path)
    assert caught.value.hint
