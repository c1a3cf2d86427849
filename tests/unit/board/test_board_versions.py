"""Versions where no package says them."""

from __future__ import annotations

import pytest

from edgeagent.board import versions
from edgeagent.board.identity import Evidence, decide_identity

NEW_HEADER = b"""#define TRT_MAJOR_ENTERPRISE 10
#define TRT_MINOR_ENTERPRISE 14
#define TRT_PATCH_ENTERPRISE 1
#define TRT_BUILD_ENTERPRISE 48
#define NV_TENSORRT_MAJOR TRT_MAJOR_ENTERPRISE //!< major
#define NV_TENSORRT_LWS_MAJOR 0
"""


def test_the_newest_full_soname_counts() -> None:
    paths = ("/a/libnvinfer.so.10", "/a/libnvinfer.so.9.3.0", "/b/libnvinfer.so.10.3.0", "/b/libnvinfer.so.10.3.0.bak")
    assert versions.parse_soname(paths, "libnvinfer") == ("10.3.0", "/b/libnvinfer.so.10.3.0")
    assert versions.parse_soname(paths, "libcudart") == ("", "")
    assert versions.parse_soname(("/a/libnvinfer_plugin.so.10.3.0",), "libnvinfer") == ("", "")


@pytest.mark.parametrize(
    ("raw", "version"),
    [
        (b"#define NV_TENSORRT_MAJOR 8\n#define NV_TENSORRT_MINOR 6\n#define NV_TENSORRT_PATCH 2\n", "8.6.2"),
        (NEW_HEADER, "10.14.1.48"),
        (b"#define NV_TENSORRT_MAJOR 8\n", ""),
        (b"//#define NV_TENSORRT_MAJOR 8\n#define NV_TENSORRT_MAJOR x\n", ""),
        (b"", ""),
    ],
)
def test_tensorrt_header(raw: bytes, version: str) -> None:
    assert versions.parse_tensorrt_header(raw) == version


@pytest.mark.parametrize(("raw", "version"), [(b"CUDA Version 10.2.300\n", "10.2.300"), (b"CUDA 10.2\n", "")])
def test_cuda_text(raw: bytes, version: str) -> None:
    assert versions.parse_cuda_text(raw) == version


@pytest.mark.parametrize(
    ("text", "version"), [("6.2.1+b38", "6.2.1"), ("5.1.2-b104", "5.1.2"), ("6.0", "6.0"), ("+b38", ""), ("", "")]
)
def test_jetpack_package(text: str, version: str) -> None:
    assert versions.parse_jetpack_package(text) == version


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.3.0", "10.3.0.30", True),
        ("10.3.0", "10.3.1", False),
        ("10", "10.3", True),
        ("9.3.0", "10.3.0", False),
        ("", "10.3.0", True),
    ],
)
def test_same_release(one: str, other: str, same: bool) -> None:
    assert versions.same_release(one, other) is same


@pytest.mark.parametrize(
    ("evidence", "tensorrt", "cuda", "source"),
    [
        (
            Evidence(library_files=("/u/libnvinfer.so.10.3.0", "/u/libcudart.so.12.6.68")),
            "10.3.0",
            "12.6.68",
            "/u/libnvinfer.so.10.3.0",
        ),
        (
            Evidence(tensorrt_header=NEW_HEADER, cuda_text=b"CUDA Version 10.2.300"),
            "10.14.1.48",
            "10.2.300",
            "NvInferVersion.h",
        ),
        (Evidence(libraries={"tensorrt-cu12": "10.9.0"}), "10.9.0", "", "Python package"),
    ],
)
def test_a_container_without_packages_still_has_versions(
    evidence: Evidence, tensorrt: str, cuda: str, source: str
) -> None:
    identity = decide_identity(evidence)
    assert (identity.tensorrt, identity.cuda) == (tensorrt, cuda)
    assert identity.rests_on["tensorrt"] == (source,)


@pytest.mark.parametrize(
    ("release", "package", "jetpack", "sources"),
    [
        (b"# R36 (release), REVISION: 4.7,", "6.2.1+b38", "6.2.1", ("L4T 36.4.7", "package nvidia-jetpack")),
        (b"# R36 (release), REVISION: 9.1,", "6.4+b1", "6.4", ("package nvidia-jetpack",)),
        (b"# R36 (release), REVISION: 9.1,", "", "6.x", ("L4T 36.9.1",)),
        (b"", "6.2.1+b38", "6.2.1", ("package nvidia-jetpack",)),
    ],
)
def test_the_jetpack_comes_from_l4t_and_from_its_package(
    release: bytes, package: str, jetpack: str, sources: tuple[str, ...]
) -> None:
    identity = decide_identity(Evidence(tegra_release=release, packages={"nvidia-jetpack": package}))
    assert (identity.jetpack, identity.rests_on["jetpack"]) == (jetpack, sources)
    assert identity.contradictions == ()
