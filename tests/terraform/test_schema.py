"""The terraform is held against the provider's schema, and the check against faults planted in what it reads."""

import gzip
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.terraform.reading import ROOT, Body, Folder, code, read, references
from tests.terraform.schema import FILE, findings, load, unused
from tests.tiers import not_run

ORIGINAL = ROOT.parents[1] / "shared" / "terraform" / "tf_google_6.50.json.gz"


def test_every_resource_argument_block_and_reference_is_one_that_there_is() -> None:
    assert findings(read(), load()) == []


def test_nothing_is_declared_and_not_used() -> None:
    folder = read()
    called = [folder.called(name) for name in folder.modules]
    nested = [inner.called(name) for inner in called for name in inner.modules]
    assert [unused(one) for one in (folder, *called, *nested)] == [[]] * (1 + len(called) + len(nested))


def test_the_provider_is_pinned_to_the_schema() -> None:
    (terraform,) = (block["terraform"] for block in read().others if "terraform" in block)
    google = terraform["required_providers"][0]["google"]
    assert (google["source"], google["version"]) == ('"hashicorp/google"', '"~> 6.50"')


def _misspell_an_argument(folder: Folder) -> None:
    body = folder.resources["google_kms_crypto_key", "mac"]
    body["rotation_perod"] = '"7776000s"'


def _drop_a_required_argument(folder: Folder) -> None:
    del folder.resources["google_kms_crypto_key", "mac"]["key_ring"]


def _misspell_within_a_block(folder: Folder) -> None:
    folder.resources["google_kms_crypto_key", "mac"]["version_template"][0]["algorythm"] = '"HMAC_SHA256"'


def _drop_what_a_block_requires(folder: Folder) -> None:
    del folder.resources["google_kms_crypto_key", "mac"]["version_template"][0]["algorithm"]


def _misspell_within_a_dynamic_block(folder: Folder) -> None:
    dynamic = folder.resources["google_firestore_index", "this"]["dynamic"][0]['"fields"']
    dynamic["content"][0]["odrer"] = '"ASCENDING"'


def _give_a_block_as_an_argument(folder: Folder) -> None:
    folder.resources["google_pubsub_subscription", "distribute"]["retry_policy"] = {"minimum_backoff": '"1s"'}


def _misspell_a_resource(folder: Folder) -> None:
    folder.resources["google_pubsub_topick", "more"] = {"name": '"more"'}


def _refer_to_no_variable(folder: Folder) -> None:
    folder.resources["google_pubsub_topic", "dead"]["name"] = '"${var.nmae}"'


def _refer_to_no_local(folder: Folder) -> None:
    folder.resources["google_firestore_index", "this"]["for_each"] = "${local.indices}"


def _refer_to_no_resource(folder: Folder) -> None:
    folder.outputs["mac_key"]["value"] = "${google_kms_crypto_key.mak.id}"


def _refer_to_no_attribute(folder: Folder) -> None:
    folder.outputs["mac_key"]["value"] = "${google_kms_crypto_key.mac.identity}"


def _refer_to_no_output(folder: Folder) -> None:
    folder.outputs["mac_key"]["value"] = "${module.status.address}"


def _give_a_module_what_it_does_not_take(folder: Folder) -> None:
    folder.modules["status"]["memmory"] = '"1Gi"'


def _keep_from_a_module_what_it_requires(folder: Folder) -> None:
    del folder.modules["status"]["build"]


PLANTED: list[tuple[Callable[[Folder], None], str]] = [
    (_misspell_an_argument, "google_kms_crypto_key.mac: no argument rotation_perod"),
    (_drop_a_required_argument, "google_kms_crypto_key.mac: key_ring is required"),
    (_misspell_within_a_block, "google_kms_crypto_key.mac.version_template: no argument algorythm"),
    (_drop_what_a_block_requires, "google_kms_crypto_key.mac.version_template: algorithm is required"),
    (_misspell_within_a_dynamic_block, "google_firestore_index.this.fields: no argument odrer"),
    (_give_a_block_as_an_argument, "google_pubsub_subscription.distribute.retry_policy: is a block, not an argument"),
    (_misspell_a_resource, "google_pubsub_topick.more: no such resource"),
    (_refer_to_no_variable, "google_pubsub_topic.dead: var.nmae refers to nothing"),
    (_refer_to_no_local, "google_firestore_index.this: local.indices refers to nothing"),
    (_refer_to_no_resource, "output.mac_key: google_kms_crypto_key.mak.id refers to nothing"),
    (_refer_to_no_attribute, "output.mac_key: google_kms_crypto_key.mac.identity refers to nothing"),
    (_refer_to_no_output, "output.mac_key: module.status.address refers to nothing"),
    (_give_a_module_what_it_does_not_take, "module.status: no variable memmory"),
    (_keep_from_a_module_what_it_requires, "module.status: build is required"),
]


@pytest.mark.parametrize(("plant", "finding"), PLANTED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_planted_fault_is_found_and_nothing_else(plant: Callable[[Folder], None], finding: str) -> None:
    folder = read()
    plant(folder)
    assert findings(folder, load()) == [finding]


def test_a_fault_in_a_module_is_found_through_its_call(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "terraform")
    main = tmp_path / "terraform" / "modules" / "account" / "main.tf"
    main.write_text(main.read_text().replace("crypto_key_id = each", "crypto_key = each"))
    found = findings(read(tmp_path / "terraform"), load())
    assert "module.status: module.account: google_kms_crypto_key_iam_member.key: no argument crypto_key" in found


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('"${var.a}/var.b"', ["var.a"]),
        ('${merge({ x = local.y }, var.z)["k"]}', ["local.y", "var.z"]),
        ('"resource.name == \\"${var.p}/${each.key}\\" and google_x.y"', ["var.p", "each.key"]),
        ('${google_a.b["k"].id}', ['google_a.b[""].id']),
        ("${[for m in var.list : m.name]}", ["var.list"]),
    ],
)
def test_references_are_those_of_code_and_not_of_text(expression: str, found: list[str]) -> None:
    assert list(references(expression)) == found
    assert code(expression).count('"') % 2 == 0


def test_the_extract_says_where_it_is_from_and_agrees_with_it() -> None:
    extract = json.loads(FILE.read_text())
    assert "MPL" in extract["origin"]
    if ORIGINAL.exists():
        whole: Body = json.loads(gzip.decompress(ORIGINAL.read_bytes()))
        assert all(
            whole[kind][type_] == known for kind in ("resource", "data") for type_, known in extract[kind].items()
        )


def test_the_extract_holds_what_is_used_and_no_more() -> None:
    folder = read()
    inner = [folder.called(name) for name in folder.modules]
    every = [folder, *inner, *(one.called(name) for one in inner for name in one.modules)]
    assert set(load()["resource"]) == {type_ for one in every for type_, _ in one.resources}


def test_the_files_are_formatted() -> None:
    if shutil.which("terraform") is None:
        not_run("terraform", "no terraform on this machine")
    command = ["terraform", "fmt", "-check", "-recursive", str(ROOT)]
    assert subprocess.run(command, capture_output=True, check=False).stdout == b""  # noqa: S603 - fixed words and our own folder
