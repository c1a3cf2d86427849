"""Small files that ask for the world: refused before anything of that size is allocated, and in no time."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from engine_kit import Net, spec_for, write_bundle, write_spec
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.bundle import MAX_MODEL_BYTES, load_bundle
from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.network import load_network
from edgeagent.errors import ModelError

NET = Net(classes=2)
MOST_MIB = 1500  # of the whole test process, which has ONNX, ONNX Runtime and hypothesis loaded


@pytest.fixture(autouse=True)
def memory() -> None:
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 < MOST_MIB


def refused(folder: Path, model: onnx.ModelProto) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_network(write_bundle(folder, NET, model))
    error = caught.value
    assert error.mend and "\n" not in error.line() and len(error.line()) < 500
    return error


def with_nodes(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], said: int | None = None
) -> onnx.ModelProto:
    """NET with further nodes, whose last output `huge` no other node reads; `said` is what the file claims of it."""
    model = NET.model()
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    if said is not None:
        model.graph.value_info.append(helper.make_tensor_value_info("huge", TensorProto.FLOAT, [said]))
    return model


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


ONE = np.ones((1, 1, 1, 1), np.float32)
BOMBS: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray]]] = {
    "constant of shape": ([helper.make_node("ConstantOfShape", ["s"], ["huge"])], {"s": ints(10**5, 10**5, 10**5)}),
    "expand": ([helper.make_node("Expand", ["x", "s"], ["huge"])], {"x": ONE, "s": ints(1, 1, 10**6, 10**6)}),
    "tile": ([helper.make_node("Tile", ["x", "s"], ["huge"])], {"x": ONE, "s": ints(1, 1, 10**6, 10**6)}),
    "tile of the picture": ([helper.make_node("Tile", ["images", "s"], ["huge"])], {"s": ints(1, 10**7, 10**3, 1)}),
    "resize by sizes": (
        [helper.make_node("Resize", ["images", "", "", "s"], ["huge"], mode="nearest")],
        {"s": ints(1, 3, 10**6, 10**6)},
    ),
    "resize by scales": (
        [helper.make_node("Resize", ["images", "", "s"], ["huge"], mode="nearest")],
        {"s": np.array([1, 1, 1e5, 1e5], np.float32)},
    ),
    "pad": ([helper.make_node("Pad", ["images", "s"], ["huge"])], {"s": ints(0, 0, 10**6, 10**6, 0, 0, 0, 0)}),
    "range": (
        [helper.make_node("Range", ["a", "b", "c"], ["huge"])],
        {"a": np.array(0, np.int64), "b": np.array(10**12, np.int64), "c": np.array(1, np.int64)},
    ),
    "an outer product": (
        [helper.make_node("MatMul", ["x", "y"], ["huge"])],
        {"x": np.ones((30_000, 1), np.float32), "y": np.ones((1, 30_000), np.float32)},
    ),
    "a broadcast": (
        [helper.make_node("Add", ["x", "y"], ["huge"])],
        {"x": np.ones((30_000, 1), np.float32), "y": np.ones((1, 30_000), np.float32)},
    ),
    "a wide padding": (
        [helper.make_node("Conv", ["images", "x"], ["huge"], pads=[10**5] * 4)],
        {"x": np.ones((1, 3, 1, 1), np.float32)},
    ),
    "a size that overflows": (
        [helper.make_node("ConstantOfShape", ["s"], ["huge"])],
        {"s": ints(2**40, 2**40, 2**40)},
    ),
    "a power": (
        [
            helper.make_node("Mul", ["a", "a"], ["b"]),
            helper.make_node("Mul", ["b", "b"], ["c"]),
            helper.make_node("ConstantOfShape", ["c"], ["huge"]),
        ],
        {"a": ints(2000)},
    ),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("said", [None, 1], ids=["said nothing", "said to be small"])
def test_a_tensor_that_fits_in_no_memory(tmp_path: Path, name: str, said: int | None) -> None:
    error = refused(tmp_path, with_nodes(*BOMBS[name], said))
    assert error.error_code == "model_memory", error.message


def test_many_constants_that_are_large_together(tmp_path: Path) -> None:
    nodes = [helper.make_node("ConstantOfShape", ["s"], [f"c{number}"]) for number in range(20)]
    error = refused(tmp_path, with_nodes(nodes, {"s": ints(2**26)}))
    assert error.error_code == "model_memory" and "its weights and constants take 5.0 GiB" in error.message


def test_many_tensors_of_a_frame_that_are_large_together(tmp_path: Path) -> None:
    nodes = [helper.make_node("Tile", ["images", "s"], [f"t{number}"]) for number in range(200)]
    error = refused(tmp_path, with_nodes(nodes, {"s": ints(1, 1, 200, 200)}))
    assert error.error_code == "model_memory" and "a frame takes" in error.message


def doubling(count: int) -> onnx.ModelProto:
    """Shapes that double with every line; ONNX's own inference would follow them into gigabytes."""
    nodes = [helper.make_node("Shape", ["images"], ["a0"])]
    nodes += [helper.make_node("Concat", [f"a{i}", f"a{i}"], [f"a{i + 1}"], axis=0) for i in range(count)]
    return with_nodes(nodes, {})


