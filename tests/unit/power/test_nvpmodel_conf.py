"""nvpmodel.conf: what a real file may contain is read, what nvpmodel skips is a warning, the rest is told by line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import edgeagent.simulate
from edgeagent.power.nvpmodel_conf import (
    ConfMistakesError,
    PowerConf,
    Setting,
    TextSetting,
    is_clock_limit,
    is_core_switch,
    is_power_gating,
    parse_nvpmodel_conf,
    watts_of,
)
from edgeagent.power.nvpmodel_lines import MAX_LINE_LENGTH, MAX_LINES, MAX_SIZE

GOOD = """\
# a board of two modes
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
CORE_1 /sys/devices/system/cpu/cpu1/online

< PARAM TYPE=FILE NAME=TPC_POWER_GATING >
TPC_PG_MASK /sys/devices/platform/gpu.0/tpc_pg_mask

< PARAM TYPE=FILE NAME=GPU_POWER_CONTROL_ENABLE >
GPU_PWR_CNTL_EN /sys/devices/gpu.0/power/control

<PARAM TYPE=CLOCK  NAME=GPU >  
FREQ_TABLE /sys/class/devfreq/gpu/available_frequencies
MAX_FREQ /sys/class/devfreq/gpu/max_freq
MIN_FREQ /sys/class/devfreq/gpu/min_freq
MAX_FREQ_KNEXT /sys/devices/gpu/devfreq_dev/max_freq

< PARAM NAME=EMC TYPE=CLOCK >
MAX_FREQ_KNEXT /sys/kernel/nvpmodel_clk_cap/emc

< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
CPU_ONLINE CORE_1 0
TPC_POWER_GATING TPC_PG_MASK 252
GPU_POWER_CONTROL_ENABLE GPU_PWR_CNTL_EN on
GPU MIN_FREQ 0
GPU MAX_FREQ 612000000
EMC MAX_FREQ 2133000000

< POWER_MODEL ID=7 NAME=MAXN >
CPU_ONLINE CORE_0 1
CPU_ONLINE CORE_1 1
TPC_POWER_GATING TPC_PG_MASK 240
GPU MAX_FREQ -1
EMC MAX_FREQ 0

