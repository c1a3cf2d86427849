"""What a person gets to see of a reading: first whether it is slowed down, and a reason for what is missing."""

from __future__ import annotations

import json
import typing

import pytest

from edgeagent.board.identity import Evidence, decide_identity
from edgeagent.board.parts import Absent
from edgeagent.board.reading import (
    ClockDomain,
    Cooling,
    Dla,
    Engine,
    Fan,
    Gpu,
    Memory,
    OverCurrent,
    Rail,
    Reading,
    Trip,
    Zone,
)
from edgeagent.board.report import board_json
from edgeagent.board.report_readings import WHY, readings_text

WARNS = Trip("passive", 70.0, 8.0, ("hot-surface-alert",))
LOCKED = ClockDomain("cpu0", 1_728_000, 1_728_000, 1_728_000, 115_200, 2_201_600, (0,))


def text_of(reading: Reading) -> str:
    return "\n\n".join("\n".join(lines) for lines in readings_text(reading) if lines)


def test_every_reason_has_words() -> None:
    assert set(WHY) == set(typing.get_args(Absent))


def test_a_whole_reading() -> None:
    reading = Reading(
        zones=(
            Zone("cpu-thermal", 70.0, "", 99.0, 104.5, "trip", "trip", (WARNS,)),
            Zone("cv0-thermal", None, "offline", 99.0, 104.5, "trip", "trip", (WARNS,)),
        ),
        cooling=(Cooling("cpu-throttle-alert", 0, 2),),
        rails=(Rail("VDD_GPU_SOC", 4000.0), Rail("VDD_CPU_CV", 3000.0), Rail("VIN_SYS_5V0", None, absent="slow")),
        over_current=(
            OverCurrent("oc1", 0, 0, 0.0),
            OverCurrent("oc3", 90, 30, 15.0),
            OverCurrent("oc9", None, absent="permission"),
        ),
        cpu_load_percent=12.5,
        clocks=(LOCKED,),
        gpu=Gpu(None, 918_000, "", "not-given"),
        emc_khz=3_199_000,
        emc_load_percent=12.0,
        dla=(Dla("dla0", "suspended"), Dla("dla1", "", "vanished")),
        engines=(Engine("NVENC", True, 435_200), Engine("OFA", False, 0)),
        memory=Memory(7_789_952, 4_000_000, 3_894_976, 3_000_000, 2),
        fans=(Fan(50.0, 2800, True), Fan(47.0, 0, False), Fan(absent="unreadable")),
        added=("emc", "engines"),
    )
    assert text_of(reading) == (
        "Not throttling; 29 C to go until it does.\n"
        "\n"
        "Temperatures            now   throttles at   shuts down at\n"
        "  cpu                70.0 C         99.0 C         104.5 C\n"
        "  cv0                   -    no answer: that part is powered down (normal while it is not in use)\n"
        "  surface warning at 70 C: it slows nothing down\n"
        "\n"
        "Power             total unknown (sum of VDD_GPU_SOC, VDD_CPU_CV, VIN_SYS_5V0)\n"
        "  VDD_GPU_SOC        4.00 W\n"
        "  VDD_CPU_CV         3.00 W\n"
        "  VIN_SYS_5V0           -  left alone for a while: the last answer took too long\n"
        "  oc1       0 over-current events since boot (sags of the input voltage)\n"
        "  oc3       90 over-current events since boot, 15.0 a second now "
        "(power peaks over the limit, common in uncapped modes)\n"
        "  oc9       closed to this user\n"
        "\n"
        "Work\n"
        "  cpu        12.5 % busy\n"
        "  gpu       (load: no file of this system gives it) at 918 MHz\n"
        "  clocks    locked: none of them moves\n"
        "  emc       3199 MHz, 12 % busy (the memory's clock)\n"
        "  dla0      suspended\n"
        "  dla1      gone since an earlier look: its driver was unloaded\n"
        "  nvenc     435 MHz\n"
        "  ofa       off\n"
        "  memory    3906 MB of 7607 MB available\n"
        "  swap      874 MB of 3803 MB used\n"
        "  killed    processes since boot, because memory ran out: 2\n"
        "  fan       asked for 50 %, turns at 2800 rpm\n"
        "  fan 2     SWITCHED OFF (pwm1_enable is 0), turns at 0 rpm\n"
        "  fan 3     (asked for: the kernel could not read it, or the file holds no number or an impossible one)\n"
        "  from jtop: emc, engines"
    )


def test_throttling_comes_first_and_names_what_is_held_back() -> None:
    cooling = tuple(Cooling(name, 1, 3) for name in ("cpu-throttle-alert", "cpufreq-cpu0", "hot-surface-alert"))
    assert text_of(Reading(zones=(Zone("cpu-thermal", 99.5, "", 99.0),), cooling=cooling)).startswith(
        "THROTTLING NOW: cpu. Clocks are lowered until it cools down.\n"
        "Held back by heat now: cpufreq-cpu0.\n"
        "Hot surface: do not touch the heat sink. This warning slows nothing down.\n"
    )


def test_typical_limits_are_marked() -> None:
    cooling = (Cooling("gpu-throttle-alert", 0, 2),)
    text = text_of(Reading(zones=(Zone("gpu-thermal", 80.0, "", 109.0, 114.5, "soc", "trip"),), cooling=cooling))
    assert "Not throttling; 29 C to go until it does, by what is usual for this chip: this board does not say." in text
    assert "  gpu                80.0 C       ~109.0 C         114.5 C\n  ~ is what is usual" in text


