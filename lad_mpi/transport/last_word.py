"""A program that says of what a rank died, for the rank that could not.

``lad_mpi.transport.guardian`` says how it comes to be run. It is started once a
rank, so it imports next to nothing, and nothing of this package.
"""

import contextlib
import fcntl
import os
import select
import signal
import stat
import struct
import sys
import termios
import time

#: The process itself did what it must not.
_CRASHES = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGSYS", "SIGTRAP"}
#: A limit, or force. What is in neither set is a request to end: its sender knows of it.
_KILLS = {"SIGKILL", "SIGXCPU", "SIGXFSZ"}
_CRASH_HINT = (
    "PYTHONFAULTHANDLER=1 in the environment shows where in the code, and a core file "
    "(ulimit -c unlimited) where in the library"
)
_KILL_HINT = (
    "by a person, a limit, or the kernel for want of memory: dmesg, and sacct under SLURM, "
    "tell of the last"
)
#: Pending once the rank has initialised MPI. It is sent to this process alone.
MPI_IS_UP = signal.SIGRTMIN
#: Whoever kills ranks one after another on purpose gets at this process in the meantime.
_PAUSE_S = 0.02
_PATIENCE_S = 0.5
_LOOK_S = 0.001
#: ``struct pidfd_info`` of the kernel in its first form, and the request for its last
#: field, the end of a process that has been waited for; since Linux 6.15.
_INFO = struct.Struct("=QQ11Ii")
_INFO_EXIT = 1 << 3
_GET_INFO = (3 << 30) | (_INFO.size << 16) | (0xFF << 8) | 11


def main() -> None:
    """Wait for the end of a rank; speak if it was by a signal that nobody asked for."""
    rank, process, handle, descriptor = map(int, sys.argv[1:])
    _close_all_but(handle, descriptor)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll()
    number, code = read_end(process, handle)
    message = describe(rank, process, number)
    if message:
        time.sleep(_PAUSE_S)
        # In one piece: other ranks may be writing to the same place. A full disk, or a stream
        # that is closed, keeps nobody from ending the job.
        with contextlib.suppress(OSError):
            os.write(2, message.encode())
    _wait_until_read()
    if MPI_IS_UP in signal.sigpending():
        # Of a process that it has waited for, hydra takes an exit for an end in order, even
        # without one of MPI, once this socket is closed after it and not with it.
        # After an end of MPI the socket is closed at the other side, and nobody hears.
        with contextlib.suppress(OSError):
            os.write(descriptor, f"cmd=abort exitcode={number or code or 1}\n".encode())


def read_end(process: int, handle: int) -> tuple[int, int]:
    """Return how a process ended: by which signal, 0 if by none or if unknown, and its code.

    Before somebody has waited for it one file tells, afterwards the handle of newer kernels.
    """
    status = 0
    try:
        descriptor = os.open(f"/proc/{process}/stat", os.O_RDONLY)
        # The last field is what a parent would get to see (man 5 proc).
        status = int(os.read(descriptor, 4096).split()[-1])
    except OSError:
        info = bytearray(_INFO.pack(_INFO_EXIT, *[0] * 13))
        with contextlib.suppress(OSError):
            fcntl.ioctl(handle, _GET_INFO, info)
            mask, *_, found = _INFO.unpack(info)
            status = found if mask & _INFO_EXIT else 0
    return status & 0x7F, status >> 8


def describe(rank: int, process: int, number: int) -> str:
    """Return what to say of a death by this signal; nothing where nothing needs to be said."""
    named = number in signal.valid_signals() and number < signal.SIGRTMIN
    name = signal.Signals(number).name if named else ""
    if name in _CRASHES:
        how, hint = f"crashed with {name}", _CRASH_HINT
    elif name in _KILLS:
        how, hint = f"was killed by {name}", _KILL_HINT
    else:
        return ""
    host = os.uname().nodename
    return (
        f"lad-mpi: error on rank {rank}: its process ({process} on host {host}) {how}\n"
        f"  hint: {hint}\n"
    )


def _wait_until_read() -> None:
    """Let hydra take what was written last: once it is told of an end it may not look again."""
    deadline_s = time.monotonic() + _PATIENCE_S
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            waiting = bytearray(4)
            while stat.S_ISFIFO(os.fstat(stream).st_mode) and time.monotonic() < deadline_s:
                fcntl.ioctl(stream, termios.FIONREAD, waiting)
                if not any(waiting):
                    break
                time.sleep(_LOOK_S)


def _close_all_but(*kept: int) -> None:
    """Hold nothing of the rank's but its standard streams and what is needed."""
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = max(first, descriptor + 1)
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


if __name__ == "__main__":
    main()
