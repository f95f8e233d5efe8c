"""Credentials: keys, tokens, and the limit on failures."""

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.key_ring import KeyRing
from gateway.access.terms import Door
from gateway.access.tokens import Audience, Tokens
from gateway.auth import Authenticator, AuthError, Principal, bearer, new_session_id
from gateway.credentials import Credential, of_handshake
from gateway.refusals import FailureLimiter

SECRET = "s" * 32


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def authenticator_of(keys: list[str], clock: Clock, secrets: tuple[str, ...] = (SECRET,)) -> Authenticator:
    return Authenticator(KeyRing(keys, None, clock), Tokens(secrets, 60.0, clock), clock)


@pytest.fixture
def authenticator(clock: Clock) -> Authenticator:
    return authenticator_of(["key-1", "clé-2"], clock)


def test_api_keys(authenticator: Authenticator) -> None:
    first, second = authenticator.check("key-1", Door.HANDSHAKE), authenticator.check("clé-2", Door.HTTP)
    assert first.may_use("anything", first.terms.owner)
    assert first.may_use("nobody's", "")
    assert not first.may_use("anything", second.terms.owner)
    assert "key-1" not in first.terms.owner
    with pytest.raises(AuthError):
        authenticator.check("key-1", Door.HANDSHAKE, keys_allowed=False)
    with pytest.raises(AuthError):
        authenticator.check("key-", Door.HANDSHAKE)


def test_a_token_is_valid_for_one_session_until_it_expires(authenticator: Authenticator, clock: Clock) -> None:
    minted = authenticator.mint("abc", Audience.SESSION)
    assert minted.expires_at == 1_000_060
    principal = authenticator.check(minted.token, Door.HANDSHAKE, keys_allowed=False)
    assert principal.may_use("abc", "")
    assert not principal.may_use("abd", "")
    clock.now = 1_000_060.0
    with pytest.raises(AuthError, match="expired"):
        authenticator.check(minted.token, Door.HANDSHAKE)


@pytest.mark.parametrize("door", [Door.HANDSHAKE, Door.MESSAGE])
def test_a_resume_token_opens_no_session(authenticator: Authenticator, door: Door) -> None:
    token = authenticator.mint("abc", Audience.RESUME).token
    with pytest.raises(AuthError, match="session_resume"):
        authenticator.check(token, door)
    for allowed in (Door.RESUME, Door.HTTP):
        assert authenticator.check(token, allowed).session_id == "abc"


def test_no_token_outlives_the_one_that_asked_for_it(authenticator: Authenticator, clock: Clock) -> None:
    first = authenticator.mint("abc", Audience.SESSION)
    clock.now += 50.0
    token = authenticator.mint("abc", Audience.RESUME, not_after=first.expires_at)
    assert token.expires_at == first.expires_at


def test_forged_tokens(authenticator: Authenticator) -> None:
    claims = {"sid": "abc", "aud": "talkup-session", "exp": 2_000_000}
    forged = [
        jwt.encode(claims, "x" * 32, algorithm="HS256"),
        jwt.encode(claims, None, algorithm="none"),
        jwt.encode(claims, SECRET, algorithm="HS256", headers={"kid": "another"}),
        jwt.encode({**claims, "sid": 7}, SECRET, algorithm="HS256"),
        jwt.encode({**claims, "sid": "x" * 65}, SECRET, algorithm="HS256"),
        jwt.encode({**claims, "own": 7}, SECRET, algorithm="HS256"),
        jwt.encode({**claims, "own": "nobody"}, SECRET, algorithm="HS256"),
        jwt.encode({**claims, "aud": ["talkup-session"]}, SECRET, algorithm="HS256"),
        jwt.encode({"aud": "talkup-session", "exp": 2_000_000}, SECRET, algorithm="HS256"),
        jwt.encode({"sid": "abc", "exp": 2_000_000}, SECRET, algorithm="HS256"),
        jwt.encode({"sid": "abc", "aud": "talkup-session"}, SECRET, algorithm="HS256"),
    ]
    for token in forged:
        with pytest.raises(AuthError):
            authenticator.check(token, Door.HANDSHAKE)
    genuine = jwt.encode(claims, SECRET, algorithm="HS256")
    assert authenticator.check(genuine, Door.HANDSHAKE).session_id == "abc"


