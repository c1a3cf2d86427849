"""Registries in object storage: obstore against a small server that speaks the few S3 requests that are needed.

The server is ours: it checks that requests are signed, and has paths, ranges and ETags as S3 has them. No real storage
was asked.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import pytest
from lying_server import Handler, on, serving

pytest.importorskip("obstore", reason="the extra s3 is not installed")
sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from registry_kit import KEY, LIMITS, NOW_MS, OURS, PLAN_BYTES, Ground, ground, put_engine

from edgeagent.engine.registry.errors import RegistryError, RegistrySetupError
from edgeagent.engine.registry.publish import publish_engine
from edgeagent.engine.registry.watch import Limits

PLAN = hashlib.sha256(PLAN_BYTES).hexdigest()
HALF = len(PLAN_BYTES) // 2
URL = "s3://bucket/line/engines"


@pytest.fixture
def place(tmp_path):
    return ground(tmp_path, pushed=False)


@pytest.fixture
def storage(tmp_path, monkeypatch):
    (tmp_path / "objects").mkdir()
    with serving(tmp_path / "objects") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "robot")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        yield server


def push(place: Ground) -> str:
    return publish_engine(KEY, URL, OURS, place.source, 30, NOW_MS, limits=LIMITS).outcome


def code_of(place: Ground, url: str = URL, limits: Limits = LIMITS) -> str:
    with pytest.raises(RegistryError) as caught:
        place.fetch(url, limits=limits)
    place.assert_nothing_stored()
    assert "\n" not in caught.value.message
    return caught.value.error_code


def test_an_engine_goes_there_and_comes_back(place, storage):
    assert place.fetch(URL) is None
    assert push(place) == "put"
    assert (storage.root / "bucket/line/engines/engines" / KEY / PLAN).read_bytes() == PLAN_BYTES
    fetched = place.fetch(URL)
    assert fetched is not None and fetched.entry.plan_path.read_bytes() == PLAN_BYTES
    assert fetched.registry == URL and fetched.key_id == OURS.key_id
    assert all("AWS4-HMAC-SHA256" in headers.get("authorization", "") for _, _, headers in storage.asked)
    assert push(place) == "replaced"


def test_a_large_plan_goes_in_parts(place, storage):
    """What obstore does beyond 5 MB, and most plans are."""
    plan = PLAN_BYTES * 12
    shutil.rmtree(place.store_root.parent / "source" / KEY)
    put_engine(place.source, plan)
    limits = Limits(stall_s=5, timeout_s=60, max_download_mb=64)
    assert publish_engine(KEY, URL, OURS, place.source, 30, NOW_MS, limits=limits).outcome == "put"
    parts = [path for method, path, _ in storage.asked if method == "PUT" and "partNumber" in path]
    assert len(parts) == 3
    fetched = place.fetch(URL, limits=limits)
    assert fetched is not None and fetched.entry.plan_path.read_bytes() == plan


def test_a_download_that_stalled_goes_on(place, storage):
    push(place)

    def half(handler: Handler) -> None:
        tag = f'"{PLAN[:16]}"'
        handler.cut(PLAN_BYTES[:HALF], len(PLAN_BYTES), ETag=tag, Last_Modified="Wed, 21 Oct 2026 07:28:00 GMT")
        handler.stall()

    storage.trick = on(PLAN, half)
    assert code_of(place) == "registry_stalled"
    part = place.store_root / ".parts" / KEY / f"{PLAN}.part"
    kept = part.stat().st_size
    assert 0 < kept <= HALF
    storage.trick = lambda handler: False
    storage.asked.clear()
    assert place.fetch(URL) is not None
    (headers,) = storage.gets(PLAN)
    assert headers["range"] == f"bytes={kept}-" and "if-match" in headers


def test_a_storage_without_ranges_begins_again(place, storage):
    push(place)
    part = place.store_root / ".parts" / KEY / f"{PLAN}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(PLAN_BYTES[:1000])
    storage.ranges = False
    assert place.fetch(URL) is not None


def test_lies_are_refused_as_everywhere(place, storage):
    push(place)
    date = {"Last_Modified": "Wed, 21 Oct 2026 07:28:00 GMT", "ETag": '"x"'}
    storage.trick = on(PLAN, lambda handler: handler.answer(200, PLAN_BYTES[::-1], **date))
    assert code_of(place) == "registry_digest"
    storage.trick = on(PLAN, lambda handler: handler.answer(200, PLAN_BYTES + b"x", **date))
    assert code_of(place) == "registry_oversized"
    storage.trick = on("manifest.json", lambda handler: handler.answer(200, b"<html>", **date))
    assert code_of(place) == "registry_not_manifest"


def test_what_a_storage_answers(place, storage):
    storage.trick = on("", lambda handler: handler.answer(403, b"<Error/>"))
    assert code_of(place) == "registry_denied"
    storage.trick = on("", lambda handler: handler.answer(500, b"<Error/>"))
    assert code_of(place, limits=Limits(1, 20, 8)) in ("registry_unreachable", "registry_stalled")
    storage.trick = on("", Handler.stall)
    assert code_of(place) == "registry_stalled"


def test_nobody_there(place, storage, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert code_of(place, limits=Limits(2, 20, 8)) in ("registry_unreachable", "registry_stalled")


def test_without_credentials_it_is_said_what_is_missing(place, storage, monkeypatch):
    """Nobody answers, or refuses, where an instance of a cloud would give some."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert code_of(place) in ("registry_denied", "registry_stalled")
    assert storage.asked == []
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert place.fetch(URL) is None


def test_without_obstore_the_extra_is_named(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(RegistrySetupError) as caught:
        place.fetch(URL)
    assert caught.value.error_code == "registry_extra" and "edgeagent[s3]" in caught.value.mend
