"""The limits of one process add up to those of the gateway."""

from __future__ import annotations

from dataclasses import fields

import pytest

from gateway.config import GatewayConfig
from gateway.limit_table import LIMITS, Counted
from gateway.processes.division import DIVIDED, divided
from settings.declaration import from_values
from settings.errors import SettingError


def config(**values: str) -> GatewayConfig:
    return from_values(GatewayConfig, values)


def test_the_parts_make_the_whole_and_nothing_else_changes() -> None:
    whole = config(processes="3", max_sessions="1000")
    part = divided(whole)
    assert part.max_sessions == 334
    for field in fields(GatewayConfig):
        mine, all_of_it = getattr(part, field.name), getattr(whole, field.name)
        if field.name in DIVIDED:
            assert all_of_it <= 3 * mine <= all_of_it + 2
        else:
            assert mine == all_of_it


def test_a_part_is_never_below_what_the_setting_allows() -> None:
    part = divided(config(processes="16", max_sessions="3", max_inbound_bytes="2000000"))
    assert (part.max_sessions, part.max_inbound_bytes) == (1, 1_048_576)


def test_one_process_has_everything() -> None:
    assert divided(config()) == config()


def test_the_table_of_limits_says_which_are_divided() -> None:
    divided_rows = {limit.setting for limit in LIMITS if limit.counted is Counted.DIVIDED and limit.setting}
    assert divided_rows == set(DIVIDED)


@pytest.mark.parametrize("store", ["memory://"])
def test_several_processes_need_a_store_that_they_share(store: str) -> None:
    with pytest.raises(SettingError, match=r"several processes need a store that they share: sqlite.* or redis"):
        config(processes="2", store=store)
    assert config(processes="1", store=store).processes == 1
