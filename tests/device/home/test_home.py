from __future__ import annotations

import base64
import json
import multiprocessing
import os
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyturn.device.home import sealed_files
from keyturn.device.home.errors import (
    AlreadyExistsError,
    BusyError,
    DamagedError,
    HomeError,
    InvalidNameError,
    NewerVersionError,
    NotAHomeError,
    PassphraseError,
    RolledBackError,
    TooOpenError,
    UnreadableError,
    WrongPassphraseError,
)
from keyturn.device.home.home import Home
from keyturn.device.home.sealed_files import ScryptCost, create_header, parse_header
from keyturn.domain.encodings import canonical_json, new_secret
from keyturn.private_files import replace_private
from keyturn.proofs.nostr import public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHEAP = ScryptCost(n=2**4)
PASSPHRASE = "correct horse battery staple"
COMPOSED, DECOMPOSED = "p\u00e4ss", "pa\u0308ss"


def home_at(path: Path) -> Home:
    return Home.create(path, "laptop", PASSPHRASE, cost=CHEAP)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "device"


@pytest.fixture
def home(path: Path) -> Home:
    return home_at(path)


# --- create and open


def test_a_created_home_opens_with_the_same_key(home: Home, path: Path) -> None:
    again = Home.open(path, PASSPHRASE)
    assert again.private_key() == home.private_key()
    assert (again.name, again.npub, again.public_key) == ("laptop", home.npub, public_key(home.private_key()))
    assert again.npub.startswith("npub1")


def test_everything_is_its_owners_alone(home: Home, path: Path) -> None:
    home.save("group", "admins", b"state")
    assert path.stat().st_mode & 0o777 == 0o700
    assert {entry.name: entry.stat().st_mode & 0o777 for entry in path.iterdir()} == {
        "device.json": 0o600,
        "state.sealed": 0o600,
        "lock": 0o600,
    }


def test_the_modes_do_not_hang_on_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        home_at(path).save("group", "admins", b"state")
    finally:
        os.umask(before)
    assert {entry.stat().st_mode & 0o077 for entry in [path, *path.iterdir()]} == {0}


def test_by_default_a_guess_costs_32_mebibytes(path: Path) -> None:
    Home.create(path, "laptop", PASSPHRASE)
    assert parse_header((path / "device.json").read_bytes()).cost == ScryptCost(n=2**15, r=8, p=1)
    assert Home.open(path, PASSPHRASE).name == "laptop"


def test_the_key_and_all_salts_come_from_the_given_randomness(path: Path) -> None:
    asked: list[int] = []

    def random(count: int) -> bytes:
        asked.append(count)
        return os.urandom(count)

    Home.create(path, "laptop", PASSPHRASE, random, cost=CHEAP)
    assert sorted(asked) == [12, 12, 16, 32, 32]


def test_an_empty_private_folder_will_do(path: Path) -> None:
    path.mkdir(mode=0o700)
    assert home_at(path).name == "laptop"


def test_a_creation_cut_short_can_be_repeated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("keyturn.device.home.home.HomeHeader.to_bytes", crash)
        with pytest.raises(KeyboardInterrupt):
            home_at(path)
    with pytest.raises(NotAHomeError):
        Home.open(path, PASSPHRASE)
    assert home_at(path).counter == 1


def test_an_existing_home_is_left_alone(home: Home, path: Path) -> None:
    with pytest.raises(AlreadyExistsError):
        home_at(path)
    assert Home.open(path, PASSPHRASE).private_key() == home.private_key()


def test_a_folder_with_other_files_is_left_alone(path: Path) -> None:
    path.mkdir(mode=0o700)
    (path / "thesis.txt").write_text("the only copy")
    with pytest.raises(AlreadyExistsError):
        home_at(path)
    assert [entry.name for entry in path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "\x1b[31m", "\ud800"], ids=ascii)
def test_a_name_that_can_not_be_shown_is_refused(path: Path, name: str) -> None:
    with pytest.raises(InvalidNameError):
        Home.create(path, name, PASSPHRASE, cost=CHEAP)
    assert not path.exists()


def test_an_empty_passphrase_is_refused(path: Path) -> None:
    with pytest.raises(PassphraseError):
        Home.create(path, "laptop", "", cost=CHEAP)
    assert not path.exists()


@pytest.mark.parametrize("passphrase", ["pässwörd", "a\x00b", "\udcff", " "], ids=ascii)
def test_any_passphrase_opens_what_it_closed(path: Path, passphrase: str) -> None:
    Home.create(path, "laptop", passphrase, cost=CHEAP)
    assert Home.open(path, passphrase).name == "laptop"


