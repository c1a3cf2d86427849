"""The build child: makes one engine and exits. `python -m edgeagent.engine.build.child`.

Collect calibration frames from the camera's ring (unless the set is there), graft, calibrate, quantise, prove the
result against the FP32 reference in a fresh process, commit to the store. Whatever happens to this process, the
store stays whole and the agent goes on serving.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent.engine.build.messages import BuildStart, Built, Phase, Progress
from edgeagent.engine.bundle import ModelBundle, load_bundle
from edgeagent.engine.calibration import CalibrationSet, find_set, load_frames, save_set, set_lock
from edgeagent.engine.key import engine_facts, engine_key
from edgeagent.engine.manifest import Agreement, Manifest
from edgeagent.engine.store import PLAN, EngineStore, Entry, sha256_of, store_error
from edgeagent.engine.wish import wish_for
from edgeagent.errors import EngineError
from edgeagent.supervise.lifeline import environment_for_child
from edgeagent.supervise.program import ControlChannel, run_child

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SILENCE_S = 120.0  # a step between two words may take this long on a slow device
NO_FRAME_S = 60.0
VERIFY_S = 600.0
SHARES: dict[Phase, tuple[float, float]] = {
    "waiting": (0, 0),
    "collecting": (0, 55),
    "preparing": (55, 60),
    "calibrating": (60, 85),
    "verifying": (85, 98),
    "storing": (98, 100),
}


class Cancelled(Exception):
    """The agent wants this build no longer."""


class Build:
    """One build: the channel to tell progress on, the request, and the store it ends in."""

    def __init__(self, channel: ControlChannel, start: BuildStart) -> None:
        self._channel = channel
        self._start = start
        self._store = EngineStore(Path(start.store))
        self._started = time.monotonic()
        self._key: str | None = None
        self._told = 0.0

    def run(self) -> None:
        bundle = load_bundle(self._start.model)
        found = self._calibration_set(bundle)
        wish = wish_for(
            bundle,
            precision=self._start.precision,
            calibration_digest=found.record.digest,
            backend=self._start.backend,
            fingerprint=self._start.fingerprint,
        )
        self._key = engine_key(wish)
        with self._store.build_lock(self._key) as free:
            entry = self._store.find(self._key) if free else self._wait_for_other(self._key)
            if entry is not None:
                self._say_built(entry, from_store=True)
                return
            self._say_built(self._make(bundle, found, engine_facts(wish)), from_store=False)

    def _wait_for_other(self, key: str) -> Entry | None:
        """Another process builds this very engine: wait for it; take over when it dies without one."""
        while True:
            self._tell("waiting", 0, "another process builds this engine", at_once=True)
            self._pause(1.0)
            with self._store.build_lock(key) as free:
                if free:
                    return self._store.find(key)

    def _calibration_set(self, bundle: ModelBundle) -> CalibrationSet:
        """The set that is there, or a new one. Two builds for one camera collect it once."""
        folder = Path(self._start.calibration.folder)
        while True:
            with set_lock(folder) as free:
                found = self._whole_set(folder)
                if found is not None:
                    return found
                if free:
                    wish = self._start.calibration
                    frames = self._collect(wish.frames + wish.holdout, wish.interval_s)
                    return save_set(folder, _holdout_last(frames, wish.holdout), wish.holdout)
            self._tell("waiting", 0, "another process collects this camera's calibration frames", at_once=True)
            self._pause(0.5)

    def _whole_set(self, folder: Path) -> CalibrationSet | None:
        found = find_set(folder)
        wanted = self._start.calibration.frames + self._start.calibration.holdout
        return found if found is not None and len(found.record.files) >= wanted else None

    def _collect(self, count: int, interval_s: float) -> list[npt.NDArray[np.uint8]]:
        import numpy as np

        from edgeagent.camera.ring import RingReader

        frames: list[npt.NDArray[np.uint8]] = []
        last, waited_since = 0, time.monotonic()
        with RingReader(self._start.ring_fd) as ring:
            while len(frames) < count:
                frame = np.empty((ring.layout.height, ring.layout.width, 3), np.uint8)
                meta = ring.read_newest(frame, after=last)
                if meta is None:
                    self._wait_for_frame(waited_since)
                    continue
                last, waited_since = meta.sequence, time.monotonic()
                frames.append(frame)
                text = f"calibration frame {len(frames)} of {count} from the camera"
                self._tell("collecting", 100 * len(frames) / count, text)
                self._pause(interval_s)
        return frames

    def _wait_for_frame(self, since: float) -> None:
        if time.monotonic() - since > NO_FRAME_S:
            raise EngineError(
                f"the camera gave no frame to calibrate with for {NO_FRAME_S:.0f} s",
                mend="see the camera's health",
                code="no_calibration",
                retry=True,
            )
        self._tell("collecting", 0, "waiting for the camera's first frame")
        self._pause(0.02)

    def _make(self, bundle: ModelBundle, found: CalibrationSet, facts: dict[str, object]) -> Entry:
        key = str(self._key)
        with self._store.staging(key) as staging:
            self._tell("preparing", 0, "grafting normalisation and selection onto the network", at_once=True)
            try:
                self._write_plan(bundle, found, staging)
                agreement = self._verify(found, staging)
            except OSError as error:
                raise store_error("write", staging, error) from error
            self._tell("storing", 0, "writing the engine to the store", at_once=True)
            manifest = Manifest(
                key=key,
                facts=facts,
                model=bundle.spec,
                precision=self._start.precision,
                backend=self._start.backend,
                plan_bytes=(staging / PLAN).stat().st_size,
                plan_sha256=sha256_of(staging / PLAN),
                calibration_digest=found.record.digest,
                agreement=agreement,
                build_s=round(time.monotonic() - self._started, 2),
                built_at_ms=time.time_ns() // 1_000_000,
            )
            return self._store.commit(staging, manifest)

    def _write_plan(self, bundle: ModelBundle, found: CalibrationSet, staging: Path) -> None:
        import onnx

        from edgeagent.engine.graft import graft_bundle
        from edgeagent.engine.quantise import quantise

        reference = staging / "reference.onnx"
        onnx.save(graft_bundle(bundle), str(reference))
        if self._start.precision == "fp32":
            (staging / PLAN).write_bytes(reference.read_bytes())
            return
        frames, _ = load_frames(found)
        os.environ["TMPDIR"] = str(staging)  # the quantiser's scratch files go with the staging directory
        quantise(reference, staging / PLAN, frames, lambda p: self._tell("calibrating", p, "measuring INT8 ranges"))

    def _verify(self, found: CalibrationSet, staging: Path) -> Agreement:
        """Load and run the engine in a process of its own: a bad plan must not take this one along."""
        self._tell("verifying", 0, "comparing with the FP32 network on held-out frames", at_once=True)
        request = {
            "backend": self._start.backend,
            "plan": str(staging / PLAN),
            "reference": str(staging / "reference.onnx"),
            "calibration": str(found.folder),
            "threads": self._start.threads,
        }
        done = subprocess.run(
            [sys.executable, "-m", "edgeagent.engine.build.verify", json.dumps(request)],
            stdout=subprocess.PIPE,
            env=environment_for_child(),
            timeout=VERIFY_S,
            check=False,
        )
        if done.returncode != 0:
            raise EngineError(f"the engine failed in its proof run (exit {done.returncode})", code="engine_crashed")
        agreement = Agreement.model_validate_json(done.stdout)
        if agreement.value < self._start.min_agreement:
            raise EngineError(
                f"the {self._start.precision} engine agrees with the FP32 network to {agreement.value:.3f} only, and "
                f"engines.min_agreement is {self._start.min_agreement}",
                mend="give it better calibration frames, or set engines.precision to fp32",
                code="engine_disagrees",
            )
        return agreement

    def _say_built(self, entry: Entry, *, from_store: bool) -> None:
        manifest = entry.manifest
        self._channel.send(
            Built(key=manifest.key, from_store=from_store, build_s=manifest.build_s, agreement=manifest.agreement)
        )

    def _tell(self, phase: Phase, percent: float, text: str, *, at_once: bool = False) -> None:
        """Tell the agent, at most ten times a second, and hear whether it still wants the build."""
        now = time.monotonic()
        if now - self._told < 0.1 and not at_once:
            return
        self._told = now
        low, high = SHARES[phase]
        whole = low + (high - low) * percent / 100
        self._channel.send(Progress(phase=phase, percent=round(whole, 1), text=text, key=self._key))
        self._channel.beat(SILENCE_S if phase != "verifying" else VERIFY_S)
        self._pause(0.0)

    def _pause(self, seconds: float) -> None:
        if self._channel.receive(seconds) is not None or self._channel.stopping:
            raise Cancelled


def _holdout_last(frames: list[npt.NDArray[np.uint8]], holdout: int) -> list[npt.NDArray[np.uint8]]:
    """Move every n-th frame to the end: held-out frames from the whole time, not from its last second."""
    step = max(1, len(frames) // max(1, holdout))
    picked = set(range(step // 2, len(frames), step)[:holdout])
    rest = [frame for index, frame in enumerate(frames) if index not in picked]
    return rest + [frames[index] for index in sorted(picked)]


def main(channel: ControlChannel) -> int:
    line = channel.receive(timeout_s=None)
    if line is None:
        return 0
    start = BuildStart.model_validate_json(line)
    channel.beat(SILENCE_S)
    from edgeagent.camera.sources import quiet_opencv

    quiet_opencv()
    try:
        Build(channel, start).run()
    except Cancelled:
        return 0
    return 0


if __name__ == "__main__":
    run_child(main)