@pytest.mark.parametrize(
    ("clocks", "line"),
    [((LOCKED,), "  clocks    locked: none of them moves"), ((), None)],
)
def test_clocks_are_mentioned_where_they_are_known(clocks: tuple[ClockDomain, ...], line: str | None) -> None:
    lines = text_of(Reading(clocks=clocks)).splitlines()
    assert [found for found in lines if found.startswith("  clocks")] == ([line] if line else [])


def test_json_has_every_part_and_what_follows_from_it() -> None:
    reading = Reading(
        zones=(Zone("cpu-thermal", 70.0, "", 99.0, 104.5, "trip", "trip", (WARNS,)),),
        over_current=(OverCurrent("oc1", 3, 1, 0.5, True),),
        rails=(Rail("VDD_IN", 9000.0, chip="ina3221"),),
        clocks=(LOCKED,),
    )
    found = json.loads(json.dumps(board_json(decide_identity(Evidence()), reading), allow_nan=False))
    assert found["zones"][0]["trips"] == [
        {"kind": "passive", "celsius": 70.0, "hysteresis_c": 8.0, "bound": ["hot-surface-alert"]}
    ]
    assert found["over_current"][0]["meaning"] == "sags of the input voltage"
    assert (found["power_total_mw"], found["power_total_source"]) == (9000.0, "VDD_IN")
    assert (found["clocks"][0]["lock"], found["clocks_locked"], found["throttle_source"]) == ("locked", True, "trip")
    assert (found["gpu"]["load_percent"], found["fans"], found["slowed"]) == (None, [], [])


def alert(name: str, state: int | None) -> Cooling:
    return Cooling(f"{name}-throttle-alert", state, 2, "" if state is not None else "unreadable")


def at(celsius: float | None, source: typing.Literal["trip", "soc"] = "trip") -> tuple[Zone, ...]:
    return (Zone("cpu-thermal", celsius, "" if celsius is not None else "offline", 99.0, 104.5, source, source),)


UNTOLD = "Whether it throttles cannot be told: no throttle alert can be read."
USUAL = "by what is usual for this chip: this board does not say"


@pytest.mark.parametrize(
    ("zones", "alerts", "verdict"),
    [
        (at(42.0), (alert("cpu", 0),), "Not throttling; 57 C to go until it does."),
        (at(42.0), (alert("cpu", -1),), "Not throttling; 57 C to go until it does."),
        (at(42.0), (alert("cpu", None),), f"{UNTOLD} 57 C to go until its throttle temperature."),
        (at(42.0), (), f"{UNTOLD} 57 C to go until its throttle temperature."),
        (at(42.0, "soc"), (), f"{UNTOLD} 57 C to go until its throttle temperature, {USUAL}."),
        (at(105.0), (), f"{UNTOLD} cpu is 6 C past its throttle temperature."),
        (at(105.0), (alert("cpu", 0),), "cpu is 6 C past its throttle temperature, though no alert is raised."),
        (at(None), (), f"{UNTOLD} No temperature can be read here."),
        (at(None), (alert("cpu", 0),), "Not throttling. No temperature can be read here."),
        ((Zone("tj", 50.0),), (alert("cpu", 0),), "Not throttling. No zone has a throttle temperature here."),
        (
            at(42.0),
            (alert("cpu", 0), alert("gpu", None)),
            "Not throttling; 57 C to go until it does. The alert of gpu cannot be read.",
        ),
    ],
)
def test_the_verdict_rests_on_the_alerts(zones: tuple[Zone, ...], alerts: tuple[Cooling, ...], verdict: str) -> None:
    assert text_of(Reading(zones=zones, cooling=alerts)).splitlines()[0] == verdict


def line_of(name: str, reading: Reading) -> list[str]:
    return [line.strip() for line in text_of(reading).splitlines() if line.strip().split()[:1] == [name]]


CPU = ClockDomain("cpu0", None, cores=(0,), absent="permission", limits_absent="permission")


@pytest.mark.parametrize(
    ("name", "reading", "line"),
    [
        ("cpu", Reading(cpu_load_absent="permission"), "cpu       (load: closed to this user)"),
        ("cpu", Reading(cpu_load_absent="still"), f"cpu       (load: {WHY['still']})"),
        ("cpu", Reading(cpu_load_percent=5.0, clocks=(CPU,)), "cpu         5.0 % busy (clock: closed to this user)"),
        ("clocks", Reading(clocks=(CPU,)), "clocks    (whether they are locked: closed to this user)"),
        (
            "gpu",
            Reading(gpu=Gpu(None, None, "permission", "permission")),
            "gpu       (load and clock: closed to this user)",
        ),
        (
            "gpu",
            Reading(gpu=Gpu(None, None, "permission", "not-given")),
            "gpu       (load: no file of this system gives it; clock: closed to this user)",
        ),
        ("gpu", Reading(gpu=Gpu(5.0, None, "permission")), "gpu         5.0 % busy (clock: closed to this user)"),
        ("memory", Reading(memory=Memory(absent="permission")), "memory    (closed to this user)"),
        ("swap", Reading(memory=Memory(9, 9, swap_absent="permission")), "swap      (closed to this user)"),
        ("uptime", Reading(uptime_absent="permission"), "uptime    (closed to this user)"),
        (
            "fan",
            Reading(fans=(Fan(None, 900, absent="permission"),)),
            "fan       (asked for: closed to this user), turns at 900 rpm",
        ),
        (
            "fan",
            Reading(fans=(Fan(40.0, rpm_absent="permission"),)),
            "fan       asked for 40 %, (turns: closed to this user)",
        ),
        ("fan", Reading(fans=(Fan(40.0, rpm_absent="not-given"),)), "fan       asked for 40 %"),
    ],
)
def test_a_line_stays_and_says_why(name: str, reading: Reading, line: str) -> None:
    assert line_of(name, reading) == [line]
