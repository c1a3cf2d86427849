"""Every module there is, from each kind of witness: by its device tree, its EEPROM, its TNSPEC, and by what is left."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from edgeagent.board.catalogue import MODULES
from edgeagent.board.identity import Evidence, decide_identity
from edgeagent.board.report_identity import head
from edgeagent.board.witness import GUESSED


class Sold(NamedTuple):
    """What a module's device tree and kernel show. `capability` and `dla` are what the data sheet says."""

    id: str
    name: str
    compatible: bytes
    model: bytes
    memory_kb: int
    cpus: int
    release: bytes
    capability: str
    dla: int


R32, R35 = b"# R32 (release), REVISION: 7.6, GCID: 1\n", b"# R35 (release), REVISION: 4.1, GCID: 1\n"
R36, R38 = b"# R36 (release), REVISION: 4.7, GCID: 1\n", b"# R38 (release), REVISION: 4.0, GCID: 1\n"


def dt(*entries: str) -> bytes:
    return "".join(f"nvidia,{entry}\0" for entry in entries).encode()


def orin(carrier: str, module: str) -> bytes:
    return dt(f"{carrier}+{module}", module, "tegra234")


NX, NANO = b"NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0", b"NVIDIA Jetson Orin Nano Developer Kit\0"
AGX, THOR = b"NVIDIA Jetson AGX Orin Developer Kit\0", b"NVIDIA Jetson AGX Thor Developer Kit\0"
XAVIER_NX = b"NVIDIA Jetson Xavier NX Developer Kit\0"
GIB = 1024 * 1024

SOLD = [
    Sold(
        "p3448-0000",
        "Jetson Nano",
        dt("p3449-0000-b00+p3448-0000-b00", "jetson-nano", "tegra210"),
        b"NVIDIA Jetson Nano Developer Kit\0",
        4_059_340,
        4,
        R32,
        "5.3",
        0,
    ),
    Sold(
        "p3448-0002",
        "Jetson Nano",
        dt("p3449-0000-b00+p3448-0002-b00", "jetson-nano", "tegra210"),
        b"NVIDIA Jetson Nano Developer Kit\0",
        4_059_340,
        4,
        R32,
        "5.3",
        0,
    ),
    Sold("p3310-1000", "Jetson TX2", dt("quill", "p3310-1000", "tegra186"), b"quill\0", 8_028_096, 6, R32, "6.2", 0),
    Sold(
        "p3636-0001",
        "Jetson TX2 NX",
        dt("p3509-0000+p3636-0001", "tegra186"),
        b"NVIDIA Jetson TX2 NX Developer Kit\0",
        3_900_000,
        6,
        R32,
        "6.2",
        0,
    ),
    Sold("p3489-0000", "Jetson TX2i", dt("p3489-0000", "storm", "tegra186"), b"storm\0", 8_028_096, 6, R32, "6.2", 0),
    *(
        Sold(module, "Jetson Xavier NX", dt(f"p3509-0000+{module}", "tegra194"), XAVIER_NX, memory_kb, 6, R35, "7.2", 2)
        for module, memory_kb in (("p3668-0000", 7_000_000), ("p3668-0001", 7_000_000), ("p3668-0003", 15_300_000))
    ),
    *(
        Sold(
            module,
            "Jetson AGX Xavier",
            dt("p2972-0000", module, "tegra194"),
            b"Jetson-AGX\0",
            size * GIB * 95 // 100,
            8,
            R35,
            "7.2",
            2,
        )
        for module, size in (("p2888-0001", 16), ("p2888-0004", 32), ("p2888-0005", 64))
    ),
    Sold(
        "p2888-0008",
        "Jetson AGX Xavier Industrial",
        dt("galen-industrial", "p2888-0008", "tegra194"),
        b"Jetson-AGX\0",
        31_000_000,
        8,
        R35,
        "7.2",
        2,
    ),
    Sold("p3767-0004", "Jetson Orin Nano 4GB", orin("p3768-0000", "p3767-0004"), NANO, 3_523_000, 6, R36, "8.7", 0),
    Sold("p3767-0003", "Jetson Orin Nano 8GB", orin("p3768-0000", "p3767-0003"), NANO, 7_789_952, 6, R36, "8.7", 0),
    Sold(
        "p3767-0005",
        "Jetson Orin Nano 8GB",
        dt("p3768-0000+p3767-0005-super", "p3767-0005", "tegra234"),
        NANO,
        7_789_952,
        6,
        R36,
        "8.7",
        0,
    ),
    Sold("p3767-0001", "Jetson Orin NX 8GB", orin("p3768-0000", "p3767-0001"), NX, 7_789_952, 6, R36, "8.7", 1),
    Sold("p3767-0000", "Jetson Orin NX 16GB", orin("p3768-0000", "p3767-0000"), NX, 16_011_264, 8, R36, "8.7", 2),
    Sold("p3701-0004", "Jetson AGX Orin 32GB", orin("p3737-0000", "p3701-0004"), AGX, 31_400_000, 8, R36, "8.7", 2),
    Sold("p3701-0005", "Jetson AGX Orin 64GB", orin("p3737-0000", "p3701-0005"), AGX, 64_300_000, 12, R36, "8.7", 2),
    Sold("p3701-0000", "Jetson AGX Orin 64GB", orin("p3737-0000", "p3701-0000"), AGX, 31_400_000, 12, R36, "8.7", 2),
    Sold(
        "p3701-0008",
        "Jetson AGX Orin Industrial",
        orin("p3737-0000", "p3701-0008"),
        AGX,
        62_000_000,
        12,
        R36,
        "8.7",
        2,
    ),
    Sold(
        "p3834-0008",
        "Jetson AGX Thor T5000",
        dt("p4071-0000+p3834-0008", "p3834-0008", "tegra264"),
        THOR,
        128_800_000,
        14,
        R38,
        "11.0",
        0,
    ),
    Sold(
        "p3834-0000",
        "Jetson AGX Thor T4000",
        dt("p4071-0000+p3834-0000", "p3834-0000", "tegra264"),
        THOR,
        64_400_000,
        12,
        R38,
        "11.0",
        0,
    ),
]
every_module = pytest.mark.parametrize("sold", SOLD, ids=[sold.id for sold in SOLD])


