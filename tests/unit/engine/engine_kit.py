"""What the engines' tests share: small YOLOv8-style networks, bundles, frames, manifests. No tests in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.bundle import InputSpec, ModelBundle, ModelSpec, load_bundle
from edgeagent.engine.manifest import Agreement, BuildRecord, FileRecord, Manifest, Published
from edgeagent.engine.store import PLAN, EngineStore, Entry, sha256_of

Array = npt.NDArray[Any]
Frames = npt.NDArray[np.uint8]
KEY = "0123456789abcdef" * 2
OTHER_KEY = "fedcba9876543210" * 2
NO_FILES: dict[str, bytes] = {}
SIGNATURE = b"ed25519 0011 signature\n"


@dataclass
class Net:
    """A small detector: a stem, then for each of `strides` a box and a score branch, decoded as YOLOv8 does it.

    `dfl`: boxes are the mean of a distribution over that many bins. `named`: whether nodes have names.
    """

    width: int = 32
    height: int = 32
    classes: int = 3
    opset: int = 17
    strides: tuple[int, ...] = (8,)
    dfl: int = 0
    named: bool = True
    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    @property
    def boxes(self) -> int:
        return sum((self.width // stride) * (self.height // stride) for stride in self.strides)

    def model(self) -> onnx.ModelProto:
        self.nodes, self.constants = [], []
        self._rng = np.random.default_rng(self.seed)
        stem = self._conv("images", "stem", 3, 8, 3, stride=2)
        stem = self._op("Relu", [stem], "stem_relu")
        boxes, scores = zip(*[self._level(stem, stride) for stride in self.strides], strict=True)
        all_boxes = self._op("Concat", list(boxes), "all_boxes", axis=2)
        all_scores = self._op("Concat", list(scores), "all_scores", axis=2)
        sure = self._op("Sigmoid", [all_scores], "sure")
        self._op("Concat", [all_boxes, sure], "output0", axis=1)
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, self.height, self.width])],
            [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + self.classes, self.boxes])],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def _level(self, stem: str, stride: int) -> tuple[str, str]:
        """Boxes (1, 4, n) and scores (1, C, n) before the sigmoid, of one grid."""
        rows, columns = self.height // stride, self.width // stride
        n, name = rows * columns, f"p{stride}"
        body = self._op("Relu", [self._conv(stem, f"{name}_body", 8, 8, 3, stride=stride // 2)], f"{name}_relu")
        scores = self._flat(self._conv(body, f"{name}_score", 8, self.classes, 1), self.classes, n, f"{name}_scores")
        sides = self._distances(body, n, name) if self.dfl else self._plain(body, n, name)
        y, x = np.mgrid[:rows, :columns].reshape(2, 1, n) * stride + stride / 2
        centres = np.concatenate([x, y, np.full((2, n), stride)])[None].astype(np.float32)
        return self._op("Add", [sides, self._constant(f"{name}_grid", centres)], f"{name}_boxes"), scores

    def _plain(self, body: str, n: int, name: str) -> str:
        return self._flat(self._conv(body, f"{name}_box", 8, 4, 1), 4, n, f"{name}_sides")

    def _distances(self, body: str, n: int, name: str) -> str:
        bins = self.dfl
        raw = self._conv(body, f"{name}_box", 8, 4 * bins, 1)
        shape = self._constant(f"{name}_bins_shape", np.array([1, 4, bins, n]))
        split = self._op("Reshape", [raw, shape], f"{name}_bins")
        turned = self._op("Transpose", [split], f"{name}_turned", perm=[0, 2, 1, 3])
        soft = self._op("Softmax", [turned], f"{name}_soft", axis=1)
        weights = self._constant(f"{name}_dfl_weight", np.arange(bins, dtype=np.float32).reshape(1, bins, 1, 1))
        mean = self._op("Conv", [soft, weights], f"{name}_dfl", kernel_shape=[1, 1])
        return self._flat(mean, 4, n, f"{name}_sides")

    def _conv(self, source: str, name: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> str:
        scale = 1.5 / np.sqrt(inputs * kernel * kernel)
        weight = self._rng.normal(0, scale, (outputs, inputs, kernel, kernel)).astype(np.float32)
        bias = self._rng.normal(0, 0.5, outputs).astype(np.float32)
        constants = [self._constant(f"{name}_weight", weight), self._constant(f"{name}_bias", bias)]
        pad = [kernel // 2] * 4
        return self._op("Conv", [source, *constants], name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pad)

    def _flat(self, source: str, channels: int, n: int, name: str) -> str:
        shape = self._constant(f"{name}_shape", np.array([1, channels, n]))
        return self._op("Reshape", [source, shape], name)

    def _constant(self, name: str, array: Array) -> str:
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def _op(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        name = f"n_{output}" if self.named else ""
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output


def spec_for(net: Net, **values: Any) -> ModelSpec:
    size = InputSpec(width=net.width, height=net.height, **values)
    names = [f"class-{number}" for number in range(net.classes)]
    return ModelSpec(
        name="tiny", version="1", onnx="tiny.onnx", task="detect", family="yolov8", classes=names, input=size
    )


def write_spec(folder: Path, spec: ModelSpec) -> Path:
    """model.toml as a person would write it."""
    size = spec.input
    text = f"""
