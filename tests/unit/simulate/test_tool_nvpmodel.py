"""The stand-in for nvpmodel: the answers, refusals and side effects of the real one, release by release."""

from __future__ import annotations

from pathlib import Path

import pytest
from toolbox import CPU, Done, edit, give_away, put, reboot_is_pending, run, sysfs, text

from edgeagent.simulate.board import VirtualBoard, make_board, reboot_board
from edgeagent.simulate.tools import nvpmodel

CONF = "etc/nvpmodel.conf"
STATUS = "var/lib/nvpmodel/status"
GPU = "sys/class/devfreq/17000000.gpu"
EMC = "sys/kernel/nvpmodel_clk_cap/emc"
QUESTION = [
    "NVPM WARN: Golden image context is already created",
    "NVPM WARN: Reboot required for changing to this power mode: 3",
    "NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:",
]
NOT_SET = ["NVPM ERROR: failed to set power mode!", "NVPM ERROR: optMask is 1, no request for power mode"]


@pytest.fixture
def board(tmp_path: Path) -> VirtualBoard:
    return make_board("orin-nano", tmp_path / "board", seed=11)


def other(name: str, tmp_path: Path) -> VirtualBoard:
    return make_board(name, tmp_path / name, seed=11)


def failed_with(done: Done, *lines: str) -> bool:
    return done.returncode == 255 and done.stderr.splitlines() == [*lines, *NOT_SET]


def mode_numbers(board: VirtualBoard) -> dict[str, int]:
    return {model.name: model.number for model in nvpmodel.load_conf(board.root).models.values()}


# --- showing ---------------------------------------------------------------------------------------------------------


def test_query_prints_name_and_number(board: VirtualBoard) -> None:
    done = run(board, "nvpmodel", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "NV Power Mode: 25W\n1\n", "")


def test_a_verbose_query_shows_what_is_and_what_should_be(board: VirtualBoard) -> None:
    run(board, "nvpmodel", "-m", "2")
    lines = run(board, "nvpmodel", "-q", "--verbose").stdout.splitlines()
    assert lines[:4] == [
        "NVPM VERB: Config file: /etc/nvpmodel.conf",
        "NVPM VERB: parsing done for /etc/nvpmodel.conf",
        "NVPM VERB: Current mode: NV Power Mode: MAXN_SUPER",
        "2",
    ]
    shown = next(line for line in lines if "PARAM GPU: ARG MAX_FREQ" in line)
    assert shown.endswith("REAL_VAL: 1020000000 CONF_VAL: 9223372036854775807")


def test_the_list_of_modes(board: VirtualBoard) -> None:
    lines = run(board, "nvpmodel", "-p", "--verbose").stdout.splitlines()
    assert [line for line in lines if "MODEL" in line or "CONFIG" in line] == [
        "NVPM VERB: PM_CONFIG: DEFAULT=25W(1)",
        "NVPM VERB: POWER_MODEL: ID=0 NAME=15W",
        "NVPM VERB: POWER_MODEL: ID=1 NAME=25W",
        "NVPM VERB: POWER_MODEL: ID=2 NAME=MAXN_SUPER",
        "NVPM VERB: POWER_MODEL: ID=3 NAME=7W",
    ]


def test_a_file_that_is_missing_costs_the_query_two_lines(board: VirtualBoard) -> None:
    (board.root / EMC).unlink()
    done = run(board, "nvpmodel", "-q")
    assert (done.returncode, done.stdout) == (0, "NV Power Mode: 25W\n1\n")
    assert done.stderr.splitlines() == [
        "NVPM ERROR: Error opening /sys/kernel/nvpmodel_clk_cap/emc: 2",
        "NVPM ERROR: failed to read PARAM EMC: ARG MAX_FREQ: PATH /sys/kernel/nvpmodel_clk_cap/emc",
    ]


def test_before_anything_was_set_the_default_is_in_force(board: VirtualBoard) -> None:
    (board.root / STATUS).unlink()
    assert run(board, "nvpmodel", "-q").stdout == "NV Power Mode: 25W\n1\n"


def test_a_saved_mode_that_the_conf_has_not_is_an_error(board: VirtualBoard) -> None:
    put(board, STATUS, "pmode:0042")
    assert run(board, "nvpmodel", "-q").returncode == 255
    assert run(board, "nvpmodel", "-f", "/etc/nvpmodel.conf").returncode == 255


