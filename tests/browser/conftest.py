"""A report on a study that runs here, and Chromium to open it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from analysis.cli import main as analysis
from lad_mpi.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: A name that would run a script on a page that does not escape it.
HOSTILE = "<script>alert(1)</script>"
STUDY = f"""
[base]
name = "{HOSTILE}"
iterations = 40
data = {{ dimension = 6 }}
devices = {{ count = 10, byzantine = 2 }}
attack = {{ kind = "sign_flip" }}
[axes]
seed = [1, 2]
coding.load = [1, 2, 5]
aggregation.kind = ["trimmed_mean", "median"]
"""


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on twelve runs and a damaged log."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "study.toml").write_text(STUDY)
    arguments = ["study", "run", str(folder / "study.toml"), "-o", str(folder / "out")]
    assert main([*arguments, "--progress", "none"]) == 0
    (folder / "out" / "damaged.h5").write_bytes(b"no log")
    assert analysis(["report", str(folder / "out"), "-o", str(folder / "report.html")]) == 0
    return folder / "report.html"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    api = pytest.importorskip(
        "playwright.sync_api",
        reason="Playwright is not installed; `make test-browser` installs it",
    )
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"there is no Chromium: none of {', '.join(BROWSERS)} is on the path")
    with api.sync_playwright() as playwright:
        # A sandbox cannot be built by root, nor in most containers.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
