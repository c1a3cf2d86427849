"""Whether the running pipelines get their frames through: against what they themselves do when nothing is built. Pure.

A camera's promised rate is no measure: a small board may never get all of it through, with or without a build. So the
usual rate and latency of a pipeline are learnt while no build works, and what it does lately is held against those. A
rate that was asked of a pipeline (because it sheds) is the most that is expected of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeagent.app.sensing import Streams

LEARN_SHARE = 0.2  # of each new second in what is usual
SINK_SHARE = 0.02  # of each slower second: what is usual is forgotten slowly
LATELY = 3  # seconds that are looked at
LEARNT_AFTER = 3  # seconds after which a rate counts as usual
LEAST_FPS = 0.2


@dataclass
class _Stream:
    usual_fps: float | None = None
    usual_ms: float | None = None
    learnt: int = 0
    lately_fps: list[float] = field(default_factory=list)
    lately_ms: list[float] = field(default_factory=list)


class StreamWatch:
    """Takes every pipeline's summary once a second; tells how the worst of them does."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._asked_fps: dict[str, float] = {}

    def ask(self, pipeline: str, fps: float | None) -> None:
        """This rate is asked of a pipeline from now on; None: as much as it can."""
        if fps is None:
            self._asked_fps.pop(pipeline, None)
        else:
            self._asked_fps[pipeline] = fps

    def forget(self, pipeline: str) -> None:
        """It serves no more, or with another engine: nothing is usual."""
        self._streams.pop(pipeline, None)

    def take(self, pipeline: str, values: Mapping[str, object], *, undisturbed: bool) -> None:
        """A second of a pipeline: `fps`, and `lat_p95_ms` where it had results. `undisturbed`: no build works.

        Where not each frame has a result, `looked_fps` counts: a scene in which nothing happens is no lost frame.
        """
        stream = self._streams.setdefault(pipeline, _Stream())
        fps, p95_ms = _number(values.get("looked_fps", values.get("fps"))), _number(values.get("lat_p95_ms"))
        if fps is None:
            return
        stream.lately_fps = [*stream.lately_fps, fps][-LATELY:]
        if p95_ms is not None:
            stream.lately_ms = [*stream.lately_ms, p95_ms][-LATELY:]
        if undisturbed:
            _learn(stream, fps, p95_ms)

    @property
    def knows_all(self) -> bool:
        """Whether it is known what is usual, for every pipeline that runs."""
        return all(stream.learnt >= LEARNT_AFTER for stream in self._streams.values())

    def streams(self) -> Streams:
        """The least share of frames kept and the greatest latency of all pipelines; None where nothing is usual yet."""
        shares = [share for name in self._streams if (share := self._share(name)) is not None]
        ratios = [ratio for stream in self._streams.values() if (ratio := _ratio(stream)) is not None]
        return Streams(min(shares, default=None), max(ratios, default=None))

    def _share(self, name: str) -> float | None:
        stream = self._streams[name]
        if stream.usual_fps is None or stream.learnt < LEARNT_AFTER or len(stream.lately_fps) < LATELY:
            return None
        expected = min(stream.usual_fps, self._asked_fps.get(name, stream.usual_fps))
        if expected < LEAST_FPS:
            return None
        return min(1.0, sum(stream.lately_fps) / len(stream.lately_fps) / expected)


def _learn(stream: _Stream, fps: float, p95_ms: float | None) -> None:
    stream.learnt += 1
    stream.usual_fps = _towards(stream.usual_fps, fps, sinks=True)
    if p95_ms is not None:
        stream.usual_ms = _towards(stream.usual_ms, p95_ms, sinks=False)


def _towards(usual: float | None, new: float, *, sinks: bool) -> float:
    """Quickly towards the better, slowly towards the worse. `sinks`: less is worse."""
    if usual is None:
        return new
    worse = new < usual if sinks else new > usual
    return usual + (SINK_SHARE if worse else LEARN_SHARE) * (new - usual)


def _ratio(stream: _Stream) -> float | None:
    if not stream.usual_ms or not stream.lately_ms or stream.learnt < LEARNT_AFTER:
        return None
    ordered = sorted(stream.lately_ms)
    return ordered[len(ordered) // 2] / stream.usual_ms


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
