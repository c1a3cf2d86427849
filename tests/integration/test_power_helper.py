"""The power helper's verbs, by the real program on real virtual boards: what each does, and what each refuses."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from test_power_helper_kit import board, call_once, helper, misbehave, mode_of, read, set_uptime

from edgeagent.simulate.board import VirtualBoard

CPU0 = "sys/devices/system/cpu/cpu0/cpufreq"
CPU4 = "sys/devices/system/cpu/cpu4/cpufreq"
GPU = "sys/class/devfreq/17000000.gpu"
EVERY_JETSON = (
    "nano-r32",
    "xavier-nx-r35",
    "orin-nano-r36",
    "orin-nx16-r36",
    "agx-orin-r36",
    "orin-nano-r39",
    "agx-orin-r39",
    "thor-r38",
    "unknown-carrier",
    "unknown-module",
)


@pytest.fixture
def orin(tmp_path: Path) -> VirtualBoard:
    return board(tmp_path)


def ends(orin: VirtualBoard, clock: str) -> tuple[int, int]:
    prefix = "" if "devfreq" in clock else "scaling_"
    return int(read(orin, f"{clock}/{prefix}min_freq")), int(read(orin, f"{clock}/{prefix}max_freq"))


def store(orin: VirtualBoard) -> Path:
    return orin.root.parent / "state/clocks.store"


def rebooted(orin: VirtualBoard) -> bool:
    return (orin.root / "run/virtual-reboot").exists()


# --- status and query-mode


def test_status_says_what_is_there(orin: VirtualBoard) -> None:
    found = call_once(orin, "status")
    assert (found.result, found.exit_status) == ("done", None)
    assert found.facts["nvpmodel"] is True and found.facts["systemctl"] is True
    assert found.facts["uptime_s"] == 1800
    assert found.facts["clock_store"] is False
    assert found.facts["uid"] == os.geteuid()
    assert found.facts["version"] == 1


def test_status_on_a_pc_misses_the_tools(tmp_path: Path) -> None:
    assert call_once(board(tmp_path, "pc"), "status").facts["nvpmodel"] is False


@pytest.mark.parametrize("name", EVERY_JETSON)
def test_query_mode_names_mode_and_id(tmp_path: Path, name: str) -> None:
    """Also with the line about the fan that R32 puts before it."""
    orin = board(tmp_path, name)
    found = call_once(orin, "query-mode")
    noted = int(read(orin, "var/lib/nvpmodel/status").split()[0].removeprefix("pmode:"))
    assert (found.result, found.exit_status, found.facts["mode_id"]) == ("done", 0, noted)
    assert f"NAME={found.facts['mode_name']} " in read(orin, "etc/nvpmodel.conf")
    assert found.facts["ran"] == "nvpmodel -q"


def test_query_mode_looks_past_warnings(orin: VirtualBoard) -> None:
    misbehave(orin, nvpmodel=["warn"])
    found = call_once(orin, "query-mode")
    assert found.facts["mode_name"] == "25W"
    assert "NVPM WARN" in found.output


# --- set-mode


def test_set_mode_changes_the_board(orin: VirtualBoard) -> None:
    found = call_once(orin, "set-mode", id=0, reboot=False)
    assert (found.result, found.exit_status, found.facts["ran"]) == ("done", 0, "nvpmodel -m 0")
    assert ends(orin, CPU0)[1] == 1497600
    assert ends(orin, GPU)[1] == 612000000


@pytest.mark.parametrize("wanted", [4, 99, 2**31])
def test_set_mode_refuses_an_id_that_the_board_has_not(orin: VirtualBoard, wanted: int) -> None:
    found = call_once(orin, "set-mode", id=wanted, reboot=False)
    assert (found.result, found.facts) == ("refused", {"reason": "argument"})
    assert "0 15W, 1 25W, 2 MAXN_SUPER, 3 7W" in found.detail


def test_a_mode_that_wants_a_reboot_is_told_and_changes_nothing(orin: VirtualBoard) -> None:
    before = ends(orin, CPU0), read(orin, "var/lib/nvpmodel/status")
    found = call_once(orin, "set-mode", id=3, reboot=False)
    assert (found.result, found.exit_status) == ("reboot-required", 234)
    assert "NVPM ERROR: bad input!" in found.output
    assert (ends(orin, CPU0), read(orin, "var/lib/nvpmodel/status")) == before
    assert not rebooted(orin)


def test_a_mode_that_wants_a_reboot_gets_it_where_it_is_allowed(orin: VirtualBoard) -> None:
    found = call_once(orin, "set-mode", id=3, reboot=True)
    assert (found.result, found.facts["ran"]) == ("rebooting", "nvpmodel -m 3 --force")
    assert rebooted(orin)


def test_an_allowed_reboot_that_is_not_needed_does_not_happen(orin: VirtualBoard) -> None:
    assert call_once(orin, "set-mode", id=2, reboot=True).result == "done"
    assert not rebooted(orin)


@pytest.mark.parametrize("verb", ["set-mode", "reboot"])
def test_no_reboot_in_the_first_five_minutes(orin: VirtualBoard, verb: str) -> None:
    set_uptime(orin, 299)
    found = call_once(orin, verb, **({"id": 3, "reboot": True} if verb == "set-mode" else {}))
    assert (found.result, found.facts) == ("refused", {"reason": "too-soon"})
    assert not rebooted(orin)
    set_uptime(orin, 300)
    assert call_once(orin, verb, **({"id": 3, "reboot": True} if verb == "set-mode" else {})).result == "rebooting"


@pytest.mark.parametrize("text", ["", "soon", "-5.0 1", "nan 1", "1e9 1"])
def test_no_reboot_where_the_uptime_cannot_be_read(orin: VirtualBoard, text: str) -> None:
    orin.path("uptime").write_text(text)
    assert call_once(orin, "reboot").facts == {"reason": "too-soon"}
    assert not rebooted(orin)


def test_reboot_asks_systemd(orin: VirtualBoard) -> None:
    found = call_once(orin, "reboot")
    assert (found.result, found.facts["ran"]) == ("rebooting", "systemctl reboot")
    assert rebooted(orin)


def test_a_container_is_recognised_and_the_mend_is_told(tmp_path: Path) -> None:
    inside = board(tmp_path, "container")
    found = call_once(inside, "set-mode", id=0, reboot=False)
    assert (found.result, found.exit_status) == ("ignored", 0)
    assert "mount namespace" in found.detail and "on the host" in found.detail


@pytest.mark.parametrize("verb", ["query-mode", "lock-clocks", "reboot"])
def test_a_board_without_the_tools_is_a_failure_that_names_them(tmp_path: Path, verb: str) -> None:
    found = call_once(board(tmp_path, "pc"), verb)
    assert found.result == "failed"
    assert found.detail.startswith("this board has no ")


# --- clocks


def stored(board: VirtualBoard) -> str:
    """What is run for a first lock."""
    return f"jetson_clocks --store {store(board).with_suffix('.new')}; jetson_clocks"


def test_locked_clocks_go_back_to_what_they_were(orin: VirtualBoard) -> None:
    before = {clock: ends(orin, clock) for clock in (CPU0, CPU4, GPU)}
    with helper(orin) as root:
        locked = root.call("lock-clocks")
        assert locked.facts["ran"] == stored(orin)
        assert all(low == high for low, high in (ends(orin, clock) for clock in before))
        assert root.call("status").facts["clock_store"] is True
        assert root.call("release-clocks").result == "done"
    assert {clock: ends(orin, clock) for clock in before} == before
    assert not store(orin).exists()


def test_a_second_lock_keeps_the_first_store(orin: VirtualBoard) -> None:
    with helper(orin) as root:
        root.call("lock-clocks")
        first = store(orin).read_text()
        assert root.call("lock-clocks").facts["ran"] == "jetson_clocks"
    assert store(orin).read_text() == first


def test_a_new_mode_makes_the_store_stale(orin: VirtualBoard) -> None:
    with helper(orin) as root:
        root.call("lock-clocks")
        asked = root.call("set-mode", id=3, reboot=False)
        assert asked.result == "reboot-required"
        assert "the clocks were freed, nothing else was changed" in asked.detail
        assert asked.facts["ran"] == f"jetson_clocks --restore {store(orin)}; nvpmodel -m 3"
        assert not store(orin).exists()
        assert root.call("set-mode", id=2, reboot=False).facts["ran"] == "nvpmodel -m 2"


@pytest.mark.parametrize("word", ["fail", "hang", "silent-kill"])
def test_clocks_that_cannot_be_freed_do_not_bar_a_new_mode(orin: VirtualBoard, word: str) -> None:
    with helper(orin, tool_s=1.5) as root:
        root.call("lock-clocks")
        misbehave(orin, jetson_clocks=[word])
        changed = root.call("set-mode", id=2, reboot=False)
    assert changed.result == "done"
    assert "(which failed); nvpmodel -m 2" in str(changed.facts["ran"])


def test_half_a_store_is_no_store(orin: VirtualBoard) -> None:
    """A kill in the middle of --store: the tool appends line by line."""
    before = {clock: ends(orin, clock) for clock in (CPU0, CPU4, GPU)}
    with helper(orin) as root:
        root.call("status")
        store(orin).with_suffix(".new").write_text("/sys/devices/system/cpu/cpu0/online:1\n")
        assert root.call("status").facts["clock_store"] is False
        root.call("lock-clocks")
        root.call("release-clocks")
    assert {clock: ends(orin, clock) for clock in before} == before


def test_a_store_switches_no_core(orin: VirtualBoard) -> None:
    with helper(orin) as root:
        root.call("lock-clocks")
    assert "/online:" not in store(orin).read_text()
    assert "scaling_min_freq:" in store(orin).read_text()


def test_a_cluster_that_is_switched_off_is_left_out(orin: VirtualBoard) -> None:
    for core in (4, 5):
        (orin.root / f"sys/devices/system/cpu/cpu{core}/online").write_text("0\n")
    stale = ends(orin, CPU4)
    with helper(orin) as root:
        assert root.call("cap", domain="cpu", khz=960000).facts == {"files": 1, "khz": 960000}
        assert root.call("uncap", domain="cpu").result == "done"
        assert root.call("release-clocks").result == "done"
    assert ends(orin, CPU4) == stale


def test_tools_have_a_home_of_their_own(orin: VirtualBoard, tmp_path: Path) -> None:
    """NVIDIA's jetson_clocks keeps a note under $HOME."""
    tool = orin.bin_dir / "nvpmodel"
    tool.write_text(f'#!/bin/sh\necho "NV Power Mode: $HOME"; echo 0; echo "$HOME" > {tmp_path}/home\n')
    call_once(orin, "query-mode")
    assert (tmp_path / "home").read_text().strip() == str(store(orin).parent)


