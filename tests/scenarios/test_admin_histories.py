"""Histories of admins, made up: whatever is invited, approved, registered, stopped and resumed in whatever order.

After every step: nobody has a leaf but by a device that is registered for an active admin; the register, the records
and the keys say the same; nobody proves anything unless they are active, on a device of theirs; and nothing breaks.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyotp
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from keyturn.entry.composition import suite as wiring
from keyturn.records import paths
from keyturn.records.admin_directory import read_admin
from keyturn.use_cases.doctor.admin_checks import admin_findings, read_admin_documents

from tests.functions.attested import Person, body
from tests.world import GROUP, World

if TYPE_CHECKING:
    from keyturn.records.admin import Admin
    from werkzeug.test import TestResponse

USERS = ("alice", "bob", "carol")
WHO = st.integers(min_value=0, max_value=5)
WHICH = st.integers(min_value=0, max_value=200)
BROKEN = 500


class Histories(RuleBasedStateMachine):
    """Three people with two devices each, an operator, and invites that any of them may try to use."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name), attested=True).found()
        self.people = [Person(self.world, user, secret=pyotp.random_base32()) for user in (*USERS, *USERS)]
        self.invites: list[dict[str, Any]] = []
        for who in range(2):
            self.admit(who, "join")

    def teardown(self) -> None:
        wiring.use(None)
        self.folder.cleanup()

    # --- what happens ------------------------------------------------------------------------------------------------

    @rule(user=st.sampled_from(USERS), purpose=st.sampled_from(["join", "join", "join", "device", "totp"]))
    def invite(self, user: str, purpose: str) -> None:
        answer = self.world.operator("/invites", {"user": user, "group_id": GROUP, "purpose": purpose})
        if self.went(answer):
            self.invites.append(body(answer))

    @rule(who=WHO, purpose=st.sampled_from(["join", "device", "totp"]))
    def admit(self, who: int, purpose: str) -> None:
        """Go the whole way, as far as it leads."""
        before = len(self.invites)
        self.invite(self.people[who].user, purpose)
        if len(self.invites) > before:
            for approver in range(len(USERS)):
                self.approve(approver, before)
            self.enrol(who, before)

    @rule(user=st.sampled_from(USERS))
    def bring_back(self, user: str) -> None:
        """Resume an admin, as far as the others approve it."""
        before = len(self.invites)
        self.stop_or_resume(user, "resume")
        if len(self.invites) > before:
            for approver in range(len(USERS)):
                self.approve(approver, before)
            self.stop_or_resume(user, "resume")

    @rule(who=WHO, which=WHICH)
    def approve(self, who: int, which: int) -> None:
        if made := self.made(which):
            self.went(self.people[who].approve_if_proven(made["invite"], made["user"], made["purpose"]))

    @rule(who=WHO, which=WHICH)
    def enrol(self, who: int, which: int) -> None:
        for step in ("register", "confirm", "join"):
            self.step(who, which, step)

    @rule(who=WHO, which=WHICH, step=st.sampled_from(["register", "confirm", "join"]))
    def step(self, who: int, which: int, step: str) -> None:
        if made := self.made(which):
            person = self.people[who]
            code = person.fresh_code()
            answer = person.confirm(made["code"], code) if step == "confirm" else getattr(person, step)(made["code"])
            if self.went(answer) and step == "register" and body(answer)["totp"]:
                for device in self.people:  # one authenticator a person
                    device.secret = person.secret if device.user == person.user else device.secret

    @rule(who=WHO)
    def come_back(self, who: int) -> None:
        self.went(self.people[who].come_back())

    @rule(who=WHO)
    def prove(self, who: int) -> None:
        person = self.people[who]
        if self.went(person.prove("A" * 43)):
            admin = self.admin(person.user)
            assert admin is not None
            assert admin.may_act_with(person.npub)

    @rule(user=st.sampled_from(USERS), how=st.sampled_from(["suspend", "resume", "resume", "remove"]))
    def stop_or_resume(self, user: str, how: str) -> None:
        answer = self.world.operator(f"/admins/{user}/{how}", {})
        if self.went(answer) and body(answer).get("awaits_approval"):
            self.invites.append(
                {"invite": body(answer)["awaits_approval"], "user": user, "purpose": "resume", "code": "-"}
            )

    @rule(who=WHO)
    def revoke(self, who: int) -> None:
        person = self.people[who]
        asked = {"user": person.user, "group_id": GROUP, "purpose": "device", "revoke": [person.npub]}
        self.went(self.world.operator("/invites", asked))

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def only_devices_of_active_admins_have_leaves(self) -> None:
        for member in self.world.document(f"mls_groups/{GROUP}/roster/members")["members"]:
            admin = self.admin(member["user"])
            assert admin is not None
            assert admin.may_act_with(member["npub"])

    @invariant()
    def register_records_and_keys_say_the_same(self) -> None:
        auth = self.world.auth.inner
        found = read_admin_documents(auth, auth.get([paths.ADMINS])[paths.ADMINS])
        assert list(admin_findings(found)) == []

    # --- what both need ----------------------------------------------------------------------------------------------

    def made(self, which: int) -> dict[str, Any] | None:
        return self.invites[which % len(self.invites)] if self.invites else None

    def admin(self, user: str) -> Admin | None:
        path = f"admins/{user}"
        return read_admin(self.world.auth.inner.get([path])[path])

    def went(self, answer: TestResponse) -> bool:
        assert answer.status_code < BROKEN, answer.text
        return answer.status_code == 200


Histories.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestHistories = Histories.TestCase
