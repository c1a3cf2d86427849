"""The outbox's SQLite file: rows in, rows out, one transaction at a time. For one thread, which may block.

WAL with `synchronous=NORMAL`: a committed transaction is in the system's page cache, so it survives any end of the
process; `sync` brings it onto the disk, so it survives a power cut. When to sync is decided by `outbox.py`.
The lock is exclusive: there is one owner, and no shared memory file that a full disk could tear from under us.
Pages are small, because a transaction writes whole pages: an event costs one of them.

Time: a row has the monotonic time at which it was made and the number of its boot. What another boot left has aged by
the up-time that is proven: to the end of each boot as far as it was written down, and since the first start of the
agent in this one. Time spent switched off, and whatever the wall clock says, does not count.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from edgeagent.durable import sync as sync_path
from edgeagent.fleet.outbox_policy import Entry, Kind

VERSION: Final = 1
APPLICATION: Final = 0x45416F62  # "EAob"
MODE: Final = 0o600  # what waits has pieces of logs, settings and what a camera saw; SQLite's log gets the same
PAGE_BYTES: Final = 1024
CHECKPOINT_PAGES: Final = 1024
CACHE_KIB: Final = 512
ROWS_AT_ONCE: Final = 1000
SPARE_BYTES: Final = 1 << 20
"""An empty file larger than this is made small again."""
_NS: Final = 1_000_000_000

_TABLES: Final = (
    "CREATE TABLE boots (n INTEGER PRIMARY KEY, id TEXT NOT NULL, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL)",
    "CREATE TABLE waiting (number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, topic TEXT NOT NULL, "
    "payload BLOB NOT NULL, retain INTEGER NOT NULL, boot INTEGER NOT NULL, made_ns INTEGER NOT NULL, "
    "life_ms INTEGER, wall_ms INTEGER NOT NULL, crc INTEGER NOT NULL)",
)
_INSERT: Final = "INSERT OR REPLACE INTO waiting VALUES (?,?,?,?,?,?,?,?,?,?)"
_COLUMNS: Final = "number, kind, topic, payload, retain, boot, made_ns, life_ms, wall_ms, crc"


class Damaged(Exception):
    """The file is not, or no longer, an outbox of this version."""


@dataclass(frozen=True)
class Loaded:
    """What a file held: its entries by number, and how many rows could not be read or trusted."""

    entries: tuple[Entry, ...]
    lost: int = 0


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE))
    except OSError as error:
        raise sqlite3.OperationalError(f"unable to open the file: {error.strerror}") from error


class OutboxFile:
    """An open file. Everything may raise sqlite3.Error or OSError; `Damaged` says that it is the content's fault."""

    def __init__(self, path: Path, boot: str, now_ns: int) -> None:
        """Opens or makes the file. A new one's name is on the disk afterwards."""
        self._path = path
        self._wal = path.with_name(f"{path.name}-wal")
        _make_private(path)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=0.5)
        self._db.text_factory = bytes  # what is no UTF-8 is damage, and not SQLite's to judge
        try:
            self._set_up()
            self._boot = self._begin_boot(boot, now_ns)
        except BaseException:
            self._db.close()
            raise
        self._inode = path.stat().st_ino
        sync_path(path.parent)

    def _set_up(self) -> None:
        db = self._db
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        version, application = self._pragma("user_version"), self._pragma("application_id")
        made = self._pragma("schema_version") != 0
        if made and (version, application) != (VERSION, APPLICATION):
            raise Damaged(
                f"it is of version {version} of another program"
                if application != APPLICATION
                else f"it is of version {version}, not {VERSION}"
            )
        if (mode := self._pragma("journal_mode=WAL")) != "wal":
            raise sqlite3.OperationalError(f"the file system allows no write-ahead log, only {mode}")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA temp_store=MEMORY")
        db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA journal_size_limit={CHECKPOINT_PAGES * PAGE_BYTES * 2}")
        if not made:
            self._make()
        elif {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master")} != {table.encode() for table in _TABLES}:
            raise Damaged("its tables are not those of an outbox")
        elif (found := self._pragma("quick_check(1)")) != "ok":
            raise Damaged(" ".join(str(found).split())[:200])

    def _make(self) -> None:
        with self.transaction():
            for statement in _TABLES:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id={APPLICATION}")
            self._db.execute(f"PRAGMA user_version={VERSION}")

    def _pragma(self, text: str) -> Any:  # noqa: ANN401  # what SQLite says
        row = self._db.execute(f"PRAGMA {text}").fetchone()
        value = None if row is None else row[0]
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def _begin_boot(self, boot: str, now_ns: int) -> int:
        """This boot's number. One that cannot be named is another one with every start."""
        found = self._db.execute("SELECT max(n) FROM boots WHERE id = ? AND last_ns <= ?", (boot, now_ns)).fetchone()[0]
        if found is not None and boot != "unknown":
            return int(found)
        with self.transaction():
            self._db.execute("DELETE FROM boots WHERE n < ifnull((SELECT min(boot) FROM waiting), n + 1)")
            made = self._db.execute("INSERT INTO boots (id, first_ns, last_ns) VALUES (?,?,?)", (boot, now_ns, now_ns))
        return int(made.lastrowid or 0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything in it or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def load(self, now_ns: int) -> Loaded:
        """All rows, with their age. Those whose checksum does not fit are left out and counted."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM waiting ORDER BY number").fetchall()  # noqa: S608
        return _entries(rows, _Ages(self._boots(), self._boot, now_ns))

    def _boots(self) -> dict[int, tuple[int, int]]:
        rows = self._db.execute("SELECT n, first_ns, last_ns FROM boots").fetchall()
        if not all(isinstance(value, int) for row in rows for value in row):
            raise Damaged("its boots have no times")
        return {n: (first, last) for n, first, last in rows}

    def change(self, added: Iterable[Entry], removed: Sequence[int], now_ns: int | None = None) -> None:
        """One transaction. With `now_ns` it also writes down that this boot has lasted until then."""
        with self.transaction():
            self._db.executemany("DELETE FROM waiting WHERE number = ?", ((number,) for number in removed))
            self._db.executemany(_INSERT, (_row(entry, self._boot) for entry in added))
            if now_ns is not None:
                self._db.execute("UPDATE boots SET last_ns = max(last_ns, ?) WHERE n = ?", (now_ns, self._boot))

    def reconcile(self, rows: Mapping[int, Entry]) -> None:
        """Makes the file hold exactly these, by their numbers; in pieces, so that the log stays small."""
        there = {number for (number,) in self._db.execute("SELECT number FROM waiting")}
        missing = [rows[number] for number in sorted(rows.keys() - there)]
        for start in range(0, len(missing), ROWS_AT_ONCE):
            self.change(missing[start : start + ROWS_AT_ONCE], ())
        self.change((), sorted(there - rows.keys()))

    def sync(self) -> None:
        """Onto the disk with all that is committed. The log is a file without locks, so it may be opened once more.

        Without a log everything is in the file itself, on the disk: SQLite saw to that when it removed the log.
        """
        if self._path.stat().st_ino != self._inode:
            raise Damaged("somebody has put another file in its place")
        if not self._wal.exists():
            return
        fd = os.open(self._wal, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self._path, self._wal) if path.exists())

    def make_small(self) -> bool:
        """After a long backlog has gone: gives its space back. Only for a file without rows."""
        if self._pragma("page_count") * PAGE_BYTES <= SPARE_BYTES:
            return False
        self._db.execute("VACUUM")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return True

    def close(self) -> None:
        self._db.close()


def salvage(path: Path, now_ns: int) -> Loaded:
    """What can still be read of a damaged file, from both of its ends. Never raises for its content."""
    found: dict[int, tuple[Any, ...]] = {}
    boots: dict[int, tuple[int, int]] = {}
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=0.5)) as db:
            db.text_factory = bytes
            if db.execute("PRAGMA application_id").fetchone() != (APPLICATION,):
                return Loaded(())
            if db.execute("PRAGMA user_version").fetchone() != (VERSION,):
                return Loaded(())
            for order in ("", " DESC"):
                found.update(_as_far_as_it_goes(db, f"SELECT {_COLUMNS} FROM waiting ORDER BY number{order}"))  # noqa: S608
            boots = {
                row[0]: (row[1], row[2])
                for row in _as_far_as_it_goes(db, "SELECT n, first_ns, last_ns FROM boots").values()
                if isinstance(row[1], int) and isinstance(row[2], int)
            }
    except (sqlite3.Error, OSError):
        pass
    return _entries([found[number] for number in sorted(found)], _Ages(boots, -1, now_ns))


def _as_far_as_it_goes(db: sqlite3.Connection, query: str) -> dict[int, tuple[Any, ...]]:
    rows: dict[int, tuple[Any, ...]] = {}
    try:
        for row in db.execute(query):
            if isinstance(row[0], int):
                rows[row[0]] = row
    except sqlite3.Error:
        pass
    return rows


@dataclass(frozen=True)
class _Ages:
    """How long a row has been kept, in proven up-time."""

    boots: dict[int, tuple[int, int]]
    current: int
    now_ns: int

    def of(self, boot: int, made_ns: int) -> int:
        if boot == self.current:
            return max(0, self.now_ns - made_ns)
        _, last_ns = self.boots.get(boot, (0, made_ns))
        later = (last - first for n, (first, last) in self.boots.items() if boot < n < self.current)
        first_ns = self.boots.get(self.current, (self.now_ns, 0))[0]
        return max(0, last_ns - made_ns) + sum(later) + max(0, self.now_ns - first_ns)


def _entries(rows: Iterable[tuple[Any, ...]], ages: _Ages) -> Loaded:
    entries, lost = [], 0
    for row in rows:
        entry = _entry(row, ages)
        if entry is None:
            lost += 1
        else:
            entries.append(entry)
    return Loaded(tuple(entries), lost)


def _entry(row: tuple[Any, ...], ages: _Ages) -> Entry | None:
    """The border: a row becomes an entry, or is not one."""
    try:
        number, kind, topic, payload, retain, boot, made_ns, life_ms, wall_ms, crc = row
        if crc32(payload, crc32(topic)) != crc:
            return None
        made_ns = ages.now_ns - ages.of(boot, made_ns)
        life_s = None if life_ms is None else life_ms / 1000
        return Entry(number, Kind(kind), topic.decode(), payload, bool(retain), made_ns, wall_ms, life_s)
    except (ValueError, TypeError, AttributeError):
        return None


def _row(entry: Entry, boot: int) -> tuple[Any, ...]:
    life_ms = None if entry.life_s is None else round(entry.life_s * 1000)
    crc = crc32(entry.payload, crc32(entry.topic.encode()))
    return (
        entry.number, entry.kind.value, entry.topic, entry.payload, int(entry.retain),
        boot, entry.made_ns, life_ms, entry.wall_ms, crc,
    )  # fmt: skip
