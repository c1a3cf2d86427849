"""The schema: defaults, bounds, described keys, and the checks across tables."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from edgeagent.camera.spec import SOURCE_KINDS
from edgeagent.config import schema
from edgeagent.config.schema import Config, MqttSettings
from edgeagent.errors import ConfigError

CAMERA = {"source": {"type": "synthetic"}}
SAMPLE = {"path": "sample:conveyor"}

TABLES = [
    *(getattr(schema, name) for name in dir(schema) if name.endswith("Settings")),
    Config,
    *SOURCE_KINDS.values(),
]


def test_the_defaults_are_a_config():
    config = Config()
    assert config.device.id is None
    assert config.device.state_dir == "/var/lib/edgeagent"
    assert config.mqtt.url == "mqtt://127.0.0.1:1883"
    assert config.engines.calibration_frames == 64
    assert config.cameras == config.models == config.pipelines == {}


def test_a_pipeline_has_its_defaults():
    pipeline = Config.model_validate(
        {"cameras": {"a": CAMERA}, "models": {"m": SAMPLE}, "pipelines": {"p": {"camera": "a", "model": "m"}}}
    ).pipelines["p"]
    assert (pipeline.min_score, pipeline.iou, pipeline.max_detections) == (0.35, 0.5, 100)
    assert pipeline.classes is None
    assert pipeline.enabled


@pytest.mark.parametrize(
    ("keys", "ladder"),
    [
        ({}, ["rate 50%", "rate 25%", "placement dla", "pause"]),
        ({"critical": True}, ["rate 50%", "placement dla", "power low-power", "rate 25%"]),
        ({"shed": []}, []),
        ({"shed": [" rate  12.5 %", "pause"]}, ["rate 12.5%", "pause"]),
    ],
)
def test_a_pipeline_has_a_ladder(keys, ladder):
    tables = {
        "cameras": {"a": CAMERA},
        "models": {"m": SAMPLE},
        "pipelines": {"p": {"camera": "a", "model": "m", **keys}},
    }
    config = Config.model_validate(tables)
    assert [step.line() for step in config.pipelines["p"].ladder] == ladder
    assert Config.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_every_key_is_described(table):
    for name, field in table.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert not field.is_required() or field.examples, f"{name} has neither a default nor an example"


def test_a_config_survives_json():
    config = Config.model_validate(
        {
            "cameras": {"a": CAMERA},
            "models": {"m": SAMPLE},
            "pipelines": {"p": {"camera": "a", "model": "m", "classes": ["bolt"]}},
        }
    )
    assert config.pipelines["p"].classes == ("bolt",)
    assert Config.model_validate_json(config.model_dump_json()) == config
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_an_inconsistent_config_cannot_exist():
    with pytest.raises(ValidationError, match="no camera has the id"):
        Config.model_validate({"models": {"m": SAMPLE}, "pipelines": {"p": {"camera": "a", "model": "m"}}})


def test_a_device_without_an_id_says_so():
    assert Config.model_validate({"device": {"id": "line-3"}}).device_id == "line-3"
    with pytest.raises(ConfigError, match=r"device\.id is not set"):
        _ = Config().device_id


@pytest.mark.parametrize(
    "url", ["mqtt://broker", "mqtts://10.0.0.1:443/", "ws://[::1]:1884", "wss://broker:8084/a/b-c"]
)
def test_a_broker_url_is_taken_as_it_is(url):
    assert MqttSettings(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker",
        "http://broker",
        "mqtt://",
        "mqtt://u:p@broker",
        "mqtt://h:0",
        "mqtt://h:x",
        "mqtt://h/topic",
        "mqtt://a b",
        "mqtt://fd00::1",
        "wss://broker?token=x",
        "ws://broker/a b",
    ],
)
def test_a_wrong_broker_url_is_refused(url):
    with pytest.raises(ValidationError):
        MqttSettings(url=url)


def test_loading_a_config_imports_nothing_heavy():
    heavy = {"numpy", "cv2", "onnxruntime", "onnx", "paho", "anyio", "structlog", "rich", "tensorrt"}
    program = (
        "import sys; import edgeagent.config.commands as c; c.command_show(None, 'host'); c.command_template();"
        f"print(sorted({heavy!r} & {{name.partition('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == []


def test_the_rooms_own_modules_are_small():
    for module in Path(schema.__file__).parent.glob("*.py"):
        assert len(module.read_text(encoding="utf-8").splitlines()) <= 300, module


def test_the_outbox_has_a_budget_and_results_a_time() -> None:
    config = Config.model_validate({"outbox": {"max_mb": 4}, "mqtt": {"results_expiry_s": 120}})
    assert config.outbox.max_bytes == 4 << 20
    assert config.mqtt.results_expiry_s == 120.0
    assert (Config().outbox.max_mb, Config().mqtt.results_expiry_s) == (32, 10.0)
    for wrong in ({"outbox": {"max_mb": 0}}, {"outbox": {"max_mb": 257}}, {"mqtt": {"results_expiry_s": 0.5}}):
        with pytest.raises(ValidationError):
            Config.model_validate(wrong)
