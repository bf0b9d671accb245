"""The kinds of faults, and a fault that waits for its moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can go wrong during one attempt. The order is that of the report."""

    NONE = "none"
    COMMIT_ABORTED = "commit aborted"
    COMMIT_UNKNOWN_APPLIED = "commit unknown, applied"
    COMMIT_UNKNOWN_LOST = "commit unknown, lost"
    COMMIT_LATE = "commit applied after its answer"
    COMMIT_SLOW = "commit slow"
    PROCESS_PAUSED = "process paused"
    PROCESS_KILLED_BEFORE = "process killed before a call"
    PROCESS_KILLED_AFTER = "process killed after a call"
    EVENT_LOST = "event lost"
    EVENT_DOUBLED = "event doubled"
    EVENT_REORDERED = "event reordered"
    EVENT_DAY_LATE = "event a day late"
    BUS_DOWN = "bus down"
    KEYS_DOWN = "keys down"
    KEYS_SLOW = "keys slow"
    STORE_DOWN = "store down"
    CLOCK_FORWARD = "clock set forward"
    CLOCK_BACK = "clock set back"
    ANSWER_LOST = "device offline for the answer"
    DEVICE_FORKED = "device forked"
    DEVICE_RESTORED = "device restored"
    MALICIOUS_ADMIN = "malicious admin"
    NEXT_RELEASE = "next release"


OF_COMMITS = frozenset(
    {
        Fault.COMMIT_ABORTED,
        Fault.COMMIT_UNKNOWN_APPLIED,
        Fault.COMMIT_UNKNOWN_LOST,
        Fault.COMMIT_LATE,
        Fault.COMMIT_SLOW,
    }
)
OF_PROCESSES = frozenset({Fault.PROCESS_PAUSED, Fault.PROCESS_KILLED_BEFORE, Fault.PROCESS_KILLED_AFTER})
OF_EVENTS = frozenset({Fault.EVENT_LOST, Fault.EVENT_DOUBLED, Fault.EVENT_REORDERED, Fault.EVENT_DAY_LATE})
OF_DEPENDENCIES = frozenset({Fault.BUS_DOWN, Fault.KEYS_DOWN, Fault.KEYS_SLOW, Fault.STORE_DOWN})


@dataclass(eq=False)
class Armed:
    """A fault that strikes the requests of one attempt. `countdown` is the number of calls before it strikes."""

    kind: Fault
    countdown: int = 0
    has_struck: bool = False

    def strikes(self, kinds: frozenset[Fault]) -> bool:
        """Return whether this call is the one that goes wrong."""
        if self.kind not in kinds or self.has_struck:
            return False
        self.countdown -= 1
        self.has_struck = self.countdown < 0
        return self.has_struck
