"""Junk in, one plain line out: no dict and no file crashes the checks."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeagent.camera.spec import SOURCE_KINDS, describe_source, parse_source, redact_url
from edgeagent.config.check import find_mistakes
from edgeagent.config.commands import command_check, command_show
from edgeagent.config.effective import device_slug
from edgeagent.config.files import load_config
from edgeagent.config.mistake import ConfigMistakesError
from edgeagent.config.schema import Config
from edgeagent.config.settings import tables
from edgeagent.config.toml_text import NOT_SET, toml_value
from edgeagent.errors import ConfigError

TEXT = st.text(st.characters(), max_size=12)
KNOWN = sorted({part for path, node in tables() for part in (*path, *node.get("properties", {}))})
KEYS = st.one_of(st.sampled_from([*KNOWN, "belt", "parts"]), TEXT)
SCALARS = st.one_of(
    TEXT,
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.dates(),
    st.sampled_from([*SOURCE_KINDS, "belt", "parts", "/dev/video0", "rtsp://u:p@h/x", "sample:conveyor", 64, 0.5]),
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)
SOURCES = st.one_of(
    JUNK,
    st.fixed_dictionaries({"type": st.sampled_from([*SOURCE_KINDS])}).flatmap(
        lambda kind: st.dictionaries(KEYS, SCALARS, max_size=4).map(lambda more: {**more, **kind})
    ),
)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "cameras": st.one_of(JUNK, st.dictionaries(KEYS, st.fixed_dictionaries({"source": SOURCES}), max_size=2)),
        "models": st.one_of(JUNK, st.just({"parts": {"path": "sample:conveyor"}})),
        "pipelines": st.one_of(JUNK, st.dictionaries(KEYS, st.dictionaries(KEYS, SCALARS), max_size=2)),
        **dict.fromkeys(("device", "mqtt", "power", "thermal", "engines", "other"), JUNK),
    },
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(CONFIGS, JUNK))
def test_a_dict_is_a_config_or_has_mistakes(data):
    mistakes = find_mistakes(data)
    for one in mistakes:
        assert one.message
        assert one.mend
        assert one.line().encode().decode().isprintable()
        assert one.path or not isinstance(data, dict) or "Unicode" in one.message
    if not mistakes:
        assert isinstance(Config.model_validate(data), Config)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(CONFIGS)
def test_overrides_load_or_are_refused(data):
    try:
        loaded = load_config(None, data, "host")
    except ConfigMistakesError as error:
        assert error.mistakes
    else:
        assert set(loaded.provenance.values()) <= {"default", "host name", "command line"}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text(st.sampled_from("a.=[]{}\"'#\n 1-:"), max_size=60).map(str.encode)))
def test_any_bytes_as_a_file_give_an_answer(tmp_path, content):
    path = tmp_path / "junk.toml"
    path.write_bytes(content)
    for code, text in (command_check(path), command_show(path, "host")):
        assert code in {0, 2}
        assert text.encode()
    assert json.loads(command_check(path, as_json=True)[1])["ok"] in {True, False}


@settings(deadline=None)
@given(
    st.one_of(
        TEXT,
        st.sampled_from(["synthetic:", "rtsp://", "csi:", "/dev/", "gst:", "file:"]).flatmap(
            lambda prefix: TEXT.map(lambda text: prefix + text)
        ),
    )
)
def test_any_spec_is_a_source_or_refused(text):
    try:
        spec = parse_source(text)
    except ConfigError as error:
        assert error.mend
        assert "\n" not in error.line()
    else:
        assert "\n" not in describe_source(spec)


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\"<>"), min_size=1))
def test_a_password_in_a_url_never_shows(password):
    secret = f"<{password}>".replace("<", "s3kr1t").replace(">", "s3kr1t")
    assert "s3kr1t" not in redact_url(f"open rtsp://user:{secret}@cam/live now")


@settings(deadline=None)
@given(st.text())
def test_a_host_name_gives_a_valid_id_or_none(hostname):
    slug = device_slug(hostname)
    assert slug is None or find_mistakes({"device": {"id": slug}}) == []


@settings(deadline=None)
@given(st.recursive(st.one_of(TEXT, st.integers(), st.booleans()), lambda inner: st.lists(inner, max_size=3)))
def test_a_value_as_toml_is_one_line(value):
    text = toml_value(value)
    assert text != NOT_SET
    assert text.isprintable()