# --- live changes ----------------------------------------------------------------------------------------------------


def test_a_live_change_says_nothing_and_writes_sysfs(board: VirtualBoard) -> None:
    done = run(board, "nvpmodel", "-m", "0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert text(board, STATUS) == "pmode:0000"
    assert text(board, f"{CPU}/cpu5/cpufreq/scaling_max_freq") == "1497600\n"
    assert text(board, f"{GPU}/max_freq") == "612000000\n"
    assert text(board, f"{GPU}/min_freq") == "306000000\n"
    assert text(board, EMC) == "2133000000\n"
    assert not reboot_is_pending(board)


def test_a_live_change_undoes_clock_locks(board: VirtualBoard) -> None:
    run(board, "jetson_clocks")
    assert text(board, f"{CPU}/cpu0/cpufreq/scaling_min_freq") == "1344000\n"
    run(board, "nvpmodel", "-m", "0")
    assert text(board, f"{CPU}/cpu0/cpufreq/scaling_min_freq") == "729600\n"
    assert text(board, f"{GPU}/min_freq") == "306000000\n"


def test_no_minimum_stays_above_its_maximum(board: VirtualBoard) -> None:
    edit(board, CONF, r"^(CPU_A78_\d|GPU) MIN_FREQ .*\n", "")
    run(board, "jetson_clocks")
    assert run(board, "nvpmodel", "-m", "0").returncode == 0
    assert text(board, f"{GPU}/min_freq") == text(board, f"{GPU}/max_freq") == "612000000\n"


@pytest.mark.parametrize("endless", ["-1", "2147483647", "9223372036854775807", "99000000000"])
def test_endless_and_excessive_values_become_the_top_of_the_table(board: VirtualBoard, endless: str) -> None:
    edit(board, CONF, r"MAX_FREQ -1$", f"MAX_FREQ {endless}")
    run(board, "nvpmodel", "-m", "2")
    assert text(board, f"{CPU}/cpu0/cpufreq/scaling_max_freq") == "1728000\n"
    assert text(board, f"{GPU}/max_freq") == "1020000000\n"


def test_a_value_between_two_steps_becomes_the_upper_one(board: VirtualBoard) -> None:
    edit(board, CONF, r"GPU MAX_FREQ 612000000$", "GPU MAX_FREQ 624750000")
    run(board, "nvpmodel", "-m", "0")
    assert text(board, f"{GPU}/max_freq") == "714000000\n"


def test_a_clock_whose_driver_lists_no_table_ends_at_the_driver_s_own_limits(board: VirtualBoard) -> None:
    for policy in (board.root / CPU / "cpufreq").iterdir():
        (policy / "scaling_available_frequencies").unlink()
    run(board, "nvpmodel", "-m", "2")
    assert text(board, f"{CPU}/cpu4/cpufreq/scaling_max_freq") == "1728000\n"
    run(board, "nvpmodel", "-m", "0")
    assert text(board, f"{CPU}/cpu4/cpufreq/scaling_max_freq") == "1497600\n"


def test_a_memory_cap_of_nought_stays_nought(board: VirtualBoard) -> None:
    run(board, "nvpmodel", "-m", "2")
    assert text(board, EMC) == "0\n"


def test_the_same_mode_does_nothing(board: VirtualBoard) -> None:
    put(board, EMC, "1\n")
    assert run(board, "nvpmodel", "-m", "1").returncode == 0
    assert text(board, EMC) == "1\n"


def test_the_boot_service_s_call_sets_the_saved_mode_again(board: VirtualBoard) -> None:
    run(board, "jetson_clocks")
    assert run(board, "nvpmodel", "-f", "/etc/nvpmodel.conf").returncode == 0
    assert text(board, f"{CPU}/cpu0/cpufreq/scaling_min_freq") == "729600\n"
    assert text(board, "var/lib/nvpmodel/conf_file_path") == "/etc/nvpmodel.conf"


def test_another_conf_may_be_named(board: VirtualBoard) -> None:
    put(board, "etc/nvpmodel/other.conf", text(board, CONF).replace("NAME=15W", "NAME=OTHER"))
    done = run(board, "nvpmodel", "-f", "/etc/nvpmodel/other.conf", "-p", "--verbose")
    assert "NVPM VERB: POWER_MODEL: ID=0 NAME=OTHER" in done.stdout
    done = run(board, "nvpmodel", "-f", "/etc/nvpmodel/none.conf", "-q")
    assert (done.returncode, done.stderr) == (255, "NVPM ERROR: Error opening /etc/nvpmodel/none.conf: 2\n")


# --- reboots ---------------------------------------------------------------------------------------------------------


def test_fewer_cores_want_a_reboot_and_end_of_input_refuses_it(board: VirtualBoard) -> None:
    before = sysfs(board)
    done = run(board, "nvpmodel", "-m", "3")
    assert done.returncode == 234
    assert done.stdout.splitlines() == [*QUESTION, "NVPM ERROR: bad input!", NOT_SET[1]]
    assert text(board, STATUS) == "pmode:0001"
    assert sysfs(board) == before
    assert not reboot_is_pending(board)


def test_a_no_refuses_without_calling_it_bad_input(board: VirtualBoard) -> None:
    done = run(board, "nvpmodel", "-m", "3", answer="n\n")
    assert done.returncode == 234
    assert done.stdout.splitlines() == [*QUESTION, NOT_SET[1]]


@pytest.mark.parametrize("answer", ["YES\n", "yes\n"])
def test_an_agreed_reboot_changes_sysfs_only_when_it_has_happened(board: VirtualBoard, answer: str) -> None:
    before = sysfs(board)
    done = run(board, "nvpmodel", "-m", "3", answer=answer)
    assert (done.returncode, done.stdout.splitlines()) == (0, [*QUESTION, "NVPM WARN: rebooting"])
    assert text(board, STATUS) == "pmode:0003"
    assert reboot_is_pending(board)
    assert sysfs(board) == before
    after = reboot_board(board.root)
    assert text(after, f"{CPU}/online") == "0-3\n"
    assert text(after, "sys/devices/platform/gpu.0/tpc_pg_mask") == "252\n"
    assert not reboot_is_pending(after)


def test_force_reboots_without_asking(board: VirtualBoard) -> None:
    done = run(board, "nvpmodel", "-m", "3", "--force")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [QUESTION[0], "Automatically rebooting to reflect the mode change", "NVPM WARN: rebooting.."],
    )
    assert reboot_is_pending(board)
    assert text(board, f"{CPU}/online") == "0-5\n"


