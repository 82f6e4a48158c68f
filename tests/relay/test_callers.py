"""Who is let in, and as whom."""

from __future__ import annotations

import base64
import hashlib
import json
from random import Random
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from duologue.errors import ConfigError, ProtocolError
from duologue.relay.callers import Keys, Knock, credential_of, identify, is_open, issue, keys_of
from duologue.relay.commands import Caller
from duologue.relay.settings import Callers, Jwt, StaticToken

SIGNING = "s" * 32
SHARED = "j" * 64
NOW_S = 1_800_000_000
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = PRIVATE.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
JWKS = json.dumps({"keys": [{**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE.public_key())), "kid": "k1",
                             "alg": "RS256", "use": "sig"}]})  # fmt: skip
TOKENS = Callers(tokens=(StaticToken(user="kiosk", env="KIOSK"),
                         StaticToken(user="lab", sha256=hashlib.sha256(b"lab-token").hexdigest())),
                 secret_env="SIGNING")  # fmt: skip
HS = Callers(jwt=Jwt(algorithms=("HS256",), secret_env="SHARED", audience="relay", issuer="https://id.example"))
RS = Callers(jwt=Jwt(algorithms=("RS256",), jwks_file="keys.json"))
ENV = {"KIOSK": "kiosk-token", "SIGNING": SIGNING, "SHARED": SHARED}


def keys(callers: Callers) -> Keys:
    return keys_of(callers, ENV, lambda path: {"keys.json": JWKS}[path])


def knock(credential: str | None = None, peer: str = "203.0.113.9", **headers: str) -> Knock:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if credential is not None:
        named["authorization"] = f"Bearer {credential}"
    return Knock(headers=named, peer=peer)


def known(callers: Callers, asked: Knock, now_s: int = NOW_S) -> Caller:
    return identify(asked, callers, keys(callers), now_s)


def refused(callers: Callers, asked: Knock, now_s: int = NOW_S) -> str | None:
    with pytest.raises(ProtocolError) as caught:
        known(callers, asked, now_s)
    return caught.value.code


def hs(secret: str = SHARED, algorithm: str = "HS256", **claims: Any) -> str:
    body = {"sub": "ann", "exp": NOW_S + 60, "aud": "relay", "iss": "https://id.example", **claims}
    return jwt.encode({k: v for k, v in body.items() if v is not None}, secret, algorithm=algorithm)


def rs(key: Any = PRIVATE, kid: str | None = "k1", **claims: Any) -> str:
    header = {"kid": kid} if kid else {}
    return jwt.encode({"sub": "ann", "exp": NOW_S + 60, **claims}, key, algorithm="RS256", headers=header)


@pytest.mark.parametrize(
    ("headers", "subprotocols", "found"),
    [
        ({"authorization": "Bearer abc"}, (), "abc"),
        ({"authorization": "bearer  abc "}, (), "abc"),
        ({"authorization": "Basic abc"}, (), None),
        ({"api-key": "abc"}, (), "abc"),
        ({}, ("realtime", "openai-insecure-api-key.abc", "openai-agents-sdk.1"), "abc"),
        ({}, ("realtime", "openai-insecure-api-key."), None),
        ({}, ("realtime",), None),
    ],
)
def test_where_a_credential_stands(headers: dict[str, str], subprotocols: tuple[str, ...], found: str | None) -> None:
    assert credential_of(Knock(headers=headers, peer="x", subprotocols=subprotocols)) == found


def test_static_tokens_name_their_users() -> None:
    assert known(TOKENS, knock("kiosk-token")) == Caller(user="kiosk", how="token")
    assert known(TOKENS, knock("lab-token")) == Caller(user="lab", how="token")
    for wrong in ("kiosk-toke", "kiosk-token2", "KIOSK-TOKEN", "ek_x", "a.b.c", "ü", "x" * 20_000):
        assert refused(TOKENS, knock(wrong)) == "invalid_api_key"
    assert refused(TOKENS, knock()) is None


def test_a_client_secret_speaks_for_who_asked_for_it() -> None:
    asker = Caller(user="shop", how="token")
    token = issue(asker, {"session": {"voice": "ash"}}, keys(TOKENS), nonce=bytes(16), expires_at=NOW_S + 10)
    caller = known(TOKENS, knock(token))
    assert (caller.user, caller.how, caller.claims) == ("shop", "secret", {"session": {"voice": "ash"}})
    with pytest.raises(ProtocolError, match="has expired"):
        known(TOKENS, knock(token), NOW_S + 10)
    assert refused(TOKENS, knock(token[:-2] + "AA")) == "invalid_api_key"
    long = {"session": {"instructions": Random(0).randbytes(12_000).hex()}}
    token = issue(asker, long, keys(TOKENS), nonce=bytes(16), expires_at=NOW_S + 10)
    assert refused(TOKENS, knock(token)) == "invalid_api_key"
    with pytest.raises(ProtocolError, match="cannot ask for another"):
        issue(caller, {}, keys(TOKENS), nonce=bytes(16), expires_at=NOW_S + 10)
    with pytest.raises(ProtocolError, match="issues no client secrets"):
        issue(asker, {}, Keys(), nonce=bytes(16), expires_at=NOW_S + 10)


def test_a_shared_secret_signs_web_tokens() -> None:
    assert known(HS, knock(hs())).user == "ann"
    assert known(HS, knock(hs(tenant="acme"))).claims["tenant"] == "acme"


