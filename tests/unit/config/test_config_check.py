"""Mistakes: each in plain words, with its path and a mend, all at once."""

import sys

import pytest

from edgeagent.config.check import find_mistakes, render_mistakes
from edgeagent.config.mistake import ConfigMistakesError, Mistake
from edgeagent.config.schema import Config

SECRET = "s3kr1t"
HALF = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
POLYGON = "pipelines.p.regions.0.polygon"
CORNERS = "for example polygon = [[0.1, 0.4], [0.9, 0.4], [0.9, 1.0], [0.1, 1.0]], clockwise or not"


def camera(**source):
    return {"cameras": {"belt": {"source": source}}}


def synthetic(**keys):
    return camera(type="synthetic", **keys)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"mqt": {}}, "mqt: unknown key (did you mean mqtt?)"),
        ({"mqtt": {"keepalive": 3}}, "mqtt.keepalive: unknown key (did you mean keepalive_s?)"),
        (
            {"thermal": {"zzz": 3}},
            "thermal.zzz: unknown key (known here: warn_headroom_c, govern, set_point_below_c, pace, memory_floor_mb, "
            "restore_after_s)",
        ),
        (
            {"thermal": {"a.b c": 3}},
            'thermal."a.b c": unknown key (known here: warn_headroom_c, govern, set_point_below_c, pace, '
            "memory_floor_mb, restore_after_s)",
        ),
        (
            {"mqtt": {"keepalive_s": "30"}},
            "mqtt.keepalive_s: wants a whole number, 5 to 3600, got text (for example keepalive_s = 30)",
        ),
        (
            {"mqtt": {"keepalive_s": 1}},
            "mqtt.keepalive_s: 1 is out of range (wants a whole number, 5 to 3600; for example keepalive_s = 30)",
        ),
        (
            {"mqtt": {"keepalive_s": 10**5000}},
            "mqtt.keepalive_s: a very large number is out of range"
            " (wants a whole number, 5 to 3600; for example keepalive_s = 30)",
        ),
        (
            {"mqtt": {"connect_timeout_s": float("nan")}},
            "mqtt.connect_timeout_s: nan is out of range (wants a number, 1 to 120;"
            " for example connect_timeout_s = 10.0)",
        ),
        (
            {"mqtt": {"protocol": 5}},
            'mqtt.protocol: wants one of "auto", "5", "3.1.1", got 5 (did you mean protocol = "5"?)',
        ),
        (
            {"engines": {"precision": ["int8"]}},
            'engines.precision: wants one of "int8", "fp16", "fp32", got a list (for example precision = "int8")',
        ),
        ({"mqtt": {"results_qos": True}}, "mqtt.results_qos: wants a number, got true or false (write 0 or 1)"),
        ({"mqtt": {"results_qos": 2}}, "mqtt.results_qos: wants one of 0, 1, got 2 (for example results_qos = 0)"),
        ({"mqtt": {"username": ""}}, 'mqtt.username: is empty (for example username = "line-3", or leave the key out)'),
        ({"mqtt": {"username": "x" * 300}}, "mqtt.username: is too long (shorten it)"),
        ({"mqtt": {"password_file": "/x"}}, "mqtt.password_file: is set without a user name (add mqtt.username)"),
        (
            {"mqtt": {"cert_file": "/x", "url": "mqtts://h"}},
            "mqtt.cert_file: is set without its key (add mqtt.key_file)",
        ),
        (
            {"mqtt": {"key_file": "credential:k"}},
            "mqtt.key_file: is set without its certificate (add mqtt.cert_file)",
        ),
        (
            {"mqtt": {"ca_file": "/x", "url": "ws://h"}},
            "mqtt.ca_file: is set, and no broker is reached over TLS "
            "(write mqtts:// or wss:// for the broker, or leave it out)",
        ),
        (
            {"mqtt": {"url": "mqtt://h", "fallback_urls": ["mqtt://h"]}},
            "mqtt.fallback_urls.0: is named before (name each broker once)",
        ),
        (
            {"mqtt": {"username": "u", "password_file": "secret"}},
            "mqtt.password_file: wants an absolute path or credential:NAME (start it with / or credential:)",
        ),
        (
            {"mqtt": {"ca_file": "credential:a/b", "url": "mqtts://h"}},
            "mqtt.ca_file: wants a credential's name after credential: (use letters, digits, _ - and .)",
        ),
        (
            {"mqtt": {"url": f"mqtt://u:{SECRET}@h"}},
            "mqtt.url: holds a user name or password (move them to mqtt.username and mqtt.password_file)",
        ),
        ({"device": {"state_dir": "var"}}, "device.state_dir: wants an absolute path (start it with /)"),
        (
            {"device": {"id": "Line 3"}},
            'device.id: "Line 3" is not an id (an id is 1 to 64 of a-z, 0-9 and -,'
            " and neither starts nor ends with -, for example line-3)",
        ),
        ({"power": []}, "power: wants a table, got a list (for example power = {})"),
        ({"power": None}, "power: wants a table, got nothing (for example power = {})"),
        ({"\ud800": 1}, "config: holds a key or a text that is not valid Unicode (type it anew)"),
        ([], "config: wants a table, got a list (for example [device])"),
        (
            {"models": {"m": {"path": "sample:conveyer"}}},
            'models.m.path: no sample model of this name is shipped (the shipped ones are: "sample:conveyor")',
        ),
        (
            {"models": {"m": {"path": "registry:12ab"}}},
            "models.m.path: wants a model's digest after registry: (`edgeagent engine push --model` prints it: 64 hex "
            "digits)",
        ),
        ({"models": {"m": {}}}, 'models.m.path: is missing (add path = "sample:conveyor")'),
        ({"cameras": {"belt": {}}}, 'cameras.belt.source: is missing (add source = { type = "synthetic" })'),
        (
            {"cameras": {"belt": {"source": 3}}},
            'cameras.belt.source: wants a table, got a whole number (for example source = { type = "synthetic" })',
        ),
        (
            camera(),
            'cameras.belt.source.type: is missing (add one of: type = "synthetic", type = "file", type = "v4l2",'
            ' type = "rtsp", type = "gstreamer", type = "csi")',
        ),
        (
            camera(type="vl42"),
            'cameras.belt.source.type: there is no type "vl42" (did you mean type = "v4l2"?)',
        ),
        (camera(type="csi"), "cameras.belt.source.sensor_id: is missing (add sensor_id = 0)"),
        (synthetic(fsp=3), "cameras.belt.source.fsp: unknown key (did you mean fps?)"),
        (
            synthetic(fps=0),
            "cameras.belt.source.fps: 0 is out of range (wants a number, above 0, at most 240; for example fps = 30.0)",
        ),
        (
            camera(type="v4l2", device="/dev/video0", width=True, height=480),
            "cameras.belt.source.width: wants a whole number, 16 to 8192, got true or false (for example width = 1280)",
        ),
        (
            camera(type="v4l2", device="/dev/video0", width=640),
            "cameras.belt.source: width and height go together (give both or neither)",
        ),
        (
            camera(type="v4l2", device="video0"),
            'cameras.belt.source.device: wants a path under /dev (for example device = "/dev/video0")',
        ),
    ],
)
def test_one_mistake_is_one_plain_line(data, line):
    assert render_mistakes(find_mistakes(data)) == line


