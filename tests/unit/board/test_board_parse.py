"""Each parser against the form that a real file has, and against what it must refuse."""

from __future__ import annotations

import re

import pytest

from edgeagent.board import parse
from edgeagent.board.catalogue import L4t


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"Orin Nano\0", "Orin Nano"),
        (b"cpu-thermal\n", "cpu-thermal"),
        (b"first\nsecond\n", "first"),
        (b"  padded  \n", "padded"),
        (b"", ""),
        (b"\0\0", ""),
        (b"tab\there\x1b[31m\n", "tabhere[31m"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_text_is_the_first_string_without_controls(raw: bytes, text: str) -> None:
    assert parse.parse_text(raw) == text


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"45000\n", 45000),
        (b"-256000\n", -256000),
        (b"0", 0),
        (b"9500\n\n", 9500),
        (b"5\n0000\n", 5),
        (b"32760 ma\n", 32760),
        (b"", None),
        (b"\n", None),
        (b"N/A\n", None),
        (b"4.7\n", None),
        (b"0x10", 0),
        (b"1" * 40, None),
    ],
)
def test_int_is_what_the_file_starts_with(raw: bytes, value: int | None) -> None:
    assert parse.parse_int(raw) == value


def test_compatible_names_module_carrier_and_soc() -> None:
    compatible = parse.parse_strings(b"nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0")
    assert parse.parse_module_id(compatible) == "p3767-0005"
    assert parse.parse_carrier_id(compatible) == "p3768-0000"
    assert parse.parse_soc(compatible) == "t234"


def test_compatible_of_another_maker_names_nothing() -> None:
    compatible = ("raspberrypi,4-model-b", "brcm,bcm2711")
    assert parse.parse_module_id(compatible) == parse.parse_carrier_id(compatible) == parse.parse_soc(compatible) == ""


@pytest.mark.parametrize(
    ("raw", "release"),
    [
        (b"# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic\n# KERNEL_VARIANT: oot\n", L4t(36, 4, 7)),
        (b"# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref", L4t(35, 4, 1)),
        (b"# R39 (release), REVISION: 2.1, GCID: 1, DATE: Fri Aug  7 05:54:22 AM UTC 2026\n", L4t(39, 2, 1)),
        (b"# R38 (release), REVISION: 4, GCID: 1\n", L4t(38, 4, 0)),
        (b"", None),
        (b"Ubuntu 22.04\n", None),
    ],
)
def test_tegra_release(raw: bytes, release: L4t | None) -> None:
    assert parse.parse_tegra_release(raw) == release


def test_package_release() -> None:
    assert parse.parse_l4t_package("36.5.0-20260115194252") == L4t(36, 5, 0)
    assert parse.parse_l4t_package("36.5") is None


@pytest.mark.parametrize(
    ("line", "spec"),
    [
        (
            "TNSPEC 3767-300-0005-S.1-1-1-jetson-orin-nano-devkit-super-",
            ("p3767-0005", "300", "jetson-orin-nano-devkit-super"),
        ),
        ("TNSPEC 3767-300-0000-H.2-1-0-recomputer-orin-j401-", ("p3767-0000", "300", "recomputer-orin-j401")),
        (
            "TNSPEC 3767-ES1-0000-A.3-1-0-jetson-orin-nx-xavier-nx-devkit-nvme0n1p1",
            ("p3767-0000", "ES1", "jetson-orin-nx-xavier-nx-devkit"),
        ),
        ("COMPATIBLE_SPEC 3767--0005--1--jetson-orin-nano-devkit-", None),
        ("TNSPEC rubbish", None),
        ("TNSPEC 3767-300-xxxx-S.1-1-1-board-", None),
    ],
)
def test_tnspec(line: str, spec: tuple[str, str, str] | None) -> None:
    raw = f"TEGRA_CHIPID 0x23\n{line}\nTEGRA_LEGACY_UPDATE true\n".encode()
    assert parse.parse_tnspec(raw) == spec


def test_dpkg_status_gives_installed_packages_only() -> None:
    raw = (
        b"Package: libnvinfer10\nStatus: install ok installed\nVersion: 10.3.0.30-1+cuda12.5\nDescription: x\n y\n\n"
        b"Package: nvidia-l4t-core\nStatus: deinstall ok config-files\nVersion: 36.4.0-1\n\n"
        b"Package: libnvinfer10-dev\nStatus: install ok installed\nVersion: 1\n"
    )
    names = re.compile("libnvinfer10|nvidia-l4t-core")
    assert parse.parse_dpkg_status(raw, names) == {"libnvinfer10": "10.3.0.30-1+cuda12.5"}


def test_a_held_package_is_installed() -> None:
    raw = b"Package: nvidia-l4t-core\nStatus: hold ok installed\nVersion: 36.4.7-1\n"
    assert parse.parse_dpkg_status(raw, re.compile("nvidia-.*")) == {"nvidia-l4t-core": "36.4.7-1"}


def test_meminfo_reads_lines_with_and_without_a_unit() -> None:
    raw = b"MemTotal:        7789952 kB\nMemAvailable:    5000000 kB\nHugePages_Total:       0\nbroken line\n"
    values = parse.parse_meminfo(raw)
    assert values == {"MemTotal": 7789952, "MemAvailable": 5000000, "HugePages_Total": 0}


def test_proc_stat_counts_guest_time_once_and_iowait_as_idle() -> None:
    raw = b"cpu  10 1 4 80 5 0 0 0 7 0\ncpu0 10 1 4 80 5 0 0 0 7 0\nintr 12 0\n"
    assert parse.parse_proc_stat(raw) == {-1: parse.CpuTimes(15, 100), 0: parse.CpuTimes(15, 100)}


@pytest.mark.parametrize(
    ("after", "load"),
    [((50, 200), 50.0), ((0, 200), 0.0), ((0, 100), None), ((10, 50), None), ((300, 150), 100.0)],
)
def test_cpu_load_between_two_readings(after: tuple[int, int], load: float | None) -> None:
    assert parse.cpu_load(parse.CpuTimes(0, 100), parse.CpuTimes(*after)) == load


def test_cpu_list() -> None:
    assert parse.parse_cpu_list(b"0-3,5\n") == (0, 1, 2, 3, 5)
    assert parse.parse_cpu_list(b"4 5\n") == (4, 5)
    assert parse.parse_cpu_list(b"\n") == ()
    assert parse.parse_cpu_list(b"0-9999\n") == ()
    assert parse.parse_cpu_list(b"all\n") == ()


def test_uptime() -> None:
    assert parse.parse_uptime(b"1501.86 2900.10\n") == 1501.86
    assert parse.parse_uptime(b"soon\n") is None


def test_versions() -> None:
    assert parse.parse_version("10.3.0.30-1+cuda12.5") == "10.3.0.30"
    assert parse.parse_version("1:2.3-4") == "2.3"
    assert parse.parse_version("?") == ""
    assert parse.parse_cuda_json(b'{\n "cuda" : {\n "name": "CUDA SDK", "version" : "12.6.68"\n}}') == "12.6.68"
    assert parse.parse_cuda_json(b"{}") == ""


def test_gpu_model_of_a_pc() -> None:
    assert parse.parse_gpu_model(b"Model: \t\t NVIDIA RTX A2000\nIRQ:   \t\t 40\n") == "NVIDIA RTX A2000"


def test_memory_clock_in_either_unit() -> None:
    assert parse.memory_clock_khz(3_199_000_000) == parse.memory_clock_khz(3_199_000) == 3_199_000
    assert parse.memory_clock_khz(0) == 0
