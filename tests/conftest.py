"""Two profiles of the tests by hypothesis: ``short``, and ``long`` for ``make test-long``.

``LAD_MPI_TEST_PROFILE`` chooses. A test that sets ``max_examples`` itself is the
same in both; the long profile is for what decodes hostile bytes.
"""

import os
import shutil
import sys
import tempfile
import traceback
from _abc import _reset_caches
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lad_mpi.compression import GpuCodec
from lad_mpi.spec.families import imported, offers

settings.register_profile("short", max_examples=60, deadline=None)
settings.register_profile(
    "long", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("LAD_MPI_TEST_PROFILE", "short"))

pytest_plugins = ["cuda_on_host.fixtures"]


@pytest.fixture
def take_off_gpu(monkeypatch):
    """Take the GPU version of a codec away, for this test.

    From Python 3.12 on, ``isinstance`` remembers that a class keeps a protocol.
    """

    def take(codec):
        monkeypatch.delattr(codec, "encode_on_gpu")
        _reset_caches(GpuCodec)

    yield take
    monkeypatch.undo()
    _reset_caches(GpuCodec)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of one module, for this process and those that it starts.

    Given are its name, the module's text, and for each group of entry points the kinds
    with their classes.
    """
    modules = set(sys.modules)

    def forget():
        offers.cache_clear()
        imported.cache_clear()

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
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        forget()

    yield install
    for module in set(sys.modules) - modules:
        del sys.modules[module]
    forget()


#: A group that nobody is in.
GROUP = 64990


@pytest.fixture
def group_folder():
    """A folder of a group (mode 2775), outside of pytest's own, which others cannot enter."""
    if os.geteuid() != 0:
        pytest.skip("only root can be two other users")
    folder = Path(tempfile.mkdtemp(prefix="lad-mpi-group-", dir="/tmp"))
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_user():
    """Let a user of that group do something in a process that then dies without a word."""

    def act_as(user, umask, act):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setgroups([])
                os.setgid(GROUP)
                os.setuid(user)
                os.umask(umask)
                act()
                code = 0
            finally:
                if code:
                    traceback.print_exc()
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0

    return act_as
