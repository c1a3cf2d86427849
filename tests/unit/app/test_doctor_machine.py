"""Device files, disk, clock, device id, JetPack, power modes: the facts, and the lines with a mend that follow."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import get_args

import pytest

from edgeagent.app.doctor_board import check_board
from edgeagent.app.doctor_facts import (
    ClockFacts,
    DeviceFile,
    DiskFacts,
    MachineFacts,
    PowerFiles,
    User,
    collect_machine,
    disk_facts,
    hostname_of,
    may_open,
)
from edgeagent.app.doctor_machine import GIB, check_machine
from edgeagent.app.doctor_power import check_power
from edgeagent.app.doctor_report import Check, exit_code, ok, problem, render_text, warning
from edgeagent.board import contradictions
from edgeagent.board.identity import Evidence, Identity, decide_identity

ANNA = User("anna", 1000, frozenset(("anna", "video")), frozenset((1000, 44)))
ORIN = decide_identity(
    Evidence(
        compatible=b"nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0",
        tegra_release=b"# R36 (release), REVISION: 4.7, GCID: 1\n",
    )
)
PC = decide_identity(Evidence(machine="x86_64"))
NVMAP, CAMERA = DeviceFile("/dev/nvmap", "video", 0o660, True), DeviceFile("/dev/video0", "video", 0o660, True)
READY = MachineFacts(
    user=ANNA,
    devices=(NVMAP, DeviceFile("/dev/nvhost-vic", "video", 0o660, True), CAMERA),
    disk=DiskFacts("/var/lib/edgeagent", True, 20 * GIB, 60 * GIB, False, True),
    clock=ClockFacts(2026, True, False),
    hostname="line-3",
    jtop_socket=False,
    power=PowerFiles(),
)
CONF = b"< PARAM TYPE=FILE NAME=X >\nA /sys/a\n< POWER_MODEL ID=0 NAME=15W >\nX A 1\n< PM_CONFIG DEFAULT=0 >\n"


def machine(name: str, identity: Identity = ORIN, device_id: str | None = "line-3", **changes: object) -> Check:
    facts = dataclasses.replace(READY, **changes)  # type: ignore[arg-type]
    return next(one for one in check_machine(identity, facts, device_id) if one.name == name)


def collect(root: Path) -> MachineFacts:
    return collect_machine(root, root / "var/lib/edgeagent", hostname_of(root))


def disk(**changes: object) -> DiskFacts:
    assert READY.disk
    return dataclasses.replace(READY.disk, **changes)  # type: ignore[arg-type]


def test_a_ready_device_has_nothing_to_mend() -> None:
    found = list(check_machine(ORIN, READY, "line-3"))
    assert {one.state for one in found} == {"ok"}
    assert [one.name for one in found] == ["user", "gpu files", "cameras", "disk", "clock", "device id"]


@pytest.mark.parametrize(
    ("name", "changes", "state", "says"),
    [
        ("gpu files", {"devices": (CAMERA,)}, "problem", "drivers are not loaded"),
        ("gpu files", {"devices": (DeviceFile("/dev/nvmap", "video", 0o660, False),)}, "problem", "may not open"),
        ("cameras", {"devices": (NVMAP, dataclasses.replace(CAMERA, openable=False))}, "warning", "/dev/video0"),
        ("cameras", {"devices": (NVMAP,)}, "ok", "network cameras"),
        ("disk", {"disk": disk(free_bytes=GIB)}, "warning", "1.0 of 60.0 GiB"),
        ("disk", {"disk": disk(free_bytes=1)}, "problem", "0.0 of 60.0 GiB"),
        ("disk", {"disk": disk(read_only=True)}, "problem", "read-only"),
        ("disk", {"disk": disk(writable=False)}, "warning", "closed to this user"),
        ("disk", {"disk": disk(writable=False, exists=False)}, "ok", "not made yet"),
        ("disk", {"disk": None}, "warning", "cannot be asked"),
        ("clock", {"clock": ClockFacts(1970, False, False)}, "problem", "it is 1970"),
        ("clock", {"clock": ClockFacts(2026, False, False)}, "warning", "not synchronised"),
        ("clock", {"clock": ClockFacts(2026, False, True)}, "ok", "synchronised"),
        ("clock", {"clock": ClockFacts(2026, None, False)}, "ok", "does not say"),
        ("device id", {"device_id": "ubuntu"}, "warning", "collide"),
        ("device id", {"device_id": "localhost"}, "warning", "collide"),
        ("device id", {"device_id": None, "hostname": "..."}, "problem", "'...' gives none"),
    ],
)
def test_what_is_wrong_has_a_state_and_a_mend(name: str, changes: dict[str, object], state: str, says: str) -> None:
    found = machine(name, **changes)  # type: ignore[arg-type]
    assert (found.state, says in found.text) == (state, True)
    assert bool(found.mend) == (state != "ok")


def test_the_mend_names_the_groups_that_open_the_files() -> None:
    closed = (
        DeviceFile("/dev/nvmap", "video", 0o660, False),
        DeviceFile("/dev/dri/renderD128", "render", 0o660, False),
    )
    assert machine("gpu files", devices=closed).mend.startswith("sudo usermod -aG render,video anna")


def test_files_that_are_for_root_alone_are_no_matter_of_groups() -> None:
    """Seen after a bad boot: 0600 root root."""
    closed = (DeviceFile("/dev/nvhost-vic", "root", 0o600, False),)
    assert "root alone" in machine("gpu files", devices=closed).mend


def test_a_pc_needs_no_gpu_files_and_a_container_is_told_how_to_get_them() -> None:
    assert machine("gpu files", identity=PC, devices=()).state == "ok"
    inside = dataclasses.replace(ORIN, container="docker")
    assert "--runtime nvidia" in machine("gpu files", identity=inside, devices=()).mend


def test_the_random_name_of_a_container_is_no_good_device_id() -> None:
    inside = dataclasses.replace(ORIN, container="docker")
    assert machine("device id", identity=inside, device_id="7d3c5f0e9a21").state == "warning"
    assert machine("device id", identity=ORIN, device_id="7d3c5f0e9a21").state == "ok"


def test_a_container_is_not_told_to_set_a_clock_or_a_name_that_it_has_not() -> None:
    inside = dataclasses.replace(ORIN, container="docker")
    assert "timedatectl" in machine("clock", clock=ClockFacts(2026, False, False)).mend
    assert "on the host" in machine("clock", clock=ClockFacts(2026, False, False, of_host=True)).mend
    assert "hostnamectl" not in machine("device id", identity=inside, device_id="ubuntu").mend


def test_a_root_without_dev_is_not_judged() -> None:
    assert machine("devices", devices=None).state == "ok"


@pytest.mark.parametrize(
    ("mode", "owner", "group", "may"),
    [
        (0o660, 0, 44, True),
        (0o660, 0, 0, False),
        (0o666, 0, 0, True),
        (0o600, 1000, 0, True),
        (0o066, 1000, 0, False),
        (0o606, 0, 44, False),
        (0o640, 0, 44, False),
    ],
)
def test_permission_bits(mode: int, owner: int, group: int, may: bool) -> None:
    assert may_open(mode, owner, group, ANNA) is may


def board(identity: Identity, conf: bytes = CONF, why: str = "", has_apt: bool = True) -> dict[str, Check]:
    power = check_power(identity, PowerFiles(conf), why, has_apt=has_apt)
    return {one.name: one for one in (*check_board(identity, {}), *power)}


def test_a_supported_board() -> None:
    found = board(ORIN)
    assert {one.state for one in found.values()} == {"ok"}
    assert found["JetPack"].text == "6.2.1 (L4T 36.4.7)"
    assert found["power modes"].text == "15W; default 15W"


@pytest.mark.parametrize(
    ("compatible", "release", "says", "mend"),
    [
        (b"nvidia,p3448-0000\0nvidia,tegra210\0", b"# R32 (release), REVISION: 7.6", "Python 3.6", "newer module"),
        (b"nvidia,p3668-0001\0nvidia,tegra194\0", b"# R35 (release), REVISION: 4.1", "Python 3.8", "newer module"),
        (
            b"nvidia,p3767-0000\0nvidia,tegra234\0",
            b"# R35 (release), REVISION: 4.1",
            "JetPack 5.1.2",
            "flash JetPack 6",
        ),
        (b"nvidia,tegra234\0", b"# R34 (release), REVISION: 1.1", "L4T 34.1.1", "flash JetPack 6"),
    ],
)
def test_jetpack_4_and_5_are_refused_in_plain_words(compatible: bytes, release: bytes, says: str, mend: str) -> None:
    found = board(decide_identity(Evidence(compatible=compatible, tegra_release=release)))["JetPack"]
    assert (found.state, says in found.text, mend in found.mend) == ("problem", True, True)


def test_a_jetson_that_does_not_say_its_release() -> None:
    nameless = dataclasses.replace(ORIN, l4t="")
    assert board(nameless)["JetPack"].state == "warning"
    assert "container" in board(dataclasses.replace(nameless, container="docker"))["JetPack"].mend


def test_an_unknown_jetson_works_with_a_warning_and_contradictions_are_listed() -> None:
    assert board(decide_identity(Evidence(compatible=b"nvidia,tegra299\0")))["board"].state == "warning"
    seen = Evidence(
        compatible=b"nvidia,p3767-0005\0nvidia,tegra234\0",
        model=b"NVIDIA Jetson AGX Orin Developer Kit\0",
        plugin_ids=("3767-0000-300",),
        boot_control=b"TNSPEC 3767-300-0001-S.1-1-1-box-\n",
        tegra_release=b"# R38 (release), REVISION: 4.0, GCID: 1\n",
        packages={"nvidia-l4t-core": "36.4.7-1"},
        meminfo=b"MemTotal: 15655436 kB\n",
        cpus_present=b"0-3\n",
    )
    first, *lines = [one for one in check_board(decide_identity(seen), {}) if one.name == "board"]
    assert (first.state, first.text) == ("warning", "Jetson Orin Nano 8GB p3767-0005, but not all fits together")
    assert [one.text.split(" ")[0] for one in lines] == ["module:", "L4T:", "the", "L4T", "the", "the"]
    assert "p3767-0000" in lines[0].text  # one line a kind, with all of its sentences
    assert "p3767-0001" in lines[0].text
    assert {one.state for one in lines} == {"warning"}
    assert len({one.mend for one in lines}) == len(lines)
    assert "/proc/cmdline" in lines[-1].mend


def test_every_kind_of_contradiction_has_a_mend_of_its_own() -> None:
    mends = set()
    for kind in get_args(contradictions.Kind):
        quarrel = dataclasses.replace(ORIN, contradictions=("a, b",), contradiction_kinds=(kind,))
        mends |= {one.mend for one in check_board(quarrel, {}) if one.text == "a, b"}
    assert len(mends) == len(get_args(contradictions.Kind))


def test_files_that_are_there_and_closed_are_not_called_missing() -> None:
    nameless = dataclasses.replace(ORIN, l4t="")
    found = {one.name: one for one in check_board(nameless, {"/etc/nv_tegra_release": "closed to this user"})}
    assert found["JetPack"].text == "/etc/nv_tegra_release is closed to this user"
    assert "chmod a+r" in found["JetPack"].mend
    lines = [one.text for one in check_board(ORIN, {"/proc/meminfo": "a directory"}) if one.state == "warning"]
    assert lines == ["/proc/meminfo is a directory"]
    modes = board(ORIN, b"", why="a directory")["power modes"]
    assert (modes.state, "is a directory" in modes.text) == ("warning", True)


def test_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "etc/nv_tegra_release").mkdir(parents=True)
    os.mkfifo(tmp_path / "etc/nvpmodel.conf")
    (tmp_path / "etc/nv_boot_control.conf").symlink_to("nv_boot_control.conf")
    (tmp_path / "proc").write_text("a file where a directory should be")
    found = dict(collect(tmp_path).unreadable)
    assert found.pop("/etc/nv_boot_control.conf")
    assert found == {"/etc/nv_tegra_release": "a directory", "/etc/nvpmodel.conf": "no ordinary file"}


@pytest.mark.parametrize(
    ("memory", "boot_id", "says"),
    [
        (b'{"pending": {"mode_name": "7W", "boot_id": "a"}, "gave_up": ""}', "a", "waits for a reboot: 7W"),
        (b'{"pending": {"mode_name": "7W", "boot_id": "a"}}', "b", "nobody has looked since"),
        (b'{"pending": null, "gave_up": "MAXN"}', "a", "did not bring the power mode MAXN"),
        (b'{"required": {"wish": "low-power", "mode_id": 3, "mode_name": "7W", "boot_id": "a"}}', "a", "required for"),
        (b'{"required": {"wish": "low-power", "mode_id": 3, "mode_name": "7W", "boot_id": "a"}}', "b", "required for"),
        (b'{"pending": [1], "gave_up": ""}', "a", ""),
        (b'{"pending": null, "gave_up": ""}', "a", ""),
        (b"[1, 2]", "a", "is damaged"),
        (b"[" * 60_000, "a", "is damaged"),
        (b"\xff{", "a", "is damaged"),
        (b"", "a", ""),
    ],
)
def test_a_power_mode_that_waits_for_a_reboot_is_told(memory: bytes, boot_id: str, says: str) -> None:
    files = PowerFiles(CONF, memory, "/var/lib/edgeagent/power.json", "", boot_id)
    found = [one for one in check_power(ORIN, files, "", has_apt=True) if one.name == "power memory"]
    assert [(one.state, says in one.text, bool(one.mend)) for one in found] == [("warning", True, True)] * bool(says)


def test_the_memory_of_power_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "var/lib/edgeagent").mkdir(parents=True)
    memory = tmp_path / "var/lib/edgeagent/power.json"
    memory.write_bytes(b"damaged")
    assert collect(tmp_path).power.memory == b"damaged"
    assert memory.read_bytes() == b"damaged"
    memory.unlink()
    memory.mkdir()
    files = collect(tmp_path).power
    found = [one for one in check_power(ORIN, files, "", has_apt=True) if one.name == "power memory"]
    assert [(one.state, "is a directory" in one.text) for one in found] == [("warning", True)]


def test_power_modes_missing_broken_or_of_a_container() -> None:
    assert board(ORIN, b"")["power modes"].state == "warning"
    assert board(ORIN, b"< POWER_MODEL ID=x NAME= >\n")["power modes"].state == "problem"
    assert board(ORIN, bytes(range(256)))["power modes"].state == "problem"
    for conf in (b"", CONF, b"junk"):
        inside = board(dataclasses.replace(ORIN, container="docker"), conf)["power modes"]
        assert (inside.state, inside.text) == ("ok", "set on the host: nvpmodel ignores requests in a container")
    assert "apt" in board(ORIN, bytes(range(256)))["power modes"].mend
    assert "apt" not in board(ORIN, bytes(range(256)), has_apt=False)["power modes"].mend
    assert "power modes" not in board(PC, b"")


def test_the_page_ends_with_problems_and_the_summary() -> None:
    checks = [problem("b", "broken\x1b[31m\nhere", "mend it"), ok("long name", "fine"), warning("a", "so so", "look")]
    assert render_text(checks) == (
        "ok       long name  fine\n"
        "warning  a          so so\n"
        "                    mend: look\n"
        "problem  b          broken [31m here\n"
        "                    mend: mend it\n"
        "\n"
        "1 problem, 1 warning, 1 ok"
    )
    assert (exit_code(checks), exit_code(checks[1:])) == (1, 0)


def test_facts_of_a_root_that_has_nothing(tmp_path: Path) -> None:
    facts = collect(tmp_path)
    assert (facts.devices, facts.hostname, facts.power.conf) == (None, "", b"")
    assert facts.disk
    assert not facts.disk.exists


def test_device_files_are_found_with_group_and_mode(tmp_path: Path) -> None:
    (tmp_path / "dev/dri").mkdir(parents=True)
    (tmp_path / "dev/nvgpu/igpu0").mkdir(parents=True)
    for name in ("nvmap", "nvhost-vic", "dri/renderD128", "nvgpu/igpu0/ctrl", "video0", "sda", "v4l2-nvdec"):
        (tmp_path / "dev" / name).touch(0o660)
    (tmp_path / "dev/video9").symlink_to("gone")
    (tmp_path / "dev/nvhost-directory").mkdir()
    devices = collect(tmp_path).devices
    assert devices is not None
    assert {device.path for device in devices} == {
        f"/dev/{name}" for name in ("nvmap", "nvhost-vic", "dri/renderD128", "nvgpu/igpu0/ctrl", "video0")
    }
    assert all(device.mode & 0o600 == 0o600 for device in devices)


def test_a_disk_is_asked_at_the_nearest_directory_there_is(tmp_path: Path) -> None:
    found = disk_facts(tmp_path / "var/lib/edgeagent")
    assert found
    assert (found.exists, found.total_bytes > 0, found.read_only) == (False, True, False)
    whole = disk_facts(tmp_path)
    assert whole
    assert whole.exists
    assert whole.writable


def test_host_names(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("Line-3\n")
    assert hostname_of(tmp_path) == "Line-3"
    assert hostname_of(Path("/")) == os.uname().nodename