def test_force_changes_a_live_mode_live(board: VirtualBoard) -> None:
    assert run(board, "nvpmodel", "-m", "0", "--force").stdout == ""
    assert not reboot_is_pending(board)
    assert text(board, f"{GPU}/max_freq") == "612000000\n"


def test_a_mask_alone_wants_a_reboot(board: VirtualBoard) -> None:
    put(board, "sys/devices/platform/gpu.0/tpc_pg_mask", "0\n")
    assert run(board, "nvpmodel", "-m", "0").returncode == 234
    assert run(board, "nvpmodel", "-f", "/etc/nvpmodel.conf").returncode == 234


def test_the_way_back_from_a_mode_with_another_mask_wants_a_reboot_too(board: VirtualBoard) -> None:
    nvpmodel.apply_mode(board.root, nvpmodel.load_conf(board.root), 3)
    assert run(board, "nvpmodel", "-m", "1").returncode == 234


# --- refusals --------------------------------------------------------------------------------------------------------


def test_an_unknown_mode_is_an_error(board: VirtualBoard) -> None:
    before = sysfs(board)
    assert failed_with(run(board, "nvpmodel", "-m", "9"), "NVPM ERROR: power mode 9 is not in the configuration file")
    assert sysfs(board) == before


def test_a_file_that_is_missing_ends_a_change_and_leaves_the_status(board: VirtualBoard) -> None:
    (board.root / EMC).unlink()
    assert failed_with(
        run(board, "nvpmodel", "-m", "0"),
        "NVPM ERROR: Error opening /sys/kernel/nvpmodel_clk_cap/emc: 2",
        "NVPM ERROR: failed to write PARAM EMC: ARG MAX_FREQ: PATH: /sys/kernel/nvpmodel_clk_cap/emc VAL: 2133000000",
    )
    assert text(board, STATUS) == "pmode:0001"
    assert text(board, f"{GPU}/max_freq") == "612000000\n"
    assert not (board.root / EMC).exists()


