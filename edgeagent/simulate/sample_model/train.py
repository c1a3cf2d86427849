"""Make the sample model again: draw scenes, train, export, score.

    python -m edgeagent.simulate.sample_model.train --out DIRECTORY

writes conveyor.onnx and scores.json to DIRECTORY. One data-centre GPU and sixteen cores take about eight minutes;
`--scenes 256 --held-out 50 --epochs 2 --device cpu` shows in a minute on a laptop that it works, not how well.
With `--model conveyor.onnx` it only scores that model again, which needs no torch.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeagent.simulate.sample_model import checking, learning, network, pictures
from edgeagent.simulate.scene_parts import CLASSES
from edgeagent.vision.scoring import Precision

SEED: Final = 20261120
MODEL_DATE: Final = "2026-11-20"
STREAM_SEEDS: Final = range(8_000_000, 8_000_040)
STREAM_FRAMES: Final = range(0, 1500, 75)


@dataclass(frozen=True)
class Plan:
    """How to train. `minutes`: epochs are cut so that training ends within this time."""

    scenes: int
    held_out: int
    epochs: int
    batch: int
    rate: float
    decay: float
    device: str
    minutes: float


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    plan = Plan(**{name: getattr(options, name) for name in Plan.__dataclass_fields__})
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        held_out = pictures.draw_pictures(pictures.HELD_OUT, plan.held_out, Path(scratch), options.workers)
        if options.model is None:
            path, made = _make(plan, options.out, Path(scratch), options.workers)
        else:
            path = options.model
            made = {"training": json.loads(path.with_name("scores.json").read_text(encoding="utf-8"))["training"]}
        scores = score(path, held_out, Path(scratch)) | facts(path, plan.held_out) | made
    text = json.dumps(scores, indent=2)
    (options.out / "scores.json").write_text(text + "\n", encoding="utf-8")
    _say(text)
    return 0


def _make(plan: Plan, out: Path, scratch: Path, workers: int) -> tuple[Path, dict[str, Any]]:
    """Draw, train and export; returns the model's path and how it was made."""
    import torch

    began = time.monotonic()
    training = pictures.draw_pictures(pictures.TRAINING, plan.scenes, scratch, workers)
    _say(f"drew {plan.scenes} training pictures in {time.monotonic() - began:.0f} s")
    trained, epochs = train(plan, training)
    views = pictures.VIEWS[pictures.TRAINING]
    made = asdict(plan) | {
        "epochs": epochs,
        "seed": SEED,
        "views": f"default_rng([{pictures.TRAINING}, i]), i = 0..{plan.scenes // views - 1}, {views} pictures each",
        "torch": str(torch.__version__),
        "date": MODEL_DATE,
    }
    del made["minutes"], made["held_out"]
    return export(trained, out / "conveyor.onnx"), {"training": made}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train", description="Train, export and score the sample model.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=None, help="score this model again instead of making one")
    parser.add_argument("--scratch", type=Path, default=None, help="folder for the drawn scenes (300 kB each)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scenes", type=int, default=40_000)
    parser.add_argument("--held-out", type=int, default=1_000)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=2e-2)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=60.0)
    return parser


