"""A group as its members live it: commits, proposals, late messages, restarts; and what has to hold all the time."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

import pytest
from keyturn.mls import (
    ApplicationReceived,
    CommitReceived,
    CommitRequired,
    Group,
    InvalidProposal,
    KeyPackageSecrets,
    MlsError,
    ReplayedMessage,
    WrongEpoch,
    create_key_package,
)

from tests.mls.dump import open_any
from tests.mls.people import DAY, NOW, founded, group_of, seeded

MOST_MEMBERS = 30
PAST_EPOCHS = 3
WATCHED = 3
PRIVATE_HEADER = b"\x00\x01\x00\x02"


@dataclass
class Letter:
    """An application message on its way: who has not read it yet."""

    sender: str
    epoch: int
    text: bytes
    message: bytes
    waiting: set[str] = field(default_factory=set)


@lru_cache
def beginning(size: int) -> tuple[Group, ...]:
    """Make a group to begin with once: groups are values, so many crowds may start from it."""
    return tuple(group_of(size) if size > 1 else [founded()])


class Crowd:
    """The members by name, what is on its way to them, and those that were removed, as they last were."""

    def __init__(self, size: int, seed: int) -> None:
        self.random = seeded(seed)
        self.members = {name_in(group): group for group in beginning(size)}
        self.removed: list[Group] = []
        self.letters: list[Letter] = []
        self.offered: dict[str, KeyPackageSecrets] = {}
        self.born = size
        self.done: Counter[str] = Counter()

    def name(self, number: int, but: str | None = None) -> str | None:
        """Pick a member; None when nobody is left to pick from."""
        names = [name for name in self.members if name != but]
        return names[number % len(names)] if names else None

    def newcomers(self, wanted: int) -> list[KeyPackageSecrets]:
        """Make key packages, as many as there is room for."""
        room = MOST_MEMBERS - len(self.members) - len(self.offered)
        names = [str(self.born + number) for number in range(min(wanted, room))]
        self.born += len(names)
        made = {name: self._offer(name) for name in names}
        self.offered |= made
        return list(made.values())

    def _offer(self, name: str) -> KeyPackageSecrets:
        seed, since, until = self.random(32), NOW - DAY, NOW + DAY
        return create_key_package(name.encode(), seed, random=self.random, not_before=since, not_after=until)

    def commit(
        self, by: str, adds: int, removes: Iterable[str], *, public: bool, pending: bool, brief: bool = False
    ) -> None:
        """Let a member commit. The others follow, join, or find themselves removed.

        brief: without a path where that is allowed, and with a new signature key elsewhere.
        """
        committer = self.members[by]
        removes = list(removes)
        packages = self.newcomers(adds)
        partial = brief and bool(packages) and not removes and not (pending and committer.pending)
        places = {name_in(committer, index): index for index in indices(committer)}
        made = committer.commit(
            random=self.random,
            now=NOW,
            add=[package.message() for package in packages],
            remove=[places[name] for name in removes],
            include_pending=pending,
            public=public,
            path=not partial,
            new_signature_seed=self.random(32) if brief and not partial else None,
        )
        self.done["commits"] += 1
        self.done["without a path"] += partial
        self.eavesdrop(made.message)
        before, self.members = self.members, {by: made.group}
        for name, group in before.items():
            if name != by:
                self._follow(name, group, made.message)
        self._welcome(made.group, made.welcome)

    def _follow(self, name: str, group: Group, commit: bytes) -> None:
        after, event = group.receive(commit, now=NOW)
        assert isinstance(event, CommitReceived)
        assert event.self_removed is not after.is_active
        if after.is_active:
            self.members[name] = after
            return
        self.done["removals"] += 1
        self.removed.append(group)
        for letter in self.letters:
            letter.waiting.discard(name)

    def _welcome(self, group: Group, welcome: bytes | None) -> None:
        coming = {name_in(group, index) for index in indices(group)} - self.members.keys()
        assert (welcome is not None) is bool(coming)
        for name in sorted(coming):
            assert welcome is not None
            self.done["joins"] += 1
            self.members[name] = Group.join(welcome, self.offered[name], now=NOW)
        self.offered = {}

    def propose(self, by: str, kind: str, target: str, *, public: bool) -> None:
        """Let a member propose something, which all the others keep until somebody commits."""
        group = self.members[by]
        with suppress(InvalidProposal):  # the same words in public, twice
            if kind == "update":
                self.members[by], message = group.propose_update(random=self.random, now=NOW, public=public)
            elif kind == "remove":
                index = self.members[target].own_leaf_index
                self.members[by], message = group.propose_remove(index, random=self.random, now=NOW, public=public)
            elif package := self.newcomers(1):
                self.members[by], message = group.propose_add(
                    package[0].key_package, random=self.random, now=NOW, public=public
                )
            else:
                return
            self.done["proposals"] += 1
            self.eavesdrop(message)
            for name in self.members.keys() - {by}:
                self.members[name], _ = self.members[name].receive(message, now=NOW)

    def say(self, by: str, number: int, order: int) -> None:
        """Let a member send messages: some read them as they come, some backwards, some later."""
        if self.members[by].pending:
            with pytest.raises(CommitRequired):
                self.members[by].encrypt(b"", random=self.random)
            self.commit(by, 0, (), public=False, pending=True)
        sent = []
        for at in range(number):
            text = f"{by} {at}".encode()
            self.members[by], message = self.members[by].encrypt(text, random=self.random, padding=at)
            self.eavesdrop(message)
            sent.append(Letter(by, self.members[by].epoch, text, message, set(self.members) - {by}))
        self.letters += sent
        for place, name in enumerate(sorted(self.members.keys() - {by})):
            turn = (place + order) % 3
            for letter in (sent, sent[::-1], [])[turn]:
                self.read(name, letter)

    def read(self, name: str, letter: Letter) -> None:
        """Let a member open a message, now or late; it opens once, and not after three more epochs."""
        letter.waiting.discard(name)
        group = self.members[name]
        if letter.epoch + PAST_EPOCHS < group.epoch:
            with pytest.raises(WrongEpoch):
                group.receive(letter.message, now=NOW)
            return
        after, event = group.receive(letter.message, now=NOW)
        assert isinstance(event, ApplicationReceived)
        assert (event.plaintext, event.epoch, event.sender.identity.decode()) == (
            letter.text,
            letter.epoch,
            letter.sender,
        )
        with pytest.raises(ReplayedMessage):
            after.receive(letter.message, now=NOW)
        self.done["messages read"] += 1
        self.members[name] = after

    def catch_up(self, name: str) -> None:
        """Let a member read what waits for it, the latest first."""
        for letter in self.letters[::-1]:
            if name in letter.waiting:
                self.read(name, letter)

    def restart(self, name: str) -> None:
        """Let a member go on from what it saved."""
        self.done["restarts"] += 1
        saved = self.members[name].to_bytes()
        self.members[name] = Group.from_bytes(saved)
        assert self.members[name].to_bytes() == saved

    def eavesdrop(self, message: bytes) -> None:
        """Let those that were removed last try to take part, by the book and with all that they ever had."""
        for former in self.removed[-WATCHED:]:
            with pytest.raises(MlsError):
                former.receive(message, now=NOW)
            if message.startswith(PRIVATE_HEADER):
                assert open_any(former.to_bytes(), message) is None

    def check(self) -> None:
        """Hold all members against each other, and the tree against the keys of those that were removed."""
        groups = list(self.members.values())
        assert {name_in(group) for group in groups} == self.members.keys()
        assert len({(group.epoch, group.epoch_authenticator, group.tree_hash, group.members) for group in groups}) == 1
        keys = {node.encryption_key for node in groups[0].state.tree.nodes if node is not None}
        for former in self.removed:
            assert keys.isdisjoint(pair.public for pair in former.state.key_pairs.values())


def indices(group: Group) -> list[int]:
    """Leaf indices of a group's members."""
    return [member.leaf_index for member in group.members]


def name_in(group: Group, index: int | None = None) -> str:
    """Name of a member, of the group's own by default."""
    wanted = group.own_leaf_index if index is None else index
    return next(member.identity.decode() for member in group.members if member.leaf_index == wanted)
