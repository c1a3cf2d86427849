"""The installer over a machine whose programs are played: every order of events, and power cuts before each change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from install_world import CutError, World

from edgeagent.install.errors import InstallError, RequestError
from edgeagent.install.options import Options
from edgeagent.install.places import AGENT, ENABLED
from edgeagent.install.removal import uninstall
from edgeagent.install.steps import roll_back

MANY = 200


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def current(world: World) -> str:
    return world.places.current.readlink().name


def releases(world: World) -> list[str]:
    return sorted(path.name for path in world.places.releases.iterdir())


def test_a_first_install_ends_healthy_and_enabled(world: World) -> None:
    assert world.install("1.0") == 0
    assert (current(world), world.service.version, world.enabled) == ("1.0", "1.0", set(ENABLED))
    assert not world.places.trial.exists()
    assert any("edgeagent 1.0 is installed and ready" in line for line in world.said)
    assert world.places.config.stat().st_mode & 0o777 == 0o640


def test_the_same_again_changes_nothing_and_starts_nothing(world: World) -> None:
    world.install("1.0", broker="mqtt://b")
    before, pid = world.files(), world.service.pid
    assert world.install("1.0", broker="mqtt://b") == 0
    assert (world.system.changes, world.files(), world.service.pid) == (0, before, pid)


def test_a_plain_run_from_another_checkout_is_an_upgrade(tmp_path: Path) -> None:
    left = []
    for action in ("install", "upgrade"):
        (tmp_path / action).mkdir()
        world = World(tmp_path / action)
        world.install("1.0")
        assert world.install("2.0", action=action) == 0
        left.append((world.files(), world.service.version))
    assert left[0] == left[1]
    assert left[0][1] == "2.0"


def test_a_dry_run_says_everything_and_changes_nothing(world: World) -> None:
    assert world.install("1.0", dry_run=True) == 0
    assert world.files() == {}
    assert any("would start release 1.0" in line for line in world.said)
    assert world.service.pid == 0


def test_a_dry_run_lists_what_the_real_one_does_in_its_order(world: World) -> None:
    """Of an upgrade to a release with other units, which takes the oldest release away."""
    world.install("1.0")
    world.install("2.0")
    (world.checkout("3.0").folder / "systemd/edgeagent.service").write_text("[Service]\n")
    steps = [f"write {world.places.units / AGENT}", "start release 3.0", f"remove {world.places.release('1.0')}"]
    for dry_run in (True, False):
        world.said.clear()
        world.install("3.0", dry_run=dry_run)
        assert [line for line in (line.removeprefix("would ") for line in world.said) if line in steps] == steps


def test_going_back_is_told_by_a_dry_run(world: World) -> None:
    world.install("1.0")
    (world.checkout("2.0").folder / "systemd/edgeagent.service").write_text("[Service]\n")
    world.install("2.0")
    before = world.files()
    world.said.clear()
    roll_back(world.anew(dry_run=True), world.places, Options(action="rollback"))
    assert f"would write {world.places.units / AGENT}" in world.said
    assert world.files() == before


def test_the_settings_are_written_once_and_never_over(world: World) -> None:
    world.install("1.0", broker="mqtt://b", fleet="north")
    assert 'url = "mqtt://b"' in world.places.config.read_text()
    world.places.config.write_text("# mine\n")
    assert world.install("2.0") == 0
    assert world.places.config.read_text() == "# mine\n"
    with pytest.raises(RequestError, match=r"says another mqtt\.url"):
        world.install("3.0", broker="mqtt://b")
    assert current(world) == "2.0"


def test_a_config_file_is_taken_and_another_one_later_refused(world: World, tmp_path: Path) -> None:
    first, other = tmp_path / "first.toml", tmp_path / "other.toml"
    first.write_text("# first\n")
    other.write_text("# other\n")
    world.install("1.0", config=first)
    assert world.install("1.0", config=first) == 0
    with pytest.raises(RequestError, match="is there already and differs"):
        world.install("1.0", config=other)


def test_a_virtual_board_is_in_the_first_settings(world: World) -> None:
    world.install("1.0", board_root=Path("/srv/board"))
    assert 'board_root = "/srv/board"' in world.places.config.read_text()
    assert world.install("1.0", board_root=Path("/srv/board")) == 0
    with pytest.raises(RequestError, match=r"--board-root: .* says another device\.board_root"):
        world.install("1.0", board_root=Path("/srv/other"))


def test_settings_that_are_given_and_say_another_board_are_never_in_force(world: World, tmp_path: Path) -> None:
    given = tmp_path / "given.toml"
    given.write_text("# nothing\n")
    with pytest.raises(RequestError, match=rf"--board-root: {given} says another device\.board_root"):
        world.install("1.0", config=given, board_root=Path("/srv/board"))
    assert not world.places.config.exists()


@pytest.mark.parametrize("wish", [{"broker": "mqtt://other"}, {"config": Path("/nowhere/config.toml")}])
def test_a_wish_that_cannot_be_is_refused_before_a_release_is_made(world: World, wish: dict[str, Any]) -> None:
    world.install("1.0", broker="mqtt://b")
    before = world.files()
    with pytest.raises(RequestError):
        world.install("2.0", **wish)
    assert (world.files(), world.system.changes) == (before, 0)


def test_settings_that_the_release_refuses_are_never_in_force(world: World, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("bad\n")
    with pytest.raises(RequestError, match="not TOML"):
        world.install("1.0", config=bad)
    assert not world.places.config.exists()
    assert world.service.pid == 0
    assert world.install("1.0") == 0


def test_an_upgrade_keeps_the_release_before_and_no_other(world: World) -> None:
    for version in ("1.0", "2.0", "3.0"):
        assert world.install(version) == 0
    assert (current(world), world.places.previous.readlink().name) == ("3.0", "2.0")
    assert releases(world) == ["2.0", "3.0"]


def test_another_content_of_the_same_version_is_another_release(world: World) -> None:
    world.install("1.0")
    (world.checkout("1.0").folder / "README.md").write_text("changed\n")
    assert world.install("1.0") == 0
    assert current(world).startswith("1.0+")


def test_rolling_back_goes_to_the_release_before_and_back_again(world: World) -> None:
    world.install("1.0")
    with pytest.raises(RequestError, match="no release before"):
        world.roll_back()
    world.install("2.0")
    for expected in ("1.0", "2.0"):
        assert world.roll_back() == 0
        assert (current(world), world.service.version) == (expected, expected)


@pytest.mark.parametrize(("bad", "why"), [("2.0.crash", "crashed"), ("2.0.silent", "says init")])
def test_a_release_that_is_not_healthy_is_left_by_itself(world: World, bad: str, why: str) -> None:
    world.install("0.9")
    world.install("1.0")
    with pytest.raises(InstallError, match=rf"{why}.*back to release 1\.0, which runs"):
        world.install(bad)
    assert (current(world), world.places.previous.readlink().name) == ("1.0", "0.9")
    assert world.service.version == "1.0"
    left = json.loads(world.places.rolled_back.read_text())
    assert (left["from_release"], left["to_release"], left["told"]) == (bad, "1.0", False)
    assert world.install("1.0") == 0
    assert not world.places.rolled_back.exists()
    assert releases(world) == ["0.9", "1.0"]


def test_what_is_told_at_the_end_is_what_the_agent_says_then(world: World) -> None:
    """It sees a moment later that the word of an earlier return is gone."""
    world.install("1.0")
    with pytest.raises(InstallError):
        world.install("2.silent")
    world.sees_s = world.time_s + 1
    world.tell()
    world.said.clear()
    world.install("1.0")
    assert "edgeagent 1.0 is installed and ready" in world.said
    assert not any("because" in line for line in world.said)


def test_a_release_that_cannot_be_loaded_is_never_switched_to(world: World) -> None:
    world.install("1.0")
    pid = world.service.pid
    with pytest.raises(InstallError, match="No module named 'paho'"):
        world.install("2.0.lacking")
    assert (current(world), world.service.pid, releases(world)) == ("1.0", pid, ["1.0"])


def test_a_first_install_that_is_not_healthy_says_so_and_has_nowhere_to_go(world: World) -> None:
    with pytest.raises(InstallError, match=r"1\.0\.silent is not healthy: it says init, and not that it is ready"):
        world.install("1.0.silent")
    assert world.install("1.1") == 0


# --- the power is cut before each change in turn


def cut_everywhere(begin: Callable[[Path], World], act: Callable[[World, int], None], tmp_path: Path) -> list[World]:
    """A world for each change that `act` makes, cut just before it, and booted again."""
    worlds = []
    for at in range(1, MANY):
        world = begin(tmp_path / str(at))
        try:
            act(world, at)
        except CutError:
            world.boot()
            worlds.append(world)
            continue
        except InstallError:
            pass  # a bad release, and no cut any more
        assert at > 5, "it makes hardly any changes"
        return worlds
    raise AssertionError("it never ends")


def fresh(folder: Path) -> World:
    folder.mkdir()
    return World(folder)


def with_one(folder: Path) -> World:
    world = fresh(folder)
    world.install("1.0")
    return world


@pytest.mark.slow
def test_a_first_install_that_was_cut_off_anywhere_is_completed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = World(tmp_path / "whole")
    whole.install("1.0")
    for world in cut_everywhere(fresh, lambda world, at: world.install("1.0", cut_at=at) and None, tmp_path):
        assert world.install("1.0") == 0
        assert world.files().keys() == whole.files().keys()
        assert world.service.version == "1.0"


@pytest.mark.slow
def test_an_upgrade_that_was_cut_off_anywhere_leaves_a_device_that_runs(tmp_path: Path) -> None:
    for world in cut_everywhere(with_one, lambda world, at: world.install("2.0", cut_at=at) and None, tmp_path):
        assert world.service.version in ("1.0", "2.0"), "nothing runs after the boot"
        assert world.service.version == current(world)
        assert not world.places.trial.exists()
        assert world.install("2.0") == 0
        assert (current(world), world.places.previous.readlink().name) == ("2.0", "1.0")


@pytest.mark.slow
def test_a_bad_upgrade_that_was_cut_off_anywhere_does_not_survive_the_boot(tmp_path: Path) -> None:
    for world in cut_everywhere(with_one, lambda world, at: world.install("2.silent", cut_at=at) and None, tmp_path):
        assert (world.service.version, current(world)) == ("1.0", "1.0")
        with pytest.raises(InstallError, match=r"back to release 1\.0"):
            world.install("2.silent")
        assert world.service.version == "1.0"


@pytest.mark.slow
@pytest.mark.parametrize("purge", [False, True])
def test_a_removal_that_was_cut_off_anywhere_is_completed_by_the_next(tmp_path: Path, purge: bool) -> None:
    def remove(world: World, at: int) -> None:
        uninstall(world.anew(cut_at=at), world.places, purge=purge)

    for world in cut_everywhere(with_one, remove, tmp_path):
        uninstall(world.anew(), world.places, purge=purge)
        assert world.said[-1].startswith("edgeagent is removed; ")
        assert ("nothing of it is left" in world.said[-1]) is purge
        left = {name for name in world.files() if not name.startswith("etc/edgeagent/")}
        assert left == set()
        assert world.places.config.exists() is not purge
        assert world.service.pid == 0


def test_a_return_where_nothing_is_installed_is_refused(world: World) -> None:
    with pytest.raises(RequestError, match="not installed here"):
        world.roll_back()
