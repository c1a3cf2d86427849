"""The installer over a machine that is not as it left it: what crashed before, is full, linked, mounted, or in use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from install_world import CutError, World

from edgeagent.install.errors import InstallError
from edgeagent.install.places import AGAIN_TIMER, AGENT
from edgeagent.install.removal import uninstall
from edgeagent.install.system import contents, run_program, undisturbed
from edgeagent.install.trial import read_status


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def tight_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def current(world: World) -> str:
    return world.places.current.readlink().name


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_what_crashed_before_is_not_held_against_the_release_that_mends_it(world: World, version: str) -> None:
    world.install("1.0")
    world.service.active, world.service.restarts = "activating", 19
    assert world.install(version) == 0
    assert (current(world), world.service.version) == (version, version)


def test_the_releases_can_be_entered_by_the_agents_user(world: World, tight_umask: None) -> None:
    world.install("1.0")
    for folder in (world.places.home, world.places.releases, world.places.release("1.0")):
        assert folder.stat().st_mode & 0o777 == 0o755
    world.places.home.chmod(0o700)
    assert world.install("1.0") == 0
    assert world.places.home.stat().st_mode & 0o777 == 0o755


def test_a_third_content_of_one_version_stays_the_release_that_it_is(world: World) -> None:
    for change in ("one\n", "two\n", "three\n"):
        (world.checkout("1.0").folder / "README.md").write_text(change)
        world.install("1.0")
    runs, pid = current(world), world.service.pid
    assert not world.places.release("1.0").exists()
    assert world.install("1.0") == 0
    assert (current(world), world.service.pid, world.system.changes) == (runs, pid, 0)


@pytest.mark.slow
def test_an_upgrade_that_was_killed_anywhere_is_completed_by_the_next_also_without_a_boot(tmp_path: Path) -> None:
    for at in range(1, 200):
        (tmp_path / str(at)).mkdir()
        world = World(tmp_path / str(at))
        world.install("1.0")
        (world.checkout("2.0").folder / "systemd" / AGENT).write_text("[Service]\n")
        try:
            world.install("2.0", cut_at=at)
        except CutError:
            assert world.install("2.0") == 0
            assert (current(world), world.service.version, world.read[AGENT]) == ("2.0", "2.0", "[Service]\n")
            continue
        assert at > 5, "it makes hardly any changes"
        return
    pytest.fail("it never ends")


def test_word_that_cannot_be_left_does_not_keep_the_old_release_from_running(world: World) -> None:
    world.install("1.0")
    world.places.rolled_back.mkdir()
    (world.places.rolled_back / "in-the-way").touch()
    with pytest.raises(InstallError, match=r"back to release 1\.0, which runs"):
        world.install("2.silent")
    assert (current(world), world.service.version) == ("1.0", "1.0")
    assert any(line.startswith("not done: leave word in ") for line in world.said)


@pytest.mark.parametrize("said", ["[]", '{"components": null}', '{"components": {"a": 1}}', "[" * 9999, b"\xff", ""])
def test_a_status_that_is_nonsense_says_nothing(world: World, said: str | bytes) -> None:
    world.places.run_dir.mkdir(parents=True)
    world.places.status.write_bytes(said if isinstance(said, bytes) else said.encode())
    assert read_status(world.places) is None


def test_of_an_old_release_that_is_not_healthy_either_nobody_says_that_it_runs(world: World) -> None:
    with pytest.raises(InstallError):
        world.install("1.silent")
    with pytest.raises(InstallError, match=r"back to release 1\.silent, which is not healthy either: it says init"):
        world.install("2.crash")


def test_going_back_to_a_release_without_one_of_the_units(world: World) -> None:
    (world.checkout("1.0").folder / "systemd" / AGAIN_TIMER).unlink()
    world.install("1.0")
    with pytest.raises(InstallError, match=r"back to release 1\.0, which runs"):
        world.install("2.silent")
    assert (world.places.units / AGENT).is_file()
    assert not (world.places.units / AGAIN_TIMER).exists()


def test_a_user_that_cannot_go_is_told_and_goes_the_next_time(world: World) -> None:
    world.install("1.0")
    world.busy = True
    with pytest.raises(InstallError, match="the user edgeagent is still there"):
        uninstall(world.anew(), world.places, purge=True)
    world.busy = False
    uninstall(world.anew(), world.places, purge=True)
    assert (world.users, world.said[-1]) == (set(), "edgeagent is removed; nothing of it is left")


def test_a_user_that_was_there_before_stays(world: World) -> None:
    world.users, world.user_home = {"edgeagent"}, "/home/edgeagent"
    world.install("1.0")
    uninstall(world.anew(), world.places, purge=True)
    assert world.users == {"edgeagent"}
    assert any(line.startswith("the user edgeagent stays: its home is /home/edgeagent") for line in world.said)


def test_what_a_link_leads_to_is_kept_and_named(world: World, tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir()
    world.places.home.parent.mkdir()
    world.places.home.symlink_to(elsewhere)
    world.install("1.0")
    uninstall(world.anew(), world.places, purge=True)
    assert (elsewhere / "releases/1.0").is_dir()
    assert any(line.startswith(f"{elsewhere} stays") for line in world.said)
    assert world.said[-1] == "edgeagent is removed; nothing else of it is left"


def test_what_a_file_system_has_of_its_own_is_no_content(tmp_path: Path) -> None:
    assert contents(tmp_path / "nowhere") == []
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "b").touch()
    (tmp_path / "a").mkdir()
    assert [path.name for path in contents(tmp_path)] == ["a", "b"]


def test_a_program_that_goes_on_without_us_holds_the_lock(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        words = ("/bin/sh", "-c", f"test -e /proc/self/fd/{lock.fileno()}")
        assert run_program(words).returncode == 1
        os.set_inheritable(lock.fileno(), True)
        assert run_program(words).returncode == 0


def test_a_switch_is_not_interrupted_half_way() -> None:
    came: list[Any] = []
    before = signal.signal(signal.SIGTERM, lambda *_: came.append("late"))
    try:
        with undisturbed():
            signal.raise_signal(signal.SIGTERM)  # to this thread: a test runner has others
            came.append("done")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == ["done", "late"]
