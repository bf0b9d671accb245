"""Usage records in the database `usage`: which secret was used when, and by which caller (docs/protocol.md §10).

Records are small and bounded, and two records of the same version merge by addition.

Hours are counted from 1970 (`domain.usage_silence.hour_of`) and packed into one text, because Firestore indexes every
entry of a map. `"482136:17 482139:2"` gives the number of uses in each hour. `"482136-482139 482150"` lists the hours
that had any use.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Final

from keyturn.domain.record import Record
from keyturn.domain.usage_silence import hour_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

USAGE_SHARDS: Final = 4
"""The uses of one version are spread over so many documents. Each process writes to one of them."""
USE_RETENTION: Final = timedelta(days=35)
"""How long a use is stored: longer than any grace window."""
MAX_CALLERS: Final = 32
"""Callers of one version in one shard. Further ones are counted together as the caller "", which has no tag."""
MAX_INSTANCES: Final = 200
"""Instances of one rotation. Further ones are not stored."""


def version_path(version_id: str, shard: int) -> str:
    """Return the path of one shard of a version's uses."""
    return f"version_usage/{version_id}-{shard}"


def failures_path(client_id: str, shard: int) -> str:
    """Return the path of one shard of a client's refusals while it has a version in grace."""
    return f"client_failures/{client_id}-{shard}"


def verifier_path(process: str) -> str:
    """Return the path at which a verifier process reports how far it has counted."""
    return f"verifiers/{process}"


@dataclass(frozen=True, slots=True)
class RevokedToken(Record):
    """An access token that its client has revoked, until it expires."""

    client_id: str
    expires_at: datetime


def revoked_token_path(token_hash: str) -> str:
    """Return the path of a revoked token, by the hash of its id (lower-case hex)."""
    return f"revoked_tokens/{token_hash}"


def canaries_path(rotation_id: str) -> str:
    """Return the path of the instances that proved that they hold a rotation's secret."""
    return f"canaries/{rotation_id}"


@dataclass(frozen=True, slots=True)
class CallerUse(Record):
    """One caller's uses of a version. `caller` is a keyed hash (`verifier.callers`)."""

    caller: str
    count: int
    first_at: datetime
    last_at: datetime
    hours: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VersionUse(Record):
    """One version's uses in one shard."""

    client_id: str
    version_id: str
    count: int
    first_at: datetime
    last_at: datetime
    hours: str = field(repr=False)
    callers: tuple[CallerUse, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ClientFailures(Record):
    """One client's refusals in one shard, while it had a version in grace."""

    client_id: str
    count: int
    last_at: datetime
    hours: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class VerifierLife(Record):
    """One verifier process's report about itself (`domain.usage_silence.VerifierReport`).

    `flush` numbers its writes, so that a repeated write is not added twice.
    """

    process: str
    flush: int
    started_at: datetime
    counted_to: datetime
    ended_at: datetime | None
    lost_to: datetime | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Canaries(Record):
    """The instances (keyed hashes of their ids) that proved that they hold a rotation's secret."""

    rotation_id: str
    client_id: str
    version_id: str
    instances: tuple[str, ...]
    expires_at: datetime


def pack(hours: Mapping[int, int]) -> str:
    """Return counts by hour as text."""
    return " ".join(f"{hour}:{count}" for hour, count in sorted(hours.items()))


def unpack(text: str) -> Counter[int]:
    """Return counts by hour from their text. Raise `ValueError` if it is malformed."""
    pairs = (pair.split(":") for pair in text.split())
    return Counter({int(hour): int(count) for hour, count in pairs})


def pack_hours(hours: Collection[int]) -> str:
    """Return hours as text: each run of hours by its first and last."""
    # Runs, because a caller that works around the clock would otherwise fill its record with 24 numbers a day.
    firsts = sorted(hour for hour in hours if hour - 1 not in hours)
    lasts = sorted(hour for hour in hours if hour + 1 not in hours)
    runs = zip(firsts, lasts, strict=True)
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def unpack_hours(text: str) -> frozenset[int]:
    """Return hours from their text. Raise `ValueError` if it is malformed."""
    runs = ([int(end) for end in run.split("-")] for run in text.split())
    return frozenset(chain.from_iterable(range(run[0], run[-1] + 1) for run in runs))


def merge_uses(one: VersionUse, other: VersionUse, most_callers: int = MAX_CALLERS) -> VersionUse:
    """Return the sum of two records of the same version, without hours older than USE_RETENTION before the last use."""
    last_at = max(one.last_at, other.last_at)
    return replace(
        one,
        count=one.count + other.count,
        first_at=min(one.first_at, other.first_at),
        last_at=last_at,
        # Hours older than the retention are cut at each merge, so a record never grows without bound.
        hours=_packed_recent([one.hours, other.hours], last_at),
        callers=_bounded((*one.callers, *other.callers), last_at, most_callers),
        expires_at=max(one.expires_at, other.expires_at),
    )


def merge_failures(one: ClientFailures, other: ClientFailures) -> ClientFailures:
    """Return the sum of two records of the same client, bounded like `merge_uses`."""
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
    """Return at most `most` recent callers by tag. The uses of further callers are added to the caller ""."""
    by_tag: dict[str, CallerUse] = {}
    for use in callers:
        if use.last_at < last_at - USE_RETENTION:
            continue  # long gone: it must not keep a new caller out of the list
        tag = use.caller if use.caller in by_tag or len(by_tag) < most else ""
        known_use = by_tag.get(tag)
        by_tag[tag] = replace(_merge_callers(known_use, use) if known_use else use, caller=tag)
    return tuple(by_tag.values())


def _merge_callers(one: CallerUse, other: CallerUse) -> CallerUse:
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
