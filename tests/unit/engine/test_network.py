"""What is no usable network is refused in one line with a stable code, and a usable one is taken in any spelling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from engine_kit import Net, noise_frames, spec_for, write_bundle, write_spec
from onnx import TensorProto, helper

from edgeagent.engine.bundle import ModelBundle, load_bundle
from edgeagent.engine.graft import PREFIX, graft_bundle
from edgeagent.engine.network import MAX_MODEL_BYTES, load_network
from edgeagent.engine.quantise import meter, quantise
from edgeagent.errors import ModelError

NET = Net(classes=2)


def refused(folder: Path, content: onnx.ModelProto | bytes) -> ModelError:
    """The refusal of a bundle whose ONNX has this content; nothing but the two files may lie there afterwards."""
    data = content if isinstance(content, bytes) else content.SerializeToString()
    (folder / "tiny.onnx").write_bytes(data)
    write_spec(folder, spec_for(NET))
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(ModelError) as caught:
        graft_bundle(load_bundle(str(folder)))
    assert "\n" not in caught.value.line() and len(caught.value.line()) < 500
    assert caught.value.mend
    assert sorted(path.name for path in folder.iterdir()) == before
    return caught.value


def changed(change: Callable[[onnx.ModelProto], None], net: Net = NET) -> onnx.ModelProto:
    model = net.model()
    change(model)
    return model


def of_shape(value: onnx.ValueInfoProto, shape: list[int | str], kind: int = TensorProto.FLOAT) -> None:
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shape))


@pytest.mark.parametrize(
    "data",
    [
        b"This is a text file that someone named .onnx.\n",
        b"\x00" * 100,
        NET.model().SerializeToString()[:-40],
        NET.model().SerializeToString()[:100],
        b"\x89PNG\r\n\x1a\n" + b"x" * 50,
    ],
    ids=["text", "zeros", "truncated", "only the start", "a picture"],
)
def test_a_file_that_is_no_onnx(tmp_path: Path, data: bytes) -> None:
    error = refused(tmp_path, data)
    assert error.error_code == "model_not_onnx"
    assert "tiny.onnx is no valid ONNX model" in error.message


def test_an_empty_file(tmp_path: Path) -> None:
    assert "missing or empty" in refused(tmp_path, b"").message


def test_a_file_that_is_gone_since(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, NET)
    bundle.onnx_path.unlink()
    with pytest.raises(ModelError) as caught:
        load_network(bundle)
    assert caught.value.error_code == "model_not_onnx"


def test_a_file_over_the_limit_is_not_even_read(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, NET)
    with bundle.onnx_path.open("r+b") as file:
        file.truncate(MAX_MODEL_BYTES + 1)  # sparse: takes no disk
    with pytest.raises(ModelError) as caught:
        load_network(bundle)
    assert caught.value.error_code == "model_too_large"


@pytest.mark.parametrize("opset", [7, 12, 22, 23])
def test_an_opset_too_old_or_too_new(tmp_path: Path, opset: int) -> None:
    def at_opset(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = opset

    error = refused(tmp_path, changed(at_opset))
    assert error.error_code == "model_opset"
    assert f"opset {opset}" in error.message


@pytest.mark.parametrize(
    ("shape", "kind", "found"),
    [
        ([1, 3, 64, 32], TensorProto.FLOAT, "[1, 3, 64, 32]"),
        ([1, 3, 32, 64], TensorProto.FLOAT, "[1, 3, 32, 64]"),
        ([2, 3, 32, 32], TensorProto.FLOAT, "[2, 3, 32, 32]"),
        (["batch", 3, 32, 64], TensorProto.FLOAT, "[1, 3, 32, 64]"),
        ([1, 3, "height", "width"], TensorProto.FLOAT, "[1, 3, 'height', 'width']"),
        ([1, 3, 32, 32], TensorProto.DOUBLE, "float32"),
    ],
)
def test_an_input_that_model_toml_does_not_speak_of(
    tmp_path: Path, shape: list[int | str], kind: int, found: str
) -> None:
    def other_input(model: onnx.ModelProto) -> None:
        del model.graph.node[:]
        of_shape(model.graph.input[0], shape, kind)
        of_shape(model.graph.output[0], shape, kind)
        model.graph.node.append(helper.make_node("Identity", ["images"], ["output0"]))

    error = refused(tmp_path, changed(other_input))
    assert error.error_code == "model_input"
    assert found in error.message


def test_two_inputs(tmp_path: Path) -> None:
    def second(model: onnx.ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info("size", TensorProto.FLOAT, [2]))

    error = refused(tmp_path, changed(second))
    assert error.error_code == "model_input" and "size [2]" in error.message


def test_two_outputs(tmp_path: Path) -> None:
    def second(model: onnx.ModelProto) -> None:
        model.graph.output.append(helper.make_tensor_value_info("sure", TensorProto.FLOAT, [1, 2, 16]))

    error = refused(tmp_path, changed(second))
    assert error.error_code == "model_family" and "sure [1, 2, 16]" in error.message


@pytest.mark.parametrize("classes", [1, 3, 80])
def test_a_class_list_of_another_length(tmp_path: Path, classes: int) -> None:
    error = refused(tmp_path, Net(classes=classes).model())
    assert error.error_code == "model_classes"
    assert f"the network has {classes} classes, and model.toml lists 2" in error.message
    assert f"[1, {4 + classes}, 16]" in error.message and "[1, 6, N]" in error.message


def test_an_output_with_the_rows_and_boxes_swapped(tmp_path: Path) -> None:
    def turned(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("Transpose", ["output0"], ["turned"], perm=[0, 2, 1]))
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("turned", TensorProto.FLOAT, [1, 16, 6]))

    error = refused(tmp_path, changed(turned))
    assert error.error_code == "model_family"
    assert "they would fit family end2end or rtdetr" in error.message


def test_an_output_whose_number_of_boxes_is_open(tmp_path: Path) -> None:
    def nonzero(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("NonZero", ["output0"], ["places"]))
        model.graph.node.append(helper.make_node("Cast", ["places"], ["float"], to=TensorProto.FLOAT))
        model.graph.node.append(helper.make_node("Unsqueeze", ["float", "axis0"], ["open"]))
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "axis0"))
        of_shape(model.graph.output[0], [1, 3, "n"])
        model.graph.output[0].name = "open"

    error = refused(tmp_path, changed(nonzero))
    assert error.error_code == "model_shapes" and "how large places is, made by node" in error.message


def test_an_output_that_is_no_float(tmp_path: Path) -> None:
    def double(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("Cast", ["output0"], ["double"], to=TensorProto.DOUBLE))
        of_shape(model.graph.output[0], [1, 6, 16], TensorProto.DOUBLE)
        model.graph.output[0].name = "double"

    error = refused(tmp_path, changed(double))
    assert error.error_code == "model_family" and "neither float32 nor float16" in error.message


def test_operators_of_a_vendor(tmp_path: Path) -> None:
    def foreign(model: onnx.ModelProto) -> None:
        model.graph.node[1].op_type, model.graph.node[1].domain = "Gelu", "com.microsoft"
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    error = refused(tmp_path, changed(foreign))
    assert error.error_code == "model_operators" and "com.microsoft.Gelu" in error.message


def test_an_operator_that_does_not_exist(tmp_path: Path) -> None:
    def unknown(model: onnx.ModelProto) -> None:
        model.graph.node[1].op_type = "Sparkle"

    assert refused(tmp_path, changed(unknown)).error_code == "model_not_onnx"


def reshaped(boxes: int) -> onnx.ModelProto:
    """NET with a last Reshape to so many boxes, which its numbers do not fill."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 6, boxes]), "wrong"))
        model.graph.node.append(helper.make_node("Reshape", ["output0", "wrong"], ["output1"]))
        model.graph.output[0].name = "output1"

    return changed(change)


