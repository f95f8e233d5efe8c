"""The keys of an identity provider, read over real HTTPS: when, from where, and what remains while that fails."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.access.identity_provider import IdentityProvider, Pace
from gateway.access.provider_fetch import MAX_BYTES, fetch
from gateway.access.provider_rules import ProviderError, Rules
from gateway.access.tokens import TokenError
from tests.fakes.identity_provider import AUDIENCE, Provider, Signer, provider

DEMAND_S = 10.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[Provider]:
    async with provider(tmp_path) as found:
        yield found


def reader(remote: Provider, clock: Clock, *, time_s: float = 5.0, keys_url: str = "") -> IdentityProvider:
    rules = Rules(remote.issuer, (AUDIENCE,), ("RS256", "ES256"))
    read = partial(fetch, authority=remote.certificate, time_s=time_s)
    return IdentityProvider(rules, read, time.time, clock, keys_url=keys_url, pace=Pace(600, DEMAND_S))


def owner_of(keys: IdentityProvider, token: str) -> str:
    """Whose token it is, or why it is refused."""
    try:
        return keys.check(token).owner
    except TokenError as error:
        return error.reason


async def test_the_first_token_waits_for_the_keys(remote: Provider) -> None:
    keys = reader(remote, Clock())
    token = remote.token()
    assert owner_of(keys, token) == "provider_away"
    await asyncio.gather(*(keys.prepare(token) for _ in range(50)))
    assert owner_of(keys, token) == "oidc:alice"
    assert remote.readings == 1


async def test_a_url_of_the_settings_needs_no_discovery(remote: Provider) -> None:
    remote.status = 404
    keys = reader(remote, Clock(), keys_url=f"{remote.issuer}/keys")
    await keys.load()
    assert owner_of(keys, remote.token()) == "oidc:alice"


async def test_a_new_key_is_read_when_a_token_names_it_and_an_old_one_goes(remote: Provider) -> None:
    clock = Clock()
    keys = reader(remote, clock)
    old = remote.token()
    await keys.prepare(old)
    remote.signers = [Signer("second", "ES256")]
    new = remote.token(sub="bob")
    clock.now += DEMAND_S
    await keys.prepare(new)
    assert (owner_of(keys, new), owner_of(keys, old)) == ("oidc:bob", "unknown_key")
    assert remote.readings == 2


async def test_unknown_keys_cause_one_reading_in_an_interval(remote: Provider) -> None:
    clock = Clock()
    keys = reader(remote, clock)
    await keys.prepare(remote.token())
    for number in range(101):
        clock.now = number * DEMAND_S / 50
        forged = Signer(f"forged-{number % 3}", "ES256").sign(remote.claims())
        await keys.prepare(forged)
        assert owner_of(keys, forged) == "unknown_key"
    assert remote.readings == 3  # at 0, 10 and 20 s


async def test_known_keys_and_other_credentials_cause_none(remote: Provider) -> None:
    clock = Clock()
    keys = reader(remote, clock)
    await keys.prepare(remote.token())
    clock.now += 10 * DEMAND_S
    for credential in (remote.token(), "tk_an_api_key", "a.b.c", "x" * 10_000, ""):
        await keys.prepare(credential)
    assert remote.readings == 1


async def test_keys_stay_valid_while_the_provider_is_down(remote: Provider) -> None:
    clock = Clock()
    keys = reader(remote, clock)
    token = remote.token()
    await keys.prepare(token)
    await remote.stop()
    clock.now += DEMAND_S
    stranger = Signer("other", "ES256").sign(remote.claims())
    await keys.prepare(stranger)
    assert (owner_of(keys, token), owner_of(keys, stranger)) == ("oidc:alice", "unknown_key")


async def test_a_provider_that_is_down_at_the_start_is_read_later(tmp_path: Path) -> None:
    async with provider(tmp_path, is_started=False) as remote:
        clock = Clock()
        keys = reader(remote, clock)
        token = remote.token()
        await keys.prepare(token)
        assert owner_of(keys, token) == "provider_away"
        await remote.start()
        await keys.prepare(token)
        assert owner_of(keys, token) == "provider_away"  # not before the interval is over
        clock.now += DEMAND_S
        await keys.prepare(token)
        assert owner_of(keys, token) == "oidc:alice"


async def test_a_slow_provider_has_a_time_limit_and_waiting_ends_with_it(remote: Provider) -> None:
    remote.is_slow = True
    with pytest.raises(ProviderError, match=r"127\.0\.0\.1 has not answered within 0\.05 s"):
        await reader(remote, Clock(), time_s=0.05).load()
    keys = reader(remote, Clock(), time_s=0.05)
    await keys.prepare(remote.token())
    assert owner_of(keys, remote.token()) == "provider_away"
    closing = reader(remote, Clock(), time_s=60)
    waiting = asyncio.create_task(closing.prepare(remote.token()))
    while remote.readings < 3:
        await asyncio.sleep(0)
    await closing.close()
    await asyncio.wait([waiting])
    assert waiting.cancelled()


async def problem(remote: Provider, **options: Any) -> str:
    with pytest.raises(ProviderError) as error:
        await reader(remote, Clock(), **options).load()
    assert "Traceback" not in str(error.value)
    return str(error.value)


async def test_documents_that_cannot_be_used(remote: Provider) -> None:
    remote.body = b"x" * (MAX_BYTES + 1)
    assert await problem(remote) == f"the answer of 127.0.0.1 is larger than {MAX_BYTES} bytes"
    remote.body = b"<html>secret</html>"
    assert await problem(remote) == "its key set is not a JWK set"
    remote.body = json.dumps({"keys": []}).encode()
    assert await problem(remote) == "its key set holds no key that can check signatures"
    remote.body, remote.status = None, 302
    assert await problem(remote) == "127.0.0.1 answers 302"
    assert remote.readings == 3, "a redirect was followed"
    remote.status, remote.discovery = 200, {"issuer": "https://id.example"}
    assert await problem(remote) == "its discovery document names another issuer"
    remote.discovery = {"jwks_uri": 7}
    assert await problem(remote) == "its discovery document has no issuer and jwks_uri"


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "file:///etc/passwd", "gopher://127.0.0.1", "https://a@b"]
)
async def test_a_discovery_document_cannot_send_the_gateway_anywhere(remote: Provider, url: str) -> None:
    remote.discovery = {"jwks_uri": url}
    assert (await problem(remote)).startswith("the jwks_uri of its discovery document must be")


async def test_a_provider_elsewhere_cannot_point_at_this_machine() -> None:
    asked = []

    async def documents(url: str) -> bytes:
        asked.append(url)
        return json.dumps({"issuer": "https://id.example", "jwks_uri": "https://127.0.0.1/keys"}).encode()

    keys = IdentityProvider(Rules("https://id.example", ("a",), ("RS256",)), documents, time.time, time.monotonic)
    with pytest.raises(ProviderError, match="is on this machine"):
        await keys.load()
    assert asked == ["https://id.example/.well-known/openid-configuration"]


async def test_a_certificate_that_nobody_vouches_for(remote: Provider) -> None:
    with pytest.raises(ProviderError, match=r"the certificate of 127\.0\.0\.1 is not trusted"):
        await fetch(f"{remote.issuer}/keys")
    assert remote.readings == 0


async def test_a_file_of_roots_that_is_not_there(remote: Provider, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="No such file"):
        await fetch(f"{remote.issuer}/keys", tmp_path / "none.pem")
