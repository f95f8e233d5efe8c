"""Which connection closes when too many wait: the oldest of the address that has the most."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission import Admission, Places
from gateway.metrics import Metrics


class Gate:
    """An admission whose connections close when asked to."""

    def __init__(self, places: Places, *, proxy: str = "") -> None:
        self.now = 0.0
        self.ended: list[int] = []
        self.metrics = Metrics()
        self.admission = Admission("http", places, self.metrics, lambda: self.now, lambda address: address == proxy)
        self._next = 0

    def enter(self, address: str = "10.0.0.1") -> int | None:
        self._next += 1
        name = self._next

        def end() -> None:
            self.ended.append(name)
            self.admission.leave(name)

        return name if self.admission.enter(name, address, end) else None

    def serve(self, name: int | None) -> None:
        visitor = self.admission.find(name)
        assert visitor is not None
        self.admission.serve(visitor)


def test_the_oldest_of_an_address_is_closed() -> None:
    gate = Gate(Places(10, 10, 2))
    assert [gate.enter(), gate.enter("10.0.0.2"), gate.enter(), gate.enter()] == [1, 2, 3, 4]
    assert gate.ended == [1]


def test_at_the_total_the_address_with_the_most_loses_a_connection() -> None:
    gate = Gate(Places(10, 4, 4))
    for address in ("10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.3"):
        gate.enter(address)
    assert gate.ended == [2]


def test_addresses_of_one_ipv6_customer_count_as_one_and_proxies_do_not_count() -> None:
    gate = Gate(Places(10, 10, 1))
    gate.enter("2001:db8::1")
    gate.enter("2001:db8::2")
    assert gate.ended == [1]
    gate = Gate(Places(10, 10, 1), proxy="10.0.0.9")
    gate.enter("10.0.0.9")
    gate.enter("10.0.0.9")
    assert gate.ended == []


def test_a_connection_that_is_served_is_not_closed_to_make_room() -> None:
    gate = Gate(Places(2, 2, 2))
    gate.serve(gate.enter())
    gate.serve(gate.enter())
    assert gate.enter() is None
    assert gate.ended == []
    assert b'gateway_connections_refused_total{port="http",reason="full"} 1.0' in gate.metrics.render()


def test_slow_ones_are_closed_new_ones_earlier() -> None:
    gate = Gate(Places(9, 9, 9))
    new, served, busy = gate.enter(), gate.enter(), gate.enter()
    gate.serve(busy)
    gate.serve(served)
    visitor = gate.admission.find(served)
    assert visitor is not None
    gate.admission.wait_again(visitor)
    gate.now = 11.0
    gate.admission.end_slow(10.0, 75.0)
    assert gate.ended == [new]
    gate.now = 80.0
    gate.admission.end_slow(10.0, 75.0)
    assert gate.ended == [new, served]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 30)), max_size=100))
def test_the_bounds_hold_whatever_happens(steps: list[tuple[int, int, int]]) -> None:
    gate = Gate(Places(6, 4, 2))
    for step, address, name in steps:
        visitor = gate.admission.find(name)
        match step:
            case 0:
                gate.enter(f"10.0.0.{address}")
            case 1 if visitor is not None:
                gate.admission.serve(visitor)
            case 2 if visitor is not None:
                gate.admission.wait_again(visitor)
            case 3:
                gate.admission.leave(name)
        assert len(gate.admission) <= 6
        assert gate.admission.waiting <= 4
