"""The drawn table: what it shows at which size, and that nothing of a device is taken for markup."""

from __future__ import annotations

import io

import pytest
from console_kit import NOW_S, Reader, alarm, engine, example_book, status, topics
from rich.console import Console

from edgeagent.console.lines import fit
from edgeagent.console.plain import facts
from edgeagent.console.screen import Scene, draw
from edgeagent.console.view import View, pick, total


def shown(reader: Reader, view: View, width: int = 160, height: int = 30, trouble: str = "") -> list[str]:
    devices = reader.book.devices.values()
    listed = pick(devices, view, NOW_S)
    scene = Scene(listed, total(devices, NOW_S), view, "mqtt://h:1883", trouble, NOW_S)
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(draw(scene, width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip("\n").split("\n")


def many(count: int) -> Reader:
    reader = Reader()
    for number in range(count):
        reader.take(topics(f"d{number:04d}").status, status("ready"))
    return reader


def test_a_row_has_everything() -> None:
    lines = shown(example_book(), View(), width=200)
    assert lines[1].split()[:2] == ["device▼", "state"]
    row = " ".join(lines[2].split())
    assert row == (
        "plant-2/gate-07 degraded 0 s 62 11.4 24.8 building 42% hot v8 rejected Orin Nano 8GB 0.1.0 "
        "camera/yard: no frames for 12 s"
    )


@pytest.mark.parametrize("view", [View(), View(help=True), View(detail=True), View(typing=True, only="d00")])
@pytest.mark.parametrize(("width", "height"), [(40, 10), (80, 24), (200, 60)])
def test_it_fits_the_terminal(view: View, width: int, height: int) -> None:
    lines = shown(many(100), view, width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) <= height


def test_a_page_of_many() -> None:
    lines = shown(many(1000), View(cursor=505, top=500), height=24)
    assert lines[2].split()[0] == "plant-2/d0500"
    assert lines[-1].startswith("501-521 of 1000")


def test_detail_of_the_device_under_the_cursor() -> None:
    text = "\n".join(shown(example_book(), View(detail=True)))
    for part in (
        "Jetson Orin Nano 8GB, JetPack 6.2",
        "people: 24.8 fps, p95 45 ms, engine building 42% choosing",
        "alarm hot",
    ):
        assert part in text


def test_detail_tells_where_an_engine_runs() -> None:
    reader = Reader()
    at_work = engine("ready", "plates").model_copy(update={"accelerator": "dla1"})
    reader.take(topics().engine("plates"), at_work)
    reader.take(topics().engine("people"), engine("ready"))
    text = "\n".join(line.rstrip(" │|") for line in shown(reader, View(detail=True)))
    assert "plates: engine ready on dla1" in text
    assert "people: engine ready\n" in text
    (row,) = (facts(device, NOW_S) for device in reader.book.devices.values())
    assert row["engines"]["plates"]["accelerator"] == "dla1"


def test_more_than_the_detail_has_room_for() -> None:
    reader = Reader()
    for number in range(40):
        reader.take(topics().engine(f"p{number}"), engine("ready", f"p{number}"))
    assert "lines more" in "\n".join(shown(reader, View(detail=True)))


def test_text_with_brackets_is_text() -> None:
    reader = Reader()
    reader.take(topics().status, status("degraded", reason="[red]no[/red] frames"))
    reader.take(topics().alarm("dark"), alarm("dark", text="[bold]dark[/bold]"))
    text = "\n".join(shown(reader, View(detail=True)))
    assert "[red]no[/red] frames" in text
    assert "[bold]dark[/bold]" in text


def test_nobody_is_told_why() -> None:
    assert "no device has said anything yet" in "\n".join(shown(Reader(), View()))
    assert "no device fits the filter" in "\n".join(shown(many(3), View(only="nothing")))


def test_no_connection_stands_first() -> None:
    assert shown(many(3), View(), trouble="no connection: broken")[0].startswith("no connection: broken   3 devices")


def test_fit() -> None:
    assert [fit("abc", 5), fit("abc", 5, right=True), fit("abcdef", 4), fit("漢字漢字", 5)] == [
        "abc  ",
        "  abc",
        "abc…",
        "漢字…",
    ]