def test_shapes_that_contradict_each_other_are_noticed_before_any_frame_is_asked_for(tmp_path: Path) -> None:
    """16 boxes do not fill 15: only running it tells."""
    with pytest.raises(ModelError) as caught:
        meter(graft_bundle(write_bundle(tmp_path, NET, reshaped(15))), threads=1)
    assert caught.value.error_code == "model_does_not_run"
    assert "\n" not in caught.value.line()


def candidates_of(bundle: ModelBundle) -> list[np.ndarray]:
    plan = graft_bundle(bundle).SerializeToString()
    session = onnxruntime.InferenceSession(plan, providers=["CPUExecutionProvider"])
    return session.run(["boxes", "scores", "classes"], {"frames": noise_frames(1)[0][None]})


# external weights


def with_weights_in(folder: Path, location: str) -> None:
    """The network in `folder`, its weights in the file `location`."""
    folder.mkdir(exist_ok=True)
    model = NET.model()
    onnx.save_model(
        model,
        str(folder / "tiny.onnx"),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=location,
        size_threshold=0,
    )
    write_spec(folder, spec_for(NET))


@pytest.mark.parametrize("location", ["tiny.onnx.data", "tiny.onnx_data"])
def test_weights_beside_the_onnx_are_taken_in(tmp_path: Path, location: str) -> None:
    with_weights_in(tmp_path, location)
    inside, outside = write_bundle(tmp_path / "inside", NET), load_bundle(str(tmp_path))
    assert inside.digest != outside.digest
    for one, two in zip(candidates_of(inside), candidates_of(outside), strict=True):
        np.testing.assert_array_equal(one, two)


def test_weights_in_any_other_file_are_refused(tmp_path: Path) -> None:
    with_weights_in(tmp_path, "weights.bin")
    with pytest.raises(ModelError) as caught:
        load_network(load_bundle(str(tmp_path)))
    assert caught.value.error_code == "model_data"
    assert "'weights.bin', which is no part of a bundle" in caught.value.message


