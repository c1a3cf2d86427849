"""Profile files: all of a directory or one plain line that names the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeagent.power.profile import ProfileError, profile_for
from edgeagent.power.profile_files import MAX_BYTES, MAX_FILES, load_profiles, shipped_profiles_dir

GENERIC = 'schema = "edgeagent/profile/1"\nfamily = "generic"\n[intent.balanced]\nmodes = ["@default"]\n'
OWN = """\
schema = "edgeagent/profile/1"
family = "Orin Nano"
[intent.balanced]
modes = ["15W"]
"""


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    return write(tmp_path / "shipped" / "generic.toml", GENERIC).parent


@pytest.fixture
def own(tmp_path: Path) -> Path:
    directory = tmp_path / "own"
    directory.mkdir()
    return directory


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(shipped: Path, own: Path) -> str:
    with pytest.raises(ProfileError) as caught:
        load_profiles(shipped, own)
    line = caught.value.line()
    assert line.isprintable()
    assert caught.value.error_code == "power-profile"
    return line


def test_shipped_profiles_are_beside_the_package_or_inside_it(tmp_path: Path) -> None:
    package = tmp_path / "edgeagent"
    package.mkdir()
    with pytest.raises(ProfileError, match=r"are missing: neither .*/edgeagent/_profiles nor .*/profiles "):
        shipped_profiles_dir(package)
    beside = write(tmp_path / "profiles/generic.toml", GENERIC).parent
    assert shipped_profiles_dir(package) == beside
    inside = write(package / "_profiles/generic.toml", GENERIC).parent
    assert shipped_profiles_dir(package) == inside


def test_a_directory_of_another_program_is_not_taken_for_the_profiles(tmp_path: Path) -> None:
    write(tmp_path / "profiles/__init__.py", "")
    with pytest.raises(ProfileError, match="are missing"):
        shipped_profiles_dir(tmp_path / "edgeagent")


def test_the_operators_directory_may_be_missing_or_empty(shipped: Path, own: Path) -> None:
    assert [one.family for one in load_profiles(shipped, own / "nowhere")] == ["generic"]
    assert load_profiles(shipped, own) == load_profiles(shipped, own / "nowhere")


def test_the_operators_files_are_laid_over_the_shipped_ones(own: Path) -> None:
    path = write(own / "10-nano.toml", b"\xef\xbb\xbf" + OWN.encode())
    write(own / "10-nano.toml.orig", "not TOML")
    write(own / ".10-nano.toml", "not TOML")
    profiles = load_profiles(shipped_profiles_dir(), own)
    nano = profile_for(profiles, "p3767-0005")
    assert nano.intents["balanced"].modes == ("15W",)
    assert "MAXN_SUPER" in nano.intents["max-performance"].modes
    assert nano.source.endswith(f"profiles/orin-nano.toml, {path}")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("family = ", "is not TOML: invalid value (at end of document)"),
        ("schema = 1\n[intent", "is not TOML: "),
        (b"family = '\xff'\n", "line 1 is not UTF-8 text"),
        ("#" * (MAX_BYTES + 1), f"is larger than {MAX_BYTES} bytes"),
        ("a = " + "1" * 5000, "a number or a table is too long"),
        ("a = " + "[" * 20_000, "a number or a table is too long"),
        (OWN.replace("15W", "15 W"), "has 1 mistake: intent.balanced.modes: entry 1 wants"),
        (OWN.replace("Orin", "Ornin"), "has 1 mistake: modules: is missing for the new family Ornin Nano"),
        ("", "has 3 mistakes: schema: is missing"),
    ],
)
def test_a_file_that_is_wrong_is_an_error_that_names_it(shipped: Path, own: Path, content: str, told: str) -> None:
    nano = OWN.replace("[intent", 'modules = ["p3767-0005"]\n[intent')
    write(own / "01-good.toml", nano)
    path = write(own / "02-bad.toml", content)
    line = refusal(shipped, own)
    assert line.startswith(str(path))
    assert told in line


def test_what_is_no_file_is_an_error_that_names_it(shipped: Path, own: Path) -> None:
    (own / "a.toml").mkdir()
    assert refusal(shipped, own).startswith(f"{own}/a.toml is not a regular file")
    (own / "a.toml").rmdir()
    os.mkfifo(own / "b.toml")
    assert refusal(shipped, own).startswith(f"{own}/b.toml is not a regular file")
    (own / "b.toml").unlink()
    (own / "c.toml").symlink_to("nowhere")
    assert refusal(shipped, own).startswith(f"{own}/c.toml cannot be read: No such file")


def test_a_directory_that_is_none_is_an_error(shipped: Path, own: Path) -> None:
    path = write(own / "file", "")
    assert refusal(shipped, path).startswith(f"the directory {path} cannot be read: Not a directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_an_error(shipped: Path, own: Path) -> None:
    path = write(own / "a.toml", OWN)
    path.chmod(0)
    assert refusal(shipped, own).startswith(f"{path} cannot be read: Permission denied")
    own.chmod(0)
    assert refusal(shipped, own).startswith(f"the directory {own} cannot be read: Permission denied")
    own.chmod(0o700)


def test_too_many_files_are_an_error(shipped: Path, own: Path) -> None:
    for number in range(MAX_FILES + 1):
        write(own / f"{number}.toml", OWN)
    assert refusal(shipped, own).startswith(f"{own} has more than {MAX_FILES} profiles")


def test_shipped_profiles_are_whole(shipped: Path, own: Path) -> None:
    path = write(shipped / "nano.toml", OWN)
    assert refusal(shipped, own).startswith(f"{path} has 1 mistake: modules: is missing")
    claim = 'modules = ["n5"]\n[intent'
    write(path, OWN.replace("[intent", claim))
    again = write(shipped / "two.toml", OWN.replace("[intent", claim))
    assert f"{again} has 1 mistake: modules: n5 is in {path} too" in refusal(shipped, own)
    again.unlink()
    write(shipped / "generic.toml", GENERIC.replace("[intent", claim))
    assert "modules: is not for generic" in refusal(shipped, own)
    (shipped / "generic.toml").unlink()
    assert refusal(shipped, own).startswith(f"{shipped} has no generic.toml")
