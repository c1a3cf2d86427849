"""The infer child: one accelerator's engines over the cameras' rings. `python -m edgeagent.inference.infer_child`.

The rings are opened here; what is done with them is the loop's (loop.py).
"""

from __future__ import annotations

from contextlib import ExitStack

from edgeagent.camera.ring import RingReader
from edgeagent.inference.loop import LOAD_SILENCE_S, Infer
from edgeagent.inference.messages import InferStart
from edgeagent.inference.stream import Feed
from edgeagent.supervise.program import ControlChannel, run_child


def main(channel: ControlChannel) -> int:
    line = channel.receive(timeout_s=None)
    if line is None:
        return 0
    start = InferStart.model_validate_json(line)
    channel.beat(LOAD_SILENCE_S)
    from edgeagent.camera.sources import quiet_opencv

    quiet_opencv()
    with ExitStack() as stack:
        feeds = {
            ring.id: Feed(
                stack.enter_context(RingReader(ring.fd, ring.reader)), ring.wake_fd, lossless_only=ring.lossless_only
            )
            for ring in start.rings
        }
        return Infer(channel, start, feeds).run()


if __name__ == "__main__":
    run_child(main)
