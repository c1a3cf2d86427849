"""`edgeagent engine plan`: which target it plans for, what it prints, and what it says to bad input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edgeagent.app.plan_target import choose_target, find_module_named
from edgeagent.board.catalogue import MODULES
from edgeagent.board.evidence import read_identity
from edgeagent.board.identity import Identity
from edgeagent.cli import main
from edgeagent.cli_parser import make_parser
from edgeagent.engine.bundle import sample_directory
from edgeagent.errors import OperatorError
from edgeagent.simulate.board import make_board

sys.path.append(str(Path(__file__).parents[1] / "engine" / "dla"))
from dla_kit import Network, Yolo

PC = Identity("not-a-jetson")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("agx-orin", "Jetson AGX Orin 64GB"),
        ("AGX Orin", "Jetson AGX Orin 64GB"),
        ("orin-nx", "Jetson Orin NX 16GB"),
        ("Jetson Orin NX 8GB", "Jetson Orin NX 8GB"),
        ("orin-nx-8gb", "Jetson Orin NX 8GB"),
        ("p3767-0001", "Jetson Orin NX 8GB"),
        ("orin_nano", "Jetson Orin Nano 8GB"),
        ("p2972-0000", "Jetson AGX Xavier"),
        ("thor", "Jetson AGX Thor T5000"),
        ("jetson-agx-thor-t4000", "Jetson AGX Thor T4000"),
        ("nano", "Jetson Nano"),
    ],
)
def test_names_of_modules(name: str, module: str) -> None:
    assert find_module_named(name).name == module


def test_every_module_is_found_by_name_and_number() -> None:
    for module in MODULES:
        assert find_module_named(module.name) is module
        assert all(find_module_named(number) is module for number in module.ids)


def test_on_a_pc_an_agx_orin_is_supposed() -> None:
    chosen = choose_target(None, None, "int8", PC)
    assert (chosen.module.name, chosen.tensorrt) == ("Jetson AGX Orin 64GB", "10.3")
    assert chosen.target is not None and (chosen.target.soc, chosen.target.tensorrt) == ("orin", (10, 3))
    assert chosen.chosen == ("this machine is no Jetson: Jetson AGX Orin 64GB is supposed; TensorRT 10.3 is supposed")


def test_a_board_is_planned_for_as_it_is(tmp_path: Path) -> None:
    board = make_board("orin-nx16-r36", tmp_path / "board", seed=1)
    identity = read_identity(board.root)
    chosen = choose_target(None, None, "fp16", identity)
    assert (chosen.module.name, chosen.tensorrt, chosen.chosen) == (identity.module, identity.tensorrt, "")
    assert chosen.dla == identity.dla
    other = choose_target("agx-orin", None, "fp16", identity)
    assert (other.tensorrt, other.chosen) == ("10.3", "TensorRT 10.3 is supposed")


@pytest.mark.parametrize(
    ("module", "version", "answer", "has_target"),
    [
        ("agx-orin", "8.6.2", "yes", True),
        ("agx-orin", "10.7", "yes", True),
        ("agx-orin", "10.8", "no", False),
        ("agx-orin", "11.4.0", "no", False),
        ("agx-orin", "11.4.1", "yes", True),
        ("orin-nx", "11.4.1", "unknown", True),
        ("orin-nano", "10.3", "no", False),
        ("thor", "11.4.1", "no", False),
        ("xavier-nx", "8.5.2", "yes", True),
    ],
)
def test_which_release_has_a_dla(module: str, version: str, answer: str, has_target: bool) -> None:
    chosen = choose_target(module, version, "int8", PC)
    assert chosen.dla.answer == answer
    assert (chosen.target is not None) is has_target
    assert bool(chosen.why_none) is not has_target


def test_xavier_ends_with_jetpack_5() -> None:
    chosen = choose_target("agx-xavier", None, "int8", PC)
    assert chosen.tensorrt == "8.5.2"
    assert chosen.target is not None and chosen.target.soc == "xavier"
    assert "edgeagent does not run on JetPack 5" in chosen.chosen


@pytest.mark.parametrize("version", ["ten", "10", "10.3.", "10.3 ", "", "-1.2", "1" * 5000 + ".0"])
def test_no_version(version: str) -> None:
    with pytest.raises(OperatorError) as caught:
        choose_target("agx-orin", version, "int8", PC)
    assert caught.value.error_code == "tensorrt_version"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["engine", "plan", *arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_sample_model(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "sample:conveyor", "--module", "agx-orin", "--tensorrt", "10.3")
    assert (code, err) == (0, "")
    assert "on the DLA 77 of 95 layers, 100.0 % of the multiply-adds, in 1 loadable" in out
    assert "budget     within" in out
    assert "can_run_on_DLA" in out
    table = [line for line in out.splitlines() if line.startswith("model/")]
    assert len(table) == 18 and all(" GPU " in line and line.endswith("]") for line in table)


def test_every_layer_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "sample:conveyor", "--module", "agx-orin", "--all")
    rows = [line for line in out.splitlines() if line.startswith(("model/", "edgeagent/"))]
    assert len(rows) == 110
    assert sum(" DLA int8" in row for row in rows) == 77
    assert sum("a graft" in row for row in rows) == 15


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "sample:conveyor", "--module", "orin-nx", "--precision", "fp16", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["schema"], told["grafted"]) == ("edgeagent/engine-plan/1", True)
    assert told["target"]["module"] == "Jetson Orin NX 16GB"
    on_dla = [one for one in told["layers"] if one["runs_on"] == "dla"]
    assert len(on_dla) == told["summary"]["on_dla"] == len(told["loadables"][0]["layers"]) == 77
    assert {one["precision"] for one in on_dla} == {"fp16"}
    assert told["budget"]["within"] is True and told["limits"] == []
    assert all(one["reason"] for one in told["layers"] if one["runs_on"] == "gpu")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--module", "orin-nano"], "Orin Nano 8GB has no DLA"),
        (["--module", "agx-orin", "--tensorrt", "10.13"], "10.8 to 11.4.0 have no DLA"),
        (["--module", "thor"], "has no DLA"),
    ],
)
def test_without_a_dla_it_says_so(capsys: pytest.CaptureFixture[str], arguments: list[str], word: str) -> None:
    code, out, _ = run(capsys, "sample:conveyor", *arguments)
    assert code == 0
    assert word in out and "on the DLA 0 of 95" in out
    assert "everything runs on the GPU" in out


def test_fp32_is_for_the_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "sample:conveyor", "--module", "agx-orin", "--precision", "fp32")
    assert code == 0
    assert "on the DLA 0 of 95 layers" in out and "--precision int8 or fp16" in out


def test_a_plain_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    network = Yolo()
    path = network.write(tmp_path, network.build())
    code, out, _ = run(capsys, str(path), "--module", "agx-orin")
    assert code == 0
    assert "without the grafts of a build" in out
    assert "/head/Reshape_0" in out and "/model.0" not in out
    assert "1x144x8400" in out


def with_own_qdq(folder: Path) -> str:
    """The sample's bundle with a Q/DQ pair in front of every convolution."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    sample = sample_directory("conveyor")
    folder.mkdir()
    (folder / "model.toml").write_text((sample / "model.toml").read_text())
    model = onnx.load(str(sample / "conveyor.onnx"))
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Conv":
            source, name = node.input[0], node.output[0]
            nodes += [
                helper.make_node("QuantizeLinear", [source, "scale", "zero"], [f"{name}/q"], f"{name}/q"),
                helper.make_node("DequantizeLinear", [f"{name}/q", "scale", "zero"], [f"{name}/dq"], f"{name}/dq"),
            ]
            node.input[0] = f"{name}/dq"
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for name, value in (("scale", np.float32(0.05)), ("zero", np.int8(0))):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    onnx.save(model, str(folder / "conveyor.onnx"))
    return str(folder)


