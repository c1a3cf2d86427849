"""A process group at less than full pace: stopped and continued in slices, so that it works for a share of the time.

The group runs for `duty` of each period and is stopped for the rest (SIGSTOP, SIGCONT); at 0 it stays stopped, at 1 it
runs freely. What a late wake-up gives or takes is made good in the next slice, so that the share holds over time. A
period costs two timers of the event loop and no task; near 0 and 1 it is made longer, so that no slice is shorter than
`LEAST_SLICE_S`.

Whatever ends the pacing, the group runs afterwards: a process that was told to end must be able to hear it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

import anyio

from edgeagent.clock import Clock

PERIOD_S = 1.2  # each costs two wake-ups; a die answers within seconds: longer slices would be seen in its temperature
LEAST_SLICE_S = 0.05
LONGEST_SLICE_S = 8.0
MOST_OWED_S = 2.0
LOOK_S = 2.0
NEARLY = 0.01  # a duty this near to 0 or 1 is taken for it


def signal_group(group: int) -> Callable[[signal.Signals], None]:
    """What signals a process group by its number; one that is gone is no error."""

    def send(sig: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(group, sig)

    return send


def plan_run(duty: float, owed_s: float = 0.0) -> float:
    """Seconds to run from now on, for a duty between 0 and 1 (both excluded). Pure.

    `owed_s` is the running time that is owed: it grows by `duty` a second, and what runs takes a second of it. A period
    begins at 0 and sinks while the group runs; `plan_stop` lets it come back to 0.
    """
    period_s = max(PERIOD_S, LEAST_SLICE_S / min(duty, 1.0 - duty))
    return max(LEAST_SLICE_S, duty * period_s + owed_s / (1.0 - duty))


def plan_stop(duty: float, owed_s: float) -> float:
    """Seconds to stand still until nothing is owed either way. Pure."""
    return min(max(LEAST_SLICE_S, -owed_s / duty), LONGEST_SLICE_S)


class Pace:
    """The pace of one process group. `send` signals it; one task runs `run`.

    `set_duty` takes effect at the next slice, at once when it comes to a standstill or to full pace. `stopped_s` is the
    time that the group was stopped so far, `stops` how often. `on_ran` is called when a slice of running ends, and
    every `LOOK_S` of a slice that is longer: what has to be looked at now and then is looked at there, for no wake-up
    of its own.
    """

    def __init__(self, send: Callable[[signal.Signals], None], clock: Clock, duty: float = 1.0) -> None:
        self._send = send
        self._clock = clock
        self._duty = _rounded(duty)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._slice_began_s = 0.0
        self._left_s = 0.0  # of the slice, after the timer that is set
        self._slice_duty = 1.0
        self._stopped_since_s: float | None = None
        self._stopped_s = 0.0
        self._owed_s = 0.0
        self.stops = 0
        self.on_ran: Callable[[], None] = lambda: None

    @property
    def duty(self) -> float:
        return self._duty

    @property
    def is_stopped(self) -> bool:
        return self._stopped_since_s is not None

    @property
    def stopped_s(self) -> float:
        since_s = self._stopped_since_s
        return self._stopped_s + (0.0 if since_s is None else self._now_s() - since_s)

    def set_duty(self, duty: float) -> None:
        """Let it work for this share of the time, 0..1, from now on."""
        before, self._duty = self._duty, _rounded(duty)
        if self._loop is not None and before != self._duty and (_is_end(before) or _is_end(self._duty)):
            self._owed_s = 0.0
            self._begin(self._now_s(), runs=self._duty > 0.0)

    async def run(self) -> None:
        """Until cancelled. The group runs afterwards."""
        self._loop = asyncio.get_running_loop()
        try:
            self._begin(self._now_s(), runs=self._duty > 0.0)
            await anyio.sleep_forever()
        finally:
            self._loop = None
            if self._timer is not None:
                self._timer.cancel()
            self.release()

    def release(self) -> None:
        """Let it run now."""
        self._go(self._now_s())

    def _begin(self, now_s: float, *, runs: bool) -> None:
        """A slice begins."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if runs:
            self._go(now_s)
        else:
            self._stop(now_s)
        if self._loop is None or _is_end(self._duty):
            return
        seconds = plan_run(self._duty, self._owed_s) if runs else plan_stop(self._duty, self._owed_s)
        self._slice_began_s, self._slice_duty = now_s, self._duty
        self._wait(self._loop, seconds)

    def _wait(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        now_s = min(seconds, LOOK_S)
        self._left_s = seconds - now_s
        self._timer = loop.call_later(now_s, self._wake)

    def _wake(self) -> None:
        """A slice ends, or has lasted for so long that somebody should look."""
        if self._loop is None or self._left_s <= 0.0:
            self._end_slice()
        else:
            self._wait(self._loop, self._left_s)
            self.on_ran()

    def _end_slice(self) -> None:
        """Keep the account, and begin the other slice."""
        now_s = self._now_s()
        gone_s, runs = now_s - self._slice_began_s, not self.is_stopped
        owed_s = self._owed_s + self._slice_duty * gone_s - (gone_s if runs else 0.0)
        self._owed_s = min(max(owed_s, -MOST_OWED_S), MOST_OWED_S)
        self._begin(now_s, runs=not runs)
        if runs:
            self.on_ran()

    def _go(self, now_s: float) -> None:
        if self._stopped_since_s is not None:
            self._stopped_s += now_s - self._stopped_since_s
            self._stopped_since_s = None
            self._send(signal.SIGCONT)

    def _stop(self, now_s: float) -> None:
        if self._stopped_since_s is None:
            self._send(signal.SIGSTOP)
            self._stopped_since_s = now_s
            self.stops += 1

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


class RunningClock:
    """A clock that stands still while a process is stopped: for how long it may be silent, and how long it may take.

    `lost_s` tells how many seconds did not count so far.
    """

    def __init__(self, clock: Clock, lost_s: Callable[[], float]) -> None:
        self._clock = clock
        self._lost_s = lost_s

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns() - round(self._lost_s() * 1e9)

    def wall_ms(self) -> int:
        return self._clock.wall_ms()


def _rounded(duty: float) -> float:
    if duty < NEARLY:
        return 0.0
    return 1.0 if duty > 1.0 - NEARLY else duty


def _is_end(duty: float) -> bool:
    return duty in (0.0, 1.0)
