"""`edgeagent engine keygen | push | pull` as a person runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lying_server import on, serving

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from registry_kit import KEY, PLAN_BYTES, Ground, ground

from edgeagent.config.files import load_config

SAMPLE = "sample:conveyor"


def run(*words: object, code: int = 0) -> tuple[str, str]:
    """(stdout, stderr) of `edgeagent engine ...`, which ends with `code`."""
    command = [sys.executable, "-m", "edgeagent", "engine", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Ground:
    """A registry that is empty; the device `source` has an engine in `state`."""
    made = ground(tmp_path, pushed=False)
    (tmp_path / "state").mkdir()
    (tmp_path / "source").rename(tmp_path / "state" / "engines")
    return made


def test_a_key_an_engine_and_a_model_there_and_back(place: Ground, tmp_path: Path) -> None:
    out, _ = run("keygen", tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    table = out[out.index("[registry]") :]
    config = tmp_path / "config.toml"
    config.write_text(
        f'{table}\nurls = ["{place.url}"]\nsigning_key_file = "{tmp_path}/key"\nvalid_days = 3\n'
        f'[device]\nstate_dir = "{tmp_path}/state"\n',
        encoding="utf-8",
    )
    assert load_config(config, {}, "host").config.registry.valid_days == 3

    out, errors = run("push", KEY[:6], "--model", SAMPLE, "--config", config)
    assert f"engine {KEY} put into {place.url}" in out and errors == ""
    (digest,) = [path.name for path in (place.registry / "models").iterdir()]
    assert f"model {digest} put into {place.url}" in out

    with serving(place.registry) as server:
        words = [
            "pull",
            KEY,
            "--model",
            digest,
            "--config",
            config,
            "--state",
            tmp_path / "device",
            "--registry",
            server.url,
        ]
        pulled = json.loads(run(*words, "--json")[0])
        again = json.loads(run(*words, "--json")[0])
    assert pulled["ok"] and pulled["schema"] == "edgeagent/engine-pull/1"
    (engine,), (model,) = pulled["engines"], pulled["models"]
    assert Path(engine["path"]).read_bytes() == PLAN_BYTES and engine["outcome"] == "fetched"
    assert engine["registry"] == server.url and len(engine["key_id"]) == 16
    assert (Path(model["path"]) / "model.toml").is_file() and model["model"] == digest
    assert [facts["outcome"] for facts in (*again["engines"], *again["models"])] == ["there", "there"]
    assert "replaced in" in run("push", KEY, "--config", config)[0]


def test_what_goes_wrong_is_told_with_its_code(place: Ground, tmp_path: Path) -> None:
    run("keygen", tmp_path / "key")
    public = json.loads(run("keygen", tmp_path / "other", "--json")[0])["public_key"]
    run("push", KEY, "--registry", place.url, "--signing-key", tmp_path / "key", "--state", tmp_path / "state")
    device = ["--state", tmp_path / "device", "--registry", place.url]
    out, errors = run("pull", KEY, "0" * 32, *device, "--trust", public, "--json", code=1)
    codes = [facts["error"]["code"] for facts in json.loads(out)["engines"]]
    assert codes == ["registry_unknown_key", "registry_none"]
    assert len(errors.splitlines()) == 2 and all(line.startswith("edgeagent: ") for line in errors.splitlines())
    assert [line.rsplit(" ", 1)[1] for line in errors.splitlines()] == ["[registry_unknown_key]", "[registry_none]"]
    assert "registry.trusted_keys" in run("pull", KEY, *device, code=2)[1]
    with serving(place.registry) as server:
        server.trick = on("", lambda handler: handler.answer(200, b"<html>hello</html>"))
        out, errors = run("pull", KEY, *device[:2], "--registry", server.url, "--trust", public, code=1)
        assert len(errors.splitlines()) == 1 and "is a web page" in errors, "progress is not among the errors"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pull"], "nothing to pull"),
        (["push", "--registry", "file:///tmp"], "nothing to push"),
        (["pull", KEY], "there is no registry"),
        (["pull", KEY, "--registry", "ftp://x/y", "--trust", "x"], "wants a URL"),
        (["pull", KEY, "--registry", "https://u:p@x/y"], "holds a user name or password"),
        (["pull", KEY, "--registry", "file:///tmp", "--trust", "ed25519:x"], "is no public key"),
        (["push", KEY, "--registry", "file:///tmp"], "no key to sign with"),
        (["push", KEY, "--registry", "file:///tmp", "--signing-key", "/dev/null"], "no regular file"),
        (["keygen", "/dev/null"], "is not overwritten"),
        (["keygen", "/nowhere/key"], "cannot be written: no such file or directory"),
    ],
)
def test_requests_that_are_wrong(tmp_path: Path, words: list[str], told: str) -> None:
    empty = tmp_path / "config.toml"
    empty.write_text("", encoding="utf-8")
    _, errors = run(*words, "--config", empty, code=2)
    assert told in errors and len(errors.splitlines()) == 1


def test_beginnings_and_stores_that_are_not_there(place: Ground, tmp_path: Path) -> None:
    run("keygen", tmp_path / "key")
    common = ["--registry", place.url, "--signing-key", tmp_path / "key"]
    assert "no engine's beginning" in run("push", "ffff", *common, "--state", tmp_path / "state", code=2)[1]
    assert "no engine store" in run("push", KEY, *common, "--state", tmp_path / "nowhere", code=2)[1]
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "key").chmod(0o644)
    _, errors = run("push", KEY, *common, "--state", tmp_path / "state", "--valid-days", "0", code=2)
    assert "chmod 600" in errors and "1 to 36500" in errors
