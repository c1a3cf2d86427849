"""Frames looked at and results left out, in the words of a child that starts from 0 again."""

from __future__ import annotations

from edgeagent.app.looks import Looks
from edgeagent.inference.messages import InferStats

S = 1_000_000_000


def word(looked: int, unchanged: int) -> InferStats:
    return InferStats(frames=0, dropped={}, torn={}, invalid=0, looked={"p": looked}, unchanged={"p": unchanged})


def test_nothing_is_known_before_two_words() -> None:
    looks = Looks()
    assert looks.tell() == {"unchanged": 0}
    looks.heard(word(30, 20), "p", S)
    assert looks.tell() == {"unchanged": 20}


def test_a_rate_is_counted_between_the_child_s_own_words() -> None:
    looks = Looks()
    looks.heard(word(30, 20), "p", S)
    looks.heard(word(75, 60), "p", S * 5 // 2)
    assert looks.tell() == {"unchanged": 60, "looked_fps": 30.0}
    assert looks.tell() == {"unchanged": 0, "looked_fps": 30.0}


def test_a_new_child_adds_to_what_the_old_one_left_out() -> None:
    looks = Looks()
    looks.heard(word(30, 20), "p", S)
    looks.heard(word(60, 50), "p", 2 * S)
    looks.child_started()
    assert looks.tell() == {"unchanged": 50}
    looks.heard(word(10, 4), "p", 3 * S)
    assert looks.tell() == {"unchanged": 4}
    assert looks.unchanged == 54


def test_a_pipeline_that_the_child_does_not_name_has_looked_at_nothing() -> None:
    looks = Looks()
    for second in (1, 2):
        looks.heard(InferStats(frames=0, dropped={}, torn={}, invalid=0), "p", second * S)
    assert looks.tell() == {"unchanged": 0, "looked_fps": 0.0}