def pipeline(**keys):
    return {
        "cameras": {"belt": {"source": {"type": "synthetic"}}},
        "models": {"parts": {"path": "sample:conveyor"}},
        "pipelines": {"p": {"camera": "belt", "model": "parts", **keys}},
    }


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"camera": "bell"}, 'pipelines.p.camera: no camera has the id "bell" (did you mean "belt"?)'),
        (
            {"camera": "x"},
            'pipelines.p.camera: no camera has the id "x" (add a table [cameras.x], or name one of: belt)',
        ),
        (
            {"model": "x", "enabled": False},
            'pipelines.p.model: no model has the id "x" (add a table [models.x], or name one of: parts)',
        ),
        (
            {"classes": []},
            'pipelines.p.classes: is empty (for example classes = ["bolt", "nut"], or leave the key out)',
        ),
        (
            {"classes": ["a", 3]},
            'pipelines.p.classes.1: wants text, got a whole number (for example classes = ["bolt", "nut"])',
        ),
        (
            {"shed": ["rate 50%", "slower"]},
            'pipelines.p.shed.1: "slower" is no step (a step is "rate 50%", "rate 5/s", "placement dla", "model ID", '
            '"power INTENT" or "pause")',
        ),
        (
            {"shed": ["rate 0%"]},
            'pipelines.p.shed.0: "rate 0%" is no lower rate (write 1% to 99%, or "pause" for nothing)',
        ),
        (
            {"shed": ["rate 25%", "rate 50%"]},
            'pipelines.p.shed: "rate 50%" is not below "rate 25%" before it (write rates from high to low)',
        ),
        (
            {"shed": ["pause", "rate 50%"]},
            'pipelines.p.shed: "rate 50%" comes after "pause" (put "pause" last: nothing is left to give up after it)',
        ),
        (
            {"shed": ["rate 50%", "pause"], "critical": True},
            "pipelines.p.shed.1: would stop a critical pipeline (leave it out: the last rate is its floor)",
        ),
        (
            {"shed": ["model part"]},
            'pipelines.p.shed.0: no model has the id "part" (did you mean "parts"?)',
        ),
        (
            {"shed": ["model parts"]},
            "pipelines.p.shed.0: is the model that the pipeline has anyway (name a smaller one)",
        ),
        (
            {"shed": "pause"},
            'pipelines.p.shed: wants a list of texts, got text (for example shed = ["rate 50%", "rate 10%", "pause"])',
        ),
        (
            {"class_min_score": {"bolt": 1.5}},
            "pipelines.p.class_min_score.bolt: 1.5 is out of range (wants a number, 0 to 1; for example bolt = 0.6)",
        ),
        (
            {"class_min_score": {"bolt": "high"}},
            "pipelines.p.class_min_score.bolt: wants a number, 0 to 1, got text (for example bolt = 0.6)",
        ),
        ({"regions": [{"name": "a", "polygon": 3}]}, f"{POLYGON}: wants a list of corners, each [x, y] ({CORNERS})"),
        (
            {"regions": [{"name": "a", "polygon": [[0, 0], [1, 1]]}]},
            f"{POLYGON}: a polygon has 3 corners or more, not 2 ({CORNERS})",
        ),
        (
            {"regions": [{"name": "a", "polygon": [[0, 0], [640, 0], [640, 480]]}]},
            f"{POLYGON}: corner 2 lies outside the picture (corners are shares of the picture, from [0, 0] at the top "
            "left to [1, 1]; divide pixels by its size)",
        ),
        (
            {"regions": [{"name": "a", "polygon": [[0, 0], [1, 1], [1, 0], [0, 1]]}]},
            f"{POLYGON}: its sides 1 and 3 cross or touch (list the corners in their order)",
        ),
        (
            {"regions": [{"name": "a", "polygon": [[0, 0], [1, 0], [1, 0], [0, 1]]}]},
            f"{POLYGON}: corner 2 is the same as the next (leave it out; the last joins the first itself)",
        ),
        (
            {"regions": [{"name": "a", "polygon": [[0, 0], [1, 0], [0, True]]}]},
            f"{POLYGON}: corner 3 is no pair of numbers ({CORNERS})",
        ),
        (
            {"regions": [{"name": "a", "polygon": [[0, 0], [1, 0], [0.5]]}]},
            f"{POLYGON}: corner 3 is no pair [x, y] ({CORNERS})",
        ),
        (
            {"regions": [{"name": "a", "polygon": [[0, 0], [1e-4, 0], [0, 1e-4]]}]},
            f"{POLYGON}: encloses nothing (corners are shares of the picture, 0 to 1, not pixels)",
        ),
        (
            {"regions": [{"name": "a", "polygon": HALF}, {"name": "a", "polygon": HALF}]},
            "pipelines.p.regions: two regions have the name a (give each a name of its own)",
        ),
        ({"regions": [{"polygon": HALF}]}, 'pipelines.p.regions.0.name: is missing (add name = "lane-1")'),
        (
            {"regions": [{"name": "a", "kind": "exclud", "polygon": HALF}]},
            'pipelines.p.regions.0.kind: wants one of "include", "exclude", got "exclud"'
            ' (did you mean kind = "exclude"?)',
        ),
        (
            {"regions": "left"},
            "pipelines.p.regions: wants a list of tables, got text (for example regions = "
            '[{ kind = "include", name = "lane-1", polygon = [[0.1, 0.4], [0.9, 0.4], [0.9, 1.0], [0.1, 1.0]] }])',
        ),
        (
            {"results": "changes"},
            'pipelines.p.results: wants one of "all", "change", got "changes" (did you mean results = "change"?)',
        ),
        (
            {"priority": 200},
            "pipelines.p.priority: 200 is out of range (wants a whole number, -100 to 100; for example priority = 0)",
        ),
    ],
)
def test_a_mistake_of_a_pipeline(keys, line):
    assert render_mistakes(find_mistakes(pipeline(**keys))) == line


