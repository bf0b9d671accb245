"""Firestore's request messages built from the port's values, and its responses read back. Pure functions.

Like `values.py`, this module imports the vendor's types.
"""

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
"""Firestore orders values by type: null < boolean < number < time < string < bytes < … Our index keys lie between:
`_FIRST` is the smallest value that is not null, `_BEYOND` the smallest one beyond all our keys."""


def batch_get(root: str, paths: Iterable[str]) -> Message:
    """Return the request for several documents below `root` (`…/documents`)."""
    database = root.removesuffix("/documents")
    return firestore.BatchGetDocumentsRequest.pb()(database=database, documents=[f"{root}/{path}" for path in paths])


def commit(root: str, writes: Iterable[Write]) -> Message:
    """Return the request for one commit of all writes, each with its precondition. Their data must be frozen."""
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
    # Fields in the mask are replaced, all others stay. Names are quoted, because a dot would mean a nested field.
    escaped = (field.replace("\\", "\\\\").replace("`", "\\`") for field in data)
    mask = _Mask(field_paths=[f"`{field}`" for field in escaped])
    update = _Document(name=name, fields=fields(data))
    return _Write(update=update, update_mask=mask, current_document=_Precondition(exists=True))


def _check(name: str, version: str | None) -> Message:
    if version is None:
        # Deleting an absent document writes nothing, and its precondition is the check that we need.
        return _Write(delete=name, current_document=_absent())
    # An empty mask changes no field, so the update time stays. A test checks that on the emulator.
    return _Write(update=_Document(name=name), update_mask=_Mask(), current_document=_at(version))


def _absent() -> Message:
    return _Precondition(exists=False)


def _at(version: str) -> Message:
    return _Precondition(update_time=update_time_of(version))


def run_query(root: str, page: Query, index: Index) -> Message:
    """Return the request for one page of a declared index. ValueError for an invalid cursor or bounds."""
    key_bounds(page)  # refuses bounds of two types, as every store does
    parent, _, collection = f"{root}/{page.collection}".rpartition("/")
    structured = _Structured()
    structured.from_.add(collection_id=collection)
    _add_filter(structured, page, index)
    for name in (page.order_by, "__name__"):
        structured.order_by.add(direction=query.StructuredQuery.Direction.ASCENDING).field.field_path = name
    _add_bounds(structured, root, page)
    structured.limit.value = page.limit
    return firestore.RunQueryRequest.pb()(parent=parent, structured_query=structured)


def add_target(root: str, followed: Query, index: Index, either: tuple[str, Sequence[int]]) -> Message:
    """Return the Listen request that subscribes to all documents of a query. The query's limit does not apply.

    `either` names one of its equality fields and the values of which any one matches.
    """
    request = run_query(root, followed, index)
    request.structured_query.ClearField("limit")
    for term in request.structured_query.where.composite_filter.filters:
        if term.field_filter.field.field_path == either[0]:
            term.field_filter.op = query.StructuredQuery.FieldFilter.Operator.IN
            term.field_filter.value.CopyFrom(value_message(tuple(either[1])))
    query_target = firestore.Target.QueryTarget.pb()(parent=request.parent, structured_query=request.structured_query)
    target = firestore.Target.pb()(query=query_target, target_id=1)
    return firestore.ListenRequest.pb()(database=root.removesuffix("/documents"), add_target=target)


def removes_target(response: Message) -> bool:
    """Return whether a response of Listen says that the store has stopped following the target."""
    removed = firestore.TargetChange.TargetChangeType.REMOVE
    return bool(response.HasField("target_change") and response.target_change.target_change_type == removed)


def _add_filter(structured: Message, page: Query, index: Index) -> None:
    operator, equal = query.StructuredQuery.FieldFilter.Operator, dict(page.equal)
    terms: list[tuple[str, int, Value]] = [(name, operator.EQUAL, equal[name]) for name in index.equal]
    if page.at_least is not None:
        terms.append((page.order_by, operator.GREATER_THAN_OR_EQUAL, page.at_least))
    if page.at_most is not None:
        terms.append((page.order_by, operator.LESS_THAN_OR_EQUAL, page.at_most))
    if terms:
        structured.where.composite_filter.op = query.StructuredQuery.CompositeFilter.Operator.AND
    for name, relation, value in terms:
        term = structured.where.composite_filter.filters.add().field_filter
        term.field.field_path, term.op = name, relation
        term.value.CopyFrom(value_message(value))


def _add_bounds(structured: Message, root: str, page: Query) -> None:
    """Start after the previous page, or at the first key. End before the values that no index of ours holds."""
    structured.end_at.CopyFrom(_Cursor(values=[value_message(_BEYOND)], before=True))
    if page.after is None:
        structured.start_at.CopyFrom(_Cursor(values=[value_message(_FIRST)], before=True))
        return
    cursor(page, page.after)  # refuses a document that was on no page, as every store does
    name = document.Value.pb()(reference_value=f"{root}/{page.after.path}")
    last = (page.after.data or {})[page.order_by]
    structured.start_at.CopyFrom(_Cursor(values=[value_message(last), name], before=False))


def commit_time(response: Message) -> datetime:
    """Return the time of a commit."""
    return time_of(response.commit_time)


def documents_by_path(root: str, responses: Sequence[Message]) -> dict[str, Document]:
    """Return the documents of BatchGet's responses by path. An absent document has neither data nor version."""
    here = [document_of(root, response.found) for response in responses if response.WhichOneof("result") == "found"]
    absent = [_path(root, response.missing) for response in responses if response.WhichOneof("result") == "missing"]
    return {path: Document(path, None, None) for path in absent} | {each.path: each for each in here}


def document_of(root: str, message: Message) -> Document:
    """Return a document message below `root` as a document."""
    return Document(_path(root, message.name), data_of(message.fields), version_of(message.update_time))


def _path(root: str, name: str) -> str:
    return name.removeprefix(f"{root}/")


def last_read_time(responses: Sequence[Message]) -> datetime:
    """Return the time at which all of BatchGet's responses were true together.

    Each response has its own read time. Firestore guarantees that the earlier documents did not change until the later
    read times (google.firestore.v1.BatchGetDocumentsResponse.read_time).
    """
    return max(time_of(response.read_time) for response in responses)
