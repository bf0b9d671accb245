"""What the store asks of Firestore, as its messages; pure. Imports the vendor's types, as `firestore_values` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.cloud.firestore_v1.types import common, document, firestore, query, write

from keyturn.adapters.document_values import cursor, key_bounds
from keyturn.adapters.firestore.values import (
    Message,
    data_of,
    fields,
    time_of,
    update_time_of,
    value_message,
    version_of,
)
from keyturn.ports.store import Amend, Check, Create, Delete, Document, Replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from keyturn.ports.indexes import Index
    from keyturn.ports.store import Data, Query, Value, Write

_Document: Message = document.Document.pb()
_Mask: Message = common.DocumentMask.pb()
_Precondition: Message = common.Precondition.pb()
_Write: Message = write.Write.pb()
_Transform: Message = write.DocumentTransform.FieldTransform.pb()
_Structured: Message = query.StructuredQuery.pb()
_Cursor: Message = query.Cursor.pb()
_FIRST: Value = False
_BEYOND: Value = b""
"""Firestore orders values by type: null < boolean < number < time < string < bytes < … An index key is one of those
between: `_FIRST` is the first that is no null, `_BEYOND` the first that no index of ours holds."""


def batch_get(root: str, paths: Iterable[str]) -> Message:
    """Return the request for several documents below `root` (`…/documents`)."""
    database = root.removesuffix("/documents")
    return firestore.BatchGetDocumentsRequest.pb()(database=database, documents=[f"{root}/{path}" for path in paths])


def commit(root: str, writes: Iterable[Write]) -> Message:
    """Return the request for one commit of all writes, each with its precondition; their data is frozen."""
    database = root.removesuffix("/documents")
    return firestore.CommitRequest.pb()(database=database, writes=[_write(f"{root}/{w.path}", w) for w in writes])


def _write(name: str, write: Write) -> Message:
    match write:
        case Create(_, data, stamped):
            update = _Document(name=name, fields=fields(data))
            return _Write(update=update, update_transforms=_stamps(stamped), current_document=_absent())
        case Replace(_, data, version, stamped):
            # Without a mask an update replaces the whole document.
            update = _Document(name=name, fields=fields(data))
            return _Write(update=update, update_transforms=_stamps(stamped), current_document=_at(version))
        case Amend(_, data):
            return _amended(name, data)
        case Delete(_, version):
            return _Write(delete=name, current_document=_at(version))
        case Check(_, version):
            return _check(name, version)


def _stamps(name: str | None) -> list[Message]:
    value = write.DocumentTransform.FieldTransform.ServerValue.REQUEST_TIME
    return [_Transform(field_path=name, set_to_server_value=value)] if name else []


def _amended(name: str, data: Data) -> Message:
    # What the mask names is replaced, all else stays. Quoted, since a dot would mean a field within a field.
    escaped = (field.replace("\\", "\\\\").replace("`", "\\`") for field in data)
    mask = _Mask(field_paths=[f"`{field}`" for field in escaped])
    update = _Document(name=name, fields=fields(data))
    return _Write(update=update, update_mask=mask, current_document=_Precondition(exists=True))


def _check(name: str, version: str | None) -> Message:
    if version is None:
        # Deleting what is not there writes nothing, and its precondition is what is wanted.
        return _Write(delete=name, current_document=_absent())
    # An empty mask changes no field: the update time stays, which a test holds the emulator to.
    return _Write(update=_Document(name=name), update_mask=_Mask(), current_document=_at(version))


def _absent() -> Message:
    return _Precondition(exists=False)


def _at(version: str) -> Message:
    return _Precondition(update_time=update_time_of(version))


def run_query(root: str, asked: Query, index: Index) -> Message:
    """Return the request for one page of a declared index; ValueError for a cursor or bounds that can't be."""
    key_bounds(asked)  # refuses bounds of two types, as every store does
    parent, _, collection = f"{root}/{asked.collection}".rpartition("/")
    structured = _Structured()
    structured.from_.add(collection_id=collection)
    _filter(structured, asked, index)
    for name in (asked.order_by, "__name__"):
        structured.order_by.add(direction=query.StructuredQuery.Direction.ASCENDING).field.field_path = name
    _between(structured, root, asked)
    structured.limit.value = asked.limit
    return firestore.RunQueryRequest.pb()(parent=parent, structured_query=structured)