@pytest.mark.parametrize(
    ("tensorrt", "precision", "left_in"),
    [("8.6.2", "int8", False), ("10.3", "int8", False), ("10.3", "fp16", False), ("11.4.1", "int8", True)],
)
def test_own_qdq_nodes_are_planned_as_a_build_takes_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tensorrt: str, precision: str, left_in: bool
) -> None:
    bundle, asked = with_own_qdq(tmp_path / "bundle"), ("--tensorrt", tensorrt, "--precision", precision, "--json")
    code, out, _ = run(capsys, bundle, *asked)
    plain = json.loads(run(capsys, "sample:conveyor", *asked)[1])
    told = json.loads(out)
    assert code == 0 and told["budget"]["within"] is True
    assert any(layer["op"] == "QuantizeLinear" for layer in told["layers"]) is left_in
    assert told["changed"].startswith("its own Q/DQ nodes are taken out") is not left_in
    assert plain["changed"] == ""
    if not left_in:
        assert told["summary"] == plain["summary"]
        assert told["changed"] in run(capsys, bundle, *asked[:-1])[1]


def test_own_qdq_nodes_of_a_plain_file_are_planned_as_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with_own_qdq(tmp_path / "bundle")
    told = json.loads(run(capsys, str(tmp_path / "bundle" / "conveyor.onnx"), "--json")[1])
    assert told["changed"] == "" and any(layer["op"] == "QuantizeLinear" for layer in told["layers"])


