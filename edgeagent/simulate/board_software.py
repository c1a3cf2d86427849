"""Releases of Jetson Linux as virtual boards have them: release text, kernel, Debian packages. Data only.

First lines of the release texts and the TensorRT and CUDA versions of a JetPack are facts of public captures; build
numbers of packages that no capture gives are plausible and nothing more.
"""

from __future__ import annotations

from edgeagent.simulate.board_spec import Release, Software

Package = tuple[str, str]
_LIBRARY_LINES = "TARGET_USERSPACE_LIB_DIR=nvidia\nTARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia\n"


def _first_line(release: str, revision: str, gcid: int, board: str, date: str) -> str:
    return f"# {release} (release), REVISION: {revision}, GCID: {gcid}, BOARD: {board}, EABI: aarch64, DATE: {date}\n"


def _generic(release: str, revision: str, gcid: int, date: str, lines: str = _LIBRARY_LINES) -> str:
    """R36 and later name no board, but the kernel's variant; most go on with where the libraries are."""
    return _first_line(release, revision, gcid, "generic", date) + "# KERNEL_VARIANT: oot\n" + lines


def _packages(l4t: str, jetpack: str, tensorrt: Package, cudart: Package) -> tuple[Package, ...]:
    return (
        ("nvidia-l4t-core", l4t),
        ("nvidia-l4t-nvpmodel", l4t),
        ("nvidia-l4t-kernel", l4t),
        ("nvidia-jetpack", jetpack),
        tensorrt,
        cudart,
    )


R32_5_1 = Software(
    release="R32",
    tegra_release=_first_line("R32", "5.1", 26202423, "t210ref", "Fri Feb 19 16:45:52 UTC 2021"),
    kernel="4.9.201-tegra",
    packages=_packages(
        "32.5.1-20210219084526",
        "4.5.1-b17",
        ("libnvinfer7", "7.1.3-1+cuda10.2"),
        ("cuda-cudart-10-2", "10.2.89-1"),
    ),
    cuda="10.2.89",
)
R35_4_1 = Software(
    release="R35",
    tegra_release=_first_line("R35", "4.1", 33958178, "t186ref", "Tue Aug  1 19:57:35 UTC 2023"),
    kernel="5.10.120-tegra",
    packages=_packages(
        "35.4.1-20230801124926",
        "5.1.2-b104",
        ("libnvinfer8", "8.5.2-1+cuda11.4"),
        ("cuda-cudart-11-4", "11.4.298-1"),
    ),
    cuda="11.4.315",
)
_JETPACK_6_LIBRARIES = (("libnvinfer10", "10.3.0.30-1+cuda12.5"), ("cuda-cudart-12-6", "12.6.68-1"))
R36_4_3 = Software(
    release="R36",
    tegra_release=_generic("R36", "4.3", 38968081, "Wed Jan  8 01:49:37 UTC 2025"),
    kernel="5.15.148-tegra",
    packages=_packages("36.4.3-20250107174145", "6.2+b77", *_JETPACK_6_LIBRARIES),
    cuda="12.6.68",
)
R36_4_7 = Software(
    release="R36",
    tegra_release=_generic("R36", "4.7", 42132812, "Thu Sep 18 22:54:44 UTC 2025"),
    kernel="5.15.148-tegra",
    packages=_packages("36.4.7-20250918154033", "6.2.1+b38", *_JETPACK_6_LIBRARIES),
    cuda="12.6.68",
)
R36_5_0 = Software(
    release="R36",
    tegra_release=_generic("R36", "5.0", 43688277, "Fri Jan 16 03:50:45 UTC 2026"),
    kernel="5.15.185-tegra",
    packages=_packages("36.5.0-20260115194252", "6.2.2+b24", *_JETPACK_6_LIBRARIES),
    cuda="12.6.68",
)
R38_4_0 = Software(
    release="R38",
    tegra_release=_generic("R38", "4.0", 43443517, "Wed Dec 31 00:15:19 UTC 2025", ""),
    kernel="6.8.12-tegra",
    packages=_packages(
        "38.4.0-20251230160601",
        "7.1-b118",
        ("libnvinfer10", "10.13.3.9-1+cuda13.0"),
        ("cuda-cudart-13-0", "13.0.88-1"),
    ),
    cuda="13.0.2",
)
R39_2_1 = Software(
    release="R39",
    tegra_release=_generic("R39", "2.1", 46758480, "Fri Aug  7 05:54:22 AM UTC 2026"),
    kernel="6.8.12-1021-tegra",
    packages=_packages(
        "39.2.1-20260806224157",
        "7.2.1-b31",
        ("libnvinfer10", "10.16.2.10-1+cuda13.2"),
        ("cuda-cudart-13-2", "13.2.51-1"),
    ),
    cuda="13.2.1",
)


def future(release: Release) -> Software:
    """A release that is not out yet; its tools behave as `release`'s."""
    return Software(
        release=release,
        tegra_release=_generic("R40", "1.0", 51234567, "Mon Mar  1 09:10:11 PM UTC 2027"),
        kernel="6.14.5-1003-tegra",
        packages=_packages(
            "40.1.0-20270301130512",
            "8.0-b77",
            ("libnvinfer11", "11.6.0.14-1+cuda14.0"),
            ("cuda-cudart-14-0", "14.0.33-1"),
        ),
        cuda="14.0.1",
    )


def contained(software: Software) -> Software:
    """The same release as a container on it shows it: no release file, no packages of the host."""
    libraries = tuple(pair for pair in software.packages if pair[0].startswith(("libnvinfer", "cuda-")))
    return Software(software.release, "", software.kernel, libraries, software.cuda)


NONE = Software("", "", "6.8.0-60-generic", (("base-files", "13ubuntu10.3"), ("python3", "3.12.3-0ubuntu2")), "")
