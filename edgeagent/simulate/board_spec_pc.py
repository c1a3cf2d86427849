"""A PC: x86-64 with DMI and the sensors of a common desktop processor, no device tree, no power modes. Data only."""

from __future__ import annotations

from edgeagent.simulate import board_software as software
from edgeagent.simulate import thermal_parameters
from edgeagent.simulate.board_spec import Cpu, Trip, VirtualSpec, Zone, ladder
from edgeagent.simulate.plant import PlantSpec

_DMI = "sys/devices/virtual/dmi/id"

PC = VirtualSpec(
    name="pc",
    description="an x86-64 PC: not a Jetson, no power modes, no tools",
    kind="pc",
    software=software.NONE,
    hostname="virtual-pc",
    memory_kb=32_637_588,
    cpu=Cpu(
        count=8,
        policies=tuple((core,) for core in range(8)),
        table_khz=ladder(800_000, 4_700_000, 100_000),
        idle_khz=800_000,
        governor="powersave",
        driver="intel_pstate",
        listed=False,
        fixed_cores=(0,),
        idle_states=("POLL", "C1", "C6"),
    ),
    zones=(
        Zone("acpitz", "board", (Trip("critical", 119_000, 0),)),
        Zone("x86_pkg_temp", "tj", (Trip("passive", 0, 0), Trip("passive", 0, 0))),
        Zone("acpitz", "board", (Trip("critical", 105_000, 0),)),
    ),
    cooling=(*(("Processor", 10) for _ in range(8)), ("intel_powerclamp", 100)),
    plain=(
        (f"{_DMI}/sys_vendor", "Example Computers\n"),
        (f"{_DMI}/product_name", "Desk 5000\n"),
        (f"{_DMI}/product_version", "1.0\n"),
        (f"{_DMI}/board_vendor", "Example Computers\n"),
        (f"{_DMI}/board_name", "DESK-B760\n"),
        (f"{_DMI}/bios_version", "2.14\n"),
        (f"{_DMI}/chassis_type", "3\n"),
        (f"{_DMI}/modalias", "dmi:bvnExample:bvr2.14:svnExampleComputers:pnDesk5000:\n"),
        ("sys/devices/system/cpu/intel_pstate/status", "active\n"),
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "0\n"),
    ),
    links=(("sys/class/dmi/id", _DMI),),
    plant=PlantSpec(
        cores=8,
        cpu_khz=(800_000, 4_700_000),
        cpu_idle_khz=800_000,
        cpu_top_w=65.0,
        cores_idle_w=4.0,
        soc_idle_w=6.0,
        board_w=18.0,
        throttle_c=100.0,
        critical_c=105.0,
        hottest_c=105.0,
        fan_top_rpm=2200.0,
        memory_mb=3600.0,
        network=thermal_parameters.PC,
    ),
)
