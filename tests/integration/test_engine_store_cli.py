"""`edgeagent engine list | show | explain | verify | prune | pin | unpin | release`, for a person and for a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from test_store_kit import KIT

from edgeagent.app.engine_store_words import age, form_of, render_table, size_text
from edgeagent.cli import main
from edgeagent.engine.key import key_of_facts
from edgeagent.engine.registry.keys import make_signing_key
from edgeagent.engine.registry.signing import sign
from edgeagent.engine.store import EngineStore

sys.path.append(str(KIT))
from engine_kit import manifest_for, put_entry, put_signed, stage

Run = Callable[..., tuple[int, str, str]]
FACTS: dict[str, Any] = {
    "key_schema": 2,
    "model_digest": "a" * 64,
    "precision": "int8",
    "fingerprint": {"l4t": "36.4.3", "tensorrt": "10.3.0"},
}
NEWER = {**FACTS, "fingerprint": {"l4t": "36.4.7", "tensorrt": "10.3.0"}}
HALF = {**FACTS, "precision": "fp16"}
A, B, C = (key_of_facts(facts) for facts in (FACTS, NEWER, HALF))
OLD = "e" * 32


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


@pytest.fixture
def store(state: Path) -> EngineStore:
    """Three engines: A serves, B did before, C crashed twice; and one of version 0.1."""
    store = EngineStore(state / "engines")
    put_entry(store, A, b"a" * 2_000_000, {"build.log": b"x" * 4000}, facts=FACTS)
    put_entry(store, B, b"b" * 1_000_000, facts=NEWER, placement="dla", quantisation="calibrator", backend="tensorrt")
    put_entry(store, C, b"c" * 500_000, facts=HALF, precision="fp16", quantisation="none", placement="gpu")
    store.set_active("line-1", B)
    store.set_active("line-1", A)
    for _ in range(2):
        store.note_failure(C, "crash", "it ended with signal 11")
    old = state / "engines" / OLD
    old.mkdir()
    (old / "plan").write_bytes(b"o" * 300_000)
    (old / "manifest.json").write_text(
        json.dumps({"schema": "edgeagent.engine/1", "key": OLD, "facts": {"key_schema": 1, "precision": "int8"}})
    )
    return store


@pytest.fixture
def run(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    config = tmp_path / "config.toml"
    config.write_text("[engines]\nstore_max_mb = 100\n")

    def run(*words: str, at: Path = state, config: Path = config) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["engine", *words, "--state", str(at), "--config", str(config)])
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def told_json(answer: tuple[int, str, str]) -> dict[str, Any]:
    assert answer[0] in (0, 1) and answer[2] == ""
    told: dict[str, Any] = json.loads(answer[1])
    return told


# list and show


def test_the_list_tells_form_size_and_state(run: Run, store: EngineStore) -> None:
    code, text, errors = run("list")
    assert (code, errors) == (0, "")
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert lines[A[:12]].endswith("active on line-1") and "INT8 on the CPU, Q/DQ" in lines[A[:12]]
    assert "previous on line-1" in lines[B[:12]] and "INT8 on a DLA, calibrated" in lines[B[:12]]
    assert lines[C[:12]].endswith("quarantined: it crashed its process twice: it ended with signal 11")
    assert lines[OLD[:12]].endswith("unreadable: made by another release of edgeagent (edgeagent.engine/1)")
    assert "  2.0  " in lines[A[:12]] and text.splitlines()[-1] == "4 engines, 3.8 of 100 MB"


def test_the_list_for_a_script(run: Run, store: EngineStore) -> None:
    told = told_json(run("list", "--json"))
    assert told["schema"] == "edgeagent/engine-list/1" and told["budget_bytes"] == 100_000_000
    by_key = {one["key"]: one for one in told["engines"]}
    assert {key: one["state"] for key, one in by_key.items()} == {
        A: "ready", B: "ready", C: "quarantined", OLD: "unreadable"
    }  # fmt: skip
    assert by_key[A]["roles"] == ["active on line-1"] and by_key[C]["quarantine"]["code"] == "engine_crashed"
    assert by_key[A]["provenance"]["origin"] == "built" and by_key[OLD]["model"] is None
    assert told["bytes"] == sum(one["bytes"] for one in told["engines"])


def test_show_tells_all_that_is_known(run: Run, store: EngineStore) -> None:
    code, text, _ = run("show", A[:8])
    assert code == 0
    for part in (A, "active on line-1", "l4t 36.4.3", "agrees with FP32 to 0.990", "build.log", "4.0 kB", "built here"):
        assert part in text
    told = told_json(run("show", A, "--json"))
    assert told["manifest"]["facts"] == FACTS and told["place"].endswith(A)


def test_show_of_one_that_failed_and_of_an_old_one(run: Run, store: EngineStore) -> None:
    assert "failures     crashed twice; the last: it ended with signal 11\n" in run("show", C)[1]
    assert "made by another release" in run("show", OLD)[1]


def test_a_damaged_one_that_was_set_aside_is_listed_and_goes_first(run: Run, store: EngineStore) -> None:
    store.unpin(A)
    (store.find(B).folder / "plan").write_bytes(b"")  # type: ignore[union-attr]
    assert store.find(B) is None
    assert "damaged, set aside" in run("list")[1]
    assert "damaged, set aside: its plan has 0 bytes, and its manifest says 1000000" in run("show", B)[1]
    assert "is damaged and set aside" in run("pin", B)[2]
    removed = told_json(run("prune", "--max-mb", "2", "--json"))["removed"]
    assert removed[0]["reason"] == "it is damaged"


# which engine


@pytest.mark.parametrize("action", ["show", "pin", "unpin", "release", "verify"])
@pytest.mark.parametrize("key", ["", "zz", "0" * 32, "../" + "a" * 29])
def test_an_unknown_key_is_one_line(run: Run, store: EngineStore, action: str, key: str) -> None:
    code, out, errors = run(action, key)
    assert (code, out) == (2, "") and errors.count("\n") == 1
    assert "no engine's key begins with" in errors


def test_an_ambiguous_beginning_is_one_line(run: Run, state: Path) -> None:
    store = EngineStore(state / "engines")
    for key in ("ab" * 16, "ab" * 15 + "ac"):
        put_entry(store, key)
    code, out, errors = run("show", "AB")
    assert (code, out) == (2, "") and errors.count("\n") == 1
    assert "'AB' is the beginning of 2 engines: abababababab, abababababab (give more of it)" in errors


def test_a_state_directory_that_is_not_there(run: Run, tmp_path: Path) -> None:
    code, _, errors = run("list", at=tmp_path / "none")
    assert (
        code == 2 and errors == f"edgeagent: there is no state directory {tmp_path / 'none'} (name it with --state)\n"
    )


@pytest.mark.parametrize("action", ["list", "verify", "prune"])
def test_a_device_that_never_made_an_engine(run: Run, state: Path, action: str) -> None:
    assert run(action)[0] == 0
    assert list(state.iterdir()) == [], "looking makes nothing"
    assert told_json(run(action, "--json"))["schema"] == f"edgeagent/engine-{action}/1"


def test_a_store_that_is_a_file(run: Run, state: Path) -> None:
    (state / "engines").write_bytes(b"")
    code, _, errors = run("list")
    assert code == 1 and errors.count("\n") == 1 and "not a directory" in errors


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not look")
def test_a_store_that_this_user_may_not_read() -> None:
    program = """
