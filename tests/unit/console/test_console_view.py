"""Order, filter, cursor and page, and what each key does to them; columns; plain text."""

from __future__ import annotations

import json

import pytest
from console_kit import NOW_S, Reader, alarm, engine, example_book, power, reported, status, summary, thermal, topics

from edgeagent.console.columns import BY_NAME, COLUMNS, age_text, ordered, shown_columns
from edgeagent.console.plain import Headline, facts, headline, news, table, totals_text
from edgeagent.console.view import SORTS, View, pick, press, scroll, total


def fleet() -> Reader:
    """a is well and warm, b is lost, c is degraded and hot."""
    reader = Reader()
    for name, state, temp_c in (("a", "ready", 55.0), ("b", "lost", None), ("c", "degraded", 88.0)):
        where = topics(name)
        reader.take(where.status, status(state, reason="hot" if state == "degraded" else ""))
        if temp_c is not None:
            reader.take(where.measurement("thermal"), thermal(temp_c))
            reader.take(where.measurement("power"), power(10.0))
            reader.take(where.summary("yard", "people"), summary(25.0))
    reader.take(topics("c").alarm("over-current"), alarm("over-current"))
    return reader


def names(view: View) -> list[str]:
    return [device.name for device in pick(fleet().book.devices.values(), view, NOW_S)]


def test_devices_come_by_name() -> None:
    assert names(View()) == ["a", "b", "c"]
    assert names(View(reverse=True)) == ["c", "b", "a"]


def test_the_worst_and_the_hottest_come_first_and_the_unknown_last() -> None:
    assert names(View(sort="state")) == ["b", "c", "a"]
    assert names(View(sort="temp C")) == ["c", "a", "b"]
    assert names(View(sort="alarms"))[0] == "c"


@pytest.mark.parametrize("sort", SORTS)
def test_every_column_sorts(sort: str) -> None:
    assert sorted(names(View(sort=sort))) == ["a", "b", "c"]


def test_a_filter_looks_into_the_whole_row() -> None:
    assert names(View(only="OVER-CURR")) == ["c"]
    assert names(View(only="plant-2 lost")) == ["b"]
    assert names(View(only="nothing")) == []
    assert names(View(trouble=True)) == ["b", "c"]


def test_the_totals_are_of_all() -> None:
    counted = total(fleet().book.devices.values(), NOW_S)
    assert totals_text(counted) == "3 devices: 1 ready, 1 lost, 1 degraded · 50 fps · 20 W · 1 alarm · 0 building"


def test_large_powers_are_in_kilowatts() -> None:
    reader = Reader()
    reader.take(topics().measurement("power"), power(1510.0))
    assert "1.51 kW" in totals_text(total(reader.book.devices.values(), NOW_S))


def test_keys_move_the_cursor_and_the_page_follows() -> None:
    view = View()
    for key, cursor, top in (
        ("down", 1, 0),
        ("pgdn", 11, 2),
        ("end", 99, 90),
        ("up", 98, 90),
        ("home", 0, 0),
        ("k", 0, 0),
    ):
        view = press(view, key, 100, 10)
        assert (view.cursor, view.top) == (cursor, top), key


def test_the_cursor_stays_within_a_list_that_shrinks() -> None:
    assert scroll(View(cursor=50, top=45), 3, 10) == View(cursor=2, top=0)
    assert scroll(View(cursor=5, top=5), 0, 10) == View()


def test_keys_sort() -> None:
    view = press(View(), "s", 3, 10)
    assert view.sort == SORTS[1]
    assert press(view, "left", 3, 10).sort == SORTS[0]
    assert press(View(), "S", 3, 10).sort == SORTS[-1]
    assert press(View(), "r", 3, 10).reverse


def test_a_filter_is_typed() -> None:
    view = View()
    for key in ("/", "q", "s", "x", "backspace", "up", "enter"):
        view = press(view, key, 3, 10)
    assert (view.only, view.typing, view.done) == ("qs", False, False)
    assert press(view, "esc", 3, 10).only == ""
    assert press(View(typing=True, only="x"), "esc", 3, 10) == View()


def test_q_quits_and_unknown_keys_do_nothing() -> None:
    assert press(View(), "q", 3, 10).done
    assert press(View(), "ä", 3, 10) == View()
    assert press(View(), "f13", 3, 10) == View()


def test_detail_help_and_trouble_are_switches() -> None:
    for key, name in (("enter", "detail"), ("?", "help"), ("t", "trouble")):
        on = press(View(), key, 3, 10)
        assert getattr(on, name)
        assert not getattr(press(on, key, 3, 10), name)


def test_narrow_terminals_get_fewer_columns() -> None:
    counts = [len(shown_columns(width)) for width in (40, 80, 100, 120, 200)]
    assert counts == sorted(counts)
    assert counts[-1] == len(COLUMNS)
    assert {"device", "state", "temp C", "fps"} <= {column.name for column in shown_columns(40)}


def test_ages() -> None:
    texts = [age_text(age) for age in (None, 0.4, 99, 150, 7200, 86_400 * 4)]
    assert texts == ["-", "0 s", "99 s", "2 min", "2 h", "4 d"]


def test_reverse_order_is_the_order_backwards() -> None:
    devices = list(fleet().book.devices.values())
    for column in BY_NAME.values():
        assert ordered(devices, column, NOW_S, reverse=True) == ordered(devices, column, NOW_S)[::-1]


def test_the_plain_table_has_a_line_for_each_device() -> None:
    lines = table(pick(fleet().book.devices.values(), View(), NOW_S), NOW_S).splitlines()
    assert lines[0].split() == [
        "device",
        "state",
        "temp",
        "C",
        "W",
        "fps",
        "engine",
        "alarms",
        "config",
        "module",
        "agent",
        "why",
    ]
    assert lines[1].split()[:5] == ["plant-2/a", "ready", "55", "10.0", "25.0"]
    assert len(lines) == 4


def test_a_change_is_a_line_and_no_change_is_none() -> None:
    reader = Reader()
    reader.take(topics().status, status("ready"))
    before = headline(reader.device())
    assert news(Headline(), reader.device()) == "plant-2/gate-07: ready"
    assert news(before, reader.device()) is None
    reader.take(topics().status, status("degraded", reason="camera/yard: no frames"))
    reader.take(topics().alarm("dark"), alarm("dark"))
    assert news(before, reader.device()) == ("plant-2/gate-07: ready -> degraded (camera/yard: no frames); alarm dark")


def test_a_build_is_no_news_with_every_percent() -> None:
    reader = Reader()
    reader.take(topics().engine("people"), engine("building", percent=10))
    before = headline(reader.device())
    reader.take(topics().engine("people"), engine("building", percent=11))
    assert news(before, reader.device()) is None
    reader.take(topics().engine("people"), engine("ready"))
    assert news(before, reader.device()) == "plant-2/gate-07: ?; engine building -> ready"


def test_the_config_is_news() -> None:
    reader = Reader()
    reader.take(topics().config_reported, reported(8, "committed"))
    before = headline(reader.device())
    reader.take(topics().config_reported, reported(9, "rejected"))
    assert news(before, reader.device()) == "plant-2/gate-07: ?; config v8 -> v9 rejected"


def test_the_row_for_scripts_is_json() -> None:
    row = json.loads(json.dumps(facts(example_book().device(), NOW_S)))
    assert (row["fleet"], row["device"], row["state"], row["trouble"]) == ("plant-2", "gate-07", "degraded", True)
    assert (row["temp_c"], row["pipelines"], row["config"]) == (
        61.5,
        {"yard/people": 24.8},
        {"version": 8, "state": "rejected"},
    )