@given(st.text())
def test_any_text_is_refused_with_auth_error_only(text: str) -> None:
    authenticator = authenticator_of(["the key"], Clock())
    if text == "the key":
        return
    with pytest.raises(AuthError) as refused:
        authenticator.check(text, Door.HANDSHAKE)
    expected = "the key or token is invalid" if text else "a credential is required"
    assert str(refused.value) == expected, "the refusal repeats nothing of what was sent"


def test_the_newest_secret_signs_and_older_ones_verify(clock: Clock) -> None:
    before = authenticator_of(["k"], clock, ("a" * 32,))
    old = before.mint("abc", Audience.SESSION).token
    now = authenticator_of(["k"], clock, ("b" * 32, "a" * 32))
    assert now.check(old, Door.HANDSHAKE).session_id == "abc"
    with pytest.raises(AuthError):
        before.check(now.mint("abc", Audience.SESSION).token, Door.HANDSHAKE)
    with pytest.raises(AuthError):
        authenticator_of(["k"], clock, ("b" * 32,)).check(old, Door.HANDSHAKE)


def test_tokens_from_before_the_start_are_refused_without_a_durable_store(clock: Clock) -> None:
    earlier = authenticator_of(["k"], clock).mint("abc", Audience.SESSION).token
    clock.now += 0.5
    restarted = Authenticator(KeyRing(["k"], None, clock), Tokens([SECRET], 60.0, clock, clock.now), clock)
    with pytest.raises(AuthError, match="last start"):
        restarted.check(earlier, Door.HANDSHAKE)
    assert restarted.check(restarted.mint("abc", Audience.SESSION).token, Door.HANDSHAKE).session_id == "abc"


def test_open_access_admits_everyone_but_no_invalid_token(clock: Clock) -> None:
    authenticator = authenticator_of([], clock)
    assert authenticator.open_access
    assert authenticator.check(None, Door.HANDSHAKE) == Principal()
    assert authenticator.check("dev-key", Door.HANDSHAKE) == Principal()
    with pytest.raises(AuthError):
        authenticator.check("a.b.c", Door.HANDSHAKE)


def test_failures_are_limited_and_expire(clock: Clock) -> None:
    limiter = FailureLimiter(burst=3, refill_s=10.0, addresses=2, clock=clock)
    for _ in range(3):
        assert limiter.allowed("a")
        limiter.record_failure("a")
    assert not limiter.allowed("a")
    assert limiter.allowed("b")
    clock.now += 10.0
    assert limiter.allowed("a")
    for other in ("b", "c"):
        limiter.record_failure(other)
    assert limiter.allowed("a")


def test_a_flood_does_not_put_off_the_moment_when_the_next_failure_is_heard(clock: Clock) -> None:
    limiter = FailureLimiter(burst=1, refill_s=10.0, addresses=2, clock=clock)
    assert limiter.wait_s("a") == 0.0
    for _ in range(10):
        limiter.record_failure("a")
        clock.now += 0.5
    assert limiter.wait_s("a") == pytest.approx(5.0)
    clock.now += 5.0
    assert limiter.allowed("a")
    assert limiter.wait_s("a") == 0.0


def test_session_ids_differ() -> None:
    assert len({new_session_id() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        (None, None),
    ],
)
def test_bearer(header: str | None, credential: str | None) -> None:
    assert bearer(header) == credential


@pytest.mark.parametrize(
    ("target", "header", "subprotocols", "expected"),
    [
        ("/ws", "Bearer h", ["talkup.v1", "bearer.p"], Credential("h")),
        ("/ws?token=q", None, ["talkup.v1", "bearer.p"], Credential("p")),
        ("/ws?session_id=1&token=q", None, ["talkup.v1"], Credential("q", may_be_key=False)),
        ("/ws?token=", None, [], Credential()),
        ("/ws", None, ["bearer."], Credential()),
        ("/ws?" + "&".join(f"a{i}=1" for i in range(100)), None, [], Credential()),
        ("http://[/ws?token=q", None, [], Credential()),
    ],
)
def test_where_a_handshake_carries_its_credential(
    target: str, header: str | None, subprotocols: list[str], expected: Credential
) -> None:
    assert of_handshake(target, header, subprotocols) == expected


def test_credentials_stay_out_of_repr() -> None:
    assert "hidden" not in repr(Credential("hidden"))
