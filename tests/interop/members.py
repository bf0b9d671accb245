"""Members of either kind behind one face, so that each scenario is written once."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from keyturn.mls import ApplicationReceived, Group, KeyPackageSecrets, create_key_package

from tests.interop.driver import Answer, Driver, to_bytes

NOW = datetime.now(UTC).replace(microsecond=0)  # ts-mls reads the machine's clock where it checks a lifetime
NOT_BEFORE, NOT_AFTER = NOW - timedelta(days=1), NOW + timedelta(days=28)
RANDOM = random.Random(9420).randbytes
GROUP_ID = b"interop"


@dataclass(frozen=True)
class View:
    """What all members of an epoch have to agree on."""

    epoch: int
    authenticator: bytes
    tree_hash: bytes
    members: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Made:
    """A commit: the MLSMessage for the members and the Welcome for those that it adds."""

    message: bytes
    welcome: bytes | None


class Member(Protocol):
    """A member of either kind; messages are MLSMessages."""

    name: str

    def key_package(self) -> bytes: ...
    def found(self) -> None: ...
    def join(self, welcome: bytes) -> None: ...
    def send(self, plaintext: bytes) -> bytes: ...
    def receive(self, message: bytes) -> bytes | None: ...
    def propose_add(self, key_package: bytes, *, public: bool) -> bytes: ...
    def propose_remove(self, leaf_index: int, *, public: bool) -> bytes: ...
    def propose_update(self, *, public: bool) -> bytes: ...
    def commit(self, *, add: Sequence[bytes] = (), remove: Sequence[int] = (), public: bool = False) -> Made: ...
    def view(self) -> View: ...
    def is_active(self) -> bool: ...
    def export(self, label: str, context: bytes, length: int) -> bytes: ...


@dataclass
class Ours:
    """A member of this project's library."""

    name: str
    own: KeyPackageSecrets = field(init=False, repr=False)
    group: Group = field(init=False, repr=False)

    def key_package(self) -> bytes:
        identity, seed = self.name.encode(), RANDOM(32)
        self.own = create_key_package(identity, seed, not_before=NOT_BEFORE, not_after=NOT_AFTER, random=RANDOM)
        return self.own.message()

    def found(self) -> None:
        self.group = Group.create(GROUP_ID, self.own, random=RANDOM, now=NOW)

    def join(self, welcome: bytes) -> None:
        self.group = Group.join(welcome, self.own, now=NOW)

    def send(self, plaintext: bytes) -> bytes:
        self.group, message = self.group.encrypt(plaintext, random=RANDOM, padding=len(plaintext) % 7)
        return message

    def receive(self, message: bytes) -> bytes | None:
        # Each time as a fresh process would: what was saved is all that it has.
        self.group, event = Group.from_bytes(self.group.to_bytes()).receive(message, now=NOW)
        return event.plaintext if isinstance(event, ApplicationReceived) else None

    def propose_add(self, key_package: bytes, *, public: bool) -> bytes:
        self.group, message = self.group.propose_add(key_package, random=RANDOM, now=NOW, public=public)
        return message

    def propose_remove(self, leaf_index: int, *, public: bool) -> bytes:
        self.group, message = self.group.propose_remove(leaf_index, random=RANDOM, now=NOW, public=public)
        return message

    def propose_update(self, *, public: bool) -> bytes:
        self.group, message = self.group.propose_update(random=RANDOM, now=NOW, public=public)
        return message

    def commit(self, *, add: Sequence[bytes] = (), remove: Sequence[int] = (), public: bool = False) -> Made:
        made = self.group.commit(random=RANDOM, now=NOW, add=add, remove=remove, public=public)
        self.group = made.group
        return Made(made.message, made.welcome)

    def view(self) -> View:
        members = tuple((member.leaf_index, member.identity.decode()) for member in self.group.members)
        return View(self.group.epoch, self.group.epoch_authenticator, self.group.tree_hash, members)

    def is_active(self) -> bool:
        return self.group.is_active

    def export(self, label: str, context: bytes, length: int) -> bytes:
        return self.group.export(label, context, length)


@dataclass
class Theirs:
    """A ts-mls member in the Node process."""

    name: str
    driver: Driver = field(repr=False)
    grease: bool = False

    def key_package(self) -> bytes:
        times = {"notBefore": int(NOT_BEFORE.timestamp()), "notAfter": int(NOT_AFTER.timestamp())}
        return to_bytes(self._ask("keyPackage", identity=self.name, grease=self.grease, **times)["keyPackage"])

    def found(self) -> None:
        self._ask("create", groupId=GROUP_ID)

    def join(self, welcome: bytes) -> None:
        self._ask("join", welcome=welcome)

    def send(self, plaintext: bytes) -> bytes:
        return to_bytes(self._ask("send", plaintext=plaintext)["message"])

    def receive(self, message: bytes) -> bytes | None:
        plaintext = self._ask("receive", message=message)["plaintext"]
        return None if plaintext is None else to_bytes(plaintext)

    def propose_add(self, key_package: bytes, *, public: bool) -> bytes:
        return to_bytes(self._ask("propose", kind="add", keyPackage=key_package, public=public)["message"])

    def propose_remove(self, leaf_index: int, *, public: bool) -> bytes:
        return to_bytes(self._ask("propose", kind="remove", leafIndex=leaf_index, public=public)["message"])

    def propose_update(self, *, public: bool) -> bytes:
        return to_bytes(self._ask("propose", kind="update", public=public)["message"])

    def commit(self, *, add: Sequence[bytes] = (), remove: Sequence[int] = (), public: bool = False) -> Made:
        made = self._ask("commit", add=list(add), remove=list(remove), public=public)
        return Made(to_bytes(made["message"]), made["welcome"] and to_bytes(made["welcome"]))

    def view(self) -> View:
        seen = self._ask("view")
        members = tuple((index, to_bytes(identity).decode()) for index, identity in seen["members"])
        return View(seen["epoch"], to_bytes(seen["authenticator"]), to_bytes(seen["treeHash"]), members)

    def is_active(self) -> bool:
        return bool(self._ask("view")["active"])

    def export(self, label: str, context: bytes, length: int) -> bytes:
        return to_bytes(self._ask("export", label=label, context=context, length=length)["secret"])

    def _ask(self, operation: str, **request: object) -> Answer:
        return self.driver.ask(operation, self.name, **request)
