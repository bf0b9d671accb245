"""Twenty epochs of random operations of both kinds of members, compared at each."""

import random
from dataclasses import dataclass

import pytest

from tests.interop.members import NOW, RANDOM, Member, Ours
from tests.interop.room import Room

pytestmark = pytest.mark.tier("node")
EPOCHS = 20
AT_LEAST = {"o": 2, "t": 3}
AT_MOST = 9


@dataclass
class Chance:
    """Draws what happens next; the seed is the whole story."""

    room: Room
    draw: random.Random

    def chatter(self) -> None:
        """Let somebody send a few messages, which reach the others in some order."""
        sender = self.draw.choice(self.room.members)
        texts = [self.draw.randbytes(self.draw.randrange(200)) for _ in range(3)]
        messages = [sender.send(text) for text in texts]
        for receiver in self.room.others(sender):
            for number in self.draw.sample(range(3), 3):
                assert receiver.receive(messages[number]) == texts[number]

    def propose_updates(self, committer: Member) -> None:
        """Let up to two others propose a fresh key."""
        for member in self.draw.sample(self.room.others(committer), self.draw.randrange(3)):
            self.room.deliver(member.propose_update(public=self.coin()), member)

    def step(self) -> str:
        """Chat, send a message that will be late, commit something, and read the late message."""
        self.chatter()
        committer, early = self.draw.choice(self.room.members), self.draw.choice(self.room.members)
        late, before = early.send(b"late"), self.room.others(early)
        done = self.operate(committer)
        for receiver in before:
            assert receiver not in self.room.members or receiver.receive(late) == b"late"
        return done

    def operate(self, committer: Member) -> str:
        """Commit one of the operations that the sizes allow."""
        possible = {"update": True, "updates": True, "add": len(self.room.members) < AT_MOST}
        possible |= {"remove": bool(self.spare(committer)), "add-by-reference": possible["add"]}
        possible["remove-by-reference"] = possible["remove"]
        kind = self.draw.choice([name for name, allowed in possible.items() if allowed])
        getattr(self, kind.replace("-", "_"))(committer)
        return kind

    def spare(self, committer: Member) -> list[Member]:
        """List who may leave: enough of its kind stay."""
        return [
            one for one in self.room.others(committer) if len(self.room.of_kind(one.name[0])) > AT_LEAST[one.name[0]]
        ]

    def update(self, committer: Member) -> None:
        self.room.commit(committer, public=self.coin())

    def updates(self, committer: Member) -> None:
        self.propose_updates(committer)
        self.room.commit(committer, public=self.coin())

    def add(self, committer: Member) -> None:
        newcomer = self.room.invite("t" if self.theirs_can_join(committer) and self.coin() else "o")
        self.room.commit(committer, newcomers=[newcomer], public=self.coin())

    def add_by_reference(self, committer: Member) -> None:
        proposer, newcomer = self.draw.choice(self.room.others(committer)), self.room.invite("o")
        self.room.deliver(proposer.propose_add(newcomer.key_package(), public=self.coin()), proposer)
        self.propose_updates(committer)
        self.room.follow(committer, committer.commit(public=self.coin()), [newcomer])

    def remove(self, committer: Member) -> None:
        self.room.commit(committer, leavers=[self.draw.choice(self.spare(committer))], public=self.coin())

    def remove_by_reference(self, committer: Member) -> None:
        leaver = self.draw.choice(self.spare(committer))
        proposer = self.draw.choice(self.room.others(committer))
        self.room.deliver(proposer.propose_remove(self.room.leaf_of(leaver), public=self.coin()), proposer)
        self.room.follow(committer, committer.commit(public=self.coin()), leavers=[leaver])

    def theirs_can_join(self, committer: Member) -> bool:
        """Whether ts-mls 1.6.4 accepts the tree after an Add by this member.

        It wants the unmerged leaves of a node at all nodes above it too, where RFC 9420 §12.4.3.1 wants them below.
        A tree without any, and one after a commit without path (as theirs are, RFC 9420 §12.4), satisfies both.
        """
        if not isinstance(committer, Ours):
            return not has_unmerged(next(one for one in self.room.members if isinstance(one, Ours)))
        trial = Ours("trial")
        package = trial.key_package()
        trial.group = committer.group.commit(random=RANDOM, now=NOW, add=[package]).group
        return not has_unmerged(trial)

    def coin(self) -> bool:
        return self.draw.random() < 0.5


def has_unmerged(member: Ours) -> bool:
    """Whether some node of the tree has unmerged leaves."""
    return any(node.unmerged for _, node in member.group.state.tree.parents())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("founder", ["o", "t"], ids=["ours-founds", "theirs-founds"])
def test_twenty_random_epochs(room: Room, founder: str, seed: int) -> None:
    room.gather({"o": "ottto", "t": "totot"}[founder])
    chance = Chance(room, random.Random(f"{founder} {seed}"))
    done = {chance.step() for _ in range(EPOCHS)}
    assert room.agree().epoch == 1 + EPOCHS
    assert done >= {"update", "add"}