def train(plan: Plan, training: pictures.Pictures) -> tuple[Any, int]:
    """Train and return the averaged network on the CPU, and the epochs that were run."""
    import torch

    torch.manual_seed(SEED)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    run = _Run(plan, training)
    epochs, epoch, began, first = plan.epochs, 0, time.monotonic(), 0.0
    while epoch < epochs:
        batches = torch.randperm(plan.scenes).to(plan.device).split(plan.batch)[: plan.scenes // plan.batch]
        for number, rows in enumerate(batches):
            run.step(rows, (epoch + number / len(batches)) / epochs)
        epoch += 1
        box, class_ = run.take_losses()
        spent = time.monotonic() - began
        if epoch == 2:  # the first is slower: kernels are chosen in it
            epochs = max(2, min(epochs, 2 + int((plan.minutes * 60 - spent) / (spent - first))))
        elif epoch == 1:
            first = spent
        _say(f"epoch {epoch}/{epochs} {spent:.0f} s box {box:.4f} class {class_:.4f}")
    return run.average.float().cpu().eval(), epochs


class _Run:
    """The network, its moving average and its optimiser while training.

    On a GPU one step is recorded as a CUDA graph and replayed: the network is so small that starting its kernels one
    by one would take longer than running them.
    """

    def __init__(self, plan: Plan, training: pictures.Pictures) -> None:
        import torch

        self.plan, self.steps = plan, 0
        self.graph: Any = None
        self.on_gpu = plan.device == "cuda"
        self.images = torch.from_numpy(np.asarray(training.images)).to(plan.device)
        self.truth = torch.from_numpy(training.truth).to(plan.device)
        self.cells = learning.cells_on(plan.device)
        self.net = network.build_torch().to(plan.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net)
        pairs = zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True)
        self.follow = [(mine, theirs) for mine, theirs in pairs if mine.is_floating_point()]
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim == 1]
        groups = [{"params": decayed, "weight_decay": plan.decay}, {"params": plain, "weight_decay": 0.0}]
        self.rate = torch.tensor(0.0, device=plan.device)
        rate = self.rate if self.on_gpu else 0.0
        self.optimiser = torch.optim.AdamW(groups, lr=rate, capturable=self.on_gpu)
        shape = (plan.batch, 3, network.SIDE, network.SIDE)
        self.batch_images = torch.zeros(shape, device=plan.device).contiguous(memory_format=torch.channels_last)
        self.batch_truth = torch.full((plan.batch, *self.truth.shape[1:]), -1.0, device=plan.device)
        self.losses = torch.zeros(2, device=plan.device)
        self.stream: Any = torch.cuda.Stream() if self.on_gpu else None

    def step(self, rows: Any, progress: float) -> None:  # noqa: ANN401
        """One step of gradient descent on the pictures `rows` (batch,), `progress` 0..1 through the training."""
        images, truth = augment(self.images[rows], self.truth[rows])
        self.batch_images.copy_(images)
        self.batch_truth.copy_(truth)
        self._set_rate(self.plan.rate * _rate_share(progress, self.steps))
        if self.on_gpu and self.steps == 5:
            self._record()
        if self.graph is not None:
            self.graph.replay()
        elif self.on_gpu:
            self._warm_up()
        else:
            self._descend()
        self._move_average()
        self.steps += 1

    def take_losses(self) -> list[float]:
        """Mean box and class loss a step since the last call."""
        batches = max(1, self.plan.scenes // self.plan.batch)
        means: list[float] = (self.losses / batches).tolist()
        self.losses.zero_()
        return means

    def _set_rate(self, rate: float) -> None:
        if self.on_gpu:
            self.rate.fill_(rate)
            return
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def _warm_up(self) -> None:
        """A step on the stream that will be recorded."""
        import torch

        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self._descend()
        torch.cuda.current_stream().wait_stream(self.stream)

    def _record(self) -> None:
        """Record one step; recording does not carry it out."""
        import torch

        self.optimiser.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self._descend(clear=False)

    def _descend(self, *, clear: bool = True) -> None:
        import torch

        if clear:
            self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.plan.device, torch.bfloat16, enabled=self.on_gpu, cache_enabled=False):
            sides, logits = self.net(self.batch_images)
        box_loss, class_loss = learning.loss_of(sides, logits, self.batch_truth, self.cells)
        (box_loss + class_loss).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 10.0)
        self.optimiser.step()
        self.losses += torch.stack([box_loss.detach(), class_loss.detach()])

    def _move_average(self) -> None:
        import torch

        keep = 0.9995 * (1 - math.exp(-(self.steps + 1) / 1000))
        with torch.no_grad():
            torch._foreach_lerp_([mine for mine, _ in self.follow], [theirs for _, theirs in self.follow], 1.0 - keep)


