"""When streams may share a link at an address: only if it leads to one worker that offers links."""

from __future__ import annotations

import pytest
from talkup.v1 import worker_service_pb2

from gateway.upstream.config import Links
from gateway.upstream.link_offer import LinkEnd, LinkOffers


def answer(worker: str | None) -> worker_service_pb2.DescribeResponse:
    """What `worker` answers to Describe; None: one that offers no links."""
    offer = None if worker is None else worker_service_pb2.LinkOffer(worker_id=worker, max_calls=9)
    return worker_service_pb2.DescribeResponse(link=offer)


def usable_after(answers: str, links: Links = Links.AUTO) -> str | None:
    """The worker whose offer is usable after answers of workers with one letter each; `-`: no offer."""
    offers = LinkOffers(links)
    for each in answers:
        offers.described(answer(None if each == "-" else each))
    return None if offers.usable is None else offers.usable.worker_id


@pytest.mark.parametrize(
    ("answers", "usable"),
    [
        ("", None),
        ("a", None),
        ("aa", None),
        ("aaa", "a"),
        ("aaab", None),
        ("aaabb", None),
        ("aaabbb", "b"),  # the worker restarted
        ("aaaba", None),
        ("aaabaaaaaa", None),  # two workers: never again
        ("ababab", None),
        ("abcabc", None),
        ("aaa-", None),
        ("aaa-a", None),
        ("aaa-aaa", None),  # another worker, which offers no links
        ("--aaa", "a"),
        ("---", None),
    ],
)
def test_several_answers_of_one_worker_are_needed(answers: str, usable: str | None) -> None:
    assert usable_after(answers) == usable


def test_an_operator_may_vouch_for_the_addresses() -> None:
    assert usable_after("a", Links.ALWAYS) == "a"
    assert usable_after("aba", Links.ALWAYS) == "a"
    assert usable_after("-", Links.ALWAYS) is None


def test_an_operator_may_switch_links_off() -> None:
    assert usable_after("aaaa", Links.NEVER) is None


@pytest.mark.parametrize("links", [Links.AUTO, Links.ALWAYS])
def test_a_worker_that_refused_a_link_gets_no_other(links: Links) -> None:
    offers = LinkOffers(links)
    for _ in range(3):
        offers.described(answer("a"))
    assert offers.ended("a", LinkEnd.REFUSED)
    offers.described(answer("a"))
    assert offers.usable is None
    for _ in range(3):
        offers.described(answer("b"))
    assert offers.usable is not None
