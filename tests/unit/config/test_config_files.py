"""Files: whatever is wrong with one is one plain line, and a good one becomes a config."""

import os

import pytest

from edgeagent.config.effective import device_slug
from edgeagent.config.files import MAX_BYTES, config_file, load_config, read_toml
from edgeagent.config.mistake import ConfigMistakesError
from edgeagent.errors import ConfigError

SECRET = "s3kr1t"


def write(tmp_path, content):
    path = tmp_path / "config.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path):
    with pytest.raises(ConfigError) as caught:
        read_toml(path)
    assert caught.value.mend
    assert "\n" not in caught.value.line()
    return caught.value.line()


def test_a_file_is_read(tmp_path):
    assert read_toml(write(tmp_path, "[mqtt]\nurl = 'mqtt://h'\n")) == {"mqtt": {"url": "mqtt://h"}}
    assert read_toml(str(write(tmp_path, b"\xef\xbb\xbfa = 1"))) == {"a": 1}
    assert read_toml(write(tmp_path, "")) == {}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a = 1\n[b\n", "line 2, column 3: not TOML"),
        ("a = 'x", "line 1, end of the file: not TOML"),
        ("a = 1\nb =", "line 2, end of the file: not TOML"),
        ("a = 1\na = 2\n", "not TOML: cannot overwrite a value"),
        (b"a = 1\nb = '\xff'\n", "line 2 is not UTF-8 text"),
        ("a = " + "1" * 5000, "a number has too many digits"),
        ("a = " + "[" * 100_000, "nest too deep"),
        (".".join("a" * 100) + " = 1", "nest too deep"),
        ("a = " + "[" * 40 + "]" * 40, "nest too deep"),
        ("#" * (MAX_BYTES + 1), f"larger than {MAX_BYTES} bytes"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, content, told):
    assert told in refusal(write(tmp_path, content))


def test_the_largest_file_is_read(tmp_path):
    assert read_toml(write(tmp_path, "#" * MAX_BYTES)) == {}


def test_a_broken_file_shows_no_secret(tmp_path):
    assert SECRET not in refusal(write(tmp_path, f"[cameras.a.source]\nurl = rtsp://u:{SECRET}@h/x\n"))


def test_what_is_not_a_file_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "nothing.toml")
    assert "not a regular file" in refusal(tmp_path)
    assert "not a regular file" in refusal("/dev/zero")
    assert "cannot be read" in refusal("a\0b")
    assert "cannot be read" in refusal("x" * 5000)
    assert "cannot be read" in refusal(write(tmp_path, "") / "below")


def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_someone_else_is_refused(tmp_path):
    path = write(tmp_path, "")
    path.chmod(0)
    assert "may not be read" in refusal(path)


@pytest.mark.parametrize(
    ("hostname", "slug"),
    [
        ("line-3", "line-3"),
        ("Line_3.example.org", "line-3"),
        ("--a--", "a"),
        ("x" * 63 + "-y", "x" * 63),
        ("", None),
        ("___", None),
        ("ü", None),
    ],
)
def test_a_host_name_becomes_an_id(hostname, slug):
    assert device_slug(hostname) == slug


def test_without_a_file_the_defaults_are_in_force():
    loaded = load_config(None, {}, "Line_3")
    assert loaded.config.device_id == "line-3"
    assert loaded.provenance["device.id"] == "host name"
    assert set(loaded.provenance.values()) == {"host name", "default"}


def test_the_file_wins_over_the_host_name_and_the_command_line_over_both(tmp_path):
    path = write(tmp_path, '[device]\nid = "from-file"\nfleet = "north"\n')
    loaded = load_config(path, {"device": {"fleet": "south"}}, "host")
    assert loaded.config.device_id == "from-file"
    assert loaded.config.device.fleet == "south"
    assert loaded.provenance["device.id"] == "file"
    assert loaded.provenance["device.fleet"] == "command line"
    assert loaded.provenance["device.run_dir"] == "default"


def test_a_useless_host_name_leaves_the_id_open():
    loaded = load_config(None, {}, "___")
    assert loaded.config.device.id is None
    assert loaded.provenance["device.id"] == "default"


def test_the_default_of_a_camera_has_a_layer_too():
    loaded = load_config(None, {"cameras": {"a": {"source": {"type": "synthetic"}}}}, "host")
    assert loaded.provenance["cameras.a.source.type"] == "command line"
    assert loaded.provenance["cameras.a.source.fps"] == "default"
    assert loaded.provenance["cameras.a.enabled"] == "default"


def test_every_mistake_of_a_file_is_in_the_error(tmp_path):
    path = write(tmp_path, "[mqtt]\nkeepalive_s = 1\n[power]\nsample_interval_s = 'x'\n")
    with pytest.raises(ConfigMistakesError) as caught:
        load_config(path, {}, "host")
    assert [one.path for one in caught.value.mistakes] == ["mqtt.keepalive_s", "power.sample_interval_s"]
    assert caught.value.line().startswith(f"{path} has 2 mistakes: mqtt.keepalive_s: 1 is out of range")


def test_a_mistake_of_the_command_line_says_so(tmp_path):
    with pytest.raises(ConfigMistakesError, match=r"^the command line has 1 mistake: mqt"):
        load_config(None, {"mqt": 1}, "host")
    with pytest.raises(ConfigMistakesError, match=r"config\.toml with the command line has 1 mistake: mqt"):
        load_config(write(tmp_path, ""), {"mqt": 1}, "host")


def test_a_loaded_config_shows_no_secret():
    source = {"type": "rtsp", "url": f"rtsp://u:{SECRET}@h/x"}
    loaded = load_config(None, {"cameras": {"a": {"source": source}}}, "host")
    assert loaded.config.cameras["a"].source.url == source["url"]
    assert SECRET not in repr(loaded)


def test_which_file_is_read_where_none_was_named(tmp_path):
    usual = tmp_path / "etc" / "config.toml"
    assert config_file(None, usual) is None
    assert config_file(tmp_path / "mine.toml", usual) == tmp_path / "mine.toml"
    usual.parent.mkdir()
    usual.write_text("")
    assert config_file(None, usual) == usual
    assert config_file(None, usual / "below") is None, "below a file there is nothing"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_closed_directory_is_no_reason_to_go_by_the_defaults(tmp_path):
    (tmp_path / "etc").mkdir(mode=0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(ConfigError, match="may not be read by this user") as refused:
            config_file(None, tmp_path / "etc" / "config.toml")
    finally:
        os.seteuid(0)
    assert "use sudo" in refused.value.mend
