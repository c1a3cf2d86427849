"""Laws of what is taken from a registry: nothing that differs in one bit from what a trusted key signed."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from registry_kit import CACHE, FACTS, KEY, NOW_MS, OURS, TRUSTED, manifest, offered, signing_key

from edgeagent.engine.key import key_of_facts
from edgeagent.engine.manifest import Published
from edgeagent.engine.registry.errors import DATA_CODES, RegistryDataError
from edgeagent.engine.registry.signing import sign, verify_signature
from edgeagent.engine.registry.verdict import Offer, Part, judge_bytes, judge_engine, judge_model

GOOD = offered()
PLAN = b"a small plan of an engine" * 3
PART = Part("plan", hashlib.sha256(PLAN).hexdigest(), len(PLAN))


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with one byte changed, removed or added, or cut short."""
    at = draw(st.integers(0, len(data) - 1))
    byte = bytes([data[at] ^ draw(st.integers(1, 255))])
    kind = draw(st.sampled_from(["flip", "remove", "add", "cut"]))
    if kind == "add":
        return data[:at] + byte + data[at:]
    return data[:at] + {"flip": byte + data[at + 1 :], "remove": data[at + 1 :], "cut": b""}[kind]


def refused(offer: Offer) -> str:
    with pytest.raises(RegistryDataError) as caught:
        judge_engine(offer, KEY, TRUSTED, 8, NOW_MS)
    assert caught.value.error_code in DATA_CODES
    return caught.value.error_code


@given(change=damaged(GOOD.manifest))
def test_a_changed_manifest_is_refused(change: bytes) -> None:
    if change != GOOD.manifest:
        refused(Offer(change, GOOD.signature))


@given(change=damaged(GOOD.signature or b""))
def test_a_changed_signature_is_refused(change: bytes) -> None:
    if change != GOOD.signature:
        refused(Offer(GOOD.manifest, change))


def test_every_bit_of_the_signature_counts() -> None:
    good = GOOD.signature or b""
    for at in range(len(good)):
        for bit in range(8):
            refused(Offer(GOOD.manifest, good[:at] + bytes([good[at] ^ (1 << bit)]) + good[at + 1 :]))


@given(change=damaged(PLAN))
def test_a_changed_plan_is_refused(change: bytes) -> None:
    if change == PLAN:
        return
    with pytest.raises(RegistryDataError) as caught:
        judge_bytes(PART, change)
    longer, shorter = len(change) > len(PLAN), len(change) < len(PLAN)
    expected = "registry_oversized" if longer else "registry_truncated" if shorter else "registry_digest"
    assert caught.value.error_code == expected


@given(manifest_bytes=st.binary(max_size=300), signature=st.none() | st.binary(max_size=200))
def test_junk_is_refused_with_a_code(manifest_bytes: bytes, signature: bytes | None) -> None:
    refused(Offer(manifest_bytes, signature))
    with pytest.raises(RegistryDataError):
        judge_model(Offer(manifest_bytes, signature), "0" * 64, TRUSTED, 8, NOW_MS)


@given(junk=st.binary(max_size=300))
def test_signed_junk_is_refused_with_a_code(junk: bytes) -> None:
    refused(Offer(junk, sign(junk, OURS)))
    wrapped = b'{"schema": "edgeagent.engine/2", "junk": "' + junk + b'"}'
    refused(Offer(wrapped, sign(wrapped, OURS)))


@given(number=st.integers(4, 255), data=st.binary(max_size=100))
def test_a_signature_counts_for_its_key_and_bytes_only(number: int, data: bytes) -> None:
    stranger = signing_key(number)
    assert verify_signature(data, sign(data, stranger), [stranger.public_text]) == stranger.key_id
    with pytest.raises(RegistryDataError):
        verify_signature(data, sign(data, stranger), TRUSTED)
    with pytest.raises(RegistryDataError):
        verify_signature(data + b"\0", sign(data, stranger), [stranger.public_text])


@given(
    extra=st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8) | st.booleans(), max_size=4),
    issued=st.integers(1_704_067_200_000, NOW_MS * 2),
    days=st.none() | st.integers(-5, 5),
    now=st.integers(0, NOW_MS * 3),
)
def test_what_is_approved_is_asked_for_and_not_known_to_be_expired(
    extra: dict[str, object], issued: int, days: int | None, now: int
) -> None:
    facts = {**extra, **FACTS}
    expires = None if days is None else issued + days * 86_400_000
    offer = offered(manifest(facts=facts, published=Published(issued_ms=issued, expires_ms=expires)))
    key = key_of_facts(facts)
    try:
        approved = judge_engine(offer, key, TRUSTED, 8, now)
    except RegistryDataError as error:
        assert error.error_code == "registry_expired" and expires is not None
        assert now >= expires or expires <= issued
    else:
        assert approved.manifest.key == key and approved.parts[1].sha256 == hashlib.sha256(CACHE).hexdigest()
        assert expires is None or now < expires or (now < issued and approved.notes)
