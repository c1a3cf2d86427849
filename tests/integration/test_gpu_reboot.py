"""A reboot that nothing but a lost GPU asks for: within the budget, remembered across the boot, refused in words."""

from __future__ import annotations

import subprocess
from pathlib import Path

from test_power_matrix import Bench

from edgeagent.power.board_power import RebootRule
from edgeagent.power.client import private_helper

ONE = RebootRule(allowed=True, per_day=1)


def reboot(bench: Bench, rule: RebootRule) -> str:
    state_dir = bench.board.root / "run/edgeagent-power"
    with private_helper(bench.board.root, state_dir=state_dir, log=subprocess.DEVNULL) as helper:
        return bench.power().reboot(helper, rule)


def asked(bench: Bench) -> bool:
    return (bench.board.root / "run/virtual-reboot").exists()


def test_without_leave_nothing_is_rebooted(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "board")
    assert "power.allow_reboot" in reboot(bench, RebootRule())
    assert not asked(bench)


def test_the_days_budget_holds_across_the_boot(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "board")
    assert reboot(bench, ONE) == ""
    assert asked(bench)
    bench.reboot()
    assert not asked(bench)
    assert "power.max_reboots_per_day" in reboot(bench, ONE)
    assert not asked(bench)
    bench.clock.advance(86_401)
    assert reboot(bench, ONE) == ""


def test_one_that_the_helper_refuses_does_not_count(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "board")
    (bench.board.root / "proc/uptime").write_text("20.00 20.00\n")
    why = reboot(bench, ONE)
    assert why
    assert "budget" not in why
    assert not asked(bench)
    bench.up_for_long()
    assert reboot(bench, ONE) == ""
