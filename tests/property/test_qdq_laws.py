"""Laws of the Q/DQ form: over random bodies it is in TensorRT's form, and translating it gives the network back."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent.parent / "unit" / "engine"))
from qdq_kit import BODIES, Body

from edgeagent.engine.own_qdq import has_qdq, translate_qdq
from edgeagent.engine.qdq_body import float_nodes
from edgeagent.engine.qdq_check import check_trt_qdq
from edgeagent.engine.qdq_places import choose_places, share_ranges
from edgeagent.engine.quantise import insert_scales, tensors_to_measure
from edgeagent.engine.scale_flow import spread_scales, tensors_without_scale

KINDS = ("conv", "relu", "silu", "add", "concat", "pool", "depthwise", "split", "up")
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12)


def build(steps: list[tuple[str, int, int]]) -> onnx.ModelProto:
    """A body of eight channels and one size, each step from tensors that are there, ended by a convolution."""
    b = Body()
    there = [b.conv("edgeagent/image", "stem", 3, 8)]
    for number, (kind, one, two) in enumerate(steps):
        x, y, name = there[one % len(there)], there[two % len(there)], f"t{number}"
        there.append(_step(b, kind, x, y, name))
    return b.model(b.conv(there[-1], "head", 8, 4, 1), *([there[0]] if steps[0][1] % 5 == 0 else []))


def _step(b: Body, kind: str, x: str, y: str, name: str) -> str:
    if kind == "conv":
        return b.conv(x, name, 8, 8)
    if kind == "depthwise":
        return b.conv(x, name, 8, 8, group=8)
    if kind == "relu":
        return b.relu(x, name)
    if kind == "silu":
        return b.silu(x, name)
    if kind == "add":
        return b.op("Add", [x, y], name)
    if kind == "concat":
        return b.conv(b.op("Concat", [x, y], f"{name}_joined", axis=1), name, 16, 8, 1)
    if kind == "pool":
        return b.op("MaxPool", [x], name, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])
    if kind == "split":
        halves = b.constant(f"{name}_halves", np.array([4, 4]))
        b.op("Split", [x, halves], f"{name}_a", axis=1, outputs=[f"{name}_a", f"{name}_b"])
        return b.op("Concat", [f"{name}_b", f"{name}_a"], name, axis=1)
    down = b.op("MaxPool", [x], f"{name}_down", kernel_shape=[2, 2], strides=[2, 2])
    scales = b.constant(f"{name}_scales", np.array([1, 1, 2, 2], np.float32))
    return b.op("Resize", [down, "", scales], name, mode="nearest", coordinate_transformation_mode="asymmetric")


def ranges_for(network: onnx.ModelProto) -> dict[str, tuple[np.float32, np.float32]]:
    """Made-up ranges: laws hold for any."""
    names = tensors_to_measure(network)
    return {name: (np.float32(-number - 1), np.float32(number / 2)) for number, name in enumerate(names)}


@given(STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_body_is_in_tensorrts_form_and_comes_back(steps: list[tuple[str, int, int]]) -> None:
    network = build(steps)
    ranges = ranges_for(network)
    done = insert_scales(network, ranges)
    onnx.checker.check_model(done)
    assert check_trt_qdq(done) == []
    plain, scales = translate_qdq(done)
    assert not has_qdq(plain)
    same = [(n.op_type, n.name, list(n.output)) for n in network.graph.node]
    assert [(n.op_type, n.name, list(n.output)) for n in plain.graph.node] == same
    groups = choose_places(network, float_nodes(network)).groups
    for name, (low, high) in share_ranges(ranges, groups).items():
        assert scales[name] == pytest.approx(max(-low, high) / 127, rel=1e-5)


@given(STEPS, st.sets(st.integers(0, 30), max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_scales_flow_to_an_end_and_leave_those_given_alone(steps: list[tuple[str, int, int]], which: set[int]) -> None:
    network = build(steps)
    names = [name for node in network.graph.node for name in node.output]
    given_scales = {names[number % len(names)]: 0.01 * (number + 1) for number in which}
    known = spread_scales(network, given_scales)
    assert {name: known[name] for name in given_scales} == given_scales
    assert spread_scales(network, known) == known
    assert all(scale > 0 for scale in known.values())
    assert set(tensors_without_scale(network, known)).isdisjoint(known)


@pytest.mark.parametrize("body", list(BODIES))
def test_groups_do_not_overlap(body: str) -> None:
    network = BODIES[body]()
    groups = choose_places(network, float_nodes(network)).groups
    assert sum(len(group) for group in groups) == len(frozenset().union(*groups))
