"""TensorRT's calibration cache: the text as the tool writes it, and all that is no such text."""

from __future__ import annotations

import struct

import pytest

from edgeagent.engine.scales import (
    CalibrationCache,
    cache_version_line,
    missing_scales,
    parse_cache,
    scale_of,
    write_cache,
)
from edgeagent.errors import EngineError

TEXT = b"\n".join(
    [
        b"TRT-8602-EntropyCalibration2",
        b"images: 3c008889",
        b"(Unnamed Layer* 3) [Convolution]_output: 3dcccccd",
        b"a: b: 3f800000",
        b"",
    ]
)


def test_a_cache_as_tensorrt_writes_it() -> None:
    cache = parse_cache(TEXT)
    assert (cache.version, cache.algorithm) == ("8602", "EntropyCalibration2")
    assert cache.scales["images"] == pytest.approx(1 / 127, rel=0.01)
    assert cache.scales["(Unnamed Layer* 3) [Convolution]_output"] == pytest.approx(0.1)
    assert cache.scales["a: b"] == 1.0


def test_line_ends_of_another_system_and_blank_lines() -> None:
    assert parse_cache(b"\r\n" + TEXT.replace(b"\n", b"\r\n\r\n")) == parse_cache(TEXT)
    assert parse_cache(TEXT.rstrip()) == parse_cache(TEXT)
    assert parse_cache(TEXT.replace(b"3c008889", b"3C008889 ")) == parse_cache(TEXT)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"\n \r\n", "it is empty"),
        (b"\xff\xfe\x00", "it is no text"),
        (b"<html><body>404</body></html>", "line 1 is not like TRT-8602-EntropyCalibration2"),
        (b"images: 3c008889\n", "line 1 is not like"),
        (TEXT + b"tensor 3c008889\n", "line 5 is not a tensor's name"),
        (TEXT + b": 3c008889\n", "line 5 is not a tensor's name"),
        (TEXT + b"tensor: 3c0088\n", "line 5 is not a tensor's name"),
        (TEXT + b"tensor: 0.0078\n", "line 5 is not a tensor's name"),
        (TEXT + b"tensor: 7fc00000\n", "line 5 gives the scale nan"),
        (TEXT + b"tensor: 7f800000\n", "line 5 gives the scale inf"),
        (TEXT + b"tensor: bf800000\n", "line 5 gives the scale -1"),
        (TEXT + b"images: 3f800000\n", "line 5 gives images another scale"),
        (b"x" * ((64 << 20) + 1), "larger than 64 MiB"),
    ],
)
def test_what_is_no_cache_is_told_with_its_line(data: bytes, said: str) -> None:
    with pytest.raises(EngineError) as caught:
        parse_cache(data)
    assert caught.value.error_code == "bad_calibration_cache"
    assert said in caught.value.message and caught.value.mend


def test_lines_are_written_in_the_order_of_names() -> None:
    one = CalibrationCache("100300", scales={"b": 2.0, "a": 1.0})
    two = CalibrationCache("100300", scales={"a": 1.0, "b": 2.0})
    assert write_cache(one) == write_cache(two) == b"TRT-100300-EntropyCalibration2\na: 3f800000\nb: 40000000\n"


@pytest.mark.parametrize(
    "scales", [{"": 1.0}, {"a\nb": 1.0}, {"a\r": 1.0}, {"a": -1.0}, {"a": float("nan")}, {"a": 1e39}]
)
def test_what_has_no_such_form_is_not_written(scales: dict[str, float]) -> None:
    with pytest.raises(EngineError) as caught:
        write_cache(CalibrationCache("8602", scales=scales))
    assert caught.value.error_code == "bad_calibration_cache"


@pytest.mark.parametrize(("version", "algorithm"), [("8.6.2", "EntropyCalibration2"), ("", "x"), ("8602", "a\nb")])
def test_a_first_line_that_is_none_is_not_written(version: str, algorithm: str) -> None:
    with pytest.raises(EngineError):
        write_cache(CalibrationCache(version, algorithm))


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("8.5.2", "8502"),
        ("8.6.2", "8602"),
        ("8.6.2.3", "8602"),
        ("8.6", "8600"),
        ("9.1.0", "9100"),
        ("10.3.0", "100300"),
        ("10.13.3.9", "101303"),
        ("10.16.2.10", "101602"),
    ],
)
def test_releases_as_caches_spell_them(release: str, line: str) -> None:
    assert cache_version_line(release) == line


@pytest.mark.parametrize("release", ["", "none", "10", "v8.6"])
def test_what_is_no_release(release: str) -> None:
    with pytest.raises(EngineError):
        cache_version_line(release)


def test_which_tensors_have_no_scale() -> None:
    cache = CalibrationCache("8602", scales={"a": 0.5, "dead": 0.0})
    assert missing_scales(["b", "a", "dead", "b", "c"], cache) == ["b", "dead", "c"]
    assert missing_scales([], cache) == []


def test_the_scale_of_a_range() -> None:
    assert scale_of(-254.0, 127.0) == 2.0
    assert struct.pack("!f", scale_of(0.0, 1.0)).hex() == "3c010204"