def test_the_store_of_an_earlier_boot_is_not_restored(orin: VirtualBoard) -> None:
    with helper(orin) as root:
        root.call("lock-clocks")
        (orin.root / "proc/sys/kernel/random/boot_id").write_text("11111111-2222-4333-8444-555555555555\n")
        assert root.call("status").facts["clock_store"] is False
        assert "there was no store" in root.call("release-clocks").detail
        assert root.call("lock-clocks").facts["ran"] == stored(orin)


def test_released_without_a_store_the_clocks_get_the_range_of_their_mode(orin: VirtualBoard) -> None:
    with helper(orin) as root:
        root.call("lock-clocks")
        store(orin).unlink()
        assert root.call("release-clocks").facts == {"files": 3}
    assert ends(orin, CPU0)[0] == 729600
    assert ends(orin, GPU)[0] == 306000000


@pytest.mark.parametrize(("domain", "khz", "written"), [("cpu", 1036800, 1036800), ("gpu", 510000, 510000000)])
def test_a_cap_is_written_and_taken_back(orin: VirtualBoard, domain: str, khz: int, written: int) -> None:
    clocks = (CPU0, CPU4) if domain == "cpu" else (GPU,)
    with helper(orin) as root:
        found = root.call("cap", domain=domain, khz=khz)
        assert (found.result, found.facts) == ("done", {"files": len(clocks), "khz": khz})
        assert [ends(orin, clock)[1] for clock in clocks] == [written] * len(clocks)
        assert root.call("uncap", domain=domain).result == "done"
    assert [ends(orin, clock)[1] for clock in clocks] == [1344000 if domain == "cpu" else 918000000] * len(clocks)


