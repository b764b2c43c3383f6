"""A program that says of what a rank died, for the rank that could not.

``lad_mpi.transport.guardian`` says how it comes to be run. It is started once a
rank, so it imports next to nothing, and nothing of this package.
"""

import os
import select
import signal
import sys
import time

#: A death in a crash: the process itself did what it must not.
_CRASHES = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGSYS", "SIGTRAP"}
#: A death by a limit or by force. What is in neither set is a request to end, and its
#: sender knows of it.
_KILLS = {"SIGKILL", "SIGXCPU", "SIGXFSZ"}
_HINTS = {
    True: "PYTHONFAULTHANDLER=1 in the environment shows where in the code, and a core file "
    "(ulimit -c unlimited) where in the library",
    False: "by a person, a limit, or the kernel for want of memory: `dmesg`, and `sacct` under "
    "SLURM, tell of the last",
}
#: Whoever kills ranks one after another on purpose gets at this process in the meantime.
_PAUSE_S = 0.02


def main() -> None:
    """Wait for the end of a process, and speak if it was a signal that nobody asked for."""
    rank, process = int(sys.argv[1]), int(sys.argv[2])
    _close_all_but(int(sys.argv[3]))
    try:
        wait_for_end(process)
        number = signal_of_death(process)
    except OSError:
        # A kernel without pidfds, or the launcher was faster: it is as if we were not here.
        return
    message = describe(rank, process, number)
    if message:
        time.sleep(_PAUSE_S)
        # In one piece: other ranks may be writing to the same place.
        os.write(2, message.encode())


def wait_for_end(process: int) -> None:
    """Return when a process has ended, whether it was waited for by its parent or not."""
    poll = select.poll()
    poll.register(os.pidfd_open(process), select.POLLIN)
    poll.poll()


def signal_of_death(process: int) -> int:
    """Return the signal that ended a process that its parent has not waited for; 0 if none did."""
    descriptor = os.open(f"/proc/{process}/stat", os.O_RDONLY)
    # The last field is what a parent would get to see. (`man 5 proc`)
    return int(os.read(descriptor, 4096).split()[-1]) & 0x7F


def describe(rank: int, process: int, number: int) -> str:
    """Return what to say of a death by this signal; nothing where nothing needs to be said."""
    if number not in signal.valid_signals():
        return ""
    name = signal.Signals(number).name if number < signal.SIGRTMIN else ""
    if name not in _CRASHES | _KILLS:
        return ""
    crashed = name in _CRASHES
    how = f"crashed with {name}" if crashed else f"was killed by {name}"
    return (
        f"lad-mpi: error on rank {rank}: its process ({process} on host {os.uname().nodename}) "
        f"{how}\n  hint: {_HINTS[crashed]}\n"
    )


def _close_all_but(kept: int) -> None:
    """Hold nothing of the rank's but its standard streams and one more."""
    most = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, kept)
    os.closerange(max(kept + 1, 3), most)


if __name__ == "__main__":
    main()