def test_weights_that_are_missing(tmp_path: Path) -> None:
    with_weights_in(tmp_path, "tiny.onnx.data")
    (tmp_path / "tiny.onnx.data").unlink()
    with pytest.raises(ModelError) as caught:
        load_network(load_bundle(str(tmp_path)))
    assert caught.value.error_code == "model_data"
    assert "'tiny.onnx.data', which is missing" in caught.value.message


@pytest.mark.parametrize("location", ["/etc/hostname", "../tiny.onnx.data", "sub/tiny.onnx.data", ""])
def test_weights_outside_the_bundle_are_never_opened(tmp_path: Path, location: str) -> None:
    with_weights_in(tmp_path, "tiny.onnx.data")
    model = onnx.load(str(tmp_path / "tiny.onnx"), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    (tmp_path / "tiny.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as caught:
        load_network(load_bundle(str(tmp_path)))
    assert caught.value.error_code == "model_data"


def test_weights_cut_short(tmp_path: Path) -> None:
    with_weights_in(tmp_path, "tiny.onnx.data")
    data = (tmp_path / "tiny.onnx.data").read_bytes()
    (tmp_path / "tiny.onnx.data").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError):
        meter(graft_bundle(load_bundle(str(tmp_path))), threads=1)


def test_external_weights_inside_a_node_count_too(tmp_path: Path) -> None:
    def hidden(model: onnx.ModelProto) -> None:
        value = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "hidden")
        onnx.external_data_helper.set_external_data(value, "/etc/hostname")
        value.ClearField("raw_data")
        value.data_location = TensorProto.EXTERNAL
        model.graph.node.append(helper.make_node("Constant", [], ["hidden"], value=value))

    assert refused(tmp_path, changed(hidden)).error_code == "model_data"


# other spellings of the same network


def weights_as_inputs(model: onnx.ModelProto) -> None:
    """As exporters wrote it before IR 4, with a weight ahead of the image."""
    image = model.graph.input[0]
    inputs = [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in model.graph.initializer]
    del model.graph.input[:]
    model.graph.input.extend([*inputs, image])
    model.ir_version = 3


def spelled_domain(model: onnx.ModelProto) -> None:
    model.opset_import[0].domain = "ai.onnx"


def unused_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def one_name_for_all(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.name = "node"


def no_names(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.name = ""


def newest_ir(model: onnx.ModelProto) -> None:
    model.ir_version = 12


def with_function(model: onnx.ModelProto) -> None:
    """The first Relu as a function of the model's own, as torch.onnx writes them."""
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    body = [helper.make_node("Relu", ["x"], ["y"])]
    model.functions.append(
        helper.make_function("com.example", "MyRelu", ["x"], ["y"], body, [helper.make_opsetid("", 17)])
    )
    relu.op_type, relu.domain = "MyRelu", "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))


@pytest.mark.parametrize(
    "spelling",
    [weights_as_inputs, spelled_domain, unused_domain, one_name_for_all, no_names, newest_ir, with_function],
)
def test_the_same_network_in_another_spelling_gives_the_same_candidates(
    tmp_path: Path, spelling: Callable[[onnx.ModelProto], None]
) -> None:
    plain = candidates_of(write_bundle(tmp_path / "plain", NET))
    other = candidates_of(write_bundle(tmp_path / "other", NET, changed(spelling)))
    for one, two in zip(plain, other, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("spelling", [one_name_for_all, no_names, weights_as_inputs])
def test_the_same_network_in_another_spelling_is_quantised_alike(
    tmp_path: Path, spelling: Callable[[onnx.ModelProto], None]
) -> None:
    def kinds(folder: Path, model: onnx.ModelProto) -> list[str]:
        grafted = graft_bundle(write_bundle(folder, NET, model))
        names = [node.name for node in grafted.graph.node]
        assert len(set(names)) == len(names) and "" not in names
        return [n.op_type for n in quantise(grafted, noise_frames(4), 1, lambda percent: None).graph.node]

    assert sorted(kinds(tmp_path / "a", NET.model())) == sorted(kinds(tmp_path / "b", changed(spelling)))


def test_the_graft_leaves_the_file_alone_and_names_its_own(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, NET)
    before = bundle.onnx_path.read_bytes()
    grafted = graft_bundle(bundle)
    assert bundle.onnx_path.read_bytes() == before
    assert [value.name for value in grafted.graph.input] == ["frames"]
    assert [value.name for value in grafted.graph.output] == ["boxes", "scores", "classes"]
    assert all(node.name.startswith((PREFIX, "model/")) for node in grafted.graph.node)


@pytest.mark.parametrize("scaling", [{"std": [1e-50, 1.0, 1.0]}, {"mean": [1e39, 0.0, 0.0]}, {"scale": 1e-60}])
def test_a_scaling_beyond_float32(tmp_path: Path, scaling: dict[str, object]) -> None:
    with pytest.raises(ModelError) as caught:
        graft_bundle(write_bundle(tmp_path, NET, **scaling))
    assert caught.value.error_code == "model_scaling"