@pytest.mark.parametrize(
    "token",
    [
        hs("x" * 64),
        hs(algorithm="HS512"),
        hs(aud="other"),
        hs(aud=None),
        hs(iss="https://evil.example"),
        hs(exp=None),
        hs(exp=NOW_S - 10),
        hs(nbf=NOW_S + 11),
        hs(nbf="soon"),
        hs(sub=None),
        hs(sub=""),
        hs(sub="x" * 300),
        hs()[:-3],
        ".".join(hs().split(".")[:2]) + ".",
        jwt.encode({"sub": "ann", "exp": NOW_S + 60, "aud": "relay", "iss": "https://id.example"}, None, "none"),
    ],
)
def test_other_web_tokens_are_refused(token: str) -> None:
    assert refused(HS, knock(token)) == "invalid_api_key"


def test_a_little_clock_skew_is_forgiven() -> None:
    assert known(HS, knock(hs(exp=NOW_S - 9, nbf=NOW_S + 10))).user == "ann"


def test_a_key_set_verifies_web_tokens() -> None:
    assert known(RS, knock(rs())).user == "ann"
    assert known(RS, knock(rs(kid=None))).user == "ann"
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert refused(RS, knock(rs(other))) == "invalid_api_key"
    assert refused(RS, knock(rs(kid="k2"))) == "invalid_api_key"


def test_the_public_key_is_no_shared_secret() -> None:
    """Algorithm confusion: a token signed with HMAC, its key the text of the public RSA key."""

    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "typ": "JWT", "kid": "k1"}) + b"." + part({"sub": "root", "exp": NOW_S + 60})
    mac = base64.urlsafe_b64encode(__import__("hmac").digest(PUBLIC_PEM, signed, "sha256")).rstrip(b"=")
    assert refused(RS, knock((signed + b"." + mac).decode())) == "invalid_api_key"


OPEN = Callers()


@pytest.mark.parametrize("credential", [None, "null", "sk-anything"])
def test_this_machine_needs_no_key_while_none_is_configured(credential: str | None) -> None:
    assert known(OPEN, knock(credential, peer="127.0.0.1")).how == "loopback"
    assert known(OPEN, knock(credential, peer="::1", host="localhost:8081", origin="http://localhost:3000")).how == (
        "loopback"
    )


@pytest.mark.parametrize(
    "asked",
    [
        knock(peer="203.0.113.9"),
        knock("null", peer="203.0.113.9"),
        knock(peer="127.0.0.1", x_forwarded_for="203.0.113.9"),
        knock(peer="127.0.0.1", forwarded="for=203.0.113.9"),
        knock(peer="127.0.0.1", host="rebound.example"),
        knock(peer="127.0.0.1", host="localhost", origin="https://evil.example"),
        knock(peer="127.0.0.1", host="localhost", origin="null"),
        knock(peer="127.0.0.1", host="localhost", origin="http://[bad"),
    ],
)
def test_everybody_else_does(asked: Knock) -> None:
    assert refused(OPEN, asked) in (None, "invalid_api_key")


def test_with_keys_loopback_is_open_only_if_it_is_said() -> None:
    here = knock(peer="127.0.0.1")
    assert refused(TOKENS, here) is None
    both = Callers(tokens=TOKENS.tokens, loopback_open=True)
    assert known(both, here).how == "loopback"
    assert known(both, knock("null", peer="127.0.0.1")).how == "loopback"
    assert refused(both, knock("wrong", peer="127.0.0.1")) == "invalid_api_key"
    assert refused(Callers(loopback_open=False), here) is None
    assert (is_open(OPEN), is_open(TOKENS), is_open(both)) == (True, False, True)


def test_foreign_pages_and_names_are_refused() -> None:
    listed = Callers(tokens=TOKENS.tokens, origins=("https://shop.example",), hosts=("talk.example",))
    assert known(listed, knock("kiosk-token", host="Talk.example", origin="https://SHOP.example")).user == "kiosk"
    assert known(listed, knock("kiosk-token", host="talk.example")).user == "kiosk"
    for origin in ("https://evil.example", "http://shop.example", "https://shop.example.evil", "null"):
        assert refused(listed, knock("kiosk-token", host="talk.example", origin=origin)) == "origin_not_allowed"
    assert refused(listed, knock("kiosk-token", host="evil.example")) == "host_not_allowed"
    assert refused(listed, knock("kiosk-token")) == "host_not_allowed"


@pytest.mark.parametrize(
    ("callers", "env", "text", "words"),
    [
        (TOKENS, {"SIGNING": SIGNING}, "", "KIOSK is not set"),
        (TOKENS, {"KIOSK": "k", "SIGNING": "short"}, "", "SIGNING is too short"),
        (HS, {"SHARED": "short"}, "", "SHARED is too short"),
        (RS, {}, "{}", "no usable key set"),
        (RS, {}, "no json", "no usable key set"),
        (RS, {}, json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]}), "is not RSA"),
    ],
)
def test_keys_that_cannot_be_used_are_told_at_the_start(
    callers: Callers, env: dict[str, str], text: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        keys_of(callers, env, lambda path: text)


def test_no_credential_is_ever_shown() -> None:
    told = [
        repr(keys(TOKENS)),
        repr(keys(HS)),
        repr(knock("kiosk-token")),
        repr(known(HS, knock(hs(secret_claim="x")))),
    ]
    for credential in ("wrong-token", hs("x" * 64)):
        with pytest.raises(ProtocolError) as caught:
            known(TOKENS, knock(credential))
        told += [repr(caught.value), str(caught.value)]
        assert credential not in "".join(told)
    for secret in (SIGNING, SHARED, "kiosk-token", "secret_claim"):
        assert secret not in "".join(told)
