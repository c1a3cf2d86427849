"""`edgeagent fleet` and its broker: none, one that refuses, one with TLS, one that speaks MQTT 3.1.1 only."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from fleet_cli_kit import Operator
from test_link_kit import Ear, amqtt, free_port, mosquitto, needs_mosquitto, program

from edgeagent.fleet.envelope import encode
from edgeagent.fleet.states import Status, StatusWord

WELL = "sim-0001"


def test_no_broker_is_said_in_plain_words(tmp_path: Path) -> None:
    operator = Operator(free_port(), tmp_path)
    for words in (("watch",), ("watch", "--once"), ("config", "get", WELL), ("cmd", "doctor", WELL)):
        done = operator.fleet(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"edgeagent: the broker {operator.url} cannot be reached: Connection refused (")


@needs_mosquitto
def test_a_broker_that_refuses_is_said_in_plain_words(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "ops", "right"], check=True)
    passwords.chmod(0o644)
    (tmp_path / "secret").write_text("wrong\n")
    operator = Operator(free_port(), tmp_path)
    with mosquitto(
        tmp_path, operator.port, "allow_anonymous false", f"password_file {passwords}", f"user {getpass.getuser()}"
    ):
        anonymous = operator.fleet("config", "get", WELL)
        wrong = operator.fleet("watch", "--once", "--username", "ops", "--password-file", str(tmp_path / "secret"))
        (tmp_path / "secret").write_text("right\n")
        right = operator.fleet(
            "watch", "--once", "--username", "ops", "--password-file", str(tmp_path / "secret"), "--wait", "1"
        )
    assert (anonymous.returncode, wrong.returncode, right.returncode) == (1, 1, 0), right.stderr
    assert "refuses a client without a user name: " in anonymous.stderr
    assert "refuses user ops: " in wrong.stderr
    assert "wrong\n" not in wrong.stderr.replace("edgeagent", "")


@needs_mosquitto
def test_a_guest_leaves_no_session_behind(tmp_path: Path) -> None:
    operator = Operator(free_port(), tmp_path)
    with mosquitto(tmp_path, operator.port, "persistence true", f"persistence_location {tmp_path}/") as log:
        operator.fleet("watch", "--once", "--wait", "0.5")
        log.wait(lambda line: "edgeagent-ops-" in line and "disconnected" in line)
        count = subprocess.run(
            ["mosquitto_sub", "-p", str(operator.port), "-t", "$SYS/broker/clients/total", "-C", "1", "-W", "15"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert int(count.stdout) <= 1  # the one that asks


@needs_mosquitto
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_broker_with_tls_is_verified(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=broker"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*request, *names, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    operator = Operator(free_port(), tmp_path)
    address = ("--broker", operator.url.replace("mqtt:", "mqtts:"), "--once", "--wait", "0.5")
    with mosquitto(tmp_path, operator.port, f"certfile {cert}", f"keyfile {key}", f"user {getpass.getuser()}"):
        trusted = operator.fleet("watch", *address, "--ca-file", str(cert))
        unknown = operator.fleet("watch", *address)
    assert trusted.returncode == 0, trusted.stderr
    assert unknown.returncode == 1
    assert "certificate" in unknown.stderr
    assert "--ca-file" in unknown.stderr


def test_a_broker_that_speaks_3_1_1_only(tmp_path: Path) -> None:
    operator = Operator(free_port(), tmp_path)
    with amqtt(operator.port):
        table = operator.fleet("watch", "--once", "--wait", "1")
        wish = operator.fleet("config", "set", WELL, "power.intent=balanced", "--unseen", "--answer", "1")
        again = operator.json("config", "get", WELL)
    assert (table.returncode, wish.returncode) == (0, 1), (table.stderr, wish.stderr)
    assert again[1][0]["pending"]["config"] == {"power": {"intent": "balanced"}}


def say(operator: Operator, state: StatusWord, seq: int) -> None:
    status = Status(session="boot-1", seq=seq, ts=1, state=state)
    topic = "edgeagent/v1/default/gate-07/status"
    command = ["mosquitto_pub", "-p", str(operator.port), "-t", topic, "-r", "-m", encode(status).decode()]
    subprocess.run(command, check=True)


@needs_mosquitto
def test_a_broker_that_goes_and_comes_again(tmp_path: Path) -> None:
    operator, heard = Operator(free_port(), tmp_path), Ear()
    watch = [sys.executable, "-m", "edgeagent", "fleet", "watch"]
    with ExitStack() as first:
        first.enter_context(mosquitto(tmp_path, operator.port))
        with program(watch, heard, env=operator.environment):
            say(operator, "ready", 1)
            heard.wait(lambda line: line.endswith("default/gate-07: ready"))
            first.close()
            heard.wait(lambda line: line.startswith("edgeagent: the broker"))
            with mosquitto(tmp_path, operator.port):
                heard.wait(lambda line: line == "edgeagent: connected again")
                say(operator, "updating", 2)
                heard.wait(lambda line: line.endswith("default/gate-07: ready -> updating"))
