"""The child that collects a calibration set and exits. `python -m edgeagent.engine.build.collect_child`."""

from __future__ import annotations

from edgeagent.engine.build.collect import Collector
from edgeagent.engine.build.collect_messages import Collected, CollectStart
from edgeagent.engine.build.report import SILENCE_S, BuildReport, Cancelled
from edgeagent.supervise.program import ControlChannel, run_child


def main(channel: ControlChannel) -> int:
    line = channel.receive(timeout_s=None)
    if line is None:
        return 0
    start = CollectStart.model_validate_json(line)
    channel.beat(SILENCE_S)
    from edgeagent.camera.sources import quiet_opencv

    quiet_opencv()
    report = BuildReport(channel, "onnxruntime")
    try:
        found = Collector(start.wish, start.ring_fd, report, lambda: None).new_set(start.width, start.height)
    except Cancelled:
        return 0
    report.send(Collected(frames=len(found.record.files), digest=found.record.digest))
    return 0


if __name__ == "__main__":
    run_child(main)
