"""The board's readings onto MQTT, and the alarms that follow from them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from edgeagent.app.publisher import Publisher
from edgeagent.board.jtop import JtopSource
from edgeagent.board.jtop_words import fill_reading
from edgeagent.board.reading import OverCurrent, Reading, flat_measurements
from edgeagent.board.telemetry import BoardReader
from edgeagent.clock import Clock
from edgeagent.config.schema import PowerSettings, ThermalSettings

log = structlog.get_logger("board")

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
EASED_C = 2.0  # an alarm about heat ends this much further from the limit
EASED_SHARE = 0.95
QUIET_S = 60.0  # an over-current alarm ends after this long without another event
# the board's names for what the fleet's messages call otherwise
RENAMED = {
    ("cpu", "load_percent"): "percent",
    ("gpu", "load_percent"): "percent",
    ("fan", "pwm_percent"): "percent",
}
REQUIRED = {"thermal": {"temp_max_c"}, "cpu": {"percent"}, "memory": {"total_mb", "available_mb"}}


class BoardWatch:
    """Samples one board. `sample()` costs a few milliseconds and never blocks."""

    def __init__(
        self,
        root: Path,
        state_dir: Path,
        soc: str,
        publisher: Publisher,
        power: PowerSettings,
        thermal: ThermalSettings,
        clock: Clock,
    ) -> None:
        self._reader = BoardReader(root, state_dir=state_dir, soc=soc, clock=clock)
        self._publisher = publisher
        self._power = power
        self._thermal = thermal
        self._clock = clock
        self._hot = False
        self._past = False
        self._throttled = False
        self._hungry = False
        self._over_current_ns = 0
        self._over_currents: set[str] = set()
        self._jtop = JtopSource(clock, interval_s=power.sample_interval_s) if power.jtop else None
        self._jtop_why = ""
        self.on_reading: Callable[[Reading], None] = lambda reading: None

    def change(self, power: PowerSettings, thermal: ThermalSettings) -> None:
        """Watch by these settings from now on."""
        if power.jtop != self._power.jtop or power.sample_interval_s != self._power.sample_interval_s:
            if self._jtop is not None:
                self._jtop.close()
            self._jtop = JtopSource(self._clock, interval_s=power.sample_interval_s) if power.jtop else None
        self._power, self._thermal = power, thermal

    def sample(self) -> None:
        reading = self._with_jtop(self._reader.read())
        self.on_reading(reading)
        for group, values in flat_measurements(reading).items():
            renamed = {RENAMED.get((group, key), key): value for key, value in values.items()}
            if renamed and REQUIRED.get(group, set()) <= renamed.keys():
                self._publisher.measurement(group, renamed)
        watches = (self._throttling, self._heat, self._over_current, self._hunger)
        reasons = [reason for watch in watches for reason in watch(reading)]
        self._publisher.note("board", "degraded" if reasons else "ok", "; ".join(reasons))

    def _throttling(self, reading: Reading) -> list[str]:
        """The chip slows itself down now: no forecast, the kernel's own alert."""
        alerts = reading.throttle_alerts
        if not alerts:
            if reading.throttling is not None or not self._throttled:
                self._throttled = False
                self._publisher.clear_alarm("throttling")
            return ["throttling, as far as could last be read"] if self._throttled else []
        self._throttled = True
        what = f"throttling: {', '.join(alerts)}"
        self._publisher.alarm("throttling", "error", f"the board is {what}")
        return [what]

    def _heat(self, reading: Reading) -> list[str]:
        headroom, limit = reading.headroom_c, self._thermal.warn_headroom_c
        if headroom is not None:
            self._hot = headroom < (limit + EASED_C if self._hot else limit)
            self._past = headroom < (EASED_C if self._past else 0.0)
        if not self._hot and not self._past:
            self._publisher.clear_alarm("hot")
            return []
        what = "past the temperature at which it throttles" if self._past else f"less than {limit:g} C below throttling"
        self._publisher.alarm("hot", "error" if self._past else "warning", f"the board is {what}")
        return [what]

    def _over_current(self, reading: Reading) -> list[str]:
        """oc1 and oc2 should never count; oc3 may, and only its rate tells. Quiet for a while ends the alarm."""
        now_ns = self._clock.monotonic_ns()
        if counting := [found for found in reading.over_current if self._is_trouble(found)]:
            self._over_current_ns = now_ns
            self._over_currents |= {f"{found.channel} ({found.meaning})" for found in counting}
        if not self._over_currents or now_ns - self._over_current_ns > QUIET_S * 1e9:
            self._over_currents.clear()
            self._publisher.clear_alarm("over-current")
            return []
        what = f"over-current: {', '.join(sorted(self._over_currents))}"
        self._publisher.alarm("over-current", "error", what)
        return [what]

    def _is_trouble(self, found: OverCurrent) -> bool:
        if found.channel == "oc3":
            return found.rate_per_s is not None and found.rate_per_s > self._power.warn_oc3_per_s
        return bool(found.new)

    def _hunger(self, reading: Reading) -> list[str]:
        limit, total = self._power.warn_total_w, reading.power_total_mw
        if limit is None or total is None:
            self._publisher.clear_alarm("power")
            return []
        watts = total / 1000
        self._hungry = watts > (limit * EASED_SHARE if self._hungry else limit)
        if not self._hungry:
            self._publisher.clear_alarm("power")
            return []
        self._publisher.alarm("power", "warning", f"the board draws more than {limit:g} W")
        return [f"draws more than {limit:g} W"]

    def quick(self) -> Reading:
        """Only the zones and memory, for looks in between: nothing is published."""
        return self._reader.read_quick()

    def _with_jtop(self, reading: Reading) -> Reading:
        """The reading, with what only jtop knows. Why jtop gives nothing is logged when it changes."""
        if self._jtop is None:
            return reading
        state = self._jtop.poll()
        if state.why not in (self._jtop_why, "starting"):
            log.info("jtop", state=state.why or "ok", reason=state.detail, mend=state.mend)
            self._jtop_why = state.why
        return fill_reading(reading, state.sample)

    def close(self) -> None:
        self._reader.close()
        if self._jtop is not None:
            self._jtop.close()


class OwnCost:
    """What the agent itself takes: resident MiB, and percent of a core since the last look."""

    def __init__(self) -> None:
        self._cpu_s, self._at_s = time.process_time(), time.monotonic()

    def take(self) -> tuple[float, float]:
        cpu_s, at_s = time.process_time(), time.monotonic()
        percent = 100 * (cpu_s - self._cpu_s) / max(1e-3, at_s - self._at_s)
        self._cpu_s, self._at_s = cpu_s, at_s
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            pages = int(file.read().split()[1])
        return round(pages * PAGE_BYTES / 2**20, 1), round(percent, 2)
