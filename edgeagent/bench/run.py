"""One run of `edgeagent bench`: the four measurements, one after the other."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgeagent.bench.broker import check_reached
from edgeagent.bench.end_to_end import measure_end_to_end
from edgeagent.bench.limits import measure_limits
from edgeagent.bench.loop_limit import measure_loop
from edgeagent.bench.power import Meter
from edgeagent.bench.report import Measured
from edgeagent.bench.subject import Subject, model_subject, null_subject, stored_subject
from edgeagent.fleet.url import Broker


@dataclass(frozen=True)
class Wish:
    """What is to be measured, and how. One of `engine` and `model` is not None, or none of them: no engine at all."""

    engine: str | None
    model: str | None
    size: tuple[int, int]
    detections: int
    state_dir: Path
    threads: int
    cameras: int
    fps: float
    seconds: float
    broker: Broker | None
    root: Path


def run_bench(wish: Wish) -> Measured:
    """Tells on stderr what it is at. Raises OperatorError for what is not there, and what the measurements raise."""
    if wish.broker is not None:
        check_reached(wish.broker)
    with tempfile.TemporaryDirectory(prefix="edgeagent-bench-") as folder:
        subject = _subject(wish, Path(folder))
        _tell(f"{subject.name}: engine and session, {wish.seconds:g} s each")
        engine, session = measure_limits(subject, wish.seconds)
        _tell(f"the infer child alone, {wish.seconds:g} s")
        loop = measure_loop(subject, wish.seconds, cameras=subject.batch)
        _tell(f"{wish.cameras} camera{'s' if wish.cameras > 1 else ''} to MQTT, {wish.seconds:g} s")
        meter = Meter(wish.root)
        whole = measure_end_to_end(subject, wish.cameras, wish.fps, wish.seconds, wish.broker, meter)
    return Measured(subject.name, engine, session, loop, whole)


def _subject(wish: Wish, folder: Path) -> Subject:
    if wish.engine is not None:
        return stored_subject(wish.state_dir, wish.engine, wish.threads)
    if wish.model is not None:
        return model_subject(folder, wish.model, wish.threads)
    return null_subject(folder, *wish.size, wish.detections)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text} ...\n")
