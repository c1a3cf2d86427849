"""The opener's thread, and a driver that hangs in it."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest

from edgeagent.errors import EngineError
from edgeagent.inference.engine import Engine, EngineKey
from edgeagent.inference.engine_room import EngineRoom
from edgeagent.inference.opener import Opener

KEY = EngineKey("e", "stand-in", "", None, ())


class Stuck:
    """What of a session an opener calls: its end comes when the test lets it."""

    def __init__(self) -> None:
        self.closing, self.may_end = Event(), Event()

    def close(self) -> None:
        self.closing.set()
        self.may_end.wait(20)


def test_a_driver_that_hangs_while_an_engine_is_closed_is_noticed() -> None:
    """No other engine could be opened, for ever."""
    opener, session = Opener(1), Stuck()
    room = EngineRoom({}, opener, lambda word: None, stuck_s=0.0)
    room.watch()
    opener.close_engine(Engine(KEY, session, np.zeros((1, 1, 3), np.uint8), ()))  # type: ignore[arg-type]
    assert session.closing.wait(20)
    with pytest.raises(EngineError, match="let go of") as caught:
        room.watch()
    assert caught.value.error_code == "engine_stuck" and caught.value.retry
    session.may_end.set()
    room.close()
    assert opener.working_s() == 0.0
