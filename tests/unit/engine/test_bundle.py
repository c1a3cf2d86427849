"""A bundle is read completely or refused in one line that says what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from engine_kit import Net, spec_for, write_bundle, write_spec

from edgeagent.engine.bundle import data_files, digest_files, load_bundle
from edgeagent.errors import ModelError

GOOD = """
name = "parts"
version = "1"
onnx = "parts.onnx"
task = "detect"
family = "yolov8"
classes = ["bolt", "nut"]
[input]
width = 320
height = 256
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.toml").write_text(GOOD)
    (tmp_path / "parts.onnx").write_bytes(b"not looked into here")
    return tmp_path


def refused(where: Path | str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_bundle(str(where))
    error = caught.value
    assert "\n" not in error.line()
    assert error.mend
    return error


def test_a_good_bundle_by_directory_and_by_file(folder: Path) -> None:
    bundle = load_bundle(str(folder))
    assert bundle == load_bundle(str(folder / "model.toml"))
    assert bundle.onnx_path == folder / "parts.onnx"
    assert bundle.spec.classes == ["bolt", "nut"]
    assert (bundle.spec.input.width, bundle.spec.input.height) == (320, 256)


def test_what_model_toml_leaves_out_is_the_plain_yolo_scaling(folder: Path) -> None:
    size = load_bundle(str(folder)).spec.input
    assert (size.color, size.scale, size.mean, size.std) == ("rgb", 1 / 255, [0.0] * 3, [1.0] * 3)


def test_the_sample_model_is_a_bundle() -> None:
    bundle = load_bundle("sample:conveyor")
    assert bundle.spec.name == "conveyor"
    assert bundle.onnx_path.stat().st_size <= 3_000_000
    assert bundle.digest == load_bundle(str(bundle.onnx_path.parent)).digest


def test_another_sample_is_refused() -> None:
    assert "sample:conveyor" in refused("sample:cats").line()


@pytest.mark.parametrize("where", ["nowhere", "nowhere/model.toml", "parts.onnx/model.toml"])
def test_a_missing_bundle(folder: Path, where: str) -> None:
    assert "there is no model bundle at" in refused(folder / where).message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (GOOD, "= =", "cannot be read as TOML"),
        (GOOD, "a = " + "[" * 100_000, "cannot be read as TOML"),
        (GOOD, "a = " + "9" * 5000, "cannot be read as TOML"),
        (GOOD, "", "Field required"),
        ('version = "1"\n', "", "version: Field required"),
        ('version = "1"', "version = 1", "version: Input should be a valid string"),
        ('version = "1"', 'version = "1"\ncolour = "red"', "colour: Extra inputs are not permitted"),
        ("width = 320", "width = 320\ndepth = 3", "input.depth: Extra inputs are not permitted"),
        ('name = "parts"', 'name = "Parts of it"', "name: String should match"),
        ('"yolov8"', '"yolov99"', "family: Input should be 'yolov8'"),
        ('"detect"', '"segment"', "task: Input should be 'detect'"),
        ('["bolt", "nut"]', "[]", "classes: List should have at least 1 item"),
        ('["bolt", "nut"]', '"bolt"', "classes: Input should be a valid list"),
        ('["bolt", "nut"]', '["bolt", ""]', "classes.1: String should have at least 1 character"),
        ('["bolt", "nut"]', '["bolt", "nut", "bolt"]', "bolt stands there twice"),
        ("width = 320", "width = 321", "input.width: Input should be a multiple of 8"),
        ("width = 320", "width = 0", "input.width: Input should be greater than or equal to 32"),
        ("width = 320", "width = 8192", "input.width: Input should be less than or equal to 4096"),
        ("width = 320", 'width = "wide"', "input.width: Input should be a valid integer"),
        ("width = 320", 'width = 320\ncolor = "grey"', "input.color: Input should be 'rgb' or 'bgr'"),
        ("width = 320", "width = 320\nscale = 0", "input.scale: Input should be greater than 0"),
        ("width = 320", "width = 320\nscale = inf", "input.scale: Input should be a finite number"),
        ("width = 320", "width = 320\nmean = [0, nan, 0]", "input.mean.1: Input should be a finite number"),
        ("width = 320", "width = 320\nmean = [0, 0]", "input.mean: List should have at least 3 items"),
        ("width = 320", "width = 320\nstd = [1, 0, 1]", "input.std.1: Input should be greater than 0"),
        ('"parts.onnx"', '"../parts.onnx"', "lies outside the bundle"),
        ('"parts.onnx"', '"/etc/hostname"', "lies outside the bundle"),
        ('"parts.onnx"', '"."', "lies outside the bundle"),
        ('"parts.onnx"', '"sub/parts.onnx"', "lies outside the bundle"),
        ('"parts.onnx"', '"parts\\u0000.onnx"', "lies outside the bundle"),
        ('"parts.onnx"', '""', "onnx: String should have at least 1 character"),
        ('"parts.onnx"', '"other.onnx"', "other.onnx is missing or empty"),
    ],
)
def test_every_mistake_in_model_toml(folder: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    (folder / "model.toml").write_text(GOOD.replace(old, new))
    assert says in refused(folder).message


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "model.toml").write_bytes(b"\xff\xfe\x00name")
    assert "cannot be read as TOML" in refused(folder).message


