"""The health of the whole, out of the health of its parts."""

from __future__ import annotations

import pytest

from edgeagent.health.book import Component, HealthBook, Word, note, overall


def book(**words: str) -> HealthBook:
    """`camera_front="failed"` stands for component camera/front."""
    whole = HealthBook()
    for at, (name, word) in enumerate(words.items()):
        whole, _ = note(whole, name.replace("_", "/"), word, f"{name} is {word}", at)  # type: ignore[arg-type]
    return whole


def test_an_empty_book_is_well() -> None:
    assert overall(HealthBook()) == ("ok", "")


def test_all_well_is_well_without_a_reason() -> None:
    assert overall(book(camera_front="ok", board="ok", link="ok")) == ("ok", "")


@pytest.mark.parametrize("word", ["degraded", "failed"])
def test_one_ill_part_degrades_the_whole(word: Word) -> None:
    whole = book(camera_front="ok", camera_rear=word, engine_belt="ok")
    assert overall(whole) == ("degraded", f"camera/rear: camera_rear is {word}")


@pytest.mark.parametrize("kind", ["camera", "engine", "infer"])
def test_a_vital_kind_of_which_nothing_works_fails_the_whole(kind: str) -> None:
    others = {f"{other}_a": "ok" for other in ("camera", "engine", "infer") if other != kind}
    assert overall(book(**others, **{f"{kind}_a": "failed", f"{kind}_b": "degraded"}))[0] == "degraded"
    assert overall(book(**others, **{f"{kind}_a": "failed", f"{kind}_b": "failed"}))[0] == "failed"


@pytest.mark.parametrize("name", ["link", "board", "cameras", "camera"])
def test_nothing_else_fails_the_whole(name: str) -> None:
    assert overall(book(**{name: "failed"})) == ("degraded", f"{name}: {name} is failed")


def test_the_reason_of_a_failed_whole_is_the_part_that_failed_it() -> None:
    """And not that of a failed part which only comes first in the alphabet."""
    whole = book(board="failed", camera_front="ok", engine_a="degraded", infer_cpu="failed", link="failed")
    assert overall(whole) == ("failed", "infer/cpu: infer_cpu is failed")


def test_a_failed_part_is_a_better_reason_than_a_degraded_one() -> None:
    assert overall(book(board="degraded", camera_a="ok", link="failed"))[1].startswith("link: ")


def test_noting_the_same_again_changes_nothing() -> None:
    first, changed = note(HealthBook(), "link", "failed", "no route", 10)
    again, changed_again = note(first, "link", "failed", "no route", 20)
    assert (changed, changed_again) == (True, False)
    assert again is first


def test_a_new_reason_is_a_change_but_no_new_illness() -> None:
    first, _ = note(HealthBook(), "link", "failed", "no route", 10)
    second, changed = note(first, "link", "failed", "refused", 20)
    assert changed
    assert second.components["link"] == Component("failed", "refused", 10)


def test_a_new_health_begins_now() -> None:
    first, _ = note(HealthBook(), "link", "failed", "no route", 10)
    second, _ = note(first, "link", "ok", "", 20)
    third, _ = note(second, "link", "failed", "no route", 30)
    assert [whole.components["link"].since_ms for whole in (first, second, third)] == [10, 20, 30]


def test_a_book_is_never_written_over() -> None:
    first, _ = note(HealthBook(), "link", "ok", "", 1)
    note(first, "board", "failed", "hot", 2)
    assert list(first.components) == ["link"]
