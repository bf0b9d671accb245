"""The setting of the emulators' row: the real machine on Google's emulators in this process, beside an empty function.

The empty function gets its events from the same emulators as the suite, one of each kind: a written document of its
own database, and a message of its own topic.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import grpc
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from keyturn.adapters.firestore.store import FirestoreChannel, FirestoreStore
from keyturn.cli.operator_token import read_token
from keyturn.device.api.client import ApiClient
from keyturn.entry.composition import suite as wiring
from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.functions import FUNCTIONS
from keyturn.local.emulator_backend import EmulatorBackend
from keyturn.local.firestore_control import register_trigger
from keyturn.local.machine import run_suite
from keyturn.ports.authorisation import UNSAFE_NO_ATTESTATION as UNSAFE
from keyturn.ports.store import Create, Databases
from keyturn.records import paths
from werkzeug.wrappers import Response

from bench.cloud_calls import CloudCall, Noted
from bench.rotation_stage import (
    ADMINS,
    GROUP,
    NEVER_SECONDS,
    PATIENCE_SECONDS,
    POLICY,
    TooLateError,
    enrolled,
    own_environment,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from keyturn.device.device import Device
    from keyturn.entry.composition.suite import Suite
    from keyturn.entry.config.settings import Cloud, Settings
    from keyturn.local.machine import Worker

EMPTY = "empty-door"
QUIET_SECONDS = 0.15


@dataclass
class EmptyDoor:
    """Answers what it is called with at once, and tells when it was."""

    called: threading.Event = field(default_factory=threading.Event)
    at: float = 0.0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one delivery."""
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.at = time.perf_counter()
        self.called.set()
        return Response(status=204)(environ, start_response)

    def wait(self) -> float:
        """Return the time of the call (time.perf_counter, seconds). Raises `TooLateError` if there is none."""
        if not self.called.wait(PATIENCE_SECONDS):
            raise TooLateError
        self.called.clear()
        return self.at


@dataclass(frozen=True)
class BenchBackend(EmulatorBackend):
    """Emulators, the functions in this process, which notes their calls, and an empty door in front of all else."""

    empty: EmptyDoor = field(default_factory=EmptyDoor)

    @contextmanager
    def run_functions(self, settings: Settings) -> Iterator[Callable[[], Sequence[Worker]]]:
        """Serve the functions in this process."""
        del settings
        self.functions.update(FUNCTIONS)
        yield list

    def application(self, token: str) -> WSGIApplication:
        """Return what answers: the empty door where it is asked for, else the suite."""
        suite = super().application(token)

        def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            target_app = self.empty if EMPTY in environ["PATH_INFO"] else suite
            return target_app(environ, start_response)

        return answer


@dataclass(frozen=True)
class CloudStage:
    """A running suite with recorded calls, the first admin's device, and the bare parts beside it."""

    suite: Suite
    calls: list[CloudCall]
    device: Device
    token: str
    empty: EmptyDoor
    store: FirestoreStore
    """A database of the bench's own, on the same emulator."""

    def add(self, client_id: str) -> None:
        """Add a client."""
        fields: dict[str, object] = {"client_id": client_id, "groups": [GROUP]}
        ApiClient(self.suite.settings.base_url).operator("POST", "/clients", self.token, fields)

    def rotate(self, client_id: str) -> list[CloudCall]:
        """Request a client's first secret. Returns the calls from the accepting commit to the readable one."""
        self.calls.clear()
        rotation_id = str(self.device.rotate(client_id, "bench")["rotation_id"])
        end = self._readable()
        calls = list(self.calls)
        start = next(n for n, call in enumerate(calls) if paths.rotation(rotation_id) in _written(call))
        self._settle()
        if rotation_id not in {notice.rotation_id for notice in self.device.catch_up()}:
            raise TooLateError
        return calls[start : end + 1]

    def written(self) -> float:
        """Write a document, and return how long after the commit the empty door was called, in milliseconds.

        It may be less than nothing: the emulator posts the event beside its answer, as it does in a rotation.
        """
        self.store.commit([Create(f"{EMPTY}s/{time.monotonic_ns()}", {})])
        began = time.perf_counter()
        return (self.empty.wait() - began) * 1000

    def published(self) -> float:
        """Publish a message, and return how long that took until the empty door was called, in milliseconds."""
        began = time.perf_counter()
        self.suite.backends.bus.publish(EMPTY, {"client_id": "client-000", "rotation_id": "01" + "A" * 24})
        return (self.empty.wait() - began) * 1000

    def _readable(self) -> int:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for place, call in enumerate(list(self.calls)):
                if any(path.startswith(paths.messages(GROUP)) for path in _written(call)):
                    return place
            time.sleep(0.002)
        raise TooLateError

    def _settle(self) -> None:
        """Wait until nothing more is called."""
        count_before = -1
        while count_before != len(self.calls):
            count_before = len(self.calls)
            time.sleep(QUIET_SECONDS)


@contextmanager
def raised(folder: Path) -> Iterator[CloudStage]:
    """Run the suite on emulators of its own, with three devices in one group, while the context lasts."""
    backend = BenchBackend(folder / "data", POLICY, {}, UNSAFE)
    with own_environment(folder / "state"), run_suite(backend, 0, NEVER_SECONDS) as started:
        cloud, url, calls = started.settings.cloud, started.settings.base_url, list[CloudCall]()
        if cloud is None:
            raise TooLateError
        suite = _noted(started, calls)
        token = read_token(url, os.environ)
        ApiClient(url).operator("POST", "/groups", token, {"group_id": GROUP})
        devices = [enrolled(folder / "devices" / user, user, url, token) for user in ADMINS]
        channel = FirestoreChannel(emulator_host=cloud.firestore_emulator)
        _connect_empty(cloud, url)
        store = FirestoreStore(channel, project=cloud.project, database="bench")
        yield CloudStage(suite, calls, devices[0], token, backend.empty, store)
        channel.close()


def _noted(suite: Suite, calls: list[CloudCall]) -> Suite:
    """Serve the functions by a suite over the same backends whose calls are noted."""
    databases = suite.databases
    noted = Databases(Noted(databases.control, calls), databases.auth, databases.usage)
    vars(suite.keys)["rpc"] = Noted(suite.keys.rpc, calls)  # type: ignore[attr-defined]  # the cloud's keys
    noted_suite = replace(suite, overrides=Overrides(databases=noted, bus=Noted(suite.bus, calls), keys=suite.keys))
    wiring.use(noted_suite)
    return noted_suite


def _connect_empty(cloud: Cloud, url: str) -> None:
    register_trigger(cloud.firestore_emulator or "", cloud.project, EMPTY, f"{EMPTY}s/{{id}}", database="bench")
    with grpc.insecure_channel(cloud.pubsub_emulator or "") as channel:
        topic = f"projects/{cloud.project}/topics/{EMPTY}"
        PublisherClient(transport=PublisherGrpcTransport(channel=channel)).create_topic(name=topic)
        SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)).create_subscription(
            request={
                "name": f"projects/{cloud.project}/subscriptions/{EMPTY}",
                "topic": topic,
                "push_config": {"push_endpoint": f"{url}/{EMPTY}/{topic}"},
            }
        )


def _written(call: CloudCall) -> set[str]:
    return {write.path for write in call.arguments[0]} if call.name == "commit" else set()
