"""The suite on Google's emulators, on one machine: the same doors, over Firestore, Pub/Sub and Cloud KMS's interface.

    write ─▶ Firestore ─▶ entrance ─▶ redelivery ─▶ on_secret_version ─▶ Pub/Sub ─▶ entrance ─▶ distribute

The scheduler is the machine's own. A trigger's event that this process loses is published again by the sweeper, which
is told to wait less for it than in the cloud, where Eventarc keeps what a door did not take.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from keyturn.entry.config.settings import Settings, Stage
from keyturn.local.emulator_project import FIRESTORE_VARIABLE, emulators, entrance_secret
from keyturn.local.emulator_topics import CloudTopics
from keyturn.local.emulator_webhooks import PUSHED_PATH, EmulatorWebhooks
from keyturn.local.errors import LocalError
from keyturn.local.firestore_control import register_trigger
from keyturn.local.function_client import FunctionClient
from keyturn.local.machine import Opened, Worker, open_suite
from keyturn.local.redelivery import Redelivery
from keyturn.local.trigger_probe import TriggerProbe, register_probe
from keyturn.ports.triggers import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from wsgiref.types import WSGIApplication

    from keyturn.domain.policy import Policy
    from keyturn.entry.composition.suite import Suite
    from keyturn.entry.config.settings import Cloud

REPUBLISH_SECONDS = 5
CALL_SECONDS = 30.0


@dataclass(frozen=True)
class EmulatorBackend:
    """Emulators, started or given by `environment`; keys and the way in are kept in `folder`."""

    folder: Path
    policy: Policy
    environment: Mapping[str, str]
    authoriser: str = field(default_factory=lambda: Settings().authoriser)
    redelivery: Redelivery = field(default_factory=Redelivery)
    heard: Event = field(default_factory=Event)

    def entrance(self, gateway: WSGIApplication, token: str) -> WSGIApplication:
        """Return the gateway with the emulators' way in before it."""
        return EmulatorWebhooks(gateway, self.redelivery.take, token, lambda: self._secret, self.heard)

    @contextmanager
    def opened(self, url: str, token: str) -> Iterator[Opened]:
        """Open emulators, triggers, topics and the suite over them; `LocalError` if something cannot be used."""
        secret = self._secret  # first of all: a folder of another kind is left as it is
        with emulators(self.folder, urlsplit(url).netloc, self.environment) as cloud:
            _connect(cloud, url, secret)
            policy = replace(self.policy, republish_seconds=REPUBLISH_SECONDS)
            # The folder is for the test authority's key only: store and keys are the cloud's.
            settings = Settings(Stage.LOCAL, self.folder, url, policy=policy, cloud=cloud, authoriser=self.authoriser)
            suite = open_suite(settings, "The project")
            doors = FunctionClient(url, CALL_SECONDS, {"Authorization": f"Bearer {token}"})
            yield Opened(suite, [partial(self.redelivery.run, doors), *self._probes(suite, url, secret)])

    def _probes(self, suite: Suite, url: str, secret: str) -> Iterator[Worker]:
        cloud = suite.settings.cloud
        if cloud is not None and self.environment.get(FIRESTORE_VARIABLE):  # one that is started here has our address
            register_probe(cloud, secret)
            yield TriggerProbe(suite.databases.control, self.heard, urlsplit(url).netloc).run

    @cached_property
    def _secret(self) -> str:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (self.folder / "control.db").exists():
            raise LocalError(
                "That folder holds the data of a suite without emulators.", "Give another one, with --data."
            )
        return entrance_secret(self.folder)


def _connect(cloud: Cloud, url: str, secret: str) -> None:
    firestore = cloud.firestore_emulator or ""
    for trigger in TRIGGERS:
        name = f"{trigger.function}-{secret}"
        register_trigger(firestore, cloud.project, name, trigger.pattern, database=cloud.control)
    address = f"{url}{PUSHED_PATH}{secret}"
    CloudTopics(cloud.pubsub_emulator or "", cloud.project, lambda door: f"{address}/{door}").make()
