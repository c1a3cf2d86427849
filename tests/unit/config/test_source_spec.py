"""Sources: what a SPEC or a table may say, and that no secret shows."""

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from edgeagent.camera.spec import (
    FORMS,
    SOURCE_KINDS,
    CsiSpec,
    FileSpec,
    GStreamerSpec,
    RtspSpec,
    SourceSpec,
    SyntheticSpec,
    V4l2Spec,
    describe_source,
    parse_source,
    redact_url,
    uses_argus,
)
from edgeagent.errors import ConfigError

SOURCE = TypeAdapter(SourceSpec)
SECRET = "s3kr1t"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("synthetic", SyntheticSpec()),
        ("  synthetic  ", SyntheticSpec()),
        ("synthetic:320x240", SyntheticSpec(width=320, height=240)),
        ("synthetic:320x240@12.5", SyntheticSpec(width=320, height=240, fps=12.5)),
        ("synthetic:320x240@10?seed=4", SyntheticSpec(width=320, height=240, fps=10, seed=4)),
        ("synthetic?seed=0&stall_timeout_s=1.5", SyntheticSpec(seed=0, stall_timeout_s=1.5)),
        ("belt.mp4", FileSpec(path="belt.mp4", mode="once")),
        ("./belt", FileSpec(path="./belt", mode="once")),
        ("/data/belt.mp4?mode=loop&pace=fastest", FileSpec(path="/data/belt.mp4", mode="loop", pace="fastest")),
        ("file:belt", FileSpec(path="belt", mode="once")),
        ("what?.mp4", FileSpec(path="what?.mp4", mode="once")),
        ("what?.mp4?mode=loop", FileSpec(path="what?.mp4", mode="loop")),
        ("rtsp://cam/live?channel=1", RtspSpec(url="rtsp://cam/live?channel=1")),
        ("RTSPS://cam:322/live", RtspSpec(url="rtsps://cam:322/live")),
        ("/dev/video2", V4l2Spec(device="/dev/video2")),
        (
            "v4l2:/dev/v4l/by-id/usb-x?width=640&height=480",
            V4l2Spec(device="/dev/v4l/by-id/usb-x", width=640, height=480),
        ),
        ("gst:videotestsrc ! appsink drop=true", GStreamerSpec(pipeline="videotestsrc ! appsink drop=true")),
        ("csi:1", CsiSpec(sensor_id=1)),
        ("csi:0?fps=60", CsiSpec(sensor_id=0, fps=60)),
    ],
)
def test_a_spec_names_a_source(text, spec):
    assert parse_source(text) == spec


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot tell what source"),
        ("camera", "cannot tell what source"),
        ("http://host/x.mjpg", "cannot tell what source"),
        ("synthetic:axb", "cannot tell what source"),
        ("synthetic:1x1", "synthetic source: width:"),
        ("synthetic?sed=3", "no option 'sed' (it has: fps, height"),
        ("synthetic:64x64@0", "fps"),
        ("belt.mp4?mode=twice", "file source: mode:"),
        ("file:", "wants the path of a file"),
        ("rtsp://", "names no host"),
        ("rtsp://host:99999/x", "host or port"),
        ("csi:left", "sensor_id"),
        ("csi:0?type=file", "type is not an option"),
        ("v4l2:video0", "wants a path under /dev"),
        ("/dev/video0?width=640", "width and height go together"),
        ("gst:videotestsrc ! autovideosink", "must be appsink"),
    ],
)
def test_a_wrong_spec_is_refused_in_one_line(text, told):
    with pytest.raises(ConfigError) as caught:
        parse_source(text)
    line = caught.value.line()
    assert told in line
    assert caught.value.mend
    assert "\n" not in line


def test_an_unknown_spec_lists_every_form():
    with pytest.raises(ConfigError) as caught:
        parse_source("camera")
    assert all(form in caught.value.mend for form in FORMS.values())
    assert FORMS.keys() == SOURCE_KINDS.keys()


@pytest.mark.parametrize(
    "url",
    [
        f"rtsp://admin:{SECRET}@cam/live",
        f"rtsp://admin:{SECRET}@cam/live@main",
        f"rtsp://{SECRET}@cam",
        f"rtsp://cam/user=admin&password={SECRET}&channel=1",
        f"rtsp://cam/live?token={SECRET}",
    ],
)
def test_no_secret_of_a_url_shows(url):
    spec = RtspSpec(url=url)
    assert spec.url == url
    for shown in (repr(spec), str(spec), describe_source(spec), redact_url(url), f"{[spec]}"):
        assert SECRET not in shown
        assert "***" in shown


