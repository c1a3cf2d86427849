"""Where the making of one pipeline's engine stands: which form is tried, what was tried, what is remembered.

The decisions are policy.py's, the memory is the ledger's; this joins them for one pipeline. A ledger that cannot be
written costs the memory, not the engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import structlog

from edgeagent import __version__
from edgeagent.engine.build.ledger import Ledger, Stopped
from edgeagent.engine.build.outcome import Ending, Kind, classify
from edgeagent.engine.build.policy import Course, Decision, begin_attempt, decide_next
from edgeagent.engine.choice import Candidate
from edgeagent.errors import EdgeAgentError, StoreError

log = structlog.get_logger("engine")


@dataclass
class Making:
    """One engine in the making. `subject` is the ledger's page; `tunable`: the backend has workspace and levels;
    `mark` stands for the settings: what came of others counts for nothing."""

    ledger: Ledger
    subject: str
    candidates: list[Candidate]
    tunable: bool
    max_attempts: int
    mark: str = ""
    course: Course = field(default_factory=Course)
    stopped: Stopped | None = None

    def recall(self) -> None:
        """Read what an earlier run has left. A page that fits these candidates no more counts as none."""
        page = self.ledger.read(self.subject)
        self.course, self.stopped = page.course, page.stopped
        if page.mark != self.mark or self.course.candidate >= len(self.candidates):
            self.course, self.stopped = Course(), None

    @property
    def candidate(self) -> Candidate:
        return self.candidates[self.course.candidate]

    def still_stopped(self, calibration_digest: str) -> Stopped | None:
        """The failure for good that holds for these frames and this version of the agent; None to try."""
        stopped = self.stopped
        if stopped is None or stopped.agent_version != __version__:
            return None
        return stopped if stopped.calibration_digest in ("", calibration_digest) else None

    def begin(self) -> None:
        """A build starts: written down before, so that one that takes the device along counts, too."""
        self.course = begin_attempt(self.course)
        self._write(None)

    def failed(self, kind: Kind, error: EdgeAgentError, calibration_digest: str) -> Decision:
        """The next step after a failure, written down."""
        decision = decide_next(
            self.course,
            kind,
            self.candidates,
            tunable=self.tunable,
            max_attempts=self.max_attempts,
            retry=error.retry,
        )
        self.course = decision.course
        if decision.stop:
            depends = kind in ("disagrees", "scales_missing", "no_calibration", "quarantined")
            digest = calibration_digest if depends else ""
            self.stopped = Stopped(
                code=error.error_code, reason=error.line(), calibration_digest=digest, agent_version=__version__
            )
        # a release from quarantine must not find the door shut by what was remembered here
        self._write(self.stopped if decision.stop and kind != "quarantined" else None)
        return decision

    def done(self) -> None:
        """The engine is there. What form it took is kept, so that a restart looks for that one."""
        self.course = replace(self.course, attempts=0, tries=0, workspace_divisor=1, level=None, ceiling=1.0, cancels=0)
        self.stopped = None
        try:
            if self.course.candidate:
                self.ledger.write(self.subject, self.course, mark=self.mark)
            else:
                self.ledger.forget(self.subject)
        except StoreError as error:
            log.warning("ledger", reason=error.line())

    def forget(self) -> None:
        """An operator wants it tried as if for the first time."""
        self.course, self.stopped = Course(), None
        self.ledger.forget(self.subject)

    def _write(self, stopped: Stopped | None) -> None:
        try:
            self.ledger.write(self.subject, self.course, stopped, self.mark)
        except StoreError as error:
            log.warning("ledger", reason=error.line())


def kind_of(error: EdgeAgentError, *, oom_kills: int | None, memory_low: bool) -> Kind:
    """The kind of ending behind a failed build's error. `oom_kills`: kills by the kernel while it ran."""
    code = error.error_code
    exit_code = -9 if code == "build_killed" else None
    return classify(Ending(code=code, exit_code=exit_code, oom_kills=oom_kills, memory_low=memory_low))
