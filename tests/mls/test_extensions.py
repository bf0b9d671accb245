import pytest
from keyturn.mls import MalformedMessage
from keyturn.mls.encoding import decode, uint16s
from keyturn.mls.extensions import (
    REQUIRED_CAPABILITIES,
    Capabilities,
    Extension,
    RequiredCapabilities,
    encode_extensions,
    find,
    read_extensions,
)

OFFERED = Capabilities((1,), (1,), (0x000A, 0x0A0A), (0x1A1A,), (1,))


def test_extensions_are_kept_in_order_and_found() -> None:
    extensions = (Extension(0x0A0A, b"grease"), Extension(3, b""))
    assert decode(read_extensions, encode_extensions(extensions)) == extensions
    assert find(extensions, 0x0A0A) == b"grease"
    assert find(extensions, 1) is None


def test_an_extension_comes_once() -> None:
    with pytest.raises(MalformedMessage):
        decode(read_extensions, encode_extensions((Extension(1, b"a"), Extension(1, b"b"))))


def test_capabilities_round_trip() -> None:
    assert decode(Capabilities.read, OFFERED.encode()) == OFFERED


@pytest.mark.parametrize(
    ("required", "satisfied"),
    [
        (RequiredCapabilities(), True),
        (RequiredCapabilities((1, 2, 3, 4, 5, 0x000A), (1, 2, 3, 4, 5, 6, 7, 0x1A1A), (1,)), True),
        (RequiredCapabilities((6,), (), ()), False),
        (RequiredCapabilities((0,), (), ()), False),
        (RequiredCapabilities((), (8,), ()), False),
        (RequiredCapabilities((), (0,), ()), False),
        (RequiredCapabilities((), (), (2,)), False),
    ],
)
def test_what_is_required_is_default_or_listed(required: RequiredCapabilities, satisfied: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert OFFERED.satisfy(required) is satisfied


def test_requirements_come_from_the_group_context() -> None:
    data = uint16s((6,)) + uint16s((8,)) + uint16s((2,))
    found = RequiredCapabilities.of((Extension(REQUIRED_CAPABILITIES, data),))
    assert found == RequiredCapabilities((6,), (8,), (2,))
    assert RequiredCapabilities.of(()) == RequiredCapabilities()
    with pytest.raises(MalformedMessage):
        RequiredCapabilities.of((Extension(REQUIRED_CAPABILITIES, data + b"\x00"),))
