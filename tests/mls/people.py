"""People for the tests: seeded randomness, a fixed clock, key packages, and groups of any size."""

import random
from datetime import UTC, datetime, timedelta

from keyturn.mls import Group, KeyPackageSecrets, LifetimePolicy, create_key_package
from keyturn.mls.hpke import Random
from keyturn.mls.key_package import DEFAULT_LIFETIMES, LifetimeCheck

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SENT = LifetimeCheck(DEFAULT_LIFETIMES, NOW)
RECEIVED = LifetimeCheck(DEFAULT_LIFETIMES)
ANY_LIFETIME = LifetimePolicy(longest=None)


def seeded(seed: int = 1) -> Random:
    """Give a repeatable source of randomness."""
    return random.Random(seed).randbytes


RANDOM = seeded()
# Points with which every exchange gives zero (RFC 7748 §6.1): nobody can seal anything to them.
P = 2**255 - 19
LOW_ORDER = tuple(
    (u | top).to_bytes(32, "little")
    for u in (0, 1, P - 1, P, P + 1, 0xB8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0)
    for top in (0, 2**255)
)


def person(name: str, *, last_resort: bool = False, until: datetime = NOW + 30 * DAY) -> KeyPackageSecrets:
    """Make a key package that is valid from a day ago."""
    seed = RANDOM(32)
    times = {"not_before": NOW - DAY, "not_after": until}
    return create_key_package(name.encode(), seed, random=RANDOM, last_resort=last_resort, **times)


def founded(name: str = "0") -> Group:
    """Found a group of one."""
    return Group.create(b"group", person(name), random=RANDOM, now=NOW)


def group_of(size: int) -> list[Group]:
    """Make a group in epoch 1, seen by each of its members."""
    others = [person(str(number)) for number in range(1, size)]
    made = founded().commit(random=RANDOM, now=NOW, add=[other.key_package for other in others])
    assert made.welcome is not None
    return [made.group, *(Group.join(made.welcome, other, now=NOW) for other in others)]


def deliver(groups: list[Group], message: bytes, sender: int, now: datetime = NOW) -> list[Group]:
    """Deliver a message to everybody but the member at that place."""
    return [group if at == sender else group.receive(message, now=now)[0] for at, group in enumerate(groups)]


def commit_by(groups: list[Group], at: int, *, public: bool = False) -> list[Group]:
    """Let one member commit (with what is pending) and everybody follow."""
    made = groups[at].commit(random=RANDOM, now=NOW, public=public)
    after = deliver(groups, made.message, at)
    return [*after[:at], made.group, *after[at + 1 :]]


def agree(groups: list[Group]) -> bool:
    """Whether all are in the same epoch with the same secrets and members."""
    return len({(group.epoch, group.epoch_authenticator, group.members) for group in groups}) == 1
