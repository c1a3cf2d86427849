"""From a grafted network and a calibration set to a proven entry of the store: the build itself.

Everything is written into a staging directory of the store; the entry exists when it is committed, and not before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent.engine.build.backend import BackendJob, BackendOutcome, BuildBackend, BuilderOptions
from edgeagent.engine.build.messages import BuildStart
from edgeagent.engine.build.prepared import Prepared
from edgeagent.engine.build.proof import ProofRun
from edgeagent.engine.build.records import build_record
from edgeagent.engine.build.report import BuildReport
from edgeagent.engine.build.verify import VerifyRequest
from edgeagent.engine.bundle import ModelBundle
from edgeagent.engine.calibration import CalibrationSet
from edgeagent.engine.key import EngineWish, engine_facts, engine_key
from edgeagent.engine.manifest import Agreement, FileRecord, LayerSummary, Manifest, NetworkFacts
from edgeagent.engine.store import PLAN, EngineStore, Entry, sha256_of
from edgeagent.errors import EngineError

if TYPE_CHECKING:
    import onnx

LOOK_EVERY_S = 0.02
REFERENCE, NETWORK = "reference.onnx", "network.onnx"
CALIBRATION_CACHE, BUILD_LOG, LAYERS = "calibration.cache", "build.log", "layers.json"


def open_backend(name: str) -> BuildBackend:
    """The backend of that name. Raises EngineError for one that there is not."""
    if name == "onnxruntime":
        from edgeagent.engine.build.onnxruntime_backend import OnnxRuntimeBackend

        return OnnxRuntimeBackend()
    if name == "tensorrt":
        from edgeagent.engine.build.tensorrt.backend import TensorRtBackend

        return TensorRtBackend()
    raise EngineError(f"there is no build backend {name!r}", mend="the backends are: tensorrt, onnxruntime")


class Maker:
    """Makes one engine. `started_s` is when the build began, for the manifest."""

    def __init__(
        self, start: BuildStart, store: EngineStore, report: BuildReport, bundle: ModelBundle, started_s: float
    ) -> None:
        self._start = start
        self._store = store
        self._report = report
        self._bundle = bundle
        self._started_s = started_s

    def make(
        self, wish: EngineWish, network: Future[Prepared], found: CalibrationSet, notes: Sequence[str] = ()
    ) -> Entry:
        """Build, prove, commit. `notes` tell what led to this build. Raises EngineError when it comes to nothing; the
        store is then as before."""
        key = engine_key(wish)
        with self._store.staging(key) as staging, ProofRun() as proof:
            self._report.tell("preparing", 0, "grafting normalisation and selection onto the network")
            prepared = self.awaited(network)
            facts = prepared.facts
            self._report.tell("preparing", 50, facts.recognised or f"a network of the family {facts.family}")
            job = self._job(wish, prepared.grafted, staging, found)
            self._report.tell("building", 0, f"building {self._start.variant.line()}")
            outcome = open_backend(self._start.backend).build(job, self._report)
            self._keep_for_later(wish, outcome)
            summary = self._judge(outcome)
            agreement = self.prove(proof, facts, found, staging / PLAN, staging / REFERENCE)
            self._report.tell("storing", 0, "writing the engine to the store")
            files = self._write_files(staging, outcome)
            told = replace(outcome, notes=(*notes, *_notes_on(found), *outcome.notes))
            manifest = self._manifest(wish, staging, told, summary, agreement, files)
            return self._store.commit(staging, manifest.model_copy(update={"network": facts}))

    def awaited(self, network: Future[Prepared]) -> Prepared:
        """The network, once it has been read in the background."""
        while not network.done():
            self._report.pause(LOOK_EVERY_S)
        return network.result()

    def _job(self, wish: EngineWish, grafted: onnx.ModelProto, staging: Path, found: CalibrationSet) -> BackendJob:
        from edgeagent.engine.batching import with_batch

        start = self._start
        self._store.write(staging, REFERENCE, grafted.SerializeToString(deterministic=True))
        shaped, own = self._quantised(grafted, found)
        sized = with_batch(shaped, start.batch, fixed=start.variant.fixed_batch)
        self._store.write(staging, NETWORK, sized.SerializeToString(deterministic=True))
        job = BackendJob(
            network=staging / NETWORK,
            variant=start.variant,
            plan=staging / PLAN,
            batch=start.batch,
            pictures=found.to_calibrate() if start.quantisation == "calibrator" else (),
            calibration_cache=own or self._scales_before(wish) or self._scales_here(wish, shaped, found),
            timing_cache=self._store.load_timing_cache(start.fingerprint) if start.builder.timing_cache else None,
            plugins=tuple(Path(path) for path in start.builder.plugins),
            options=self._options(),
            rest=self._report.rest,
            keep_scales=lambda scales: self._keep_scales(wish, scales),
            keep_timings=self._keep_timings,
        )
        if own is not None:  # scales taken out of the model's own Q/DQ nodes: built as if they had been measured
            job = replace(job, variant=replace(start.variant, quantisation="calibrator"))
        return job

    def _options(self) -> BuilderOptions:
        builder = self._start.builder
        return BuilderOptions(
            optimization_level=builder.optimization_level,
            workspace_mb=builder.workspace_mb,
            threads=self._start.threads,
            dla_core=builder.dla_core,
            dla_max_gpu_layers=builder.dla_max_gpu_layers,
            dla_max_gpu_macs=builder.dla_max_gpu_macs,
        )

    def _quantised(self, grafted: onnx.ModelProto, found: CalibrationSet) -> tuple[onnx.ModelProto, bytes | None]:
        """The network in the form that the backend takes, and scales where they come with the model."""
        from edgeagent.engine.own_qdq import has_qdq

        if self._start.quantisation == "qdq":
            return self._with_qdq(grafted, found), None
        if not has_qdq(grafted):
            if self._start.quantisation == "model":
                raise EngineError(
                    "the model has no Q/DQ nodes of its own", mend="name another model", code="no_calibration"
                )
            return grafted, None
        return self._own_scales(grafted, found)

    def _with_qdq(self, grafted: onnx.ModelProto, found: CalibrationSet) -> onnx.ModelProto:
        from edgeagent.engine.quantise import activations_for, quantise

        return quantise(
            grafted,
            found.to_calibrate(),
            self._start.threads,
            lambda percent: self._report.tell("calibrating", percent, "measuring INT8 ranges"),
            activations_for(self._start.backend),
        )

    def _own_scales(self, grafted: onnx.ModelProto, found: CalibrationSet) -> tuple[onnx.ModelProto, bytes | None]:
        """The user's Q/DQ model: as it is for the GPU; for a DLA that wants calibration, and for floating point, as a
        plain network, with its scales beside it where they are wanted."""
        from edgeagent.engine.own_qdq import own_qdq_for, translate_qdq

        if self._start.quantisation == "model" and not self._start.builder.own_scales_apart:
            return own_qdq_for(self._start.backend, grafted), None
        plain, scales = translate_qdq(grafted, self._start.backend)
        if self._start.precision != "int8":
            return plain, None
        return plain, self._cache_of(plain, scales, found)

    def _cache_of(self, plain: onnx.ModelProto, scales: dict[str, float], found: CalibrationSet) -> bytes:
        """The scales as a calibration cache: the model's own, and measured ones where it has none."""
        from edgeagent.engine.own_qdq import complete_scales
        from edgeagent.engine.scale_flow import tensors_without_scale

        whole = complete_scales(
            plain,
            scales,
            found.to_calibrate(),
            self._start.threads,
            lambda percent: self._report.tell("calibrating", percent, "measuring the scales that the model lacks"),
        )
        missing = tensors_without_scale(plain, whole)
        if missing:
            raise EngineError(
                f"{len(missing)} tensors of the model have no scale, the first is {missing[0]!r}",
                mend='calibrate it here: quantisation = "calibrator", with the model before it was quantised',
                code="scales_missing",
                facts={"tensors": len(missing), "first": missing[0]},
            )
        return self._cache(whole)

    def _scales_before(self, wish: EngineWish) -> bytes | None:
        """Scales that an earlier build has measured on these frames: another placement need not measure again."""
        if wish.quantisation != "calibrator":
            return None
        return self._store.load_calibration_cache(*self._where_scales_lie(wish))

    def _scales_here(self, wish: EngineWish, plain: onnx.ModelProto, found: CalibrationSet) -> bytes | None:
        """Scales that cover all that the frames gave, measured with ONNX Runtime. None where TensorRT shall measure."""
        if self._start.quantisation != "calibrator" or self._start.builder.calibration_ranges == "entropy":
            return None
        from edgeagent.engine.ranges import extreme_scales

        scales = extreme_scales(
            plain,
            found.to_calibrate(),
            self._start.threads,
            lambda percent: self._report.tell("calibrating", percent, "measuring INT8 ranges"),
        )
        cache = self._cache(scales)
        self._keep_scales(wish, cache)
        return cache

    def _cache(self, scales: dict[str, float]) -> bytes:
        from edgeagent.engine.scales import CalibrationCache, cache_version_line, write_cache

        return write_cache(CalibrationCache(cache_version_line(self._tensorrt), scales=scales))

    def _where_scales_lie(self, wish: EngineWish) -> tuple[str, str, str, dict[str, object]]:
        made_from = {**wish.options, "calibration_ranges": self._start.builder.calibration_ranges}
        return wish.model_digest, wish.calibration_digest, self._tensorrt, made_from

    @property
    def _tensorrt(self) -> str:
        return self._start.fingerprint.get("tensorrt", "")

    def _keep_for_later(self, wish: EngineWish, outcome: BackendOutcome) -> None:
        if outcome.calibration_cache:
            self._keep_scales(wish, outcome.calibration_cache)
        if outcome.timing_cache:
            self._report.pause(0.0)  # what the agent has said of stopping until now counts
            self._keep_timings(outcome.timing_cache)

    def _keep_scales(self, wish: EngineWish, scales: bytes) -> None:
        if wish.quantisation == "calibrator":
            self._store.save_calibration_cache(*self._where_scales_lie(wish), scales)

    def _keep_timings(self, timings: bytes) -> None:
        """Merged with what is there, unless the build was stopped while it timed: a wrong time would never be
        replaced by a right one."""
        if self._start.builder.timing_cache and not self._report.disturbed:
            self._store.save_timing_cache(self._start.fingerprint, timings)

    def _judge(self, outcome: BackendOutcome) -> LayerSummary | None:
        if not outcome.layers:
            return None
        if self._start.placement != "dla":
            return LayerSummary(layers=len(outcome.layers), on_dla=0, on_gpu=len(outcome.layers), share_gpu=1.0)
        from edgeagent.engine.dla.budget import judge_placement

        builder = self._start.builder
        return judge_placement(
            outcome.layers, max_gpu_layers=builder.dla_max_gpu_layers, max_gpu_macs=builder.dla_max_gpu_macs
        )

    def prove(
        self, proof: ProofRun, facts: NetworkFacts, found: CalibrationSet, plan: Path, reference: Path
    ) -> Agreement:
        """The plan against the FP32 network on held-out frames. Raises EngineError when it does not pass."""
        self._report.tell("verifying", 0, "comparing with the FP32 network on held-out frames")
        request = VerifyRequest(
            backend=self._start.backend,
            plan=str(plan),
            reference=str(reference),
            calibration=str(found.folder),
            threads=self._start.threads,
            task=facts.task,
            nms=facts.nms,
            dla_core=self._start.builder.dla_core if self._start.placement == "dla" else None,
            plugins=self._start.builder.plugins,
            min_agreement=self._start.min_agreement,
        )
        agreement = proof.judge(request, self._report.pause)
        if agreement.value < self._start.min_agreement:
            raise EngineError(
                f"the {self._start.precision} engine agrees with the FP32 network to {agreement.value:.3f} only, and "
                f"engines.min_agreement is {self._start.min_agreement}",
                mend="give it better calibration frames, or allow another precision in engines.precision_fallback",
                code="engine_disagrees",
            )
        return agreement

    def _write_files(self, staging: Path, outcome: BackendOutcome) -> dict[str, FileRecord]:
        contents = {
            CALIBRATION_CACHE: outcome.calibration_cache or b"",
            BUILD_LOG: outcome.log,
            LAYERS: json.dumps([asdict(layer) for layer in outcome.layers]).encode() if outcome.layers else b"",
        }
        files = {}
        for name, data in contents.items():
            if data:
                self._store.write(staging, name, data)
                files[name] = FileRecord(bytes=len(data), sha256=sha256_of(staging / name))
        return files

    def _manifest(
        self,
        wish: EngineWish,
        staging: Path,
        outcome: BackendOutcome,
        summary: LayerSummary | None,
        agreement: Agreement,
        files: dict[str, FileRecord],
    ) -> Manifest:
        return Manifest(
            key=engine_key(wish),
            facts=engine_facts(wish),
            model=self._bundle.spec,
            precision=self._start.precision,
            quantisation=self._start.quantisation,
            placement=self._start.placement,
            backend=self._start.backend,
            plan_bytes=(staging / PLAN).stat().st_size,
            plan_sha256=sha256_of(staging / PLAN),
            calibration_digest=wish.calibration_digest,
            agreement=agreement,
            layers=summary,
            files=files,
            build=build_record(self._start, self._report, outcome, time.monotonic() - self._started_s),
            built_at_ms=time.time_ns() // 1_000_000,
        )


def _notes_on(found: CalibrationSet) -> tuple[str, ...]:
    from edgeagent.engine.spread import describe_spread

    text = describe_spread(found.record.spread)
    return (text,) if text else ()