def test_an_empty_onnx(folder: Path) -> None:
    (folder / "parts.onnx").write_bytes(b"")
    assert "missing or empty" in refused(folder).message


def test_a_link_out_of_the_bundle(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "parts.onnx"
    elsewhere.write_bytes(b"x")
    (folder / "parts.onnx").unlink()
    (folder / "parts.onnx").symlink_to(elsewhere)
    assert "lies outside the bundle" in refused(folder).message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_onnx_that_may_not_be_read(folder: Path) -> None:
    (folder / "parts.onnx").chmod(0)
    assert "cannot be read: Permission denied" in refused(folder).message


def test_a_directory_named_onnx(folder: Path) -> None:
    (folder / "parts.onnx").unlink()
    (folder / "parts.onnx").mkdir()
    assert "missing or empty" in refused(folder).message


def test_the_digest_follows_the_bytes_and_nothing_else(folder: Path) -> None:
    digest = load_bundle(str(folder)).digest
    (folder / "README.txt").write_text("about this model")
    os.utime(folder / "parts.onnx", (1, 1))
    assert load_bundle(str(folder)).digest == digest
    (folder / "parts.onnx").write_bytes(b"not looked into herE")
    assert load_bundle(str(folder)).digest != digest


@pytest.mark.parametrize("suffix", [".data", "_data"])
def test_the_digest_covers_external_weights(folder: Path, suffix: str) -> None:
    digests = {load_bundle(str(folder)).digest}
    weights = folder / f"parts.onnx{suffix}"
    for content in (b"", b"one", b"two"):
        weights.write_bytes(content)
        digests.add(load_bundle(str(folder)).digest)
    assert len(digests) == 4
    assert data_files(folder / "parts.onnx") == [weights]


def test_bytes_that_move_from_one_file_to_the_next_change_the_digest(tmp_path: Path) -> None:
    def digest(first: bytes, second: bytes) -> str:
        (tmp_path / "a").write_bytes(first)
        (tmp_path / "b").write_bytes(second)
        return digest_files([tmp_path / "a", tmp_path / "b"])

    assert len({digest(b"ab", b"c"), digest(b"a", b"bc"), digest(b"abc", b""), digest(b"", b"abc")}) == 4


def test_the_digest_of_known_bytes(tmp_path: Path) -> None:
    """Pinned: another digest for the same files would rebuild every engine of every fleet."""
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_files([tmp_path / "a"]) == "c3494ca1a2cf8eeb8a11ded316fb55b83c3bbbedb6313cd50415251e5d09e12f"


def test_the_kit_writes_what_it_means(tmp_path: Path) -> None:
    net = Net(width=64, height=32, classes=5)
    values = {"color": "bgr", "scale": 0.5, "mean": [1.0, 2.0, 3.0], "std": [0.1, 0.2, 0.3]}
    bundle = write_bundle(tmp_path / "b", net, **values)
    assert bundle.spec == spec_for(net, **values)
    assert write_spec(tmp_path, bundle.spec).exists()
