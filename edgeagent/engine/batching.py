"""From a network of one frame to the same network for several at once.

Networks are grafted and quantised for one frame; this is the last step before a build. What an exporter has written
down for one frame is rewritten: the sizes that a Reshape, an Expand or a Resize is given as constants. What it has left
open (0, -1, or computed from shapes) follows by itself. With `fixed` the network takes exactly so many frames, as a DLA
wants it; else any number up to so many.

It is assumed that a tensor's first side counts the frames. Where a network lays its frames out in another way (an
attention that puts the sequence first, a step that looks at all frames together) the result does not have the right
sizes, or other numbers come out: `check_batching` finds both by running it. Nothing is told apart by names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.families.pieces import BOXES, CLASSES, FRAMES, PREFIX, RESULTS, SCORES
from edgeagent.engine.network import first_line
from edgeagent.engine.shapes import settle_shapes
from edgeagent.errors import EngineError, ModelError

Frames = npt.NDArray[np.uint8]
Answer = dict[str, npt.NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]

OPEN_SIDE = "batch"
MOST_FRAMES = "edgeagent.max_batch"  # metadata of a network that takes any number of frames up to this one
TRIAL_FRAMES = 3
MOST_SIDES = 16
ALIKE_SCORE = 1e-3
ALIKE_SHARE = 0.95  # of the rows; where two scores are all but equal, two rows may change places


def with_batch(network: onnx.ModelProto, batch: int, *, fixed: bool) -> onnx.ModelProto:
    """The grafted network for `batch` frames; `network` itself, which takes one, stays as it is.

    Raises EngineError `batch_unsupported` where its sizes do not come out for so many.
    """
    if batch == 1:
        return network
    model = _copied(network)
    try:
        settle_shapes(model)
        shapes = _shapes_of(model)
        _rewrite(model, shapes)
        _drop_unused(model.graph)
        _say_frames(model, batch)
        settle_shapes(model)
    except ModelError as error:
        raise _unsupported(error.message) from error
    except Exception as error:  # ONNX's inference raises what it likes
        raise _unsupported(first_line(error)) from error
    found = _shapes_of(model)
    for name in RESULTS:
        if found[name] != (batch, *shapes[name][1:]):
            raise _unsupported(f"{name} has the shape {list(found[name])} then")
    if not fixed:
        _open(model, batch)
    onnx.checker.check_model(model)
    return model


def check_batching(network: onnx.ModelProto, batch: int, threads: int) -> None:
    """Whether up to `batch` frames can go through a grafted network together, and come out as they do one by one.

    Raises EngineError `batch_unsupported`. It runs the network on a few drawn frames, on the CPU.
    """
    with_batch(network, batch, fixed=True)  # its sizes, and whether so many fit in memory
    several = with_batch(network, TRIAL_FRAMES, fixed=False)
    shape = _shapes_of(network)[FRAMES][1:]
    frames = np.stack(list(_trial_frames(shape, TRIAL_FRAMES)))
    try:
        wanted = _run(network, [frame[None] for frame in frames], threads)
        found = _run(several, [frames, frames[:2]], threads)
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise _unsupported(first_line(error)) from error
    for name in RESULTS:
        rows = np.concatenate([one[name] for one in wanted])
        for one in found:
            _compare(name, one[name], rows[: len(one[name])])


# -- rewriting


def _rewrite(model: onnx.ModelProto, shapes: Shapes) -> None:
    """Constants that were written for one frame. Those that the network computes from shapes follow by themselves."""
    constants = _constants(model.graph)
    moving = {FRAMES}
    for node in model.graph.node:
        if not moving & set(node.input):
            continue
        if node.op_type not in ("Shape", "Size"):
            moving.update(node.output)
        position = {"Reshape": 1, "Expand": 1, "Resize": 3}.get(node.op_type)
        if position is None or len(node.input) <= position or node.input[position] not in constants:
            continue
        if node.input[0] in moving and constants[node.input[position]] not in (0, -1):
            before, after = shapes[node.input[0]], shapes[node.output[0]]
            _SIZES[node.op_type](model.graph, node, before, after)


def _reshape(graph: onnx.GraphProto, node: onnx.NodeProto, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """0 is the side as it comes; -1 whatever is left."""
    if not after:
        raise _unsupported(f"node {node.name} (Reshape) makes one number of all frames")
    first = 0 if before[:1] == after[:1] else -1
    kept = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.input[1] = _new_constant(graph, node, np.array([first, *after[1:]], np.int64))


def _expand(graph: onnx.GraphProto, node: onnx.NodeProto, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """A side of 1 leaves the tensor's own."""
    if len(before) == len(after) and before[:1] == after[:1]:
        node.input[1] = _new_constant(graph, node, np.array([1, *after[1:]], np.int64))


