from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.cli.commands.preview import show_preview
from keyturn.device.core.errors import NotEnrolledError
from keyturn.device.rotation_preview import RotationOptions, RotationPreview, preview_rotation
from keyturn.domain.encodings import to_milliseconds

from tests.world import START

if TYPE_CHECKING:
    from keyturn.device.device import Device

    from tests.service import Service

NOW = to_milliseconds(START)
MINUTE = 60_000


def preview_of(
    device: Device,
    server: Service,
    client: dict[str, Any] | None = None,
    **options: Any,  # noqa: ANN401 - any option of a rotation
) -> RotationPreview:
    rotation = RotationOptions(client_id="acme", rotation_id="01JNM0000000000000000000A1", reason="routine", **options)
    return preview_rotation(rotation, {**server.client("acme"), **(client or {})}, device.memberships(), START)


def test_a_first_version_may_begin_at_once(alice: Device, server: Service) -> None:
    preview = preview_of(alice, server)
    assert (preview.promoted_from, preview.request.not_before) == (NOW, None)
    assert preview.grace_until == NOW + 7 * 24 * 60 * MINUTE


def test_a_later_version_waits_for_policys_lead(alice: Device, server: Service) -> None:
    assert preview_of(alice, server, {"current_version": "V1"}).promoted_from == NOW + 10 * MINUTE


def test_an_emergency_waits_for_nothing(alice: Device, server: Service) -> None:
    assert preview_of(alice, server, {"current_version": "V1"}, emergency=True).promoted_from == NOW


def test_options_take_precedence_over_policy(alice: Device, server: Service) -> None:
    preview = preview_of(alice, server, grace=timedelta(minutes=5), not_before=timedelta(hours=1))
    assert preview.request.not_before == preview.promoted_from == NOW + 60 * MINUTE
    assert preview.grace_until == NOW + 65 * MINUTE


@pytest.mark.parametrize(
    ("options", "grace", "active"),
    [({}, "refused", "refused"), ({"supersede": True}, "ends", "refused"), ({"emergency": True}, "ends", "canceled")],
)
def test_the_preview_shows_grace_and_active_rotation(
    alice: Device, server: Service, options: dict[str, bool], grace: str, active: str
) -> None:
    preview = preview_of(alice, server, {"previous_version": "V0", "active_rotation": "R0"}, **options)
    assert grace in preview.effect_on_grace
    assert active in preview.effect_on_active


def test_the_preview_lists_all_members_but_the_service(alice: Device, bob: Device, server: Service) -> None:
    alice.catch_up()
    assert preview_of(alice, server).npubs == tuple(sorted(bob.memberships()[0].npubs))


def test_only_a_group_of_the_client_counts(alice: Device, server: Service) -> None:
    assert preview_of(alice, server, {"groups": ["dev", "ops"]}).request.group == "ops"
    with pytest.raises(NotEnrolledError):
        preview_of(alice, server, {"groups": ["dev"]})


def test_the_preview_shows_required_canaries(
    alice: Device, server: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"policy": {**server.client("acme")["policy"], "canaries": 3}, "current_version": "V1"}
    first = {**asked, "current_version": None}
    assert preview_of(alice, server).canaries == preview_of(alice, server, asked, emergency=True).canaries == 0
    assert preview_of(alice, server, first).canaries == 0
    show_preview(preview_of(alice, server, asked), err=False)
    assert "at the quorum and 3 canaries, not before" in capsys.readouterr().out


def test_the_preview_warns_of_tokens_that_outlive_the_grace(
    alice: Device, server: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    current = {"current_version": "V1", "kind": "oauth2_client_secret"}
    short = preview_of(alice, server, current, grace=timedelta(minutes=5))
    assert short.tokens_until == short.promoted_from + 10 * MINUTE > short.grace_until
    show_preview(short, err=False)
    assert "shorter than the lifetime of access tokens" in " ".join(capsys.readouterr().err.split())
    for client, grace in (
        (current, 10),
        ({**current, "current_version": None}, 5),
        ({**current, "kind": "x_api_key"}, 5),
    ):
        assert preview_of(alice, server, client, grace=timedelta(minutes=grace)).tokens_until is None
