"""What the token rows compare does the same work, and answers under gunicorn."""

from __future__ import annotations

import json
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain.encodings import base64url_decode
from keyturn.entry.composition import suite as wiring
from werkzeug.test import Client

from bench import token_race, token_rows, token_servers
from bench.rows import NotRunError
from bench.token_load import Load, UnlikeAnswerError, Window
from bench.token_servers import CLIENT, FOLDER, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from wsgiref.types import WSGIApplication

    from werkzeug.test import TestResponse


@pytest.fixture
def furnished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    token_servers.furnish(tmp_path)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    yield tmp_path
    wiring.use(None)


def asked(app: WSGIApplication, secret: str = SECRET) -> TestResponse:
    return Client(app).post("/token", data={"grant_type": "client_credentials"}, auth=(CLIENT, secret))


def parts(answer: TestResponse) -> tuple[Any, Any]:
    token = json.loads(answer.data)["access_token"]
    head, claims, _ = (base64url_decode(part) for part in token.split("."))
    return json.loads(head), json.loads(claims)


def test_all_that_give_tokens_give_the_same_ones(furnished: Path) -> None:
    assert furnished
    answers = [
        asked(make()) for make in (token_servers.ours, token_servers.authlib_plain, token_servers.authlib_bcrypt)
    ]
    heads, claims = zip(*map(parts, answers), strict=True)
    assert heads[0] == heads[1] == heads[2]
    fleeting = ("iat", "exp", "jti")
    ours, *theirs = [{key: value for key, value in each.items() if key not in fleeting} for each in claims]
    assert theirs == [ours, ours]
    assert all(set(fleeting) < each.keys() for each in claims)


def test_all_that_give_tokens_refuse_a_wrong_secret(furnished: Path) -> None:
    assert furnished
    for make in (token_servers.ours, token_servers.authlib_plain, token_servers.authlib_bcrypt):
        answer = asked(make(), "B" * 43)
        assert (answer.status_code, json.loads(answer.data)["error"]) == (401, "invalid_client")


def test_each_of_them_answers_under_gunicorn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        with pytest.raises(NotRunError):
            token_race.windows(tmp_path, ("floor",), 0.05)
        return
    monkeypatch.setattr(token_race, "ROUNDS", 2)
    monkeypatch.setattr(token_race, "WARM_UP", 0)
    cores = os.sched_getaffinity(0)
    found = token_race.windows(tmp_path, ("ours", "authlib_plain", "authlib_bcrypt", "floor"), 0.05)
    assert os.sched_getaffinity(0) == cores
    for windows in found.values():
        assert len(windows) == 2
        assert all(window.answer_count >= 4 and window.processor > 0 for window in windows)


def test_a_row_names_its_signer_and_compares_neighbouring_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        "ours": [Window(answer_count=30, processor=1.0, wall=2.0), Window(answer_count=60, processor=2.0, wall=4.0)],
        "authlib_plain": [
            Window(answer_count=20, processor=1.0, wall=1.0),
            Window(answer_count=40, processor=2.0, wall=2.0),
        ],
    }
    monkeypatch.setattr(token_rows, "windows", lambda *_given: found)
    measured = token_rows.against_authlib_plain(tmp_path)
    assert measured.ratio == 1.5
    assert measured.parts == {
        "ours_per_core_second_local_key": 30,
        "authlib_plain_per_core_second_local_key": 20,
        "ours_per_second": 15,
        "authlib_plain_per_second": 20,
    }


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n\r\n"]
)
def test_what_is_no_success_is_not_counted(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        load = Load(port, b"GET / HTTP/1.1\r\n\r\n", 1, os.getpid())
        load.open()
        with pytest.raises(UnlikeAnswerError):
            load.window(0.1)
        load.close()
        thread.join()
