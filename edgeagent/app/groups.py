"""Tasks that start together and are stopped together: one group after the other, in the order that the owner names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.abc

from edgeagent.errors import EdgeAgentError

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

STOP_WAIT_S = 5.0


class Group:
    """Some tasks of one kind. An error in one of them ends the group, and is raised to the group's owner."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._scope = anyio.CancelScope()
        self._over = anyio.Event()

    @property
    def begun(self) -> bool:
        """Whether there is anything to stop."""
        return bool(self._calls)

    def add(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """One more task; before `run` only."""
        self._calls.append(call)

    async def run(self) -> None:
        """Until every task has ended or `stop` was called."""
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    for call in self._calls:
                        tasks.start_soon(call)
        finally:
            self._over.set()

    async def stop(self) -> None:
        """Cancel the tasks and wait until they have cleaned up; not for ever."""
        self._scope.cancel()
        with anyio.move_on_after(STOP_WAIT_S, shield=True):
            await self._over.wait()


class Crew:
    """Tasks of one kind that come and go, stopped together. What is begun before `run` starts with it."""

    def __init__(self) -> None:
        self._scope = anyio.CancelScope()
        self._over = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._waiting: list[tuple[Callable[..., Coroutine[Any, Any, None]], tuple[Any, ...]]] = []

    def start_soon(self, call: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        """One more task; none after `stop`."""
        if self._tasks is None:
            self._waiting.append((call, arguments))
        elif not self._scope.cancel_called:
            self._tasks.start_soon(call, *arguments)

    async def run(self) -> None:
        """Until `stop` is called."""
        try:
            with self._scope:
                async with anyio.create_task_group() as self._tasks:
                    for call, arguments in self._waiting:
                        self._tasks.start_soon(call, *arguments)
                    await anyio.sleep_forever()
        finally:
            self._over.set()

    async def stop(self) -> None:
        """Cancel the tasks and wait until they have cleaned up; not for ever."""
        self._scope.cancel()
        if self._tasks is None:
            return
        with anyio.move_on_after(STOP_WAIT_S, shield=True):
            await self._over.wait()


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error a person should read: our own kind before any other."""
    ours, rest = group.split(EdgeAgentError)
    found: BaseException | None = ours or rest
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if found is not None else group
