"""A Firestore document event as Eventarc delivers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.cloud.firestore_v1.types import Document
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from google.protobuf.message import Message


def event(path: str) -> bytes:
    """Return a real DocumentEventData: `google.events.cloud.firestore.v1`, value = 1, old_value = 2."""
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="test", syntax="proto3")
    file.dependency.append(Document.pb(Document()).DESCRIPTOR.file.name)
    message = file.message_type.add(name="DocumentEventData")
    for number, name in ((1, "value"), (2, "old_value")):
        message.field.add(
            name=name,
            number=number,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
            type_name=".google.firestore.v1.Document",
        )
    pool = descriptor_pool.DescriptorPool()
    known = Document.pb(Document()).DESCRIPTOR.file
    _add_with_dependencies(pool, known)
    pool.Add(file)
    made: Message = message_factory.GetMessageClass(pool.FindMessageTypeByName("test.DocumentEventData"))()
    made.value.name = f"projects/p/databases/control/documents/{path}"  # type: ignore[attr-defined]  # made just now
    made.value.fields["state"].string_value = "pending"  # type: ignore[attr-defined]  # the same
    return made.SerializeToString()


def _add_with_dependencies(pool: descriptor_pool.DescriptorPool, file: object) -> None:
    for dependency in file.dependencies:  # type: ignore[attr-defined]  # a FileDescriptor
        _add_with_dependencies(pool, dependency)
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)  # type: ignore[attr-defined]  # the same
    pool.Add(proto)
