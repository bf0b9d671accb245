"""firebase.json, the rules and the indexes say what the code needs; the emulators hold them to it in a later tier."""

import json
from pathlib import Path

from keyturn.ports.indexes import INDEXES

ROOT = Path(__file__).parent.parent


def test_firebase_names_files_that_are_there() -> None:
    firestore = json.loads((ROOT / "firebase.json").read_text())["firestore"]
    assert {(ROOT / name).is_file() for name in firestore.values()} == {True}


def test_the_rules_allow_nobody_anything() -> None:
    lines = [line.split("//")[0].strip() for line in (ROOT / "firestore.rules").read_text().splitlines()]
    assert [line for line in lines if line.startswith("allow")] == ["allow read, write: if false;"]
    assert "match /{document=**} {" in lines


def test_every_composite_index_that_queries_use_is_declared_and_no_other() -> None:
    declared = {
        (item["collectionGroup"], tuple(field["fieldPath"] for field in item["fields"]))
        for item in json.loads((ROOT / "firestore.indexes.json").read_text())["indexes"]
    }
    # An index on one field is Firestore's own; only those with an equality beside the order are composite.
    needed = {(index.collection.split("/")[-1], (*index.equal, index.order_by)) for index in INDEXES if index.equal}
    assert declared == needed