def test_the_ends_of_one_clock_are_written(orin: VirtualBoard) -> None:
    with helper(orin) as root:
        assert root.call("ends", clock="CPU_A78_4", low_khz=806400, high_khz=960000).facts == {"files": 1}
        assert ends(orin, CPU4) == (806400, 960000)
        assert ends(orin, CPU0) == (729600, 1344000)
        assert root.call("ends", clock="CPU_A78_4", low_khz=0, high_khz=1344000).result == "done"
        for low_khz, high_khz in ((0, 1728000), (115199, 960000), (960000, 729600)):  # the mode, the table, the order
            refused = root.call("ends", clock="CPU_A78_4", low_khz=low_khz, high_khz=high_khz)
            assert refused.detail == "CPU_A78_4 may have 115200 to 1344000 kHz here"
        assert ends(orin, CPU4) == (729600, 1344000)
        between = root.call("ends", clock="CPU_A78_4", low_khz=115200, high_khz=1000000)  # kernels keep such values
        assert between.result == "done"
    assert ends(orin, CPU4) == (115200, 1000000)


def test_an_end_between_two_entries_may_be_the_one_above_the_modes(orin: VirtualBoard) -> None:
    conf = orin.root / "etc/nvpmodel.conf"
    conf.write_text(conf.read_text().replace("CPU_A78_4 MAX_FREQ 1344000", "CPU_A78_4 MAX_FREQ 1300000"))
    with helper(orin) as root:
        assert root.call("ends", clock="CPU_A78_4", low_khz=0, high_khz=1344000).result == "done"
        assert root.call("ends", clock="CPU_A78_4", low_khz=0, high_khz=1420800).result == "refused"