def test_shapes_that_double(tmp_path: Path) -> None:
    assert refused(tmp_path, doubling(40)).error_code == "model_memory"


def test_shapes_that_double_a_little_are_allowed_and_not_followed(tmp_path: Path) -> None:
    model = load_network(write_bundle(tmp_path, NET, doubling(20))).model
    sizes = {value.name: value.type.tensor_type.shape.dim[0].dim_value for value in model.graph.value_info}
    assert sizes["a20"] == 4 << 20


def test_functions_that_double(tmp_path: Path) -> None:
    model = NET.model()
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("me", 1)]
    for level in range(40):
        inner = f"f{level - 1}" if level else "Relu"
        domain = "me" if level else ""
        body = [
            helper.make_node(inner, ["x"], ["m"], domain=domain),
            helper.make_node(inner, ["m"], ["y"], domain=domain),
        ]
        model.functions.append(helper.make_function("me", f"f{level}", ["x"], ["y"], body, opset))
    model.graph.node.append(helper.make_node("f39", ["images"], ["z"], domain="me"))
    model.opset_import.append(helper.make_opsetid("me", 1))
    error = refused(tmp_path, model)
    assert error.error_code == "model_nodes" and str(2**40 + len(NET.model().graph.node)) in error.message


def test_functions_that_call_themselves(tmp_path: Path) -> None:
    model = NET.model()
    body = [helper.make_node("f", ["x"], ["y"], domain="me")]
    model.functions.append(helper.make_function("me", "f", ["x"], ["y"], body, [helper.make_opsetid("me", 1)]))
    model.graph.node.append(helper.make_node("f", ["images"], ["z"], domain="me"))
    model.opset_import.append(helper.make_opsetid("me", 1))
    assert refused(tmp_path, model).error_code == "model_nodes"


@pytest.mark.parametrize("op", ["If", "Loop", "Scan"])
def test_what_branches_or_loops(tmp_path: Path, op: str) -> None:
    model = NET.model()
    shape = [3, 32, 32] if op == "Scan" else [1, 3, 32, 32]
    own = [] if op == "If" else [helper.make_tensor_value_info("i", TensorProto.FLOAT, shape)]
    inner = helper.make_graph(
        [helper.make_node("Identity", ["i" if own else "images"], ["o"])],
        "inner",
        own,
        [helper.make_tensor_value_info("o", TensorProto.FLOAT, shape)],
    )
    if op == "If":
        node = helper.make_node("If", ["yes"], ["z"], then_branch=inner, else_branch=inner)
    elif op == "Scan":
        node = helper.make_node("Scan", ["images"], ["z"], body=inner, num_scan_inputs=1)
    else:
        ahead = [
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ]
        inner.input.insert(0, ahead[1])
        inner.input.insert(0, ahead[0])
        inner.node.append(helper.make_node("Identity", ["c"], ["c2"]))
        inner.output.insert(0, helper.make_tensor_value_info("c2", TensorProto.BOOL, []))
        node = helper.make_node("Loop", ["many", "yes", "images"], ["z"], body=inner)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(10**15), "many"))
    model.graph.node.append(node)
    error = refused(tmp_path, model)
    assert error.error_code == "model_operators" and op in error.message


