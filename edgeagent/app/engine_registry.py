"""`edgeagent engine push | pull | keygen`: engines and models into a registry and out of it, and the keys to sign them.

Several may be named at once; each is done for itself, and what went wrong with one does not end the others. Exit code:
0 all done, 1 one failed or is nowhere, 2 the request or the config is wrong.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgeagent.app.transfer_screen import TransferScreen
from edgeagent.clock import SystemClock
from edgeagent.config.files import config_file, load_config
from edgeagent.config.kinds import PublicKey, RegistryUrl
from edgeagent.config.schema import Config
from edgeagent.engine.registry.errors import RegistryDataError, RegistrySetupError
from edgeagent.engine.registry.fetch import fetch_engine, limits_of
from edgeagent.engine.registry.keys import load_signing_key, make_signing_key
from edgeagent.engine.registry.layout import KEY, engine_folder
from edgeagent.engine.registry.models import fetch_model, find_model
from edgeagent.engine.registry.publish import Given, publish_engine, publish_model
from edgeagent.engine.registry.signing import SigningKey
from edgeagent.engine.registry.watch import Limits
from edgeagent.engine.store import EngineStore
from edgeagent.errors import EdgeAgentError, OperatorError, StoreError

MAX_DAYS = 36_500
Facts = dict[str, Any]
WORDS = {"put": "put into", "replaced": "replaced in", "there": "is already in", "fetched": "fetched from"}


def run_registry(action: str, options: argparse.Namespace) -> int:
    """Do one of the actions; the exit code. Raises OperatorError for what is wrong from the start."""
    if action == "keygen":
        return _keygen(options)
    return Transfer(action, options).run()


def _keygen(options: argparse.Namespace) -> int:
    key = make_signing_key(options.file)
    if options.json:
        facts = {"file": str(options.file), "public_key": key.public_text, "key_id": key.key_id}
        _write(json.dumps({"schema": "edgeagent/engine-keygen/1", **facts}, indent=1))
        return 0
    _write(
        f"private key  {options.file} (mode 0600; whoever has it can sign engines for all who trust it)\n"
        f"public key   {key.public_text}\n"
        f"key id       {key.key_id}\n\n"
        "For devices that shall take what is signed with it:\n\n"
        f'[registry]\ntrusted_keys = ["{key.public_text}"]'
    )
    return 0


class Transfer:
    """One push or pull of everything that was named."""

    def __init__(self, action: str, options: argparse.Namespace) -> None:
        file = config_file(options.config)
        self._action = action
        self._options = options
        self._config: Config = load_config(file, {}, socket.gethostname()).config
        self._state = (options.state or Path(self._config.device.state_dir)).absolute()
        self._screen = TransferScreen(mute=options.json)
        self._exit_code = 0
        self._limits: Limits = limits_of(
            self._config.registry.stall_s, self._config.registry.timeout_s, self._config.registry.max_download_mb
        )
        if not options.keys and not options.model:
            raise OperatorError(f"there is nothing to {action}", mend="name engine keys, or models with --model")

    def run(self) -> int:
        do_engine, do_model = self._ready_to_push() if self._action == "push" else self._ready_to_pull()
        engines = [self._one("key", key, do_engine) for key in self._options.keys]
        models = [self._one("model", model, do_model) for model in self._options.model]
        done = [*engines, *models]
        if self._options.json:
            whole = {"schema": f"edgeagent/engine-{self._action}/1", "ok": all(f["ok"] for f in done)}
            _write(json.dumps({**whole, "engines": engines, "models": models}, indent=1))
        return self._exit_code

    def _one(self, kind: str, name: str, do: Callable[[str], Facts]) -> Facts:
        """Do it for one, and say how it went."""
        try:
            facts = {kind: name, "ok": True, **do(name)}
        except EdgeAgentError as error:
            self._screen.clear()
            sys.stderr.write(f"edgeagent: {name}: {error.line()}{error.bracket}\n")
            self._exit_code = max(self._exit_code, 2 if isinstance(error, OperatorError) else 1)
            told = {"code": error.error_code, "message": error.message, "mend": error.mend, "retry": error.retry}
            return {kind: name, "ok": False, "error": told}
        self._screen.clear()
        if not self._options.json:
            _write(_line(facts))
        return facts

    def _ready_to_push(self) -> tuple[Callable[[str], Facts], Callable[[str], Facts]]:
        """How to push an engine and a model, once the URL and the key are there."""
        url, key, days = self._urls()[0], self._signing_key(), self._valid_days()
        now_ms, trusted = SystemClock().wall_ms(), self._config.registry.trusted_keys

        def engine(name: str) -> Facts:
            store = self._store()
            whole = _whole_key(store, name)
            given = publish_engine(
                whole, url, key, store, days, now_ms, trusted=trusted, limits=self._limits, progress=self._screen.tell
            )
            return _given(given, "key")

        def model(where: str) -> Facts:
            given = publish_model(
                where, url, key, days, now_ms, trusted=trusted, limits=self._limits, progress=self._screen.tell
            )
            return {"model": where, **_given(given, "digest")}

        return engine, model

    def _ready_to_pull(self) -> tuple[Callable[[str], Facts], Callable[[str], Facts]]:
        urls, trusted = self._urls(), self._trusted()

        def engine(key: str) -> Facts:
            engine_folder(key)
            return self._pull_engine(key, urls, trusted)

        def model(digest: str) -> Facts:
            folder = self._state / "models"
            there = find_model(digest, folder)
            path = there or fetch_model(digest, urls, trusted, folder, self._limits, self._screen.tell)
            return {"outcome": "there" if there else "fetched", "path": str(path)}

        return engine, model

    def _pull_engine(self, key: str, urls: list[str], trusted: list[str]) -> Facts:
        store = EngineStore(self._state / "engines")
        with store.build_lock(key) as free:
            if not free:
                raise StoreError(f"another process makes the engine {key}", mend="wait for it", code="busy", retry=True)
            there = store.find(key)
            if there is not None:
                return {"outcome": "there", "path": str(there.plan_path)}
            found = fetch_engine(key, urls, trusted, store, self._limits, self._screen.tell)
        if found is None:
            raise RegistryDataError("registry_none", f"no registry has the engine {key}")
        facts = asdict(found)
        facts.pop("entry")
        return {"outcome": "fetched", "path": str(found.entry.plan_path), **facts}

    def _urls(self) -> list[str]:
        given = self._options.registry
        if given is not None:
            return [_checked(TypeAdapter(RegistryUrl), given, "--registry")]
        if not self._config.registry.urls:
            raise OperatorError(
                "there is no registry", mend="name one with --registry, or in the config's registry.urls"
            )
        return list(self._config.registry.urls)

    def _trusted(self) -> list[str]:
        added = [_checked(TypeAdapter(PublicKey), text, "--trust") for text in self._options.trust]
        trusted = [*self._config.registry.trusted_keys, *added]
        if not trusted:
            raise RegistrySetupError(
                "registry_no_keys",
                "no public key is trusted, so nothing is taken from a registry",
                mend="name one with --trust, or in the config's registry.trusted_keys",
            )
        return trusted

    def _signing_key(self) -> SigningKey:
        file = self._options.signing_key or self._config.registry.signing_key_file
        if file is None:
            raise RegistrySetupError(
                "registry_signing_key",
                "there is no key to sign with",
                mend="name one with --signing-key, or in the config's registry.signing_key_file; "
                "`edgeagent engine keygen` makes one",
            )
        key = load_signing_key(Path(file))
        for warning in key.warnings:
            sys.stderr.write(f"edgeagent: warning: {warning}\n")
        return key

    def _valid_days(self) -> int | None:
        days: int | None = self._options.valid_days
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise OperatorError(
                "--valid-days wants 1 to 36500", mend="leave it away for engines that are valid for ever"
            )
        return self._config.registry.valid_days if days is None else days

    def _store(self) -> EngineStore:
        folder = self._state / "engines"
        if not folder.is_dir():
            raise OperatorError(f"there is no engine store at {folder}", mend="name the state directory with --state")
        return EngineStore(folder)


def _whole_key(store: EngineStore, beginning: str) -> str:
    if KEY.fullmatch(beginning):
        return beginning
    known = [manifest.key for manifest in store.entries()]
    found = [key for key in known if beginning and key.startswith(beginning)]
    if len(found) != 1:
        what = "several engines'" if found else "no engine's"
        raise OperatorError(f"{beginning!r} is {what} beginning", mend="see `edgeagent engine list`", code="no_engine")
    return found[0]


def _given(given: Given, kind: str) -> Facts:
    facts = asdict(given)
    return {kind: facts.pop("key"), **facts}


def _checked(kind: TypeAdapter[str], text: str, name: str) -> str:
    try:
        return kind.validate_python(text)
    except ValidationError as error:
        first = error.errors()[0]
        mend = str(first.get("ctx", {}).get("mend", ""))
        raise OperatorError(f"{name}: {first['msg']}", mend=mend) from error


def _line(facts: Facts) -> str:
    """`engine 0123... fetched from file:///srv/engines (12.3 MB, signed by 0011...)`."""
    what = f"model {facts.get('digest') or facts['model']}" if "model" in facts else f"engine {facts['key']}"
    where = facts.get("registry") or ("a registry" if facts["outcome"] == "fetched" else "this device")
    size = f"{facts['bytes'] / 1_000_000:.1f} MB" if "bytes" in facts else ""
    by = f"key {facts['key_id']}" if "key_id" in facts else ""
    end = ", ".join(part for part in (size, by) if part)
    lines = [f"{what} {WORDS[facts['outcome']]} {where}" + (f" ({end})" if end else "")]
    return "\n".join([*lines, *(f"  note: {note}" for note in facts.get("notes", ()))])


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
