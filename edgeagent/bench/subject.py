"""What is measured: an engine, from the store, made of a bundle, or none at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.manifest import batch_of
from edgeagent.engine.store import EngineStore
from edgeagent.errors import OperatorError
from edgeagent.inference.messages import PipelineStart
from edgeagent.inference.session import InferenceSession, open_session

MIN_SCORE, IOU, MOST = 0.35, 0.5, 100


@dataclass(frozen=True)
class Subject:
    """An engine as an infer child is told of it. `name` is for people. `batch`: frames that it takes at once."""

    name: str
    backend: str
    plan: Path
    engine: str
    model: str
    classes: list[str]
    width: int
    height: int
    nms: bool = True
    dla_core: int | None = None
    threads: int = 1
    batch: int = 1

    def pipeline(self, name: str, ring: str) -> PipelineStart:
        return PipelineStart(
            pipeline=name,
            ring=ring,
            backend=self.backend,
            plan=str(self.plan),
            engine=self.engine,
            classes=self.classes,
            keep=None,
            min_score=MIN_SCORE,
            iou=IOU if self.nms else None,
            max_detections=MOST,
            min_interval_s=0.0,
            model=self.model,
            dla_core=self.dla_core,
        )

    @contextmanager
    def session(self) -> Iterator[InferenceSession]:
        with closing(open_session(self.backend, self.plan, self.threads, dla_core=self.dla_core)) as session:
            yield session


def null_subject(folder: Path, width: int, height: int, candidates: int) -> Subject:
    """No engine: what is left is the cost of everything else. Its plan is written into `folder`."""
    plan = folder / "null.json"
    plan.write_text(f'{{"batch": 1, "width": {width}, "height": {height}, "candidates": {candidates}}}\n')
    name = f"null engine {width}x{height}, {candidates} detections"
    return Subject(name, "null", plan, "0" * 32, "null", ["a", "b", "c"], width, height)


def model_subject(folder: Path, where: str, threads: int) -> Subject:
    """The bundle's network as it is, in FP32, on ONNX Runtime. Raises ModelError."""
    from edgeagent.engine.graft import graft_bundle

    bundle = load_bundle(where)
    plan = folder / "model.onnx"
    plan.write_bytes(graft_bundle(bundle).SerializeToString())
    spec = bundle.spec
    return Subject(
        name=f"{spec.name} {spec.version}, FP32, ONNX Runtime on {threads} thread" + "s" * (threads > 1),
        backend="onnxruntime",
        plan=plan,
        engine=bundle.digest[:32],
        model=spec.name,
        classes=spec.classes,
        width=spec.input.width,
        height=spec.input.height,
        threads=threads,
    )


def stored_subject(state_dir: Path, key: str, threads: int) -> Subject:
    """The engine in the store whose key begins with `key`, every byte compared. Raises OperatorError, StoreError."""
    folder = state_dir / "engines"
    if not folder.is_dir():
        raise OperatorError(f"there is no engine store in {state_dir}", mend="name the state directory with --state")
    store = EngineStore(folder)
    matches = [known for known in store.known_keys() if known.startswith(key)] if key else []
    entry = store.find(matches[0]) if len(matches) == 1 else None
    if entry is None:
        what = (
            "is damaged" if len(matches) == 1 else "is the beginning of several" if matches else "is not in the store"
        )
        raise OperatorError(f"the engine {key!r} {what}", mend="`edgeagent engine list` names what is there")
    manifest, spec, batch = entry.manifest, entry.manifest.model, batch_of(entry.manifest)
    return Subject(
        name=f"{spec.name} {spec.version}, {manifest.precision} on {manifest.backend}, {manifest.placement}"
        + (f", {batch} frames at once" if batch > 1 else ""),
        backend=manifest.backend,
        plan=entry.plan_path,
        engine=manifest.key,
        model=spec.name,
        classes=spec.classes,
        width=spec.input.width,
        height=spec.input.height,
        nms=manifest.network is None or manifest.network.nms,
        dla_core=0 if manifest.placement == "dla" else None,
        threads=threads,
        batch=batch,
    )
