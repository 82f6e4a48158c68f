"""Strangers cannot make the server look into its own network."""

from __future__ import annotations

import pytest

from duologue.errors import ProtocolError
from duologue.protocol.session import FunctionTool, McpServerTool
from duologue.server.reach import Reach, is_prefix, is_public

STRANGERS = Reach(anywhere=False, prefixes=("http://10.0.0.5:9000/tools", "https://docs.example"))


def allowed(url: str, reach: Reach = STRANGERS) -> bool:
    tools = (FunctionTool(name="look"), McpServerTool(server_label="s", server_url=url))
    try:
        reach.check(tools, "session.tools")
    except ProtocolError:
        return False
    return True


def test_the_refusal_names_the_place() -> None:
    tools = (FunctionTool(name="look"), McpServerTool(server_label="s", server_url="http://127.0.0.1"))
    with pytest.raises(ProtocolError, match="--mcp-server") as refused:
        STRANGERS.check(tools, "session.tools")
    assert (refused.value.code, refused.value.param) == ("invalid_value", "session.tools[1].server_url")


@pytest.mark.parametrize(
    "url",
    [
        "https://anywhere.example/mcp",
        "https://8.8.8.8/mcp",
        "https://[2606:4700:4700::1111]/mcp",
        "http://10.0.0.5:9000/tools",
        "http://10.0.0.5:9000/tools/docs",
        "https://docs.example:443/any",
    ],
)
def test_what_is_public_or_named_is_connected(url: str) -> None:
    assert allowed(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://anywhere.example/mcp",
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/",
        "https://127.0.0.1/mcp",
        "https://[::1]/mcp",
        "https://[::ffff:10.0.0.1]/mcp",
        "https://[64:ff9b::7f00:1]/mcp",
        "https://[fd00::1]/mcp",
        "https://192.168.1.1/mcp",
        "https://100.64.0.1/mcp",
        "https://0.0.0.0/mcp",
        "https://localhost/mcp",
        "https://a.localhost/mcp",
        "http://10.0.0.5:9000/toolshed",
        "http://10.0.0.5:9000/tools/../admin",
        "http://10.0.0.5:9000/tools/%2e%2e/admin",
        "http://10.0.0.5/tools",
        "http://docs.example/",
        "http://docs.example@10.0.0.7/",
        "http://x@10.0.0.5:9000/tools",
    ],
)
def test_the_server_s_own_network_is_closed_to_strangers(url: str) -> None:
    assert not allowed(url)
    assert allowed(url, Reach())


@pytest.mark.parametrize("address", ["127.0.0.1", "224.0.0.1", "2002:7f00:1::", "::ffff:192.168.0.1", "ff02::1", "::"])
def test_no_way_of_writing_makes_an_address_public(address: str) -> None:
    assert not is_public(address)


def test_trust_is_by_parts_of_the_address() -> None:
    assert STRANGERS.trusts("https://docs.example/mcp")
    assert not STRANGERS.trusts("https://docs.example.evil.example/mcp")
    assert not STRANGERS.trusts("https://docs.example:99999/mcp")
    assert Reach().trusts("http://127.0.0.1:1/")


@pytest.mark.parametrize("text", ["docs.example", "ftp://docs.example", "https://", "https://u@d.example", "https://d:x/",
                                  "https://d.example/?q", ""])  # fmt: skip
def test_what_cannot_be_a_prefix(text: str) -> None:
    assert not is_prefix(text)
    assert is_prefix("https://d.example/mcp")