@pytest.mark.parametrize(
    "pipeline",
    [
        f"rtspsrc location=rtsp://u:{SECRET}@cam/x ! appsink",
        f"rtspsrc user-id=u user-pw={SECRET} ! appsink",
        f'rtspsrc user-pw = "{SECRET} x" ! appsink',
    ],
)
def test_no_secret_of_a_pipeline_shows(pipeline):
    spec = GStreamerSpec(pipeline=pipeline)
    assert SECRET not in repr(spec)
    assert SECRET not in describe_source(spec)
    assert "appsink" in describe_source(spec)


@pytest.mark.parametrize(
    "text", [f"rtsp://u:{SECRET}/x@host", f"rtsp://u:{SECRET}@", f"http://u:{SECRET}@host/x", f"rtsp://u: {SECRET}@h"]
)
def test_no_secret_shows_in_a_refusal(text):
    with pytest.raises(ConfigError) as caught:
        parse_source(text)
    assert SECRET not in caught.value.line()


def test_pydantic_errors_do_not_hold_the_input():
    with pytest.raises(ValidationError) as caught:
        RtspSpec(url=f"rtsp://u:{SECRET}@h:x/")
    assert SECRET not in str(caught.value)


def test_redaction_leaves_the_rest_alone():
    assert redact_url("rtsp://cam:554/live?profile=1") == "rtsp://cam:554/live?profile=1"
    assert redact_url("/data/passage.mp4") == "/data/passage.mp4"
    assert redact_url("rtsp://u:p@cam:554/live") == "rtsp://***@cam:554/live"


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (SyntheticSpec(), "synthetic 640x480 at 30 fps, seed 1"),
        (FileSpec(path="/a.mp4"), "file /a.mp4, loop, native pace"),
        (V4l2Spec(device="/dev/video0"), "v4l2 /dev/video0 own size"),
        (V4l2Spec(device="/dev/video0", width=640, height=480), "v4l2 /dev/video0 640x480"),
        (V4l2Spec(device="/dev/video0", fps=15), "v4l2 /dev/video0 own size at 15 fps"),
        (RtspSpec(url="rtsp://u:p@h/x", transport="udp"), "rtsp rtsp://***@h/x over udp"),
        (GStreamerSpec(pipeline="a !\n  appsink"), "gstreamer a ! appsink"),
        (CsiSpec(sensor_id=1), "csi sensor 1 1920x1080 at 30 fps"),
    ],
)
def test_a_source_is_described_in_one_line(spec, line):
    assert describe_source(spec) == line


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_every_kind_survives_json(kind):
    examples = {
        "path": "/a.mp4",
        "device": "/dev/video0",
        "url": "rtsp://h/x",
        "pipeline": "a ! appsink",
        "sensor_id": 0,
    }
    fields = SOURCE_KINDS[kind].model_fields
    spec = SOURCE.validate_python({"type": kind, **{key: examples[key] for key in examples.keys() & fields.keys()}})
    assert SOURCE.validate_json(SOURCE.dump_json(spec)) == spec
    assert SOURCE.validate_python(json.loads(SOURCE.dump_json(spec))) == spec


@pytest.mark.parametrize(
    "wrong", [{"width": "640"}, {"width": 640.0}, {"width": True}, {"fps": 0}, {"fps": float("inf")}, {"wide": 3}]
)
def test_a_table_is_taken_strictly(wrong):
    with pytest.raises(ValidationError):
        SOURCE.validate_python({"type": "synthetic", **wrong})


def test_a_source_is_frozen():
    with pytest.raises(ValidationError):
        SyntheticSpec().width = 3


@pytest.mark.parametrize("pipeline", ["appsink", "a ! b", "a ! appsink ! b", "a !", "appsink ! a"])
def test_a_pipeline_must_end_in_appsink(pipeline):
    with pytest.raises(ValidationError):
        GStreamerSpec(pipeline=pipeline)


@pytest.mark.parametrize(
    ("text", "argus"),
    [
        ("csi:0", True),
        ("gst:nvarguscamerasrc ! nvvidconv ! appsink", True),
        ("gst:videotestsrc ! appsink", False),
        ("/dev/video0", False),
        ("rtsp://camera/nvarguscamerasrc", False),
    ],
)
def test_what_comes_from_argus_is_known(text: str, argus: bool) -> None:
    assert uses_argus(parse_source(text)) is argus
