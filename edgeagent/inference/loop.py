"""The loop over all rings and engines: frames into engines, results out.

It waits until a ring, the agent or the opener wakes it. While an engine works on one batch the next one is handed to
it, up to its depth, and what it has given back is picked and sent meanwhile. With nothing else due a batch is collected
at once. What the agent says is heard after every batch: a ring that always has a next frame starves nobody.

A frame that no pipeline looks at, because it is not due or because the agent lets them do less (`Pace`), is passed
over unread.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from edgeagent.errors import EngineError
from edgeagent.inference.engine import open_engine
from edgeagent.inference.engine_room import EngineRoom
from edgeagent.inference.flights import Flight, Flights
from edgeagent.inference.messages import (
    AGENT_WORDS,
    InferStart,
    InferStats,
    LoadPipeline,
    NoNumbers,
    Pace,
    PipelineStart,
    Release,
    SetPace,
    TakeOver,
    TakeSnapshot,
)
from edgeagent.inference.opener import Opener, Opens
from edgeagent.inference.painter import Painter
from edgeagent.inference.schedule import Turns
from edgeagent.inference.stream import Feed, Seat, Stream
from edgeagent.inference.trial import Outcome
from edgeagent.inference.trouble import end_if_fatal
from edgeagent.supervise.messages import Message
from edgeagent.supervise.program import ControlChannel
from edgeagent.vision.detections import Candidates

REPORT_EVERY_S = 1.0
LISTEN_EVERY_S = 0.25  # SIGTERM does not end a wait
SILENCE_S = 10.0
LOAD_SILENCE_S = 120.0
CANARY_LATE_NS = 1_000_000_000  # a canary waits for a moment without frames, but no longer than this


class Infer:
    """Raises EngineError when the child cannot go on: its accelerator is lost."""

    def __init__(
        self, channel: ControlChannel, start: InferStart, feeds: Mapping[str, Feed], opens: Opens = open_engine
    ) -> None:
        self._channel = channel
        self._feeds = feeds
        self._now_ns: Callable[[], int] = time.monotonic_ns
        self._opener = Opener(start.threads, opens)
        self._painter = Painter()
        self._room = EngineRoom(feeds, self._opener, channel.send, start.canary_s)
        self._room.settle = self._settle
        self._room.on_gone = lambda stream: self._turns.forget(stream.number)
        self._turns = Turns(round(start.max_delay_ms * 1e6))
        self._flights = Flights(self._now_ns)
        self._held_until_ns: int | None = None
        self._results = 0
        self._invalid = 0
        self._failed: Counter[str] = Counter()
        self._without_numbers: set[int] = set()
        self._next_report = time.monotonic()
        self._by_wake = {feed.wake_fd: feed for feed in feeds.values()}
        self._poller = select.poll()
        for fd in (channel.fileno(), self._opener.wake_fd, self._painter.wake_fd, *self._by_wake):
            self._poller.register(fd, select.POLLIN)
        for pace in start.paces:
            self.pace(pace)
        for pipeline in start.pipelines:
            self.load(pipeline)

    def run(self) -> int:
        try:
            going = self._listen()  # words that came along with the first one do not make the channel readable
            while going and not self._channel.stopping:
                for fd, _ in self._poller.poll(self._patience_ms()):
                    if not self._wake(fd):
                        self._send(self._painter.rest())
                        return 0
                self._step()
                self._report()
            return 0
        finally:
            self._room.close()
            self._painter.close()

    def pace(self, pace: Pace) -> None:
        """A pipeline may do so much from now on, whether its engine is here yet or not."""
        self._room.limit(pace.pipeline).take(pace)
        for feed in self._feeds.values():
            feed.wake()  # a frame may wait that had to be left lying

    def load(self, start: PipelineStart) -> None:
        self._channel.beat(LOAD_SILENCE_S)
        self._room.load(start)

    def _listen(self) -> bool:
        while (line := self._channel.receive(0.0)) is not None:
            word = AGENT_WORDS.validate_json(line)
            if isinstance(word, LoadPipeline):
                self.load(word.pipeline)
            elif isinstance(word, SetPace):
                self.pace(word.pace)
            elif isinstance(word, TakeOver):
                self._room.take_over(word)
            elif isinstance(word, Release):
                self._room.release(word.pipeline)
                self._failed.pop(word.pipeline, None)  # it counts from 0 when it comes back
            elif isinstance(word, TakeSnapshot):
                self._room.ask_picture(word)
            else:
                return False
        return True

    def _wake(self, fd: int) -> bool:
        """What lies behind a descriptor that can be read. False when the agent wants an end."""
        if (feed := self._by_wake.get(fd)) is not None:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(fd)
            feed.wake()
        elif fd == self._opener.wake_fd:
            self._room.take_opened()
        elif fd == self._painter.wake_fd:
            self._send(self._painter.take())
        else:
            return self._listen()
        return True

    def _patience_ms(self) -> float:
        """How long nothing is to be done unless something wakes the loop. 0 while there is work."""
        longest_ms = LISTEN_EVERY_S * 1000
        if self._flights:
            return 0.0
        if not any(stream.awake for stream in self._room.streams):
            return longest_ms
        if self._held_until_ns is None:
            return 0.0
        return max(0.0, min(longest_ms, (self._held_until_ns - self._now_ns()) / 1e6))

    # frames in, results out

    def _step(self) -> None:
        self._fill()
        if self._flights:
            flight = self._flights.land()
            if flight.engine.session.depth > 1:
                self._fill()  # the engine works on while this one's results are picked and sent
            self._landed(flight)

    def _settle(self) -> None:
        while self._flights:
            self._landed(self._flights.land())

    def _fill(self) -> None:
        """Hand over batches until nothing waits or nothing more fits in."""
        self._send_canary(late_ns=CANARY_LATE_NS)
        while len(self._flights) < self._room.depth:
            chosen = self._chosen()
            seats = [seat for stream in chosen if (seat := stream.board()) is not None]
            if seats:
                self._flights.start(self._room.by_number[chosen[0].engine], seats)
                continue
            if not chosen and not self._flights:
                self._send_canary(late_ns=0)
            return

    def _chosen(self) -> list[Stream]:
        """Whose frames make the next batch; nobody's when none waits, or all may wait for more."""
        now_ns, engines = self._now_ns(), self._room.by_number
        waiting = [
            stream
            for stream in self._room.streams
            if stream.awake and engines[stream.engine].has_room and stream.waits(now_ns)
        ]
        if not waiting:
            self._held_until_ns = None
            return waiting
        chosen, self._held_until_ns = self._turns.choose(waiting, self._room.rooms, now_ns)
        return chosen

    def _send_canary(self, *, late_ns: int) -> None:
        if (engine := self._room.canary_due(late_ns=late_ns)) is not None:
            self._flights.start(engine, [])

    def _landed(self, flight: Flight) -> None:
        if flight.error is not None:
            self._lost(flight, flight.error)
            return
        if not flight.seats:
            if why := flight.engine.canary_difference(flight.answers[0]):
                text = f"the engine is not what it was: of the same picture {why}"
                self._room.take_out(flight.engine, "engine_canary", text)
            return
        outcome: Outcome = "good"
        for seat, candidates in zip(flight.seats, flight.answers, strict=True):
            if not seat.torn:
                if not _are_numbers(candidates):
                    outcome = "no_numbers"
                    self._note_no_numbers(flight, seat)
                for pipeline in seat.looking:
                    line = pipeline.result(candidates, seat.meta, flight.times, self._now_ns)
                    self._results += 1
                    if line is not None:
                        self._channel.send_line(line)
                    for sketch in pipeline.pictures(seat.frame, seat.meta, seat.still_whole):
                        self._painter.paint(sketch)
            seat.stream.land(seat.meta)
        self._room.landed(flight.engine, outcome, "its output holds values that are no numbers")

    def _send(self, words: Iterable[Message]) -> None:
        for word in words:
            self._channel.send(word)

    def _lost(self, flight: Flight, error: EngineError) -> None:
        end_if_fatal(error)
        for seat in flight.seats:
            self._failed.update(pipeline.start.pipeline for pipeline in seat.looking)
            seat.stream.land(seat.meta)
        self._room.landed(flight.engine, "raised", error.line())

    def _note_no_numbers(self, flight: Flight, seat: Seat) -> None:
        """Its rows are left out; the rest of the frame counts."""
        self._invalid += 1
        if flight.engine.number not in self._without_numbers:
            self._without_numbers.add(flight.engine.number)
            self._channel.send(NoNumbers(pipeline=seat.looking[0].start.pipeline, engine=flight.engine.key.engine))

    def _report(self) -> None:
        now = time.monotonic()
        if now < self._next_report:
            return
        self._next_report = now + REPORT_EVERY_S
        self._room.watch()
        memories = self._room.memories
        self._channel.send(
            InferStats(
                frames=self._results,
                dropped={name: feed.dropped for name, feed in self._feeds.items()},
                torn={name: feed.ring.torn for name, feed in self._feeds.items()},
                invalid=self._invalid,
                shed={name: limit.shed for name, limit in self._room.limits.items()},
                failed=dict(self._failed),
                batches=self._flights.batches,
                unused=self._flights.unused,
                looked={name: memory.looked for name, memory in memories.items()},
                unchanged={name: memory.unchanged for name, memory in memories.items() if memory.unchanged},
            )
        )
        self._channel.beat(LOAD_SILENCE_S if self._opener.busy else SILENCE_S)


def _are_numbers(candidates: Candidates) -> bool:
    scores, boxes = candidates.scores, candidates.boxes
    if math.isfinite(np.vdot(scores, scores) + np.vdot(boxes, boxes)):  # sums of squares; infinite also where too large
        return True
    return bool(np.isfinite(scores).all() and np.isfinite(boxes).all())
