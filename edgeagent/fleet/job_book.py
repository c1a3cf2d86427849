"""The memory of commands: which were taken, and what became of each. SQLite, fully synced; any thread, one at a time.

    <state_dir>/jobs.db              jobs (one row a command) and notes (what is true of the file as a whole)
    <state_dir>/jobs.db.damaged-<n>  a file that was no good, kept for a person to look at; the last three

A command is obeyed only after its row is on the disk, so it has one effect at most. Bounds: KEPT commands that had an
effect, KEPT_REFUSED that had none, and nothing that ended more than KEPT_DAYS ago; what has not ended is never dropped.

With a damaged file the memory of ids is gone. No command may have a second effect by that, so until a command can be
told to be younger than the loss it is refused: `lost` says how.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from edgeagent.durable import sync
from edgeagent.errors import StoreError
from edgeagent.fleet.job_record import JobRecord

KEPT: Final = 500
KEPT_REFUSED: Final = 200
KEPT_DAYS: Final = 30
ASIDE: Final = 3
VERSION: Final = 1
DAY_MS: Final = 86_400_000
_COLUMNS: Final = (
    "id", "name", "args", "digest", "state", "scope", "by", "accepted_ms", "deadline_ms", "until_ns", "boot", "session",
    "ended_ms", "code", "reason", "result", "reply_to", "correlation", "told",
)  # fmt: skip
_NAMES: Final = ", ".join(f'"{name}"' for name in _COLUMNS)
_FINAL: Final = "state NOT IN ('accepted', 'running')"
_TABLES: Final = (
    f"CREATE TABLE jobs (n INTEGER PRIMARY KEY AUTOINCREMENT, {_NAMES}, UNIQUE (id))",
    "CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
)


class JobBook:
    """Opens or makes the file. Raises StoreError where the directory takes none; `problem` says what was wrong with one
    that was set aside, empty where nothing was."""

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self._path = path
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self.problem = ""
        try:
            self._base = self._opened()
        except sqlite3.OperationalError as error:
            raise _unusable(path, error) from error
        except sqlite3.DatabaseError as error:
            self.problem = f"{path.name} was damaged ({error}) and is set aside"
            self._base = self._anew()

    def close(self) -> None:
        with self._lock:
            self._base.close()

    # commands

    def find(self, job: str) -> JobRecord | None:
        with self._reading() as base:
            row = base.execute(f"SELECT {_NAMES} FROM jobs WHERE id = ?", (job,)).fetchone()  # noqa: S608
        return None if row is None else _record(row)

    def write(self, record: JobRecord) -> None:
        """On the disk when this returns. Raises StoreError."""
        marks = ", ".join("?" * len(_COLUMNS))
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in _COLUMNS[1:])
        with self._writing() as base:
            base.execute(
                f"INSERT INTO jobs ({_NAMES}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {changes}",  # noqa: S608
                _row(record),
            )
            if record.final:
                self._drop_old(base)

    def unfinished(self) -> list[JobRecord]:
        """In the order in which they came."""
        with self._reading() as base:
            rows = base.execute(f"SELECT {_NAMES} FROM jobs WHERE NOT ({_FINAL}) ORDER BY n").fetchall()  # noqa: S608
        return [_record(row) for row in rows]

    def to_forget(self, newest: int, ended_before_ms: int) -> list[str]:
        """The ids whose topics are to be cleared: beyond the newest so many, or ended before that time."""
        with self._reading() as base:
            told = base.execute(
                f"SELECT id, ended_ms FROM jobs WHERE told AND {_FINAL} ORDER BY n DESC"  # noqa: S608
            ).fetchall()
        return [job for place, (job, ended) in enumerate(told) if place >= newest or (ended or 0) < ended_before_ms]

    def forgotten(self, jobs: list[str]) -> None:
        """Their topics are cleared; of what they came to only the result goes, which may be large."""
        with self._writing() as base:
            base.executemany("UPDATE jobs SET told = 0, result = NULL WHERE id = ?", [(job,) for job in jobs])

    # the file as a whole

    def note(self, name: str) -> str | None:
        with self._reading() as base:
            row = base.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_note(self, name: str, value: str) -> None:
        with self._writing() as base:
            base.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def _drop_old(self, base: sqlite3.Connection) -> None:
        for refused, kept in (("=", KEPT_REFUSED), ("<>", KEPT)):
            base.execute(
                f"DELETE FROM jobs WHERE {_FINAL} AND state {refused} 'refused' AND n <= "  # noqa: S608
                f"(SELECT n FROM jobs WHERE state {refused} 'refused' ORDER BY n DESC LIMIT 1 OFFSET ?)",
                (kept,),
            )
        base.execute(f"DELETE FROM jobs WHERE {_FINAL} AND ended_ms < ?", (self._now_ms() - KEPT_DAYS * DAY_MS,))  # noqa: S608

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._base
            except sqlite3.Error as error:
                raise _unusable(self._path, error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                with self._base:  # commits, or rolls back
                    yield self._base
            except sqlite3.Error as error:
                raise _unusable(self._path, error) from error

    # opening

    def _opened(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # arguments are nobody else's
        except OSError as error:
            raise _unusable(self._path, error) from error
        base = sqlite3.connect(self._path, timeout=5.0, check_same_thread=False)
        try:
            return _prepared(base)
        except sqlite3.Error:
            base.close()
            raise

    def _anew(self) -> sqlite3.Connection:
        _set_aside(self._path)
        try:
            base = self._opened()
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error
        with closing(base.execute("INSERT INTO notes VALUES ('lost_ms', ?)", (str(self._now_ms()),))):
            base.commit()
        return base


def _prepared(base: sqlite3.Connection) -> sqlite3.Connection:
    """Checked, and made where it is new. Raises sqlite3.DatabaseError for a file that is no good."""
    for setting in ("journal_mode = WAL", "synchronous = FULL", "journal_size_limit = 262144"):
        base.execute(f"PRAGMA {setting}")
    version = base.execute("PRAGMA user_version").fetchone()[0]
    there = {row[0] for row in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version == 0 and not there:
        with base:
            for table in _TABLES:
                base.execute(table)
            base.execute(f"PRAGMA user_version = {VERSION}")
    elif version != VERSION:
        raise sqlite3.DatabaseError(f"its version is {version}, this release knows {VERSION}")
    columns = {row[1] for row in base.execute("PRAGMA table_info(jobs)")}
    if not {"n", *_COLUMNS} <= columns or not base.execute("PRAGMA table_info(notes)").fetchall():
        raise sqlite3.DatabaseError("its tables are not ours")
    fault = base.execute("PRAGMA quick_check(1)").fetchone()[0]
    if fault != "ok":
        raise sqlite3.DatabaseError(str(fault))
    for row in base.execute(f"SELECT {_NAMES} FROM jobs"):  # noqa: S608
        _record(row)
    return base


def _set_aside(path: Path) -> None:
    """Keep the damaged file under another name; of those only the last few."""
    kept = sorted(path.parent.glob(f"{path.name}.damaged-*"), key=_number)
    for old in kept[: len(kept) - ASIDE + 1]:
        old.unlink(missing_ok=True)
    number = _number(kept[-1]) + 1 if kept else 1
    try:
        path.replace(path.with_name(f"{path.name}.damaged-{number}"))
    except OSError as error:
        raise _unusable(path, error) from error
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    with suppress(OSError):
        sync(path.parent)


def _number(path: Path) -> int:
    last = path.name.rpartition("-")[2]
    return int(last) if last.isdecimal() else 0


def _row(record: JobRecord) -> list[Any]:
    values = {name: getattr(record, name) for name in _COLUMNS}
    values["args"] = json.dumps(dict(record.args))
    values["result"] = None if record.result is None else json.dumps(dict(record.result))
    values["told"] = int(record.told)
    return [values[name] for name in _COLUMNS]


def _record(row: Any) -> JobRecord:  # noqa: ANN401
    """Raises sqlite3.DatabaseError for a row that none of ours has written."""
    values = dict(zip(_COLUMNS, row, strict=True))
    try:
        values["args"] = json.loads(values["args"])
        values["result"] = None if values["result"] is None else json.loads(values["result"])
        values["told"] = bool(values["told"])
        record = JobRecord(**values)
        for name in ("id", "name", "digest", "state", "scope", "boot", "session"):
            if not isinstance(values[name], str):
                raise TypeError(name)
        for name in ("accepted_ms", "until_ns"):
            if not isinstance(values[name], int):
                raise TypeError(name)
    except (TypeError, ValueError) as error:
        raise sqlite3.DatabaseError(f"a row is not one of ours: {error}") from error
    return record


def _unusable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path} cannot be used: {str(error).lower()}",
        mend="commands that change something are refused until it can: look at the disk and the directory's owner",
        code="jobs_not_stored",
        retry=True,
    )