def test_a_cap_below_the_lower_end_takes_that_along_and_brings_it_back(orin: VirtualBoard) -> None:
    with helper(orin) as root:
        assert root.call("cap", domain="cpu", khz=115200).result == "done"
        assert ends(orin, CPU0) == (115200, 115200)
        assert root.call("uncap", domain="cpu").result == "done"
    assert ends(orin, CPU0) == (729600, 1344000)


@pytest.mark.parametrize(
    ("domain", "khz", "why"),
    [
        ("cpu", 1036801, "is no clock of the cpu"),
        ("cpu", 0, "is no clock of the cpu"),
        ("gpu", 510000000, "is no clock of the gpu"),
        ("gpu", 1020000, "allows the gpu 918000 kHz at most"),
        ("cpu", 1728000, "allows the cpu 1344000 kHz at most"),
        ("dla", 510000, "there is no domain 'dla'"),
    ],
)
def test_a_cap_is_a_clock_that_the_mode_allows(orin: VirtualBoard, domain: str, khz: int, why: str) -> None:
    before = ends(orin, CPU0), ends(orin, GPU)
    found = call_once(orin, "cap", domain=domain, khz=khz)
    assert (found.result, found.facts) == ("refused", {"reason": "argument"})
    assert why in found.detail
    assert (ends(orin, CPU0), ends(orin, GPU)) == before


