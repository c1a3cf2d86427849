"""What people and programs get to see: rows, JSON schema, template, reference page, the commands."""

import json
import re
import sys
from pathlib import Path

import jsonschema
import pytest

from edgeagent.config import settings
from edgeagent.config.commands import command_check, command_schema, command_show, command_template
from edgeagent.config.document import render_document
from edgeagent.config.files import load_config
from edgeagent.config.schema import Config
from edgeagent.config.show import effective_rows, json_schema
from edgeagent.config.template import default_config_toml
from edgeagent.config.toml_text import NOT_SET, dotted, toml_value

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECRET = "s3kr1t"
PAGE = Path(__file__).parents[3] / "docs" / "config.md"

GOOD = f"""
[cameras.belt.source]
type = "rtsp"
url = "rtsp://u:{SECRET}@cam/live"
[models.parts]
path = "sample:conveyor"
[pipelines.belt-parts]
camera = "belt"
model = "parts"
classes = ["bolt"]
"""


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_every_setting_in_force_has_a_row(good):
    loaded = load_config(good, {}, "host")
    rows = {key: (value, layer) for key, value, layer in effective_rows(loaded)}
    assert rows.keys() == loaded.provenance.keys()
    assert rows["device.id"] == ('"host"', "host name")
    assert rows["cameras.belt.source.transport"] == ('"tcp"', "default")
    assert rows["cameras.belt.source.url"] == ('"rtsp://***@cam/live"', "file")
    assert rows["pipelines.belt-parts.classes"] == ('["bolt"]', "file")
    assert rows["pipelines.belt-parts.min_score"] == ("0.35", "default")
    assert rows["mqtt.username"] == (NOT_SET, "default")


def test_empty_tables_have_a_row_too():
    rows = effective_rows(load_config(None, {}, "host"))
    assert ("cameras", "{}", "default") in rows


def test_rows_load_back(good):
    loaded = load_config(good, {"cameras": {"belt": {"source": {"type": "synthetic"}}}}, "host")
    text = "\n".join(f"{key} = {value}" for key, value, _ in effective_rows(loaded) if value != NOT_SET)
    assert Config.model_validate(tomllib.loads(text)) == loaded.config


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NOT_SET),
        (True, "true"),
        (3, "3"),
        (0.35, "0.35"),
        ('a"b\\\n\x07', '"a\\"b\\\\\\n\\u0007"'),
        ("\U000e0001", '"\\U000E0001"'),
        ([1, "a"], '[1, "a"]'),
        ({"a": 1, "b c": None, "d e": 2}, '{ a = 1, "d e" = 2 }'),
        ({}, "{}"),
    ],
)
def test_a_value_as_toml(value, text):
    assert toml_value(value) == text
    if value is not None and text != NOT_SET and "b c" not in str(value):
        assert tomllib.loads(f"x = {text}") == {"x": value}


def test_a_path_as_toml():
    assert dotted(("cameras", "Big Cam", 3)) == 'cameras."Big Cam".3'


def test_the_schema_is_valid_draft_2020_12():
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("data", "valid"),
    [
        ({}, True),
        (tomllib.loads(GOOD), True),
        ({"mqt": {}}, False),
        ({"mqtt": {"url": "http://h"}}, False),
        ({"device": {"state_dir": "var"}}, False),
        ({"cameras": {"a": {"source": {}}}}, False),
        ({"cameras": {"Big Cam": {"source": {"type": "synthetic"}}}}, False),
        ({"engines": {"calibration_frames": 3}}, False),
    ],
)
def test_the_schema_agrees_with_the_config(data, valid):
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(data) is valid


def test_the_schema_describes_every_key():
    for path, table in settings.tables():
        for setting in settings.settings(path, table):
            assert setting.meaning, setting.path
            assert setting.wants != "a value", setting.path


def test_the_template_loads_to_the_defaults():
    assert Config.model_validate(tomllib.loads(default_config_toml())) == Config()


def test_the_template_uncommented_is_a_config_of_defaults_and_examples():
    text = re.sub(r"^#(?! )", "", default_config_toml(), flags=re.MULTILINE)
    config = Config.model_validate(tomllib.loads(text))
    assert config.engines.calibration_frames == Config().engines.calibration_frames
    assert config.pipelines["belt-parts"].camera == "belt"
    assert config.cameras["belt"].enabled
    assert config.device.id == "line-3"


def test_the_template_names_every_key_and_each_source():
    template = default_config_toml()
    for path, table in settings.tables():
        for setting in settings.settings(path, table):
            if settings.EACH in path:
                assert f"{setting.name} = " in template, setting.path
            else:
                assert "source" in setting.path[:-1] or f"#{setting.name} = " in template, setting.path
    for line in re.findall(r"# Or: (source = .*)", template):
        Config.model_validate({"cameras": {"a": tomllib.loads(line)}})


def test_the_reference_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == render_document(), (
        "run: python -m edgeagent.config.document docs/config.md"
    )


def test_checking_a_good_file(good):
    assert command_check(good) == (0, f"{good}: no mistakes")
    code, text = command_check(good, as_json=True)
    assert (code, json.loads(text)) == (0, {"ok": True, "mistakes": []})


def test_checking_a_wrong_file(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text("[mqtt]\nkeepalive_s = 1\n[engine]\n", encoding="utf-8")
    code, text = command_check(path)
    assert code == 2
    assert [line.partition(":")[0] for line in text.splitlines()] == ["mqtt.keepalive_s", "engine"]
    code, text = command_check(path, as_json=True)
    told = json.loads(text)
    assert (code, told["ok"]) == (2, False)
    assert told["mistakes"][1] == {"path": "engine", "message": "unknown key", "mend": "did you mean engines?"}


@pytest.mark.parametrize("command", [command_check, lambda path, as_json: command_show(path, "host", as_json)])
def test_a_missing_file_is_the_operators_matter(tmp_path, command):
    code, text = command(tmp_path / "nothing.toml", False)
    assert code == 2
    assert "does not exist (`edgeagent config template`" in text
    code, text = command(tmp_path / "nothing.toml", True)
    assert code == 2
    assert json.loads(text)["mistakes"][0]["path"] == ""


def test_showing_a_file(good):
    code, text = command_show(good, "host")
    assert code == 0
    assert SECRET not in text
    assert re.search(r"^pipelines\.belt-parts\.camera +\"belt\" +file$", text, re.MULTILINE)
    code, text = command_show(good, "host", as_json=True)
    assert code == 0
    assert SECRET not in text
    assert {"key": "mqtt.username", "value": None, "layer": "default"} in json.loads(text)["settings"]


def test_showing_a_wrong_file_tells_its_mistakes(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text("[mqtt]\nkeepalive_s = 1\n[engine]\n", encoding="utf-8")
    code, text = command_show(path, "host")
    assert (code, len(text.splitlines())) == (2, 2)


def test_printing_schema_and_template():
    code, text = command_schema()
    assert (code, json.loads(text)) == (0, json_schema())
    code, text = command_template()
    assert code == 0
    assert text + "\n" == default_config_toml().rstrip("\n") + "\n"