def add_target(root: str, asked: Query, index: Index, either: tuple[str, Sequence[int]]) -> Message:
    """Return the request to be told from now on of all that a query finds, whatever its limit.

    `either` names one of its equalities, and all the values that are wanted there instead of the one.
    """
    found = run_query(root, asked, index)
    found.structured_query.ClearField("limit")
    for term in found.structured_query.where.composite_filter.filters:
        if term.field_filter.field.field_path == either[0]:
            term.field_filter.op = query.StructuredQuery.FieldFilter.Operator.IN
            term.field_filter.value.CopyFrom(value_message(tuple(either[1])))
    wanted = firestore.Target.QueryTarget.pb()(parent=found.parent, structured_query=found.structured_query)
    target = firestore.Target.pb()(query=wanted, target_id=1)
    return firestore.ListenRequest.pb()(database=root.removesuffix("/documents"), add_target=target)


def ended(response: Message) -> bool:
    """Return whether a response of Listen says that the store follows a target no longer."""
    removed = firestore.TargetChange.TargetChangeType.REMOVE
    return bool(response.HasField("target_change") and response.target_change.target_change_type == removed)


def _filter(structured: Message, asked: Query, index: Index) -> None:
    operator, equal = query.StructuredQuery.FieldFilter.Operator, dict(asked.equal)
    terms: list[tuple[str, int, Value]] = [(name, operator.EQUAL, equal[name]) for name in index.equal]
    if asked.at_least is not None:
        terms.append((asked.order_by, operator.GREATER_THAN_OR_EQUAL, asked.at_least))
    if asked.at_most is not None:
        terms.append((asked.order_by, operator.LESS_THAN_OR_EQUAL, asked.at_most))
    if terms:
        structured.where.composite_filter.op = query.StructuredQuery.CompositeFilter.Operator.AND
    for name, relation, value in terms:
        term = structured.where.composite_filter.filters.add().field_filter
        term.field.field_path, term.op = name, relation
        term.value.CopyFrom(value_message(value))


def _between(structured: Message, root: str, asked: Query) -> None:
    """Start after the page before, or at the first key; end before what no index holds."""
    structured.end_at.CopyFrom(_Cursor(values=[value_message(_BEYOND)], before=True))
    if asked.after is None:
        structured.start_at.CopyFrom(_Cursor(values=[value_message(_FIRST)], before=True))
        return
    cursor(asked, asked.after)  # refuses what was on no page, as every store does
    name = document.Value.pb()(reference_value=f"{root}/{asked.after.path}")
    last = (asked.after.data or {})[asked.order_by]
    structured.start_at.CopyFrom(_Cursor(values=[value_message(last), name], before=False))


def commit_time(response: Message) -> datetime:
    """Return the instant of a commit."""
    return time_of(response.commit_time)


def found_documents(root: str, responses: Sequence[Message]) -> dict[str, Document]:
    """Return the documents of BatchGet's responses by path, those that are not there as absent."""
    here = [document_of(root, response.found) for response in responses if response.WhichOneof("result") == "found"]
    missing = [_path(root, response.missing) for response in responses if response.WhichOneof("result") == "missing"]
    return {path: Document(path, None, None) for path in missing} | {each.path: each for each in here}


def document_of(root: str, message: Message) -> Document:
    """Return a document message below `root` as a document."""
    return Document(_path(root, message.name), data_of(message.fields), version_of(message.update_time))


def _path(root: str, name: str) -> str:
    return name.removeprefix(f"{root}/")


def last_read_time(responses: Sequence[Message]) -> datetime:
    """Return the instant at which all of BatchGet's responses hold together.

    Each says when its document was read; those before are guaranteed not to have changed until the later ones' time
    (google.firestore.v1.BatchGetDocumentsResponse.read_time).
    """
    return max(time_of(response.read_time) for response in responses)
