"""What is simulated: how many of everything, what fails when, and how long things take. All assumptions are here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """One simulation; each session has one stream. Times are seconds.

    A cell is a number of gateways with the workers that they know; sessions are spread evenly over `cells`. `gateways`
    (processes), `workers` and `slots` (of a worker) are those of one cell, spread evenly over `zones`; the defaults are
    what sizing.py calculates for 100,000 speakers.

    `ramp`: the sessions arrive within this time. `fails_at`: everything in zone 0 falls silent. `storm_at`: every
    client that is there loses its socket at the same moment, as when a load balancer restarts. `handshake`: CPU of a
    gateway for a handshake with its session; 1,000 clients came back within 1.9 s (part `storm` of `bench-gateway`).
    `client_notices`, `gateway_notices`, `worker_notices`: ranges of the time until a client sees that its gateway is
    silent, a gateway that a worker is (keepalive of 2 s, time-out of 2 s), and a worker that a gateway is (10 s, 5 s):
    until then the streams of a lost gateway hold their slots. `proxy_notices`: until the load balancer leaves out lost
    gateways; a client that it sends to one tries again after `dead_end`. `way`: range of one round trip.
    """

    sessions: int = 100_000
    cells: int = 50
    zones: int = 3
    gateways: int = 39
    workers: int = 21
    slots: int = 160
    owners: int = 20
    ramp: float = 60.0
    fails_at: float = 75.0
    storm_at: float = 120.0
    ends_at: float = 150.0
    handshake: float = 0.002
    client_notices: tuple[float, float] = (0.0, 5.0)
    gateway_notices: tuple[float, float] = (2.0, 4.0)
    worker_notices: tuple[float, float] = (10.0, 15.0)
    proxy_notices: float = 5.0
    dead_end: float = 1.0
    way: tuple[float, float] = (0.0005, 0.003)
    seed: int = 1

    @property
    def sessions_per_cell(self) -> int:
        """Sessions of one cell, rounded up."""
        return -(-self.sessions // self.cells)

    @property
    def slots_left(self) -> float:
        """Slots of the other zones after a zone has failed, per session."""
        left = sum(worker % self.zones != 0 for worker in range(self.workers))
        return left * self.slots / self.sessions_per_cell
