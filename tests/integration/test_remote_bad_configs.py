"""Bad desired configs, one after the other on one device: each time it is back on its last good config by itself.

Twenty-seven of them here, three of each kind; EDGEAGENT_BAD_CONFIGS=100 takes as many as it says.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from agent_kit import Family
from remote_kit import Device, device
from test_link_kit import free_port, needs_mosquitto

from edgeagent.fleet.measurements import Summary

COUNT = int(os.environ.get("EDGEAGENT_BAD_CONFIGS", "27"))
pytestmark = [needs_mosquitto, pytest.mark.timeout(120 + 10 * COUNT)]
Layer = dict[str, Any]
Wish = dict[str, Any]
GOOD: Layer = {"pipelines": {"parts": {"min_score": 0.4}}}


def pipeline(**settings: Any) -> Layer:
    return {"pipelines": {"parts": settings}}


def source(**spec: Any) -> Layer:
    return {"cameras": {"belt": {"source": {"open_timeout_s": 0.5, **spec}}}}


def second(spec: Layer) -> Layer:
    return {
        "cameras": {"gate": {"source": {"open_timeout_s": 0.5, **spec}}},
        "pipelines": {"second": {"camera": "gate", "model": "conveyor"}},
    }


def wrong_value(rng: Random, port: int) -> Wish:
    return {"config": pipeline(**rng.choice([{"min_score": 7}, {"iou": "much"}, {"model": "none"}, {"classes": []}]))}


def unknown_key(rng: Random, port: int) -> Wish:
    return {"config": rng.choice([{"nonsense": 1}, pipeline(min_scor=0.5), {"mqtt": {"hosst": "x"}}, source(type="x")])}


def forbidden(rng: Random, port: int) -> Wish:
    keys: list[Layer] = [
        {"device": {"id": "other"}},
        {"device": {"state_dir": "/tmp/x"}},
        {"remote": {"allow": ["mqtt"]}},
        {"mqtt": {"password_file": "/etc/shadow"}},
        {"mqtt": None},
        {"engines": {"plugins": ["/tmp/x.so"]}},
        {"engines": {"calibration_images": "/etc"}},
        {"registry": {"trusted_keys": []}},
        {"power": {"helper_socket": "/tmp/x"}},
        {"models": {"conveyor": {"path": "/etc"}}},
        source(type="file", path="/etc/shadow"),
        source(type="gstreamer", pipeline="filesrc location=/etc/shadow ! appsink"),
    ]
    return {"config": rng.choice(keys)}


def wrong_base(rng: Random, port: int) -> Wish:
    return {"base": rng.randint(2, 10**6), "patch": pipeline(min_score=0.5)}


def not_here(rng: Random, port: int) -> Wish:
    """What this device has not got: seen before it is tried, or while it is."""
    choices: list[Layer] = [
        pipeline(classes=["unicorn"]),
        {"engines": {"backend": "tensorrt"}},
        {"models": {"other": {"path": f"registry:{rng.randbytes(32).hex()}"}}, **pipeline(model="other")},
        {"engines": {"placement": "dla", "dla_fallback": "refuse"}},
    ]
    return {"config": rng.choice(choices)}


def cut_link(rng: Random, port: int) -> Wish:
    choices: list[Layer] = [
        {"url": f"mqtt://127.0.0.1:{free_port()}"},
        {"url": "mqtt://192.0.2.1", "connect_timeout_s": 1.0},
        {"url": "mqtt://no-such-host.invalid", "connect_timeout_s": 1.0},
        {"url": f"mqtts://127.0.0.1:{port}", "connect_timeout_s": 1.0},
        {"username": "nobody"},
    ]
    return {"config": {"mqtt": rng.choice(choices)}}


def dead_camera(rng: Random, port: int) -> Wish:
    spec: Layer = rng.choice(
        [
            {"type": "rtsp", "url": f"rtsp://127.0.0.1:{free_port()}/x"},
            {"type": "v4l2", "device": "/dev/video99"},
            {"type": "csi", "sensor_id": 7},
        ]
    )
    return {"config": rng.choice([second, lambda spec: source(**spec)])(spec)}


def no_power(rng: Random, port: int) -> Wish:
    return {"config": {"power": {"intent": "as-fast-as-light"}}}


def several(rng: Random, port: int) -> Wish:
    """Good changes beside a bad one: nothing of them may stay."""
    good = {"engines": {"infer_threads": 2}, "thermal": {"warn_headroom_c": 3.0}}
    return {"config": {**good, **cut_link(rng, port)["config"]}}


KINDS: list[Callable[[Random, int], Wish]] = [
    wrong_value, cut_link, forbidden, dead_camera, unknown_key, several, wrong_base, not_here, no_power,
]  # fmt: skip


def bad_wishes(port: int) -> Iterator[tuple[str, Wish]]:
    rng = Random(7)
    for number in range(COUNT):
        kind = KINDS[number % len(KINDS)]
        yield kind.__name__, kind(rng, port)


def password(folder: Path) -> tuple[Path, str]:
    """A file with the broker's only account, as mosquitto keeps it, and the password."""
    accounts = folder / "accounts"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(accounts), "line", "sesame"], check=True, capture_output=True)
    accounts.chmod(0o644)
    (folder / "password").write_text("sesame\n")
    return accounts, "sesame"


def test_the_device_is_back_on_its_last_good_config_by_itself_every_time(tmp_path: Path) -> None:
    accounts, secret = password(tmp_path)
    options = ("allow_anonymous false", f"password_file {accounts}", "user root")  # who may read the file
    mqtt = {"username": "line", "password_file": str(tmp_path / "password")}
    login = {"username": "line", "password": secret}
    soon = {"trial_s": 1.0, "trial_limit_s": 8.0}
    with device(tmp_path / "device", tmp_path / "state", *options, login=login, mqtt=mqtt, remote=soon) as it:
        good = it.wish(GOOD)
        assert good.state == "committed"
        ended = {}
        for kind, wish in bad_wishes(it.port):
            report = it.wish(**wish)
            where = (kind, wish, report)
            assert report.state in ("rolled_back", "rejected"), where
            assert report.reason and (report.errors or report.state == "rolled_back"), where
            assert (report.in_force, report.hash, report.desired) == (1, good.hash, GOOD), where
            ended[kind, report.state] = ended.get((kind, report.state), 0) + 1
        print("\n".join(f"{count:4} {kind} {state}" for (kind, state), count in sorted(ended.items())))
        still_serves(it)


def still_serves(it: Device) -> None:
    assert it.watcher.message(Summary, lambda s: s.results > 0 and s.camera == "belt")
    assert sorted(it.pids()) == ["agent", "capture-belt", "infer-cpu"]
    family: Family = it.family
    assert sum("_child" in command for command in family.members().values()) == 2