def test_a_mode_without_a_limit_allows_the_whole_table(orin: VirtualBoard) -> None:
    with helper(orin) as root:
        root.call("set-mode", id=2, reboot=False)
        assert root.call("cap", domain="gpu", khz=1020000).result == "done"
        assert root.call("uncap", domain="gpu").facts["khz"] == 1020000


@pytest.mark.parametrize("name", EVERY_JETSON)
def test_every_board_locks_releases_caps_and_uncaps(tmp_path: Path, name: str) -> None:
    jetson = board(tmp_path, name)
    with helper(jetson) as root:
        for domain in ("cpu", "gpu"):
            top = root.call("uncap", domain=domain)
            assert top.result == "done", top
            assert root.call("cap", domain=domain, khz=int(top.facts["khz"])).result in ("done", "refused")
        assert root.call("lock-clocks").result == "done"
        assert root.call("release-clocks").result == "done"
        assert root.call("release-clocks").result == "done"


def test_a_clock_whose_driver_lists_no_table_is_not_capped_but_released(orin: VirtualBoard) -> None:
    for clock in (CPU0, CPU4):
        (orin.root / clock / "scaling_available_frequencies").unlink()
    with helper(orin) as root:
        assert "the driver lists none" in root.call("cap", domain="cpu", khz=1036800).detail
        root.call("lock-clocks")
        store(orin).unlink()
        assert root.call("release-clocks").result == "done"
    assert ends(orin, CPU0)[0] == 729600


# --- where root writes


def rewrite_conf(orin: VirtualBoard, old: str, new: str) -> None:
    conf = orin.root / "etc/nvpmodel.conf"
    text = conf.read_text()
    assert old in text
    conf.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd/cpu0/cpufreq/x",
        "/sys/../etc/cpu0/cpufreq/x",
        "/sys/devices/../../etc/cpu0/cpufreq/x",
        "/sysfs/cpu0/cpufreq/x",
        "sys/cpu0/cpufreq/x",
        "/sys",
    ],
)
def test_a_conf_that_leads_out_of_sysfs_is_not_followed(orin: VirtualBoard, path: str) -> None:
    rewrite_conf(orin, "MAX_FREQ /sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", f"MAX_FREQ {path}")
    before = ends(orin, CPU4)
    found = call_once(orin, "cap", domain="cpu", khz=1036800)
    if path == "/sys":  # no clock's path at all: the other cluster is capped
        assert found.facts["files"] == 1
        return
    assert (found.result, found.facts) == ("refused", {"reason": "board"})
    assert ends(orin, CPU4) == before


