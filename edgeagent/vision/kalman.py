"""Where boxes will be: one Kalman filter a box side, all boxes at once. Pure numpy, no clock.

The model is SORT's and ByteTrack's (Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016; Zhang et al.,
"ByteTrack", ECCV 2022): constant velocity, with noise that grows with the box's size. Box and noise of one coordinate
depend on no other one, so instead of an 8x8 matrix a box there are four filters of two states, in closed form.

ByteTrack's noise is that of one step of its camera. Here a step is a share of `frame_s`, the usual time between two
frames: where frames come evenly the filter is theirs, over a gap of n frames the noise is that of n steps.

A state is float64 (T, 5, 4): position, velocity a second, and the variances pp, pv, vv of centre x, centre y, width
and height. T may be 0. Invariant: variances stay positive and everything finite for finite boxes and times.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

State: TypeAlias = npt.NDArray[np.float64]
Boxes: TypeAlias = npt.NDArray[np.floating[Any]]

POSITION_SHARE: Final = 1.0 / 20.0  # of the box's size: how far off a position is, and how far it strays in a frame
VELOCITY_SHARE: Final = 1.0 / 160.0  # of the box's size: by how much a velocity a frame changes in a frame
FIRST_POSITION: Final = 2.0  # ByteTrack's factors for a box that was seen once
FIRST_VELOCITY: Final = 10.0
LEAST_SIDE: Final = 1.0  # pixel


def no_states() -> State:
    return np.zeros((0, 5, 4))


def start(boxes: Boxes, frame_s: float) -> State:
    """States of boxes (M, 4) xyxy that were seen for the first time: at rest, as far as is known."""
    state = np.zeros((len(boxes), 5, 4))
    state[:, 0] = to_centres(boxes)
    size = _size(state)
    state[:, 2] = (FIRST_POSITION * POSITION_SHARE * size) ** 2
    state[:, 4] = (FIRST_VELOCITY * VELOCITY_SHARE * size / frame_s) ** 2
    return state


def predict(state: State, elapsed_s: float, frame_s: float) -> State:
    """The states `elapsed_s` later."""
    later: State = state.copy()
    if not len(state):
        return later
    steps, size = elapsed_s / frame_s, _size(state)
    position, velocity, pp, pv, vv = state.transpose(1, 0, 2)
    later[:, 0] = position + velocity * elapsed_s
    later[:, 2] = pp + 2.0 * elapsed_s * pv + elapsed_s**2 * vv + steps * (POSITION_SHARE * size) ** 2
    later[:, 3] = pv + elapsed_s * vv
    later[:, 4] = vv + steps * (VELOCITY_SHARE * size / frame_s) ** 2
    later[:, 0, 2:] = np.maximum(later[:, 0, 2:], LEAST_SIDE)
    return later


def update(state: State, boxes: Boxes) -> State:
    """The states after their boxes (T, 4) xyxy were seen."""
    position, velocity, pp, pv, vv = state.transpose(1, 0, 2)
    measured = to_centres(boxes)
    whole = pp + (POSITION_SHARE * _size(state)) ** 2
    gain, velocity_gain, off = pp / whole, pv / whole, measured - position
    rest = 1.0 - gain
    seen = np.empty_like(state)
    seen[:, 0], seen[:, 1] = position + gain * off, velocity + velocity_gain * off
    seen[:, 2], seen[:, 3], seen[:, 4] = rest * pp, rest * pv, vv - velocity_gain * pv
    return seen


def to_centres(boxes: Boxes) -> npt.NDArray[np.float64]:
    """Boxes (M, 4) xyxy as centre x, centre y, width, height."""
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    sides = corners[:, 2:] - corners[:, :2]
    return np.concatenate([corners[:, :2] + sides / 2.0, sides], axis=1)


def to_boxes(state: State) -> npt.NDArray[np.float64]:
    """Where the states' boxes are: (T, 4) xyxy."""
    centres, half = state[:, 0, :2], state[:, 0, 2:] / 2.0
    return np.concatenate([centres - half, centres + half], axis=1)


def _size(state: State) -> npt.NDArray[np.float64]:
    """One length for each box (T, 1): a narrow part that lies across its way moves as far as one that lies along it."""
    sides = np.maximum(state[:, 0, 2:], LEAST_SIDE)
    return np.asarray(np.sqrt(sides[:, :1] * sides[:, 1:]), np.float64)
