"""The room in which members of both kinds meet: it delivers to everybody, and all have to agree after each commit."""

from collections.abc import Iterable, Sequence

from tests.interop.driver import Driver
from tests.interop.members import Made, Member, Ours, Theirs, View

LABEL, CONTEXT = "interop", b"context"


class Room:
    """Members by name. Letters say kinds: o is ours, t is ts-mls, g is ts-mls with GREASE (RFC 9420 §13.5)."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.members: list[Member] = []
        self.invited = 0

    def invite(self, kind: str) -> Member:
        """Make a member that is not in the group yet, named by its kind and a number."""
        self.invited += 1
        name = f"{kind}{self.invited}"
        return Ours(name) if kind == "o" else Theirs(name, self.driver, grease=kind == "g")

    def gather(self, kinds: str) -> None:
        """Let the first found the group and add the others in one commit."""
        founder, *others = (self.invite(kind) for kind in kinds)
        founder.key_package()
        founder.found()
        self.members = [founder]
        self.commit(founder, newcomers=others)

    def of_kind(self, kind: str) -> list[Member]:
        """List the members of a kind."""
        return [member for member in self.members if member.name.startswith(kind)]

    def others(self, *present: Member) -> list[Member]:
        """List all but these."""
        return [member for member in self.members if member not in present]

    def leaf_of(self, member: Member) -> int:
        """Tell the leaf index of a member, as somebody sees it."""
        return next(index for index, name in self.members[0].view().members if name == member.name)

    def deliver(self, message: bytes, sender: Member) -> list[bytes | None]:
        """Give a message to everybody else; what each of them read in it."""
        return [member.receive(message) for member in self.others(sender)]

    def commit(
        self,
        committer: Member,
        *,
        newcomers: Sequence[Member] = (),
        leavers: Sequence[Member] = (),
        public: bool = False,
    ) -> None:
        """Let one commit (with what is pending), everybody follow, and all agree."""
        packages = [newcomer.key_package() for newcomer in newcomers]
        made = committer.commit(add=packages, remove=[self.leaf_of(member) for member in leavers], public=public)
        self.follow(committer, made, newcomers, leavers)

    def follow(
        self, committer: Member, made: Made, newcomers: Iterable[Member] = (), leavers: Sequence[Member] = ()
    ) -> None:
        """Deliver a commit and its Welcome; those removed are out, and all the others agree."""
        self.deliver(made.message, committer)
        self.members = [member for member in self.members if member not in leavers]
        assert not any(leaver.is_active() for leaver in leavers)
        for newcomer in newcomers:
            assert made.welcome is not None
            newcomer.join(made.welcome)
            self.members.append(newcomer)
        self.agree()

    def agree(self) -> View:
        """All see the same epoch, authenticator, tree and members, and export the same secret."""
        first, *others = [(member.view(), member.export(LABEL, CONTEXT, 40)) for member in self.members]
        assert all(other == first for other in others)
        assert {name for _, name in first[0].members} == {member.name for member in self.members}
        return first[0]
