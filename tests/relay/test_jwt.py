"""JSON web tokens of an identity provider, as they arrive at a relay that runs: good ones, forged ones, new keys."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from command import Command, commanded
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from running import nobody
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from duologue.errors import ConfigError
from duologue.relay.callers import keys_of
from duologue.relay.settings import Callers, Jwt

SETTINGS = """
[upstream]
url = "ws://127.0.0.1:{port}/v1/realtime"
[callers.jwt]
algorithms = {algorithms}
jwks_file = "jwks.json"
audience = "relay"
issuer = "https://id.example"
[limits]
sessions_per_user = 100
"""
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """The private key behind a `kid`."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(kid: str, **about: Any) -> dict[str, Any]:
    """The key as its provider publishes it; None takes a member out."""
    published = jwt.algorithms.RSAAlgorithm.to_jwk(key(kid).public_key(), as_dict=True)
    whole = {**published, "kid": kid, "use": "sig", "alg": "RS256", **about}
    return {name: value for name, value in whole.items() if value is not None}


def published(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": keys})


def body(**claims: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {"sub": "ann", "aud": "relay", "iss": "https://id.example", "iat": now, "exp": now + 300, **claims}
    return {name: value for name, value in whole.items() if value is not None}


def token(kid: str | None = "k1", by: str | None = None, algorithm: str = "RS256", **claims: Any) -> str:
    """Signed with the key `by`, which is the one it names unless told otherwise."""
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(body(**claims), key(by or kid or "k1"), algorithm=algorithm, headers=headers)


def by_hand(header: dict[str, Any], secret: bytes | None = None) -> str:
    """What no library makes any more: `header` as it is, signed with HMAC-SHA256 or not at all."""

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    signed = part(json.dumps(header).encode()) + b"." + part(json.dumps(body(sub="root")).encode())
    mac = b"" if secret is None else part(hmac.digest(secret, signed, "sha256"))
    return (signed + b"." + mac).decode()


def pem(kid: str) -> bytes:
    return key(kid).public_key().public_bytes(serialization.Encoding.PEM, PUBLIC)


@asynccontextmanager
async def relay(folder: Path, keys: str, algorithms: str = '["RS256"]') -> AsyncIterator[Command]:
    async with serve(nobody, "127.0.0.1", 0, compression=None) as upstream:
        (folder / "jwks.json").write_text(keys)
        config = folder / "relay.toml"
        config.write_text(SETTINGS.format(port=upstream.sockets[0].getsockname()[1], algorithms=algorithms))
        async with commanded(config, {}) as command:
            yield command


async def let_in(command: Command, credential: str, *, browser: bool = False) -> bool:
    """Whether a call with this credential begins. If not, it has to be told why, and closed."""
    offered: Any = ["realtime", f"openai-insecure-api-key.{credential}"] if browser else None
    headers = None if browser else {"Authorization": f"Bearer {credential}"}
    address = f"ws://127.0.0.1:{command.port}/v1/realtime"
    async with connect(address, subprotocols=offered, additional_headers=headers) as ws:
        event = json.loads(await ws.recv())
        if event["type"] == "session.created":
            return True
        assert event["error"]["code"] == "invalid_api_key"
        assert credential not in json.dumps(event)
        await ws.wait_closed()
        assert ws.close_code == 3000
        return False


def forged() -> Iterator[tuple[str, str]]:
    now = int(time.time())
    yield "an unknown kid", token("k9")
    yield "the kid of another key", token("k1", by="k2")
    yield "no kid while there are several", token(None, by="k1")
    yield "the kid of a key for encryption", token("enc")
    yield "the kid of a key that may not verify", token("wrap")
    yield "an algorithm of the family that is not allowed", token(algorithm="RS512")
    yield "a key that is for another algorithm", token("k512")
    yield "another family with the public key as its secret", by_hand({"alg": "HS256", "kid": "k1"}, pem("k1"))
    yield "the same without the last line's end", by_hand({"alg": "HS256", "kid": "k1"}, pem("k1").strip())
    yield "the same with the number alone", by_hand({"alg": "HS256", "kid": "k1"}, public("k1")["n"].encode())
    yield "the same with nothing", by_hand({"alg": "HS256", "kid": "k1"}, b"")
    for name in ("none", "None", "NONE", ""):
        yield f"no signature, {name!r}", by_hand({"alg": name, "kid": "k1"})
    yield "no algorithm at all", by_hand({"kid": "k1"})
    yield "a kid that is no string", by_hand({"alg": "RS256", "kid": ["k1"]})
    yield "a kid that is a path", by_hand({"alg": "RS256", "kid": "../../dev/null"}, b"")
    yield (
        "an extension that must be understood",
        jwt.encode(body(), key("k1"), algorithm="RS256", headers={"kid": "k1", "crit": ["x"], "x": 1}),
    )
    yield (
        "a key of its own",
        jwt.encode(body(), key("mine"), algorithm="RS256", headers={"kid": "k1", "jwk": public("mine")}),
    )
    yield (
        "an address of a key of its own",
        jwt.encode(
            body(), key("mine"), algorithm="RS256", headers={"kid": "k1", "jku": "https://evil.example/jwks.json"}
        ),
    )
    yield "expired", token(exp=now - 60)
    yield "without an end", token(exp=None)
    yield "an end that is no number", token(exp="never")
    yield "not valid yet", token(nbf=now + 60)
    yield "for somebody else", token(aud="another")
    yield "for nobody", token(aud=None)
    yield "of another issuer", token(iss="https://evil.example")
    yield "of no issuer", token(iss=None)
    yield "for no user", token(sub=None)
    head, claims, signature = token().split(".")
    yield "other claims under the same signature", f"{head}.{token(sub='root').split('.')[1]}.{signature}"
    yield "a signature that was cut", f"{head}.{claims}.{signature[:-4]}"
    yield "without its signature", f"{head}.{claims}."
    yield "a part too many", f"{head}.{claims}.{signature}.{signature}"


def test_only_what_the_provider_signed_gets_in(tmp_path: Path) -> None:
    keys = published(
        public("k1"), public("k2", alg=None, use=None), public("enc", use="enc"), public("wrap", key_ops=["wrapKey"]),
        public("k512", alg="RS512"),
    )  # fmt: skip

    async def story() -> None:
        async with relay(tmp_path, keys) as command:
            for good in (token("k1"), token("k2"), token(aud=["another", "relay"])):
                assert await let_in(command, good)
                assert await let_in(command, good, browser=True)
            found = {what: await let_in(command, credential) for what, credential in forged()}
            assert [what for what, entered in found.items() if entered] == []
            assert len(found) > 30
            assert await let_in(command, token())

    asyncio.run(story())


def test_a_key_without_an_algorithm_serves_the_ones_that_are_allowed(tmp_path: Path) -> None:
    async def story() -> None:
        async with relay(tmp_path, published(public("k1", alg=None)), '["RS384", "RS512"]') as command:
            assert await let_in(command, token(algorithm="RS512"))
            assert await let_in(command, token(None, algorithm="RS384"))
            assert not await let_in(command, token(algorithm="RS256"))

    asyncio.run(story())


def test_keys_change_while_calls_go_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with relay(tmp_path, published(public("k1"))) as command:
            headers = {"Authorization": f"Bearer {token('k1')}"}
            async with connect(f"ws://127.0.0.1:{command.port}/", additional_headers=headers) as ws:
                await ws.recv()
                await renew(command, published(public("k1"), public("k2")), "new calls begin")
                assert await let_in(command, token("k1"))
                assert await let_in(command, token("k2"))
                await renew(command, published(public("k2")), "new calls begin")
                assert not await let_in(command, token("k1"))
                assert await let_in(command, token("k2"))
                for broken in ("", "{}", published(), published(public("k2", use="enc"))):
                    await renew(command, broken, "nothing changed")
                    assert await let_in(command, token("k2"))
                await ws.send("no event")
                assert json.loads(await ws.recv())["type"] == "error"

    async def renew(command: Command, keys: str, words: str) -> None:
        (tmp_path / "jwks.json").write_text(keys)
        command.process.send_signal(signal.SIGHUP)
        await command.told(words)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([], "none of its keys is for signatures"),
        ([public("k1", use="enc")], "none of its keys is for signatures"),
        ([public("k1"), public("k1")], "two keys with one 'kid'"),
        ([jwt.algorithms.RSAAlgorithm.to_jwk(key("k1"), as_dict=True) | {"key_ops": ["verify"]}], "a private key"),
        ([public("k1", kty="oct", k="c2VjcmV0", alg=None)], "is not RSA"),
        ([public("k1", n="!")], "no usable key set"),
        (["k1"], "no usable key set"),
        (7, "no usable key set"),
    ],
)
def test_key_sets_that_cannot_be_used_are_told(keys: Any, words: str) -> None:
    callers = Callers(jwt=Jwt(algorithms=("RS256",), jwks_file="jwks.json"))
    with pytest.raises(ConfigError, match=words):
        keys_of(callers, {}, lambda _: json.dumps({"keys": keys}))
