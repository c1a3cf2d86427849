"""Frames that came to nothing, in the words of a child that starts from 0 again."""

from __future__ import annotations

from edgeagent.app.losses import Losses
from edgeagent.inference.messages import InferStats


def word(failed: dict[str, int], torn: dict[str, int]) -> InferStats:
    return InferStats(frames=0, dropped={}, torn=torn, invalid=0, failed=failed)


def test_what_is_failed_is_the_pipeline_s_and_what_is_torn_is_the_ring_s() -> None:
    losses = Losses()
    losses.heard(word({"p": 3, "q": 9}, {"yard/640x640": 2, "gate/640x640": 7}), "p", "yard/640x640")
    assert losses.tell() == {"failed": 3, "torn": 2}
    assert losses.tell() == {"failed": 0, "torn": 0}, "told once"


def test_a_new_child_adds_to_what_the_old_one_lost() -> None:
    losses = Losses()
    losses.heard(word({"p": 3}, {"r": 2}), "p", "r")
    losses.tell()
    losses.heard(word({"p": 4}, {"r": 2}), "p", "r")
    losses.child_started()
    losses.heard(word({}, {"r": 5}), "p", "r")
    assert losses.tell() == {"failed": 1, "torn": 5}
    assert (losses.failed, losses.torn) == (4, 7)
