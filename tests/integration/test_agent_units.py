"""The agent's units, as systemd reads them: no mistakes, little exposure, and a reason for what is left of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_power_units import parse

from edgeagent.install.places import ENABLED, UNITS

REPOSITORY = Path(__file__).parents[2]
SYSTEMD = REPOSITORY / "systemd"
AGENT = SYSTEMD / "edgeagent.service"
SECURITY_CEILING = 2.5
NOT_YET = re.compile("is not executable: No such file or directory|Unit edgeagent[a-z.-]* not found")
SINCE = {
    "notify-reload": 253,
    "ImportCredential": 254,
    "RestartSteps": 254,
    "RestartMaxDelaySec": 254,
    "ExtensionDirectories": 251,
    "MemoryPressureWatch": 254,
}
"""Newer than JetPack 6's systemd, 249."""
needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin", "LC_ALL": "C.UTF-8"}
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, env=environment)


def test_the_installer_knows_every_unit() -> None:
    assert set(UNITS) == {path.name for path in SYSTEMD.iterdir() if path.suffix in (".service", ".socket", ".timer")}
    assert set(ENABLED) == {name for name in UNITS if "Install" in parse(SYSTEMD / name)}


@needs_analyze
@pytest.mark.parametrize("unit", sorted(UNITS))
def test_systemd_finds_no_mistake(unit: str, tmp_path: Path) -> None:
    for name in UNITS:
        shutil.copy(SYSTEMD / name, tmp_path)
    said = analyze("verify", "--man=no", str(tmp_path / unit)).stderr.splitlines()
    assert [line for line in said if "edgeagent" in line and not NOT_YET.search(line)] == []


def test_nothing_is_newer_than_jetpack_6() -> None:
    for unit in UNITS:
        words = {word for section in parse(SYSTEMD / unit).values() for pair in section for word in pair}
        assert words & SINCE.keys() == set(), unit


@needs_analyze
def test_what_stays_open_is_little_and_has_its_reason() -> None:
    said = analyze("security", "--offline=yes", "--no-pager", str(AGENT))
    if "unrecognized option" in said.stderr:
        pytest.skip("this systemd-analyze looks at running services only")
    figure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout)
    assert figure and float(figure.group(1)) <= SECURITY_CEILING, said.stdout
    comments = "\n".join(line for line in AGENT.read_text().splitlines() if line.startswith("#"))
    opened = [line.split()[1] for line in said.stdout.splitlines() if line.startswith("✗")]
    assert len(opened) > 5
    without = [name for name in opened if not any(word in comments for word in words_of(name))]
    assert without == [], "say in the unit why this stays open"


def words_of(name: str) -> list[str]:
    """How a comment may name a line of the analysis: `RestrictAddressFamilies=~AF_(INET|INET6)` is AF_INET6."""
    families = re.findall("INET6|NETLINK|UNIX", name)
    if families:
        return [f"AF_{families[0]}"]
    return [name, name.split("/", maxsplit=1)[0]]


def test_a_build_dies_before_the_agent() -> None:
    service = dict(parse(AGENT)["Service"])
    assert service["OOMPolicy"] == "continue"
    assert int(service["OOMScoreAdjust"]) < 0
