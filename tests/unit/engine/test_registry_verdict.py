"""What is refused before anything is deserialised, and with which code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from registry_kit import DAY_MS, FACTS, KEY, NOW_MS, OTHERS, OURS, STRANGERS, TRUSTED, manifest, offered, spelled

from edgeagent.engine.manifest import FileRecord, Published
from edgeagent.engine.registry.errors import DATA_CODES, SETUP_CODES, TRANSPORT_CODES, RegistryDataError, joined
from edgeagent.engine.registry.errors import RegistryTransportError as TransportError
from edgeagent.engine.registry.signing import sign
from edgeagent.engine.registry.verdict import (
    Offer,
    judge_bytes,
    judge_engine,
    judge_model,
    judge_said_size,
    judge_subject,
)
from edgeagent.engine.subject import subject_of_facts

PAGE = Path(__file__).parents[3] / "docs" / "registry.md"


def refusal(
    offer: Offer, *, key: str = KEY, trusted: list[str] = TRUSTED, max_mb: int = 8, now_ms: int = NOW_MS
) -> str:
    with pytest.raises(RegistryDataError) as caught:
        judge_engine(offer, key, trusted, max_mb, now_ms)
    return caught.value.error_code


def signed(data: bytes) -> Offer:
    return Offer(data, sign(data, OURS))


@pytest.mark.parametrize("by", [OURS, OTHERS])
def test_a_good_entry_is_approved(by):
    approved = judge_engine(offered(key=by), KEY, TRUSTED, 8, NOW_MS)
    assert approved.key_id == by.key_id and approved.notes == ()
    assert [part.name for part in approved.parts] == ["plan", "calibration.cache"]
    assert approved.manifest.key == KEY and approved.bytes == sum(part.bytes for part in approved.parts)


def test_signatures():
    good = offered()
    assert refusal(Offer(good.manifest, None)) == "registry_unsigned"
    assert refusal(Offer(good.manifest, b"nonsense")) == "registry_unsigned"
    assert refusal(offered(key=STRANGERS)) == "registry_unknown_key"
    assert refusal(Offer(good.manifest + b"\n", good.signature)) == "registry_bad_signature"


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>", b"\n<html>", b"", b"not found", b"\x1f\x8b\x08"])
def test_what_is_no_manifest_is_told_as_that(page):
    assert refusal(Offer(page, None)) == "registry_not_manifest"
    assert refusal(Offer(page, page)) == "registry_not_manifest"


def test_a_huge_manifest_is_refused_unread():
    assert refusal(signed(b"{" + b" " * 1_000_000 + b"}")) == "registry_oversized"


def test_signed_json_that_is_no_manifest_of_ours():
    whole = json.loads(offered().manifest)
    for change in ({"schema": "edgeagent.engine/3"}, {"plan_sha256": "../../etc"}, {"more": 1}, {"published": None}):
        assert refusal(signed(json.dumps({**whole, **change}).encode())) == "registry_not_manifest", change
    assert refusal(signed(b"{}")) == "registry_not_manifest"
    assert refusal(signed(b'{"a":' * 5000)) == "registry_not_manifest"


@pytest.mark.parametrize("name", ["plan", "manifest.json", "manifest.sig", "../plan", ".hidden", "a/b", "A", ""])
def test_a_file_cannot_take_another_ones_name(name):
    whole = json.loads(offered().manifest)
    record = {"bytes": 1, "sha256": "0" * 64}
    assert refusal(signed(json.dumps({**whole, "files": {name: record}}).encode())) == "registry_not_manifest"


def test_another_key_than_asked_for():
    assert refusal(offered(), key="0" * 32) == "registry_wrong_key"
    renamed = manifest().model_copy(update={"key": "0" * 32})
    assert refusal(offered(renamed), key="0" * 32) == "registry_wrong_key", "the key must follow from the facts"
    other = manifest().model_copy(update={"facts": {**FACTS, "precision": "fp16"}})
    assert refusal(offered(other)) == "registry_wrong_key"


def test_facts_that_have_no_key_are_no_crash():
    whole = json.loads(offered().manifest)
    for facts in ('{"a": NaN}', '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}"):
        text = json.dumps({**whole, "facts": 0}).replace('"facts": 0', f'"facts": {facts}')
        assert refusal(signed(text.encode())) in ("registry_wrong_key", "registry_not_manifest")


def dated(issued_ms: int, expires_ms: int | None) -> Offer:
    return offered(manifest(published=Published(issued_ms=issued_ms, expires_ms=expires_ms)))


def test_expiry():
    entry = dated(NOW_MS - 2 * DAY_MS, NOW_MS)
    assert refusal(entry, now_ms=NOW_MS) == "registry_expired"
    assert judge_engine(entry, KEY, TRUSTED, 8, NOW_MS - 1).notes == ()
    assert refusal(dated(NOW_MS, NOW_MS), now_ms=NOW_MS - 1) == "registry_expired", "never valid"
    assert judge_engine(dated(NOW_MS - DAY_MS, None), KEY, TRUSTED, 8, NOW_MS * 10).notes == ()


@pytest.mark.parametrize("now_ms", [0, 1_700_000_000_000, NOW_MS - 3 * DAY_MS], ids=["1970", "2023", "behind"])
def test_a_clock_that_cannot_be_right_takes_the_entry_and_says_so(now_ms):
    (note,) = judge_engine(dated(NOW_MS - 2 * DAY_MS, NOW_MS), KEY, TRUSTED, 8, now_ms).notes
    assert "clock" in note
    assert judge_engine(dated(NOW_MS - 2 * DAY_MS, None), KEY, TRUSTED, 8, now_ms).notes == ()


def test_sizes():
    big = manifest().model_copy(update={"plan_bytes": 8_000_001 - 48})
    assert refusal(offered(big)) == "registry_oversized"
    assert refusal(offered(), max_mb=1) == "registry_oversized"
    assert refusal(offered(manifest(plan=b""))) == "registry_truncated"
    many = {f"f{n}": FileRecord(bytes=4_000_000, sha256="0" * 64) for n in range(3)}
    assert refusal(offered(manifest().model_copy(update={"files": many}))) == "registry_oversized", "all together"


def test_what_a_server_says_of_a_size():
    part = judge_engine(offered(), KEY, TRUSTED, 8, NOW_MS).parts[1]
    judge_said_size(part, None)
    judge_said_size(part, part.bytes)
    for said, code in ((part.bytes + 1, "registry_oversized"), (part.bytes - 1, "registry_truncated")):
        with pytest.raises(RegistryDataError) as caught:
            judge_said_size(part, said)
        assert caught.value.error_code == code
    with pytest.raises(RegistryDataError) as caught:
        judge_bytes(part, b"x" * part.bytes)
    assert caught.value.error_code == "registry_digest"


def test_subjects():
    approved = judge_engine(offered(), KEY, TRUSTED, 8, NOW_MS)
    judge_subject(approved, subject_of_facts(FACTS))
    judge_subject(approved, subject_of_facts({**FACTS, "calibration_digest": "d" * 64}))
    with pytest.raises(RegistryDataError):
        judge_subject(approved, subject_of_facts({**FACTS, "precision": "fp16"}))


def test_an_engine_is_no_model():
    with pytest.raises(RegistryDataError) as caught:
        judge_model(offered(), "0" * 64, TRUSTED, 8, NOW_MS)
    assert caught.value.error_code == "registry_not_manifest"


# errors


def test_every_code_is_explained_and_has_a_mend():
    page = PAGE.read_text(encoding="utf-8")
    for code, (mend, _) in {**DATA_CODES, **TRANSPORT_CODES, **SETUP_CODES}.items():
        assert f"`{code}`" in page, f"docs/registry.md does not explain {code}"
        assert mend


def test_errors_of_several_mirrors_become_one():
    stalled = TransportError("registry_stalled", "nothing came")
    forged = RegistryDataError("registry_unknown_key", "it is signed by a stranger")
    whole = joined("the engine x", [("http://a", stalled), ("http://b", forged)])
    assert isinstance(whole, RegistryDataError) and whole.error_code == "registry_unknown_key"
    assert "http://a: nothing came; http://b: it is signed by a stranger" in whole.message
    assert whole.reasons == (stalled, forged) and whole.retry, "the first mirror may come back"
    assert isinstance(joined("x", [("http://a", stalled)]), TransportError)


def test_the_manifest_that_is_signed_reads_back_as_it_was():
    assert json.loads(spelled(manifest()))["schema"] == "edgeagent.engine/2"
