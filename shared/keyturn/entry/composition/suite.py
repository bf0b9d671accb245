"""The suite of one deployment, composed by hand: settings in, use cases out.

    Foundation                      settings, overrides, databases, keys, bus, groups, clients
    ├── VerifierSuite               client_token
    ├── ProofSuite                  admin_proof
    │   ├── CommandSuite            rotate_request
    │   └── EnrolmentSuite          enrol
    ├── DistributionSuite           on_secret_version, distribute, grace_sweeper
    └── OperatorSuite               operator

A function reaches its part through `current()`, and loads and builds no other part.
"""

from __future__ import annotations

import functools
import os
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from keyturn.entry.composition.foundation import Foundation
from keyturn.entry.config.settings import from_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.entry.composition.command_suite import CommandSuite
    from keyturn.entry.composition.distribution_suite import DistributionSuite
    from keyturn.entry.composition.enrolment_suite import EnrolmentSuite
    from keyturn.entry.composition.operator_suite import OperatorSuite
    from keyturn.entry.composition.proof_suite import ProofSuite
    from keyturn.entry.composition.verifier_suite import VerifierSuite
    from keyturn.use_cases.groups.freeze import Freeze
    from keyturn.use_cases.status_queries import ReadStatus
    from keyturn.use_cases.usage.cutover import Cutover


@dataclass(frozen=True)
class Suite(Foundation):
    """All use cases of one deployment, by entry point."""

    @functools.cached_property
    def verification(self) -> VerifierSuite:
        """Behind `client_token`."""
        from keyturn.entry.composition.verifier_suite import VerifierSuite

        return VerifierSuite(self)

    @functools.cached_property
    def proofs(self) -> ProofSuite:
        """Behind `admin_proof`."""
        from keyturn.entry.composition.proof_suite import ProofSuite

        return ProofSuite(self)

    @functools.cached_property
    def commands(self) -> CommandSuite:
        """Behind `rotate_request`."""
        from keyturn.entry.composition.command_suite import CommandSuite

        return CommandSuite(self, self.proofs, self.verification.imported_checker.matches)

    @functools.cached_property
    def enrolment(self) -> EnrolmentSuite:
        """Behind `enrol`."""
        from keyturn.entry.composition.enrolment_suite import EnrolmentSuite

        return EnrolmentSuite(self, self.proofs)

    @functools.cached_property
    def distribution(self) -> DistributionSuite:
        """Behind `on_secret_version`, `distribute` and `grace_sweeper`."""
        from keyturn.entry.composition.distribution_suite import DistributionSuite

        return DistributionSuite(self)

    @functools.cached_property
    def operator(self) -> OperatorSuite:
        """Behind `operator`."""
        from keyturn.entry.composition.operator_suite import OperatorSuite

        return OperatorSuite(self)

    @functools.cached_property
    def status(self) -> ReadStatus:
        """Behind `status`. The function `operator` shows clients and groups through it, too."""
        from keyturn.use_cases.status_queries import ReadStatus

        return ReadStatus(self.clients, self.databases.usage, self.environment)

    @functools.cached_property
    def cutover(self) -> Cutover:
        """Behind `status` and `operator`: how far a client has moved to its new secret."""
        from keyturn.use_cases.usage.cutover import Cutover

        return Cutover(self.clients, self.databases.usage, self.environment)

    @functools.cached_property
    def freeze(self) -> Freeze:
        """Behind `keyturn thaw`: freezes a store that was copied or restored, and thaws it."""
        from keyturn.use_cases.groups.freeze import Freeze

        return Freeze(self.databases.control, self.groups, self.environment, self.settings.banner)

    def close(self) -> None:
        """Write what this process has not written yet. The suite is not used again."""
        if "verification" in vars(self):
            self.verification.close()


_lock = Lock()
_process: dict[str, Suite] = {}
_serving: ContextVar[Suite | None] = ContextVar("suite", default=None)


def current() -> Suite:
    """Return the suite of `serving`, else the one passed to `use`, else one built from the environment's settings."""
    suite = _serving.get() or _process.get("suite")
    if suite is None:
        with _lock:  # requests that arrive together share one suite, and so one set of budgets and counters
            suite = _process.get("suite") or _process.setdefault("suite", Suite(from_environment(os.environ)))
    return suite


def use(suite: Suite | None) -> None:
    """Serve this process's functions by `suite`. None goes back to the environment's settings, read anew."""
    with _lock:
        _process.clear()
        if suite is not None:
            _process["suite"] = suite


@contextmanager
def serving(suite: Suite) -> Iterator[None]:
    """Serve by `suite` what this thread or task calls while the context lasts: a process may hold several suites."""
    token = _serving.set(suite)
    try:
        yield
    finally:
        _serving.reset(token)
