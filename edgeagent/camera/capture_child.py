"""The capture child: one frame source, one or more frame rings. `python -m edgeagent.camera.capture_child`.

The agent starts it while a source is still away, and it waits for its first message with OpenCV loaded. A source that
is lost is told, and the child waits for a first message again: opened anew in the same process, a source is back
without the time that a process takes to start. Not so with Argus: its clients hold sessions in nvargus-daemon, and only
the end of the process lets go of them for certain.
"""

from __future__ import annotations

from contextlib import ExitStack

from edgeagent.camera.capture import Capture, Opener
from edgeagent.camera.messages import FIRST_WORDS, CaptureStart
from edgeagent.camera.ring import RingWriter
from edgeagent.camera.sources import open_source, quiet_opencv
from edgeagent.camera.spec import uses_argus
from edgeagent.errors import SourceError
from edgeagent.supervise.messages import Stop
from edgeagent.supervise.program import ControlChannel, fault_of, run_child


def main(channel: ControlChannel, open_from: Opener = open_source) -> int:
    """Until nothing is wanted any more."""
    quiet_opencv()  # before it is asked for anything: the agent starts us while a source is still away
    while (start := _first_word(channel)) is not None:
        try:
            return _capture(channel, start, open_from)
        except SourceError as error:
            if not error.retry or uses_argus(start.source):
                raise
            channel.send(fault_of(error, stays=True))
    return 0


def _first_word(channel: ControlChannel) -> CaptureStart | None:
    """What to capture; None when nothing is wanted any more. What was said to the capture before us is passed over."""
    while (line := channel.receive(timeout_s=None)) is not None:
        word = FIRST_WORDS.validate_json(line)
        if isinstance(word, CaptureStart):
            return word
        if isinstance(word, Stop):
            return None
    return None


def _capture(channel: ControlChannel, start: CaptureStart, open_from: Opener) -> int:
    with ExitStack() as stack:
        writers = [stack.enter_context(RingWriter(ring.fd, ring.wake_fds)) for ring in start.rings]
        return Capture(channel, start, writers, open_from).run()


if __name__ == "__main__":
    run_child(main)
