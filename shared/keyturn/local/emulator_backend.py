"""The suite on Google's emulators, on one machine: the same functions over Firestore, Pub/Sub and Cloud KMS's API.

    write ─▶ Firestore ─▶ webhook ─▶ redelivery ─▶ on_secret_version ─▶ Pub/Sub ─▶ webhook ─▶ distribute

Each function is a process of its own, as in the cloud (function_processes.py). This process is their front end and the
scheduler. If it loses a trigger's event, the sweeper publishes the event again. It waits for less time than in the
cloud, where Eventarc keeps undelivered events.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from keyturn.entry.config.settings import Settings, Stage
from keyturn.local.emulator_project import FIRESTORE_VARIABLE, emulators, webhook_secret
from keyturn.local.emulator_topics import EmulatorTopics
from keyturn.local.emulator_webhooks import PUSHED_PATH, EmulatorWebhooks
from keyturn.local.errors import LocalError
from keyturn.local.firestore_control import register_trigger
from keyturn.local.function_client import FunctionClient
from keyturn.local.function_processes import start_functions
from keyturn.local.function_proxy import FunctionProxy
from keyturn.local.gateway import open_gateway
from keyturn.local.machine import OpenBackend, Worker, open_suite
from keyturn.local.options import PathForm
from keyturn.local.redelivery import Redelivery
from keyturn.local.trigger_probe import TriggerProbe, register_probe
from keyturn.ports.triggers import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from wsgiref.types import WSGIApplication

    from keyturn.domain.policy import Policy
    from keyturn.entry.composition.suite import Suite
    from keyturn.entry.config.settings import Cloud

REPUBLISH_SECONDS = 5
CALL_SECONDS = 30.0


@dataclass(frozen=True)
class EmulatorBackend:
    """Google's emulators, either started here or named in `environment`. `folder` holds keys and the webhook secret.

    Functions get their paths in the form `paths`.
    """

    folder: Path
    policy: Policy
    environment: Mapping[str, str]
    authoriser: str = field(default_factory=lambda: Settings().authoriser)
    paths: PathForm = PathForm.STRIPPED
    redelivery: Redelivery = field(default_factory=Redelivery)
    functions: dict[str, WSGIApplication] = field(default_factory=dict)
    """The functions by name, from their start on."""
    event_arrived: Event = field(default_factory=Event)

    def application(self, token: str) -> WSGIApplication:
        """Return the gateway with the emulators' webhooks in front."""
        gateway = open_gateway(token, self.functions)
        return EmulatorWebhooks(gateway, self.redelivery.add, token, lambda: self._secret, self.event_arrived)

    @contextmanager
    def open(self, url: str, token: str) -> Iterator[OpenBackend]:
        """Open emulators, triggers, topics and the suite over them. `LocalError` if one of them cannot be used."""
        secret = self._secret  # comes first, so that a data folder of another kind is left unchanged
        with emulators(self.folder, urlsplit(url).netloc, self.environment) as cloud:
            _connect(cloud, url, secret)
            policy = replace(self.policy, republish_seconds=REPUBLISH_SECONDS)
            # The folder is for the local identity provider's key only. Store and keys are the emulators'.
            settings = Settings(Stage.LOCAL, self.folder, url, policy=policy, cloud=cloud, authoriser=self.authoriser)
            with self.run_functions(settings) as wait_until_ready:
                suite = open_suite(settings, "The project")  # while the functions start
                watchers = wait_until_ready()
                functions = FunctionClient(url, CALL_SECONDS, {"Authorization": f"Bearer {token}"})
                delivery = partial(self.redelivery.run, functions)
                yield OpenBackend(suite, [delivery, *watchers, *self._probes(suite, url, secret)])

    @contextmanager
    def run_functions(self, settings: Settings) -> Iterator[Callable[[], Sequence[Worker]]]:
        """Run the functions while the context lasts. The call waits until they answer, and returns their workers."""
        with start_functions(settings, self.environment) as processes:

            def wait_until_ready() -> Sequence[Worker]:
                ports = processes.ports()
                self.functions.update({name: FunctionProxy(name, port, self.paths) for name, port in ports.items()})
                return [processes.watch]

            yield wait_until_ready

    def _probes(self, suite: Suite, url: str, secret: str) -> Iterator[Worker]:
        cloud = suite.settings.cloud
        # An emulator started here knows our address. One started elsewhere may post its events to another one.
        if cloud is not None and self.environment.get(FIRESTORE_VARIABLE):
            register_probe(cloud, secret)
            yield TriggerProbe(suite.databases.control, self.event_arrived, urlsplit(url).netloc).run

    @cached_property
    def _secret(self) -> str:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (self.folder / "control.db").exists():
            raise LocalError(
                "This data folder belongs to a suite without emulators.", "Choose another folder with --data."
            )
        return webhook_secret(self.folder)


def _connect(cloud: Cloud, url: str, secret: str) -> None:
    firestore = cloud.firestore_emulator or ""
    for trigger in TRIGGERS:
        name = f"{trigger.function}-{secret}"
        register_trigger(firestore, cloud.project, name, trigger.pattern, database=cloud.control)
    address = f"{url}{PUSHED_PATH}{secret}"
    EmulatorTopics(cloud.pubsub_emulator or "", cloud.project, lambda function: f"{address}/{function}").create()