name = "{spec.name}"
version = "{spec.version}"
onnx = "{spec.onnx}"
task = "{spec.task}"
family = "{spec.family}"
classes = [{", ".join(f'"{name}"' for name in spec.classes)}]
[input]
width = {size.width}
height = {size.height}
color = "{size.color}"
scale = {size.scale!r}
mean = {size.mean}
std = {size.std}
"""
    path = folder / "model.toml"
    path.write_text(text, encoding="utf-8")
    return path


def write_bundle(folder: Path, net: Net, model: onnx.ModelProto | None = None, **values: Any) -> ModelBundle:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.onnx").write_bytes((model or net.model()).SerializeToString())
    return load_bundle(str(write_spec(folder, spec_for(net, **values))))


def noise_frames(count: int, width: int = 32, height: int = 32, seed: int = 0) -> list[Frames]:
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (count, height, width, 3), np.uint8))


def manifest_for(key: str, plan: bytes, sha256: str, net: Net | None = None, **values: Any) -> Manifest:
    """A manifest for a plan; `values` replace what is in it."""
    told = {
        "key": key,
        "facts": {"key_schema": 1},
        "model": spec_for(net or Net()),
        "precision": "int8",
        "quantisation": "qdq",
        "placement": "cpu",
        "backend": "onnxruntime",
        "plan_bytes": len(plan),
        "plan_sha256": sha256,
        "calibration_digest": "c" * 64,
        "agreement": Agreement(
            value=0.99, basis="detections", frames=4, reference_detections=9, engine_ms=1.5, reference_ms=1.0
        ),
        "build": BuildRecord(seconds=1.0),
        "built_at_ms": 1_700_000_000_000,
    }
    return Manifest(**{**told, **values})


def stage(
    store: EngineStore, staging: Path, key: str, plan: bytes, files: Mapping[str, bytes] = NO_FILES, **values: Any
) -> Manifest:
    """Write an engine into a staging directory; its manifest."""
    records = {}
    for name, data in {PLAN: plan, **files}.items():
        store.write(staging, name, data)
        records[name] = FileRecord(bytes=len(data), sha256=sha256_of(staging / name))
    return manifest_for(key, plan, records.pop(PLAN).sha256, files=records, **values)


def put_entry(
    store: EngineStore, key: str, plan: bytes = b"plan" * 100, files: Mapping[str, bytes] = NO_FILES, **values: Any
) -> Entry:
    """Store an engine with these bytes and files; `values` are of its manifest."""
    with store.staging(key) as staging:
        return store.commit(staging, stage(store, staging, key, plan, files, **values))


def put_signed(store: EngineStore, key: str, plan: bytes = b"plan" * 100, **values: Any) -> tuple[Entry, bytes]:
    """Store an engine as if it had been fetched; the entry, and its manifest as it was signed."""
    with store.staging(key) as staging:
        manifest = stage(store, staging, key, plan, published=Published(issued_ms=1_700_000_000_000), **values)
        data = manifest.model_dump_json(by_alias=True).encode()  # not spelled as `commit` spells it
        return store.commit_signed(staging, data, SIGNATURE, url="https://engines.example.org", signer="0011"), data
