"""What `fleet watch` says where it cannot draw."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.console.watch import RELEASES, without_rich
from edgeagent.install.places import Places


def test_pip_is_advised_where_pip_may_install() -> None:
    assert without_rich(Path("/home/anna/venv")) == "pip install 'edgeagent[demo]' brings rich"


@pytest.mark.parametrize("name", ["current", "releases/0.1.0-4f1c"])
def test_on_a_device_nothing_is_to_be_installed_into_its_release(name: str, tmp_path: Path) -> None:
    """Also by way of the link that the command is started through."""
    (tmp_path / "releases/0.1.0-4f1c/venv").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/0.1.0-4f1c")
    told = without_rich(tmp_path / name / "venv", tmp_path / "releases")
    assert told.startswith("a device's release has no rich and is never changed: add --once, or watch from another")


def test_releases_lie_where_the_installer_makes_them() -> None:
    assert Places().releases == RELEASES