def test_at_boot_a_missing_file_is_passed_over(board: VirtualBoard) -> None:
    (board.root / f"{CPU}/cpu5/online").unlink()
    failures = nvpmodel.apply_mode(board.root, nvpmodel.load_conf(board.root), 0)
    assert [failure.path for failure in failures] == ["/sys/devices/system/cpu/cpu5/online"]
    assert text(board, EMC) == "2133000000\n"


def test_an_ordinary_user_may_look_and_not_touch(board: VirtualBoard) -> None:
    give_away(board)
    before = sysfs(board)
    assert run(board, "nvpmodel", "-q").stdout == "NV Power Mode: 25W\n1\n"
    assert failed_with(
        run(board, "nvpmodel", "-m", "0"),
        "NVPM ERROR: Error opening /sys/devices/system/cpu/cpu0/online: 13",
        "NVPM ERROR: failed to write PARAM CPU_ONLINE: ARG CORE_0: PATH: /sys/devices/system/cpu/cpu0/online VAL: 1",
    )
    assert run(board, "nvpmodel", "-m", "3", "--force").returncode == 255
    assert run(board, "nvpmodel", "-f", "/etc/nvpmodel.conf").returncode == 255
    assert sysfs(board) == before
    assert text(board, STATUS) == "pmode:0001"
    assert not reboot_is_pending(board)


@pytest.mark.parametrize(
    "line", ["< POWER_MODEL ID=x NAME=A >", "< POWER_MODEL NAME=A >", "GPU MAX_FREQ many", "GPU MAX_FREQ"]
)
def test_a_broken_conf_is_an_error_that_names_the_line(board: VirtualBoard, line: str) -> None:
    edit(board, CONF, r"^GPU MAX_FREQ 612000000$", line)
    done = run(board, "nvpmodel", "-q")
    assert done.returncode == 255
    assert done.stderr.endswith(f"is not understood: {line}\n")


def test_a_mode_may_not_use_what_is_not_declared(board: VirtualBoard) -> None:
    edit(board, CONF, r"^GPU MAX_FREQ 612000000$", "DLA MAX_FREQ 1")
    assert run(board, "nvpmodel", "-m", "0").returncode == 255


# --- the grammar -----------------------------------------------------------------------------------------------------


def test_the_grammar_allows_loose_spacing_and_remarks(board: VirtualBoard) -> None:
    edit(board, CONF, r"^GPU MAX_FREQ 612000000$", "\tGPU  MAX_FREQ   612000000  # a remark  ")
    edit(board, CONF, r"^< POWER_MODEL ID=0 NAME=15W >$", "<POWER_MODEL  ID=0   NAME=15W>   ")
    models = nvpmodel.load_conf(board.root).models
    assert models[0].values["GPU", "MAX_FREQ"] == "612000000"
    assert [model.name for model in models.values()] == ["15W", "25W", "MAXN_SUPER", "7W"]


def test_newer_kernels_paths_count_where_the_older_ones_are_gone(board: VirtualBoard) -> None:
    put(board, "sys/kernel/new/emc", "7\n")
    edit(board, CONF, r"^MAX_FREQ /sys/kernel/nvpmodel_clk_cap/emc$", r"\g<0>\nMAX_FREQ_KNEXT /sys/kernel/new/emc")
    run(board, "nvpmodel", "-m", "0")
    assert (text(board, EMC), text(board, "sys/kernel/new/emc")) == ("2133000000\n", "7\n")
    (board.root / EMC).unlink()
    assert run(board, "nvpmodel", "-m", "1").returncode == 0
    assert text(board, "sys/kernel/new/emc") == "3199000000\n"


