"""Who may talk to a page's server: the `Host` it was called by and the `Origin` of the page that calls.

A browser lets any page open sockets to localhost, and a hostile name may resolve to 127.0.0.1 (DNS rebinding). Both are
stopped by comparing the two headers with the address that this server is really known under.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
Verdict = Literal["ok", "host", "origin", "cookie"]


class Gate(Struct, frozen=True, kw_only=True):
    """The address a server answers to. `bind` is the address it listens on, `secret` the value of its cookie."""

    bind: str
    port: int
    secret: str
    tls: bool = False

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return "https" if self.tls else "http"

    @property
    def cookie_name(self) -> str:
        """Cookies are shared by all ports of a host, hence the port in the name."""
        return f"duologue_{self.port}"

    def host_allowed(self, host: str) -> bool:
        """True if the `Host` header is one that a browser sends when it was given this server's address.

        Bound to loopback, only the usual loopback names and the bound address count. Bound elsewhere the name cannot be
        known (a machine has many); there the cookie, which a browser keeps per host, does the work and the port is all
        that is compared.
        """
        name, port = _split_host(host)
        if not name or (port or self._default_port) != self.port:
            return False
        own = name.lower().strip("[]") == self.bind.strip("[]")
        return own or not is_loopback(self.bind) or name.lower() in LOOPBACK_NAMES

    def origin_allowed(self, origin: str, host: str) -> bool:
        """True if `origin` is the page that this server itself served under `host`."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if parts.scheme != self.scheme or not parts.netloc:
            return False
        return self._normal(parts.netloc) == self._normal(host)

    def judge(self, headers: Mapping[str, str]) -> Verdict:
        """Check a socket or an API call by its headers (names in lower case). Anything but `ok` is a refusal (403)."""
        host = headers.get("host", "")
        if not self.host_allowed(host):
            return "host"
        if not self.origin_allowed(headers.get("origin", ""), host):
            return "origin"
        return "ok" if self.cookie_valid(headers.get("cookie", "")) else "cookie"

    def cookie_valid(self, cookie_header: str) -> bool:
        """True if the `Cookie` header carries this server's secret; compared in constant time."""
        for pair in cookie_header.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.cookie_name and hmac.compare_digest(value.encode(), self.secret.encode()):
                return True
        return False

    def set_cookie(self) -> str:
        """The `Set-Cookie` header that lets a browser in."""
        secure = "; Secure" if self.tls else ""
        return f"{self.cookie_name}={self.secret}; HttpOnly; SameSite=Strict; Path=/{secure}"

    @property
    def _default_port(self) -> int:
        return 443 if self.tls else 80

    def _normal(self, host: str) -> tuple[str, int]:
        name, port = _split_host(host)
        return name.lower(), port or self._default_port


def is_loopback(address: str) -> bool:
    """True for `localhost` and the addresses of the machine's own loopback."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def _split_host(host: str) -> tuple[str, int]:
    """`name:port` -> (name, port); port 0 where none is given, name "" where the header makes no sense."""
    name, separator, port = host.rpartition(":")
    if not separator or host.endswith("]"):
        return host, 0
    return (name, int(port)) if port.isascii() and port.isdigit() and len(port) <= 5 else ("", 0)
