"""The limit on the messages of one group: it refills, and it counts requests and not their attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from keyturn.domain.errors import RateLimited
from keyturn.use_cases.commands.token_bucket import Buckets, Charge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_bucket_is_for_one_group_and_refills() -> None:
    buckets = Buckets(per_second=2.0, burst=3.0)
    for _ in range(3):
        buckets.take("ops", NOW)
    with pytest.raises(RateLimited) as refused:
        buckets.take("ops", NOW)
    assert refused.value.reason == "group_rate"
    buckets.take("other", NOW)
    buckets.take("ops", NOW + timedelta(seconds=0.5))
    with pytest.raises(RateLimited):
        buckets.take("ops", NOW)  # a reading that arrives late refills nothing


def test_request_that_loses_races_is_charged_once() -> None:
    buckets = Buckets(per_second=0.0, burst=2.0)
    first, second, third = (Charge(buckets, "ops") for _ in range(3))
    for _ in range(12):
        first.pay(NOW)
    second.pay(NOW)
    with pytest.raises(RateLimited):
        third.pay(NOW)
    first.pay(NOW)
