"""Who calls: a relay token, a client secret of the relay's own, a JSON web token, or nobody in particular on loopback. Pure.

Credentials are compared and forgotten: they are in no value, message or `repr` that leaves this module. Time and nonce are
arguments.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from duologue.access.origins import LOOPBACK_NAMES, is_loopback
from duologue.access.secrets import PREFIX, Secret, seal, unseal
from duologue.errors import ConfigError, MissingExtra, ProtocolError
from duologue.relay.commands import Caller
from duologue.relay.settings import Callers, Jwt

KEY_SUBPROTOCOL = "openai-insecure-api-key."
NO_KEY = "null"
"""What the clients of 2024 send where they have no key."""
SHORTEST_SECRET = 32
LONGEST_CREDENTIAL = 16_384
LONGEST_USER = 256
_FAR_S = 1 << 40
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class PublicKey(Struct, frozen=True, kw_only=True):
    """A key of an identity provider, with what it says about itself. `key`: as PyJWT takes it."""

    kid: str | None
    algorithm: str | None
    key: Any


class Keys(Struct, frozen=True, kw_only=True):
    """The key material behind `Callers`: digests of the static tokens by user, and what verifies the others."""

    tokens: tuple[tuple[str, bytes], ...] = ()
    signing: bytes | None = None
    jwt_secret: bytes | None = None
    jwt_keys: tuple[PublicKey, ...] | None = None

    def __repr__(self) -> str:
        return f"Keys({len(self.tokens)} tokens)"


class Knock(Struct, frozen=True, kw_only=True):
    """What a caller said in order to be let in. `peer`: the address at the other end. Header names in lower case."""

    headers: Mapping[str, str]
    peer: str
    subprotocols: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Knock({self.peer!r})"


class _Sealed(Struct, frozen=True, kw_only=True):
    """What a client secret carries."""

    user: str
    claims: dict[str, Any] = {}


def keys_of(callers: Callers, env: Mapping[str, str], read: Callable[[str], str]) -> Keys:
    """Fetch the key material; `read` gives the text of a file. Raises ConfigError, and MissingExtra for JWT."""
    tokens = []
    for token in callers.tokens:
        if token.sha256 is not None:
            tokens.append((token.user, bytes.fromhex(token.sha256)))
        else:
            tokens.append((token.user, _digest(_from_env(env, token.env or "", "callers.tokens"))))
    signing = callers.secret_env and _long(_from_env(env, callers.secret_env, "callers.secret_env"), callers.secret_env)
    jwt = callers.jwt
    shared = jwt and jwt.secret_env and _long(_from_env(env, jwt.secret_env, "callers.jwt.secret_env"), jwt.secret_env)
    return Keys(
        tokens=tuple(tokens),
        signing=signing or None,
        jwt_secret=shared or None,
        jwt_keys=_key_set(jwt.jwks_file, read) if jwt and jwt.jwks_file else None,
    )


def credential_of(knock: Knock) -> str | None:
    """The credential that a caller shows: in a header, or where a browser can set none, in a subprotocol."""
    scheme, _, bearer = knock.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return bearer.strip()
    if key := knock.headers.get("api-key", "").strip():
        return key
    offered = (name for name in knock.subprotocols if name.startswith(KEY_SUBPROTOCOL))
    return next(offered, KEY_SUBPROTOCOL).removeprefix(KEY_SUBPROTOCOL) or None


def identify(knock: Knock, callers: Callers, keys: Keys, now_s: int) -> Caller:
    """Who calls. Raises ProtocolError for somebody who may not."""
    if callers.hosts and knock.headers.get("host", "").lower() not in {host.lower() for host in callers.hosts}:
        raise ProtocolError("The relay is not known under this name.", code="host_not_allowed")
    credential = credential_of(knock)
    if is_open(callers) and _from_this_machine(knock) and (credential in (None, NO_KEY) or not _guarded(callers)):
        return Caller(user="loopback", how="loopback")
    _check_origin(knock, callers)
    if credential is None:
        raise ProtocolError("Missing bearer or basic authentication in header")
    if len(credential) > LONGEST_CREDENTIAL:
        raise _incorrect()
    if credential.startswith(PREFIX) and keys.signing is not None:
        return _of_secret(credential, keys.signing, now_s)
    if (user := _token_user(credential, keys)) is not None:
        return Caller(user=user, how="token")
    if callers.jwt is not None and credential.count(".") == 2:
        return _of_jwt(credential, callers.jwt, keys, now_s)
    raise _incorrect()


def issue(caller: Caller, claims: dict[str, Any], keys: Keys, *, nonce: bytes, expires_at: int) -> str:
    """A client secret that lets its bearer call as `caller`, carrying `claims` such as session settings.

    A caller that came with a client secret gets none: it could otherwise live for ever. Raises ProtocolError.
    """
    if keys.signing is None:
        raise ProtocolError("This relay issues no client secrets.", code="not_found")
    if caller.how == "secret":
        raise ProtocolError("A client secret cannot ask for another one.", code="invalid_api_key")
    payload = msgspec.json.encode(_Sealed(user=caller.user, claims=claims))
    return seal(payload, key=keys.signing, nonce=nonce, expires_at=expires_at)


def is_open(callers: Callers) -> bool:
    """True where callers from this machine need no credential."""
    return not _guarded(callers) if callers.loopback_open is None else callers.loopback_open


def _guarded(callers: Callers) -> bool:
    return bool(callers.tokens or callers.secret_env or callers.jwt)


def _from_this_machine(knock: Knock) -> bool:
    """A proxy's address is not its caller's; a page of the world calls from this machine too, with a name of its own."""
    if not is_loopback(knock.peer) or any(name in knock.headers for name in _FORWARDED):
        return False
    host = knock.headers.get("host", "localhost").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    origin = knock.headers.get("origin")
    return name in LOOPBACK_NAMES and (origin is None or is_loopback(_host_of(origin)))


def _check_origin(knock: Knock, callers: Callers) -> None:
    origin = knock.headers.get("origin")
    if origin is None or not callers.origins:
        return
    if origin.lower() not in {allowed.lower().rstrip("/") for allowed in callers.origins}:
        raise ProtocolError("Pages of this origin may not use the relay.", code="origin_not_allowed")


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def _token_user(credential: str, keys: Keys) -> str | None:
    # every token is compared, so that the time taken tells nothing about which one came close
    digest = _digest(credential)
    matches = [user for user, known in keys.tokens if hmac.compare_digest(digest, known)]
    return matches[0] if matches else None


def _of_secret(credential: str, key: bytes, now_s: int) -> Caller:
    secret = unseal(credential, key=key, now_s=now_s)
    if secret == "expired":
        raise ProtocolError("The client secret has expired. Ask for a new one.", code="invalid_api_key")
    if not isinstance(secret, Secret):
        raise _incorrect()
    try:
        sealed = msgspec.json.decode(secret.payload, type=_Sealed)
    except msgspec.MsgspecError:
        raise _incorrect() from None
    return Caller(user=sealed.user, how="secret", claims=sealed.claims)


def _of_jwt(credential: str, settings: Jwt, keys: Keys, now_s: int) -> Caller:
    """The algorithms are the operator's, never the token's own; what they need is a key of their family."""
    jwt = _pyjwt()
    try:
        key = (
            keys.jwt_secret if keys.jwt_keys is None else _key_for(jwt.get_unverified_header(credential), keys.jwt_keys)
        )
        claims = jwt.decode(
            credential,
            key=key,
            algorithms=list(settings.algorithms),
            audience=settings.audience,
            issuer=settings.issuer,
            # times are checked below, against a clock that is handed in
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False,
                     "verify_aud": settings.audience is not None, "require": ["exp"]},
        )  # fmt: skip
    except (jwt.PyJWTError, ValueError, TypeError):
        raise _incorrect() from None
    begins, ends = claims.get("nbf", 0), claims["exp"]
    if not _is_time(begins) or not _is_time(ends):
        raise _incorrect()
    if now_s >= ends + settings.leeway_s:
        raise ProtocolError("The token has expired.", code="invalid_api_key")
    if now_s < begins - settings.leeway_s:
        raise ProtocolError("The token is not valid yet.", code="invalid_api_key")
    user = claims.get(settings.user_claim)
    if not isinstance(user, str) or not 0 < len(user) <= LONGEST_USER:
        raise ProtocolError(f"The token names no user in '{settings.user_claim}'.", code="invalid_api_key")
    return Caller(user=user, how="jwt", claims=claims)


def _key_for(header: Mapping[str, Any], known: tuple[PublicKey, ...]) -> Any:
    """The key that the token names; with a single key it need not name one. Raises ValueError."""
    named = header.get("kid")
    fitting = [key for key in known if named is None or key.kid == named]
    if len(fitting) != 1 or fitting[0].algorithm not in (None, header.get("alg")):
        raise ValueError("no such key")
    return fitting[0].key


def _key_set(path: str, read: Callable[[str], str]) -> tuple[PublicKey, ...]:
    jwt = _pyjwt()
    try:
        entries = [entry for entry in json.loads(read(path))["keys"] if _verifies(entry)]
        keys = tuple(
            PublicKey(kid=entry.get("kid"), algorithm=entry.get("alg"), key=jwt.PyJWK(entry).key) for entry in entries
        )
    except (OSError, LookupError, ValueError, TypeError, AttributeError, jwt.PyJWTError) as problem:
        raise ConfigError(f"callers.jwt.jwks_file: {path} holds no usable key set: {problem}") from None
    if not keys:
        raise ConfigError(f"callers.jwt.jwks_file: {path} holds no usable key set: none of its keys is for signatures.")
    if any(entry.get("kty") != "RSA" for entry in entries):
        raise ConfigError(f"callers.jwt.jwks_file: {path} holds a key that is not RSA. Leave public RSA keys only.")
    if any("d" in entry for entry in entries):
        raise ConfigError(f"callers.jwt.jwks_file: {path} holds a private key. Leave public RSA keys only.")
    if len({key.kid for key in keys}) != len(keys):
        raise ConfigError(f"callers.jwt.jwks_file: {path} holds two keys with one 'kid'. A token could not tell which.")
    return keys


def _verifies(entry: Mapping[str, Any]) -> bool:
    """Identity providers publish keys for encryption in the same set: those sign nothing."""
    return entry.get("use", "sig") == "sig" and "verify" in entry.get("key_ops", ("verify",))


def _pyjwt() -> Any:
    try:
        import jwt
    except ImportError:
        raise MissingExtra("pyjwt", "relay") from None
    return jwt


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _FAR_S


def _from_env(env: Mapping[str, str], name: str, setting: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise ConfigError(f"{setting}: the environment variable {name} is not set. Set it, or leave the setting out.")
    return value


def _long(value: str, name: str) -> bytes:
    if len(value.encode()) < SHORTEST_SECRET:
        raise ConfigError(f"{name} is too short to sign with: {SHORTEST_SECRET} bytes at least (openssl rand -hex 32).")
    return value.encode()


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode(errors="surrogateescape")).digest()


def _incorrect() -> ProtocolError:
    return ProtocolError("Incorrect API key provided.", code="invalid_api_key")
