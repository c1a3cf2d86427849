"""The build child: makes one engine and exits. `python -m edgeagent.engine.build.child`.

Collect calibration frames from the camera's ring (unless the set is there), graft, calibrate, quantise, prove the
result against the FP32 reference in a fresh process, commit to the store. Whatever happens to this process, the
store stays whole and the agent goes on serving.

While the camera gives its frames, a thread reads the network and loads the libraries: a bad ONNX is refused within a
second or two and not after the last frame, and the wait costs nothing.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent.engine.build.messages import BuildStart, Built
from edgeagent.engine.build.proof import ProofRun
from edgeagent.engine.build.report import SILENCE_S, BuildReport, Cancelled
from edgeagent.engine.build.verify import VerifyRequest
from edgeagent.engine.bundle import ModelBundle, load_bundle
from edgeagent.engine.calibration import CalibrationSet, SetWriter, find_set, set_lock
from edgeagent.engine.key import engine_facts, engine_key
from edgeagent.engine.manifest import Agreement, Manifest
from edgeagent.engine.store import PLAN, EngineStore, Entry, sha256_of
from edgeagent.engine.wish import wish_for
from edgeagent.errors import EngineError
from edgeagent.supervise.program import ControlChannel, run_child

if TYPE_CHECKING:
    import onnx

LOOK_EVERY_S = 0.02
WAIT_FOR_OTHER_S = 0.5
REFERENCE = "reference.onnx"


class Build:
    """One build: what is asked for, whom to tell, and the store it ends in."""

    def __init__(self, start: BuildStart, report: BuildReport, pool: ThreadPoolExecutor) -> None:
        self._start = start
        self._report = report
        self._pool = pool
        self._store = EngineStore(Path(start.store))
        self._started = time.monotonic()
        self._network: Future[onnx.ModelProto] | None = None

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
        key = self._report.key = engine_key(wish)
        while True:
            with self._store.build_lock(key) as free:
                if free:
                    entry = self._store.find(key)
                    made = entry or self._make(key, bundle, found, engine_facts(wish))
                    self._say_built(made, from_store=entry is not None)
                    return
            self._wait("another process builds this engine")

    def _wait(self, text: str) -> None:
        self._report.tell("waiting", 0, text)
        self._report.pause(WAIT_FOR_OTHER_S)

    def _say_built(self, entry: Entry, *, from_store: bool) -> None:
        manifest = entry.manifest
        self._report.send(
            Built(key=manifest.key, from_store=from_store, build_s=manifest.build_s, agreement=manifest.agreement)
        )

    def _calibration_set(self, bundle: ModelBundle) -> CalibrationSet:
        """The set that is there, or a new one. Two builds for one camera collect it once."""
        folder = Path(self._start.calibration.folder)
        while True:
            with set_lock(folder) as free:
                found = find_set(folder)
                if found is not None and self._fits(found, bundle):
                    return found
                if free:
                    with SetWriter(folder) as writer:
                        self._collect(writer, bundle)
                        return writer.commit(self._start.calibration.holdout)
            self._wait("another process collects this camera's calibration frames")

    def _fits(self, found: CalibrationSet, bundle: ModelBundle) -> bool:
        record, wish = found.record, self._start.calibration
        size = (bundle.spec.input.width, bundle.spec.input.height)
        enough = record.holdout >= wish.holdout and len(record.files) >= wish.frames + wish.holdout
        return enough and (record.width, record.height) == size

    def _collect(self, writer: SetWriter, bundle: ModelBundle) -> None:
        """Put as many frames as are asked for into the set, each `interval_s` after the last or later."""
        import numpy as np

        from edgeagent.camera.ring import RingReader

        wish = self._start.calibration
        count = wish.frames + wish.holdout
        network = self._network_of(bundle)
        with RingReader(self._start.ring_fd) as ring:
            layout, size = ring.layout, bundle.spec.input
            if (layout.width, layout.height) != (size.width, size.height):
                raise EngineError(
                    f"the ring holds {layout.width}x{layout.height}, the model takes {size.width}x{size.height}"
                )
            frame = np.empty((layout.height, layout.width, 3), np.uint8)
            last, taken_s = 0, time.monotonic()
            for number in range(count):
                while (meta := ring.read_newest(frame, after=last)) is None:
                    self._wait_for_frame(100 * number / count, time.monotonic() - taken_s)
                last, taken_s = meta.sequence, time.monotonic()
                writer.add(frame)
                text = f"calibration frame {number + 1} of {count} from the camera"
                self._report.tell("collecting", 100 * (number + 1) / count, text)
                if network.done():
                    network.result()  # a network that cannot be used is told at once
                if number + 1 < count:
                    self._report.pause(taken_s + wish.interval_s - time.monotonic())

    def _wait_for_frame(self, percent: float, waited_s: float) -> None:
        patience_s = self._start.calibration.patience_s
        if waited_s > patience_s:
            raise EngineError(
                f"the camera gave no frame to calibrate with for {patience_s:g} s",
                mend="see the camera's health",
                code="no_calibration",
                retry=True,
            )
        if percent == 0 and waited_s > 1:
            self._report.tell("collecting", 0.001, "waiting for the camera's first frame")
        self._report.pause(LOOK_EVERY_S)

    def _network_of(self, bundle: ModelBundle) -> Future[onnx.ModelProto]:
        """The grafted network, being read in the background from the first call on."""
        if self._network is None:
            self._network = self._pool.submit(_prepare, bundle, self._start.precision, self._start.threads)
        return self._network

    def _make(self, key: str, bundle: ModelBundle, found: CalibrationSet, facts: dict[str, object]) -> Entry:
        with self._store.staging(key) as staging, ProofRun() as proof:
            self._report.tell("preparing", 0, "grafting normalisation and selection onto the network")
            network = self._network_of(bundle)
            while not network.done():
                self._report.pause(LOOK_EVERY_S)
            self._write_plan(network.result(), found, staging)
            agreement = self._prove(proof, found, staging)
            self._report.tell("storing", 0, "writing the engine to the store")
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

    def _write_plan(self, network: onnx.ModelProto, found: CalibrationSet, staging: Path) -> None:
        from edgeagent.engine.quantise import activations_for, quantise

        self._store.write(staging, REFERENCE, network.SerializeToString(deterministic=True))
        plan = network
        if self._start.precision == "int8":
            plan = quantise(
                network,
                found.to_calibrate(),
                self._start.threads,
                lambda percent: self._report.tell("calibrating", percent, "measuring INT8 ranges"),
                activations_for(self._start.backend),
            )
        self._store.write(staging, PLAN, plan.SerializeToString(deterministic=True))

    def _prove(self, proof: ProofRun, found: CalibrationSet, staging: Path) -> Agreement:
        self._report.tell("verifying", 0, "comparing with the FP32 network on held-out frames")
        request = VerifyRequest(
            backend=self._start.backend,
            plan=str(staging / PLAN),
            reference=str(staging / REFERENCE),
            calibration=str(found.folder),
            threads=self._start.threads,
        )
        agreement = proof.judge(request, self._report.pause)
        if agreement.value < self._start.min_agreement:
            raise EngineError(
                f"the {self._start.precision} engine agrees with the FP32 network to {agreement.value:.3f} only, and "
                f"engines.min_agreement is {self._start.min_agreement}",
                mend="give it better calibration frames, or set engines.precision to fp32",
                code="engine_disagrees",
            )
        return agreement


def _prepare(bundle: ModelBundle, precision: str, threads: int) -> onnx.ModelProto:
    """The grafted network, proven to run, and everything imported that comes next."""
    from edgeagent.engine.graft import graft_bundle
    from edgeagent.engine.ranges import RangeMeter

    network = graft_bundle(bundle)
    with RangeMeter(network, [], threads):
        pass
    if precision == "int8":
        import onnxruntime.quantization  # noqa: F401
    return network


def main(channel: ControlChannel) -> int:
    line = channel.receive(timeout_s=None)
    if line is None:
        return 0
    start = BuildStart.model_validate_json(line)
    channel.beat(SILENCE_S)
    from edgeagent.camera.sources import quiet_opencv

    quiet_opencv()
    with ThreadPoolExecutor(1) as pool:
        try:
            Build(start, BuildReport(channel), pool).run()
        except Cancelled:
            return 0
    return 0


if __name__ == "__main__":
    run_child(main)
