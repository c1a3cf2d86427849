"""What the sample detector is taught: which cell answers for which part, and how wrong an answer is.

Task-aligned assignment (Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021): of the cells in a
part's box those ten are positive that both classify and locate it best, alignment = score^0.5 * IoU^6. Their class
target is the alignment, scaled so that a part's best cell gets its IoU. Class loss: binary cross-entropy over all
cells. Box loss: 1 - CIoU (Zheng et al., "Distance-IoU Loss", AAAI 2020) weighted by the target.

Torch tensors throughout: B pictures, M truth rows, N cells, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from edgeagent.simulate.sample_model.network import cell_centres

Tensor: TypeAlias = Any

POSITIVES: Final = 10
BOX_WEIGHT: Final = 5.0


@dataclass(frozen=True)
class Cells:
    """centres (N, 2) xy in input pixels; strides (N,)."""

    centres: Tensor
    strides: Tensor


def cells_on(device: str) -> Cells:
    import torch

    centres, strides = cell_centres()
    return Cells(torch.from_numpy(centres.T.copy()).to(device), torch.from_numpy(strides).to(device))


def boxes_from(sides: Tensor, cells: Cells) -> Tensor:
    """Side distances (B, 4, N) in strides, before their ReLU, to boxes (B, N, 4) xyxy in input pixels.

    A ReLU with a slight slope below zero: a dead side still learns.
    """
    import torch

    reach = torch.nn.functional.leaky_relu(sides.float(), 0.02).transpose(1, 2) * cells.strides[None, :, None]
    return torch.cat([cells.centres - reach[..., :2], cells.centres + reach[..., 2:]], -1)


def ious(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of xyxy boxes, broadcast over the leading axes."""
    low, high = first[..., :2].maximum(second[..., :2]), first[..., 2:].minimum(second[..., 2:])
    shared = _area(low, high)
    return shared / (_area(first[..., :2], first[..., 2:]) + _area(second[..., :2], second[..., 2:]) - shared + 1e-7)


def _area(low: Tensor, high: Tensor) -> Tensor:
    sides = (high - low).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def complete_ious(first: Tensor, second: Tensor) -> Tensor:
    """CIoU of xyxy boxes (..., 4) and (..., 4): IoU less the distance of the centres and the difference in shape."""
    import torch

    overlap = ious(first, second)
    low, high = first[..., :2].minimum(second[..., :2]), first[..., 2:].maximum(second[..., 2:])
    diagonal = ((high - low) ** 2).sum(-1) + 1e-7
    apart = ((first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) ** 2).sum(-1) / 4
    angles = [torch.atan((b[..., 2] - b[..., 0]) / (b[..., 3] - b[..., 1]).clamp(min=1e-3)) for b in (first, second)]
    shape = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    with torch.no_grad():
        weight = shape / (1 - overlap + shape + 1e-7)
    return overlap - apart / diagonal - weight * shape


def assign(scores: Tensor, boxes: Tensor, truth: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
    """Choose the positive cells.

    scores (B, N, C) 0..1, boxes (B, N, 4) and truth (B, M, 5) as in `Pictures`. Returns the class targets (B, N, C)
    and for every cell the truth row that it answers for (B, N), meaningful where its target is above zero.
    """
    import torch

    goal, class_ids = truth[..., :4], truth[..., 4].long().clamp(min=0)
    overlap = ious(goal[:, :, None], boxes[:, None]).clamp(min=0)  # (B, M, N)
    own = scores.transpose(1, 2).gather(1, class_ids[..., None].expand(-1, -1, scores.shape[1]))
    alignment = own.sqrt() * overlap**6 * _inside(goal, truth[..., 4] >= 0, cells)
    best = alignment.topk(POSITIVES, dim=-1)
    chosen = torch.zeros_like(alignment).scatter(-1, best.indices, (best.values > 1e-12).float())
    overlap_chosen = overlap * chosen
    rows = overlap_chosen.argmax(1)  # a cell wanted by several parts goes to the one that it overlaps most
    chosen = chosen * torch.zeros_like(chosen).scatter(1, rows[:, None], 1.0)
    alignment = alignment * chosen
    peak, reach = alignment.amax(-1, keepdim=True), (overlap * chosen).amax(-1, keepdim=True)
    quality = (alignment / (peak + 1e-12) * reach).amax(1)  # (B, N)
    wanted = class_ids.gather(1, rows)
    targets = torch.zeros_like(scores).scatter(-1, wanted[..., None], quality[..., None])
    return targets, rows


def _inside(goal: Tensor, is_part: Tensor, cells: Cells) -> Tensor:
    """Whether each cell's centre lies in each box, (B, M, N); small boxes count as at least 1.2 strides wide."""
    centre = (goal[..., :2] + goal[..., 2:])[:, :, None] / 2
    half = ((goal[..., 2:] - goal[..., :2])[:, :, None] / 2).maximum(0.6 * cells.strides[None, None, :, None])
    return ((cells.centres - centre).abs() < half).all(-1) & is_part[..., None]


def loss_of(sides: Tensor, logits: Tensor, truth: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
    """Box loss and class loss, two scalars, of the network's raw output (B, 4, N) and (B, C, N).

    No step waits for the device, so that the whole of it can be recorded and replayed.
    """
    import torch

    logits = logits.float().transpose(1, 2)
    boxes = boxes_from(sides, cells)
    with torch.no_grad():
        targets, rows = assign(logits.sigmoid(), boxes, truth, cells)
        weight = targets.sum(-1)
        total = weight.sum().clamp(min=1.0)
    class_loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / total
    goal = truth[..., :4].gather(1, rows[..., None].expand(-1, -1, 4))
    box_loss = ((1 - complete_ious(boxes, goal)) * weight).sum() / total
    return BOX_WEIGHT * box_loss, class_loss