@pytest.mark.parametrize(("created", "opened"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)], ids=["nfc", "nfd"])
def test_a_passphrase_opens_a_device_however_accents_are_typed(path: Path, created: str, opened: str) -> None:
    Home.create(path, "laptop", created, cost=CHEAP)
    assert Home.open(path, opened).name == "laptop"


def test_a_home_of_an_earlier_release_opens_with_the_decomposed_form(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_files, "composed", lambda passphrase: passphrase)
    Home.create(path, "laptop", DECOMPOSED, cost=CHEAP)
    monkeypatch.undo()
    for typed in (COMPOSED, DECOMPOSED):
        assert Home.open(path, typed).name == "laptop"


def test_a_device_is_not_named_after_a_secret(path: Path) -> None:
    with pytest.raises(InvalidNameError):
        Home.create(path, new_secret(bytes(32)), PASSPHRASE, cost=CHEAP)


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE + " ", PASSPHRASE[:-1], PASSPHRASE.upper()])
@pytest.mark.usefixtures("home")
def test_a_wrong_passphrase_is_not_reported_as_damage(path: Path, passphrase: str) -> None:
    with pytest.raises(WrongPassphraseError) as caught:
        Home.open(path, passphrase)
    assert caught.value.code == "wrong_passphrase"


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir(mode=0o700), lambda path: path.touch()])
def test_a_folder_without_a_home_is_not_reported_as_damage(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    with pytest.raises(NotAHomeError):
        Home.open(path, PASSPHRASE)


def test_a_home_can_not_be_made_where_a_file_is(path: Path) -> None:
    path.touch()
    with pytest.raises(UnreadableError) as caught:
        home_at(path)
    assert str(path) not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("name", [".", "device.json", "state.sealed"])
@pytest.mark.parametrize("mode", [0o040, 0o020, 0o004, 0o001])
@pytest.mark.usefixtures("home")
def test_files_that_others_can_reach_are_refused(path: Path, name: str, mode: int) -> None:
    target = path / name
    target.chmod(target.stat().st_mode | mode)
    with pytest.raises(TooOpenError):
        Home.open(path, PASSPHRASE)


# --- records


def test_records_come_back_and_go(home: Home, path: Path) -> None:
    home.save("group", "admins", b"state")
    home.save("inbox", "01JD", b"")
    assert Home.open(path, PASSPHRASE).load("group", "admins") == b"state"
    assert home.load("inbox", "01JD") == b""
    home.delete("group", "admins")
    assert home.load("group", "admins") is None
    home.delete("group", "never was")
    assert home.ids("inbox") == ("01JD",)


def test_ids_are_of_one_kind_and_sorted(home: Home) -> None:
    home.save_all({("inbox", "b"): b"2", ("inbox", "a"): b"1", ("group", "c"): b"3"})
    assert home.ids("inbox") == ("a", "b")
    assert home.ids("cursor") == ()


def test_several_changes_are_one_replacement(home: Home, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.save_all({("group", "admins"): b"old", ("cursor", "admins"): b"1", ("inbox", "x"): b"seen"})

    def crash(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            home.save_all({("group", "admins"): b"new", ("cursor", "admins"): b"2", ("inbox", "x"): None})
    again = Home.open(path, PASSPHRASE)
    assert (again.load("group", "admins"), again.load("cursor", "admins"), again.load("inbox", "x")) == (
        b"old",
        b"1",
        b"seen",
    )
    again.save_all({("group", "admins"): b"new", ("cursor", "admins"): b"2", ("inbox", "x"): None})
    assert (again.load("group", "admins"), again.load("cursor", "admins"), again.load("inbox", "x")) == (
        b"new",
        b"2",
        None,
    )
    assert not (path / "state.sealed.new").exists()


def test_a_full_disk_leaves_the_old_state(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.save("group", "admins", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UnreadableError):
            home.save("group", "admins", b"new")
    assert home.load("group", "admins") == b"old"


def test_the_counter_rises_with_each_change(home: Home) -> None:
    counters = [home.counter]
    for value in (b"1", b"1", None):
        home.save_all({("group", "admins"): value})
        counters.append(home.counter)
    assert counters == [1, 2, 3, 4]


def test_a_restored_older_copy_is_detected(home: Home, path: Path) -> None:
    older = (path / "state.sealed").read_bytes()
    home.save("group", "admins", b"state")
    (path / "state.sealed").write_bytes(older)
    with pytest.raises(RolledBackError):
        home.load("group", "admins")
    assert Home.open(path, PASSPHRASE).counter == 1


@settings(max_examples=30, deadline=None)
@given(
    changes=st.dictionaries(
        st.tuples(st.text(max_size=8), st.text(max_size=8)), st.none() | st.binary(max_size=64), max_size=6
    )
)
def test_any_change_comes_back(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[tuple[str, str], bytes | None]
) -> None:
    path = tmp_path_factory.mktemp("home") / "device"
    home_at(path).save_all(changes)
    again = Home.open(path, PASSPHRASE)
    assert {key: again.load(*key) for key in changes} == changes


# --- damage


def every_byte(data: bytes) -> Iterator[bytes]:
    for place in range(len(data)):
        yield data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :]


@pytest.mark.parametrize("name", ["device.json", "state.sealed"])
def test_any_changed_byte_is_noticed(home: Home, path: Path, name: str) -> None:
    home.save("group", "admins", b"state")
    whole = (path / name).read_bytes()
    codes = set()
    for changed in every_byte(whole):
        (path / name).write_bytes(changed)
        with pytest.raises(HomeError) as caught:
            Home.open(path, PASSPHRASE)
        codes.add(caught.value.code)
    assert codes <= {"damaged", "not_a_home", "newer_version"}
    assert "damaged" in codes


@pytest.mark.parametrize("name", ["device.json", "state.sealed"])
def test_a_truncated_file_is_damaged(home: Home, path: Path, name: str) -> None:
    whole = (path / name).read_bytes()
    assert home.name == "laptop"
    for length in range(0, len(whole), 7):
        (path / name).write_bytes(whole[:length])
        with pytest.raises(DamagedError):
            Home.open(path, PASSPHRASE)


def test_a_missing_state_is_damage(home: Home, path: Path) -> None:
    (path / "state.sealed").unlink()
    with pytest.raises(DamagedError):
        home.private_key()


def test_another_homes_state_is_damage(home: Home, path: Path, tmp_path: Path) -> None:
    home_at(tmp_path / "other")
    (path / "state.sealed").write_bytes((tmp_path / "other" / "state.sealed").read_bytes())
    with pytest.raises(DamagedError):
        home.private_key()


def test_a_newer_format_says_upgrade(home: Home, path: Path) -> None:
    state = (path / "state.sealed").read_bytes()
    (path / "state.sealed").write_bytes(state.replace(b"keyturn-state\x01", b"keyturn-state\x02"))
    with pytest.raises(NewerVersionError):
        home.private_key()
    (path / "device.json").write_text('{"keyturn_device":2,"whatever":1.5}')
    with pytest.raises(NewerVersionError):
        Home.open(path, PASSPHRASE)


HEADERS = {
    "empty": b"",
    "an array": b"[]",
    "not UTF-8": b"\xff",
    "no checksum": b'{"keyturn_device":1}',
    "a float": b'{"keyturn_device":1,"x":1.5}',
    "a lone surrogate": b'{"keyturn_device":1,"x":"\\ud800"}',
    "a name twice": b'{"keyturn_device":1,"keyturn_device":1}',
    "nesting": b'{"keyturn_device":1,"x":' + b"[" * 900 + b"]" * 900 + b"}",
}


@pytest.mark.parametrize("data", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_is_none_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedError):
        parse_header(data)


def test_another_programs_json_is_no_home() -> None:
    with pytest.raises(NotAHomeError):
        parse_header(b'{"name":"something else"}')


def mend(fields: dict[str, object]) -> bytes:
    from keyturn.device.home.sealed_files import _checksum

    fields.pop("checksum", None)
    return canonical_json({**fields, "checksum": _checksum(fields)})


@pytest.mark.parametrize(
    "cost", [{"scrypt_n": 2**30}, {"scrypt_n": 17}, {"scrypt_n": 0}, {"scrypt_r": 10**6}, {"scrypt_p": -1}]
)
def test_a_file_can_not_ask_for_any_amount_of_memory(home: Home, path: Path, cost: dict[str, object]) -> None:
    fields = json.loads((path / "device.json").read_bytes())
    assert home.name == "laptop"
    with pytest.raises(DamagedError):
        parse_header(mend({**fields, **cost}))


@pytest.mark.parametrize("change", [{"name": "phone"}, {"public_key": "00" * 32}, {"scrypt_p": 2}])
def test_a_mended_checksum_does_not_hide_a_change(home: Home, path: Path, change: dict[str, object]) -> None:
    fields = json.loads((path / "device.json").read_bytes())
    (path / "device.json").write_bytes(mend({**fields, **change}))
    assert home.name == "laptop"
    with pytest.raises(WrongPassphraseError):
        Home.open(path, PASSPHRASE)


# --- several at once


def add_one(path: Path, rounds: int) -> None:
    home = Home.open(path, PASSPHRASE)
    for _ in range(rounds):
        with home.locked():
            value = int(home.load("count", "all") or b"0")
            home.save("count", "all", str(value + 1).encode())


def test_processes_on_one_home_lose_no_change(home: Home, path: Path) -> None:
    processes = [multiprocessing.get_context("spawn").Process(target=add_one, args=(path, 10)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert home.load("count", "all") == b"30"
    assert home.counter == 31


def test_a_held_home_is_busy_for_others_and_free_afterwards(home: Home, path: Path) -> None:
    other = Home.open(path, PASSPHRASE)
    with home.locked(), home.locked():
        home.save("group", "admins", b"mine")
        with pytest.raises(BusyError), other.locked(wait_seconds=0):
            pass
    with other.locked(wait_seconds=0):
        assert other.load("group", "admins") == b"mine"


def test_a_waiting_command_goes_on_when_the_home_is_free(home: Home, path: Path) -> None:
    entered = threading.Event()

    def save_late() -> None:
        other = Home.open(path, PASSPHRASE)
        entered.set()
        other.save("a", "b", b"late")

    waiting = threading.Thread(target=save_late)
    with home.locked():
        waiting.start()
        assert entered.wait(10)
        home.save("a", "b", b"early")
    waiting.join(30)
    assert home.load("a", "b") == b"late"


def test_an_error_frees_the_home(home: Home, path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), home.locked():
        raise RuntimeError("inside")
    with Home.open(path, PASSPHRASE).locked(wait_seconds=0):
        assert home.name == "laptop"


# --- secrets stay sealed


def forms(secret: bytes) -> set[bytes]:
    url = base64.urlsafe_b64encode(secret).rstrip(b"=")
    return {secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret).rstrip(b"="), url}


def found(folder: Path, secrets: list[bytes]) -> set[bytes]:
    contents = [entry.name.encode() + entry.read_bytes() for entry in folder.iterdir()]
    return {secret for secret in secrets if any(form in content for form in forms(secret) for content in contents)}


def test_nothing_secret_is_in_the_folder_at_any_replacement(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    def random(count: int) -> bytes:
        made.append(os.urandom(count))
        return made[-1]

    notice = b'{"secret":"0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"}'
    record = os.urandom(64)
    seen: list[set[bytes]] = []

    def watched(target: Path, data: bytes) -> None:
        replace_private(target, data)
        seen.append(found(path, [*made[:2], notice, record, PASSPHRASE.encode()]))

    monkeypatch.setattr("keyturn.device.home.home.replace_private", watched)
    home = Home.create(path, "laptop", PASSPHRASE, random, cost=CHEAP)
    home.save_all({("inbox", "01JD"): notice, ("group", "admins"): record})
    assert home.private_key() in made[:2]
    assert home.load("inbox", "01JD") == notice
    assert seen == [set(), set(), set()]
    # Positive control: each of them in clear, and in each encoding, is found.
    for secret in (*made[:2], notice, record, PASSPHRASE.encode()):
        for form in forms(secret):
            (path / "leak").write_bytes(b"..." + form + b"...")
            assert found(path, [secret]) == {secret}


def test_nothing_secret_is_in_a_repr(home: Home) -> None:
    home.save("inbox", "01JD", b"canary")
    shown = f"{home!r} {vars(home)['_header']!r} {home._read()!r}"
    assert "canary" not in shown
    assert repr(home.private_key()) not in shown


def test_the_same_state_never_looks_the_same(home: Home, path: Path) -> None:
    home.save("a", "b", b"same")
    first = (path / "state.sealed").read_bytes()
    home.save("a", "b", b"same")
    assert (path / "state.sealed").read_bytes()[14:26] != first[14:26]


def test_two_devices_of_one_passphrase_share_no_salt() -> None:
    headers = [
        create_header("a", "00" * 32, passphrase=PASSPHRASE, data_key=bytes(32), cost=CHEAP, random=os.urandom)
        for _ in range(2)
    ]
    assert headers[0].salt != headers[1].salt
    assert headers[0].data_key(PASSPHRASE) == bytes(32)


def test_every_error_has_its_own_code_and_a_hint() -> None:
    def family(error: type[HomeError]) -> list[type[HomeError]]:
        return [error, *(later for child in error.__subclasses__() for later in family(child))]

    errors = family(HomeError)[1:]
    assert len({error.code for error in errors}) == len(errors) == 12
    assert all(str(error()) == error.sentence and error.hint.endswith(".") for error in errors)
