"""What is installed from: checkouts are told apart, bundles are checked, and an archive cannot write where it likes."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from edgeagent import __version__
from edgeagent.install.errors import InstallError, RequestError
from edgeagent.install.source import UNPACKED, digest_of, files_of, opened, read_source, write_sums

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    place = tmp_path / "edgeagent-2.0"
    (place / "edgeagent/__pycache__").mkdir(parents=True)
    (place / "edgeagent/__init__.py").write_text('__version__ = "2.0"\n')
    (place / "edgeagent/__pycache__/x.pyc").write_text("")
    (place / "systemd").mkdir()
    (place / "install.sh").write_text("#!\n")
    (place / "tests").mkdir()
    (place / "tests/test_it.py").write_text("")
    return place


@pytest.fixture
def bundle(checkout: Path) -> Path:
    (checkout / "wheels").mkdir()
    (checkout / "wheels/edgeagent-2.0-py3-none-any.whl").write_text("wheel")
    write_sums(checkout)
    return checkout


def packed(bundle: Path, *more: tarfile.TarInfo) -> Path:
    archive = bundle.with_name("bundle.tar")
    with tarfile.open(archive, "w") as tar:
        for member in more:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
        tar.add(bundle, bundle.name)
    return archive


def test_this_checkout_has_a_version_and_a_digest() -> None:
    found = read_source(REPOSITORY)
    assert (found.version, found.wheels, found.built) == (__version__, None, None)
    assert found.digest == digest_of(REPOSITORY)


def test_only_what_goes_into_a_release_counts(checkout: Path) -> None:
    names = {str(path.relative_to(checkout)) for path in files_of(checkout)}
    assert names == {"edgeagent/__init__.py", "install.sh"}
    before = digest_of(checkout)
    (checkout / "tests/test_it.py").write_text("changed")
    assert digest_of(checkout) == before
    (checkout / "install.sh").rename(checkout / "systemd/install.sh")
    assert digest_of(checkout) != before


@pytest.mark.parametrize("text", ["", 'version = "1"\n', '__version__ = "../../etc"\n'])
def test_what_names_no_version_is_no_edgeagent(checkout: Path, text: str) -> None:
    (checkout / "edgeagent/__init__.py").write_text(text)
    with pytest.raises(RequestError):
        read_source(checkout)


def test_a_bundle_as_a_directory_and_as_an_archive(bundle: Path) -> None:
    with opened(Path("/nowhere"), bundle) as found:
        assert found.built == bundle / "wheels/edgeagent-2.0-py3-none-any.whl"
    with opened(Path("/nowhere"), packed(bundle)) as found:
        assert found.built is not None and found.built.read_text() == "wheel"
        place = found.folder
    assert not place.exists()


def test_a_damaged_bundle_is_refused(bundle: Path) -> None:
    (bundle / "wheels/edgeagent-2.0-py3-none-any.whl").write_text("whole")
    with pytest.raises(InstallError, match="is damaged: wheels/edgeagent"), opened(Path("/nowhere"), bundle):
        pytest.fail("it was taken")


def test_a_bundle_whose_list_is_damaged_is_refused(bundle: Path) -> None:
    sums = bundle / "SHA256SUMS"
    sums.write_bytes(b"\xff\xfe" + sums.read_bytes()[2:])
    with pytest.raises(InstallError, match="the bundle is damaged"), opened(Path("/nowhere"), bundle):
        pytest.fail("it was taken")


def test_a_directory_that_is_no_bundle_is_refused(checkout: Path) -> None:
    with pytest.raises(RequestError, match="no SHA256SUMS"), opened(Path("/nowhere"), checkout):
        pytest.fail("it was taken")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/etc/evil", tarfile.REGTYPE),
        ("../evil", tarfile.REGTYPE),
        ("edgeagent-2.0/a/../../../evil", tarfile.REGTYPE),
        ("edgeagent-2.0/link", tarfile.SYMTYPE),
        ("edgeagent-2.0/device", tarfile.CHRTYPE),
    ],
)
def test_an_archive_that_would_write_elsewhere_is_refused(bundle: Path, name: str, kind: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc"
    member.size = 1 if kind == tarfile.REGTYPE else 0
    before = set(UNPACKED.iterdir())
    with pytest.raises(InstallError, match="does not belong"), opened(Path("/nowhere"), packed(bundle, member)):
        pytest.fail("it was taken")
    assert set(UNPACKED.iterdir()) == before


@pytest.mark.parametrize("content", [b"", b"not a tar file", b"\x00" * 10240])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(InstallError), opened(Path("/nowhere"), tmp_path / "x.tar"):
        pytest.fail("it was taken")


@pytest.mark.parametrize(("text", "why"), [(None, "no such file"), ("hello", "no archive of ours")])
def test_what_is_no_archive_is_refused_in_one_line(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "b.tar"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RequestError, match=why) as refused, opened(REPOSITORY, path):
        pass
    assert "\n" not in refused.value.line()
