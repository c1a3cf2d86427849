"""What root leaves in the agent's directories belongs to the agent, and root gives nothing else away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from engine_kit import KEY, put_entry, put_signed

from edgeagent.engine.ownership import give_path_to_owner_of
from edgeagent.engine.store import EngineStore

AGENT = 4711
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, AGENT, AGENT)
    return folder


@needs_root
def test_a_store_used_by_root_stays_the_agents(state: Path) -> None:
    store = EngineStore(state / "engines")
    put_entry(store, KEY, files={"build.log": b"x"})
    put_signed(store, "f" * 32)
    store.pin(KEY)
    store.set_active("line-1", KEY)
    store.save_timing_cache({"soc": "x"}, b"x")
    strangers = [path for path in state.rglob("*") if path.lstat().st_uid != AGENT]
    assert strangers == []


@needs_root
def test_links_and_files_with_a_second_name_are_not_given_away(state: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"x")
    os.link(precious, state / "second-name")
    (state / "link").symlink_to(precious)
    give_path_to_owner_of(state, state / "second-name")
    with pytest.raises(OSError):
        give_path_to_owner_of(state, state / "link")
    assert precious.stat().st_uid == 0


@needs_root
def test_what_somebody_else_owns_stays_theirs(state: Path) -> None:
    (state / "theirs").write_bytes(b"x")
    os.chown(state / "theirs", 4712, 4712)
    give_path_to_owner_of(state, state / "theirs")
    assert (state / "theirs").stat().st_uid == 4712
