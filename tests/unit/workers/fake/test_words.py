"""Invariant: the fake's words are a function of the bytes alone, however they are cut, and any damage shows in them."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from workers.fake.words import WordCutter, expected_words, word_of

PAYLOADS = st.binary(max_size=400)


@given(PAYLOADS, st.lists(st.integers(0, 400)), st.integers(1, 50))
def test_any_cut_gives_the_same_words(payload: bytes, cuts: list[int], word_bytes: int) -> None:
    cutter = WordCutter(word_bytes)
    edges = [0, *sorted(min(cut, len(payload)) for cut in cuts), len(payload)]
    placed = [word for a, b in itertools.pairwise(edges) for word in cutter.push_bytes(payload[a:b])]
    placed += cutter.seal()
    assert [word.text for word in placed] == expected_words(payload, word_bytes=word_bytes)
    assert [word.begin for word in placed] == list(range(0, len(payload), word_bytes))


@given(PAYLOADS, st.sets(st.integers(1, 399)))
def test_sealing_at_the_breaks_gives_the_words_with_breaks(payload: bytes, breaks: set[int]) -> None:
    cutter = WordCutter(50)
    words = []
    for at in range(len(payload)):
        words += cutter.seal() if at in breaks else []
        words += cutter.push_bytes(payload[at : at + 1])
    words += cutter.seal()
    assert [word.text for word in words] == expected_words(payload, word_bytes=50, breaks=breaks)


def test_loss_doubling_and_swaps_show() -> None:
    payload = bytes(range(256)) * 20
    good = expected_words(payload, word_bytes=100)
    lost = payload[:1000] + payload[1001:]
    doubled = payload[:1000] + payload[900:]
    swapped = payload[:100] + payload[200:300] + payload[100:200] + payload[300:]
    assert len({tuple(expected_words(each, word_bytes=100)) for each in (payload, lost, doubled, swapped)}) == 4
    assert good[:10] == expected_words(lost, word_bytes=100)[:10]


def test_words_are_pinned() -> None:
    assert word_of(b"") == word_of(b"")
    assert expected_words(b"") == []
    assert expected_words(b"talkup" * 300) == [word_of((b"talkup" * 300)[:1000]), word_of((b"talkup" * 300)[1000:])]