def test_sparse_weights(tmp_path: Path) -> None:
    model = NET.model()
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("", TensorProto.INT64, [1], [7])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [10**6, 10**6]))
    assert refused(tmp_path, model).error_code == "model_operators"


# external weights


def claiming(folder: Path, change: Callable[[onnx.TensorProto, int], None], copies: int = 1) -> ModelError:
    """The refusal of a bundle with one weight of 4 MiB in a file, claimed by so many tensors, after `change`."""
    folder.mkdir(exist_ok=True)
    model = NET.model()
    (folder / "tiny.onnx.data").write_bytes(bytes(1 << 22))
    for number in range(copies):
        tensor = numpy_helper.from_array(np.zeros(4, np.float32), f"far{number}")
        del tensor.dims[:]
        tensor.dims.append(1 << 20)
        onnx.external_data_helper.set_external_data(tensor, "tiny.onnx.data", 0, 1 << 22)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        change(tensor, number)
        model.graph.initializer.append(tensor)
    (folder / "tiny.onnx").write_bytes(model.SerializeToString())
    write_spec(folder, spec_for(NET))
    with pytest.raises(ModelError) as caught:
        graft_bundle(load_bundle(str(folder)))
    return caught.value


def say(tensor: onnx.TensorProto, key: str, value: str) -> None:
    next(entry for entry in tensor.external_data if entry.key == key).value = value


def test_one_file_claimed_a_thousand_times(tmp_path: Path) -> None:
    error = claiming(tmp_path, lambda tensor, number: None, copies=1000)
    assert error.error_code == "model_too_large" and "claim 3.9 GiB" in error.message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("offset", "4096"),
        ("offset", "-4096"),
        ("length", "1"),
        ("length", str(1 << 40)),
        ("offset", "x"),
        ("length", "-1"),
    ],
)
def test_weights_that_do_not_lie_where_they_should(tmp_path: Path, key: str, value: str) -> None:
    error = claiming(tmp_path, lambda tensor, number: say(tensor, key, value))
    assert error.error_code == "model_data" and "far0 does not lie where" in error.message


def test_a_weight_of_negative_size(tmp_path: Path) -> None:
    def change(tensor: onnx.TensorProto, number: int) -> None:
        tensor.dims[0] = -1

    assert claiming(tmp_path, change).error_code == "model_not_onnx"


def test_a_sparse_file_of_weights_is_refused_before_it_is_digested(tmp_path: Path) -> None:
    write_bundle(tmp_path, NET)
    with (tmp_path / "tiny.onnx.data").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte that takes no disk
    with pytest.raises(ModelError) as caught:
        load_bundle(str(tmp_path))
    assert caught.value.error_code == "model_too_large"


def test_an_onnx_over_the_limit_is_refused_before_it_is_digested(tmp_path: Path) -> None:
    write_bundle(tmp_path, NET)
    with (tmp_path / "tiny.onnx").open("r+b") as file:
        file.truncate(MAX_MODEL_BYTES + 1)
    with pytest.raises(ModelError) as caught:
        load_bundle(str(tmp_path))
    assert caught.value.error_code == "model_too_large"


def test_a_model_toml_of_megabytes(tmp_path: Path) -> None:
    write_bundle(tmp_path, NET)
    with (tmp_path / "model.toml").open("ab") as file:
        file.write(b"#" * (1 << 20))
    with pytest.raises(ModelError) as caught:
        load_bundle(str(tmp_path))
    assert "larger than 1 MiB" in caught.value.message


def test_an_onnx_emptied_since(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, NET)
    bundle.onnx_path.write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        load_network(bundle)
    assert caught.value.error_code == "model_not_onnx"
