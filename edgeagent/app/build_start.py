"""What a build child is started with: its first message, its weight, and what it needs of the board."""

from __future__ import annotations

from pathlib import Path

from edgeagent import __version__
from edgeagent.app.engine_forms import Site, builder_for, registry_wish
from edgeagent.app.engine_job import Job
from edgeagent.config.engine_tables import EngineSettings, RegistrySettings
from edgeagent.engine.build.gate import Go, Need
from edgeagent.engine.build.messages import BuildStart, CalibrationWish
from edgeagent.engine.bundle import ModelBundle, data_files
from edgeagent.supervise.child import ChildSpec

BUILD_NICE = 10
BUILD_OOM_SCORE = 800
FRAME_PIXEL_BYTES = 3 * 4  # the network computes on three FP32 numbers


class BuildMaker:
    """Makes the first message of builds on one site."""

    def __init__(self, settings: EngineSettings, registry: RegistrySettings, state_dir: Path, site: Site) -> None:
        self._settings = settings
        self._registry = registry
        self._state_dir = state_dir
        self._site = site

    def need(self, bundle: ModelBundle, batch: int) -> Need:
        try:
            files = [bundle.onnx_path, *data_files(bundle.onnx_path)]
            model_mb = sum(path.stat().st_size for path in files) / 1e6
        except OSError:
            model_mb = 0.0  # the build says what is wrong with it
        frame = bundle.spec.input
        frame_mb = frame.width * frame.height * FRAME_PIXEL_BYTES / 1e6
        return Need(self._site.backend, model_mb, self._settings.min_disk_free_mb, frame_mb, batch)

    def spec(self, job: Job, go: Go) -> ChildSpec:
        start = self._start(job, go)
        return ChildSpec(
            name=f"build-{job.wanted.pipeline}",
            module="edgeagent.engine.build.child",
            first=start,
            pass_fds=[] if start.ring_fd is None else [start.ring_fd, *start.other_rings],
            own_group=True,
            nice=BUILD_NICE,
            oom_score_adj=BUILD_OOM_SCORE,
            environment={"OMP_NUM_THREADS": str(start.threads)},
        )

    def _start(self, job: Job, go: Go) -> BuildStart:
        settings, wanted, course = self._settings, job.wanted, job.making.course
        candidate = job.making.candidate
        builder = builder_for(settings, self._site, candidate, job.plugins)
        level = course.level if course.level is not None else builder.optimization_level
        return BuildStart(
            model=wanted.model,
            precision=candidate.variant.precision,
            quantisation=candidate.variant.quantisation,
            placement=candidate.variant.placement,
            batch=candidate.variant.batch,
            backend=self._site.backend,
            fingerprint=self._site.fingerprint,
            builder=builder.model_copy(update={"workspace_mb": go.workspace_mb, "optimization_level": level}),
            calibration=CalibrationWish(
                folder=str(wanted.calibration),
                frames=settings.calibration_frames,
                holdout=settings.holdout_frames,
                interval_s=settings.calibration_interval_s,
                looks=settings.calibration_looks,
                images=wanted.images,
            ),
            registry=registry_wish(self._registry),
            store=str(self._state_dir / "engines"),
            ring_fd=wanted.ring_fd if wanted.images is None else None,
            other_rings=wanted.other_rings if wanted.images is None else (),
            threads=settings.build_threads or 1,
            min_agreement=settings.min_agreement,
            attempt=course.attempts,
            steps=course.steps,
            prepared=tuple(job.prepared),
            cancels=course.cancels,
            agent_version=__version__,
        )
