"""`edgeagent engine list | show | explain | verify | prune | pin | unpin | release`: a person looks at the store.

Looking changes nothing: a damaged engine is named, and set aside by the agent when it wants to use it. Exit code: 0
done, 1 the store cannot be read or an engine is not what it should be, 2 the request or the config is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgeagent.app.engine_store_words import MB, SHORT, Shelved, render_list, render_prune, render_show
from edgeagent.clock import SystemClock
from edgeagent.config.files import config_file, load_config
from edgeagent.config.schema import Config
from edgeagent.engine.entry import MANIFEST, MAX_MANIFEST_BYTES, NotWhole, OtherRelease, read_manifest, verified
from edgeagent.engine.explain import explain_difference
from edgeagent.engine.key import key_of_facts
from edgeagent.engine.manifest import Manifest, batch_of
from edgeagent.engine.prune import Holding
from edgeagent.engine.record import Record
from edgeagent.engine.registry.signing import verify_signature
from edgeagent.engine.store import EngineStore, store_error
from edgeagent.errors import EdgeAgentError, OperatorError, StoreError

KEY_LENGTH = 32
Facts = dict[str, Any]


def run_store(action: str, options: argparse.Namespace) -> int:
    """Do one of the actions; the exit code. Raises OperatorError and StoreError, one line each."""
    command = StoreCommand(options)
    actions: dict[str, Callable[[], int]] = {
        "list": command.list_all,
        "show": command.show,
        "explain": command.explain,
        "verify": command.verify,
        "prune": command.prune,
        "pin": command.pin,
        "unpin": command.unpin,
        "release": command.release,
    }
    return actions[action]()


class StoreCommand:
    """One command on one store."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        file = config_file(options.config)
        self._config: Config = load_config(file, {}, socket.gethostname()).config
        state = (options.state or Path(self._config.device.state_dir)).absolute()
        if not state.is_dir():
            raise OperatorError(f"there is no state directory {state}", mend="name it with --state")
        self._folder = state / "engines"
        self._store = self._opened()

    def _opened(self) -> EngineStore | None:
        """The store; None where no engine was ever made. Raises StoreError where it may not be looked into."""
        try:
            os.scandir(self._folder).close()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self._folder, error) from error
        return EngineStore(self._folder)

    # looking

    def list_all(self) -> int:
        shelved, budget, now_ms = self._shelved(), self._config.engines.store_max_mb * MB, SystemClock().wall_ms()
        if self._options.json:
            engines = [_listed(one) for one in shelved]
            return self._tell("list", {"engines": engines, "bytes": _bytes(shelved), "budget_bytes": budget}, "")
        return self._tell("list", {}, render_list(shelved, budget, now_ms))

    def show(self) -> int:
        one = self._named(self._options.key)
        folder = self._folder / one.name
        if one.state == "damaged":
            one = replace(one, problem=_damage(folder, one.key))
        manifest = one.manifest.model_dump(mode="json", by_alias=True) if one.manifest is not None else None
        facts = {**_listed(one), "place": str(folder), "manifest": manifest}
        return self._tell("show", facts, render_show(one, str(folder), SystemClock().wall_ms()))

    def explain(self) -> int:
        first, second = self._facts_of(self._options.first), self._facts_of(self._options.second)
        differences = explain_difference(first, second)
        keys = _key_of(first), _key_of(second)
        text = "\n".join(f"- {one.sentence}" for one in differences)
        if not differences:
            text = f"they are the same engine, {keys[0]}: nothing that counts differs"
        told = {"first": keys[0], "second": keys[1], "same": not differences}
        return self._tell("explain", {**told, "differences": [asdict(one) for one in differences]}, text)

    def verify(self) -> int:
        every = [one for one in self._shelved() if one.state != "damaged"]
        chosen = [self._named(name) for name in self._options.keys] if self._options.keys else every
        found = [self._judged(one) for one in chosen]
        lines = [f"{one['key'][:SHORT]}  {one['problem'] or one['note'] or 'whole'}" for one in found]
        bad = sum(bool(one["problem"]) for one in found)
        whole = f"{bad} of {len(found)} damaged or not to be trusted" if bad else _none_damaged(len(found))
        self._tell("verify", {"ok": not bad, "engines": found}, "\n".join([*lines, *([""] if lines else []), whole]))
        return 1 if bad else 0

    def _judged(self, one: Shelved) -> Facts:
        """One engine read whole and compared with its manifest; a signed one with its signature as well."""
        if one.foreign:
            return {"key": one.key, "ok": True, "problem": "", "note": f"{one.problem}: nothing uses it"}
        store, note = self._must_be(), ""
        try:
            problem = store.problem(one.key)
            if not problem and one.manifest is not None and _key_of(one.manifest.facts) != one.key:
                problem = "the facts in its manifest are those of another engine"
            if not problem and one.signed:
                problem, note = self._judged_signature(store, one.key)
        except StoreError as error:
            problem = error.line()
        return {"key": one.key, "ok": not problem, "problem": problem, "note": note}

    def _judged_signature(self, store: EngineStore, key: str) -> tuple[str, str]:
        trusted = self._config.registry.trusted_keys
        if not trusted:
            return "", "whole; it is signed, and registry.trusted_keys names no key to check that with"
        try:
            signer = verify_signature(store.manifest_bytes(key), store.signature(key), trusted)
        except EdgeAgentError as error:
            return error.message, ""
        return "", f"whole, signed by {signer}"

    # changing

    def prune(self) -> int:
        given = self._options.max_mb
        if given is not None and given < 0:
            raise OperatorError("--max-mb wants a number of megabytes", mend="0 removes all that may go")
        budget, dry = (self._config.engines.store_max_mb if given is None else given) * MB, self._options.dry_run
        store = self._store
        removals = [] if store is None else store.plan_prune(budget) if dry else store.prune(budget)
        left = _bytes(self._shelved()) - (sum(one.bytes for one in removals) if dry else 0)
        told = {"dry_run": dry, "removed": [asdict(one) for one in removals], "bytes": left, "budget_bytes": budget}
        return self._tell("prune", told, render_prune(removals, left, budget, dry=dry))

    def pin(self) -> int:
        one = self._entry(self._options.key)
        self._must_be().pin(one.key)
        return self._tell("pin", {"key": one.key, "pinned": True}, f"{one.key[:SHORT]} is pinned: it is never pruned")

    def unpin(self) -> int:
        one = self._entry(self._options.key)
        self._must_be().unpin(one.key)
        return self._tell("unpin", {"key": one.key, "pinned": False}, f"{one.key[:SHORT]} may be pruned again")

    def release(self) -> int:
        one = self._entry(self._options.key)
        was = self._must_be().release(one.key)
        text = f"{one.key[:SHORT]} is out of quarantine" if was else f"{one.key[:SHORT]} was not in quarantine"
        return self._tell("release", {"key": one.key, "released": was}, text)

    # which engine

    def _shelved(self) -> list[Shelved]:
        store = self._store
        if store is None:
            return []
        roles, found = store.roles(), []
        for holding in store.holdings():
            try:
                found.append(self._described(store, holding, roles))
            except StoreError as error:
                if error.error_code != "no_engine":  # pruned between two looks
                    raise
        return found

    def _described(self, store: EngineStore, holding: Holding, roles: Mapping[str, list[str]]) -> Shelved:
        name, key, state, size = holding.name, holding.name[-KEY_LENGTH:], holding.state, holding.bytes
        if state == "damaged":
            return Shelved(name, key, state, size, Record())
        manifest, problem, foreign = None, "", False
        try:
            manifest = read_manifest(self._folder / name)
        except NotWhole as error:
            problem, foreign = str(error), isinstance(error, OtherRelease)
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
        signed = store.signature(key) is not None or (manifest is not None and manifest.published is not None)
        mine = tuple(roles.get(key, ()))
        return Shelved(name, key, state, size, store.record(key), mine, manifest, signed, problem, foreign)

    def _named(self, beginning: str) -> Shelved:
        """The engine whose key begins so; a damaged one only where no other does. Raises OperatorError."""
        wanted, every = beginning.strip().lower(), self._shelved()
        found = [one for one in every if wanted and one.key.startswith(wanted)]
        found = [one for one in found if one.state != "damaged"] or found
        if len(found) == 1:
            return found[0]
        if not found:
            raise OperatorError(
                f"no engine's key begins with {beginning!r}", mend="see `edgeagent engine list`", code="no_engine"
            )
        keys = ", ".join(one.key[: max(SHORT, len(wanted) + 4)] for one in found[:4])
        raise OperatorError(
            f"{beginning!r} is the beginning of {len(found)} engines: {keys}", mend="give more of it", code="no_engine"
        )

    def _entry(self, beginning: str) -> Shelved:
        """An engine that something can be done to."""
        one = self._named(beginning)
        if one.state == "damaged":
            raise OperatorError(
                f"the engine {one.key[:SHORT]} is damaged and set aside", mend="it is made anew", code="no_engine"
            )
        return one

    def _facts_of(self, name: str) -> Mapping[str, object]:
        """The facts of an engine of the store, or of a manifest's file."""
        path = Path(name)
        if path.is_file():
            return _read_facts(path)
        if path.is_dir() or "/" in name:
            raise OperatorError(f"{name} is no manifest.json", mend="name a file, or an engine key")
        one = self._named(name)
        if one.manifest is None:
            return _read_facts(self._folder / one.name / MANIFEST)
        return one.manifest.facts

    def _must_be(self) -> EngineStore:
        if self._store is None:
            raise OperatorError(f"there is no engine store at {self._folder}", mend="name the state with --state")
        return self._store

    def _tell(self, action: str, facts: Facts, text: str) -> int:
        if self._options.json:
            text = json.dumps({"schema": f"edgeagent/engine-{action}/1", **facts}, indent=1)
        sys.stdout.write(text + "\n")
        return 0


