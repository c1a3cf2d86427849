"""Make the sample model again: draw scenes, train, export, score.

    python -m edgeagent.simulate.sample_model.train --out DIRECTORY

writes conveyor.onnx and scores.json to DIRECTORY. One data-centre GPU and sixteen cores take about eight minutes;
`--scenes 200 --held-out 50 --epochs 2 --device cpu` shows in a minute on a laptop that it works, not how well.
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
        began = time.monotonic()
        held_out = pictures.draw_pictures(pictures.HELD_OUT, plan.held_out, Path(scratch), options.workers)
        training = pictures.draw_pictures(pictures.TRAINING, plan.scenes, Path(scratch), options.workers)
        _say(f"drew {plan.scenes} + {plan.held_out} scenes in {time.monotonic() - began:.0f} s")
        trained, epochs = train(plan, training)
        path = export(trained, options.out / "conveyor.onnx")
        scores = score(path, held_out, Path(scratch)) | _facts(path, plan, epochs)
    text = json.dumps(scores, indent=2)
    (options.out / "scores.json").write_text(text + "\n", encoding="utf-8")
    _say(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train", description="Train, export and score the sample model.")
    parser.add_argument("--out", type=Path, required=True)
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
    per_epoch = max(1, plan.scenes // plan.batch)
    epochs, step, began = plan.epochs, 0, time.monotonic()
    epoch = 0
    while epoch < epochs:
        losses = torch.zeros(2, device=plan.device)
        for rows in torch.randperm(plan.scenes).split(plan.batch)[:per_epoch]:
            losses += run.step(rows, step / (epochs * per_epoch), step)
            step += 1
        epoch += 1
        box, class_ = (losses / per_epoch).tolist()
        spent = time.monotonic() - began
        if epoch == 1:
            epochs = max(1, min(epochs, int(plan.minutes * 60 / spent)))
        _say(f"epoch {epoch}/{epochs} {spent:.0f} s box {box:.4f} class {class_:.4f}")
    return run.average.float().cpu().eval(), epochs


class _Run:
    """The network, its moving average and its optimiser while training."""

    def __init__(self, plan: Plan, training: pictures.Pictures) -> None:
        import torch

        self.plan = plan
        self.images = torch.from_numpy(np.asarray(training.images)).to(plan.device)
        self.truth = torch.from_numpy(training.truth).to(plan.device)
        self.cells = learning.cells_on(plan.device)
        self.net = network.build_torch().to(plan.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net)
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim == 1]
        groups = [{"params": decayed, "weight_decay": plan.decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=plan.rate)

    def step(self, rows: Any, progress: float, number: int) -> Any:  # noqa: ANN401
        """One step of gradient descent on the pictures `rows`; returns the box and the class loss."""
        import torch

        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate * _rate_share(progress, number)
        rows = rows.to(self.plan.device)
        images, truth = augment(self.images[rows], self.truth[rows])
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.plan.device, torch.bfloat16, enabled=self.plan.device == "cuda"):
            sides, logits = self.net(images)
        box_loss, class_loss = learning.loss_of(sides, logits, truth, self.cells)
        self.optimiser.zero_grad(set_to_none=True)
        (box_loss + class_loss).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 10.0)
        self.optimiser.step()
        self._follow(number)
        return torch.stack([box_loss.detach(), class_loss.detach()])

    def _follow(self, number: int) -> None:
        """Move the average towards the network."""
        import torch

        keep = 0.9995 * (1 - math.exp(-(number + 1) / 1000))
        with torch.no_grad():
            mine, theirs = self.average.state_dict().values(), self.net.state_dict().values()
            floats = [(a, b) for a, b in zip(mine, theirs, strict=True) if a.is_floating_point()]
            torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1.0 - keep)


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
    """mAP50 in FP32 and INT8 on held-out scenes and streams, and the time on one core."""
    checking.single_core()
    int8 = scratch / "int8.onnx"
    checking.quantise(path, int8, pictures.calibration_images(64))
    first = held_out.images[0]
    return {
        "mAP50": {
            "fp32_scenes": _rounded(checking.score_pictures(path, held_out)),
            "int8_scenes": _rounded(checking.score_pictures(int8, held_out)),
            "fp32_streams": _rounded(checking.score_streams(path, STREAM_SEEDS, STREAM_FRAMES)),
            "int8_streams": _rounded(checking.score_streams(int8, STREAM_SEEDS, STREAM_FRAMES)),
        },
        "one_core_ms": {
            "fp32": asdict(checking.Detector(path).latency(first)),
            "int8": asdict(checking.Detector(int8).latency(first)),
        },
    }


def _rounded(precision: Precision) -> dict[str, float]:
    by_class = {CLASSES[class_id]: round(value, 4) for class_id, value in precision.by_class.items()}
    return {"mean": round(precision.mean, 4)} | by_class


def _facts(path: Path, plan: Plan, epochs: int) -> dict[str, Any]:
    import onnxruntime
    import torch

    weights = network.folded_weights(network.build_torch())
    return {
        "date": MODEL_DATE,
        "parameters": sum(kernel.size + bias.size for kernel, bias in weights.values()),
        "multiply_accumulates": network.multiplications(),
        "bytes": path.stat().st_size,
        "held_out": {
            "scenes": f"default_rng([{pictures.HELD_OUT}, i]), i = 0..{plan.held_out - 1}",
            "streams": f"seeds {STREAM_SEEDS[0]}..{STREAM_SEEDS[-1]}, {len(STREAM_FRAMES)} frames each",
            "calibration": f"64 streams, seeds from {pictures.CALIBRATION_SEED}",
        },
        "training": asdict(plan)
        | {"epochs": epochs, "seed": SEED, "scenes_seed": f"default_rng([{pictures.TRAINING}, i])"},
        "versions": {
            "python": ".".join(map(str, sys.version_info[:3])),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