def _resize(graph: onnx.GraphProto, node: onnx.NodeProto, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Sizes are written for all sides; how many times as large says the same without the number of frames."""
    if any(attribute.name == "axes" for attribute in node.attribute):
        return
    if any(large % small for small, large in zip(before, after, strict=True)):
        raise _unsupported(f"node {node.name} (Resize) is given sizes that are not whole times as large")
    times = [large // small for small, large in zip(before, after, strict=True)]
    node.input[2] = _new_constant(graph, node, np.array(times, np.float32))
    del node.input[3:]


_SIZES = {"Reshape": _reshape, "Expand": _expand, "Resize": _resize}


def _new_constant(graph: onnx.GraphProto, node: onnx.NodeProto, values: npt.NDArray[np.generic]) -> str:
    name = f"{PREFIX}batch/{node.name or node.output[0]}"
    graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Constants that nothing reads any more."""
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for index in range(len(graph.initializer) - 1, -1, -1):
        if graph.initializer[index].name not in read:
            del graph.initializer[index]


def _constants(graph: onnx.GraphProto) -> dict[str, int | None]:
    """The first number of every constant of whole numbers; None for all others, and where it is of no interest."""
    held = {tensor.name: tensor for tensor in graph.initializer}
    held |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    return {name: _first(tensor) for name, tensor in held.items()}


def _first(tensor: onnx.TensorProto) -> int | None:
    if tensor.data_type != TensorProto.INT64 or not tensor.dims or not 0 < math.prod(tensor.dims) <= MOST_SIDES:
        return None
    return int(numpy_helper.to_array(tensor)[0])


def _say_frames(model: onnx.ModelProto, batch: int) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch


def _open(model: onnx.ModelProto, batch: int) -> None:
    """Leave the number of frames open, and say how many there may be."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = OPEN_SIDE
    kinds = [(value.name, value.type.tensor_type.elem_type) for value in model.graph.value_info]
    del model.graph.value_info[:]  # its shapes are those of a whole batch
    model.graph.value_info.extend(helper.make_tensor_value_info(name, kind, None) for name, kind in kinds)
    inferred = onnx.shape_inference.infer_shapes(model)
    del model.graph.value_info[:]
    model.graph.value_info.extend(inferred.graph.value_info)
    entry = model.metadata_props.add()
    entry.key, entry.value = MOST_FRAMES, str(batch)


def _copied(network: onnx.ModelProto) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(network)
    return model


def _shapes_of(model: onnx.ModelProto) -> Shapes:
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    return {value.name: tuple(int(dim.dim_value) for dim in value.type.tensor_type.shape.dim) for value in values}


# -- checking


def _trial_frames(shape: Sequence[int], count: int) -> Iterator[Frames]:
    """Coarse noise: what is drawn in one frame is in no other."""
    height, width, channels = shape
    for seed in range(count):
        coarse = np.random.default_rng(seed).integers(0, 256, (-(-height // 8), -(-width // 8), channels), np.uint8)
        yield np.repeat(np.repeat(coarse, 8, 0), 8, 1)[:height, :width]


def _run(model: onnx.ModelProto, batches: Sequence[Frames], threads: int) -> list[Answer]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = list(RESULTS)
    return [dict(zip(names, session.run(names, {FRAMES: batch}), strict=True)) for batch in batches]


def _compare(name: str, found: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> None:
    near = {SCORES: ALIKE_SCORE, CLASSES: 0.0, BOXES: ALIKE_SCORE * max(1.0, float(np.abs(wanted).max(initial=0.0)))}
    if found.shape != wanted.shape:
        raise _unsupported(f"{name} has the shape {list(found.shape)} then")
    with np.errstate(invalid="ignore"):
        alike = (np.abs(found - wanted) <= near[name]) | (np.isnan(found) & np.isnan(wanted))
    for number, frame in enumerate(alike.reshape(len(alike), -1)):
        if frame.mean() < ALIKE_SHARE:
            raise _unsupported(f"{name} of frame {number} are others when other frames go along")


def _unsupported(why: str) -> EngineError:
    return EngineError(
        f"the network cannot take several frames at once: {why}",
        mend="set max_batch = 1 for this model",
        code="batch_unsupported",
    )
