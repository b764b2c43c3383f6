"""Isolate a worker, so that a bug found by a case cannot harm the machine.

Cases only name files in their folder, but a bug may turn a name into any path. So for a
worker with root privileges, everything else is mounted read-only if the system allows it.
Other users cannot write to most places anyway.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
from pathlib import Path

_NEW_MOUNTS = 0x00020000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_DEATH_SIGNAL = 1


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends for any reason."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def protect_all_but(folder: Path) -> bool:
    """Make all file systems read-only for this process, except one folder.

    Returns
    -------
    bool
        Whether it worked; only root can do it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(_NEW_MOUNTS) != 0:
        return False

    def mount(source: bytes, target: bytes, flags: int) -> bool:
        return libc.mount(source, target, None, ctypes.c_ulong(flags), None) == 0

    own = os.fsencode(folder.resolve())
    if not (mount(b"none", b"/", _RECURSIVE | _PRIVATE) and mount(own, own, _BIND)):
        return False
    for line in Path("/proc/self/mounts").read_bytes().splitlines():
        # Spaces in names are octal escapes.
        target = re.sub(rb"\\(\d{3})", lambda found: bytes([int(found[1], 8)]), line.split()[1])
        if target != own and not target.startswith((b"/proc", b"/sys")):
            mount(b"none", target, _REMOUNT | _BIND | _READ_ONLY)
    return not os.access("/", os.W_OK)


def make_devices(folder: Path) -> None:
    """Create devices for a case, which may be replaced; only root can create them."""
    with contextlib.suppress(OSError):
        for name, minor in (("null", 3), ("zero", 5), ("full", 7)):
            os.mknod(folder / name, 0o020666, os.makedev(1, minor))
