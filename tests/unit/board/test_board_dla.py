"""Yes, no or unknown: each rule of where a DLA can be used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeagent.board.catalogue import MODULES, find_module
from edgeagent.board.dla import DlaProbe, Software, decide_dla, dla_contradiction, with_probe

NANO_8, NX_16, AGX_64, XAVIER_NX = "p3767-0005", "p3767-0000", "p3701-0005", "p3668-0001"


@pytest.mark.parametrize(
    ("module_id", "jetpack", "tensorrt", "answer", "says"),
    [
        (NX_16, "6.0", "8.6.2", "yes", "INT8 by calibration"),
        (NX_16, "6.2.1", "10.3.0", "yes", "INT8 by calibration"),
        (AGX_64, "6.2.1", "10.3.0.30", "yes", "no Q/DQ"),
        (AGX_64, "6.2.1", "10.7.0", "yes", "INT8 by calibration"),
        (AGX_64, "7.2.1", "10.8.0", "no", "10.8 to 11.4.0 have no DLA"),
        (NX_16, "7.2", "10.16.2", "no", "10.8 to 11.4.0 have no DLA"),
        (AGX_64, "7.2.2", "11.4.0", "no", "10.8 to 11.4.0 have no DLA"),
        (AGX_64, "7.2.2", "11.4.1", "yes", "explicit precision only"),
        (AGX_64, "7.3", "11.5.0.1", "yes", "explicit precision only"),
        (AGX_64, "7.2.1", "11.4.1", "no", "JetPack 7.2.2 or later only"),
        (AGX_64, "7.x", "11.4.1", "unknown", "which JetPack this is cannot be told"),
        (AGX_64, "", "11.4.1", "unknown", "which JetPack this is cannot be told"),
        (NX_16, "7.2.2", "11.4.1", "unknown", "ask it for num_DLA_cores"),
        (NX_16, "7.3", "11.5.0", "unknown", "ask it for num_DLA_cores"),
        (NX_16, "7.2.1", "11.4.1", "no", "JetPack 7.2.2 or later only"),
        (NX_16, "6.2", "11.4.1", "no", "JetPack 7.2.2 or later only"),
        (NX_16, "7.x", "11.4.1", "unknown", "which JetPack this is cannot be told"),
        (XAVIER_NX, "5.1.2", "8.5.2", "yes", "INT8 by calibration"),
        (XAVIER_NX, "", "11.4.1", "no", "on AGX Orin only"),
        (AGX_64, "6.2.1", "", "unknown", "TensorRT is not installed"),
        (NANO_8, "6.2.1", "10.3.0", "no", "Jetson Orin Nano 8GB has no DLA"),
        (NANO_8, "6.2.1", "", "no", "Jetson Orin Nano 8GB has no DLA"),
        ("p3834-0008", "7.2.2", "11.4.1", "no", "has no DLA"),
        ("p3448-0000", "4.6.6", "8.2.1", "no", "has no DLA"),
        ("p3310-1000", "4.6.6", "8.2.1", "no", "has no DLA"),
    ],
)
def test_module_jetpack_and_tensorrt_decide_together(
    module_id: str, jetpack: str, tensorrt: str, answer: str, says: str
) -> None:
    found = decide_dla(find_module(module_id), True, Software(tensorrt, jetpack))
    assert found.answer == answer
    assert says in found.reason


@pytest.mark.parametrize(
    ("l4t", "jetpack", "answer"),
    [
        ("39.3.0", "7.x", "yes"),
        ("39.2.3", "7.x", "yes"),
        ("41.1.0", "", "yes"),
        ("38.9.0", "7.x", "no"),
        ("36.9.0", "6.x", "no"),
        ("39.2.2", "7.2.1", "no"),
    ],
)
def test_a_release_that_the_table_lacks_tells_by_its_own_number(l4t: str, jetpack: str, answer: str) -> None:
    assert decide_dla(find_module(AGX_64), True, Software("11.4.1", jetpack, l4t)).answer == answer


def test_a_pc_has_none_and_an_unknown_module_is_asked() -> None:
    assert (decide_dla(None, False, Software("10.3.0")).answer, decide_dla(None, False, Software()).cores) == ("no", 0)
    unknown = decide_dla(None, True, Software("10.3.0", "6.2.1"))
    assert (unknown.answer, unknown.cores) == ("unknown", None)


@pytest.mark.parametrize("module", MODULES, ids=[module.ids[0] for module in MODULES])
@pytest.mark.parametrize("tensorrt", ["", "8.6.2", "10.3.0", "10.16.2", "11.4.1"])
def test_no_module_without_cores_ever_gets_a_yes(module, tensorrt: str) -> None:  # type: ignore[no-untyped-def]
    found = decide_dla(module, True, Software(tensorrt, "7.2.2"))
    assert found.cores == module.dla_cores
    assert (found.answer == "no") if module.dla_cores == 0 else (module.name in found.reason)


def test_what_tensorrt_reports_is_the_last_word() -> None:
    declared = decide_dla(find_module(AGX_64), True, Software("10.3.0", "6.2.1"))
    both, none = with_probe(declared, DlaProbe(2)), with_probe(declared, DlaProbe(0))
    assert (both.answer, both.cores, both.declared, both.probed) == ("yes", 2, 2, 2)
    assert "INT8 by calibration" in both.reason
    assert (none.answer, none.cores, none.declared, none.probed) == ("no", 0, 2, 0)
    assert "TensorRT reports no DLA core (Jetson AGX Orin 64GB has 2 DLA cores" in none.reason
    unknown = decide_dla(find_module(NX_16), True, Software("11.4.1", "7.2.2"))
    assert (with_probe(unknown, DlaProbe(2)).answer, with_probe(unknown, DlaProbe(2)).cores) == ("yes", 2)


def test_what_could_not_be_probed_stays_as_declared_and_says_why() -> None:
    declared = decide_dla(find_module(NX_16), True, Software("10.3.0", "6.2.1"))
    assert (declared.declared, declared.probed, declared.unprobed) == (2, None, "")
    assert with_probe(declared, DlaProbe(why_not="it hangs")) == replace(declared, unprobed="it hangs")


@pytest.mark.parametrize(
    ("module_id", "jetpack", "tensorrt", "cores", "contradicts"),
    [
        (AGX_64, "6.2.1", "10.3.0", 2, False),
        (AGX_64, "6.2.1", "10.3.0", 0, True),
        (AGX_64, "6.2.1", "10.3.0", 1, True),
        (AGX_64, "7.2", "10.16.2", 0, False),  # this TensorRT drives none: as expected
        (AGX_64, "7.2", "10.16.2", 2, True),
        (NX_16, "7.2.2", "11.4.1", 0, False),  # nobody knows
        (NX_16, "7.2.2", "11.4.1", 2, False),
        (NX_16, "7.2.2", "11.4.1", 1, True),
        (NANO_8, "6.2.1", "10.3.0", 0, False),
        (NANO_8, "6.2.1", "10.3.0", 1, True),
        ("p9999-0000", "6.2.1", "10.3.0", 3, False),
    ],
)
def test_what_was_declared_and_what_is_probed_contradict_each_other(
    module_id: str, jetpack: str, tensorrt: str, cores: int, contradicts: bool
) -> None:
    declared = decide_dla(find_module(module_id), True, Software(tensorrt, jetpack))
    told = dla_contradiction(declared, DlaProbe(cores))
    assert bool(told) == contradicts
    assert not contradicts or (f"DLA: {declared.cores} declared" in told and f"{cores} probed" in told)
    assert dla_contradiction(declared, DlaProbe(why_not="it hangs")) == ""
