"""Which backend this process could use: from packages' records and device files, nothing imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgeagent.app.backends import GPU_NODES, choose_backend, has_gpu, tensorrt_version
from edgeagent.errors import EngineError

without = pytest.mark.skipif(bool(tensorrt_version()), reason="this Python has a TensorRT of its own")


def install(folder: Path, name: str, version: str) -> None:
    """A package's record, as pip leaves it, and a module that nobody may import."""
    record = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@without
@pytest.mark.parametrize(
    ("name", "version", "wanted"),
    [
        ("tensorrt", "8.6.2", (8, 6, 2)),
        ("tensorrt", "10.3.0", (10, 3, 0)),
        ("tensorrt-cu12", "10.16.1.11", (10, 16, 1, 11)),
        ("tensorrt-cu13", "11.4.0.1", (11, 4, 0, 1)),
    ],
)
def test_the_release_comes_from_the_packages_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, version: str, wanted: tuple[int, ...]
) -> None:
    install(tmp_path, name, version)
    monkeypatch.syspath_prepend(tmp_path)
    assert tensorrt_version() == wanted
    assert "tensorrt" not in sys.modules


@without
def test_a_module_without_a_record_is_there_in_an_unknown_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert tensorrt_version() == (0,)


@without
def test_no_tensorrt() -> None:
    assert tensorrt_version() == ()
    assert choose_backend("auto") == "onnxruntime"
    with pytest.raises(EngineError, match=r'engines\.backend is "tensorrt", and this Python has no TensorRT') as caught:
        choose_backend("tensorrt")
    assert caught.value.error_code == "no_gpu"
    assert "doctor" in caught.value.mend


@without
def test_tensorrt_without_pycuda_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "tensorrt", "10.3.0")
    monkeypatch.syspath_prepend(tmp_path)
    assert choose_backend("auto") == "onnxruntime"
    with pytest.raises(EngineError, match="this Python has no pycuda"):
        choose_backend("tensorrt")


@without
@pytest.mark.skipif(has_gpu(), reason="there is a GPU here")
def test_tensorrt_without_a_gpu_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "tensorrt", "10.3.0")
    (tmp_path / "pycuda.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert choose_backend("auto") == "onnxruntime"
    with pytest.raises(EngineError, match="there is no NVIDIA GPU here"):
        choose_backend("tensorrt")


def test_onnx_runtime_is_taken_where_it_is_asked_for() -> None:
    assert choose_backend("onnxruntime") == "onnxruntime"


@pytest.mark.parametrize("node", GPU_NODES)
def test_any_device_file_of_a_gpu_counts(tmp_path: Path, node: str) -> None:
    assert not has_gpu(tmp_path)
    (tmp_path / node).parent.mkdir(parents=True)
    (tmp_path / node).touch()
    assert has_gpu(tmp_path)
