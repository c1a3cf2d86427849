"""The board's readings onto MQTT, and the alarms that follow from them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from edgeagent.app.publisher import Publisher
from edgeagent.board.reading import Reading, flat_measurements
from edgeagent.board.telemetry import BoardReader
from edgeagent.config.schema import PowerSettings, ThermalSettings

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
EASED_C = 2.0  # an alarm about heat ends this much further from the limit
EASED_SHARE = 0.95
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
        self, root: Path, state_dir: Path, publisher: Publisher, power: PowerSettings, thermal: ThermalSettings
    ) -> None:
        self._reader = BoardReader(root, state_dir=state_dir)
        self._publisher = publisher
        self._power = power
        self._thermal = thermal
        self._hot = False
        self._hungry = False

    def sample(self) -> None:
        reading = self._reader.read()
        for group, values in flat_measurements(reading).items():
            renamed = {RENAMED.get((group, key), key): value for key, value in values.items()}
            if renamed and REQUIRED.get(group, set()) <= renamed.keys():
                self._publisher.measurement(group, renamed)
        reasons = [*self._heat(reading), *self._hunger(reading)]
        self._publisher.note("board", "degraded" if reasons else "ok", "; ".join(reasons))

    def _heat(self, reading: Reading) -> list[str]:
        headroom = reading.headroom_c
        limit = self._thermal.warn_headroom_c
        alerts = reading.throttle_alerts
        if headroom is not None:
            self._hot = headroom < (limit + EASED_C if self._hot else limit)
        if not (self._hot or alerts):
            self._publisher.clear_alarm("hot")
            return []
        what = f"throttling: {', '.join(alerts)}" if alerts else f"less than {limit:g} C below throttling"
        self._publisher.alarm("hot", "error" if alerts else "warning", f"the board is {what}")
        return [what]

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

    def close(self) -> None:
        self._reader.close()


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