def seen(sold: Sold) -> Evidence:
    return Evidence(
        compatible=sold.compatible,
        model=sold.model,
        tegra_release=sold.release,
        meminfo=f"MemTotal:       {sold.memory_kb} kB\n".encode(),
        cpus_present=f"0-{sold.cpus - 1}\n".encode(),
        machine="aarch64",
    )


def eeprom(module_id: str) -> bytes:
    return (bytes(20) + f"699-1{module_id[1:5]}-{module_id[6:]}-300 S.1".encode()).ljust(256, b"\0")


def test_the_list_has_every_module_of_the_catalogue() -> None:
    without_capture = {"p3448-0003"}
    assert {sold.id for sold in SOLD} == {known for module in MODULES for known in module.ids} - without_capture


@every_module
def test_the_device_tree_names_the_module(sold: Sold) -> None:
    identity = decide_identity(seen(sold))
    assert (identity.kind, identity.module, identity.module_id) == ("jetson", sold.name, sold.id)
    assert (identity.compute_capability, identity.dla_cores) == (sold.capability, sold.dla)
    assert identity.cpus == sold.cpus
    assert identity.contradictions == ()
    assert identity.rests_on["module"] == ("device tree (compatible)",)


@every_module
def test_the_eeprom_confirms_it(sold: Sold) -> None:
    path = "/sys/bus/i2c/devices/0-0050/eeprom"
    identity = decide_identity(Evidence(**{**vars(seen(sold)), "eeproms": ((path, eeprom(sold.id)),)}))
    assert identity.contradictions == ()
    assert identity.rests_on["module"] == ("device tree (compatible)", f"EEPROM ({path})")


@every_module
def test_the_eeprom_alone_is_enough(sold: Sold) -> None:
    identity = decide_identity(Evidence(eeproms=(("/eeprom", eeprom(sold.id)),)))
    assert (identity.module, identity.module_id, identity.compute_capability) == (sold.name, sold.id, sold.capability)
    assert identity.rests_on["soc"] == ("the module's record",)


@every_module
def test_the_boot_control_file_alone_is_enough(sold: Sold) -> None:
    line = f"TNSPEC {sold.id[1:5]}-300-{sold.id[6:]}-J.1-1-0-some-carrier-nvme0n1p1\n"
    identity = decide_identity(Evidence(boot_control=line.encode()))
    assert (identity.module, identity.module_id, identity.carrier) == (sold.name, sold.id, "some-carrier")


@pytest.mark.parametrize(
    "id_",
    ["p3767-0004", "p3767-0000", "p3701-0004", "p3834-0008", "p3834-0000", "p3701-0000"],
)
def test_memory_and_cores_tell_variants_apart_where_every_id_is_missing(id_: str) -> None:
    sold = next(one for one in SOLD if one.id == id_)
    soc = sold.compatible.split(b"\0")[-2] + b"\0"
    identity = decide_identity(Evidence(**{**vars(seen(sold)), "compatible": soc, "model": b"Custom Jetson Box 3\0"}))
    assert (identity.kind, identity.module) == ("jetson", sold.name)
    assert identity.rests_on["module"][0].startswith("guessed: the only module with this SoC, memory")


