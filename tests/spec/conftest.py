"""Packages of other people, installed in folders of their own."""

import sys

import pytest

from lad_mpi.spec.offers import offers


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package: its name, its module's text, its entry points by group."""
    modules = set(sys.modules)

    def install(name, text, *, version="1.0", **points):
        folder = tmp_path / name
        metadata = folder / f"{name}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        groups = [
            f"[lad_mpi.{group}]\n" + "".join(f"{kind} = {name}:{cls}\n" for kind, cls in of.items())
            for group, of in points.items()
        ]
        (metadata / "entry_points.txt").write_text("".join(groups))
        (folder / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(folder)
        offers.cache_clear()

    yield install
    for module in set(sys.modules) - modules:
        del sys.modules[module]
    offers.cache_clear()
