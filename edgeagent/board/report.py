"""A board and one reading of it, for a person and for a program. Pure: values in, text or a JSON-ready dict out.

The text puts first what somebody woken at night asks first: which board, is it slowing itself down, how far is it
from doing so. A value that is missing says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from edgeagent.board.fingerprint import board_fingerprint
from edgeagent.board.identity import Identity
from edgeagent.board.reading import Absent, Reading, Zone, flat_measurements, short_name

_WHY: dict[Absent, str] = {
    "": "",
    "offline": "no answer: that part is powered down (normal while it is not in use)",
    "powered-down": "powered down (normal while it is not in use)",
    "permission": "closed to this user",
    "vanished": "gone since the last look: its driver was unloaded, or never there",
    "unreadable": "the file holds no number",
}


def render_board_text(identity: Identity, reading: Reading) -> str:
    """Some thirty lines, ending in a newline. No colours, at most 120 columns wide for known boards."""
    sections = (
        _head(identity, reading),
        _verdict(reading),
        _temperatures(reading),
        _power(reading),
        _work(reading),
        _contradictions(identity),
    )
    return "\n\n".join("\n".join(lines) for lines in map(list, sections) if lines) + "\n"


def board_json(identity: Identity, reading: Reading) -> dict[str, object]:
    """The same as plain dicts, lists, text and numbers. null = could not be read; `absent` says why."""
    return {
        "schema": "edgeagent/board/1",
        "identity": {**asdict(identity), "evidence": [finding._asdict() for finding in identity.evidence]},
        "fingerprint": board_fingerprint(identity),
        "measurements": flat_measurements(reading),
        "zones": [{**asdict(zone), "headroom_c": zone.headroom_c} for zone in reading.zones],
        "cooling": [asdict(cooling) for cooling in reading.cooling],
        "rails": [asdict(rail) for rail in reading.rails],
        "throttle_alerts": list(reading.throttle_alerts),
        "uptime_s": reading.uptime_s,
    }


def _head(identity: Identity, reading: Reading) -> Iterable[str]:
    yield _title(identity)
    for label, parts in (
        ("module", [identity.module_id, identity.carrier and f"on {identity.carrier}"]),
        ("serial", [identity.serial]),
        ("chip", [", ".join(_chip(identity))]),
        ("software", [", ".join(_software(identity))]),
        ("runs", [f"in a container ({identity.container})" if identity.container else "on the host", _uptime(reading)]),
    ):
        if text := " ".join(part for part in parts if part):
            yield f"  {label:<9} {text}"


def _title(identity: Identity) -> str:
    match identity.kind:
        case "jetson":
            return f"NVIDIA {identity.module}"
        case "unknown-jetson":
            return f"A Jetson that this release does not know{f': {identity.model}' if identity.model else ''}"
        case _:
            return "Not a Jetson"


def _chip(identity: Identity) -> Iterable[str]:
    if identity.soc:
        yield identity.soc
    if identity.gpu:
        yield identity.gpu
    if identity.compute_capability:
        yield f"compute capability {identity.compute_capability}"
    if identity.cpus:
        yield f"{identity.cpus} cores"
    if identity.memory_mb:
        yield f"{identity.memory_mb} MB"
    if identity.soc:
        yield {0: "no DLA", None: "DLA unknown"}.get(identity.dla_cores, f"{identity.dla_cores} DLA")
    yield identity.machine


def _software(identity: Identity) -> Iterable[str]:
    if identity.l4t:
        yield f"L4T {identity.l4t}" + (f" (JetPack {identity.jetpack})" if identity.jetpack else "")
    for name, version in (
        ("TensorRT", identity.tensorrt),
        ("CUDA", identity.cuda),
        ("ONNX Runtime", identity.onnxruntime),
    ):
        yield f"{name} {version}" if version else f"no {name}"


def _uptime(reading: Reading) -> str:
    if reading.uptime_s is None:
        return ""
    minutes = int(reading.uptime_s // 60)
    days, hours = minutes // 1440, minutes // 60 % 24
    return f"for {days} d {hours} h" if days else f"for {hours} h {minutes % 60} min"


def _verdict(reading: Reading) -> Iterable[str]:
    """One sentence on throttling, and one on the surface warning when it is up."""
    if alerts := reading.throttle_alerts:
        yield f"THROTTLING NOW: {', '.join(alerts)}. Clocks are lowered until it cools down."
    elif reading.headroom_c is not None:
        yield f"Not throttling; {reading.headroom_c:.0f} C to go until it does."
    elif reading.hottest is None:
        yield "No temperature can be read here."
    else:
        yield "Whether it throttles cannot be told: no zone here has a throttle temperature."
    if reading.hot_surface:
        yield "Hot surface: do not touch the heat sink. This warning slows nothing down."


def _temperatures(reading: Reading) -> Iterable[str]:
    if reading.zones:
        yield f"{'Temperatures':<18}{'now':>9}{'throttles at':>15}{'shuts down at':>16}"
    for zone in sorted(reading.zones, key=lambda zone: zone.name):
        yield f"  {short_name(zone.name):<16}{_zone_columns(zone)}".rstrip()


def _zone_columns(zone: Zone) -> str:
    if zone.temperature_c is None:
        return f"{'-':>7}    {_WHY[zone.absent]}"
    return f"{zone.temperature_c:7.1f} C{_celsius(zone.throttle_c):>15}{_celsius(zone.critical_c):>16}"


def _celsius(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} C"


def _power(reading: Reading) -> Iterable[str]:
    if reading.rails:
        total = reading.power_total_mw
        yield f"{'Power':<18}" + ("total unknown" if total is None else f"{total / 1000:7.2f} W in all")
    for rail in reading.rails:
        watts = f"{rail.milliwatts / 1000:7.2f} W" if rail.milliwatts is not None else f"      -  {_WHY[rail.absent]}"
        yield f"  {rail.name:<16}{watts}"
    if reading.over_current:
        counts = ", ".join(f"{channel} {events}" for channel, events in reading.over_current)
        yield f"  over-current events since boot: {counts}"


def _work(reading: Reading) -> Iterable[str]:
    yield "Work"
    khz = max((core.freq_khz or 0 for core in reading.cores), default=0)
    yield _busy("cpu", reading.cpu_load_percent, khz or None, "a load needs two readings")
    if reading.gpu.freq_khz is not None or reading.gpu.load_percent is not None:
        yield _busy("gpu", reading.gpu.load_percent, reading.gpu.freq_khz, "load not readable")
    for name, state in reading.dla:
        yield f"  {name:<9} {state}"
    yield from _memory(reading)
    yield from _fan(reading)


def _busy(name: str, load_percent: float | None, khz: int | None, why: str) -> str:
    load = f"{load_percent:5.1f} % busy" if load_percent is not None else f"({why})"
    return f"  {name:<9} {load}" + (f" at {khz / 1000:.0f} MHz" if khz else "")


def _memory(reading: Reading) -> Iterable[str]:
    memory, disk = reading.memory, reading.disk
    if memory.available_kb is not None and memory.total_kb is not None:
        yield f"  memory    {memory.available_kb // 1024} MB of {memory.total_kb // 1024} MB available"
    if disk is not None:
        free, total = disk.free_bytes / 2**30, disk.total_bytes / 2**30
        yield f"  disk      {free:.1f} GiB of {total:.1f} GiB free for edgeagent's state"


def _fan(reading: Reading) -> Iterable[str]:
    parts = []
    if reading.fan.pwm_percent is not None:
        parts.append(f"asked for {reading.fan.pwm_percent:.0f} %")
    if reading.fan.rpm is not None:
        parts.append(f"turns at {reading.fan.rpm} rpm")
    if parts:
        yield f"  fan       {', '.join(parts)}"


def _contradictions(identity: Identity) -> Iterable[str]:
    if identity.contradictions:
        yield "Does not fit together"
    for contradiction in identity.contradictions:
        yield f"  {contradiction}"