@pytest.mark.parametrize(
    ("compatible", "memory_kb", "cpus", "model"),
    [
        (b"nintendo,odin\0nvidia,tegra210\0", 4_020_000, b"0-3\n", b"Nintendo Switch (2017)\0"),
        (b"google,smaug\0nvidia,tegra210\0", 3_900_000, b"0-3\n", b""),
        (b"nvidia,p3663\0nvidia,tegra234\0", 32_200_000, b"0-7\n", b"NVIDIA DRIVE Orin\0"),
        (b"nvidia,p3663\0nvidia,tegra234\0", 64_000_000, b"0-11\n", b"NVIDIA DRIVE AGX Orin Developer Kit\0"),
    ],
)
def test_tegras_of_cars_and_game_consoles_are_not_named_by_their_memory(
    compatible: bytes, memory_kb: int, cpus: bytes, model: bytes
) -> None:
    meminfo = f"MemTotal: {memory_kb} kB\n".encode()
    identity = decide_identity(Evidence(compatible=compatible, meminfo=meminfo, cpus_present=cpus, model=model))
    assert (identity.kind, identity.module, identity.dla.answer) == ("unknown-jetson", "", "unknown")
    assert next(iter(head(identity, None))).startswith("A Tegra that nothing calls a Jetson")


@pytest.mark.parametrize("model", [b"NVIDIA Jetson Box\0", b"Jetson-AGX\0", b"ACME Orin NX carrier\0"])
def test_a_model_text_that_speaks_of_a_jetson_lets_memory_decide(model: bytes) -> None:
    seen_so = Evidence(compatible=dt("tegra234"), meminfo=b"MemTotal: 16011264 kB\n", model=model)
    identity = decide_identity(seen_so)
    assert (identity.module, identity.rests_on["module"]) == ("Jetson Orin NX 16GB", (GUESSED,))


def test_a_guess_that_the_model_text_speaks_against_is_none() -> None:
    seen_so = Evidence(compatible=dt("tegra234"), meminfo=b"MemTotal: 16011264 kB\n", model=AGX)
    assert decide_identity(seen_so).kind == "unknown-jetson"


@pytest.mark.parametrize("model", [NANO, NX])
def test_of_two_that_fit_the_model_text_chooses(model: bytes) -> None:
    orin_8gb = Evidence(
        compatible=dt("tegra234"), model=model, meminfo=b"MemTotal: 7789952 kB\n", cpus_present=b"0-5\n"
    )
    identity = decide_identity(orin_8gb)
    assert identity.module == ("Jetson Orin Nano 8GB" if model == NANO else "Jetson Orin NX 8GB")


def test_of_two_that_fit_none_is_guessed_without_a_model_text() -> None:
    identity = decide_identity(Evidence(compatible=dt("tegra234"), meminfo=b"MemTotal: 7789952 kB\n"))
    assert (identity.kind, identity.module, identity.soc) == ("unknown-jetson", "", "t234")
    assert identity.dla.answer == "unknown"


def test_a_part_number_that_no_record_has_is_never_guessed_over() -> None:
    """A future module may well have the memory and the cores of one that is known."""
    identity = decide_identity(
        Evidence(compatible=orin("p3768-0000", "p3767-0042"), meminfo=b"MemTotal: 16011264 kB\n", model=NX)
    )
    assert (identity.kind, identity.module, identity.module_id) == ("unknown-jetson", "", "p3767-0042")


@pytest.mark.parametrize(
    ("board", "module"),
    [("jetson-agx-thor-t4000", "Jetson AGX Thor T4000"), ("jetson-agx-thor-devkit", "Jetson AGX Thor T5000")],
)
def test_thor_is_told_by_the_name_it_was_flashed_under(board: str, module: str) -> None:
    identity = decide_identity(Evidence(boot_control=f"COMPATIBLE_SPEC ------{board}-\n".encode()))
    assert (identity.module, identity.carrier) == (module, board)
    assert identity.rests_on["carrier"] == ("/etc/nv_boot_control.conf (COMPATIBLE_SPEC)",)


def test_a_compatible_spec_of_a_sister_sku_is_no_contradiction() -> None:
    spec = b"COMPATIBLE_SPEC 3767--0005--1--jetson-orin-nano-devkit-\n"
    sold = next(one for one in SOLD if one.id == "p3767-0003")
    assert decide_identity(Evidence(**{**vars(seen(sold)), "boot_control": spec})).contradictions == ()


@pytest.mark.parametrize(
    ("compatible", "module"),
    [
        (dt("p2972-0000", "tegra194"), "Jetson AGX Xavier"),
        (dt("p2972-0006", "jetson-xavier", "tegra194"), "Jetson AGX Xavier"),
        (dt("galen-industrial", "jetson-xavier-industrial", "tegra194"), "Jetson AGX Xavier Industrial"),
        (dt("p3450-0000", "tegra210"), "Jetson Nano"),
        (dt("p2771-0000", "tegra186"), "Jetson TX2"),
        (b"lenovo,thinkedge-se70\0" + dt("p3668-0001", "tegra194"), "Jetson Xavier NX"),
    ],
)
def test_the_kernels_own_device_trees_name_kits_and_other_makers(compatible: bytes, module: str) -> None:
    assert decide_identity(Evidence(compatible=compatible)).module == module


