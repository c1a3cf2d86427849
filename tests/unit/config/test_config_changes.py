"""The table of keys and consequences: whole, and what it says of two configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeagent.config import settings
from edgeagent.config.changes import MEANING, TABLE, changes_between, consequence_of, fits, rows_for
from edgeagent.config.remote_document import with_tables
from edgeagent.config.schema import Config

BASE: dict[str, Any] = {
    "device": {"id": "line-3"},
    "cameras": {"belt": {"source": {"type": "synthetic"}}},
    "models": {"parts": {"path": "sample:conveyor"}},
    "pipelines": {"all": {"camera": "belt", "model": "parts"}},
}


def leaf_keys() -> set[tuple[str, ...]]:
    """Every key of the schema that is no table; an id is `ID`, and a list is one key, whatever it is a list of."""
    return {
        setting.path
        for path, node in settings.tables()
        if settings.EACH not in path
        for setting in settings.settings(path, node)
    }


def test_every_key_of_the_schema_has_exactly_one_row() -> None:
    rows = {path: rows_for(path) for path in leaf_keys()}
    assert len(rows) > 100
    assert {path: found for path, found in rows.items() if len(found) != 1} == {}


def test_every_row_is_of_a_key_that_there_is() -> None:
    keys = leaf_keys()
    patterns = [pattern for patterns in TABLE.values() for pattern in patterns]
    assert len(patterns) == len(set(patterns))
    assert [pattern for pattern in patterns if not any(fits(tuple(pattern.split(".")), key) for key in keys)] == []
    assert TABLE.keys() == MEANING.keys()


def config(**changes: Any) -> Config:
    return Config.model_validate({**BASE, **changes})


@pytest.mark.parametrize(
    ("path", "consequence"),
    [
        ("remote.allow", "at-once"),
        ("pipelines.all.min_score", "pipeline"),
        ("pipelines.all.class_min_score.bolt", "pipeline"),
        ("cameras.belt.source.fps", "camera"),
        ("engines.infer_threads", "infer"),
        ("mqtt.url", "link"),
        ("a.key.of.tomorrow", "agent"),
    ],
)
def test_a_key_has_its_consequence(path: str, consequence: str) -> None:
    assert consequence_of(tuple(path.split("."))) == consequence


def test_nothing_has_changed_in_the_same_config() -> None:
    changes = changes_between(config(), config())
    assert not changes
    assert not changes.has("agent", "link")


def test_one_key() -> None:
    changes = changes_between(config(), config(mqtt={"keepalive_s": 20}))
    assert dict(changes.keys) == {("mqtt", "keepalive_s"): "link"}
    assert changes.has("link") and changes.touches("mqtt", "link") and not changes.touches("mqtt", "agent")


def test_a_camera_that_comes_or_goes_differs_in_all_of_its_keys() -> None:
    more = config(cameras={**BASE["cameras"], "gate": {"source": {"type": "synthetic"}}})
    for old, new in ((config(), more), (more, config())):
        changes = changes_between(old, new)
        assert changes.ids("cameras", "camera") == changes.ids("cameras", "infer") == {"gate"}
        assert not changes.touches("pipelines", "pipeline")


def test_the_first_camera_and_pipeline_are_set_up_beside_the_rest() -> None:
    """A device that is installed without any gets them over MQTT: its link and its session stay."""
    none = config(cameras={}, models={}, pipelines={})
    for old, new in ((none, config()), (config(), none)):
        assert not changes_between(old, new).has("agent", "link")


def test_another_kind_of_source_is_a_change_of_that_camera_only() -> None:
    rtsp = config(cameras={"belt": {"source": {"type": "rtsp", "url": "rtsp://h/x"}}})
    changes = changes_between(config(), rtsp)
    assert set(changes.keys.values()) == {"camera"}


def test_the_page_is_up_to_date() -> None:
    document = (Path(__file__).parents[3] / "docs" / "remote-config.md").read_text(encoding="utf-8")
    assert with_tables(document) == document, "python -m edgeagent.config.remote_document docs/remote-config.md"
