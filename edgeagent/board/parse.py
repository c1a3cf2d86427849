"""Bytes from the device tree, /etc, /proc and /sys become values here. Pure: never opens a file, never raises on junk.

A parser that cannot read its input returns None, or an empty collection, and lets its caller say what that means.
Formats: device tree properties are NUL-terminated strings without a newline; sysfs attributes end with a newline;
/proc files are described in the kernel's Documentation/filesystems/proc.rst.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from edgeagent.board.catalogue import L4t, is_kit

_INT = re.compile(rb"\s{0,64}(-?[0-9]{1,20})(?![0-9.])")
_RELEASE = re.compile(rb"#\s*R([0-9]{1,3}) \(release\), REVISION: ([0-9]{1,3})(?:\.([0-9]{1,3}))?")
_PACKAGE_RELEASE = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})(?![0-9])")
_MODULE_ID = re.compile(r"p[0-9]{4}-[0-9]{4}")
_TEGRA = re.compile(r"nvidia,tegra([0-9]{3})")
_ROOT_DEVICE = re.compile(r"-(?:nvme|mmcblk|sd|internal|external)[a-z0-9]*$")
_MEMINFO = re.compile(rb"^([A-Za-z_()0-9]{1,40}):\s{0,40}([0-9]{1,18})(?: kB)?\s*$", re.MULTILINE)
_CPU_LINE = re.compile(rb"^cpu([0-9]{0,4}) ([0-9 ]+)$", re.MULTILINE)
_MOST_CORES = 1024
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)*")

POWERED_DOWN = -256_000
"""Millidegrees that L4T R35 and older report for a zone whose rail is off; tegrastats prints it as -256C."""


class TnSpec(NamedTuple):
    """The part of /etc/nv_boot_control.conf that names module and board: `3767-300-0005-S.1-1-1-<board>-`."""

    module_id: str
    fab: str
    board: str


class CpuTimes(NamedTuple):
    """Jiffies since boot of one line of /proc/stat."""

    busy: int
    total: int


def parse_text(raw: bytes) -> str:
    """The first line or NUL-terminated string of `raw`, without surrounding blanks and control characters."""
    text = raw.partition(b"\0")[0].strip().partition(b"\n")[0].decode("utf-8", "replace")
    return "".join(char for char in text if char.isprintable()).strip()


def parse_strings(raw: bytes) -> tuple[str, ...]:
    """A device tree string list: every NUL-terminated entry, most specific first for `compatible`."""
    return tuple(text for text in map(parse_text, raw.split(b"\0")) if text)


def parse_int(raw: bytes) -> int | None:
    """The integer that `raw` starts with; a unit may follow, as in the R32 form `32760 ma`. None for anything else."""
    found = _INT.match(raw)
    return int(found.group(1)) if found else None


def parse_module_id(compatible: Iterable[str]) -> str:
    """The module's part number in `compatible`: after the plus of `nvidia,p3768-0000+p3767-0005-super`, else alone.

    The id of a kit (`nvidia,p2972-0000`) looks the same and is none.
    """
    entries = [entry.partition(",")[2] for entry in compatible if entry.startswith("nvidia,")]
    for entry in [e.partition("+")[2] for e in entries if "+" in e] + [e for e in entries if "+" not in e]:
        if (found := _MODULE_ID.match(entry)) and not is_kit(found.group()):
            return found.group()
    return ""


def parse_carrier_id(compatible: Iterable[str]) -> str:
    """The carrier's part number: before the plus of `nvidia,p3768-0000+p3767-0005`; "" when there is none."""
    for entry in compatible:
        if entry.startswith("nvidia,") and "+" in entry:
            return entry.removeprefix("nvidia,").partition("+")[0]
    return ""


def parse_soc(compatible: Iterable[str]) -> str:
    """`t234` for `nvidia,tegra234`; "" when no entry names a Tegra."""
    for entry in compatible:
        if found := _TEGRA.fullmatch(entry):
            return f"t{found.group(1)}"
    return ""


def parse_tegra_release(raw: bytes) -> L4t | None:
    """/etc/nv_tegra_release: `# R36 (release), REVISION: 4.7, GCID: ...`."""
    found = _RELEASE.search(raw)
    if found is None:
        return None
    major, minor, patch = found.groups(default=b"0")
    return L4t(int(major), int(minor), int(patch))


def parse_l4t_package(version: str) -> L4t | None:
    """The version of the Debian package nvidia-l4t-core: `36.4.7-20250918154033`."""
    found = _PACKAGE_RELEASE.match(version)
    return L4t(int(found.group(1)), int(found.group(2)), int(found.group(3))) if found else None


def parse_tnspec(raw: bytes, key: str = "TNSPEC") -> TnSpec | None:
    """The TNSPEC line of /etc/nv_boot_control.conf: <board id>-<fab>-<sku>-<revision>-<fuse>-<chip>-<name>-[<root>].

    COMPATIBLE_SPEC has the same form, with fields left empty: `3767--0005--1--jetson-orin-nano-devkit-`.
    """
    return _tnspec(_boot_control(raw, key))


