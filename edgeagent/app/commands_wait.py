"""Waiting for something that becomes true elsewhere on the loop."""

from __future__ import annotations

from collections.abc import Callable

import anyio

LOOK_S = 0.05


async def until(is_so: Callable[[], bool], most_s: float) -> bool:
    """Whether it became so in that time."""
    with anyio.move_on_after(most_s):
        while not is_so():
            await anyio.sleep(LOOK_S)
    return is_so()
