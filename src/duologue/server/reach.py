"""Which remote MCP servers a session may name. Pure: what a name resolves to is looked at when it is connected.

A client makes this server fetch addresses. Where clients are strangers, that must not open the server's own network to
them: only what its operator named, and what is public anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import UNSET, Struct, UnsetType

from duologue.errors import ProtocolError
from duologue.protocol.session import McpServerTool, Tool

PORTS = {"http": 80, "https": 443}
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 addresses as networks without IPv4 reach them: behind each may be a private one."""


class Reach(Struct, frozen=True, kw_only=True):
    """`anywhere` is for a server that only its own machine can reach; `prefixes` are addresses that the operator named."""

    anywhere: bool = True
    prefixes: tuple[str, ...] = ()

    def trusts(self, url: str) -> bool:
        """Whether this address is connected whatever it resolves to."""
        return self.anywhere or any(_begins(url, prefix) for prefix in self.prefixes)

    def check(self, tools: Iterable[Tool] | None | UnsetType, param: str) -> None:
        """Refuse remote servers that are neither named nor public. Raises ProtocolError."""
        for index, tool in enumerate(tools or ()):
            if not isinstance(tool, McpServerTool) or tool.server_url in (UNSET, None):
                continue
            if not self.trusts(str(tool.server_url)) and not _may_be_public(urlsplit(str(tool.server_url))):
                raise ProtocolError(
                    "This server connects remote MCP tools at public https addresses, and at those that its operator "
                    "allows (--mcp-server).",
                    code="invalid_value",
                    param=f"{param}[{index}].server_url",
                )


def is_prefix(text: str) -> bool:
    """Whether this can be a prefix: an address of the web, with nothing after its path."""
    try:
        parts = urlsplit(text)
        _origin(parts)
    except ValueError:
        return False
    return parts.scheme in PORTS and bool(parts.hostname) and not (parts.query or parts.fragment or parts.username)


def is_public(address: str) -> bool:
    """Whether a numeric address belongs to the public network. Raises ValueError where it is no address."""
    ip: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip in _TRANSLATED:
            return False
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None and not is_public(str(inner)):
            return False
        ip = ip.ipv4_mapped or ip
    return ip.is_global and not ip.is_multicast


def _may_be_public(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if parts.scheme != "https" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return is_public(host)
    except ValueError:
        return True  # a name; what it stands for is seen when it is connected


def _begins(url: str, prefix: str) -> bool:
    """By parts, not by letters: the same origin, and a path at or below the prefix's."""
    try:
        wanted, parts = urlsplit(prefix), urlsplit(url)
        if _origin(wanted) != _origin(parts) or parts.username is not None:
            return False
    except ValueError:
        return False
    path, below = unquote(parts.path), wanted.path.rstrip("/")
    if ".." in path.split("/") or "\\" in path:
        return False
    return path == below or path.startswith(f"{below}/")


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)
