"""What the terraform deploys is what the code declares: indexes, expiry, triggers, topics, keys, exports, alerts."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from types import ModuleType

import pytest
from keyturn.entry.config.proof_settings import proofs_from_environment
from keyturn.entry.config.settings import Stage, from_environment
from keyturn.entry.http import cloud_events as events
from keyturn.entry.http.problems import problem
from keyturn.ports.indexes import INDEXES
from keyturn.ports.keys import KeyRefused, KeyUnavailable
from keyturn.ports.triggers import SUBSCRIPTIONS, TRIGGERS
from keyturn.records.schema import KINDS
from keyturn.use_cases.clients import leak
from keyturn.use_cases.sweep import ending_clients, sweep
from keyturn.use_cases.sweep.expiry import EXPIRING, WITH_ROTATIONS
from keyturn.use_cases.usage import early_retirement
from keyturn.verifier import retired_secrets

from main import FUNCTIONS
from tests.terraform.reading import ROOT, Folder, literal, literals, read

DECLARED = ROOT.parent / "firestore.indexes.json"

Composite = set[tuple[str, tuple[str, ...]]]


def _of_terraform(folder: Folder) -> Composite:
    indexes = literals(folder.locals["indexes"])
    return {(one["collection"], tuple(one["fields"])) for one in indexes.values()}


def _of_queries() -> Composite:
    # An index on one field is Firestore's own; only those with an equality beside the order are composite.
    return {(index.collection.split("/")[-1], (*index.equal, index.order_by)) for index in INDEXES if index.equal}


def _of_firebase() -> Composite:
    declared = json.loads(DECLARED.read_text())["indexes"]
    return {(one["collectionGroup"], tuple(field["fieldPath"] for field in one["fields"])) for one in declared}


def _expiring(folder: Folder) -> set[tuple[str, str]]:
    return {(one["database"], one["collection"]) for one in literals(folder.locals["expiring"]).values()}


# --- indexes and expiry -----------------------------------------------------------------------------------------------


def test_the_composite_indexes_are_those_that_queries_use_everywhere() -> None:
    assert _of_terraform(read()) == _of_queries() == _of_firebase()


def test_the_index_resource_builds_every_declared_index_as_it_stands() -> None:
    index = read().resources["google_firestore_index", "this"]
    (fields,) = (block['"fields"'] for block in index["dynamic"])
    assert index["for_each"] == "${local.indexes}"
    assert (index["collection"], fields["for_each"]) == ("${each.value.collection}", "${each.value.fields}")
    assert fields["content"][0]["field_path"] == "${fields.value}"
    assert literal(fields["content"][0]["order"]) == "ASCENDING"


@pytest.mark.parametrize("name", sorted(literals(read().locals["indexes"])))
def test_a_missing_index_is_missed(name: str) -> None:
    folder = read()
    del folder.locals["indexes"][name]
    assert _of_terraform(folder) != _of_queries()


def test_an_index_in_another_order_is_another_index() -> None:
    folder = read()
    folder.locals["indexes"]["clients_due"]["fields"].reverse()
    assert _of_terraform(folder) != _of_queries()


def test_what_is_swept_by_its_end_expires_by_itself_too() -> None:
    ordered = {index.collection for index in INDEXES if index.order_by == "expires_at"}
    field = read().resources["google_firestore_field", "expires_at"]
    assert {*EXPIRING, ("control", WITH_ROTATIONS)} == _expiring(read())
    assert {collection for _, collection in EXPIRING} == ordered
    assert len(_expiring(read())) == len(read().locals["expiring"])
    assert (field["for_each"], field["field"]) == ("${local.expiring}", '"expires_at"')
    assert "ttl_config" in field
    assert "index_config" not in field  # it would take away the index that doctor asks by


def test_what_is_not_indexed_is_what_no_query_asks_by_and_what_documents_have() -> None:
    unindexed = literals(read().locals["unindexed"])
    field = read().resources["google_firestore_field", "unindexed"]
    assert [set(block) for block in field["index_config"]] == [{"__is_block__"}]  # an empty block: no index at all
    for collection, names in unindexed.items():
        kinds = [kind for kind in KINDS if kind.pattern.split("/")[-2] == collection]
        known = {name for kind in kinds for name in {**kind.shape.required, **kind.shape.optional}}
        asked = {
            index.order_by for index in INDEXES if index.collection.split("/")[-1] == collection and not index.equal
        }
        assert set(names) <= known, collection
        assert not asked & set(names), collection


def test_no_sealed_state_is_indexed() -> None:
    sealed = {kind.pattern.split("/")[-2] for kind in KINDS if "sealed" in kind.shape.required}
    unindexed = literals(read().locals["unindexed"])
    assert sealed == {collection for collection, names in unindexed.items() if "sealed" in names}


# --- databases and keys -----------------------------------------------------------------------------------------------


def test_the_databases_remember_nothing_and_are_not_deleted_by_the_way() -> None:
    folder = read()
    database = folder.resources["google_firestore_database", "this"]
    assert literal(database["point_in_time_recovery_enablement"]) == "POINT_IN_TIME_RECOVERY_DISABLED"
    assert re.findall(r'"(\w+)"', database["for_each"]) == ["control", "auth", "usage"]
    assert folder.variables["delete_protection"]["default"] is True


def test_no_key_is_destroyed_and_only_the_sealing_key_turns_by_itself() -> None:
    keys = {name: body for (type_, name), body in read().resources.items() if type_ == "google_kms_crypto_key"}
    algorithms = {name: literal(body["version_template"][0]["algorithm"]) for name, body in keys.items()}
    assert algorithms == {
        "mac": "HMAC_SHA256",
        "challenges": "HMAC_SHA256",
        "seal": "GOOGLE_SYMMETRIC_ENCRYPTION",
        "tokens": "EC_SIGN_P256_SHA256",
        "tokens_rs256": "RSA_SIGN_PKCS1_2048_SHA256",
        "proofs": "EC_SIGN_P256_SHA256",
    }
    assert all(body["lifecycle"][0]["prevent_destroy"] is True for body in keys.values())
    assert [name for name, body in keys.items() if "rotation_period" in body] == ["seal"]


def test_exports_leave_out_whatever_holds_or_opens_group_messages() -> None:
    exported = literals(read().locals["exported"])
    assert {"oauth2_clients", "secrets", "audit", "audit_heads", "oauth2_rotations"} <= set(exported["control"])
    assert not {"mls_groups", "messages", "roster", "welcomes", "service"} & set(exported["control"])
    assert set(exported["auth"]) == {"admins", "npubs", "service"}
    job = read().resources["google_cloud_scheduler_job", "backup"]["http_target"][0]
    assert "collectionIds = each.value" in re.sub(r"\s+", " ", job["body"])


# --- doors and what wakes them ----------------------------------------------------------------------------------------


def test_every_door_is_deployed_from_the_one_archive_and_none_that_it_has_not() -> None:
    modules = read().modules
    assert set(modules) == set(FUNCTIONS)
    assert not [name for name, body in modules.items() if "count" in body]
    assert {literal(body["source"]) for body in modules.values()} == {"./modules/function"}
    assert {body["build"] for body in modules.values()} == {"${local.build}"}
    name = literal(read().resources["google_storage_bucket_object", "source"]["name"])
    assert name == "keyturn-${filesha256(var.archive)}.zip"


VALUES = {
    "STAGE": "production",
    "PROJECT": "my-keyturn",
    "BASE_URL": "https://europe-west1-my-keyturn.cloudfunctions.net",
    **{f"DATABASE_{name.upper()}": name for name in ("control", "auth", "usage")},
    **{f"{name}_KEY": f"projects/p/…/cryptoKeys/{name.lower()}" for name in ("MAC", "SEAL", "SIGN")},
    "SIGN_KEY_RS256": "projects/p/…/cryptoKeys/tokens_rs256",
    "AUTHORISER": "attested_admin",
    "PROOF_JWKS": "https://europe-west1-my-keyturn.cloudfunctions.net/admin_proof/.well-known/jwks.json",
    "IDENTITY": "firebase",
    "FIREBASE_PROJECT": "my-keyturn",
    "ATTESTATIONS": "app_check",
    "TRIAL_PROJECT": "",
}  # fmt: skip
"""Every variable that the doors are given, as a project has it."""
APP_CHECK = {"KEYTURN_APP_CHECK_PROJECT": "123", "KEYTURN_APP_CHECK_APPS": "1:123:ios:abc"}


def test_the_doors_variables_are_settings_of_a_production_that_starts() -> None:
    given = set(re.findall(r"KEYTURN_(\w+)\s+=", (ROOT / "functions.tf").read_text()))
    assert given == set(VALUES)
    environment = {f"KEYTURN_{name}": value for name, value in VALUES.items()} | APP_CHECK
    settings = from_environment(environment)
    proofs = proofs_from_environment(environment, settings.stage)
    assert (settings.stage, settings.attested, proofs.attestations) == (Stage.PRODUCTION, True, ("app_check",))
    assert settings.cloud is not None
    assert "" not in astuple(settings.cloud)


def test_the_doors_variables_are_settings_of_a_trial_that_starts() -> None:
    changed = {"STAGE": "trial", "TRIAL_PROJECT": "my-keyturn", "ATTESTATIONS": "dev_attest"}
    environment = {f"KEYTURN_{name}": value for name, value in {**VALUES, **changed}.items()}
    settings = from_environment(environment)
    assert proofs_from_environment(environment, settings.stage).attestations == ("dev_attest",)
    assert settings.banner


def test_the_entry_point_is_the_door() -> None:
    function = read(ROOT / "modules" / "function").resources["google_cloudfunctions2_function", "this"]
    assert (function["name"], function["build_config"][0]["entry_point"]) == ("${var.name}", "${var.name}")


def test_inner_doors_are_reached_from_inside_only() -> None:
    ingress = {name: literal(body.get("ingress", '"inner"')) for name, body in read().modules.items()}
    inner = {name for name, given in ingress.items() if given == "inner"}
    assert inner == {"on_secret_version", "distribute", "grace_sweeper"}
    default = read(ROOT / "modules" / "function").variables["ingress"]["default"]
    assert literal(default) == "ALLOW_INTERNAL_ONLY"


def test_the_declared_trigger_is_the_deployed_one() -> None:
    (trigger,) = TRIGGERS
    deployed = read().resources["google_eventarc_trigger", "on_secret_version"]
    criteria = {literal(one["attribute"]): one for one in deployed["matching_criteria"]}
    assert literal(criteria["document"]["value"]) == trigger.pattern
    assert literal(criteria["document"]["operator"]) == "match-path-pattern"
    assert literal(criteria["type"]["value"]) == "google.cloud.firestore.document.v1.written"
    service = deployed["destination"][0]["cloud_run_service"][0]["service"]
    assert service == f"${{module.{trigger.function}.service}}"


def test_the_declared_subscription_is_the_deployed_one_with_retries_and_dead_letters() -> None:
    (subscription,) = SUBSCRIPTIONS
    resources = read().resources
    deployed = resources["google_pubsub_subscription", "distribute"]
    assert literal(resources["google_pubsub_topic", "distribution"]["name"]) == subscription.topic
    assert deployed["push_config"][0]["push_endpoint"] == f"${{module.{subscription.function}.uri}}"
    assert deployed["push_config"][0]["oidc_token"][0]["audience"] == f"${{module.{subscription.function}.uri}}"
    assert deployed["dead_letter_policy"][0]["dead_letter_topic"] == "${google_pubsub_topic.dead.id}"
    assert {"minimum_backoff", "maximum_backoff"} <= set(deployed["retry_policy"][0])


def test_the_scheduler_calls_the_sweeper_as_itself() -> None:
    target = read().resources["google_cloud_scheduler_job", "sweep"]["http_target"][0]
    assert target["uri"] == "${module.grace_sweeper.uri}"
    assert target["oidc_token"][0]["service_account_email"] == "${google_service_account.scheduler.email}"


# --- alerts -----------------------------------------------------------------------------------------------------------


def _metric_words(name: str) -> str:
    found = re.search(r'textPayload(?::|=~)"([^"]+)"', literal(read().locals["log_metrics"][name]))
    assert found
    return found[1]


def test_what_the_alert_on_late_promotions_looks_for_is_what_the_sweep_writes() -> None:
    written = Path(sweep.__file__).read_text()
    assert all(f'_log.error("{_metric_words(name)}:' in written for name in ("unsettled", "late"))


def test_what_the_alert_on_dropped_events_looks_for_is_what_a_door_writes() -> None:
    assert f'_log.error("{_metric_words("dropped")}:' in Path(events.__file__).read_text()


def test_what_the_alerts_on_leaks_look_for_is_what_a_door_and_a_verifier_write() -> None:
    words = literals(read().resources["google_monitoring_alert_policy", "leaks"]["for_each"])
    assert set(words.values()) == {leak.REVOKED, retired_secrets.PRESENTED}


@pytest.mark.parametrize(
    ("name", "module"), [("unfinished_cutover", early_retirement), ("ending_client", ending_clients)]
)
def test_what_an_alert_looks_for_is_what_the_sweep_writes(name: str, module: ModuleType) -> None:
    policy = read().resources["google_monitoring_alert_policy", name]
    filtered = literal(policy["conditions"][0]["condition_matched_log"][0]["filter"])
    (words,) = set(re.findall(r':"(an? [^"]+)"', filtered))
    assert f'"{words}: client' in Path(module.__file__ or "").read_text()


@pytest.mark.parametrize("error", [KeyUnavailable, KeyRefused])
def test_what_the_alert_on_keys_looks_for_is_what_a_door_writes(
    error: Callable[[str], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        problem(error("words"))
    assert re.search(_metric_words("kms_errors"), caplog.messages[0])


def test_every_alert_tells_somebody() -> None:
    resources = read().resources.items()
    policies = {name: body for (type_, name), body in resources if type_ == "google_monitoring_alert_policy"}
    assert set(policies) == {
        *(
            "dead_letters",
            "failed_sweeps",
            "late_promotions",
            "kms_errors",
            "leaks",
            "unfinished_cutover",
            "ending_client",
        ),
    }
    assert {str(body["notification_channels"]) for body in policies.values()} == {
        "['${google_monitoring_notification_channel.mail.id}']"
    }
