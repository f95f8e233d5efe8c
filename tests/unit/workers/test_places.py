"""Places for waiting calls: bounded, and a flood displaces itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.places import FairPlaces, Place


def test_a_flood_of_one_peer_displaces_only_its_own_calls() -> None:
    displaced: list[str] = []
    places = FairPlaces(10)
    for _ in range(3):
        places.take("honest", lambda: displaced.append("honest"))
    for _ in range(500):
        places.take("flood", lambda: displaced.append("flood"))
    assert displaced == ["flood"] * 493
    assert len(places) == 10


def test_an_honest_call_finds_a_place_in_the_middle_of_a_flood() -> None:
    displaced: list[str] = []
    places = FairPlaces(10)
    for peer in range(40):
        for _ in range(2):
            places.take(f"flood-{peer}", lambda: displaced.append("flood"))
    places.take("honest", lambda: displaced.append("honest"))
    for peer in range(4):
        places.take(f"flood-{40 + peer}", lambda: displaced.append("flood"))
    assert "honest" not in displaced


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_never_more_places_are_taken_than_there_are(total: int, steps: list[tuple[str, bool]]) -> None:
    places = FairPlaces(total)
    held: dict[int, Place] = {}

    for number, (peer, releases) in enumerate(steps):
        if releases and held:
            places.release(held.pop(next(iter(held))))
        else:
            held[number] = places.take(peer, lambda number=number: held.pop(number))
        assert len(places) == len(held) <= total


def test_a_displaced_place_cannot_be_given_back() -> None:
    places = FairPlaces(1)
    first = places.take("a", lambda: None)
    places.take("b", lambda: None)
    places.release(first)
    assert len(places) == 1