def test_a_kit_is_not_taken_for_the_module_it_carries() -> None:
    kit = Evidence(
        compatible=dt("p2972-0000", "tegra194"),
        boot_control=b"TNSPEC 2888-400-0004-L.0-1-2-jetson-agx-xavier-devkit-mmcblk0p1\n",
    )
    identity = decide_identity(kit)
    assert (identity.module_id, identity.contradictions) == ("p2888-0004", ())
    assert decide_identity(Evidence(compatible=kit.compatible)).module_id == ""


@pytest.mark.parametrize(
    ("path", "module"),
    [
        (b"/dvs/git/t210/porg/kernel-dts/tegra210-p3448-0000-p3449-0000-b00.dts\0", "Jetson Nano"),
        (b"arch/arm64/boot/dts/tegra234-p3701-0004-p3737-0000.dts\0", "Jetson AGX Orin 32GB"),
        (b"tegra186-quill-p3310-1000-c03-00-base.dts\0", "Jetson TX2"),
    ],
)
def test_the_file_name_of_an_old_device_tree_helps_where_nothing_else_does(path: bytes, module: str) -> None:
    identity = decide_identity(Evidence(dts_filename=path))
    assert identity.module == module
    assert identity.rests_on["module"] == ("device tree (nvidia,dtsfilename)",)


def test_ids_of_the_boot_loader_name_module_and_carrier_and_the_module_is_taken() -> None:
    ids = ("2822-0000-600", "2888-0001-400")
    assert decide_identity(Evidence(plugin_ids=ids)).module_id == "p2888-0001"
    assert decide_identity(Evidence(board_ids=b"3448\0")).module_id == ""
    assert decide_identity(Evidence(board_ids=b"3448-0000-400\0")).module_id == "p3448-0000"


def test_the_chip_id_names_the_soc_where_the_device_tree_is_hidden() -> None:
    by_boot = decide_identity(Evidence(boot_control=b"TEGRA_CHIPID 0x23\n"))
    by_kernel = decide_identity(Evidence(soc_family=b"Tegra\n", soc_id=b"38\n"))
    assert (by_boot.soc, by_boot.compute_capability) == ("t234", "8.7")
    assert (by_kernel.soc, by_kernel.compute_capability) == ("t264", "11.0")
    assert decide_identity(Evidence(soc_family=b"i.MX\n", soc_id=b"35\n")).kind == "not-a-jetson"


def test_an_unknown_chip_stays_unknown() -> None:
    identity = decide_identity(Evidence(soc_family=b"Tegra\n", soc_id=b"77\n", boot_control=b"TEGRA_CHIPID 0x4d\n"))
    assert (identity.kind, identity.soc, identity.compute_capability) == ("unknown-jetson", "", "")


def test_a_future_module_works_with_what_can_be_read() -> None:
    future = Evidence(
        compatible=dt("p5555-0000+p4444-0001", "p4444-0001", "tegra299"),
        model=b"NVIDIA Jetson Next Developer Kit\0",
        serial=b"1420000000007\0",
        tegra_release=b"# R41 (release), REVISION: 1.0, GCID: 1\n",
        meminfo=b"MemTotal: 260000000 kB\n",
        cpus_present=b"0-23\n",
        library_files=("/usr/lib/aarch64-linux-gnu/libnvinfer.so.12.0.1",),
        eeproms=(("/eeprom", eeprom("p4444-0001")),),
    )
    identity = decide_identity(future)
    assert (identity.kind, identity.module, identity.module_id) == ("unknown-jetson", "", "p4444-0001")
    assert (identity.soc, identity.compute_capability, identity.carrier) == ("t299", "", "p5555-0000")
    assert (identity.l4t, identity.jetpack, identity.tensorrt) == ("41.1.0", "", "12.0.1")
    assert (identity.cpus, identity.memory_mb, identity.serial) == (24, 253906, "1420000000007")
    assert (identity.dla.answer, identity.contradictions) == ("unknown", ())
    assert identity.rests_on["module"] == ("device tree (compatible)", "EEPROM (/eeprom)")


def test_a_board_that_names_only_its_kit_still_has_a_family() -> None:
    xavier = decide_identity(Evidence(compatible=b"nvidia,p2972-0000\0nvidia,tegra194\0"))
    assert xavier.module_id == ""
    assert xavier.family_id == "p2888-0001"
    assert decide_identity(Evidence(compatible=b"nvidia,p3767-0005\0nvidia,tegra234\0")).family_id == "p3767-0005"
    assert decide_identity(Evidence()).family_id == ""
