"""Usage as documents (database usage): which secret was used when, by whom; small, bounded, and merged by addition.

Hours are counted from 1970 (`hour_of`) and packed into one text, because Firestore indexes every entry of a map:
`"482136:17 482139:2"` says how many uses which hour had, `"482136-482139 482150"` which hours had any.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Final

from keyturn.domain.usage_silence import hour_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

USAGE_SHARDS: Final = 4
"""How many documents the uses of one version are spread over: a process writes to one of them."""
USE_RETENTION: Final = timedelta(days=35)
"""How long a use is remembered: longer than any grace window."""
MAX_CALLERS: Final = 32
"""Of one version, in one shard; the rest are counted together as the caller "" that has no tag."""
MAX_INSTANCES: Final = 200
"""Of one rotation: canaries beyond that are not stored."""


def version_path(version_id: str, shard: int) -> str:
    """Return where the uses of a version are counted."""
    return f"version_usage/{version_id}-{shard}"


def failures_path(client_id: str, shard: int) -> str:
    """Return where a client's refusals during transitions are counted."""
    return f"client_failures/{client_id}-{shard}"


def verifier_path(process: str) -> str:
    """Return where a verifier process says how far it has counted."""
    return f"verifiers/{process}"


def canaries_path(rotation_id: str) -> str:
    """Return where the instances that proved to hold a rotation's secret stand."""
    return f"canaries/{rotation_id}"


@dataclass(frozen=True, slots=True)
class CallerUse:
    """One caller's uses of a version; its tag is a keyed hash (callers.py)."""

    caller: str
    count: int
    first_at: datetime
    last_at: datetime
    hours: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VersionUse:
    """One version's uses, as one shard has them."""

    client_id: str
    version_id: str
    count: int
    first_at: datetime
    last_at: datetime
    hours: str = field(repr=False)
    callers: tuple[CallerUse, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ClientFailures:
    """One client's refusals while it had a version in grace, as one shard has them."""

    client_id: str
    count: int
    last_at: datetime
    hours: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class VerifierLife:
    """One verifier process's own report (`VerifierReport`). `flush` numbers its writes: none is added twice."""

    process: str
    flush: int
    started_at: datetime
    counted_to: datetime
    ended_at: datetime | None
    lost_to: datetime | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Canaries:
    """Which instances (hashes of their ids) proved that they hold a rotation's secret."""

    rotation_id: str
    client_id: str
    version_id: str
    instances: tuple[str, ...]
    expires_at: datetime


def pack(hours: Mapping[int, int]) -> str:
    """Return counts by hour as text."""
    return " ".join(f"{hour}:{count}" for hour, count in sorted(hours.items()))


def unpack(text: str) -> Counter[int]:
    """Return counts by hour from their text; ValueError if it is none."""
    pairs = (pair.split(":") for pair in text.split())
    return Counter({int(hour): int(count) for hour, count in pairs})


def pack_hours(hours: Collection[int]) -> str:
    """Return hours as text: runs by their first and last."""
    firsts = sorted(hour for hour in hours if hour - 1 not in hours)
    lasts = sorted(hour for hour in hours if hour + 1 not in hours)
    runs = zip(firsts, lasts, strict=True)
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def unpack_hours(text: str) -> frozenset[int]:
    """Return hours from their text; ValueError if it is none."""
    runs = ([int(end) for end in run.split("-")] for run in text.split())
    return frozenset(chain.from_iterable(range(run[0], run[-1] + 1) for run in runs))


def merge_uses(one: VersionUse, other: VersionUse, most_callers: int = MAX_CALLERS) -> VersionUse:
    """Return the uses of both, of the same version; what is older than KEPT before the last use is forgotten."""
    last_at = max(one.last_at, other.last_at)
    return replace(
        one,
        count=one.count + other.count,
        first_at=min(one.first_at, other.first_at),
        last_at=last_at,
        hours=_packed_recent([one.hours, other.hours], last_at),
        callers=_bounded((*one.callers, *other.callers), last_at, most_callers),
        expires_at=max(one.expires_at, other.expires_at),
    )


def merge_failures(one: ClientFailures, other: ClientFailures) -> ClientFailures:
    """Return the refusals of both, of the same client; as `added`."""
    last_at = max(one.last_at, other.last_at)
    hours = _packed_recent([one.hours, other.hours], last_at)
    expires_at = max(one.expires_at, other.expires_at)
    return replace(one, count=one.count + other.count, last_at=last_at, hours=hours, expires_at=expires_at)


def _packed_recent(texts: Iterable[str], last_at: datetime) -> str:
    total: Counter[int] = Counter()
    for text in texts:
        total.update(unpack(text))
    oldest = hour_of(last_at - USE_RETENTION)
    return pack({hour: count for hour, count in total.items() if hour >= oldest})


def _bounded(callers: Iterable[CallerUse], last_at: datetime, most: int) -> tuple[CallerUse, ...]:
    """Return callers by tag, those of old forgotten, and those that came when there were `most` as the caller ""."""
    found: dict[str, CallerUse] = {}
    for use in callers:
        if use.last_at < last_at - USE_RETENTION:
            continue
        tag = use.caller if use.caller in found or len(found) < most else ""
        same = found.get(tag)
        found[tag] = replace(_together(same, use) if same else use, caller=tag)
    return tuple(found.values())


def _together(one: CallerUse, other: CallerUse) -> CallerUse:
    last_at = max(one.last_at, other.last_at)
    oldest = hour_of(last_at - USE_RETENTION)
    hours = unpack_hours(one.hours) | unpack_hours(other.hours)
    return replace(
        one,
        count=one.count + other.count,
        first_at=min(one.first_at, other.first_at),
        last_at=last_at,
        hours=pack_hours({hour for hour in hours if hour >= oldest}),
    )
