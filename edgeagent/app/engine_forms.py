"""From settings, board and model to what is asked of a build: the forms to try, and how to build each."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeagent.app.backends import Backend, tensorrt_version
from edgeagent.board.dla import DlaAnswer
from edgeagent.camera.spec import SourceSpec, describe_source
from edgeagent.config.engine_tables import EngineSettings, RegistrySettings
from edgeagent.engine.build.messages import BuilderWish, RegistryWish
from edgeagent.engine.bundle import ModelBundle
from edgeagent.engine.calibration import set_name
from edgeagent.engine.choice import Candidate, FormWish, Ground, list_candidates
from edgeagent.engine.image_files import list_images
from edgeagent.engine.key import EngineWish
from edgeagent.engine.own_marks import mentions_qdq
from edgeagent.engine.wish import wish_for
from edgeagent.errors import EngineError

DLA_TAKES_SCALES_BEFORE = (10, 8)


@dataclass(frozen=True)
class Site:
    """The device as engines see it. `tensorrt` is () where there is none."""

    backend: Backend
    fingerprint: dict[str, str]
    dla: DlaAnswer = field(default_factory=lambda: DlaAnswer("no", 0, "only Jetson modules have a DLA"))
    tensorrt: tuple[int, ...] = field(default_factory=tensorrt_version)


def ground_for(site: Site, bundle: ModelBundle) -> Ground:
    """What the device has for this model. Raises OSError when the model cannot be read."""
    return Ground(
        backend=site.backend,
        tensorrt=site.tensorrt,
        dla=site.dla.answer,
        dla_reason=site.dla.reason,
        dla_cores=site.dla.cores,
        own_qdq=mentions_qdq(bundle.onnx_path),
    )


def candidates_for(
    settings: EngineSettings, site: Site, bundle: ModelBundle, max_batch: int | None = None
) -> list[Candidate]:
    """The forms to try, best first. `max_batch`: the model's own word. Raises EngineError for a wish that fits nothing
    here."""
    try:
        ground = ground_for(site, bundle)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EngineError(f"{bundle.onnx_path} cannot be read: {reason}", code="model", retry=True) from error
    wish = FormWish(
        precision=settings.precision,
        precision_fallback=settings.precision_fallback,
        placement=settings.placement,
        dla_fallback=settings.dla_fallback,
        quantisation=settings.quantisation,
        max_batch=settings.max_batch if max_batch is None else max_batch,
    )
    return list_candidates(wish, ground)


def builder_for(settings: EngineSettings, site: Site, candidate: Candidate, plugins: dict[str, str]) -> BuilderWish:
    """How to build one form. `plugins`: digest by path (`plugin_digests`)."""
    if site.backend == "onnxruntime":
        return BuilderWish()
    on_dla = candidate.variant.placement == "dla"
    facts: dict[str, int | float | str | bool] = {
        "optimization_level": settings.optimization_level if settings.optimization_level is not None else "default",
        "workspace_mb": settings.workspace_mb or "free memory",
    }
    if on_dla:
        facts |= {"dla_max_gpu_layers": settings.dla_max_gpu_layers, "dla_max_gpu_macs": settings.dla_max_gpu_macs}
    if candidate.variant.quantisation == "calibrator":
        facts |= {"calibration_ranges": settings.calibration_ranges}
    return BuilderWish(
        facts=facts,
        optimization_level=settings.optimization_level,
        workspace_mb=settings.workspace_mb,
        timing_cache=settings.timing_cache,
        dla_core=candidate.dla_core or 0,
        dla_max_gpu_layers=settings.dla_max_gpu_layers,
        dla_max_gpu_macs=settings.dla_max_gpu_macs,
        own_scales_apart=on_dla and site.tensorrt < DLA_TAKES_SCALES_BEFORE,
        plugins=tuple(plugins),
        plugin_digests={Path(path).name: digest for path, digest in plugins.items()},
        calibration_ranges=settings.calibration_ranges,
    )


def settings_mark(settings: EngineSettings, calibration: str, max_batch: int | None = None) -> str:
    """Stands for all that a person may have changed after a build came to nothing: a setting, or the pictures in the
    directory, which are in the calibration set's name."""
    own = "" if max_batch is None else f" {max_batch}"
    return hashlib.sha256(f"{settings.model_dump_json()} {calibration}{own}".encode()).hexdigest()[:16]


def plugin_digests(settings: EngineSettings) -> dict[str, str]:
    """SHA-256 of each plugin library, by path. Raises EngineError for one that cannot be read."""
    found = {}
    for path in settings.plugins:
        try:
            found[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise EngineError(
                f"the plugin library {path}: {reason}", mend="see engines.plugins", code="model"
            ) from error
    return found


def engine_wish(
    site: Site, bundle: ModelBundle, candidate: Candidate, builder: BuilderWish, calibration_digest: str
) -> EngineWish:
    """What the key of this form digests."""
    return wish_for(
        bundle,
        candidate.variant,
        calibration_digest=calibration_digest,
        backend=site.backend,
        fingerprint=site.fingerprint,
        builder=builder.facts,
        plugins=builder.plugin_digests,
    )


Cameras = Sequence[tuple[str, SourceSpec | None]]


def calibration_name(images: str | None, cameras: Cameras, width: int, height: int) -> str:
    """The name of the calibration set: of cameras, by name and source, or of a directory and the files in it."""
    if images is None:
        return _name_of_cameras(cameras, width, height)
    mark = hashlib.sha256(f"{width}x{height}\n".encode())
    for path in _pictures_in(Path(images)):
        with contextlib.suppress(OSError):
            status = path.stat()
            name = os.path.relpath(path, images)
            mark.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return f"images-{mark.hexdigest()[:10]}"


def _name_of_cameras(cameras: Cameras, width: int, height: int) -> str:
    (first, _), *others = cameras
    sources = [describe_source(source) if source else "" for _, source in cameras]
    if not others:
        return set_name(first, sources[0], width, height)
    told = [f"{name} {source}" for (name, _), source in zip(cameras, sources, strict=True)]
    return set_name(f"{len(cameras)}-cameras", "\n".join(sorted(told)), width, height)


def _pictures_in(folder: Path) -> list[Path]:
    """The files that the build looks at; none where it will refuse the directory, and say why."""
    try:
        return list_images(folder)
    except EngineError:
        return []


def registry_wish(settings: RegistrySettings) -> RegistryWish:
    """Where finished engines may come from."""
    return RegistryWish(
        urls=tuple(settings.urls) if settings.trusted_keys else (),
        trusted_keys=tuple(settings.trusted_keys),
        stall_s=settings.stall_s,
        timeout_s=settings.timeout_s,
        max_download_mb=settings.max_download_mb,
    )
