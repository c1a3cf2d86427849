"""When the disk is troubled: seldom while the broker answers, at once when it does not."""

from __future__ import annotations

from edgeagent.fleet.outbox_sync import SyncBook

NS = 1_000_000_000


def test_nothing_committed_needs_no_sync() -> None:
    assert SyncBook().due_ns(online=False) is None


def test_with_a_connection_the_broker_has_a_second_to_answer() -> None:
    book = SyncBook()
    book.committed([1, 2], 5 * NS)
    assert book.due_ns(online=True) == 6 * NS
    book.gone(1)
    assert book.due_ns(online=True) == 6 * NS
    book.gone(2)
    assert book.due_ns(online=True) is None


def test_without_one_the_first_goes_at_once_and_the_next_a_second_later() -> None:
    book = SyncBook()
    book.committed([1], 5 * NS)
    assert book.due_ns(online=False) == 5 * NS
    book.synced(5 * NS)
    assert book.due_ns(online=False) is None
    book.committed([2], 5 * NS + 10)
    assert book.due_ns(online=False) == 6 * NS
    book.synced(6 * NS)
    book.committed([3], 20 * NS)
    assert book.due_ns(online=False) == 20 * NS


def test_the_oldest_that_is_left_counts() -> None:
    book = SyncBook()
    book.committed([1], 5 * NS)
    book.committed([2], 7 * NS)
    book.gone(1)
    assert book.due_ns(online=True) == 8 * NS
    book.gone(9)
