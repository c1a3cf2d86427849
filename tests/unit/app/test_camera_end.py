"""When the end of a file played once is told: after its last results, and once."""

from __future__ import annotations

from random import Random

from test_publisher import Memory

from edgeagent.app.cameras import Camera
from edgeagent.app.publisher import Publisher
from edgeagent.camera.spec import FileSpec
from edgeagent.clock import ManualClock
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.topics import Topics


def test_the_end_is_told_once_and_a_moment_after_the_readers_are_done() -> None:
    clock = ManualClock()
    publisher = Publisher(Memory(), Topics("lab", "one"), Stamp("b-1", clock.wall_ms), clock, 0)
    camera = Camera("belt", FileSpec(path="belt.mp4", mode="once"), [(64, 64)], publisher, clock, Random(1))
    try:
        assert not camera.told_end()
        camera.state.ended = True
        assert not camera.told_end(), "results that were sent just now may not be here yet"
        clock.advance(0.2)
        assert not camera.told_end()
        clock.advance(0.1)
        assert (camera.told_end(), camera.told_end()) == (True, False)
    finally:
        camera.close()