def test_no_path_of_a_conf_leads_out_of_the_board(board: VirtualBoard, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("safe\n")
    edit(board, CONF, r"^MAX_FREQ /sys/kernel/nvpmodel_clk_cap/emc$", "MAX_FREQ /../outside")
    assert run(board, "nvpmodel", "-m", "0").returncode == 255
    assert (tmp_path / "outside").read_text() == "safe\n"


# --- other releases --------------------------------------------------------------------------------------------------


def test_r32_has_a_word_on_the_fan_before_its_answer(tmp_path: Path) -> None:
    nano = other("nano-r32", tmp_path)
    lines = run(nano, "nvpmodel", "-q").stdout.splitlines()
    assert lines[0].startswith("NVPM WARN: fan mode is not set")
    assert lines[1:] == ["NV Power Mode: MAXN", "0"]
    assert run(nano, "nvpmodel", "-d", "quiet").returncode == 0
    assert text(nano, STATUS) == "pmode:0000 fmode:fan_mode_quiet"
    assert run(nano, "nvpmodel", "-q").stdout.splitlines() == ["NV Fan Mode:quiet", "NV Power Mode: MAXN", "0"]
    run(nano, "nvpmodel", "-m", "1")
    assert text(nano, STATUS) == "pmode:0001 fmode:fan_mode_quiet"


def test_r32_knows_two_fan_modes_and_later_releases_none(board: VirtualBoard, tmp_path: Path) -> None:
    assert run(other("nano-r32", tmp_path), "nvpmodel", "-d", "loud").returncode == 255
    assert run(board, "nvpmodel", "-d", "quiet").returncode == 255


def test_r32_takes_cores_offline_without_a_reboot(tmp_path: Path) -> None:
    nano = other("nano-r32", tmp_path)
    assert run(nano, "nvpmodel", "-m", "1").returncode == 0
    assert (text(nano, f"{CPU}/online"), text(nano, f"{CPU}/offline")) == ("0-1\n", "2-3\n")
    assert run(nano, "nvpmodel", "-m", "0").returncode == 0
    assert (text(nano, f"{CPU}/online"), text(nano, f"{CPU}/offline")) == ("0-3\n", "\n")


def test_the_older_releases_hide_their_caps_from_ordinary_users(tmp_path: Path) -> None:
    xavier = other("xavier-nx-r35", tmp_path)
    assert run(xavier, "nvpmodel", "-q").stderr == ""
    give_away(xavier)
    done = run(xavier, "nvpmodel", "-q")
    assert (done.returncode, done.stdout.splitlines()[0][:15]) == (0, "NV Power Mode: ")
    assert done.stderr.startswith("NVPM ERROR: Error opening /sys/kernel/nvpmodel_emc_cap/emc_iso_cap: 13\n")


def test_thor_asks_without_the_golden_image_line(tmp_path: Path) -> None:
    thor = other("thor-r38", tmp_path)
    numbers = mode_numbers(thor)
    assert run(thor, "nvpmodel", "-m", str(numbers["MAXN"])).stdout == ""
    done = run(thor, "nvpmodel", "-m", str(numbers["90W"]))
    assert done.returncode == 234
    assert done.stdout.startswith("NVPM WARN: Reboot required for changing to this power mode")


def test_a_container_s_nvpmodel_notes_the_mode_and_changes_nothing(tmp_path: Path) -> None:
    container = other("container", tmp_path)
    before = sysfs(container)
    done = run(container, "nvpmodel", "-m", "3", "--force")
    assert (done.returncode, done.stdout) == (0, "Running in chroot, ignoring request.\n")
    assert text(container, STATUS) == "pmode:0003"
    assert sysfs(container) == before
    assert not reboot_is_pending(container)


ALL_WITH_MODES = (
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


@pytest.mark.parametrize("name", ALL_WITH_MODES)
def test_every_board_goes_through_all_its_modes(name: str, tmp_path: Path) -> None:
    """Live or by a reboot: afterwards the query names the mode and every value reads as its table allows."""
    board = other(name, tmp_path)
    for mode, number in mode_numbers(board).items():
        done = run(board, "nvpmodel", "-m", str(number), "--force")
        assert (done.returncode, done.stderr) == (0, "")
        if reboot_is_pending(board):
            board = reboot_board(board.root)
        shown = run(board, "nvpmodel", "-q", "--verbose")
        assert shown.stderr == ""
        assert f"NV Power Mode: {mode}\n{number}\n" in shown.stdout
        masks = [line for line in shown.stdout.splitlines() if "PG_MASK" in line or "CORE_" in line]
        assert all(line.split("REAL_VAL: ")[1] == "{0} CONF_VAL: {0}".format(line.split()[-1]) for line in masks)
