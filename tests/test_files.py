"""Links, FIFOs and devices are refused without following or blocking."""

from __future__ import annotations

import os
import socket

import pytest

from lad_mpi.files import (
    longest_name,
    make_folder,
    new_draft,
    open_descriptor,
    open_regular,
    read_bytes,
    whole_file,
)


def _fifo(path):
    os.mkfifo(path)


def _folder(path):
    path.mkdir()


def _device(path):
    path.symlink_to("/dev/zero")


def _socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


KINDS = {"fifo": _fifo, "folder": _folder, "device": _device, "socket": _socket}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_other_kinds_of_files_are_refused_at_once(tmp_path, make):
    path = tmp_path / "x"
    make(path)
    with pytest.raises(OSError, match=r"is not a regular file|Is a directory"):
        read_bytes(path)
    with pytest.raises(OSError, match=r"not a regular file|Is a directory|is a link"):
        open_descriptor(path, os.O_RDWR | os.O_CREAT)


@pytest.mark.parametrize("make", [_fifo, _folder, _socket])
def test_other_kinds_of_files_are_not_replaced(tmp_path, make):
    path = tmp_path / "x"
    make(path)
    before = path.stat()
    with pytest.raises(OSError, match="is not a regular file"), whole_file(path) as stream:
        stream.write(b"new")
    assert os.path.samestat(path.stat(), before)
    assert list(tmp_path.iterdir()) == [path]


def test_links_are_followed_only_on_request(tmp_path):
    (tmp_path / "target").write_text("secret")
    link = tmp_path / "link"
    link.symlink_to("target")
    assert read_bytes(link) == b"secret"
    with pytest.raises(OSError, match="is a link, which is not allowed here"):
        open_regular(link, follow_links=False)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_bytes(path, most_bytes=5) == b"12345"
    with pytest.raises(OSError, match="is larger than 4 bytes"):
        read_bytes(path, most_bytes=4)


def test_writing_replaces_a_link_and_leaves_its_target(tmp_path):
    target, path = tmp_path / "target", tmp_path / "x"
    target.write_text("mine")
    path.symlink_to(target)
    with whole_file(path, text=True) as stream:
        stream.write("new")
    assert target.read_text() == "mine"
    assert not path.is_symlink()
    assert path.read_text() == "new"


def test_drafts_have_names_that_cannot_be_guessed_and_are_removed_after_a_kill(tmp_path):
    path = tmp_path / "x"
    first, descriptor = new_draft(path)
    os.close(descriptor)
    other, descriptor = new_draft(tmp_path / "xx")
    os.close(descriptor)
    again, descriptor = new_draft(path)
    os.close(descriptor)
    assert first != again
    assert {draft.name for draft in tmp_path.iterdir()} == {again.name, other.name}
    assert len(longest_name(path).name) == len(again.name)


def test_a_planted_draft_that_is_a_link_is_removed_and_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / ".x.00000000.part").symlink_to(target)
    with whole_file(tmp_path / "x") as stream:
        stream.write(b"new")
    assert target.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["target", "x"]


def test_files_get_the_mode_that_the_umask_allows(tmp_path):
    before = os.umask(0o077)
    try:
        with whole_file(tmp_path / "x") as stream:
            stream.write(b"new")
        os.close(open_descriptor(tmp_path / "y", os.O_RDWR | os.O_CREAT))
    finally:
        os.umask(before)
    for name in "xy":
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_a_link_is_not_written_to(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "jobs").symlink_to(elsewhere)
    with pytest.raises(OSError, match="is a link"):
        make_folder(tmp_path / "jobs")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
