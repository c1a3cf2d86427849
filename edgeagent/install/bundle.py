"""Making an archive that installs without a network: this checkout, and every wheel that a device needs.

Runs on any machine with a network, pip and Python; the wheels are for the device's processor and Pythons. Their
versions are the locked ones, with their markers evaluated for the device and not for this machine.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from edgeagent.install.checks import PYTHONS
from edgeagent.install.errors import InstallError, RequestError
from edgeagent.install.options import Options
from edgeagent.install.packages import CUDA_BINDINGS, HEADLESS, NUMPY_1, PYCUDA, locked_lines, requirement_name
from edgeagent.install.release import LOCKED
from edgeagent.install.source import Source, files_of, read_source, write_sums
from edgeagent.install.system import System

GLIBC = (17, 24, 26, 27, 28, 31, 34, 35)
"""Up to that of JetPack 6, Ubuntu 22.04."""
TO_BUILD_PYCUDA = ("setuptools", "wheel")
"""Besides NumPy, which is there anyway."""


def make_bundle(system: System, checkout: Path, options: Options) -> int:
    """`options.bundle` is the archive to write. Raises InstallError."""
    if options.bundle is None:
        raise RequestError("--bundle wants the name of the archive to write")
    if options.bundle.is_dir() or not options.bundle.parent.is_dir():
        raise RequestError(f"--bundle: {options.bundle} cannot be a file", mend="name one in a directory that is there")
    source = read_source(checkout)
    with TemporaryDirectory(prefix="edgeagent-bundle-") as folder:
        inside = Path(folder, f"edgeagent-{source.version}")
        _copy(source, inside)
        _own_wheel(system, source, inside / "wheels")
        for python in options.pythons:
            _fetch(system, inside / "wheels", python, options)
        if not options.any_host:
            _fetch_pycuda(system, inside / "wheels")
        if system.dry_run:
            return 0
        write_sums(inside)
        _pack(inside, options.bundle)
    megabytes = options.bundle.stat().st_size // 1_000_000
    system.say(f"{options.bundle}: edgeagent {source.version} for {options.arch}, {megabytes} MB")
    system.say(f"on the device: tar xf {options.bundle.name}; sudo edgeagent-{source.version}/install.sh")
    return 0


def _copy(source: Source, target: Path) -> None:
    for path in files_of(source.folder):
        place = target / path.relative_to(source.folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
        place.chmod(0o755 if path.name == "install.sh" else 0o644)


def _own_wheel(system: System, source: Source, wheels: Path) -> None:
    words = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps")
    system.do(*words, "--wheel-dir", str(wheels), str(source.folder), what=f"build edgeagent {source.version}")


def _fetch(system: System, wheels: Path, python: str, options: Options) -> None:
    """The wheels for one Python, with what it takes to build and to run pycuda on a Jetson."""
    pinned = list(pinned_for(LOCKED.read_text(), python, options.arch, headless=options.any_host))
    words = download_arguments(wheels, python, options.arch)
    system.do(sys.executable, *words, *pinned, what=f"fetch wheels for Python {python}: {len(pinned)}")
    if options.any_host:
        return
    system.do(sys.executable, *words, *NUMPY_1, what=f"fetch what JetPack's OpenCV needs: {', '.join(NUMPY_1)}")
    with_theirs = download_arguments(wheels, python, options.arch, dependencies=True)
    system.do(sys.executable, *with_theirs, *TO_BUILD_PYCUDA, what="fetch what builds pycuda")
    for bindings in bindings_for(python):
        system.do(sys.executable, *with_theirs, bindings, what=f"fetch {bindings}")


def _fetch_pycuda(system: System, wheels: Path) -> None:
    """Its source: there are no wheels of it, and it is built with the device's own CUDA."""
    words = ("-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps", "--no-binary", "pycuda")
    system.do(sys.executable, *words, "--dest", str(wheels), PYCUDA, what="fetch pycuda's source")


def bindings_for(python: str) -> list[str]:
    """NVIDIA's bindings for the CUDA of the JetPacks that have this Python."""
    majors = [major for major, version in PYTHONS.items() if "{}.{}".format(*version) == python]
    return sorted({CUDA_BINDINGS[major] for major in majors})


def pinned_for(locked: str, python: str, arch: str, *, headless: bool) -> Iterator[str]:
    """The locked requirements that hold on such a device, as name==version."""
    from pip._vendor.packaging.requirements import Requirement

    about = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": arch}
    about |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}
    about |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    for line in locked_lines(locked):
        wanted = Requirement(line)
        if requirement_name(line) == HEADLESS and not headless:
            continue
        if wanted.marker is None or wanted.marker.evaluate(about):
            yield f"{wanted.name}{wanted.specifier}"


def download_arguments(wheels: Path, python: str, arch: str, *, dependencies: bool = False) -> list[str]:
    """`python -m pip download` for another machine: wheels only, of every glibc up to the device's."""
    platforms = [f"manylinux_2_{minor}_{arch}" for minor in GLIBC] + [f"manylinux2014_{arch}", f"linux_{arch}"]
    words = ["-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--only-binary=:all:"]
    words += [] if dependencies else ["--no-deps"]
    words += ["--dest", str(wheels), "--python-version", python, "--implementation", "cp"]
    return [*words, *(word for platform in platforms for word in ("--platform", platform))]


def _pack(folder: Path, archive: Path) -> None:
    """Not compressed: wheels are. Owned by root and of no time, so that the same content is the same archive."""
    beside = archive.with_name(f".{archive.name}.new")
    try:
        with tarfile.open(beside, "w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(folder.rglob("*")):
                tar.add(path, str(path.relative_to(folder.parent)), recursive=False, filter=_plain)
        beside.replace(archive)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InstallError(f"{archive} cannot be written: {error}") from error


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
