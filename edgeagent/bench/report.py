"""A measurement as facts for JSON and as a table for people. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.bench.end_to_end import EndToEnd
from edgeagent.bench.limits import Rate

SCHEMA = "edgeagent.bench/1"
Facts = dict[str, object]
PARTS = ("capture", "infer", "agent", "network")


@dataclass(frozen=True)
class Measured:
    """All of one run. `subject`: the engine, in words."""

    subject: str
    engine: Rate
    session: Rate
    loop: Rate
    whole: EndToEnd

    @property
    def ratio(self) -> float:
        """How much of the engine's rate the loop reaches."""
        return self.loop.fps / self.engine.fps


def facts(measured: Measured) -> Facts:
    return {
        "schema": SCHEMA,
        "subject": measured.subject,
        "engine_limit": _rate(measured.engine),
        "session_limit": _rate(measured.session),
        "loop_limit": _rate(measured.loop),
        "loop_share_of_engine": round(measured.ratio, 4),
        "end_to_end": facts_of_whole(measured.whole),
    }


def _rate(rate: Rate) -> Facts:
    return {"fps": round(rate.fps, 1), "frame_ms": round(rate.ms, 4), "cpu_us": round(rate.cpu_us, 1)}


def facts_of_whole(whole: EndToEnd) -> Facts:
    arrivals, frames = whole.arrivals, whole.arrivals.results
    energy = whole.power.mean_w
    return {
        "broker": whole.broker,
        "cameras": whole.cameras,
        "camera_fps": whole.fps,
        "seconds": round(whole.seconds, 2),
        "results": frames,
        "fps": round(frames / whole.seconds, 2),
        "detections_a_frame": round(arrivals.detections / frames, 2),
        "lost": arrivals.lost,
        "cpu_us": {**_cpu(whole), "ring_to_mqtt": round(_ring_to_mqtt(whole), 1)},
        "core_percent": round(100 * _ring_to_mqtt(whole) * frames / whole.seconds / 1e6, 2),
        "latency_ms": arrivals.latency_ms(),
        "power_w": None if energy is None else round(energy, 3),
        "power_source": whole.power.source,
        "energy_mj": None if energy is None else round(1000 * energy * whole.seconds / frames, 2),
    }


def _cpu(whole: EndToEnd) -> dict[str, float]:
    """Microseconds a result, by process; the agent's link thread counts as `network`."""
    return {name: round(1e6 * getattr(whole.spent, name) / whole.arrivals.results, 1) for name in PARTS}


def _ring_to_mqtt(whole: EndToEnd) -> float:
    """Microseconds a result from the ring to the broker's socket."""
    spent = whole.spent
    return 1e6 * (spent.infer + spent.agent + spent.network) / whole.arrivals.results


def table(measured: Measured) -> str:
    return "\n".join([measured.subject, "", *_limits(measured), "", *_end_to_end(measured.whole)])


def _limits(measured: Measured) -> list[str]:
    rates = {"engine alone": measured.engine, "session": measured.session, "infer child": measured.loop}
    lines = [f"{'':14}{'frames/s':>12}{'ms a frame':>13}{'CPU us a frame':>17}"]
    lines += [f"{name:14}{rate.fps:12.1f}{rate.ms:13.3f}{rate.cpu_us:17.1f}" for name, rate in rates.items()]
    return [*lines, f"the loop reaches {100 * measured.ratio:.1f} % of the engine's rate"]


def _end_to_end(whole: EndToEnd) -> list[str]:
    arrivals, cpu = whole.arrivals, _cpu(whole)
    cameras = f"{whole.cameras} camera{'s' * (whole.cameras > 1)} at {whole.fps:g} fps"
    lines = [
        f"{cameras} to MQTT ({whole.broker}), {whole.seconds:.1f} s",
        f"{arrivals.results} results, {arrivals.results / whole.seconds:.1f} a second, "
        f"{arrivals.detections / arrivals.results:.1f} detections each, {arrivals.lost} frames lost",
        "CPU us a frame: " + ", ".join(f"{name} {value:.0f}" for name, value in cpu.items()),
        f"from the ring to MQTT {_ring_to_mqtt(whole):.0f} us a frame, "
        f"{100 * _ring_to_mqtt(whole) * arrivals.results / whole.seconds / 1e6:.1f} % of a core",
        _power(whole),
        "",
        f"{'latency, ms':14}{'p50':>10}{'p95':>10}{'p99':>10}{'max':>10}",
    ]
    for name, figures in arrivals.latency_ms().items():
        lines.append(f"{name:14}" + "".join(f"{value:10.2f}" for value in figures.values()))
    return lines


def _power(whole: EndToEnd) -> str:
    watts = whole.power.mean_w
    if watts is None:
        return "power: this machine has no rails that tell it"
    energy_mj = 1000 * watts * whole.seconds / whole.arrivals.results
    return f"power {watts:.2f} W ({whole.power.source}), {energy_mj:.1f} mJ a frame"
