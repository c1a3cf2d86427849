"""What a person and a program see of the DLA: declared, probed, and where the two do not fit together."""

from __future__ import annotations

import json

from edgeagent.board.dla import DlaProbe
from edgeagent.board.identity import Evidence, Finding, Identity, decide_identity, with_dla_probe
from edgeagent.board.reading import Reading
from edgeagent.board.report import board_json, render_board_text

RELEASE = b"# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025\n"


def board(module_id: str = "p3767-0000") -> Identity:
    compatible = f"nvidia,p3768-0000+{module_id}\0nvidia,tegra234\0".encode()
    return decide_identity(
        Evidence(compatible=compatible, tegra_release=RELEASE, packages={"libnvinfer10": "10.3.0.30-1+cuda12.5"})
    )


def head_of(identity: Identity) -> list[str]:
    lines = render_board_text(identity, Reading()).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  DLA "))
    return [line.strip() for line in lines[first : first + 2]]


def findings(identity: Identity) -> dict[str, str]:
    return {finding.fact: finding.value for finding in identity.evidence if finding.fact.startswith("DLA")}


def test_what_nobody_has_asked_is_declared_and_no_more() -> None:
    assert findings(board()) == {"DLA cores declared": "2"}
    assert head_of(board())[0].startswith("DLA       yes: Jetson Orin NX 16GB has 2 DLA cores")
    assert head_of(board())[1].startswith("software")


def test_declared_and_probed_stand_beside_each_other() -> None:
    identity = with_dla_probe(board(), DlaProbe(2))
    assert findings(identity) == {"DLA cores declared": "2", "DLA cores probed": "2"}
    assert identity.evidence[-1] == Finding("DLA cores probed", "2", "num_DLA_cores of TensorRT")
    assert identity.rests_on["dla"][0] == "the module's record"
    assert identity.rests_on["dla"][-1] == "num_DLA_cores of TensorRT"
    assert identity.contradictions == ()
    dla, cores = head_of(identity)
    assert dla.startswith("DLA       yes: TensorRT reports num_DLA_cores 2")
    assert cores == "cores: 2 declared, 2 probed"


def test_a_contradiction_between_them_is_told() -> None:
    identity = with_dla_probe(board(), DlaProbe(0))
    assert (identity.contradiction_kinds, len(identity.contradictions)) == (("DLA",), 1)
    text = render_board_text(identity, Reading())
    assert head_of(identity)[1] == "cores: 2 declared, 0 probed"
    assert "Does not fit together\n  DLA: 2 declared (Jetson Orin NX 16GB has 2 DLA cores" in text
    found = json.loads(json.dumps(board_json(identity, Reading())))["identity"]
    assert (found["dla"]["answer"], found["dla"]["declared"], found["dla"]["probed"]) == ("no", 2, 0)
    assert found["dla_cores"] == 2


def test_what_could_not_be_probed_says_why() -> None:
    identity = with_dla_probe(board(), DlaProbe(why_not="importing it took more than 15 s and was ended"))
    assert (
        head_of(identity)[1] == "cores: 2 declared, could not be probed: importing it took more than 15 s and was ended"
    )
    assert findings(identity)["DLA cores probed"].startswith("could not be probed: importing it")
    assert (identity.dla.answer, identity.dla.cores, identity.contradictions) == ("yes", 2, ())


def test_that_a_module_without_cores_was_not_asked_is_no_news() -> None:
    identity = with_dla_probe(board("p3767-0005"), DlaProbe(why_not="this Python has no TensorRT"))
    assert head_of(identity)[1].startswith("software")


def test_a_pc_has_a_line_only_where_its_tensorrt_has_cores() -> None:
    pc = decide_identity(Evidence(machine="x86_64"))
    assert "DLA" not in render_board_text(with_dla_probe(pc, DlaProbe(0)), Reading()).split("Rests on")[0]
    odd = render_board_text(with_dla_probe(pc, DlaProbe(1)), Reading())
    assert "cores: 0 declared, 1 probed" in odd
    assert "DLA: 0 declared (only Jetson modules have a DLA), 1 probed" in odd
