"""A network of one frame made one for several: the same numbers come out, and what cannot be told so is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from engine_kit import Net, noise_frames, write_bundle
from family_nets import CONVOLVING, convolving, toml_text, write_fixed
from onnx import helper, numpy_helper

from edgeagent.engine.batching import MOST_FRAMES, check_batching, with_batch
from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.quantise import Activations, quantise
from edgeagent.errors import EngineError

RESULTS = ["boxes", "scores", "classes"]
Change = Callable[[onnx.ModelProto], None]


def grafted(folder: Path, kind: str, opset: int = 17) -> onnx.ModelProto:
    family, output = CONVOLVING[kind]
    task = "classify" if kind == "classifier" else "detect"
    text = toml_text(3, 64, 64, family=family, task=task, **output)
    return graft_bundle(write_fixed(folder, convolving(kind, opset=opset), text))


def run(model: onnx.ModelProto, frames: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(RESULTS, {"frames": frames})
    return found


def shapes(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    values = (*model.graph.input, *model.graph.output)
    return {v.name: [dim.dim_param or dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in values}


@pytest.mark.parametrize("opset", [13, 17, 21])
@pytest.mark.parametrize("kind", CONVOLVING)
def test_several_frames_give_what_each_gives_alone(kind: str, opset: int, tmp_path: Path) -> None:
    network = grafted(tmp_path, kind, opset)
    frames = np.stack(noise_frames(4, 64, 64))
    alone = [run(network, frame[None]) for frame in frames]
    check_batching(network, 4, threads=1)
    for fixed, counts in ((True, [4]), (False, [1, 2, 3, 4])):
        several = with_batch(network, 4, fixed=fixed)
        for count in counts:
            for position, found in enumerate(run(several, frames[:count])):
                wanted = np.concatenate([one[position] for one in alone[:count]])
                np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
                assert found.dtype == wanted.dtype


@pytest.mark.parametrize("activations", ["signed", "unsigned"])
def test_the_quantised_sample_gives_the_same_bit_for_bit(activations: Activations) -> None:
    network = graft_bundle(load_bundle("sample:conveyor"))
    _, height, width, _ = shapes(network)["frames"]
    frames = np.stack(noise_frames(4, int(width), int(height)))
    quantised = quantise(network, frames[:2], 1, lambda percent: None, activations)
    several = with_batch(quantised, 4, fixed=False)
    alone = [run(quantised, frame[None]) for frame in frames]
    for position, found in enumerate(run(several, frames)):
        np.testing.assert_array_equal(found, np.concatenate([one[position] for one in alone]))


def test_how_many_frames_it_takes_stands_in_it(tmp_path: Path) -> None:
    network = grafted(tmp_path, "yolov8")
    before = network.SerializeToString()
    opened, fixed = with_batch(network, 4, fixed=False), with_batch(network, 4, fixed=True)
    assert {entry.key: entry.value for entry in opened.metadata_props} == {MOST_FRAMES: "4"}
    assert not fixed.metadata_props
    assert [shape[0] for shape in shapes(opened).values()] == ["batch"] * 4
    assert [shape[0] for shape in shapes(fixed).values()] == [4] * 4
    assert network.SerializeToString() == before, "it stays as it is"
    assert with_batch(network, 1, fixed=False) is network, "for one frame nothing changes"


def behind(model: onnx.ModelProto, *nodes: onnx.NodeProto, **constants: np.ndarray) -> None:
    """Put nodes between the network and its output: the first takes `was`, the last gives `output0`."""
    for node in model.graph.node:
        node.output[:] = ["was" if name == "output0" else name for name in node.output]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())


def sequence_first(model: onnx.ModelProto) -> None:
    """As an attention that puts the sequence before the frames: (1, C, N) -> (N, 1, C) -> (N, C) -> back."""
    n = model.graph.output[0].type.tensor_type.shape.dim[2].dim_value
    behind(
        model,
        helper.make_node("Transpose", ["was"], ["turned"], perm=[2, 0, 1]),
        helper.make_node("Reshape", ["turned", "flat"], ["rows"]),
        helper.make_node("Reshape", ["rows", "whole"], ["whole_rows"]),
        helper.make_node("Transpose", ["whole_rows"], ["output0"], perm=[1, 2, 0]),
        flat=np.array([n, 7]),
        whole=np.array([n, 1, 7]),
    )


def all_frames_together(model: onnx.ModelProto) -> None:
    behind(
        model,
        helper.make_node("ReduceMean", ["was"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["was", "mean"], ["output0"]),
    )


def frame_of_its_own(model: onnx.ModelProto) -> None:
    """A constant laid beside each frame, as a class token is."""
    behind(
        model,
        helper.make_node("Concat", ["was", "token"], ["longer"], axis=2),
        helper.make_node("Slice", ["longer", "zero", "end", "axis"], ["output0"]),
        token=np.zeros((1, 7, 1), np.float32),
        zero=np.array([0]),
        end=np.array([-1]),
        axis=np.array([2]),
    )


def first_frame_only(model: onnx.ModelProto) -> None:
    behind(
        model,
        helper.make_node("Squeeze", ["was", "zero"], ["bare"]),
        helper.make_node("Unsqueeze", ["bare", "zero"], ["output0"]),
        zero=np.array([0]),
    )


@pytest.mark.parametrize("change", [sequence_first, all_frames_together, frame_of_its_own, first_frame_only])
def test_what_takes_one_frame_only_is_refused(change: Change, tmp_path: Path) -> None:
    net = Net(classes=3)
    model = net.model()
    change(model)
    onnx.checker.check_model(model, full_check=True)
    network = graft_bundle(write_bundle(tmp_path, net, model))
    with pytest.raises(EngineError, match="cannot take several frames at once") as caught:
        check_batching(network, 4, threads=1)
    assert caught.value.error_code == "batch_unsupported" and "max_batch = 1" in caught.value.mend


def resized(model: onnx.ModelProto, sizes: list[int]) -> None:
    """What comes out, blown up and cut down again: a Resize with sizes for all sides."""
    side = len(sizes)
    cast = [helper.make_node("Resize", ["was", "", "", "sizes"], ["large"], mode="nearest")]
    back = helper.make_node("Slice", ["large", "zero", "n", "axis", "step"], ["output0"])
    n = model.graph.output[0].type.tensor_type.shape.dim[2].dim_value
    behind(
        model,
        *cast,
        back,
        sizes=np.array(sizes),
        zero=np.array([0]),
        n=np.array([n]),
        axis=np.array([side - 1]),
        step=np.array([1]),
    )


def test_sizes_of_a_resize_become_times(tmp_path: Path) -> None:
    net = Net(classes=3)
    for name, times in (("whole", 2), ("broken", 1.5)):
        model = net.model()
        resized(model, [1, 7, int(net.boxes * times)])
        network = graft_bundle(write_bundle(tmp_path / name, net, model))
        if times == 2:
            check_batching(network, 4, threads=1)
            continue
        with pytest.raises(EngineError, match="not whole times as large"):
            check_batching(network, 4, threads=1)


def test_more_than_fits_in_memory_is_refused(tmp_path: Path) -> None:
    net = Net(width=2048, height=2048, strides=(64,))
    network = graft_bundle(write_bundle(tmp_path, net))
    with pytest.raises(EngineError, match="memory"):
        with_batch(network, 32, fixed=True)


def test_an_expand_written_for_one_frame_leaves_the_number_open(tmp_path: Path) -> None:
    net = Net(classes=3)
    model = net.model()
    behind(
        model,
        helper.make_node("Expand", ["was", "shape"], ["output0"]),
        shape=np.array([1, 7, net.boxes]),
    )
    check_batching(graft_bundle(write_bundle(tmp_path, net, model)), 4, threads=1)


def test_numbers_that_are_none_are_alike(tmp_path: Path) -> None:
    """A network that gives NaN is refused for what it is, elsewhere."""
    net = Net(classes=3)
    model = net.model()
    nan = np.full((1, 7, 1), np.nan, np.float32)
    behind(model, helper.make_node("Add", ["was", "nan"], ["output0"]), nan=nan)
    check_batching(graft_bundle(write_bundle(tmp_path, net, model)), 2, threads=1)


def open_batch(model: onnx.ModelProto) -> None:
    """As exporters write a network for any number of frames: what depends on it is computed from shapes."""
    shape = model.graph.input[0].type.tensor_type.shape
    shape.dim[0].dim_param = "N"
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "first"))
    for index, node in reversed(list(enumerate(model.graph.node))):
        if node.op_type != "Reshape":
            continue
        name, rest = node.output[0], constants[node.input[1]][1:]
        model.graph.initializer.append(numpy_helper.from_array(rest, f"{name}_rest"))
        made = [
            helper.make_node("Shape", ["images"], [f"{name}_all"]),
            helper.make_node("Gather", [f"{name}_all", "first"], [f"{name}_count"]),
            helper.make_node("Concat", [f"{name}_count", f"{name}_rest"], [f"{name}_sides"], axis=0),
        ]
        node.input[1] = f"{name}_sides"
        for place, one in enumerate(made):
            model.graph.node.insert(index + place, one)


def test_a_network_exported_for_any_number_of_frames(tmp_path: Path) -> None:
    net = Net(classes=3, dfl=4)
    opened = net.model()
    open_batch(opened)
    onnx.checker.check_model(opened, full_check=True)
    network = graft_bundle(write_bundle(tmp_path / "open", net, opened))
    closed = graft_bundle(write_bundle(tmp_path / "closed", net))
    assert shapes(network)["frames"] == [1, 32, 32, 3]
    check_batching(network, 4, threads=1)
    frames = np.stack(noise_frames(4, 32, 32))
    for found, wanted in zip(
        run(with_batch(network, 4, fixed=False), frames), run(with_batch(closed, 4, fixed=True), frames), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_sequence_before_the_frames_is_no_matter_where_shapes_are_computed(tmp_path: Path) -> None:
    """As an attention of PyTorch is exported with an open batch; with a fixed one it is refused, see above."""
    net = Net(classes=3)
    model = net.model()
    open_batch(model)
    behind(
        model,
        helper.make_node("Transpose", ["was"], ["turned"], perm=[2, 0, 1]),
        helper.make_node("Shape", ["turned"], ["sides"]),
        helper.make_node("Reshape", ["turned", "flat"], ["rows"]),
        helper.make_node("Softmax", ["rows"], ["soft"], axis=1),
        helper.make_node("Reshape", ["soft", "sides"], ["whole_rows"]),
        helper.make_node("Transpose", ["whole_rows"], ["output0"], perm=[1, 2, 0]),
        flat=np.array([-1, 7]),
    )
    check_batching(graft_bundle(write_bundle(tmp_path, net, model)), 4, threads=1)
