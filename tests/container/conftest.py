"""Machines to install on, for every test in this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from container_root import UnavailableError
from install_kit import SETTINGS, furnished, make_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return make_bundle(tmp_path_factory.mktemp("bundle"))
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def root(bundle: Path, tmp_path: Path) -> Iterator[Path]:
    """Of a machine with a virtual Orin Nano."""
    try:
        with furnished(tmp_path, bundle) as found:
            yield found
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def agx_root(bundle: Path, tmp_path: Path) -> Iterator[Path]:
    """Of a machine with a virtual AGX Orin, which shall be in the mode that it comes up in."""
    settings = SETTINGS.replace("max-performance", "balanced")
    try:
        with furnished(tmp_path, bundle, board="agx-orin-r36", settings=settings) as found:
            yield found
    except UnavailableError as error:
        pytest.skip(str(error))