def two_cameras(first, second, enabled=True):
    return {"cameras": {"a": {"source": first}, "b": {"source": second, "enabled": enabled}}}


V4L2 = {"type": "v4l2", "device": "/dev/video0"}
CSI = {"type": "csi", "sensor_id": 0}


def test_two_cameras_cannot_hold_one_device():
    mistakes = find_mistakes(two_cameras(V4L2, {**V4L2, "device": "/dev//video0"}))
    assert [one.path for one in mistakes] == ["cameras.b.source.device"]
    mistakes = find_mistakes(two_cameras(CSI, CSI))
    assert [one.path for one in mistakes] == ["cameras.b.source.sensor_id"]


def test_cameras_that_do_not_clash_may_be_alike():
    assert find_mistakes(two_cameras(V4L2, V4L2, enabled=False)) == []
    assert find_mistakes(two_cameras(V4L2, CSI)) == []
    assert find_mistakes(two_cameras({"type": "synthetic"}, {"type": "synthetic"})) == []


def test_all_mistakes_are_told_at_once():
    data = {
        "mqtt": {"keepalive_s": 1, "pasword": "x"},
        **two_cameras(V4L2, V4L2),
        "pipelines": {"p": {"camera": "x", "model": "Big Model", "min_score": 2}},
        "extra": 1,
    }
    assert [one.path for one in find_mistakes(data)] == [
        "mqtt.keepalive_s",
        "mqtt.pasword",
        "pipelines.p.model",
        "pipelines.p.min_score",
        "extra",
        "pipelines.p.camera",
        "cameras.b.source.device",
    ]


