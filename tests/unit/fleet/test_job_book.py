"""The memory of commands: what is written is there after any end; what is damaged is set aside, never fatal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edgeagent.errors import StoreError
from edgeagent.fleet.job_book import DAY_MS, KEPT, KEPT_DAYS, KEPT_REFUSED, JobBook
from edgeagent.fleet.job_record import JobRecord, digest_of

NOW = 1_790_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "jobs.db"


@pytest.fixture
def book(path: Path) -> Iterator[JobBook]:
    with closing(JobBook(path, lambda: NOW)) as found:
        yield found


def record(job: str = "one", **changes: object) -> JobRecord:
    args = {"pipeline": "parts", "deep": {"a": [1, None, "ü"]}}
    plain = JobRecord(
        id=job, name="build", args=args, digest=digest_of("build", args), state="accepted", scope="group", by="me",
        accepted_ms=NOW, deadline_ms=NOW + 1000, until_ns=5, boot="b", session="b-1", reply_to="answers",
        correlation=b"\0\xff",
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def ended(job: str, state: str = "succeeded", at: int = NOW) -> JobRecord:
    return record(job, state=state, ended_ms=at, result={"x": 1})


def test_what_is_written_comes_back_whole(book: JobBook) -> None:
    book.write(record())
    assert book.find("one") == record()
    book.write(ended("one"))
    assert book.find("one") == ended("one")
    assert book.find("two") is None


def test_another_process_finds_it_though_the_first_never_closed(book: JobBook, path: Path) -> None:
    book.write(record())
    with closing(JobBook(path, lambda: NOW)) as other:
        assert other.find("one") == record()
        assert other.problem == ""


def test_the_unfinished_come_in_their_order(book: JobBook) -> None:
    for job, state in (("c", "accepted"), ("a", "running"), ("b", "accepted")):
        book.write(record(job, state=state))
    book.write(ended("a"))
    assert [one.id for one in book.unfinished()] == ["c", "b"]


def test_refusals_do_not_push_out_what_had_an_effect(book: JobBook) -> None:
    book.write(ended("done"))
    book.write(record("waits"))
    for number in range(KEPT_REFUSED + 20):
        book.write(ended(f"no-{number}", "refused"))
    assert book.find("done") is not None
    assert book.find("waits") is not None
    assert book.find("no-19") is None
    assert book.find("no-20") is not None


def test_the_oldest_ends_are_dropped_and_what_runs_is_not(book: JobBook) -> None:
    book.write(record("runs", state="running"))
    for number in range(KEPT + 5):
        book.write(ended(f"job-{number}"))
    assert book.find("runs") is not None
    assert book.find("job-3") is None
    assert book.find(f"job-{KEPT + 4}") is not None


def test_what_ended_a_month_ago_is_dropped(book: JobBook) -> None:
    book.write(ended("old", at=NOW - KEPT_DAYS * DAY_MS - 1))
    book.write(ended("new"))
    assert book.find("old") is None


def test_topics_beyond_the_newest_and_those_that_are_old_are_to_be_cleared_once(book: JobBook) -> None:
    for number in range(5):
        book.write(ended(f"job-{number}", at=NOW + number))
    book.write(record("runs"))
    assert book.to_forget(3, 0) == ["job-1", "job-0"]
    assert book.to_forget(3, NOW + 3) == ["job-2", "job-1", "job-0"]
    book.forgotten(["job-0", "job-1"])
    assert book.to_forget(3, NOW + 3) == ["job-2"]


DAMAGES = {
    "garbage": lambda path: path.write_bytes(b"no database at all" * 300),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "zeros": lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(len(path.read_bytes()) - 4096)),
    "version": lambda path: _sql(path, "PRAGMA user_version = 9"),
    "table": lambda path: _sql(path, "DROP TABLE notes"),
    "columns": lambda path: _sql(path, "ALTER TABLE jobs DROP COLUMN code"),
    "foreign": lambda path: (path.unlink(), _sql(path, "CREATE TABLE jobs (x)")),
    "row": lambda path: _sql(path, "UPDATE jobs SET args = 'no json'"),
    "type": lambda path: _sql(path, "UPDATE jobs SET accepted_ms = 'soon'"),
}


def _sql(path: Path, line: str) -> None:
    with closing(sqlite3.connect(path)) as base:
        base.execute(line)
        base.commit()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_and_the_loss_is_noted(path: Path, damage: str) -> None:
    with closing(JobBook(path, lambda: NOW)) as book:
        for number in range(40):
            book.write(ended(f"job-{number}"))
    DAMAGES[damage](path)
    with closing(JobBook(path, lambda: NOW + 7)) as book:
        assert "set aside" in book.problem
        assert book.note("lost_ms") == str(NOW + 7)
        assert book.find("job-1") is None
        book.write(record())
    with closing(JobBook(path, lambda: NOW + 9)) as book:
        assert book.problem == ""
        assert book.note("lost_ms") == str(NOW + 7)
        assert book.find("one") == record()
    assert (path.parent / "jobs.db.damaged-1").exists()


def test_of_the_damaged_only_the_last_few_are_kept(path: Path) -> None:
    for _ in range(6):
        with closing(JobBook(path, lambda: NOW)):
            path.with_name("jobs.db-wal").unlink(missing_ok=True)
        path.write_bytes(b"garbage" * 1000)
    with closing(JobBook(path, lambda: NOW)):
        assert sorted(one.name for one in path.parent.glob("*.damaged-*")) == [
            f"jobs.db.damaged-{n}" for n in (4, 5, 6)
        ]


def test_a_directory_that_takes_no_file_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StoreError, match="cannot be used") as found:
        JobBook(tmp_path / "state" / "jobs.db", lambda: NOW)
    assert found.value.error_code == "jobs_not_stored"
