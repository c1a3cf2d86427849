"""A stand-in for the agent: makes a ring, starts a writer and a reader, says their pids, and waits to be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from edgeagent.camera.ring_layout import RingLayout
from edgeagent.camera.ring_memory import create_ring
from edgeagent.supervise.lifeline import environment_for_child

if __name__ == "__main__":
    fd = create_ring(sys.argv[1], RingLayout(320, 320, 2))
    for words in (["children.ring_writer", str(fd), "newest"], ["children.ring_reader", str(fd), "careful", "1000000"]):
        child = subprocess.Popen(
            [sys.executable, "-m", *words], pass_fds=[fd], env=environment_for_child(), stdin=subprocess.PIPE
        )
        os.write(1, b"%d\n" % child.pid)
    signal.pause()
