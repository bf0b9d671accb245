"""Who may do what, as a table; the terraform is read for its grants, and the two are the same."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from main import FUNCTIONS
from tests.terraform.access import Grant, grants
from tests.terraform.reading import ROOT, Folder, read

USER, VIEWER = "roles/datastore.user", "roles/datastore.viewer"
SEALS = ("roles/cloudkms.cryptoKeyEncrypterDecrypter", "key seal")
PUBLISHES = ("roles/pubsub.publisher", "topic distribution")
ASKS_WHO = ("roles/firebaseauth.viewer", "project")
CALLS = "roles/run.invoker"
PUBSUB_AGENT = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
ARCHIVES = " || ".join(
    f'resource.name.startsWith("projects/_/buckets/{name}")'
    for name in ("gcf-v2-sources-", "google_storage_bucket.source.name")
)

PUBLIC = ("admin_proof", "client_token", "enrol", "rotate_request", "status")

ACCESS: dict[str, set[tuple[str, str]]] = {
    # The doors.
    "rotate_request": {(USER, "database control"), (USER, "database usage"), SEALS},
    "on_secret_version": {(VIEWER, "database control"), PUBLISHES},
    "distribute": {
        (USER, "database control"),
        ("roles/cloudkms.signerVerifier", "key mac"),
        ("roles/cloudkms.viewer", "key mac"),
        SEALS,
    },
    "grace_sweeper": {(USER, "database control"), (VIEWER, "database usage"), PUBLISHES, SEALS},
    "client_token": {
        (VIEWER, "database control"),
        (USER, "database usage"),
        ("roles/cloudkms.verifier", "key mac"),
        ("roles/cloudkms.signer", "key tokens"),
        ("roles/cloudkms.publicKeyViewer", "key tokens"),
        ("roles/cloudkms.viewer", "key tokens"),
        ("roles/cloudkms.signer", "key tokens_rs256"),
        ("roles/cloudkms.publicKeyViewer", "key tokens_rs256"),
        ("roles/cloudkms.viewer", "key tokens_rs256"),
    },
    "admin_proof": {
        (USER, "database auth"),
        (USER, "database usage"),
        ("roles/cloudkms.signerVerifier", "key challenges"),
        ("roles/cloudkms.viewer", "key challenges"),
        ("roles/cloudkms.signer", "key proofs"),
        ("roles/cloudkms.publicKeyViewer", "key proofs"),
        ("roles/cloudkms.viewer", "key proofs"),
        ("roles/cloudkms.cryptoKeyDecrypter", "key seal"),
        ASKS_WHO,
    },
    "status": {(VIEWER, "database control"), (USER, "database usage")},
    "enrol": {
        (USER, "database control"),
        (USER, "database auth"),
        (USER, "database usage"),
        ("roles/cloudkms.verifier", "key challenges"),
        ("roles/cloudkms.viewer", "key challenges"),
        ASKS_WHO,
        SEALS,
    },
    "operator": {(USER, "database control"), (USER, "database auth"), (VIEWER, "database usage"), SEALS},
    # Who calls them.
    "allUsers": {(CALLS, f"door {door}") for door in PUBLIC},
    "each of ${var.operators}": {(CALLS, "door operator")},
    "events": {(CALLS, "door on_secret_version"), ("roles/eventarc.eventReceiver", "project")},
    "push": {(CALLS, "door distribute")},
    "scheduler": {(CALLS, "door grace_sweeper")},
    PUBSUB_AGENT: {
        ("roles/iam.serviceAccountTokenCreator", "account push"),
        ("roles/pubsub.publisher", "topic dead"),
        ("roles/pubsub.subscriber", "subscription distribute"),
    },
    # Who builds, and who exports.
    "build": {
        ("roles/logging.logWriter", "project"),
        ("roles/storage.objectViewer", f"project where {ARCHIVES}"),
        ("roles/artifactregistry.writer", "repository functions"),
    },
    "backup": {
        ("google_project_iam_custom_role.exporter.id", "database control"),
        ("google_project_iam_custom_role.exporter.id", "database auth"),
        ("roles/storage.admin", "bucket backup[control]"),
        ("roles/storage.admin", "bucket backup[auth]"),
    },
}
"""Nothing else is granted to anybody. A role at a database is conditional on that database's name."""

