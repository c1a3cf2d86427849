"""The profiles on disk: those that edgeagent brings, and the operator's own. Thin: `profile` decides what they mean.

A file that cannot be used is an error that names it, never a file that is passed over.
"""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

from edgeagent.power.mistake import Mistake
from edgeagent.power.profile import (
    GENERIC,
    Profile,
    ProfileError,
    ProfileMistakesError,
    overlay_profiles,
    parse_profile,
)

MAX_BYTES = 64 * 1024
MAX_FILES = 200
_PACKAGE = Path(__file__).resolve().parent.parent
_BREAK = re.compile(r"\s+")


def shipped_profiles_dir(package: Path = _PACKAGE) -> Path:
    """Where edgeagent's own profiles are: inside an installed wheel, else beside the package in a checkout or release.

    Raises ProfileError where they are in neither place.
    """
    places = (package / "_profiles", package.parent / "profiles")
    for place in places:
        if (place / f"{GENERIC}.toml").is_file():
            return place
    raise ProfileError(
        f"edgeagent's power profiles are missing: neither {places[0]} nor {places[1]} has {GENERIC}.toml",
        mend="install edgeagent again",
    )


def load_profiles(shipped: Path, operator: Path) -> tuple[Profile, ...]:
    """All profiles, the operator's laid over the shipped ones in the order of their file names.

    Only files that end in .toml count. The operator's directory may be missing. Raises ProfileError and
    ProfileMistakesError.
    """
    return overlay_profiles(_shipped(shipped), [_load(path) for path in _files(operator)])


def _shipped(directory: Path) -> list[Profile]:
    profiles = [_load(path) for path in _files(directory)]
    if not any(profile.family == GENERIC for profile in profiles):
        raise ProfileError(f"{directory} has no {GENERIC}.toml", mend="install edgeagent again")
    owners: dict[str, Profile] = {}
    for profile in profiles:
        if bool(profile.modules) == (profile.family == GENERIC):
            message = "is not for generic" if profile.modules else "is missing"
            raise ProfileMistakesError(profile.source, [Mistake("modules", message, "install edgeagent again")])
        for module in profile.modules:
            if (owner := owners.setdefault(module, profile)) is not profile:
                message = f"{module} is in {owner.source} too"
                raise ProfileMistakesError(profile.source, [Mistake("modules", message, "install edgeagent again")])
    return profiles


def _files(directory: Path) -> Sequence[Path]:
    try:
        names = sorted(path for path in directory.iterdir() if path.suffix == ".toml" and path.name[0] != ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ProfileError(
            f"the directory {directory} cannot be read: {error.strerror}",
            mend=f"use sudo, or let the group edgeagent read it: sudo chmod 755 {directory}",
        ) from error
    if len(names) > MAX_FILES:
        raise ProfileError(f"{directory} has more than {MAX_FILES} profiles", mend="name another directory")
    return names


def _load(path: Path) -> Profile:
    return parse_profile(_read_toml(path), str(path))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        tables: dict[str, Any] = tomllib.loads(_read_text(path))
    except tomllib.TOMLDecodeError as error:
        reason = _BREAK.sub(" ", str(error))
        raise ProfileError(
            f"{path} is not TOML: {reason[:1].lower()}{reason[1:]}",
            mend='write KEY = VALUE lines, text in "quotes" and [tables]',
        ) from error
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{path}: a number or a table is too long", mend="no profile needs that") from error
    return tables


def _read_text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ProfileError(f"{path} is not a regular file", mend="remove it, or put a TOML file in its place")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ProfileError(
            f"{path} cannot be read: {error.strerror}",
            mend=f"use sudo, or let the group edgeagent read it: sudo chmod 644 {path}",
        ) from error
    if len(raw) > MAX_BYTES:
        raise ProfileError(f"{path} is larger than {MAX_BYTES} bytes", mend="a profile is a few kilobytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ProfileError(f"{path}: line {line} is not UTF-8 text", mend="save the file as UTF-8") from error
