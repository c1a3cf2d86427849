"""`edgeagent engine build` as a person runs it: pictures, a camera, JSON, bad input, Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from agent_kit import Family, command_line, entries, shared_memory
from test_build_kit import belt_frames
from test_link_kit import Ear, program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SAMPLE = Path(sys.modules["edgeagent"].__file__ or "").parent / "simulate" / "sample_model"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures of the belt, as a camera of 640x480 sees it; half of them in a directory that is linked to."""
    folder, elsewhere = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("elsewhere")
    for number, frame in enumerate(belt_frames(24, 640)):
        cv2.imwrite(str((folder if number % 2 else elsewhere) / f"{number:02}.png"), frame[:480])
    (folder / "linked").symlink_to(elsewhere)
    return folder


@pytest.fixture
def family() -> Iterator[Family]:
    members = Family()
    yield members
    assert members.members() == {}, "it left processes behind"
    members.kill_all()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Few frames, so that it is soon over."""
    file = tmp_path / "config.toml"
    file.write_text(
        f'[device]\nstate_dir = "{tmp_path}/state"\n[engines]\nbackend = "onnxruntime"\n'
        "calibration_frames = 16\nholdout_frames = 4\ncalibration_interval_s = 0.0\n"
    )
    return file


def build(family: Family, config: Path, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = command_line("engine", "build", *map(str, words), "--config", str(config), family=family)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def test_pictures_from_a_directory_and_the_same_again_from_the_store(
    family: Family, config: Path, tmp_path: Path, pictures: Path
) -> None:
    done = build(family, config, "sample:conveyor", "--images", pictures)
    (key,) = entries(tmp_path / "state")
    assert f"engine   {key}  was built" in done.stdout
    assert "proof    agrees to " in done.stdout
    assert "picture 1 of 24 in" in done.stderr, "those behind a link are used as well"
    again = build(family, config, "sample:conveyor", "--images", pictures)
    assert f"engine   {key}  was in the store" in again.stdout
    assert "collecting" not in again.stderr
    assert [path.name for path in (tmp_path / "state" / "calibration").glob("images-*[!k]")]


def test_for_a_script(family: Family, config: Path, tmp_path: Path, pictures: Path) -> None:
    done = build(family, config, "sample:conveyor", "--images", pictures, "--json", "--precision", "fp32")
    told = json.loads(done.stdout)
    assert [told["key"]] == entries(tmp_path / "state")
    assert told["origin"] == "build"
    assert Path(told["plan"]).is_file()
    assert told["manifest"]["precision"] == "fp32"
    assert told["manifest"]["agreement"]["value"] >= 0.99


def test_an_engine_for_several_frames_at_once(family: Family, config: Path, tmp_path: Path, pictures: Path) -> None:
    words = ("sample:conveyor", "--images", pictures, "--precision", "fp32")
    told = json.loads(build(family, config, *words, "--max-batch", 3, "--json").stdout)
    assert told["form"] == "FP32 on the CPU, 3 frames at once" and told["form_reason"] == ""
    assert told["manifest"]["facts"]["batch"] == 3
    one = json.loads(build(family, config, *words, "--json").stdout)
    assert one["manifest"]["facts"]["batch"] == 1 and len(entries(tmp_path / "state")) == 2
    shown = command_line("engine", "explain", told["key"], one["key"], "--config", str(config), family=family)
    assert "batch differs: 3 and 1" in shown.stdout
    refused = build(family, config, *words, "--max-batch", 33, code=2)
    assert "engines.max_batch" in refused.stderr and "32" in refused.stderr


def test_a_model_from_a_registry_is_named_by_its_digest(
    family: Family, config: Path, tmp_path: Path, pictures: Path
) -> None:
    digest = "ab" * 32
    words = (f"registry:{digest}", "--images", pictures, "--precision", "fp32")
    refused = build(family, config, *words, code=2)
    assert f"edgeagent engine pull --model {digest}" in refused.stderr
    shutil.copytree(SAMPLE, tmp_path / "state" / "models" / digest)
    assert "was built" in build(family, config, *words).stdout


def test_a_new_picture_is_other_data(family: Family, config: Path, tmp_path: Path, pictures: Path) -> None:
    more = Path(shutil.copytree(pictures, tmp_path / "more"))
    build(family, config, "sample:conveyor", "--images", more)
    cv2.imwrite(str(more / "linked" / "new.png"), belt_frames(1, 640, seed=5)[0])
    build(family, config, "sample:conveyor", "--images", more)
    assert len(entries(tmp_path / "state")) == 2


def test_frames_from_a_camera(family: Family, config: Path, tmp_path: Path) -> None:
    before = shared_memory()
    done = build(family, config, "sample:conveyor", "--source", "synthetic")
    assert entries(tmp_path / "state")[0] in done.stdout
    assert "calibration frames from the camera" in done.stderr
    assert shared_memory() <= before


def test_a_camera_that_is_not_there_is_told_at_once(family: Family, config: Path, tmp_path: Path) -> None:
    done = build(family, config, "sample:conveyor", "--source", "/dev/video99", code=2)
    assert done.stderr.splitlines()[-1].startswith("edgeagent: there is no device /dev/video99")
    assert done.stdout == "" and entries(tmp_path / "state") == []


def bundle_with(folder: Path, network: bytes | None) -> Path:
    folder.mkdir()
    shutil.copy(SAMPLE / "model.toml", folder)
    if network is not None:
        (folder / "conveyor.onnx").write_bytes(network)
    return folder


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (b"", "conveyor.onnx is missing or empty"),
        (b"these are words\n" * 50, "conveyor.onnx is no valid ONNX model"),
        (None, "conveyor.onnx is missing or empty"),
    ],
    ids=["empty", "text", "missing"],
)
def test_a_network_that_is_none(
    family: Family, config: Path, tmp_path: Path, pictures: Path, network: bytes | None, told: str
) -> None:
    bundle = bundle_with(tmp_path / "bundle", network)
    done = build(family, config, bundle, "--images", pictures, code=2)
    assert done.stdout == "" and told in done.stderr
    assert done.stderr.splitlines()[-1].endswith("[model_not_onnx]" if network else "[model_missing]")
    assert not (tmp_path / "state" / "engines").exists() or entries(tmp_path / "state") == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere", "--images", "/tmp"], "(a bundle is a directory with model.toml) [model]"),
        (["net.onnx", "--images", "/tmp"], "net.onnx is a network, and what a build wants is a bundle"),
        (["sample:conveyor"], "--images, or a camera with --source"),
        (["sample:conveyor", "--source", "ftp://x"], "ftp://x"),
        (["sample:conveyor", "--images", "/tmp", "--placement", "dla0"], "ONNX Runtime computes on the CPU"),
    ],
)
def test_requests_that_are_wrong(family: Family, config: Path, words: list[str], told: str) -> None:
    done = build(family, config, *words, code=2)
    assert told in done.stderr and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_a_plan_of_what_is_no_network_tells_its_code_to_a_script(family: Family, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"these are words\n" * 50)
    done = command_line("engine", "plan", str(tmp_path / "net.onnx"), "--json", family=family)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "model_not_onnx"
    assert "[model_not_onnx]" in done.stderr


def fill_nothing(folder: Path) -> None:
    """An empty directory."""


def fill_one_colour(folder: Path) -> None:
    for number in range(24):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((480, 640, 3), 3 * number, np.uint8))


def fill_with_text(folder: Path) -> None:
    for number in range(24):
        (folder / f"{number}.jpg").write_text("no picture")


def fill_with_the_same(folder: Path) -> None:
    for number in range(24):
        cv2.imwrite(str(folder / f"{number}.png"), belt_frames(1, 640)[0])


@pytest.mark.parametrize(
    ("fill", "told"),
    [
        (fill_nothing, "is empty: there are no pictures to calibrate with"),
        (fill_one_colour, "passed over: 24 of one colour"),
        (fill_with_text, "passed over: 24 no JPEG, PNG, BMP or WebP picture"),
        (fill_with_the_same, "has 1 usable pictures of 24 files, and 20 are needed"),
    ],
)
def test_pictures_that_are_none(family: Family, config: Path, tmp_path: Path, fill: object, told: str) -> None:
    assert callable(fill)
    folder = tmp_path / "bad"
    folder.mkdir()
    fill(folder)
    done = build(family, config, "sample:conveyor", "--images", folder, "--json", code=2)
    assert told in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "no_calibration"
    assert told in json.loads(done.stdout)["error"]["message"]
    assert entries(tmp_path / "state") == []
    assert [path.name for path in (tmp_path / "state" / "calibration").rglob("*.png")] == []


@pytest.mark.parametrize("where", ["/nowhere/pictures", "/dev/null"])
def test_a_directory_that_is_none(family: Family, config: Path, tmp_path: Path, where: str) -> None:
    done = build(family, config, "sample:conveyor", "--images", where, code=2)
    assert f"the calibration pictures in {where} cannot be read" in done.stderr


def test_a_build_that_is_killed_leaves_nothing_either(family: Family, config: Path, tmp_path: Path) -> None:
    heard, store = Ear(), tmp_path / "state" / "engines"
    command = [sys.executable, "-m", "edgeagent", "engine", "build", "sample:conveyor", "--source", "synthetic"]
    with program([*command, "--config", str(config)], heard, env=family.environment()) as process:
        heard.wait(lambda line: "grafting" in line)
        halves = list(store.glob(".new-*"))
        os.kill(family.pid_of("engine.build.child"), signal.SIGKILL)
        heard.wait(lambda line: "was killed" in line)
        assert halves and not [half for half in halves if half.exists()]
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    family.wait_gone()
    assert entries(tmp_path / "state") == [] and not list(store.glob(".new-*"))


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing(family: Family, config: Path, tmp_path: Path, sig: signal.Signals) -> None:
    shared, heard = shared_memory(), Ear()
    slow = config.read_text().replace("interval_s = 0.0", "interval_s = 0.5")
    config.write_text(slow)
    command = [sys.executable, "-m", "edgeagent", "engine", "build", "sample:conveyor", "--source", "synthetic"]
    with program([*command, "--config", str(config)], heard, env=family.environment()) as process:
        heard.wait(lambda line: "collecting" in line)
        os.kill(process.pid, sig)
        code = process.wait(30)
    assert code == 128 + sig
    family.wait_gone()
    assert not [line for line in heard.items if "Traceback" in line]
    assert "edgeagent: the build was stopped: there is no engine [cancelled]" in heard.items
    assert shared_memory() <= shared
    assert entries(tmp_path / "state") == []
    assert [path.name for path in (tmp_path / "state" / "calibration").rglob("*.png")] == []
