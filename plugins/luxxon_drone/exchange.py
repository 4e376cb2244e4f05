"""The command protocol (mavlink.io, command protocol): a command, its retries and its one outcome. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from luxxon_drone import permits

ACK_SECONDS = 1.0
"""Without an answer the command is sent again."""
RETRIES = 3
BUSY_SECONDS, BUSY_RETRIES = 0.5, 5
"""Pause before a temporarily rejected command is tried again, and how often."""
PROGRESS_SECONDS, TOTAL_SECONDS = 5.0, 30.0
"""Patience after a word of progress, and with one command in all."""

_ACCEPTED, _BUSY, _DENIED, _UNSUPPORTED, _IN_PROGRESS = 0, 1, 2, 3, 5
_WRONG_FORM = (7, 8)
"""MAV_RESULT_COMMAND_LONG_ONLY and MAV_RESULT_COMMAND_INT_ONLY."""


@dataclass(frozen=True, slots=True)
class Command:
    """A COMMAND_LONG for one component of the vehicle."""

    command: int
    parameters: tuple[float, ...]
    component: int
    answer: int | None = None
    """Id of the message that is asked for: the command is done when that comes, not when it is promised."""
    index: int = 0
    """Which of several such messages (a stream's id); 0 for any."""

    @property
    def key(self) -> tuple[int, int]:
        """What a COMMAND_ACK can be told apart by: of each key one command is under way at a time."""
        return self.command, self.component


def request_message(message_id: int, component: int, index: int = 0) -> Command:
    """MAV_CMD_REQUEST_MESSAGE; ``index`` is its second parameter."""
    return Command(
        permits.REQUEST_MESSAGE, (message_id, index, 0, 0, 0, 0, 0), component, answer=message_id, index=index
    )


class Outcome(StrEnum):
    ACCEPTED = "ACCEPTED"
    BUSY = "BUSY"
    """Temporarily rejected, every time."""
    DENIED = "DENIED"
    UNSUPPORTED = "UNSUPPORTED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    LINK_LOST = "LINK_LOST"
    """The vehicle fell silent or started anew."""


@dataclass
class Exchange:
    """One command under way. It ends once, by :attr:`outcome`, at the latest after TOTAL_SECONDS."""

    number: int
    command: Command
    outcome: Outcome | None = None
    sent: int = 0
    """Transmissions so far."""
    due: float = field(default=0.0, init=False)
    """When to look again (monotonic seconds)."""
    _began: float = field(default=0.0, init=False)
    _retries: int = field(default=0, init=False)
    _rejections: int = field(default=0, init=False)
    _send: bool = field(default=False, init=False)

    def begin(self, now: float) -> int:
        """The first transmission; its confirmation number."""
        self._began = now
        return self._transmitted(now)

    def poll(self, now: float) -> int | None:
        """Confirmation number of a transmission that is due; sets the outcome when patience is at its end."""
        if self.outcome is not None or now < self.due:
            return None
        if now >= self._began + TOTAL_SECONDS:
            self.outcome = Outcome.BUSY if self._send else Outcome.TIMED_OUT
        elif self._send:
            return self._transmitted(now)
        elif self._retries >= RETRIES:
            self.outcome = Outcome.TIMED_OUT
        else:
            self._retries += 1
            return self._transmitted(now)
        return None

    def acknowledged(self, result: int, now: float) -> None:
        """A COMMAND_ACK for this command came."""
        if self.outcome is not None:
            return
        if result == _ACCEPTED:
            # The message that was asked for is still to come; the time-out brings another request.
            if self.command.answer is None:
                self.outcome = Outcome.ACCEPTED
        elif result == _IN_PROGRESS:
            self._send = False
            self.due = min(now + PROGRESS_SECONDS, self._began + TOTAL_SECONDS)
        elif result == _BUSY:
            self._rejected(now)
        elif result == _DENIED:
            self.outcome = Outcome.DENIED
        elif result in (_UNSUPPORTED, *_WRONG_FORM):
            self.outcome = Outcome.UNSUPPORTED
        else:
            self.outcome = Outcome.FAILED

    def answered(self) -> None:
        """The message that was asked for came."""
        if self.outcome is None:
            self.outcome = Outcome.ACCEPTED

    def _rejected(self, now: float) -> None:
        if self._send:
            return  # a copy of the rejection that is being waited out
        self._rejections += 1
        if self._rejections > BUSY_RETRIES:
            self.outcome = Outcome.BUSY
            return
        self._send, self.due = True, now + BUSY_SECONDS

    def _transmitted(self, now: float) -> int:
        confirmation = min(self.sent, 255)
        self.sent += 1
        self._send, self.due = False, min(now + ACK_SECONDS, self._began + TOTAL_SECONDS)
        return confirmation