def test_an_id_of_a_table_is_checked():
    mistakes = find_mistakes({"cameras": {"Big Cam": {"source": {"type": "synthetic"}}}})
    assert [one.path for one in mistakes] == ['cameras."Big Cam"']
    assert "for example big-cam" in mistakes[0].mend


@pytest.mark.parametrize("good", ["a", "0", "a-b", "a" * 64, "line--3"])
def test_a_good_id(good):
    assert find_mistakes({"device": {"id": good}}) == []


@pytest.mark.parametrize("wrong", ["", "-a", "a-", "A", "a_b", "a.b", "a" * 65, "a\n", "é"])
def test_a_wrong_id(wrong):
    assert [one.path for one in find_mistakes({"device": {"id": wrong}})] == ["device.id"]


@pytest.mark.parametrize(
    "data",
    [
        camera(type="rtsp", url=f"http://u:{SECRET}@h/x"),
        camera(type="rtsp", url=f"rtsp://u:{SECRET}@h/x", transport=f"rtsp://u:{SECRET}@h/x"),
        camera(type=f"rtsp://u:{SECRET}@h/x"),
        camera(type="gstreamer", pipeline=f"rtspsrc user-pw={SECRET}"),
        {"mqtt": {"password": SECRET}},
        {"mqtt": {"url": f"mqtt://u:{SECRET}@h:x"}},
        {"mqtt": {"url": [f"mqtt://u:{SECRET}@h:x"]}},
        {"device": {"id": f"rtsp://u:{SECRET}@h"}},
    ],
)
def test_no_mistake_shows_a_secret(data):
    mistakes = find_mistakes(data)
    assert mistakes
    assert SECRET not in render_mistakes(mistakes)


@pytest.mark.parametrize(
    "data",
    [
        {3: 4},
        {"cameras": {3: {}}},
        {"mqtt": {"url": "\ud800"}},
        {"mqtt": {"a\ud800b": 1}},
        {"cameras": {"\ud800": {}}},
        {"pipelines": {"p": {"camera": "\ud800", "model": "\n\x1b[31m"}}},
        {"a\nb": 1},
    ],
)
def test_odd_keys_and_texts_stay_printable(data):
    mistakes = find_mistakes(data)
    assert mistakes
    for one in mistakes:
        assert one.line().encode("utf-8").decode().isprintable()


def test_a_bottomless_document_is_refused():
    data = inner = {}
    for _ in range(sys.getrecursionlimit()):
        inner["a"] = inner = {}
    assert [one.message for one in find_mistakes(data)] == ["tables or lists nest too deep"]


def test_a_config_without_mistakes_is_a_config():
    assert find_mistakes({}) == []
    assert find_mistakes(pipeline()) == []
    assert Config.model_validate(pipeline()).pipelines["p"].camera == "belt"


def test_many_mistakes_are_one_error():
    mistakes = [Mistake("a.b", "is missing", "add it"), Mistake("", "wants a table", "write one")]
    error = ConfigMistakesError("/etc/x.toml", mistakes)
    assert error.mistakes == tuple(mistakes)
    assert error.line() == "/etc/x.toml has 2 mistakes: a.b: is missing (add it); config: wants a table (write one)"
    assert error.who == "operator"
