"""CSI cameras that keep failing have their daemon restarted: by the real helper, on a virtual board."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
import pytest
from camera_kit import WAIT_S, Told
from test_power_helper_kit import board, helper

from edgeagent.app.argus import EVERY_S, ArgusDesk
from edgeagent.power.client import HelperError, Outcome, PowerHelper
from edgeagent.simulate.board import VirtualBoard


class Hours:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_ns(self) -> int:
        return int(self.now_s * 1e9)

    def wall_ms(self) -> int:
        return 0


class NoHelper:
    def call(self, verb: str, **arguments: str | int | bool) -> Outcome:
        raise HelperError("there is no helper", mend="start it")


async def told_after(asks: int, apart_s: float, root: PowerHelper, events: int) -> Told:
    told, hours = Told(), Hours()
    desk = ArgusDesk(root, told, hours)
    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.run)
            for _ in range(asks):
                desk.ask("front")
                hours.now_s += apart_s
                await anyio.lowlevel.checkpoint()
            while len(told.events) < events:
                await told.changed.wait()
            tasks.cancel_scope.cancel()
    return told


@pytest.fixture
def orin(tmp_path: Path) -> VirtualBoard:
    return board(tmp_path)


def test_the_daemon_is_restarted_once_however_often_cameras_fail(orin: VirtualBoard) -> None:
    with helper(orin) as root:
        told = anyio.run(partial(told_after, 20, 10.0, root, 1))
    assert [kind for kind, _ in told.events] == ["argus-restarted"]
    assert (orin.root / "run/virtual-argus").read_text().splitlines() == ["restarted"]


def test_what_the_helper_refuses_is_told(orin: VirtualBoard) -> None:
    with helper(orin) as root:
        assert root.call("restart-argus").result == "done"
        told = anyio.run(partial(told_after, 1, 0.0, root, 1))
    assert [kind for kind, _ in told.events] == ["argus-not-restarted"]


def test_without_a_helper_it_is_told_and_tried_again_only_later() -> None:
    told = anyio.run(partial(told_after, 2, EVERY_S - 1.0, NoHelper(), 1))
    assert [kind for kind, _ in told.events] == ["argus-not-restarted"]
