"""The table of limits: complete, true, and shown in docs/operations.md."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from gateway.config import GatewayConfig
from gateway.limit_table import LIMITS, Limit, cells
from gateway.metrics import Metrics
from tests.fakes.doc_tables import documented, rows


def test_the_documentation_shows_the_table() -> None:
    assert documented("operations.md", "limits") == rows(cells())


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.what)
def test_a_row_names_a_setting_and_a_metric_that_exist(limit: Limit) -> None:
    assert limit.setting is None or limit.setting in {field.name for field in fields(GatewayConfig)}
    assert (limit.setting is None) == bool(limit.fixed)
    assert limit.value
    name = limit.metric.partition("{")[0].removesuffix("_total")
    registered = {metric.name: metric for metric in Metrics().registry.collect()}
    assert name == "none" or name in registered


def test_every_setting_that_bounds_a_client_has_a_row() -> None:
    bounds = {field.name for field in fields(GatewayConfig) if re.match(r"max_|outbox_|http_.*_s$", field.name)}
    assert bounds <= {limit.setting for limit in LIMITS}