def test_a_link_that_leads_out_of_sysfs_is_not_followed(orin: VirtualBoard, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("1344000\n")
    target = (orin.root / CPU0).resolve() / "scaling_max_freq"
    target.unlink()
    target.symlink_to(victim)
    found = call_once(orin, "cap", domain="cpu", khz=1036800)
    assert (found.result, found.facts) == ("refused", {"reason": "board"})
    assert "leads out of /sys" in found.detail
    assert victim.read_text() == "1344000\n"


def test_a_device_in_place_of_a_file_is_not_written(orin: VirtualBoard) -> None:
    target = (orin.root / CPU0).resolve() / "scaling_max_freq"
    target.unlink()
    os.mkfifo(target)
    found = call_once(orin, "cap", domain="cpu", khz=1036800)
    assert found.facts["files"] == 1, "only the other cluster: a FIFO is no clock's file"


def test_two_modes_with_one_id_are_refused(orin: VirtualBoard) -> None:
    rewrite_conf(orin, "POWER_MODEL ID=2 ", "POWER_MODEL ID=1 ")
    found = call_once(orin, "set-mode", id=1, reboot=False)
    assert (found.result, found.facts) == ("refused", {"reason": "board"})


def test_a_mode_in_force_that_the_table_has_not_allows_no_clock(orin: VirtualBoard) -> None:
    (orin.root / "var/lib/nvpmodel/status").write_text("pmode:0042")
    assert call_once(orin, "uncap", domain="cpu").facts == {"reason": "board"}


def test_a_huge_table_of_modes_is_not_read(orin: VirtualBoard) -> None:
    with (orin.root / "etc/nvpmodel.conf").open("a") as conf:
        conf.write("# filler\n" * 200_000)
    found = call_once(orin, "set-mode", id=0, reboot=False)
    assert (found.result, "is longer than" in found.detail) == ("failed", True)


# --- the fan


def fan_conf(orin: VirtualBoard) -> Path:
    return orin.root / "etc/nvfancontrol.conf"


def test_the_fan_profile_is_changed_in_place(orin: VirtualBoard) -> None:
    conf = fan_conf(orin)
    real = conf.resolve()
    before = conf.read_text()
    real.chmod(0o640)
    owner = (1, 1) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(real, *owner)
    found = call_once(orin, "fan", profile="cool")
    assert (found.result, found.facts["ran"]) == ("done", "systemctl restart nvfancontrol")
    assert conf.read_text() == before.replace("FAN_DEFAULT_PROFILE quiet", "FAN_DEFAULT_PROFILE cool")
    assert (mode_of(real), real.stat().st_uid, real.stat().st_gid) == (0o640, *owner)
    assert "FAN_PROFILE:cool" in read(orin, "var/lib/nvfancontrol/status")
    assert [path.name for path in real.parent.glob(".*")] == []


def test_a_profile_that_only_stands_in_the_file_is_put_in_force(orin: VirtualBoard) -> None:
    """What a helper leaves that was killed between the file and the restart."""
    (orin.root / "var/lib/nvfancontrol/status").unlink()
    found = call_once(orin, "fan", profile="quiet")
    assert (found.result, found.facts) == ("done", {"ran": "systemctl restart nvfancontrol"})
    assert "FAN_PROFILE:quiet" in (orin.root / "var/lib/nvfancontrol/status").read_text()


def test_restarts_of_the_fan_are_noted_and_waited_for(orin: VirtualBoard) -> None:
    """More than five starts in ten seconds, and systemd would leave the fan without control."""
    starts = store(orin).parent / "fan.starts"
    with helper(orin) as root:
        root.call("fan", profile="cool")
        assert len(starts.read_text().split()) == 1
        nearly_over = time.monotonic() - 10.3
        starts.write_text(" ".join(f"{nearly_over:.3f}" for _ in range(4)))
        assert root.call("fan", profile="quiet").result == "done"
        times = [float(word) for word in starts.read_text().split()]
        assert times[-1] - times[0] >= 10.5


def test_a_profile_that_only_the_file_names_is_put_in_force(orin: VirtualBoard) -> None:
    status = orin.root / "var/lib/nvfancontrol/status"
    status.write_text(status.read_text().replace("quiet", "cool"))
    assert call_once(orin, "fan", profile="quiet").result == "done"
    assert "FAN_PROFILE:quiet" in status.read_text()


@pytest.mark.parametrize("profile", ["warm", "quie", "Quiet", "close_loop"])
def test_a_profile_that_the_fan_has_not_is_refused(orin: VirtualBoard, profile: str) -> None:
    before = fan_conf(orin).read_bytes()
    found = call_once(orin, "fan", profile=profile)
    assert (found.result, found.facts) == ("refused", {"reason": "argument"})
    assert "quiet cool" in found.detail
    assert fan_conf(orin).read_bytes() == before


def test_a_board_without_nvfancontrol_has_no_profiles(tmp_path: Path) -> None:
    found = call_once(board(tmp_path, "nano-r32"), "fan", profile="quiet")
    assert (found.result, found.facts) == ("refused", {"reason": "board"})


def test_every_fan_gets_the_profile_and_comments_stay(orin: VirtualBoard) -> None:
    conf = fan_conf(orin)
    one = conf.read_text()
    block = one[one.index("<FAN 1>") :]
    conf.write_text("# FAN_DEFAULT_PROFILE quiet\n" + one + block.replace("<FAN 1>", "<FAN 2>"))
    assert call_once(orin, "fan", profile="cool").result == "done"
    text = conf.read_text()
    assert text.count("FAN_DEFAULT_PROFILE cool") == 2
    assert text.startswith("# FAN_DEFAULT_PROFILE quiet\n")


def test_a_profile_that_one_of_two_fans_lacks_is_refused(orin: VirtualBoard) -> None:
    conf = fan_conf(orin)
    one = conf.read_text()
    block = one[one.index("<FAN 1>") :]
    conf.write_text(one + block.replace("<FAN 1>", "<FAN 2>").replace("FAN_PROFILE cool", "FAN_PROFILE cold"))
    assert call_once(orin, "fan", profile="cool").facts == {"reason": "argument"}


@pytest.mark.parametrize("word", ["fail", "hang", "silent-kill"])
def test_a_fan_service_that_does_not_restart_leaves_the_file_as_it_was(orin: VirtualBoard, word: str) -> None:
    before = fan_conf(orin).read_bytes()
    misbehave(orin, systemctl=[word])
    with helper(orin, tool_s=1.0) as root:
        assert root.call("fan", profile="cool").result == ("timed-out" if word == "hang" else "failed")
        assert fan_conf(orin).read_bytes() == before
        misbehave(orin)
        assert root.call("fan", profile="cool").result == "done"


def test_the_fan_file_may_be_a_link_within_etc(orin: VirtualBoard) -> None:
    conf = fan_conf(orin)
    real = conf.parent / "nvpower/fan.conf"
    real.parent.mkdir(exist_ok=True)
    real.write_text(conf.read_text())
    conf.unlink()
    conf.symlink_to("nvpower/fan.conf")
    assert call_once(orin, "fan", profile="cool").result == "done"
    assert conf.is_symlink()
    assert "FAN_DEFAULT_PROFILE cool" in real.read_text()


def test_the_fan_file_may_not_be_a_link_to_anywhere_else(orin: VirtualBoard, tmp_path: Path) -> None:
    conf, victim = fan_conf(orin), tmp_path / "victim"
    victim.write_text(conf.read_text())
    conf.unlink()
    conf.symlink_to(victim)
    before = victim.read_bytes()
    found = call_once(orin, "fan", profile="cool")
    assert (found.result, found.facts) == ("refused", {"reason": "board"})
    assert victim.read_bytes() == before


# --- the daemon of CSI cameras


def argus_restarts(orin: VirtualBoard) -> int:
    noted = orin.root / "run/virtual-argus"
    return len(noted.read_text().splitlines()) if noted.exists() else 0


def test_the_cameras_daemon_is_restarted_and_not_again_for_ten_minutes(orin: VirtualBoard) -> None:
    with helper(orin) as root:
        found = root.call("restart-argus")
        assert (found.result, found.facts["ran"]) == ("done", "systemctl restart nvargus-daemon")
        again = root.call("restart-argus")
    assert (again.result, again.facts["reason"]) == ("refused", "too-soon")
    assert call_once(orin, "restart-argus").result == "refused", "another helper knows of it, too"
    assert argus_restarts(orin) == 1
    (store(orin).parent / "argus.start").write_text(f"{time.monotonic() - 600.5:.3f}")
    assert call_once(orin, "restart-argus").result == "done"
    assert argus_restarts(orin) == 2


@pytest.mark.parametrize("noted", ["", "never", "1e999.0", "99999999999.0"])
def test_a_note_that_makes_no_sense_or_is_of_another_boot_does_not_bar_it(orin: VirtualBoard, noted: str) -> None:
    state = store(orin).parent
    state.mkdir(exist_ok=True)
    (state / "argus.start").write_text(noted)
    assert call_once(orin, "restart-argus").result == "done"


def test_a_machine_without_the_daemon_says_so(tmp_path: Path) -> None:
    assert call_once(board(tmp_path, "pc"), "restart-argus").result == "failed"
