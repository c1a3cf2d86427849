"""Requests: what is understood, and what is refused before anything is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeagent.install.errors import InstallError, RequestError
from edgeagent.install.layout import setting, with_wishes
from edgeagent.install.options import parse_options
from edgeagent.install.system import last_words

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("action", ["upgrade", "rollback", "uninstall", "purge", "judge"])
def test_actions(action: str) -> None:
    assert parse_options([f"--{action}"]).action == action


def test_without_an_action_it_is_installing() -> None:
    found = parse_options(["--broker", "mqtt://b", "--fleet", "north", "--any-host", "--dry-run"])
    assert (found.action, found.broker, found.fleet) == ("install", "mqtt://b", "north")
    assert (found.any_host, found.dry_run, found.provisions) == (True, True, True)
    assert not parse_options(["--upgrade"]).provisions


def test_a_bundle_is_for_devices_unless_told_otherwise() -> None:
    found = parse_options(["--bundle", "x.tar"])
    assert (found.action, found.arch, found.pythons) == ("bundle", "aarch64", ("3.10", "3.12"))
    assert parse_options(["--bundle", "x.tar", "--python", "3.11"]).pythons == ("3.11",)


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "a.toml", "--broker", "mqtt://b"],
        ["--uninstall", "--fleet", "north"],
        ["--rollback", "--offline", "x.tar"],
        ["--healthy-within", "0"],
        ["--healthy-within", "5"],
        ["--healthy-within", "nan"],
    ],
)
def test_requests_that_contradict_themselves_are_refused(words: list[str]) -> None:
    with pytest.raises(RequestError) as refused:
        parse_options(words)
    assert refused.value.status == 2


@pytest.mark.parametrize("words", [["--upgrade", "--purge"], ["--upgrad"], ["now"]])
def test_what_cannot_be_read_is_refused_in_one_line(words: list[str]) -> None:
    with pytest.raises(RequestError) as refused:
        parse_options(words)
    assert refused.value.status == 2
    assert "\n" not in refused.value.line() and "--help" in refused.value.mend


def test_wishes_go_into_the_template() -> None:
    template = '[device]\n# About.\n#fleet = "default"\n\n[mqtt]\n#url = "mqtt://127.0.0.1:1883"\n[other]\n#url = "x"\n'
    text = with_wishes(template, broker='mqtt://b"c', fleet="north")
    assert 'fleet = "north"\n' in text and '[mqtt]\nurl = "mqtt://b\\"c"\n[other]\n#url = "x"\n' in text
    assert with_wishes(template, broker=None, fleet=None) == template
    with pytest.raises(InstallError, match="no line for"):
        with_wishes("[device]\n[mqtt]\n", broker="mqtt://b", fleet=None)


def test_a_setting_of_what_config_show_says() -> None:
    shown = '{"settings": [{"key": "mqtt.url", "value": "mqtt://b"}]}'
    assert setting(shown, "mqtt.url") == "mqtt://b"
    assert setting(shown, "device.fleet") is None
    assert setting("not JSON", "mqtt.url") is None


def test_install_sh_explains_itself_and_needs_no_root_for_it() -> None:
    said = subprocess.run([REPOSITORY / "install.sh", "--help"], capture_output=True, text=True, check=True).stdout
    for word in ("--upgrade", "--rollback", "--uninstall", "--purge", "--bundle", "--offline", "--demo", "--test"):
        assert word in said


def test_the_installed_copy_says_that_it_holds_no_release(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "edgeagent/install", tmp_path / "edgeagent/install")
    (tmp_path / "edgeagent/__init__.py").write_text('__version__ = "1.0"\n')
    command = [sys.executable, "-I", str(tmp_path / "edgeagent/install/run.py"), "--any-host", "--dry-run"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "has no release with it" in ended.stderr


def test_of_a_failure_the_errors_are_told_and_not_what_surrounds_them() -> None:
    said = "noise\n  ERROR: No matching distribution found for x\n  [end of output]\n\nnote: not a problem with pip.\n"
    failed = subprocess.CompletedProcess([], 1, "", said)
    assert last_words(failed) == "ERROR: No matching distribution found for x"
    assert last_words(subprocess.CompletedProcess([], 1, "", "one\n\ntwo\n")) == "one; two"


@pytest.mark.parametrize("to", [">&-", ">/dev/full"])
def test_an_output_that_takes_nothing_does_not_end_the_work(to: str) -> None:
    code = "from edgeagent.install.system import say; say('one'); say('two'); import sys; sys.exit(7)"
    command = ["sh", "-c", f'exec "$0" -c "$1" {to}', sys.executable, code]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False)
    assert (ended.returncode, ended.stderr) == (7, "")


@pytest.mark.parametrize("name", [".", "nowhere/x.tar"])
def test_a_bundle_that_cannot_be_written_is_refused_before_anything_is_fetched(tmp_path: Path, name: str) -> None:
    command = [REPOSITORY / "install.sh", "--bundle", name]
    environment = {**os.environ, "PYTHON": sys.executable}
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert f"--bundle: {name} cannot be a file" in ended.stderr


def test_a_link_to_install_sh_is_as_good_as_itself(tmp_path: Path) -> None:
    (tmp_path / "edgeagent-install").symlink_to(REPOSITORY / "install.sh")
    command = [tmp_path / "edgeagent-install", "--bundle=x.tar", "--healthy-within", "0"]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHON": sys.executable}, check=False
    )
    assert (ended.returncode, ended.stderr.count("--healthy-within wants")) == (2, 1), ended.stderr


def test_a_reader_that_has_gone_does_not_end_the_work() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "from edgeagent.install.system import say; say('one'); say('two'); print('three')"
    ended = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")
