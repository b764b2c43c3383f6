"""The files of integrations/, and the tools that check them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="session")
def root():
    """Return the folder of the repository."""
    return Path(__file__).parents[2]


@pytest.fixture(scope="session")
def integrations(root):
    """Return the folder of the integrations."""
    return root / "integrations"


@pytest.fixture(scope="session")
def pyproject(root):
    """Return what pyproject.toml says."""
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="session")
def tool():
    """Find a program of the extra ``integrations``, beside this Python."""

    def find(name):
        found = shutil.which(name, path=str(Path(sys.executable).parent))
        if found is None:
            pytest.skip(f"{name} is not installed; `make test-integrations` installs it")
        return found

    return find
