"""The tables of attacks together: each row has a name of its own, and there are enough of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.functions import phone_registrations as phones
from tests.functions import possession as endpoint
from tests.proving import attacks_on_devices as devices
from tests.proving import attacks_on_factors as factors
from tests.proving import attacks_on_proofs as proofs

if TYPE_CHECKING:
    from collections.abc import Iterable


def test_there_are_at_least_sixty_attacks_and_no_two_of_one_name() -> None:
    tables = (factors.ATTACKS, proofs.ATTACKS)
    named: tuple[Iterable[str], ...] = (devices.ATTACKS, endpoint.POSSESSION, phones.REGISTRATIONS)
    names = [*([attack.name for attack in table] for table in tables), *(list(table) for table in named)]
    for table in [*names, list(factors.CHALLENGES), list(proofs.UNSEATED)]:
        assert len(table) == len(set(table))
    assert sum(map(len, names)) >= 100
