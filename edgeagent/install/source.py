"""What is installed from: a checkout, or a bundle that was made with --bundle (docs/install.md)."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from edgeagent.install.errors import InstallError, RequestError

SUMS = "SHA256SUMS"
PARTS = ("edgeagent", "profiles", "systemd", "install.sh", "pyproject.toml", "README.md", "LICENSE")
"""What a release is made of, and what two of the same version are told apart by."""
NOT_PARTS = {"__pycache__"}
UNPACKED = Path("/var/tmp")  # noqa: S108  below it in a directory of our own
PREFIX = "edgeagent-bundle-"


@dataclass(frozen=True)
class Source:
    """`wheels`: a directory of wheels to take everything from, without a network; None: the index."""

    folder: Path
    version: str
    digest: str
    wheels: Path | None

    @property
    def built(self) -> Path | None:
        """edgeagent's own wheel, where it has been built already."""
        return next(iter(sorted(self.wheels.glob("edgeagent-*.whl"))), None) if self.wheels else None


@contextmanager
def opened(checkout: Path, offline: Path | None) -> Iterator[Source]:
    """The source; what had to be unpacked for it is removed again. Raises RequestError and InstallError."""
    if offline is None:
        yield read_source(checkout)
        return
    if offline.is_dir():
        yield _bundle(offline)
        return
    if not _is_archive(offline):
        raise RequestError(f"{offline} is no archive of ours", mend="name a file made by ./install.sh --bundle")
    unpacked = _unpack(offline)
    try:
        yield _bundle(next(path for path in unpacked.iterdir() if path.is_dir()))
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _is_archive(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except OSError as error:
        raise RequestError(f"--offline: {path}: {(error.strerror or str(error)).lower()}") from error


def read_source(folder: Path, wheels: Path | None = None) -> Source:
    init = folder / "edgeagent/__init__.py"
    try:
        match = re.search(r'^__version__ = "([\w.+-]+)"$', init.read_text(), re.MULTILINE)
    except OSError as error:
        raise RequestError(f"{folder} is no edgeagent: {error.strerror}", mend="name a checkout or a bundle") from error
    if match is None:
        raise RequestError(f"{init} names no version", mend="name a checkout or a bundle")
    return Source(folder, match[1], digest_of(folder), wheels)


def digest_of(folder: Path) -> str:
    """Of all that goes into a release, names included."""
    total = hashlib.sha256()
    for path in files_of(folder):
        total.update(f"{path.relative_to(folder)}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def files_of(folder: Path) -> Iterator[Path]:
    for part in PARTS:
        place = folder / part
        found = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
        yield from (path for path in found if not NOT_PARTS & set(path.parts) and path.suffix != ".pyc")


def _bundle(folder: Path) -> Source:
    _check_sums(folder)
    return read_source(folder, folder / "wheels")


def _check_sums(folder: Path) -> None:
    """Against damage on the way; against forgery a bundle is only as good as where it came from."""
    try:
        lines = (folder / SUMS).read_text(errors="replace").splitlines()
    except OSError as error:
        raise RequestError(f"{folder} has no {SUMS}", mend="make a bundle with ./install.sh --bundle FILE") from error
    for line in lines:
        wanted, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
            raise InstallError(f"the bundle is damaged: {name}", mend="copy it to the device once more")


def write_sums(folder: Path) -> None:
    """Make a directory with `wheels` a bundle."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}" for path in paths]
    (folder / SUMS).write_text("\n".join([*lines, ""]))


def _unpack(archive: Path) -> Path:
    """Into a directory that only we can enter. Members that would leave it are refused."""
    for old in UNPACKED.glob(f"{PREFIX}*"):  # of a run that was cut off
        shutil.rmtree(old, ignore_errors=True)
    try:
        target = Path(mkdtemp(prefix=PREFIX, dir=UNPACKED))
    except OSError as error:
        raise InstallError(f"{archive} cannot be unpacked: {error}") from error
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _extract(tar, member, target, archive)
        if not any(path.is_dir() for path in target.iterdir()):
            raise InstallError(f"{archive} is empty")
    except (OSError, tarfile.TarError) as error:
        shutil.rmtree(target, ignore_errors=True)
        reason = f"{archive} cannot be unpacked: {error}"
        raise InstallError(reason, mend="name a file made by ./install.sh --bundle, copied as a whole") from error
    except InstallError:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, archive: Path) -> None:
    """A file or a directory; anything else, or a name that leads out of the target, is no part of a bundle."""
    name = Path(member.name)
    if not (member.isfile() or member.isdir()) or name.is_absolute() or ".." in name.parts:
        raise InstallError(f"{archive}: {member.name} does not belong into a bundle")
    if member.isdir():
        (target / name).mkdir(parents=True, exist_ok=True)
        return
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    if content is not None:
        with content, (target / name).open("xb") as file:
            shutil.copyfileobj(content, file)