# mandatory
< PM_CONFIG DEFAULT=7 >
< FAN_CONFIG DEFAULT=cool >
"""  # noqa: W291
CONFS = sorted(Path(edgeagent.simulate.__file__).parent.glob("**/*.conf"))


def parse(text: str) -> PowerConf:
    return parse_nvpmodel_conf(text)


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfMistakesError) as caught:
        parse_nvpmodel_conf(text)
    assert caught.value.error_code == "power-conf"
    assert caught.value.who == "operator"
    assert all(one.mend for one in caught.value.mistakes)
    assert "\n" not in caught.value.line()
    return [one.line() for one in caught.value.mistakes]


def with_line(line: str, below: str) -> str:
    """GOOD with one more line below the heading that contains `below`."""
    head, mark, tail = GOOD.partition(below)
    assert mark
    end = tail.index("\n")
    return head + mark + tail[: end + 1] + line + "\n" + tail[end + 1 :]


def test_a_file_is_read() -> None:
    conf = parse(GOOD)
    assert conf.warnings == ()
    assert [(mode.id, mode.name) for mode in conf.modes] == [(0, "15W"), (7, "MAXN")]
    assert conf.default_id == 7
    assert conf.default is conf.mode_by_name("MAXN") is conf.mode_by_id(7)
    assert conf.mode_by_id(1) is None
    assert conf.mode_by_name("7") is None
    assert conf.fan_default == "cool"
    assert [(one.kind, one.name) for one in conf.parameters] == [
        ("FILE", "CPU_ONLINE"),
        ("FILE", "TPC_POWER_GATING"),
        ("FILE", "GPU_POWER_CONTROL_ENABLE"),
        ("CLOCK", "GPU"),
        ("CLOCK", "EMC"),
    ]
    fifteen = conf.modes[0]
    assert fifteen.value("GPU", "MAX_FREQ") == 612000000
    assert fifteen.value("GPU", "FREQ_TABLE") is None
    assert fifteen.settings[0] == Setting("CPU_ONLINE", "CORE_0", 1)
    assert fifteen.cores_on == 1
    assert conf.modes[1].cores_on == 2


def test_words_of_file_parameters_are_kept_apart_from_numbers() -> None:
    fifteen = parse(GOOD).modes[0]
    assert fifteen.texts == (TextSetting("GPU_POWER_CONTROL_ENABLE", "GPU_PWR_CNTL_EN", "on"),)
    assert fifteen.value("GPU_POWER_CONTROL_ENABLE", "GPU_PWR_CNTL_EN") is None


def test_an_argument_is_looked_for_under_both_kernels_names() -> None:
    conf = parse(GOOD)
    assert conf.paths_of("GPU", "MAX_FREQ") == (
        "/sys/class/devfreq/gpu/max_freq",
        "/sys/devices/gpu/devfreq_dev/max_freq",
    )
    assert conf.paths_of("EMC", "MAX_FREQ") == ("/sys/kernel/nvpmodel_clk_cap/emc",)
    assert conf.paths_of("GPU", "BOOST") == conf.paths_of("NPU", "MAX_FREQ") == ()


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.replace(" ", "\t"),
        GOOD.replace("\n", "   \n"),
        GOOD.replace(" >", ">"),
        GOOD.replace("< ", "<"),
        GOOD.replace("=", " = "),
        GOOD.replace("CPU_ONLINE CORE_0 1\n", "CPU_ONLINE CORE_0 1  # caf\xe9 \x01 < x >\n"),
        GOOD.removesuffix("\n"),
        "< PM_CONFIG DEFAULT=7 >\n" + GOOD.replace("< PM_CONFIG DEFAULT=7 >\n", ""),
        GOOD[GOOD.index("< POWER_MODEL") :] + GOOD[: GOOD.index("< POWER_MODEL")],
    ],
)
def test_how_it_is_written_does_not_matter(text: str) -> None:
    assert parse(text) == parse(GOOD)
    assert parse(text).warnings == ()


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (GOOD + "< NPU_CONFIG DEFAULT=x >\nanything / goes\n", "line 40: the section 'NPU_CONFIG' is not known"),
        (
            GOOD + "< PARAM TYPE=REGULATOR NAME=VDD >\nUV 12\n",
            "line 40: the parameter 'VDD' has the unknown type",
        ),
        (GOOD + "< PARAM TYPE=CLOCK NAME=GPU >\nMAX_FREQ /a\n", "line 40: the parameter 'GPU' was declared before"),
        (GOOD + "< PM_CONFIG DEFAULT=0 >\n", "line 40: PM_CONFIG was given in line 38: this one is left out"),
        (GOOD + "< FAN_CONFIG DEFAULT=quiet >\n", "line 40: FAN_CONFIG was given in line 39"),
        (GOOD + "MAX 12\n", "line 40: 'MAX 12' does not belong below FAN_CONFIG"),
        (GOOD.replace("ID=7", "ID=7 COLOR=red"), "line 30: 'COLOR' of POWER_MODEL is not known"),
        (GOOD.replace("DEFAULT=7 >", "DEFAULT=7 > 8"), "line 38: '8' behind the heading is left out"),
        (GOOD.replace("TPC_PG_MASK 252", "TPC_PG_MASK 252 0"), "line 24: '0' behind the value is left out"),
        ("stray words\n" + GOOD, "line 1: 'stray words' stands outside any section"),
        (with_line("BOOST /sys/boost", "NAME=GPU >"), "line 13: the argument 'BOOST' is not known for a clock"),
        (
            with_line("CORE_9 /sys/9 # 9\nCORE_9 /sys/8", "CPU_ONLINE >"),
            "line 4: the argument 'CORE_9' was given",
        ),
        (with_line("CORE_9 /sys/9 rw", "CPU_ONLINE >"), "line 3: 'rw' behind the path is left out"),
        (with_line("NPU MAX_FREQ 9", "ID=0"), "line 22: the parameter 'NPU' is not declared"),
        (with_line("GPU BOOST on", "ID=0"), "line 22: the argument 'BOOST' of 'GPU' is not declared"),
    ],
)
def test_what_nvpmodel_skips_is_a_warning(text: str, warning: str) -> None:
    conf = parse(text)
    assert [one for one in conf.warnings if one.startswith(warning)], conf.warnings
    assert len(conf.warnings) == 1
    assert [(mode.id, mode.name, mode.settings) for mode in conf.modes] == [
        (mode.id, mode.name, mode.settings) for mode in parse(GOOD).modes
    ]
    assert conf.default_id == 7
    assert conf.fan_default == "cool"


def test_a_parameter_that_nobody_knows_is_told_once() -> None:
    conf = parse(GOOD.replace("GPU M", "NPU M"))
    assert conf.warnings == ("line 26: the parameter 'NPU' is not declared: what modes set there is left out",)


def test_the_last_setting_of_a_mode_counts() -> None:
    conf = parse(with_line("GPU MAX_FREQ 5", "TPC_PG_MASK 240").replace("GPU MAX_FREQ -1", "GPU MAX_FREQ 9"))
    assert conf.modes[1].value("GPU", "MAX_FREQ") == 9
    assert sum(one.argument == "MAX_FREQ" and one.parameter == "GPU" for one in conf.modes[1].settings) == 1
    assert conf.warnings == ("line 35: 'GPU MAX_FREQ' was set before in this mode: this line counts",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("< PM_CONFIG DEFAULT=7 >", ""), "the file: has no PM_CONFIG"),
        (
            GOOD.replace("DEFAULT=7", "DEFAULT=1"),
            "line 38: the default mode '1' is not in the file (modes here: 0 ",
        ),
        (GOOD.replace("DEFAULT=7", "DEFAULT=MAXN"), "line 38: the default mode 'MAXN' is not in the file"),
        (GOOD.replace("DEFAULT=7", "DEFAULTS=7"), "line 38: PM_CONFIG has no DEFAULT"),
        (GOOD.replace("ID=0 NAME=15W", "ID=7 NAME=15W"), "line 30: the ID 7 belongs to the mode in line 21"),
        (GOOD.replace("NAME=15W", "NAME=MAXN"), "line 30: the name 'MAXN' belongs to the mode in line 21"),
        (GOOD.replace("ID=0", "ID=zero"), "line 21: the ID 'zero' is no whole number from 0"),
        (GOOD.replace("ID=0", "ID=-1"), "line 21: the ID '-1' is no whole number from 0"),
        (GOOD.replace("ID=0", "ID=" + "9" * 19), "line 21: the ID '9999999999999999999' is no whole number from 0"),
        (GOOD.replace("ID=0", ""), "line 21: POWER_MODEL has no ID"),
        (GOOD.replace("ID=0", "ID=0 ID=0"), "line 21: POWER_MODEL has more than one ID"),
        (GOOD.replace("NAME=15W", "NAME="), "line 21: POWER_MODEL has no NAME"),
        (GOOD.replace("TYPE=FILE NAME=CPU_ONLINE", "NAME=CPU_ONLINE"), "line 2: PARAM has no TYPE"),
        (GOOD.replace("612000000", "fast"), "line 27: the clock 'GPU' wants a whole number, got 'fast'"),
        (GOOD.replace("612000000", "6.12e8"), "line 27: the clock 'GPU' wants a whole number, got '6.12e8'"),
        (GOOD.replace("612000000", "9" * 5000), f"line 27: is longer than {MAX_LINE_LENGTH} characters"),
        (GOOD.replace("612000000", "9" * 500), "line 27: the clock 'GPU' wants a whole number, got '9999"),
        (GOOD.replace("612000000", "\u0661"), r"line 27: the clock 'GPU' wants a whole number, got '\u0661'"),
        (GOOD.replace("GPU MAX_FREQ 612000000", "GPU MAX_FREQ"), "line 27: 'GPU MAX_FREQ' has no value"),
        (GOOD.replace("/sys/devices/system/cpu/cpu1/online", ""), "line 4: 'CORE_1' has no path"),
        (GOOD.replace("/sys/class/devfreq/gpu/max", "sys/class/devfreq/gpu/max"), "line 14: the path 'sys/class/devfr"),
        (
            GOOD.replace("/sys/class/devfreq/gpu/max", "/sys/../etc/max"),
            "line 14: the path '/sys/../etc/max_freq' ",
        ),
        (
            GOOD.replace("< POWER_MODEL ID=7", "< POWER_MODEL ID=7 <"),
            "line 30: '< POWER_MODEL ID=7 < NAME=MAX",
        ),
        (GOOD.replace("DEFAULT=7 >", "DEFAULT=7"), "line 38: '< PM_CONFIG DEFAULT=7' is no heading"),
        (
            GOOD.replace("15W", "15\x07W"),
            r"line 21: holds characters that are no text: '< POWER_MODEL ID=0 ",
        ),
        (GOOD.replace("15W", "15\ufffdW"), r"line 21: holds characters that are no text"),
        (GOOD.replace("15W", "15\0W"), "line 21: holds a NUL byte"),
        ("#" * (MAX_SIZE + 1), f"the file: is larger than {MAX_SIZE} characters"),
        (GOOD + "\n" * MAX_LINES, f"line {MAX_LINES + 1}: is more than {MAX_LINES} lines"),
        ("", "the file: has no power mode (put the release's own file back"),
        ("\x7fELF\x02\x01\n", r"line 1: holds characters that are no text: '\x7fELF\x02\x01'"),
    ],
)
def test_what_cannot_be_trusted_is_told_by_line(text: str, told: str) -> None:
    lines = mistakes(text)
    assert [line for line in lines if line.startswith(told)], lines


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = GOOD.replace("ID=0", "ID=x").replace("/sys/class/devfreq/gpu/max", "max").replace("DEFAULT=7", "DEFAULT=9")
    assert [line.partition(":")[0] for line in mistakes(text)] == ["line 14", "line 21", "line 38"]


def test_a_long_list_of_mistakes_is_cut_in_the_message_only() -> None:
    with pytest.raises(ConfMistakesError, match=r"has 31 mistakes: .* and 21 more$") as caught:
        parse_nvpmodel_conf("< x\n" * 30)
    assert len(caught.value.mistakes) == 31


@pytest.mark.parametrize("path", CONFS, ids=lambda path: path.stem)
def test_the_virtual_boards_files_are_read_without_a_warning(path: Path) -> None:
    """But for the future module's, which is written to hold what this version does not know."""
    conf = parse_nvpmodel_conf(path.read_text())
    assert conf.default in conf.modes
    assert bool(conf.warnings) == path.stem.startswith("unknown")
    assert all(conf.paths_of(one.parameter, one.argument) for mode in conf.modes for one in mode.settings)


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        (Setting("TPC_POWER_GATING", "TPC_PG_MASK", 252), "mask"),
        (Setting("FBP_POWER_GATING", "FBP_PG_MASK", 2), "mask"),
        (Setting("GPU_POWER_GATING", "GPU_PG_MASK", 512), "mask"),
        (Setting("GPU", "gpu_pg_mask", 512), "mask"),
        (Setting("CPU_ONLINE", "CORE_11", 0), "core"),
        (Setting("GPU", "MAX_FREQ", -1), "clock"),
        (Setting("CPU_A78_0", "MIN_FREQ", 729600), "clock"),
        (Setting("DLA0_CORE", "MAX_FREQ_KNEXT", 1), "clock"),
        (Setting("GPU_POWER_CONTROL_ENABLE", "GPU_PWR_CNTL_EN", 1), ""),
        (Setting("CPU_ONLINE", "CORES", 3), ""),
        (Setting("GPU", "FREQ_TABLE", 3), ""),
    ],
)
def test_a_setting_is_of_one_kind(setting: Setting, kind: str) -> None:
    found = {"mask": is_power_gating(setting), "core": is_core_switch(setting), "clock": is_clock_limit(setting)}
    assert [name for name, yes in found.items() if yes] == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("name", "watts"),
    [
        ("15W", 15),
        ("MODE_30W_ALL", 30),
        ("7W_AI", 7),
        ("120W", 120),
        ("MODE_10W_DESKTOP", 10),
        ("30W_CUSTOM", 30),
        ("MODE_7.5W", 7.5),
        ("MAXN", math.inf),
        ("MAXN_SUPER", math.inf),
        ("MAXQ", None),
        ("MAXP_CORE_ALL", None),
        ("15WATTS", None),
        ("W", None),
        ("", None),
        ("9" * 5000 + "W", None),
    ],
)
def test_the_watts_in_a_name(name: str, watts: float | None) -> None:
    assert watts_of(name) == watts
