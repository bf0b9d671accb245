"""Values and versions as messages, where the emulator does not go: nanoseconds, and what the answer's times mean."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.cloud.firestore_v1.types import document, firestore
from google.protobuf.timestamp_pb2 import Timestamp
from keyturn.adapters.firestore.requests import commit, last_read_time
from keyturn.adapters.firestore.values import data_of, time_of, timestamp, update_time_of, value_message, version_of
from keyturn.ports.store import Check, Create, Delete, Replace, StoreError, Write

ROOT = "projects/p/databases/control/documents"
A = "oauth2_clients/a"


@pytest.mark.parametrize("nanos", [0, 1, 999, 1000, 999_999_999])
def test_version_is_the_update_time_to_the_nanosecond(nanos: int) -> None:
    time = Timestamp(seconds=1_767_225_600, nanos=nanos)
    assert update_time_of(version_of(time)) == time


def test_versions_a_nanosecond_apart_differ() -> None:
    assert len({version_of(Timestamp(seconds=7, nanos=nanos)) for nanos in (1, 2, 10, 100)}) == 4


@pytest.mark.parametrize("version", ["", "x", "1.x"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        update_time_of(version)


@pytest.mark.parametrize("year", [1, 1900, 1969, 1970, 2026, 9999])
def test_time_is_kept_to_the_microsecond(year: int) -> None:
    time = datetime(year, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    stamp = timestamp(time)
    assert (stamp.nanos, time_of(stamp)) == (1000, time)


def test_snapshot_is_as_late_as_its_latest_document() -> None:
    response = firestore.BatchGetDocumentsResponse.pb()
    responses = [response(read_time=Timestamp(seconds=seconds)) for seconds in (3, 9, 6)]
    assert last_read_time(responses) == datetime(1970, 1, 1, 0, 0, 9, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["double_value", "reference_value"])
def test_foreign_type_is_refused(kind: str) -> None:
    foreign = document.Value.pb()(**{kind: 0.5 if kind == "double_value" else f"{ROOT}/{A}"})
    with pytest.raises(StoreError):
        data_of({"field": foreign})


def test_boolean_is_no_integer() -> None:
    assert value_message(value=True).WhichOneof("value_type") == "boolean_value"
    assert value_message(1).WhichOneof("value_type") == "integer_value"


def test_every_write_carries_its_precondition() -> None:
    writes: list[Write] = [Create(A, {}), Replace(A, {}, "1.5"), Delete(A, "1.5"), Check(A, "1.5"), Check(A, None)]
    sent = [message.current_document.WhichOneof("condition_type") for message in commit(ROOT, writes).writes]
    assert sent == ["exists", "update_time", "update_time", "update_time", "exists"]


def test_only_a_check_has_a_mask_and_it_is_empty() -> None:
    update, check = commit(ROOT, [Replace(A, {"n": 1}, "1"), Check(f"{A}b", "1")]).writes
    assert not update.HasField("update_mask")
    assert check.HasField("update_mask")
    assert not check.update_mask.field_paths
