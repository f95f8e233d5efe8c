"""Gateway, workers and `talkup` where something that they usually find is missing; docs/operations.md has the table."""

from __future__ import annotations

import os

import pytest

from bench.grounds.grounds import EVERYTHING_AT_ONCE, GROUNDS, Ground
from bench.grounds.scenario import WORKS
from bench.grounds.trial import is_clear, shown, tried
from tests.fakes.doc_tables import documented, rows


@pytest.mark.model
def test_all_work_without_a_home_a_cache_a_locale_descriptors_and_with_proxies_and_spaces() -> None:
    found = tried(EVERYTHING_AT_ONCE)
    assert found == dict.fromkeys(("fake worker", "gateway", "talkup", "speech worker"), WORKS)


@pytest.mark.root
@pytest.mark.model
@pytest.mark.timeout(300)
@pytest.mark.parametrize("ground", GROUNDS, ids=lambda ground: ground.name)
def test_each_works_or_says_why_as_documented(ground: Ground) -> None:
    assert os.geteuid() == 0, "make test-root needs root"
    found = tried(ground)
    assert [result for result in found.values() if not is_clear(result)] == []
    assert rows([(ground.name, shown(found))])[0] in documented("operations.md", "grounds")


def test_the_table_has_every_ground() -> None:
    assert [row.split(" | ")[0].removeprefix("| ") for row in documented("operations.md", "grounds")] == [
        ground.name for ground in GROUNDS
    ]
