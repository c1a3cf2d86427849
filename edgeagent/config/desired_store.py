"""What of the desired config is on the disk: `<state_dir>/config/`, three small files, each whole or not there.

    committed.json    the layer that is the last known good one, and the one before it
    trial.json        while a trial runs: what is tried
    answered.json     the newest wish that was answered, and the answer

A trial is written before anything of it is applied. It ends by its answer being written, and then by its file being
taken away; a commit writes the layer before the answer. So whatever is cut off when, `load` finds either the last good
layer or the one that was committed, and knows whether an answer is still due. A file that cannot be read is set aside
and told; it never keeps a device from starting.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from edgeagent.config.desired import Answer, Kept
from edgeagent.durable import replace_file, sync

T = TypeVar("T")
MODE = 0o600  # a layer may hold a camera's password
MAX_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Committed:
    """What is in force, and what was before it."""

    kept: Kept = field(default_factory=Kept)
    before: Kept = field(default_factory=Kept)


@dataclass(frozen=True)
class Stored:
    """`trial`: one that never ended; `damaged`: files that were set aside, with the reason."""

    committed: Committed = field(default_factory=Committed)
    answered: Answer = field(default_factory=Answer)
    trial: Kept | None = None
    damaged: tuple[str, ...] = ()


_COMMITTED, _ANSWER, _KEPT = TypeAdapter(Committed), TypeAdapter(Answer), TypeAdapter(Kept)


class DesiredStore:
    """Every method may raise OSError: a disk that is full or read-only."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "config"

    def load(self) -> Stored:
        """What is there. A trial that was committed, or answered, and not taken away yet, is none any more."""
        damaged: list[str] = []
        found = self._read("committed", _COMMITTED, damaged)
        committed = found or Committed()
        answered = self._read("answered", _ANSWER, damaged) or Answer()
        trial = self._read("trial", _KEPT, damaged)
        if trial is not None and _same(trial, committed.kept):
            answered = _answer_of(trial) if not _same(trial, answered) else answered
            trial = None
        elif trial is not None and _same(trial, answered):
            trial = None
        if committed.kept.version > answered.version:
            answered = _answer_of(committed.kept)  # its own file was lost or cut off: nothing older counts
        elif found is None and answered.state == "committed":
            answered = Answer()  # its layer was lost, so it is not in force: tried again, if the broker has it still
        elif answered.state == "committed" and not _same(committed.kept, answered):
            answered = replace(answered, state="rolled_back", reason="it was taken back")  # the answer was cut off
        return Stored(committed, answered, trial, tuple(damaged))

    def has_trial(self) -> bool:
        """Whether a trial's file is there, be it one that is over."""
        return self._path("trial").exists()

    def keep_trial(self, candidate: Kept) -> None:
        """From now on a crash is found at the next start."""
        self._write("trial", _KEPT.dump_json(candidate))

    def commit(self, committed: Committed, answer: Answer) -> None:
        """Once the layer is written it is committed, whatever becomes of the rest: `load` sees to that."""
        self._write("committed", _COMMITTED.dump_json(committed))
        with suppress(OSError):
            self.answer(answer)

    def answer(self, answer: Answer) -> None:
        """The answer to the newest wish; no trial is under way any more."""
        self._write("answered", _ANSWER.dump_json(answer))
        with suppress(FileNotFoundError):
            self._path("trial").unlink()
            sync(self.folder)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _write(self, name: str, data: bytes) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._path(name), data, mode=MODE)

    def _read(self, name: str, adapter: TypeAdapter[T], damaged: list[str]) -> T | None:
        path = self._path(name)
        try:
            with path.open("rb") as file:
                return adapter.validate_json(file.read(MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not what was written"
            damaged.append(f"{path} cannot be used: {reason}")
            with suppress(OSError):
                path.replace(path.with_suffix(".json.damaged"))
            return None


def read_committed(state_dir: Path) -> Kept:
    """What is committed, for whoever only shows it: nothing is set aside. Raises OSError where it may not be read."""
    path = state_dir / "config" / "committed.json"
    try:
        return _COMMITTED.validate_json(path.read_bytes()).kept
    except (FileNotFoundError, ValidationError):
        return Kept()


def _same(kept: Kept, other: Kept | Answer) -> bool:
    return (kept.version, kept.digest) == (other.version, other.digest)


def _answer_of(kept: Kept) -> Answer:
    return Answer(kept.version, "committed", kept.digest, by=kept.by, since_ts=kept.ts)
