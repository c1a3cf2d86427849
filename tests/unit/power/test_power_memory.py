"""What is remembered across reboots, and the budget of reboots on devices whose clock cannot be trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeagent.power.clocks import ClockEnds
from edgeagent.power.memory import DAY_MS, Pending, PowerMemory, PowerMemoryError, load_memory, save_memory
from edgeagent.power.plan import Found

PENDING = Pending("low-power", 3, "7W", "boot-1")


def _document(reboots: bytes, pending: bytes) -> bytes:
    head = b'{"schema": "edgeagent/power-memory/1", "found": null, "gave_up": "", "keeper": "", '
    return head + b'"reboots_ms": ' + reboots + b', "pending": ' + pending + b"}"


FOUND = Found(1, "25W", True, "quiet", 960_000, None, (ClockEnds("CPU_A78_0", 0, 960_000),))
FULL = PowerMemory(FOUND, PENDING, (5, 6), "7W", "agent", PENDING)


@pytest.mark.parametrize("memory", [PowerMemory(), FULL])
def test_what_is_saved_is_loaded(tmp_path: Path, memory: PowerMemory):
    save_memory(tmp_path / "deep" / "power.json", memory)
    assert load_memory(tmp_path / "deep" / "power.json") == (memory, "")


def test_a_file_of_an_earlier_release_has_neither_ends_nor_a_required_reboot(tmp_path: Path):
    found = (
        '{"mode_id": 1, "mode_name": "25W", "clocks_locked": false, "fan": "quiet", "cpu_khz": null, "gpu_khz": null}'
    )
    old = _document(b"[]", b"null").replace(b'"found": null', b'"found": ' + found.encode())
    (tmp_path / "power.json").write_bytes(old)
    assert load_memory(tmp_path / "power.json") == (PowerMemory(Found(1, "25W", False, "quiet")), "")


def test_one_who_only_looks_leaves_a_damaged_file_where_it_is(tmp_path: Path):
    (tmp_path / "power.json").write_bytes(b"{")
    assert load_memory(tmp_path / "power.json", put_aside=False) == (PowerMemory(), f"{tmp_path}/power.json is damaged")
    assert [path.name for path in tmp_path.iterdir()] == ["power.json"]


def test_nothing_is_left_beside_the_file(tmp_path: Path):
    save_memory(tmp_path / "power.json", FULL)
    save_memory(tmp_path / "power.json", PowerMemory())
    assert [path.name for path in tmp_path.iterdir()] == ["power.json"]


def test_no_file_is_an_empty_memory(tmp_path: Path):
    assert load_memory(tmp_path / "power.json") == (PowerMemory(), "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff",
        b'{"schema": "other"}',
        b'{"schema": "edgeagent/power-memory/1", "found": 3}',
        _document(b"[1e999]", b"null"),
        _document(b"[]", b"7"),
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_put_aside_and_told(tmp_path: Path, content: bytes):
    path = tmp_path / "power.json"
    path.write_bytes(content)
    memory, problem = load_memory(path)
    assert memory == PowerMemory()
    assert "put aside" in problem
    assert (tmp_path / "power.damaged").read_bytes() == content


def test_a_directory_that_cannot_be_written_is_an_error_before_anything_is_changed(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(PowerMemoryError) as caught:
        save_memory(blocked / "power.json", FULL)
    assert "file exists" in caught.value.line()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_leaves_the_file_to_the_owner_of_the_directory(tmp_path: Path):
    os.chown(tmp_path, 1234, 1234)
    save_memory(tmp_path / "power.json", FULL)
    assert (tmp_path / "power.json").stat().st_uid == 1234


NOW = 1_790_000_000_000


def test_the_budget_of_a_day():
    memory = PowerMemory().with_reboot(PENDING, NOW)
    assert not memory.may_reboot(NOW + 1, per_day=1)
    assert memory.may_reboot(NOW + 1, per_day=2)
    assert memory.may_reboot(NOW + DAY_MS, per_day=1)


def test_a_clock_that_is_not_set_forgets_no_reboot():
    memory = PowerMemory().with_reboot(PENDING, NOW)
    assert not memory.may_reboot(5_000, per_day=1)  # 1970 again
    assert not memory.may_reboot(40 * DAY_MS, per_day=1)


def test_a_reboot_of_before_the_clock_was_set_counts_from_when_it_is():
    memory = PowerMemory().with_reboot(PENDING, 5_000)
    assert not memory.may_reboot(NOW, per_day=1)
    later = memory.dated(NOW)
    assert later.reboots_ms == (NOW,)
    assert later.may_reboot(NOW + DAY_MS, per_day=1)


def test_a_reboot_dated_far_ahead_does_not_block_for_ever():
    memory = PowerMemory().with_reboot(PENDING, NOW + 5000 * DAY_MS)
    assert not memory.may_reboot(NOW, per_day=1)
    assert memory.dated(NOW).may_reboot(NOW + DAY_MS, per_day=1)


def test_a_reboot_that_was_refused_does_not_count():
    memory = PowerMemory().with_reboot(PENDING, NOW).without_reboot()
    assert memory == PowerMemory()


def test_old_reboots_are_forgotten():
    memory = PowerMemory(reboots_ms=(NOW, NOW + 1)).with_reboot(PENDING, NOW + 3 * DAY_MS)
    assert memory.reboots_ms == (NOW + 3 * DAY_MS,)