import os, sys
from edgeagent.cli import main

def listed():
    try:
        main(["engine", "list", "--state", sys.argv[1]])
    except SystemExit as ended:
        return ended.code

assert listed() == 0  # as root, which also imports all that it takes
os.setgid(65534)
os.setuid(65534)
sys.exit(listed())
"""
    with TemporaryDirectory() as state:  # pytest's own closes its directories to others
        Path(state).chmod(0o755)
        put_entry(EngineStore(Path(state) / "engines"), A)
        (Path(state) / "engines").chmod(0o700)
        done = subprocess.run([sys.executable, "-c", program, state], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"edgeagent: {state}/engines may not be read by this user (use sudo) [store]\n"


# explain


def test_explain_says_in_words_why_two_differ(run: Run, store: EngineStore) -> None:
    line = "L4T differs: 36.4.3 and 36.4.7: a plan runs only under the TensorRT and driver it was built for"
    assert run("explain", A[:9], B[:9]) == (0, f"- {line}\n", "")
    told = told_json(run("explain", A, B, "--json"))
    assert (told["first"], told["second"], told["same"]) == (A, B, False)
    assert told["differences"] == [
        {"fact": "fingerprint.l4t", "where": "both", "first": "36.4.3", "second": "36.4.7", "sentence": line}
    ]


def test_explain_takes_a_manifest_from_elsewhere(run: Run, store: EngineStore, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(manifest_for(C, b"x", "0" * 64, facts=HALF).model_dump_json(by_alias=True))
    assert run("explain", A, str(file))[1] == "- precision differs: int8 and fp16\n"
    assert run("explain", C, str(file))[1] == f"they are the same engine, {C}: nothing that counts differs\n"


def test_explain_reads_what_another_release_wrote(run: Run, store: EngineStore) -> None:
    text = run("explain", OLD, A)[1]
    assert text.startswith("- key schema differs: 1 and 2: one was made by another release of edgeagent")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"facts": 3}', b"[" * 100_000])
def test_explain_of_what_is_no_manifest(run: Run, store: EngineStore, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    code, out, errors = run("explain", A, str(tmp_path / "x.json"))
    assert (code, out) == (2, "") and errors.count("\n") == 1 and "is no engine's manifest" in errors
    assert run("explain", str(tmp_path), A)[0] == run("explain", str(tmp_path / "none"), A)[0] == 2


# verify


def test_verify_reads_every_byte_and_changes_nothing(run: Run, store: EngineStore, state: Path) -> None:
    code, text, _ = run("verify")
    assert code == 0 and text.splitlines()[-1] == "4 engines, none damaged"
    plan = state / "engines" / A / "plan"
    plan.write_bytes(plan.read_bytes()[:-1] + b"x")
    (state / "engines" / B / "plan").unlink()
    code, text, _ = run("verify")
    assert code == 1
    assert f"{A[:12]}  its plan is not the one that its manifest names" in text
    assert f"{B[:12]}  plan: no such file or directory" in text
    assert text.splitlines()[-1] == "2 of 4 damaged or not to be trusted"
    assert run("verify", C[:9])[0] == 0 and run("verify", C, A)[0] == 1
    told = told_json(run("verify", "--json"))
    assert told["ok"] is False and {one["key"]: one["ok"] for one in told["engines"]}[C] is True
    assert plan.exists() and (state / "engines" / B).is_dir()


def test_verify_finds_facts_of_another_engine(run: Run, store: EngineStore) -> None:
    put_entry(store, "d" * 32, facts=FACTS)
    assert "the facts in its manifest are those of another engine" in run("verify", "dd")[1]


def test_verify_checks_the_signature_of_what_was_fetched(run: Run, state: Path, tmp_path: Path) -> None:
    key, other = make_signing_key(tmp_path / "key"), make_signing_key(tmp_path / "other")
    store = EngineStore(state / "engines")
    with store.staging(A) as staging:
        data = stage(store, staging, A, b"plan", facts=FACTS).model_dump_json(by_alias=True).encode()
        store.commit_signed(staging, data, sign(data, key), url="file:///srv", signer=key.key_id)

    def verify_trusting(*public: str) -> tuple[int, str, str]:
        config = tmp_path / "trust.toml"
        config.write_text(f"[registry]\ntrusted_keys = {json.dumps(public)}\n")
        return run("verify", config=config)

    assert f"{A[:12]}  whole, signed by {key.key_id}" in verify_trusting(key.public_text)[1]
    assert verify_trusting()[0] == 0 and "names no key to check that with" in verify_trusting()[1]
    code, text, _ = verify_trusting(other.public_text)
    assert code == 1 and f"signed by the key {key.key_id}, which is not trusted" in text
    (state / "engines" / A / "manifest.sig").write_bytes(sign(data + b" ", key))
    code, text, _ = verify_trusting(key.public_text)
    assert code == 1 and "does not fit its manifest" in text


def test_verify_misses_a_signature_that_is_gone(run: Run, state: Path) -> None:
    store = EngineStore(state / "engines")
    put_signed(store, A, facts=FACTS)
    (state / "engines" / A / "manifest.sig").unlink()
    code, text, _ = run("verify")
    assert code == 1 and "its manifest was signed, and the signature is gone" in text


# prune, pin, unpin, release


def test_a_dry_run_says_what_would_go_and_removes_nothing(run: Run, store: EngineStore) -> None:
    code, text, _ = run("prune", "--max-mb", "0", "--dry-run")
    assert code == 0 and f"would remove {OLD}" in text and f"would remove {C}" in text
    assert "the rest is in use or pinned" in text and len(store.known_keys()) == 4
    told = told_json(run("prune", "--max-mb", "0", "--dry-run", "--json"))
    assert told["dry_run"] is True and [one["name"] for one in told["removed"]] == [OLD, C]


def test_prune_keeps_within_the_configs_budget_or_the_given_one(run: Run, store: EngineStore) -> None:
    assert run("prune")[1].splitlines()[0] == "nothing to remove"
    run("pin", C)
    assert [one["name"] for one in told_json(run("prune", "--max-mb", "0", "--json"))["removed"]] == [OLD]
    assert run("unpin", C)[1] == f"{C[:12]} may be pruned again\n"
    assert run("prune", "--max-mb", "0")[1].splitlines()[0] == f"removed {C}  0.5 MB  in quarantine"
    assert sorted(store.known_keys()) == sorted([A, B])
    assert run("prune", "--max-mb", "-1")[0] == 2


def test_release_gives_another_chance(run: Run, store: EngineStore) -> None:
    assert run("release", C) == (0, f"{C[:12]} is out of quarantine\n", "")
    assert store.find(C) is not None
    assert told_json(run("release", C, "--json")) == {
        "schema": "edgeagent/engine-release/1", "key": C, "released": False
    }  # fmt: skip
    assert told_json(run("pin", C, "--json"))["pinned"] is True


# words


def test_an_age_is_told_only_where_both_clocks_were_set() -> None:
    now = 1_764_000_000_000
    assert [age(now - ms, now) for ms in (5_000, 61_000, 7_200_000, 90_000_000, 864_000_000)] == [
        "just now", "1 minute ago", "2 hours ago", "1 day ago", "10 days ago"
    ]  # fmt: skip
    assert age(now, 5_000) == age(5_000, now) == age(now + 1, now) == "-"


def test_words_and_columns() -> None:
    assert (size_text(12_345_678), size_text(4_100)) == ("12.3 MB", "4.1 kB")
    assert form_of(manifest_for(A, b"x", "0" * 64)) == "INT8 on the CPU, Q/DQ"
    assert render_table([("A", "B"), ("long", "")]) == "A     B\nlong"