TABLE = {Grant(who, role, where) for who, granted in ACCESS.items() for role, where in granted}


def test_every_account_may_do_what_the_table_says_and_no_more() -> None:
    assert grants() == TABLE


def test_every_door_runs_as_an_account_of_its_own() -> None:
    modules = read().modules
    assert {name: body["name"] for name, body in modules.items()} == {door: f'"{door}"' for door in modules}
    assert set(FUNCTIONS) <= set(modules)


def test_nobody_administers_keys_and_only_distribute_computes_a_mac() -> None:
    on_keys = {grant for grant in grants() if grant.where.startswith("key ")}
    assert not [grant for grant in grants() if grant.role in {"roles/owner", "roles/editor", "roles/cloudkms.admin"}]
    assert {grant.role.rpartition(".")[2] for grant in on_keys} <= {
        "cryptoKeyDecrypter", "cryptoKeyEncrypterDecrypter", "publicKeyViewer", "signer", "signerVerifier", "verifier",
        "viewer",
    }  # fmt: skip
    assert {grant.who for grant in on_keys if grant.where == "key mac" and "sign" in grant.role} == {"distribute"}
    assert {grant.who for grant in on_keys if grant.where == "key challenges" and "sign" in grant.role} == {
        "admin_proof"
    }
    assert not [grant for grant in on_keys if (grant.who, grant.where) == ("grace_sweeper", "key mac")]


def test_who_proves_admins_sees_nothing_of_what_they_administer() -> None:
    of_proofs = {grant for grant in grants() if grant.who == "admin_proof"}
    assert {grant.where for grant in of_proofs if grant.where.startswith("database ")} == {
        "database auth",
        "database usage",
    }
    assert {grant.who for grant in grants() if grant.where == "key proofs" and "sign" in grant.role} == {"admin_proof"}


def test_the_exporter_may_export_and_nothing_else() -> None:
    role = read().resources["google_project_iam_custom_role", "exporter"]
    assert role["permissions"] == ['"datastore.databases.export"']


def _grant_a_key_to_a_door(folder: Folder) -> None:
    key = {"key": "${google_kms_crypto_key.mac.id}", "role": '"roles/cloudkms.signer"'}
    folder.modules["grace_sweeper"]["keys"]["more"] = key


def _widen_a_role(folder: Folder) -> None:
    folder.modules["on_secret_version"]["databases"]["control"] = '"roles/datastore.user"'


def _let_everybody_call_the_operator(folder: Folder) -> None:
    folder.modules["operator"]["invokers"] = {"public": '"allUsers"'}


def _grant_beside_the_module(folder: Folder) -> None:
    folder.resources["google_project_iam_member", "more"] = {
        "project": "${var.project}",
        "role": '"roles/editor"',
        "member": "${google_service_account.push.member}",
    }


def _drop_the_condition(folder: Folder) -> None:
    del folder.resources["google_project_iam_member", "backup"]["condition"]


@pytest.mark.parametrize(
    ("plant", "extra"),
    [
        (_grant_a_key_to_a_door, {Grant("grace_sweeper", "roles/cloudkms.signer", "key mac")}),
        (_widen_a_role, {Grant("on_secret_version", USER, "database control")}),
        (_let_everybody_call_the_operator, {Grant("allUsers", CALLS, "door operator")}),
        (_grant_beside_the_module, {Grant("push", "roles/editor", "project")}),
        (_drop_the_condition, {Grant("backup", "google_project_iam_custom_role.exporter.id", "project")}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_permission_is_one_too_many(plant: Callable[[Folder], None], extra: set[Grant]) -> None:
    folder = read()
    plant(folder)
    assert grants(folder) - TABLE == extra


def test_an_unconditional_grant_in_the_module_is_seen_at_every_door(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "terraform")
    main = tmp_path / "terraform" / "modules" / "account" / "main.tf"
    main.write_text(main.read_text().replace("databases/${each.key}", "databases/"))
    seen = {grant.where for grant in grants(read(tmp_path / "terraform")) if grant.who == "status"}
    assert seen == {'project where resource.name == "projects/${var.project}/databases/"'}


def test_a_grant_of_another_form_is_refused() -> None:
    folder = read()
    folder.resources["google_project_iam_policy", "all"] = {"project": "${var.project}"}
    with pytest.raises(ValueError, match="google_project_iam_policy"):
        grants(folder)
