"""The end of a job whose ranks wait in vain: said if anybody reads, and come to in any case."""

import subprocess
import sys

# The pipe is full, and nobody reads it; so does a terminal that is stopped.
STUCK = """
import os, time
from lad_mpi.transport.watchdog import Watchdog
os.set_blocking(2, False)
try:
    while True:
        os.write(2, b"." * 4096)
except BlockingIOError:
    os.set_blocking(2, True)
with Watchdog(0, lambda: None, 0.2)("a collective"):
    time.sleep(60)
"""


def test_a_message_that_nobody_takes_keeps_no_rank_from_ending():
    process = subprocess.Popen([sys.executable, "-c", STUCK], stderr=subprocess.PIPE)
    try:
        assert process.wait(30) == 1
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
