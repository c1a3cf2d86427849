"""The Orin family: Orin Nano, Orin NX, AGX Orin on R36 and R39, a foreign carrier, and a container. Data only."""

from __future__ import annotations

from dataclasses import replace

from edgeagent.simulate import board_software as software
from edgeagent.simulate.board_parts_orin import (
    AGX_ORIN_PLANT,
    CPU_AGX,
    CPU_NANO,
    CPU_NX,
    DLA,
    DLA_ENGINES,
    EEPROM,
    EMC,
    ENGINES,
    GPU_AGX,
    GPU_NANO,
    GPU_NX,
    GPU_NX_SUPER,
    I2C_POWER,
    NVENC,
    ORIN_NANO_PLANT,
    ORIN_NX_PLANT,
    PVA,
    orin_cooling,
    orin_dla_caps,
    orin_gpu,
    orin_small_rails,
    orin_zones,
)
from edgeagent.simulate.board_spec import Channel, Fan, PowerSensor, VirtualSpec, boot_control

ORIN_NANO_R36 = VirtualSpec(
    name="orin-nano-r36",
    description="Jetson Orin Nano 8 GB kit, Super, JetPack 6.2.1 (L4T 36.4.7)",
    kind="jetson",
    software=software.R36_4_7,
    hostname="virtual-orin-nano",
    model="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
    compatible=("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
    serial="1420000000042",
    boot_control=boot_control(
        "3767-300-0005-S.1-1-1-jetson-orin-nano-devkit-super-",
        "3767--0005--1--jetson-orin-nano-devkit-super-",
        "0x23",
    ),
    eeprom=(EEPROM, "699-13767-0005-300 S.1"),
    power_modes="orin_nano_super.conf",
    memory_kb=7_789_952,
    cpu=CPU_NANO,
    gpu=GPU_NANO,
    emc=EMC,
    zones=orin_zones(CPU_NANO, "always", ""),
    cooling=orin_cooling(CPU_NANO),
    sensors=orin_small_rails(4984),
    over_current=True,
    fan=Fan("hwmon", "quiet"),
    engines=ENGINES,
    plant=ORIN_NANO_PLANT,
)

ORIN_NANO_R39 = replace(
    ORIN_NANO_R36,
    name="orin-nano-r39",
    description="Jetson Orin Nano 8 GB kit, Super, JetPack 7.2.1 (L4T 39.2.1)",
    software=software.R39_2_1,
    hostname="virtual-orin-nano-r39",
    serial="1421023114007",
    boot_control=boot_control(
        "3767-302-0005-J.1-1-0-jetson-orin-nano-devkit-super-",
        "3767--0005--1--jetson-orin-nano-devkit-super-",
        "0x23",
    ),
    eeprom=(EEPROM, "699-13767-0005-302 J.1"),
    power_modes="orin_nano_super_r39.conf",
    memory_kb=7_665_664,
    gpu=orin_gpu(GPU_NANO.table_hz, 240, switch=False),
)

ORIN_NX16_R36 = VirtualSpec(
    name="orin-nx16-r36",
    description="Jetson Orin NX 16 GB, Super, JetPack 6.2.2 (L4T 36.5.0)",
    kind="jetson",
    software=software.R36_5_0,
    hostname="virtual-orin-nx",
    model="NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super",
    compatible=("nvidia,p3768-0000+p3767-0000-super", "nvidia,p3767-0000", "nvidia,tegra234"),
    serial="1423024105583",
    boot_control=boot_control(
        "3767-300-0000-M.1-1-0-jetson-orin-nano-devkit-super-",
        "3767--0000--1--jetson-orin-nano-devkit-super-",
        "0x23",
    ),
    eeprom=(EEPROM, "699-13767-0000-300 M.1"),
    power_modes="orin_nx16_super.conf",
    memory_kb=15_655_436,
    cpu=CPU_NX,
    gpu=GPU_NX_SUPER,
    emc=EMC,
    zones=orin_zones(CPU_NX, "idle", "idle"),
    cooling=orin_cooling(CPU_NX),
    sensors=orin_small_rails(8000),
    over_current=True,
    fan=Fan("hwmon", "quiet"),
    dla=DLA,
    engines=(*DLA_ENGINES, *PVA, *NVENC, *ENGINES),
    plain=orin_dla_caps(614_400_000, 294_400_000),
    plant=ORIN_NX_PLANT,
)

UNKNOWN_CARRIER = replace(
    ORIN_NX16_R36,
    name="unknown-carrier",
    description="Jetson Orin NX 16 GB on a third party's carrier that calls itself the kit (L4T 36.4.3)",
    software=software.R36_4_3,
    hostname="virtual-line-camera",
    model="NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
    compatible=("nvidia,p3768-0000+p3767-0000", "nvidia,p3767-0000", "nvidia,tegra234"),
    serial="1423524071116",
    boot_control=boot_control(
        "3767-300-0000-H.2-1-0-recomputer-orin-j401-", "3767--0000--1--recomputer-orin-j401-", "0x23"
    ),
    eeprom=(EEPROM, "699-13767-0000-300 H.2"),
    power_modes="orin_nx16.conf",
    gpu=GPU_NX,
    fan=Fan("hwmon", "cool", tachometer=""),
    plant=replace(ORIN_NX_PLANT, gpu_hz=(306_000_000, 918_000_000), gpu_top_w=10.5, fan_default="cool", board_w=2.6),
)

AGX_ORIN_R36 = VirtualSpec(
    name="agx-orin-r36",
    description="Jetson AGX Orin 64 GB, JetPack 6.2.1 (L4T 36.4.7)",
    kind="jetson",
    software=software.R36_4_7,
    hostname="virtual-agx-orin",
    model="NVIDIA Jetson AGX Orin Developer Kit",
    compatible=("nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"),
    serial="1424222007719",
    boot_control=boot_control(
        "3701-500-0005-N.0-1-0-jetson-agx-orin-devkit-", "3701--0005--1--jetson-agx-orin-devkit-", "0x23", "mmcblk0"
    ),
    eeprom=(EEPROM, "699-13701-0005-500 N.0"),
    power_modes="agx_orin.conf",
    memory_kb=64_286_720,
    cpu=CPU_AGX,
    gpu=GPU_AGX,
    emc=EMC,
    zones=orin_zones(CPU_AGX, "idle", "idle"),
    cooling=orin_cooling(CPU_AGX),
    sensors=(
        PowerSensor(
            "ina3221",
            f"{I2C_POWER}/1-0040",
            (
                Channel("VDD_GPU_SOC", 19_960, ("gpu", "soc")),
                Channel("VDD_CPU_CV", 19_960, ("cpu", "dla", "cores idle")),
                Channel("VIN_SYS_5V0", 5032, ("board",)),
            ),
            32_760,
        ),
        PowerSensor(
            "ina3221",
            f"{I2C_POWER}/1-0041",
            (Channel("NC"), Channel("VDDQ_VDD2_1V8AO", 19_960, ("losses",)), Channel("")),
            32_760,
        ),
    ),
    over_current=True,
    fan=Fan("hwmon", "quiet"),
    dla=DLA,
    engines=(*DLA_ENGINES, *PVA, *NVENC, *ENGINES),
    plain=orin_dla_caps(1_369_600_000, 742_400_000),
    plant=AGX_ORIN_PLANT,
)

AGX_ORIN_R39 = replace(
    AGX_ORIN_R36,
    name="agx-orin-r39",
    description="Jetson AGX Orin 64 GB, JetPack 7.2.1 (L4T 39.2.1)",
    software=software.R39_2_1,
    hostname="virtual-agx-orin-r39",
    serial="1424222007801",
    power_modes="agx_orin_r39.conf",
    memory_kb=64_150_528,
    gpu=orin_gpu(GPU_AGX.table_hz, 240, switch=False),
)

CONTAINER = replace(
    ORIN_NANO_R36,
    name="container",
    description="an Orin Nano seen from inside a docker container: no release file, nvpmodel ignores requests",
    kind="container",
    software=software.contained(software.R36_4_7),
    hostname="7d3c5f0e9a21",
    boot_control="",
    fan=Fan("hwmon"),
    engines=(),
    emc=replace(EMC, debug=""),
)
