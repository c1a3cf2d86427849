"""The outbox's thread: what its owner asks for is done, and everything that is asked is answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from outbox_kit import event, filled, reopened, rows

from edgeagent.clock import SystemClock
from edgeagent.fleet.outbox import Outbox

WAIT_S = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    one = Outbox(path, "boot1", SystemClock())
    one.open()
    yield one
    one.close()


def test_what_was_committed_is_in_the_file(outbox: Outbox, path: Path) -> None:
    for number in range(1, 501):
        outbox.keep(event(number))
    assert outbox.committed().result(WAIT_S) is True
    view = outbox.view()
    assert (view.rows, view.on_disk) == (500, True)
    assert 1 <= view.commits <= 500
    outbox.close()
    assert rows(path) == list(range(1, 501))


def test_a_flush_syncs_and_a_commit_does_not(outbox: Outbox) -> None:
    outbox.set_online(online=True)
    outbox.keep(event(1))
    assert outbox.committed().result(WAIT_S)
    before = outbox.view().syncs
    assert outbox.flush().result(WAIT_S)
    assert outbox.view().syncs == before + 1


def test_what_the_broker_has_leaves_the_file_when_it_closes_at_the_latest(outbox: Outbox, path: Path) -> None:
    outbox.keep(event(1))
    outbox.keep(event(2))
    outbox.committed().result(WAIT_S)
    outbox.forget(1)
    outbox.close()
    assert rows(path) == [2]


def test_an_earlier_run_is_read_when_it_opens(path: Path) -> None:
    filled(path, event(3), event(4))
    one = Outbox(path, "boot1", SystemClock())
    assert [entry.number for entry in one.open()] == [3, 4]
    assert one.loaded
    one.close()


def test_what_is_asked_of_a_closed_outbox_is_answered_with_no(outbox: Outbox) -> None:
    outbox.close()
    outbox.keep(event(1))
    assert outbox.flush().result(0) is False
    assert outbox.committed().result(0) is False
    outbox.close()


def test_without_a_disk_a_flush_says_so(tmp_path: Path) -> None:
    one = Outbox(tmp_path / "nowhere" / "outbox.db", "boot1", SystemClock())
    assert one.open() == ()
    one.keep(event(1))
    assert one.flush().result(WAIT_S) is False
    assert not one.loaded
    assert one.view().reason
    one.close()


def test_closing_writes_what_was_kept_last(outbox: Outbox, path: Path) -> None:
    outbox.keep(event(1))
    outbox.close()
    assert [entry.number for entry in reopened(path)] == [1]


def test_one_that_was_never_opened_can_be_closed(path: Path) -> None:
    Outbox(path, "boot1", SystemClock()).close()
    assert not path.exists()


class Stopping(SystemClock):
    """Time that ends: as good as any fault of our own."""

    ended = False

    def monotonic_ns(self) -> int:
        if self.ended:
            raise ZeroDivisionError("time has ended")
        return super().monotonic_ns()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_by_a_fault_says_so_and_leaves_nobody_waiting(path: Path) -> None:
    clock = Stopping()
    one = Outbox(path, "boot1", clock)
    one.open()
    clock.ended = True
    one.keep(event(1))
    assert one.flush().result(WAIT_S) is False
    one._thread.join(WAIT_S)
    assert one.flush().result(0) is False
    assert "thread has ended" in one.view().reason
    one.close()