def _damage(folder: Path, key: str) -> str:
    """What is wrong with an entry that was set aside."""
    try:
        verified(folder, key)
    except (NotWhole, OSError) as error:
        return str(error)
    return ""


def _read_facts(path: Path) -> Mapping[str, object]:
    """The facts in a manifest's file, of another release as well. Raises OperatorError for what is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES)
    except OSError as error:
        raise OperatorError(f"{path}: {(error.strerror or str(error)).lower()}", mend="check the path") from error
    try:
        return Manifest.model_validate_json(data).facts
    except ValidationError:
        facts = _facts_in(data)
    if facts is None:
        raise OperatorError(f"{path} is no engine's manifest", mend="name a manifest.json")
    return facts


def _facts_in(data: bytes) -> Mapping[str, object] | None:
    """The facts in JSON that is no manifest of this release."""
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return None
    facts = told.get("facts") if isinstance(told, dict) else None
    return facts if isinstance(facts, dict) else None


def _key_of(facts: Mapping[str, object]) -> str:
    try:
        return key_of_facts(facts)
    except (ValueError, RecursionError):
        return ""


def _listed(one: Shelved) -> Facts:
    manifest, record = one.manifest, one.record
    return {
        "key": one.key,
        "name": one.name,
        "state": one.state,
        "model": f"{manifest.model.name} {manifest.model.version}" if manifest is not None else None,
        "precision": manifest.precision if manifest is not None else None,
        "quantisation": manifest.quantisation if manifest is not None else None,
        "placement": manifest.placement if manifest is not None else None,
        "batch": batch_of(manifest) if manifest is not None else None,
        "backend": manifest.backend if manifest is not None else None,
        "agreement": manifest.agreement.value if manifest is not None and manifest.agreement is not None else None,
        "built_at_ms": manifest.built_at_ms if manifest is not None else None,
        "bytes": one.bytes,
        "roles": list(one.roles),
        "signed": one.signed,
        "problem": one.problem,
        **record.model_dump(mode="json"),
    }


def _bytes(shelved: list[Shelved]) -> int:
    return sum(one.bytes for one in shelved)


def _unreadable(folder: Path, error: OSError) -> StoreError:
    if isinstance(error, PermissionError):
        return StoreError(f"{folder} may not be read by this user", mend="use sudo")
    return store_error("read", folder, error)


def _none_damaged(count: int) -> str:
    return f"{count} engine{'' if count == 1 else 's'}, none damaged"
