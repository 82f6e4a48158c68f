from __future__ import annotations

import stat
from pathlib import Path

import pytest

from duologue.console.upstream import (
    Upstream,
    environment,
    parse_upstream,
    read_env_file,
    websocket_url,
    with_model,
    without_query,
    write_key,
)
from duologue.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("ws://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/realtime"),
        ("http://box:8081/", "ws://box:8081/v1/realtime"),
        ("https://relay.example/some/path?x=1", "wss://relay.example/some/path?x=1"),
        (" wss://h/v1/realtime ", "wss://h/v1/realtime"),
    ],
)
def test_addresses_become_websocket_addresses(text: str, url: str) -> None:
    assert websocket_url(text) == url


@pytest.mark.parametrize(
    "text", ["ftp://x", "localhost:8000", "ws://", "nonsense", "ws://me:secret@host", "ws://[x", "ws://h:port"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_upstream(text)


def test_the_three_kinds() -> None:
    assert parse_upstream("").kind == parse_upstream("embedded").kind == "embedded"
    openai = parse_upstream("openai")
    assert (openai.address, openai.effective_model) == ("wss://api.openai.com/v1/realtime", "gpt-realtime")
    relay = parse_upstream("http://r:1?model=m")
    assert (relay.kind, relay.effective_model) == ("url", "m")
    assert with_model("ws://r:1/v1/realtime?a=b&model=old", "new") == "ws://r:1/v1/realtime?a=b&model=new"


@pytest.mark.parametrize(
    ("text", "model", "asked", "local", "priced"),
    [
        ("", "", "duologue", True, ""),
        ("openai", "", "gpt-realtime", False, "gpt-realtime"),
        ("ws://127.0.0.1:8000", "", "duologue", True, ""),
        ("ws://localhost:8000", "gpt-realtime", "gpt-realtime", True, "gpt-realtime"),
        ("ws://[::1]:8000", "", "duologue", True, ""),
        ("wss://somewhere.example", "", "gpt-realtime", False, ""),
        ("wss://somewhere.example", "m", "m", False, "m"),
        ("wss://eu.api.openai.com", "", "gpt-realtime", False, "gpt-realtime"),
        ("wss://notopenai.com", "", "gpt-realtime", False, ""),
    ],
)
def test_a_price_is_only_that_of_a_model_that_was_named(
    text: str, model: str, asked: str, local: bool, priced: str
) -> None:
    upstream = parse_upstream(text, model=model)
    assert (upstream.effective_model, upstream.local, upstream.priced_model) == (asked, local, priced)


def test_the_page_never_sees_more_than_the_address() -> None:
    assert Upstream().view(has_key=True).label == "embedded"
    assert parse_upstream("openai", model="x").view(has_key=True).label == "api.openai.com · x"
    assert without_query("wss://r/p?token=secret") == "wss://r/p"


def test_env_files(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# note\nexport A=1\nB='two words'\nbroken line\nC=\n")
    assert read_env_file(path) == {"A": "1", "B": "two words", "C": ""}
    assert environment(tmp_path, {"A": "real"}) == {"A": "real", "B": "two words", "C": ""}
    assert read_env_file(tmp_path / "none") == {}


def test_a_key_is_written_for_the_owner_only_and_other_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\nOPENAI_API_KEY=old\n")
    path.chmod(0o644)
    write_key(path, "sk-new")
    assert path.read_text() == "A=1\nOPENAI_API_KEY=sk-new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