def test_beyond_the_budget(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    network = Network()
    source = network.conv(network.feed("x", 1, 3, 32, 32), 3, 8, 3, name="first")
    for _ in range(3):
        source = network.add("HardSwish", source)
    code, out, _ = run(capsys, str(network.write(tmp_path, source)), "--module", "agx-orin")
    assert code == 0
    assert "budget     beyond: 3 of 4 layers (75.0 %) would run on the GPU" in out
    assert "next       raise engines.dla_max_gpu_layers" in out


def test_the_budget_is_the_configs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[engines]\ndla_max_gpu_layers = 0.1\n", encoding="utf-8")
    _, out, _ = run(capsys, "sample:conveyor", "--module", "agx-orin", "--config", str(config))
    assert "budget     beyond: 18 of 95 layers (18.9 %)" in out and "allows 10.0 %" in out


def test_a_dla_is_planned_for_all_frames_of_a_batch(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("sample:conveyor", "--module", "agx-orin", "--json")
    one = json.loads(run(capsys, *asked)[1])
    four = json.loads(run(capsys, *asked, "--max-batch", "4")[1])
    assert (one["batch"], four["batch"]) == (
        {"frames": 1, "asked": 1, "reason": ""},
        {"frames": 4, "asked": 4, "reason": ""},
    )
    assert [piece["batch"] for piece in four["loadables"]] == [4]
    assert four["summary"]["macs"] == 4 * one["summary"]["macs"]
    assert four["loadables"][0]["inner_bytes"] == 4 * one["loadables"][0]["inner_bytes"]
    assert four["loadables"][0]["weights_bytes"] == one["loadables"][0]["weights_bytes"]
    _, text, _ = run(capsys, *asked[:-1], "--max-batch", "4")
    assert "4 frames at once: a DLA always computes all of them" in text and "4x4x1600" in text
    assert "0.187 G multiply-adds a frame" in text


def test_on_the_gpu_one_engine_takes_any_number_of_frames(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "sample:conveyor", "--module", "orin-nano", "--max-batch", "4")
    assert "batch      1 to 4 frames at once" in out and "0.187 G multiply-adds a frame" in out


@pytest.mark.parametrize(
    ("engines", "own", "asked", "batch"), [(3, None, (), 3), (3, 2, (), 2), (3, 2, ("--max-batch", "5"), 5)]
)
def test_the_batch_is_the_configs_the_model_s_own_word_first(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    engines: int,
    own: int | None,
    asked: tuple[str, ...],
    batch: int,
) -> None:
    config = tmp_path / "config.toml"
    model = '[models.parts]\npath = "sample:conveyor"\n' + (f"max_batch = {own}\n" if own else "")
    config.write_text(f"[engines]\nmax_batch = {engines}\n{model}", encoding="utf-8")
    words = ("sample:conveyor", "--module", "agx-orin", "--config", str(config), "--json", *asked)
    assert json.loads(run(capsys, *words)[1])["batch"]["frames"] == batch


def test_a_network_that_takes_one_frame_only_is_planned_for_one_and_the_plan_says_why(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bundle = first_frame_counts(tmp_path / "bundle")
    code, out, _ = run(capsys, bundle, "--module", "agx-orin", "--max-batch", "4")
    told = json.loads(run(capsys, bundle, "--module", "agx-orin", "--max-batch", "4", "--json")[1])
    assert code == 0 and "batch      one frame at once, instead of 4: the network cannot take several" in out
    assert (told["batch"]["frames"], told["batch"]["asked"]) == (1, 4)
    assert {piece["batch"] for piece in told["loadables"]} == {1}


def first_frame_counts(folder: Path) -> str:
    """The sample's bundle, with scores that all frames take from the first one."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    sample = sample_directory("conveyor")
    folder.mkdir()
    (folder / "model.toml").write_text((sample / "model.toml").read_text())
    model = onnx.load(str(sample / "conveyor.onnx"))
    output = model.graph.output[0].name
    maker = next(node for node in model.graph.node if output in node.output)
    maker.output[list(maker.output).index(output)] = "of_all"
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "first"))
    model.graph.node.append(helper.make_node("Gather", ["of_all", "first"], [output], "of_the_first", axis=0))
    onnx.save(model, str(folder / "conveyor.onnx"))
    return str(folder)


def test_a_plain_file_is_planned_for_the_frames_it_is_exported_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    network = Yolo()
    path = network.write(tmp_path, network.build())
    _, out, _ = run(capsys, str(path), "--module", "agx-orin", "--max-batch", "4")
    assert (
        "batch      an ONNX file is planned as it is exported, not for 4 frames at once" in out and "1x144x8400" in out
    )


@pytest.mark.parametrize("tensorrt", ["10.3", "11.4.1"])
def test_own_qdq_nodes_and_several_frames_at_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tensorrt: str
) -> None:
    bundle = with_own_qdq(tmp_path / "bundle")
    told = json.loads(run(capsys, bundle, "--tensorrt", tensorrt, "--max-batch", "2", "--json")[1])
    assert told["batch"]["frames"] == 2 and {piece["batch"] for piece in told["loadables"]} == {2}


def test_a_virtual_board_is_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    board = make_board("orin-nano-r36", tmp_path / "board", seed=1)
    _, out, _ = run(capsys, "sample:conveyor", "--root", str(board.root))
    assert "Jetson Orin Nano 8GB has no DLA" in out and "supposed" not in out


def dynamic(folder: Path) -> str:
    network = Network()
    path = network.write(folder, network.add("Relu", network.feed("images", "batch", 3, 32, 32)))
    return str(path)


@pytest.mark.parametrize("case", ["missing", "empty", "text", "dynamic", "directory", "sample", "module", "root"])
def test_bad_input_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path, case: str) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("<html>not found</html>")
    arguments, word = {
        "missing": ([str(tmp_path / "none.onnx")], "no such file"),
        "empty": ([str(tmp_path / "empty.onnx")], "is empty"),
        "text": ([str(tmp_path / "text.onnx")], "no valid ONNX"),
        "dynamic": ([dynamic(tmp_path)], "a DLA needs static shapes"),
        "directory": ([str(tmp_path)], "no model bundle"),
        "sample": (["sample:other"], "sample:conveyor"),
        "module": (["sample:conveyor", "--module", "orin-x"], "orin-nx-16gb"),
        "root": (["sample:conveyor", "--root", str(tmp_path / "none")], "is no directory"),
    }[case]
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert word in err and err.count("\n") == 1


def test_the_plan_costs_the_command_line_no_heavy_import() -> None:
    """Reading the arguments, and the modules of the agent's side, load no onnx."""
    import subprocess

    script = (
        "import sys; from edgeagent.app import engine_plan, plan_screen; from edgeagent.engine.dla import plan; "
        "print(sorted({'onnx', 'numpy', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_parser_has_what_the_plan_reads() -> None:
    options = make_parser().parse_args(["engine", "plan", "sample:conveyor"])
    assert (options.module, options.tensorrt, options.precision, options.all) == (None, None, "int8", False)
    assert options.max_batch is None
