from __future__ import annotations

import pytest

from duologue.access.origins import Gate, is_loopback

LOCAL = Gate(bind="127.0.0.1", port=3000, secret="s3cret")
WIDE = Gate(bind="0.0.0.0", port=3000, secret="s3cret", tls=True)


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1:3000", "[::1]:3000", "LOCALHOST:3000"])
def test_loopback_names_are_known(host: str) -> None:
    assert LOCAL.host_allowed(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "localhost:3001",
        "evil.example:3000",
        "127.0.0.1.evil.example:3000",
        "localhost:x",
        ":3000",
        "localhost:" + "9" * 5000,
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not LOCAL.host_allowed(host)


@pytest.mark.parametrize("bind", ["127.0.0.2", "::1", "localhost"])
def test_the_bound_address_is_known_too(bind: str) -> None:
    gate = Gate(bind=bind, port=3000, secret="s3cret")
    assert gate.host_allowed(f"[{bind}]:3000" if ":" in bind else f"{bind}:3000")
    assert gate.host_allowed("localhost:3000")
    assert not gate.host_allowed("127.0.0.3:3000")


def test_port_may_be_left_out_only_where_it_is_the_default() -> None:
    assert Gate(bind="127.0.0.1", port=80, secret="s").host_allowed("localhost")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("https://localhost:3000", False),
        ("http://localhost:3001", False),
        ("http://127.0.0.1:3000", False),  # another name is another page, even if it is the same machine
        ("http://evil.example", False),
        ("null", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_origin_is_the_page_served_under_that_host(origin: str, allowed: bool) -> None:
    assert LOCAL.origin_allowed(origin, "localhost:3000") is allowed


def headers(**changes: str) -> dict[str, str]:
    return {
        "host": "localhost:3000",
        "origin": "http://localhost:3000",
        "cookie": "a=b; duologue_3000=s3cret",
    } | changes


def test_all_three_are_needed() -> None:
    assert LOCAL.judge(headers()) == "ok"
    assert LOCAL.judge(headers(host="evil.example:3000")) == "host"
    assert LOCAL.judge(headers(origin="http://evil.example")) == "origin"
    assert LOCAL.judge(headers(origin="")) == "origin"
    assert LOCAL.judge(headers(cookie="duologue_3000=guess")) == "cookie"
    assert LOCAL.judge(headers(cookie="duologue_3001=s3cret")) == "cookie"
    assert LOCAL.judge({"host": "localhost:3000", "origin": "http://localhost:3000"}) == "cookie"


def test_beyond_loopback_any_name_with_its_own_origin_over_tls() -> None:
    assert WIDE.judge(headers(host="10.0.0.7:3000", origin="https://10.0.0.7:3000")) == "ok"
    assert WIDE.judge(headers(host="10.0.0.7:3000", origin="http://10.0.0.7:3000")) == "origin"
    assert WIDE.judge(headers(host="10.0.0.7:3000", origin="https://10.0.0.8:3000")) == "origin"


def test_cookie_is_out_of_reach_for_scripts_and_other_sites() -> None:
    assert LOCAL.set_cookie() == "duologue_3000=s3cret; HttpOnly; SameSite=Strict; Path=/"
    assert WIDE.set_cookie().endswith("; Secure")


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box", False)],
)
def test_loopback_addresses(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected
