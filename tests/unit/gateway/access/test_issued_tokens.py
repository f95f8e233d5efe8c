"""Tokens of an identity provider: which are accepted, and why the others are not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.access.issued_tokens import MAX_KEYS, SKEW_S, Issued, check, is_issued, read_keys
from gateway.access.provider_rules import ALGORITHMS, ProviderError, Rules, url_fault
from gateway.access.tokens import TokenError
from tests.fakes.identity_provider import Signer

NOW = 1_800_000_000.0
ISSUER = "https://id.example/realm"
RULES = Rules(ISSUER, ("talkup", "talkup-staging"), ("RS256", "ES256", "EdDSA"))
RSA, EC, ED = Signer("rsa"), Signer("ec", "ES256"), Signer("ed", "EdDSA")
KEYS = read_keys(json.dumps({"keys": [each.jwk for each in (RSA, EC, ED)]}).encode())


def claims(**changed: Any) -> dict[str, Any]:
    found = {"iss": ISSUER, "aud": "talkup", "sub": "alice", "exp": NOW + 600, **changed}
    return {name: value for name, value in found.items() if value is not None}


def refused(token: str, rules: Rules = RULES) -> str:
    with pytest.raises(TokenError) as error:
        check(token, KEYS, rules, lambda: NOW)
    return error.value.reason


@pytest.mark.parametrize("signer", [RSA, EC, ED], ids=lambda each: each.algorithm)
def test_a_token_names_its_owner_until_it_expires(signer: Signer) -> None:
    token = signer.sign(claims(aud=["somebody", "talkup-staging"]), typ="at+jwt")
    assert is_issued(token)
    assert check(token, KEYS, RULES, lambda: NOW) == Issued("alice", int(NOW) + 600 + SKEW_S)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": "https://id.example"}, "other_issuer"),
        ({"iss": None}, "malformed"),
        ({"aud": "somebody"}, "other_audience"),
        ({"aud": None}, "malformed"),
        ({"exp": NOW - SKEW_S}, "expired"),
        ({"exp": None}, "malformed"),
        ({"exp": "soon"}, "malformed"),
        ({"exp": float("inf")}, "malformed"),
        ({"nbf": NOW + SKEW_S + 1}, "not_yet_valid"),
        ({"nbf": float("nan")}, "not_yet_valid"),
        ({"iat": NOW + SKEW_S + 1}, "not_yet_valid"),
        ({"sub": None}, "owner"),
        ({"sub": ""}, "owner"),
        ({"sub": "x" * 256}, "owner"),
        ({"sub": "two\nlines"}, "owner"),
    ],
)
def test_claims_that_are_refused(changed: dict[str, Any], reason: str) -> None:
    assert refused(RSA.sign(claims(**changed))) == reason


def test_clocks_may_differ_by_a_minute() -> None:
    for changed in ({"exp": NOW - SKEW_S + 1}, {"nbf": NOW + SKEW_S}, {"iat": NOW + SKEW_S}):
        assert check(RSA.sign(claims(**changed)), KEYS, RULES, lambda: NOW).owner == "alice"


def test_keys_and_signatures_that_are_refused() -> None:
    stranger = Signer("rsa")
    assert refused(stranger.sign(claims())) == "signature"
    assert refused(Signer("elsewhere").sign(claims())) == "unknown_key"
    assert refused(RSA.sign(claims(), kid="ec")) == "unknown_key"  # the key of another kind
    assert refused(RSA.sign(claims())[:-8]) in ("signature", "malformed")
    head, body, signature = RSA.sign(claims()).split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims(sub="bob")).encode()).rstrip(b"=").decode()
    assert refused(f"{head}.{other}.{signature}") == "signature"
    assert refused("a.b.c") == refused("x" * 5000) == refused("") == "malformed"
    assert refused(RSA.sign(claims(), typ="logout+jwt")) == "malformed"
    assert body


def test_no_token_without_a_signature_or_with_a_shared_secret() -> None:
    """RFC 8725 2.1: the public key must not serve as the secret of HS256."""
    unsigned = jwt.encode(claims(), None, "none", {"kid": "rsa"})
    assert refused(unsigned) == "algorithm"
    assert not is_issued(unsigned)
    parts = [json.dumps({"alg": "HS256", "kid": "rsa"}).encode(), json.dumps(claims()).encode()]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = base64.urlsafe_b64encode(hmac.digest(RSA.public_pem, signed, hashlib.sha256)).rstrip(b"=")
    confused = (signed + b"." + mac).decode()
    assert refused(confused) == "algorithm"
    assert not is_issued(confused)


def test_only_the_algorithms_of_the_settings() -> None:
    assert refused(EC.sign(claims()), Rules(ISSUER, ("talkup",), ("RS256",))) == "algorithm"
    assert all(not name.startswith("HS") for name in ALGORITHMS)


def test_a_token_may_name_no_key_if_only_one_fits() -> None:
    token = jwt.encode(claims(), RSA.key, "RS256")
    assert check(token, KEYS, RULES, lambda: NOW).owner == "alice"
    two = read_keys(json.dumps({"keys": [RSA.jwk, Signer("more").jwk]}).encode())
    with pytest.raises(TokenError, match="unknown_key"):
        check(token, two, RULES, lambda: NOW)


@pytest.mark.parametrize("written", [{"scope": "a captions b"}, {"scp": "captions"}, {"scp": ["x", "captions"]}])
def test_a_scope_that_is_asked_for(written: dict[str, Any]) -> None:
    rules = Rules(ISSUER, ("talkup",), ("RS256",), "email", "captions")
    owner = {"email": "alice@id.example"}
    assert check(RSA.sign(claims(**written, **owner)), KEYS, rules, lambda: NOW).owner == "alice@id.example"
    assert refused(RSA.sign(claims(scope="captions-not", **owner)), rules) == "scope"
    assert refused(RSA.sign(claims(scope={"captions": 1}, **owner)), rules) == "scope"


def test_key_sets() -> None:
    small = rsa.generate_private_key(65537, 1024)
    weak = {**json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(small.public_key())), "kid": "weak"}
    private = {**json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(EC.key)), "kid": "private"}
    others = [
        weak,
        private,
        {**RSA.jwk, "use": "enc"},
        {**RSA.jwk, "alg": "RSA-OAEP"},
        {**RSA.jwk, "kid": 7},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"},
        {"kty": "RSA"},
        {"kty": ["RSA"], "crv": {}},
        {},
    ]
    keys = read_keys(json.dumps({"keys": [*others, RSA.jwk], "more": 1}).encode())
    assert [key.kid for key in keys] == ["rsa"]
    many = json.dumps({"keys": [RSA.jwk] * (MAX_KEYS + 1)}).encode()
    for document in (b"", b"<html>", b"[]", b'{"keys": [1]}', b"\xff", b'{"keys": []}', many, b"[" * 100_000):
        with pytest.raises(ProviderError):
            read_keys(document)


@pytest.mark.parametrize("url", ["https://id.example/realm", "http://127.0.0.1:8080", "http://localhost/x"])
def test_urls_that_may_be_read(url: str) -> None:
    assert url_fault(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example",
        "http://127.0.0.1.evil.example",
        "file:///etc/passwd",
        "id",
        "https://",
        "https://[::1",
        "https://id.example:port",
        "https://id.example/a b",
        "https://id.example#x",
        "https://a:b@id.example",
    ],
)
def test_urls_that_may_not_be_read(url: str) -> None:
    assert url_fault(url) is not None
