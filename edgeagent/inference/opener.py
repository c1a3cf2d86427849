"""Opens and closes engines on a thread beside the loop, one after the other: both take long, and frames go on coming.

`wake_fd` becomes readable when something was opened. What is opened belongs to whoever takes it.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from edgeagent.errors import EngineError
from edgeagent.inference.engine import Engine, EngineKey, open_engine

Opens = Callable[[EngineKey, int, Sequence[float]], Engine]


@dataclass(frozen=True)
class Opened:
    """`engine` is None where it did not load; `error` says why."""

    key: EngineKey
    engine: Engine | None
    error: EngineError | None
    took_s: float


@dataclass(frozen=True)
class _Order:
    key: EngineKey
    known: tuple[float, ...]


class Opener:
    """`close` waits `patience_s` for what is being done, and leaves it to the end of the process else: a driver that
    hangs is no reason to stay. `opens` opens one; it is another function only in tests."""

    def __init__(self, threads: int, opens: Opens = open_engine) -> None:
        self._threads = threads
        self._opens = opens
        self._orders: queue.SimpleQueue[_Order | Engine | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Opened] = queue.SimpleQueue()
        self._begun_s: float | None = None
        self._wanted = 0
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="opener", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether something is being opened, or was and was not taken."""
        return self._wanted > 0

    def open(self, key: EngineKey, known: Sequence[float]) -> None:
        self._wanted += 1
        self._orders.put(_Order(key, tuple(known)))

    def close_engine(self, engine: Engine) -> None:
        """Nobody uses it any more."""
        self._orders.put(engine)

    def take(self) -> list[Opened]:
        """What has been opened since."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.wake_fd)
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._done.get_nowait())
        self._wanted -= len(found)
        return found

    def working_s(self) -> float:
        """How long the thread has been at the engine that it opens or closes now."""
        begun_s = self._begun_s
        return 0.0 if begun_s is None else time.monotonic() - begun_s

    def close(self, patience_s: float = 0.5) -> None:
        self._orders.put(None)
        self._thread.join(patience_s)
        for opened in self.take():
            if opened.engine is not None:
                opened.engine.session.close()
        if not self._thread.is_alive():
            os.close(self.wake_fd)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            begun_s = self._begun_s = time.monotonic()
            if isinstance(order, Engine):
                with suppress(EngineError):  # a GPU that is lost says so to the engines that still run
                    order.session.close()
                self._begun_s = None
                continue
            engine, error = self._opened(order)
            self._begun_s = None
            self._done.put(Opened(order.key, engine, error, time.monotonic() - begun_s))
            os.eventfd_write(self.wake_fd, 1)

    def _opened(self, order: _Order) -> tuple[Engine | None, EngineError | None]:
        try:
            return self._opens(order.key, self._threads, order.known), None
        except EngineError as error:
            return None, error
        except Exception as error:  # noqa: BLE001  the outermost function of a thread
            return None, EngineError(f"the engine does not load: {type(error).__name__}: {error}", code="engine_load")