def parse_spec_board(raw: bytes, key: str) -> str:
    """The name that the board was flashed under, from the same line, also where its ids are empty or odd."""
    return _spec_board(_boot_control(raw, key))


def _boot_control(raw: bytes, key: str) -> str:
    lines = (line.decode("ascii", "replace").split() for line in raw.splitlines())
    return next((words[1] for words in lines if len(words) == 2 and words[0] == key), "")


def _spec_board(text: str) -> str:
    named = text.split("-", 6)
    board = _ROOT_DEVICE.sub("", named[6].rstrip("-")) if len(named) == 7 else ""
    return "".join(c for c in board if c.isprintable())


def _tnspec(text: str) -> TnSpec | None:
    fields = text.split("-", 6)
    if len(fields) < 7 or not _MODULE_ID.fullmatch(f"p{fields[0]}-{fields[2]}"):
        return None
    return TnSpec(f"p{fields[0]}-{fields[2]}", fields[1], _spec_board(text))


def parse_dpkg_status(raw: bytes, names: re.Pattern[str]) -> dict[str, str]:
    """Versions of the packages with such names that /var/lib/dpkg/status lists as installed (or held)."""
    versions: dict[str, str] = {}
    for paragraph in raw.split(b"\n\n"):
        lines = paragraph.strip().split(b"\n")
        name = lines[0].removeprefix(b"Package: ").rstrip().decode("ascii", "replace")
        if names.fullmatch(name) and _field(lines, b"Status: ").split()[1:] == ["ok", "installed"]:
            versions[name] = _field(lines, b"Version: ")
    return {name: version for name, version in versions.items() if version}


def _field(lines: Iterable[bytes], key: bytes) -> str:
    return next((parse_text(line.removeprefix(key)) for line in lines if line.startswith(key)), "")


def parse_meminfo(raw: bytes) -> dict[str, int]:
    """/proc/meminfo: kilobytes by name."""
    return {name.decode(): int(value) for name, value in _MEMINFO.findall(raw)}


def parse_proc_stat(raw: bytes) -> dict[int, CpuTimes]:
    """/proc/stat: jiffies by core, the whole machine under -1. Cores that are offline have no line.

    Columns: user nice system idle iowait irq softirq steal; guest time is already inside user and nice.
    """
    times = {}
    for core, columns in _CPU_LINE.findall(raw):
        values = [int(value) for value in columns.split()[:8] if len(value) <= 20]
        if len(values) >= 4 and (not core or int(core) < _MOST_CORES):
            idle = values[3] + (values[4] if len(values) > 4 else 0)
            times[int(core) if core else -1] = CpuTimes(sum(values) - idle, sum(values))
    return times


def cpu_load(before: CpuTimes, after: CpuTimes) -> float | None:
    """Percent busy between two readings, 0..100; None when no time passed or the counters went backwards."""
    total = after.total - before.total
    if total <= 0:
        return None
    return min(100.0, max(0.0, 100.0 * (after.busy - before.busy) / total))


def parse_uptime(raw: bytes) -> float | None:
    """/proc/uptime: seconds since boot."""
    found = re.match(rb"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s", raw)
    return float(found.group(1)) if found else None


def parse_cpu_list(raw: bytes) -> tuple[int, ...]:
    """The kernel's list format `0-3,5`, or the blank-separated one of affected_cpus; empty for junk."""
    cores: set[int] = set()
    for part in parse_text(raw).replace(",", " ").split():
        found = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part)
        if found is None:
            return ()
        first, last = int(found.group(1)), int(found.group(2) or found.group(1))
        if last >= _MOST_CORES:
            return ()
        cores.update(range(first, last + 1))
    return tuple(sorted(cores))


def parse_version(text: str) -> str:
    """The upstream version at the start of a Debian one: `10.3.0.30` of `10.3.0.30-1+cuda12.5`; "" for junk."""
    found = _VERSION.match(text.partition(":")[2] if ":" in text else text)
    return found.group() if found else ""


def parse_cuda_json(raw: bytes) -> str:
    """The toolkit's version in /usr/local/cuda/version.json; "" when there is none."""
    found = re.search(rb'"cuda"\s*:\s*\{[^{}]*"version"\s*:\s*"([0-9.]{1,20})"', raw)
    return found.group(1).decode() if found else ""


def parse_os_release(raw: bytes) -> str:
    """PRETTY_NAME of /etc/os-release, see os-release(5); "" when there is none."""
    name = _field(raw.splitlines(), b"PRETTY_NAME=").strip("\"'")
    return name[:100]


def parse_gpu_model(raw: bytes) -> str:
    """The `Model:` line of /proc/driver/nvidia/gpus/<bus>/information of a PC; "" when there is none."""
    return _field(raw.splitlines(), b"Model:")


def memory_clock_khz(value: int) -> int:
    """A memory clock in kilohertz, given in Hz by R36 and in kHz elsewhere.

    Every Jetson's memory clock lies between 204 000 and 10 000 000 kHz, so what is larger is in Hz.
    """
    return value // 1000 if value > 10_000_000 else value
