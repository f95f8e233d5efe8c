"""Who spoke when, from the times of words: the order in which they arrive does not matter."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.turns import JOIN_MS, Interruption, Latency, Overlap, Span, TurnTaking, joined

Word = tuple[str, int, int]


def turns(*words: Word) -> TurnTaking:
    taking = TurnTaking()
    for word in words:
        taking.add(*word)
    return taking


def test_words_that_follow_each_other_are_one_stretch() -> None:
    assert joined([Span(1000, 1300), Span(0, 400), Span(400 + JOIN_MS - 1, 900), Span(1100, 1200)]) == [
        Span(0, 1300),
    ]
    assert joined([Span(0, 400), Span(400 + JOIN_MS, 900)]) == [Span(0, 400), Span(600, 900)]


def test_a_conversation_in_turn() -> None:
    taking = turns(("a", 0, 2000), ("b", 2600, 4000), ("b", 4500, 5000), ("a", 5400, 6000))
    assert taking.talk_ms == {"a": 2600, "b": 1900}
    assert taking.latencies == [Latency("b", "a", 2600, 600), Latency("a", "b", 5400, 400)]
    assert taking.overlaps == []
    assert taking.interruptions == []


def test_an_overlap_is_an_interruption_if_its_speaker_continues() -> None:
    taking = turns(("a", 0, 3000), ("b", 2300, 5000))
    assert taking.overlaps == [Overlap("a", "b", 2300, 3000)]
    assert taking.interruptions == [Interruption("b", "a", 2300, 700)]
    assert taking.latencies == []


def test_neither_a_listener_s_word_nor_a_quick_start_is_an_interruption() -> None:
    taking = turns(("a", 0, 3000), ("b", 1000, 1800), ("b", 2700, 5000))
    assert taking.overlaps == [Overlap("a", "b", 1000, 1800), Overlap("a", "b", 2700, 3000)]
    assert taking.interruptions == []


def test_who_speaks_during_a_long_turn_answers_nobody() -> None:
    """`a` still speaks when `b` ends, so the next word of `b` follows `a`."""
    taking = turns(("a", 0, 3000), ("b", 500, 900), ("b", 3500, 4000))
    assert taking.latencies == [Latency("b", "a", 3500, 500)]


def test_three_speakers_overlap_in_pairs() -> None:
    taking = turns(("c", 200, 900), ("a", 0, 1000), ("b", 100, 600))
    assert taking.overlaps == [Overlap("a", "b", 100, 600), Overlap("a", "c", 200, 900), Overlap("b", "c", 200, 600)]


def test_streams_that_begin_together_are_told_apart_by_name() -> None:
    assert turns(("b", 0, 900), ("a", 0, 600)).overlaps == [Overlap("a", "b", 0, 600)]


WORDS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 5000), st.integers(0, 900)).map(
        lambda each: (each[0], each[1], each[1] + each[2])
    ),
    max_size=20,
)


@given(WORDS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_and_repeated_words_change_nothing(words: list[Word], rng: Random) -> None:
    shuffled = [*words, *words[:3]]
    rng.shuffle(shuffled)
    one, other = turns(*words), turns(*shuffled)
    assert one.stretches == other.stretches
    assert one.overlaps == other.overlaps
    assert one.latencies == other.latencies
    assert one.talk_ms == other.talk_ms


@given(WORDS)
def test_overlaps_are_when_both_speak(words: list[Word]) -> None:
    """Checked against every tenth millisecond."""
    taking = turns(*words)

    def speaks(stream_id: str, at: int) -> bool:
        return any(each.t0_ms <= at < each.t1_ms for each in taking.stretches if each.stream_id == stream_id)

    for at in range(0, 6000, 10):
        speakers = sorted(each for each in "abc" if speaks(each, at))
        pairs = {(one, other) for one in speakers for other in speakers if one < other}
        found = {tuple(sorted((o.first, o.second))) for o in taking.overlaps if o.t0_ms <= at < o.t1_ms}
        assert found == pairs
    assert all(overlap.length_ms > 0 for overlap in taking.overlaps)
    assert all(latency.latency_ms >= 0 for latency in taking.latencies)