def _rate_share(progress: float, number: int) -> float:
    """Cosine from 1 to 0.01 with 300 steps of warm-up."""
    return min(1.0, (number + 1) / 300) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def augment(images: Any, truth: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """What the renderer does not vary: mirror and transpose the batch, shift brightness, contrast and saturation.

    images: uint8 (B, SIDE, SIDE, 3) BGR -> float (B, 3, SIDE, SIDE) RGB 0..1; truth (B, M, 5) follows.
    """
    import torch

    images = images.flip(-1).permute(0, 3, 1, 2).float() / 255
    truth = truth.clone()
    for axis in (0, 1):
        if torch.rand(()) < 0.5:
            images = images.flip(3 - axis)
            low, high = truth[..., axis].clone(), truth[..., axis + 2].clone()
            truth[..., axis], truth[..., axis + 2] = network.SIDE - high, network.SIDE - low
    if torch.rand(()) < 0.5:
        images, truth = images.transpose(2, 3), truth[..., [1, 0, 3, 2, 4]]
    size = (len(images), 1, 1, 1)
    contrast = torch.empty(size, device=images.device).uniform_(0.8, 1.2)
    shift = torch.empty(size, device=images.device).uniform_(-0.08, 0.08)
    colour = torch.empty(size, device=images.device).uniform_(0.6, 1.3)
    grey = images.mean(1, keepdim=True)
    return ((grey + (images - grey) * colour) * contrast + shift).clamp(0, 1), truth


def export(net: Any, path: Path) -> Path:  # noqa: ANN401
    """Write the network as ONNX to `path` and check that both compute the same."""
    import onnx
    import torch

    onnx.save(network.build_onnx(network.folded_weights(net)), str(path))
    image = next(pictures.calibration_images(1))
    with torch.no_grad():
        sides, logits = net(torch.from_numpy(checking.network_input(image)))
    made = checking.Detector(path).run(image)
    reach = np.maximum(sides.numpy(), 0) * network.cell_centres()[1]
    worst = float(np.abs(made[:, 2:4] - (reach[:, :2] + reach[:, 2:])).max())
    worst_score = float(np.abs(made[:, 4:] - logits.sigmoid().numpy()).max())
    if worst > 0.05 or worst_score > 1e-3:
        raise RuntimeError(f"the export differs from the network: {worst} px, {worst_score} in score")
    return path


def score(path: Path, held_out: pictures.Pictures, scratch: Path) -> dict[str, Any]:
    """mAP50 in FP32 and two forms of INT8 on held-out scenes and streams, and the time on one core.

    `int8`: symmetric activations, as TensorRT takes them; `int8_unsigned`: as ONNX Runtime is fast with on x86.
    """
    checking.single_core()
    models = {"fp32": path, "int8": scratch / "int8.onnx", "int8_unsigned": scratch / "int8_unsigned.onnx"}
    for name, signed in (("int8", True), ("int8_unsigned", False)):
        checking.quantise(path, models[name], pictures.calibration_images(64), signed=signed)
    first = held_out.images[0]
    return {
        "mAP50_scenes": {name: _rounded(checking.score_pictures(model, held_out)) for name, model in models.items()},
        "mAP50_streams": {
            name: _rounded(checking.score_streams(model, STREAM_SEEDS, STREAM_FRAMES)) for name, model in models.items()
        },
        "one_core_ms": {name: asdict(checking.Detector(model).latency(first)) for name, model in models.items()},
    }


def _rounded(precision: Precision) -> dict[str, float]:
    by_class = {CLASSES[class_id]: round(value, 4) for class_id, value in precision.by_class.items()}
    return {"mean": round(precision.mean, 4)} | by_class


def facts(path: Path, held_out: int) -> dict[str, Any]:
    """What is true of the model whatever it scores, and what it was scored on and with."""
    import onnx
    import onnxruntime

    constants = onnx.load(str(path)).graph.initializer
    weights = [item for item in constants if item.name.endswith((".weight", ".bias"))]
    return {
        "parameters": sum(math.prod(item.dims) for item in weights),
        "multiply_accumulates": network.multiplications(),
        "bytes": path.stat().st_size,
        "held_out": {
            "scenes": f"default_rng([{pictures.HELD_OUT}, i]), i = 0..{held_out - 1}, one picture each",
            "streams": f"seeds {STREAM_SEEDS[0]}..{STREAM_SEEDS[-1]}, {len(STREAM_FRAMES)} frames each, 640x480",
            "calibration": f"64 streams, seeds from {pictures.CALIBRATION_SEED}",
        },
        "scored_with": {
            "python": ".".join(map(str, sys.version_info[:3])),
            "numpy": np.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
