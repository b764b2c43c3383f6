"""The watchdog ends a job that hangs, even if nobody reads its message."""

import subprocess
import sys

# The pipe is full, and nobody reads it. A stopped terminal behaves the same.
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


def test_a_message_that_nobody_reads_does_not_keep_the_rank_alive():
    process = subprocess.Popen([sys.executable, "-c", STUCK], stderr=subprocess.PIPE)
    try:
        assert process.wait(30) == 1
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
