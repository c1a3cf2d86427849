"""What is remembered of engines that could not be made, across restarts and damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.app.engine_course import Making
from edgeagent.engine.build.ledger import Ledger, Page, Stopped
from edgeagent.engine.build.policy import Course
from edgeagent.engine.choice import Candidate
from edgeagent.engine.variant import Variant
from edgeagent.errors import EngineError, ModelError, StoreError

SUBJECT = "0123456789abcdef" * 2
CANDIDATES = [Candidate(Variant("int8", "qdq", "gpu")), Candidate(Variant("fp16", "none", "gpu"))]


def making(folder: Path, candidates: list[Candidate] = CANDIDATES, mark: str = "") -> Making:
    made = Making(Ledger(folder), SUBJECT, candidates, tunable=True, max_attempts=3, mark=mark)
    made.recall()
    return made


def test_a_page_comes_back_as_it_was(tmp_path: Path) -> None:
    course, stopped = Course(1, 7, 2, 4, 1, ("a", "b"), 0.36, 2), Stopped(code="model", reason="bad")
    Ledger(tmp_path).write(SUBJECT, course, stopped)
    page = Ledger(tmp_path).read(SUBJECT)
    assert (page.course, page.stopped) == (course, stopped)
    Ledger(tmp_path).forget(SUBJECT)
    assert Ledger(tmp_path).read(SUBJECT) == Page()
    Ledger(tmp_path).forget(SUBJECT)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"candidate": -1}', '{"candidate": "x"}', "\0" * 100])
def test_a_damaged_page_counts_as_none(tmp_path: Path, text: str) -> None:
    Ledger(tmp_path).write(SUBJECT, Course(1))
    (tmp_path / ".ledger" / f"{SUBJECT}.json").write_text(text)
    assert Ledger(tmp_path).read(SUBJECT) == Page()


def test_a_page_of_a_later_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    (tmp_path / ".ledger").mkdir()
    (tmp_path / ".ledger" / f"{SUBJECT}.json").write_text('{"candidate": 1, "colour": "blue"}')
    assert Ledger(tmp_path).read(SUBJECT).course == Course(1)


def test_no_path_gets_in_by_the_subject(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no subject"):
        Ledger(tmp_path).read("../" * 10 + "etc/passwd")


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / ".ledger").write_text("in the way")
    with pytest.raises(StoreError):
        Ledger(tmp_path).write(SUBJECT, Course())
    made = making(tmp_path)
    made.begin()
    assert made.course.attempts == 1, "the memory is lost, the build is not"


def test_the_budget_survives_restarts(tmp_path: Path) -> None:
    """Each round is another process: only the ledger goes on."""
    pauses = []
    for _ in range(6):
        made = making(tmp_path)
        made.begin()
        pauses.append(made.failed("store", StoreError("full", retry=True), "").pause_s)
    assert pauses == [5.0, 10.0, 600.0, 40.0, 80.0, 1200.0]
    assert making(tmp_path).course.attempts == 6


def test_a_failure_for_good_is_remembered(tmp_path: Path) -> None:
    made = making(tmp_path)
    made.begin()
    assert made.failed("model", ModelError("no such operator", code="model_operators"), "d").stop
    stopped = making(tmp_path).still_stopped("other frames")
    assert stopped is not None and stopped.code == "model_operators" and "no such operator" in stopped.reason


def test_other_frames_may_agree_better(tmp_path: Path) -> None:
    made = making(tmp_path, CANDIDATES[:1])
    made.begin()
    assert made.failed("disagrees", EngineError("0.4 only"), "frames-1").stop
    again = making(tmp_path, CANDIDATES[:1])
    assert again.still_stopped("frames-1") is not None
    assert again.still_stopped("frames-2") is None


def test_other_settings_or_pictures_may_try_again(tmp_path: Path) -> None:
    """Whoever does what the error's mend says gets another build: a lower demand, another precision, more pictures."""
    made = making(tmp_path, CANDIDATES[:1], "settings-1")
    made.begin()
    assert made.failed("disagrees", EngineError("0.4 only"), "frames-1").stop
    assert making(tmp_path, CANDIDATES[:1], "settings-1").still_stopped("frames-1") is not None
    again = making(tmp_path, CANDIDATES, "settings-2")
    assert again.still_stopped("frames-1") is None and again.course == Course()


def test_another_version_may_try_again(tmp_path: Path) -> None:
    Ledger(tmp_path).write(SUBJECT, Course(), Stopped(code="model", reason="bad", agent_version="0.0.1"))
    assert making(tmp_path).still_stopped("") is None


def test_quarantine_is_the_stores_to_remember(tmp_path: Path) -> None:
    made = making(tmp_path, CANDIDATES[:1])
    assert made.failed("quarantined", EngineError("crashed twice"), "d").stop
    assert making(tmp_path, CANDIDATES[:1]).still_stopped("d") is None


def test_a_form_that_was_gone_on_with_is_found_again(tmp_path: Path) -> None:
    made = making(tmp_path)
    made.begin()
    assert made.failed("disagrees", EngineError("0.4 only"), "d").move == "next_precision"
    made.done()
    again = making(tmp_path)
    assert (again.course.candidate, again.course.attempts) == (1, 0)
    assert again.candidate.variant.precision == "fp16" and again.course.steps
    assert making(tmp_path, CANDIDATES[:1]).course == Course(), "settings that no longer allow it start afresh"


def test_success_in_the_first_form_leaves_no_page(tmp_path: Path) -> None:
    made = making(tmp_path)
    made.begin()
    made.done()
    assert list((tmp_path / ".ledger").iterdir()) == []
