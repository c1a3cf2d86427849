"""Model bundles by digest: pushed, fetched, compared, and what is refused."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
from lying_server import on, serving

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from engine_kit import Net, write_bundle
from registry_kit import KEY, LIMITS, NOW_MS, OTHERS, OURS, TRUSTED, quiet

from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.locks import try_lock
from edgeagent.engine.registry.errors import RegistryDataError, RegistryError, RegistrySetupError
from edgeagent.engine.registry.layout import digest_in
from edgeagent.engine.registry.models import fetch_model, find_model
from edgeagent.engine.registry.publish import publish_model
from edgeagent.engine.registry.signing import sign
from edgeagent.errors import ModelError, StoreError


class Place:
    """A bundle, a registry that has it, and a device's directory of models."""

    def __init__(self, folder: Path) -> None:
        self.bundle = folder / "bundle"
        write_bundle(self.bundle, Net())
        self.registry = folder / "registry"
        self.registry.mkdir()
        self.models = folder / "state" / "models"
        self.digest = load_bundle(str(self.bundle)).digest

    @property
    def url(self) -> str:
        return f"file://{self.registry}"

    @property
    def folder(self) -> Path:
        return self.registry / "models" / self.digest

    def push(self, by=OURS):
        return publish_model(str(self.bundle), self.url, by, 30, NOW_MS, limits=LIMITS, progress=quiet)

    def fetch(self, *urls: str, digest: str = "", trusted=TRUSTED) -> Path:
        wanted = digest or self.digest
        return fetch_model(wanted, urls or (self.url,), trusted, self.models, LIMITS, quiet, now_ms=NOW_MS)

    def code(self, *urls: str, **options) -> str:
        with pytest.raises(RegistryError) as caught:
            self.fetch(*urls, **options)
        left = {path.name for path in self.models.iterdir()} if self.models.exists() else set()
        assert left <= {".locks", ".parts"}, left
        return caught.value.error_code

    def resigned(self, **changes: object) -> None:
        """Put another manifest there, signed by a key that is trusted."""
        path = self.folder / "manifest.json"
        data = json.dumps({**json.loads(path.read_bytes()), **changes}).encode()
        path.write_bytes(data)
        (self.folder / f"{hashlib.sha256(data).hexdigest()}.sig").write_bytes(sign(data, OURS))


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    made.push()
    return made


def test_a_model_comes_as_it_was(place):
    folder = place.fetch()
    assert folder == place.models / place.digest == find_model(place.digest, place.models)
    for file in place.bundle.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
    assert load_bundle(str(folder)).digest == place.digest
    place.registry.rename(place.registry.with_name("gone"))
    assert place.fetch() == folder, "what is here is not asked for again"


def test_external_weights_come_along(tmp_path):
    made = Place(tmp_path)
    onnx = load_bundle(str(made.bundle)).onnx_path
    onnx.with_name(f"{onnx.name}.data").write_bytes(b"weights" * 1000)
    made.digest = load_bundle(str(made.bundle)).digest
    given = made.push()
    assert given.key == made.digest and given.outcome == "put"
    assert (made.fetch() / f"{onnx.name}.data").stat().st_size == 7000


def test_through_a_web_server(place):
    with serving(place.registry) as server:
        assert place.fetch(server.url).is_dir()


def test_a_model_that_nobody_has(place):
    assert place.code(digest="0" * 64) == "registry_none"
    with pytest.raises(RegistrySetupError):
        place.fetch(digest="../../etc")


def test_what_is_refused(place):
    assert place.code(trusted=[OTHERS.public_text]) == "registry_unknown_key"
    assert place.code(trusted=[]) == "registry_no_keys"
    with serving(place.registry) as server:
        server.trick = on("", lambda handler: handler.answer(200, b"<html>"))
        assert place.code(server.url) == "registry_not_manifest"


def test_another_model_toml_than_the_signed_one_is_refused(place):
    """The digest does not cover it; the signature does."""
    files = json.loads((place.folder / "manifest.json").read_bytes())["files"]
    toml = place.folder / files["model.toml"]["sha256"]
    toml.write_bytes(toml.read_bytes()[::-1])
    assert place.code() == "registry_digest"


def test_a_signed_manifest_that_does_not_fit_its_files(place):
    files = json.loads((place.folder / "manifest.json").read_bytes())["files"]
    onnx = next(name for name in files if name.endswith(".onnx"))
    place.resigned(files={"model.toml": files["model.toml"], onnx: files["model.toml"]})
    assert place.code() == "registry_wrong_key", "its files are another model"
    place.resigned(files={"model.toml": files[onnx], onnx: files[onnx]})
    assert place.code() == "registry_not_manifest"
    place.resigned(files={onnx: files[onnx]})
    assert place.code() == "registry_not_manifest"


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", ".hidden", "a\nb", "a/b", "manifest.json", "x" * 201])
def test_names_that_lead_elsewhere(place, name):
    files = json.loads((place.folder / "manifest.json").read_bytes())["files"]
    place.resigned(files={**files, name: files["model.toml"]})
    assert place.code() == "registry_not_manifest"


def test_a_model_under_another_digest(place):
    place.folder.rename(place.folder.with_name("1" * 64))
    assert place.code(digest="1" * 64) == "registry_wrong_key"


def test_a_damaged_model_is_set_aside_and_fetched_again(place):
    folder = place.fetch()
    onnx = load_bundle(str(folder)).onnx_path
    for damage in (
        lambda: onnx.write_bytes(b"damaged"),
        onnx.unlink,
        lambda: (folder / "manifest.json").write_bytes(b""),
    ):
        damage()
        assert find_model(place.digest, place.models) is None
        assert (place.models / f".damaged-{place.digest}").is_dir()
        assert place.fetch() == folder and find_model(place.digest, place.models) == folder


def test_one_process_at_a_time_and_halves_of_dead_ones_go(place):
    half = place.models / f".new-{place.digest}-dead"
    half.mkdir(parents=True)
    lock = place.models / ".locks" / place.digest
    with try_lock(lock) as free:
        assert free
        with pytest.raises(StoreError) as caught:
            place.fetch()
        assert caught.value.error_code == "model_busy" and caught.value.retry
    place.fetch()
    assert not half.exists()


def test_what_is_no_bundle_is_not_pushed(tmp_path):
    made = Place(tmp_path)
    with pytest.raises(ModelError):
        publish_model(str(tmp_path), made.url, OURS, 30, NOW_MS)
    onnx = load_bundle(str(made.bundle)).onnx_path
    odd = onnx.rename(onnx.with_name(".hidden.onnx"))
    toml = made.bundle / "model.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace(onnx.name, odd.name), encoding="utf-8")
    with pytest.raises(ModelError) as caught:
        made.push()
    assert ".hidden.onnx" in caught.value.message
    assert list(made.registry.iterdir()) == []


def test_paths_that_name_a_digest():
    assert digest_in(f"registry:{'0' * 64}") == "0" * 64
    for path in ("sample:conveyor", "registry:12", f"registry:{'G' * 64}", "0" * 64, f"/x/registry:{'0' * 64}"):
        assert digest_in(path) is None


def test_an_engines_folder_is_no_models(place):
    assert len(KEY) != len(place.digest)
    with pytest.raises(RegistryDataError):
        place.fetch(digest="2" * 64)
